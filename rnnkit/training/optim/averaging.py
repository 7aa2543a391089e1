"""Averages of the weights over training steps, used for validation, for best.ckpt and at the end of training.

Lightning's `WeightAveraging` stores, swaps and saves the average; these classes decide when and how it is updated.
"""

from typing import Any, Literal

import lightning as L
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from rnnkit.compat.lightning import averaged_model
from rnnkit.compat.torch import foreach_lerp_
from rnnkit.errors import UserError
from rnnkit.ranges import Fraction, PositiveInt


class ExponentialAverage(WeightAveraging):
    r"""An exponential moving average that starts as the plain mean of the weights so far.

    .. math:: \bar\theta_k = d_k \bar\theta_{k-1} + (1 - d_k) \theta_k, \qquad d_k = \min(d, k / (k + 1))

    (Polyak and Juditsky 1992; the growing decay reduces the influence of the first weights.)
    """

    def __init__(self, decay: Fraction = 0.999) -> None:
        if not 0 <= decay < 1:
            raise UserError("averaging.decay", "a number in [0, 1)", str(decay), fix="averaging.decay=0.999")

        def blend(averages: list[Tensor], currents: list[Tensor], seen: Tensor | int) -> None:
            foreach_lerp_(averages, currents, max(1 - decay, 1 / (int(seen) + 1)))

        super().__init__(use_buffers=False, multi_avg_fn=blend)


class NonmonotonicAverage(WeightAveraging):
    """NT-ASGD: averages the weights from the moment when validation stops improving (Merity et al. 2018,
    arXiv:1708.02182, algorithm 1). Use it with plain SGD at a constant learning rate.

    Averaging begins after a validation whose `monitor` is worse than the best of those more than `patience` validations
    ago. The average is the plain mean of the weights after each step since then.

    Args:
        monitor: a metric of the validations.
        patience: the number of validations, 1 or more.
        mode: "min" if lower is better, "max" if higher is better.
    """

    def __init__(
        self, monitor: str = "val/loss", patience: PositiveInt = 5, mode: Literal["min", "max"] = "min"
    ) -> None:
        if patience < 1:
            raise UserError("averaging.patience", "1 or more validations", str(patience), fix="averaging.patience=5")
        super().__init__(use_buffers=False)
        self.monitor, self.patience = monitor, patience
        self.sign = {"min": 1, "max": -1}[mode]
        self.history: list[float] = []
        self.triggered = False

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx is not None

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        average = averaged_model(self)
        if not self.triggered and average is not None:
            average.n_averaged.zero_()  # before the trigger, the average equals the weights
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking or self.monitor not in trainer.callback_metrics:
            return
        value = self.sign * float(trainer.callback_metrics[self.monitor])
        earlier = self.history[: -self.patience]
        self.triggered = self.triggered or bool(earlier and value > min(earlier))
        self.history.append(value)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "history": self.history, "triggered": self.triggered}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.history, self.triggered = list(state_dict["history"]), state_dict["triggered"]
