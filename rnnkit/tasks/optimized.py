"""The optimization of a task: optimizer, schedule and clipping, which only training needs."""

from collections.abc import Callable, Iterable
from typing import Any

import lightning as L
from torch import Tensor, nn
from torch.optim import Optimizer

from rnnkit.compat.lightning import CURRENT_HOOK
from rnnkit.errors import UserError


class Optimized(L.LightningModule):
    """A module that trains `model` with an optimizer, a schedule and clipping, or with none of them only predicts."""

    model: nn.Module
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None
    schedule: Callable[[Optimizer, int], Any] | None
    clip: nn.Module | None
    clipping: tuple[Tensor, Tensor] | None
    skipped_nonfinite: bool

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning sets the current hook fifty times a step; Module.__setattr__ would look for a parameter each time
        if name == CURRENT_HOOK:
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def configure_optimizers(self) -> Any:
        if self.optimizer is None:
            fix = "optimizer=functools.partial(torch.optim.AdamW, lr=3e-3)"
            raise UserError("optimizer", "a callable that returns an optimizer of the parameters", "None", fix=fix)
        optimizer = self.optimizer(self.model.parameters())
        if self.schedule is None:
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": self.schedule(optimizer, steps)}

    def configure_gradient_clipping(self, optimizer: Optimizer, *_: Any, **__: Any) -> None:
        if self.clip is None:
            return
        trained = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        self.clipping = self.clip(trained)
        # a float16 gradient scaler does its own check, and skips steps as a matter of course
        if getattr(self.trainer.precision_plugin, "scaler", None) is None and not bool(self.clipping[0].isfinite()):
            self.skipped_nonfinite = True
            for parameter in self.model.parameters():
                parameter.grad = None  # optimizers ignore parameters without a gradient
