"""Only hooks that do nothing are passed over."""

import lightning as L
import torch
from lightning.pytorch.callbacks import LambdaCallback

from rnnkit.training.empty_hooks import OF_A_STEP, skip_empty_hooks


class Counting(L.Callback):
    def __init__(self) -> None:
        self.steps = 0

    def on_train_batch_end(self, *_: object) -> None:
        self.steps += 1


class Line(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(1, 1)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.line(batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_hooks_of_a_class_and_of_an_instance_are_called() -> None:
    seen: list[str] = []
    own = LambdaCallback(on_after_backward=lambda *_: seen.append("backward"))
    counting = Counting()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = L.Trainer(accelerator="cpu", max_epochs=1, callbacks=[counting, own], **quiet)  # type: ignore[arg-type]
    skip_empty_hooks(trainer.callbacks)  # type: ignore[attr-defined]
    trainer.fit(Line(), torch.utils.data.DataLoader(torch.ones(3, 1)))
    assert counting.steps == len(seen) == 3
    skipped = [name for name in OF_A_STEP if getattr(counting, name) is None]
    assert len(skipped) == len(OF_A_STEP) - 1
