"""What Lightning does with the position of the windows: resume equals never having stopped."""

from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from rnnkit.batch import SequenceBatch
from rnnkit.data import Windows

LANES, STEPS, PER_EPOCH = 4, 5, 10
WHOLE = [(epoch, index, index * STEPS) for epoch in range(3) for index in range(PER_EPOCH)]


class Recorder(lightning.LightningModule):
    """Notes epoch, number and first token of every window that it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, int, int]] = []

    def training_step(self, batch: SequenceBatch, batch_idx: int) -> Tensor:
        assert isinstance(batch, SequenceBatch)
        assert batch.reset.all() if batch_idx == 0 else not batch.reset.any()
        self.seen.append((self.current_epoch, batch_idx, int(batch.inputs[0, 0])))
        return self.weight * 1.0

    def validation_step(self, batch: SequenceBatch, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveOnce(Callback):
    """Writes a checkpoint after `step` optimizer steps, in one hook."""

    def __init__(self, hook: str, step: int, path: Path) -> None:
        self.hook, self.step, self.path = hook, step, path

    def save(self, hook: str, trainer: lightning.Trainer) -> None:
        if hook == self.hook and trainer.global_step == self.step and not self.path.exists():
            trainer.save_checkpoint(self.path)

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        self.save("train_batch_end", trainer)

    def on_validation_end(self, trainer: lightning.Trainer, *_: object) -> None:
        self.save("validation_end", trainer)


def fit(stop: dict[str, int], callbacks: list[Callback], checkpoint: Path | None = None) -> Recorder:
    def windows() -> Windows:
        return Windows(torch.arange(LANES * STEPS * PER_EPOCH + 1, dtype=torch.int32), LANES, STEPS)

    trainer = lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
        **stop,  # type: ignore[arg-type]
    )
    module = Recorder()
    trainer.fit(module, windows(), windows(), ckpt_path=checkpoint, weights_only=True)
    return module


@pytest.mark.parametrize("stop", [{"max_epochs": 3}, {"max_epochs": -1, "max_steps": 30}], ids=["epochs", "steps"])
@pytest.mark.parametrize(
    ("hook", "step"),
    [*(("train_batch_end", step) for step in (1, 7, 10, 13)), *(("validation_end", step) for step in (10, 20))],
)
def test_a_checkpoint_resumes_at_the_next_window(hook: str, step: int, stop: dict[str, int], tmp_path: Path) -> None:
    checkpoint = tmp_path / "middle.ckpt"
    assert fit(stop, [SaveOnce(hook, step, checkpoint)]).seen == WHOLE
    assert fit(stop, [], checkpoint).seen == WHOLE[step:]


def test_a_run_that_stopped_in_mid_epoch_goes_on(tmp_path: Path) -> None:
    checkpoint = tmp_path / "middle.ckpt"
    first = fit({"max_epochs": -1, "max_steps": 13}, [SaveOnce("train_batch_end", 13, checkpoint)]).seen
    second = fit({"max_epochs": -1, "max_steps": 30}, [], checkpoint).seen
    assert first + second == WHOLE
