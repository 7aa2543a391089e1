"""Regression: one number for each sequence, or one for each step."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnnkit.batch import SequenceBatch
from rnnkit.errors import UserError
from rnnkit.masks import last_valid
from rnnkit.precision import widened
from rnnkit.predictions import CurvePrediction, NumberPrediction
from rnnkit.tasks.base import Capability, Metrics, Task
from rnnkit.tasks.metrics.bootstrap import intervals
from rnnkit.tasks.metrics.errors import error_metrics, error_sums, phm_penalty
from rnnkit.tasks.metrics.gathered import Gathered
from rnnkit.tasks.metrics.table import shown, table

ERRORS: dict[str, Callable[..., Tensor]] = {"mse": F.mse_loss, "huber": F.huber_loss, "mae": F.l1_loss}


class Regression(Task):
    r"""Predicts a number for each sequence or, with a model without pooling, a curve: one number for each step.

    The loss compares standardized values, so that it does not depend on the unit of the targets. Predictions and
    metrics are in the unit of the targets:

    .. math::
        L = \frac{1}{N} \sum_n \ell\left(o_n, \frac{y_n - m}{s}\right), \qquad \hat y_n = m + s \, o_n

    They are computed in float64 because targets may lie far above their spread.

    In the loss of curves, all steps with a known target have equal weight. A NaN target is unknown.

    Logs `loss`, `rmse`, `mae` and `r2` under `val/` and `test/`. For curves, the last three are those of the last step
    of each sequence; `rmse_all`, `mae_all` and `r2_all` are those of all steps. `report` adds 95 % intervals and a
    baseline that always predicts the mean of the training targets.

    Args:
        model: maps inputs to [B, 1] or, for curves, to [B, T, 1]; see `Task`.
        optimizer, schedule, clip: see `Task`.
        location, scale: m and s, the mean and standard deviation of the training targets.
        error: mse, mae, or huber (:math:`\ell = z^2 / 2` up to one deviation, :math:`|z| - 1/2` beyond).
        phm_score: also log `phm_score`, for targets that are remaining lives; see
            `rnnkit.tasks.metrics.errors.phm_penalty`.

    Raises:
        UserError: if `error` is unknown or `scale` is not positive; at the first batch, if the model has pooling and
            the targets are curves, or has none and the targets are numbers.
    """

    kind = "regression"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({"predict"})
    undefined: ClassVar[Mapping[str, str]] = {
        "r2": "the targets do not differ, or their squares exceed float64",
        "r2_all": "the targets do not differ, or their squares exceed float64",
        "phm_score": "a prediction is thousands of steps too late, and its penalty exceeds float64",
    }
    metrics: ClassVar[Metrics] = {
        "loss": "min",
        "rmse": "min",
        "mae": "min",
        "r2": "max",
        "rmse_all": "min",
        "mae_all": "min",
        "r2_all": "max",
        "phm_score": "min",
    }

    def __init__(
        self,
        model: nn.Module,
        optimizer: Callable[..., Any] | None = None,
        schedule: Callable[..., Any] | None = None,
        clip: nn.Module | None = None,
        location: float = 0.0,
        scale: float = 1.0,
        error: Literal["mse", "huber", "mae"] = "mse",
        phm_score: bool = False,
    ) -> None:
        super().__init__(model, optimizer, schedule, clip)
        if error not in ERRORS:
            raise UserError("task.error", f"one of {', '.join(ERRORS)}", repr(error), fix="task.error=mse")
        if not scale > 0:
            got = f"a standard deviation of {scale}"
            raise UserError("training targets", "numbers that differ", got, fix="a training split with several values")
        self.location, self.scale = location, scale
        self.error = error
        self.phm_score = phm_score
        self.val_rows, self.test_rows = Gathered(), Gathered()
        # of the last evaluation, for each sequence: loss, known targets and penalty [N, 3]; and the `error_sums` [N, 5]
        # of the model and of the baseline, at the last step and, for curves, at all steps
        self._totals = torch.empty(0)
        self._sums: dict[str, tuple[Tensor, Tensor]] = {}

    def loss(self, outputs: Tensor, batch: SequenceBatch) -> Tensor:
        losses, known = self._elementwise_loss(outputs, batch.targets)
        return losses.sum() / known.sum().clamp(min=1)

    def update_metrics(self, batch: SequenceBatch, stage: str) -> None:
        outputs, truth = widened(self.model(batch.inputs, lengths=batch.lengths)), batch.targets
        losses, known = self._elementwise_loss(outputs, truth)
        # relative to the location, where the numbers are small: errors and spreads do not change
        predicted, targets = self.scale * outputs[..., 0], widened(truth) - self.location
        baseline = torch.zeros_like(predicted)
        end, end_targets, end_baseline = (_last(values, batch.lengths) for values in (predicted, targets, baseline))
        totals = [losses.view(len(losses), -1).sum(1), known.view(len(known), -1).sum(1)]
        totals += [phm_penalty(end, end_targets).masked_fill(end_targets.isnan(), 0)[:, 0]]
        columns = [torch.stack(totals, dim=1), error_sums(end, end_targets), error_sums(end_baseline, end_targets)]
        if truth.dim() == 2:
            columns += [error_sums(predicted, targets), error_sums(baseline, targets)]
        self._rows(stage).update(torch.cat(columns, dim=1))

    def compute_metrics(self, stage: str) -> dict[str, float]:
        gathered = self._rows(stage)
        self._totals, end, end_baseline, every, every_baseline = gathered.compute().tensor_split([3, 8, 13, 18], dim=1)
        gathered.reset()
        self._sums = {"": (end, end_baseline)}
        if every.shape[1]:
            self._sums["_all"] = (every, every_baseline)
        metrics = self._metrics(torch.ones(1, len(self._totals)))
        return {name: float(values_R[0]) for name, values_R in metrics.items()}

    def metric_names(self) -> list[str]:
        is_curve = getattr(self.model, "pooling", None) is None
        lacking = set() if is_curve else {"rmse_all", "mae_all", "r2_all"}
        lacking |= set() if self.phm_score else {"phm_score"}
        return [name for name in self.metrics if name not in lacking]

    def predict(self, batch: SequenceBatch) -> list[NumberPrediction] | list[CurvePrediction]:
        return self.answers(self.model(batch.inputs, lengths=batch.lengths), batch.lengths)

    def answers(
        self, outputs: Tensor, lengths_B: Tensor | None = None
    ) -> list[NumberPrediction] | list[CurvePrediction]:
        """Returns the predictions for outputs of the model, [B, 1] or for curves [B, T, 1]."""
        values = self._in_units(outputs)
        if values.dim() == 1:
            return [NumberPrediction(value) for value in values.tolist()]
        steps = [values.shape[1]] * len(values) if lengths_B is None else lengths_B.tolist()
        return [CurvePrediction(row[:count]) for row, count in zip(values.tolist(), steps, strict=True)]

    def report(self) -> str:
        if not self._sums:
            return ""
        weights_1N = torch.ones(1, len(self._totals))
        ends = intervals(self._metrics, len(self._totals))
        rows = [(name, float(values_R), *ends[name]) for name, values_R in self._metrics(weights_1N).items()]
        parts = ["95 % intervals, by 1,000 bootstrap resamples of the sequences"]
        parts.append(table(["metric", "value", "from", "to"], rows))
        baseline = [
            f"{name}{suffix} {shown(float(values_R))}"
            for suffix, (_, sums_N5) in self._sums.items()
            for name, values_R in error_metrics(sums_N5, weights_1N).items()
            if name != "r2"
        ]
        parts.append(f"baseline: always {shown(self.location)}, the mean in training: {', '.join(baseline)}")
        return "\n\n".join(parts)

    def _metrics(self, weights_RN: Tensor) -> dict[str, Tensor]:
        """Returns the metrics [R] of the last evaluation for weights [R, N]."""
        loss_R, known_R, penalty_R = (weights_RN.double() @ self._totals).unbind(dim=1)
        found = {"loss": loss_R / known_R}
        for suffix, (sums_N5, _) in self._sums.items():
            errors = error_metrics(sums_N5, weights_RN)
            found.update({name + suffix: values_R for name, values_R in errors.items()})
        return {**found, "phm_score": penalty_R} if self.phm_score else found

    def _rows(self, stage: str) -> Gathered:
        return self.val_rows if stage == "val" else self.test_rows

    def _in_units(self, outputs: Tensor) -> Tensor:
        return self.location + self.scale * widened(outputs[..., 0])

    def _standardized(self, targets: Tensor) -> Tensor:
        return (widened(targets) - self.location) / self.scale

    def _elementwise_loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the loss of each target, 0 if it is unknown, and a mask of the known targets."""
        if outputs.shape[:-1] != targets.shape:
            pooled = outputs.dim() == 2
            expected = "null, for curves" if pooled else "a pooling method, for one number per sequence"
            fix = f"model.pooling={'null' if pooled else 'last'}"
            got = f"targets {list(targets.shape)} and outputs {list(outputs.shape[:-1])}"
            raise UserError("model.pooling", expected, got, fix=fix)
        known = ~targets.isnan()
        answers = outputs[..., 0].to(torch.promote_types(outputs.dtype, torch.float32))
        z = self._standardized(targets).masked_fill(~known, 0).to(answers.dtype)
        return ERRORS[self.error](answers, z, reduction="none").masked_fill(~known, 0), known


def _last(values: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Returns numbers, or the last step of curves, as [B, 1]."""
    if values.dim() == 1:
        return values[:, None]
    return last_valid(values, lengths_B)[:, None]
