"""The profile of a run."""

import lightning as L


class ProfileTable(L.Callback):
    """Prints the summary of `trainer.profiler` at the end of training; Lightning would only log it."""

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            print(trainer.profiler.summary(), flush=True)  # type: ignore[attr-defined]
