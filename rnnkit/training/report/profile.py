"""Where the time of a run went."""

import lightning as L


class ProfileTable(L.Callback):
    """Prints what `trainer.profiler` has measured, once training ends: Lightning would only log it."""

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            print(trainer.profiler.summary(), flush=True)  # type: ignore[attr-defined]
