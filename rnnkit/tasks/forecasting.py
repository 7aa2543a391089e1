"""Forecasting: point and probabilistic forecasts of time series."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from rnnkit.batch import ForecastExtra, SequenceBatch
from rnnkit.errors import UserError
from rnnkit.models.forecasting.parameters import Parameters
from rnnkit.precision import widened
from rnnkit.predictions import ForecastPrediction
from rnnkit.ranges import Draws, Level, Positive, Seed
from rnnkit.tasks.base import Capability, Metrics, Task
from rnnkit.tasks.forecast_report import Baselines, report
from rnnkit.tasks.metrics.forecasts import COVERAGES, ForecastMetrics, Term, error_terms
from rnnkit.tasks.metrics.mean import Mean
from rnnkit.tasks.one_step import only_step
from rnnkit.tasks.predictive import PredictiveSummary, mean_loss, predictive

UNITS = ("file", "scaled")


class Forecasting(Task):
    r"""The mean loss of the model's output over all known values.

    .. math::
        L = \frac{1}{|K|} \sum_{(h, c) \in K} \ell(\hat x_{hc}, x_{hc})

    :math:`\ell` is the loss of the output distribution (see `rnnkit.models.forecasting.distributions`), in the units of
    the batch. Missing targets are ignored. An autoregressive model is also trained on the past.

    Validation and test log `loss` and the metrics of `rnnkit.tasks.metrics.forecasts`: `mse` of the mean forecast,
    `mae`, `smape` and `mase` of the median, `rse`, `nrmse<H>` at the last step, and for probabilistic outputs `crps`,
    `coverage80` and `coverage95`. With `naive2`, the sMAPE and MASE of a reference forecast, they also log the overall
    weighted average of the M4 competition:

    .. math::
        \mathrm{OWA} = \tfrac{1}{2} (\mathrm{sMAPE} / \mathrm{sMAPE}_{ref} + \mathrm{MASE} / \mathrm{MASE}_{ref})

    `report` compares the metrics with those of the last value and of the seasonal naive forecast, and lists the errors
    by step.

    Args:
        model: a `rnnkit.models.forecasting.Forecaster`; see `Task`. Batches have `ForecastInputs` and `ForecastExtra`.
        optimizer, schedule, clip: see `Task`.
        season: the length of a season in steps, for the seasonal naive forecast.
        channels: the channel names.
        units: the units of `mse`, `mae`, `rse` and `crps`: "file", or "scaled" as the data module scales the values.
        quantiles: the quantile levels of predictions. Levels that the output does not provide are omitted.
        samples: the number of sample paths from which an autoregressive model computes its mean and quantiles.
        seed: the seed of the sample paths, set again for each batch.
        ets: also report exponential smoothing as a baseline in evaluation; needs statsmodels and is slow.
        naive2: `smape` and `mase` of the reference forecast of OWA.

    Raises:
        UserError: if `units` is unknown, a level is not in (0, 1), `samples` is below 1, or `naive2` lacks a metric.
    """

    kind = "forecasting"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({"predict"})
    undefined: ClassVar[Mapping[str, str]] = {
        "mase": "no two training values a season apart differ",
        "owa": "no two training values a season apart differ",
        "rse": "the targets do not differ, or their squares exceed float64",
        "nrmse": "the targets of the last step do not differ, or their squares exceed float64",
    }
    metrics: ClassVar[Metrics] = {
        "loss": "min",
        "mse": "min",
        "mae": "min",
        "smape": "min",
        "mase": "min",
        "rse": "min",
        "nrmse*": "min",
        "crps": "min",
        "coverage80": None,
        "coverage95": None,
        "owa": "min",
    }

    def __init__(
        self,
        model: nn.Module,
        optimizer: Callable[..., Any] | None = None,
        schedule: Callable[..., Any] | None = None,
        clip: nn.Module | None = None,
        season: int = 1,
        channels: Sequence[str] = (),
        units: Literal["file", "scaled"] = "file",
        quantiles: Sequence[Level] = (0.1, 0.5, 0.9),
        samples: Draws = 100,
        seed: Seed = 1,
        ets: bool = False,
        naive2: Mapping[str, Positive] | None = None,
    ) -> None:
        super().__init__(model, optimizer, schedule, clip)
        if units not in UNITS:
            raise UserError("task.units", "file or scaled", repr(units), fix="task.units=file")
        if not all(0 < level < 1 for level in quantiles):
            expected = "levels between 0 and 1"
            raise UserError("task.quantiles", expected, str(list(quantiles)), fix="task.quantiles=[0.1,0.5,0.9]")
        if samples < 1:
            raise UserError("task.samples", "1 or more", str(samples), fix="task.samples=100")
        if naive2 is not None and set(naive2) != {"smape", "mase"}:
            fix = "task.naive2={smape: 18.383, mase: 2.395}"
            raise UserError("task.naive2", "smape and mase", str(dict(naive2)), fix=fix)
        self.season = season
        self.channels = list(channels)
        self.units = units
        self.levels = [level for level in quantiles if model.output.provides([level])]  # type: ignore[union-attr, operator]
        self.samples = samples
        self.seed = seed
        self.ets = ets
        self.naive2 = naive2
        horizon: int = model.horizon  # type: ignore[assignment]
        self.loss_means: Any = nn.ModuleDict({"val": Mean(), "test": Mean()})
        self.measured: Any = nn.ModuleDict({"val": ForecastMetrics(horizon), "test": ForecastMetrics(horizon)})
        self.baselines: Any = Baselines(horizon, season, with_ets=ets)
        self._report_text = ""

    def setup(self, stage: str) -> None:
        self.check_data(getattr(self.trainer, "datamodule", None))

    def check_data(self, data: Any) -> None:
        support = self.model.output.support
        if support is not None and hasattr(data, "require"):
            data.require(support)

    def training_step(self, batch: SequenceBatch, batch_idx: int) -> Tensor:
        outputs, targets = self.model.teacher_forced(batch.inputs, batch.targets, lengths=batch.lengths)
        return mean_loss(self.model.output, outputs, targets)[0]

    def run_model(self, model: Any, batch: SequenceBatch, state: Any = None) -> Any:
        return model.teacher_forced(batch.inputs, batch.targets, lengths=batch.lengths)

    def step_loss(self, outputs: Any, batch: SequenceBatch, *, first: bool = False) -> Tensor:
        parameters, values = outputs
        if values.shape != batch.targets.shape:  # each step of past and horizon is foreseen from the one before
            horizon = batch.targets.shape[1]
            ends = None if batch.lengths is None else batch.lengths + horizon
            values = only_step(values, ends, first=first)
        return mean_loss(self.model.output, parameters, values)[0]

    def loss(self, outputs: Parameters, batch: SequenceBatch) -> Tensor:
        return mean_loss(self.model.output, outputs, batch.targets)[0]

    def update_metrics(self, batch: SequenceBatch, stage: str) -> None:
        targets_BHC = batch.targets
        levels = sorted({0.5, *(level for pair in COVERAGES.values() for level in pair)})
        parameters, _ = self.model.teacher_forced_horizon(batch.inputs, targets_BHC, lengths=batch.lengths)
        summary = self._predictive(batch, levels, parameters)
        # the loss of a poor forecast can overflow float32
        in_full = parameters._replace(raw=widened(parameters.raw))
        self.loss_means[stage].update(*mean_loss(self.model.output, in_full, targets_BHC))
        terms, targets = self._errors(summary.mean, summary.median, batch)
        if summary.quantiles is not None:
            known_BHC = targets.counts
            by_level = dict(zip(levels, summary.quantiles, strict=True))
            terms["crps"] = Term(summary.crps(targets_BHC) * self._unit(batch), known_BHC)
            for name, (low, high) in COVERAGES.items():
                within_BHC = (by_level[low] <= targets_BHC) & (targets_BHC <= by_level[high])
                terms[name] = Term(within_BHC.float(), known_BHC)
        self.measured[stage].update(terms, targets)
        if stage == "test":
            for name, metrics in self.baselines.items():
                value_BHC = self.baselines.forecast(name, batch)
                metrics.update(*self._errors(value_BHC, value_BHC, batch))

    def compute_metrics(self, stage: str) -> dict[str, float]:
        loss = float(self.loss_means[stage].compute())
        self.loss_means[stage].reset()
        found = self._named(self.measured[stage])
        if stage == "test":
            self._report_text = report(self.measured[stage], self.baselines, self._named)
            for metrics in self.baselines.values():
                metrics.reset()
        self.measured[stage].reset()
        return {"loss": loss, **found}

    def metric_names(self) -> list[str]:
        levels = [level for pair in COVERAGES.values() for level in pair]
        lacking = {*(() if self.model.output.provides(levels) else ("crps", *COVERAGES))}
        lacking |= {"owa"} if self.naive2 is None else set()
        return [name.replace("*", str(self.model.horizon)) for name in self.metrics if name not in lacking]

    def report(self) -> str:
        return self._report_text

    @torch.no_grad()
    def forecast(self, batch: SequenceBatch, levels: Sequence[float]) -> tuple[Tensor, Tensor | None]:
        """Returns mean [B, H, C] and quantiles [Q, B, H, C], or None without quantiles, in the units of the file."""
        summary = self._predictive(batch, levels)
        extra = _extra(batch)
        location_B1C, scale_B1C = (widened(x)[:, None] for x in (extra.location, extra.scale))
        quantiles = None if summary.quantiles is None else location_B1C + scale_B1C * summary.quantiles
        return location_B1C + scale_B1C * summary.mean, quantiles

    def predict(self, batch: SequenceBatch) -> list[ForecastPrediction]:
        mean_BHC, quantiles_QBHC = self.forecast(batch, self.levels)
        means = mean_BHC.tolist()
        found = [[]] * len(means) if quantiles_QBHC is None else quantiles_QBHC.transpose(0, 1).tolist()
        return [
            ForecastPrediction(mean, dict(zip(self.levels, quantiles, strict=False)))
            for mean, quantiles in zip(means, found, strict=True)
        ]

    def _predictive(
        self, batch: SequenceBatch, levels: Sequence[float], parameters: Parameters | None = None
    ) -> PredictiveSummary:
        return predictive(self.model, batch, levels, samples=self.samples, seed=self.seed, parameters=parameters)

    def _errors(self, mean_BHC: Tensor, median_BHC: Tensor, batch: SequenceBatch) -> tuple[dict[str, Term], Term]:
        """Returns the error terms of point forecasts in the units of the batch, and the targets."""
        extra = _extra(batch)
        units = extra.location, extra.scale, extra.seasonal_error
        return error_terms(mean_BHC, median_BHC, batch.targets, *units, in_file=self.units == "file")

    def _unit(self, batch: SequenceBatch) -> Tensor | float:
        return 1.0 if self.units == "scaled" else widened(_extra(batch).scale[:, None])

    def _named(self, metrics: ForecastMetrics) -> dict[str, float]:
        named = metrics.named()
        if self.naive2 is not None and {"smape", "mase"} <= named.keys():
            named["owa"] = sum(named[name] / self.naive2[name] for name in ("smape", "mase")) / 2
        return named


def _extra(batch: SequenceBatch) -> ForecastExtra:
    """Returns the units of a batch; a batch without them is in the units of the file."""
    return ForecastExtra.of(batch.inputs.past) if batch.extra is None else batch.extra  # type: ignore[no-any-return]
