"""Forecast metrics, as sums over windows and channels for each step of the horizon."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from rnnkit.precision import widened

TERMS = ("squared", "absolute", "smape", "scaled", "crps", "coverage80", "coverage95")
COVERAGES = {"coverage80": (0.1, 0.9), "coverage95": (0.025, 0.975)}
"""The quantile levels of each interval; its name states the nominal coverage in percent."""
FROM = {"mse": "squared", "mae": "absolute", "mase": "scaled", "rse": "squared"}
"""The term that a metric is computed from, if it has another name."""


class ForecastMetrics(Metric):
    r"""MSE, MAE, sMAPE, MASE, RSE, NRMSE, CRPS and the coverage of intervals, over all known targets of a split.

    .. math::
        \mathrm{sMAPE} = \overline{\frac{200 \, |\hat x - x|}{|\hat x| + |x|}}, \qquad
        \mathrm{MASE} = \overline{|\hat x - x| / q}, \qquad
        \mathrm{RSE} = \sqrt{\frac{\sum (\hat x - x)^2}{\sum (x - \bar x)^2}}

    q is the mean absolute seasonal difference of the training values (Hyndman & Koehler 2006). Values whose q is zero
    or unknown are left out of MASE. The mean of the targets in RSE is taken over all channels (Lai et al. 2018,
    arXiv:1703.07015). RSE at the last step H alone is called :math:`\mathrm{NRMSE}_H` in the literature on echo-state
    networks. sMAPE is 0 if both the forecast and the value are 0.

    A metric without a value, such as MASE of constant series, is NaN.

    Args:
        horizon: H.

    >>> metrics = ForecastMetrics(horizon=1)
    >>> truth, one = torch.tensor([[[1.0]], [[3.0]]]), torch.ones(2, 1)
    >>> metrics.update(*error_terms(truth + 1, truth + 1, truth, 0 * one, one, 2 * one))
    >>> {name: round(value, 3) for name, value in metrics.named().items()}
    {'mse': 1.0, 'mae': 1.0, 'smape': 47.619, 'mase': 0.5, 'rse': 1.0, 'nrmse1': 1.0}
    """

    full_state_update = False
    sums: Tensor
    counts: Tensor
    targets: Tensor

    def __init__(self, horizon: int) -> None:
        super().__init__()
        self.horizon = horizon
        self.seen: set[str] = set()
        """The names of the terms in the updates since the last reset."""
        # float64: there are millions of terms
        self.add_state("sums", torch.zeros(len(TERMS), horizon, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(len(TERMS), horizon, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("targets", torch.zeros(4, horizon, dtype=torch.float64), dist_reduce_fx=_merged)

    def update(self, terms: "Mapping[str, Term]", targets: "Term") -> None:
        """Adds the terms of a batch, and its targets in the units of the metrics."""
        for name, (value_BHC, counts_BHC) in terms.items():
            self.seen.add(name)
            place = TERMS.index(name)
            self.sums[place] += widened(value_BHC).masked_fill(~counts_BHC, 0).sum((0, 2))
            self.counts[place] += counts_BHC.sum((0, 2))
        self.targets = _merged(torch.stack([self.targets, _moments(*targets)]))

    def reset(self) -> None:
        super().reset()
        self.seen.clear()

    def compute(self) -> dict[str, Tensor]:
        """Returns each metric [H + 1]: at each step, then over all steps; NaN where no value is known."""
        sums = torch.cat([self.sums, self.sums.sum(1, keepdim=True)], 1).cpu()
        counts = torch.cat([self.counts, self.counts.sum(1, keepdim=True)], 1).cpu()
        mean = dict(zip(TERMS, sums / counts, strict=True))
        targets = self.targets.cpu()
        number, _, _, spread = torch.cat([targets, _merged(targets.T[..., None])], 1)
        variance = (spread / number).masked_fill(spread == 0, torch.nan)
        return {
            "mse": mean["squared"],
            "mae": mean["absolute"],
            "smape": mean["smape"],
            "mase": mean["scaled"],
            "rse": (mean["squared"] / variance).sqrt(),
            **{name: mean[name] for name in ("crps", *COVERAGES)},
        }

    def named(self) -> dict[str, float]:
        """Returns the metrics over all steps, by name, for the terms in the updates, and `nrmse` at the last step."""
        found = self.compute()
        named = {name: float(value[-1]) for name, value in found.items() if FROM.get(name, name) in self.seen}
        if "rse" in named:
            named[f"nrmse{self.horizon}"] = float(found["rse"][-2])
        return named


class Term(NamedTuple):
    """Values [B, H, C] and a mask of those that count; a metric is computed from their mean."""

    value: Tensor
    counts: Tensor


def error_terms(
    mean: Tensor,
    median: Tensor,
    targets: Tensor,
    location: Tensor,
    scale: Tensor,
    seasonal: Tensor,
    *,
    in_file: bool = True,
) -> tuple[dict[str, Term], Term]:
    """Returns the error terms of point forecasts, and the targets, for `ForecastMetrics.update`.

    Squared errors are those of the mean, absolute errors those of the median. An error in the units of the file is the
    scale times an error in the units of the batch, which is exact for series far from zero.

    Args:
        mean: [B, H, C], in the units of the batch.
        median: [B, H, C], in the units of the batch.
        targets: [B, H, C], in the units of the batch; NaN is ignored.
        location: [B, C]; a value x of the batch is location + scale * x in the units of the file.
        scale: [B, C].
        seasonal: [B, C], the mean absolute seasonal difference, in the units of the batch.
        in_file: compute the metrics in the units of the file if True, else in those of the batch.
    """
    mean, median, targets = widened(mean), widened(median), widened(targets)
    location_B1C, scale_B1C, seasonal_B1C = (widened(x)[:, None] for x in (location, scale, seasonal))
    known = ~targets.isnan()
    unit = scale_B1C if in_file else torch.ones_like(scale_B1C)
    absolute = (median - targets).abs()
    targets_in_file = location_B1C + scale_B1C * targets
    size = (location_B1C + scale_B1C * median).abs() + targets_in_file.abs()
    terms = {
        "squared": Term((unit * (mean - targets)).square(), known),
        "absolute": Term(unit * absolute, known),
        "smape": Term((200 * (scale_B1C * absolute / size)).masked_fill(size == 0, 0), known),
        "scaled": Term(absolute / seasonal_B1C, known & (seasonal_B1C > 0)),
    }
    return terms, Term(targets_in_file if in_file else targets, known)


def _moments(value_BHC: Tensor, counts_BHC: Tensor) -> Tensor:
    """Returns [4, H]: for each step the number of values, a reference value, the deviation of the mean from it, and the
    sum of squared deviations from the mean.

    The mean is stored in two parts because their sum would be rounded to the precision of the level, which can be as
    coarse as the spread.
    """
    number_H = counts_BHC.sum((0, 2)).to(value_BHC.dtype)
    one_H = value_BHC.masked_fill(~counts_BHC, -torch.inf).amax((0, 2)).masked_fill(number_H == 0, 0)
    apart_BHC = (value_BHC - one_H[:, None]).masked_fill(~counts_BHC, 0)
    mean_H = apart_BHC.sum((0, 2)) / number_H.clamp(min=1)
    spread_H = (apart_BHC - mean_H[:, None]).masked_fill(~counts_BHC, 0).square().sum((0, 2))
    return torch.stack([number_H, one_H, mean_H, spread_H])


def _merged(moments_N4H: Tensor) -> Tensor:
    """Merges the moments of N sets of values into those of one set [4, H] (Chan et al. 1979), without cancellation."""
    number_NH, one_NH, mean_NH, spread_NH = moments_N4H.unbind(1)
    number_H = number_NH.sum(0)
    one_H = one_NH.masked_fill(number_NH == 0, -torch.inf).amax(0).masked_fill(number_H == 0, 0)
    apart_NH = torch.where(number_NH > 0, one_NH - one_H + mean_NH, 0)
    mean_H = (number_NH * apart_NH).sum(0) / number_H.clamp(min=1)
    spread_H = spread_NH.sum(0) + (number_NH * (apart_NH - mean_H).square()).sum(0)
    return torch.stack([number_H, one_H, mean_H, spread_H])
