"""The figures of forecasts, as sums over windows and channels, step by step of the horizon."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torchmetrics import Metric

TERMS = ("squared", "absolute", "smape", "scaled", "target", "target_squared", "crps", "coverage80", "coverage95")
COVERAGES = {"coverage80": (0.1, 0.9), "coverage95": (0.025, 0.975)}
"""The levels of the quantiles between which values should lie as often as the name says, in percent."""


class ForecastFigures(Metric):
    r"""MSE, MAE, sMAPE, MASE, RSE, NRMSE, CRPS and the coverage of intervals, over all known targets of a split.

    .. math::
        \mathrm{sMAPE} = \overline{\frac{200 \, |\hat x - x|}{|\hat x| + |x|}}, \qquad
        \mathrm{MASE} = \overline{|\hat x - x| / q}, \qquad
        \mathrm{RSE} = \sqrt{\frac{\sum (\hat x - x)^2}{\sum (x - \bar x)^2}}

    q is the mean absolute seasonal difference of the training values (Hyndman & Koehler 2006); where it is zero or
    unknown, a value does not count for MASE. The target mean in RSE is that of all channels together (Lai et al. 2018,
    arXiv:1703.07015). RSE at the last step alone, H, is also what the literature on echo-state networks calls
    :math:`\mathrm{NRMSE}_H`. sMAPE is 0 where forecast and value are.

    Args:
        horizon: H.

    >>> figures = ForecastFigures(horizon=1)
    >>> truth = torch.tensor([[[1.0]], [[3.0]]])
    >>> figures.update(error_terms(truth + 1, truth + 1, truth, truth + 1, truth, torch.tensor([[2.0], [2.0]])))
    >>> {name: round(value, 3) for name, value in figures.named().items()}
    {'mse': 1.0, 'mae': 1.0, 'smape': 47.619, 'mase': 0.5, 'rse': 1.0, 'nrmse1': 1.0}
    """

    full_state_update = False
    sums: Tensor
    counts: Tensor

    def __init__(self, horizon: int) -> None:
        super().__init__()
        self.horizon = horizon
        # in double precision: millions of terms, and a variance from a sum of squares
        self.add_state("sums", torch.zeros(len(TERMS), horizon, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(len(TERMS), horizon, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, terms: Mapping[str, Tensor]) -> None:
        """Takes in the terms [B, H, C] of a batch; NaN does not count."""
        for name, term_BHC in terms.items():
            known_BHC = ~term_BHC.isnan()
            self.sums[TERMS.index(name)] += term_BHC.double().masked_fill(~known_BHC, 0).sum((0, 2))
            self.counts[TERMS.index(name)] += known_BHC.double().sum((0, 2))

    def compute(self) -> dict[str, Tensor]:
        """Each figure at each step [H], the last entry over all steps [H + 1]; NaN where nothing counted."""
        sums = torch.cat([self.sums, self.sums.sum(1, keepdim=True)], 1).cpu()
        counts = torch.cat([self.counts, self.counts.sum(1, keepdim=True)], 1).cpu()
        mean = dict(zip(TERMS, sums / counts, strict=True))
        variance = mean["target_squared"] - mean["target"].square()
        return {
            "mse": mean["squared"],
            "mae": mean["absolute"],
            "smape": mean["smape"],
            "mase": mean["scaled"],
            "rse": (mean["squared"] / variance).sqrt(),
            **{name: mean[name] for name in ("crps", *COVERAGES)},
        }

    def named(self) -> dict[str, float]:
        """The figures over all steps by name, those that are known, and `nrmse` with the number of the last step."""
        found = self.compute()
        named = {name: float(value[-1]) for name, value in found.items() if not bool(value[-1].isnan())}
        if "rse" in named:
            named[f"nrmse{self.horizon}"] = float(found["rse"][-2])
        return named


def error_terms(
    mean: Tensor, median: Tensor, targets: Tensor, median_in_file: Tensor, targets_in_file: Tensor, seasonal: Tensor
) -> dict[str, Tensor]:
    """The terms [B, H, C] of point forecasts: the mean is judged by squared, the median by absolute errors.

    * `mean`, `median`, `targets`: [B, H, C] in the units of the figures.
    * `median_in_file`, `targets_in_file`: the same in the units of the file, for percentages.
    * `seasonal`: [B, C], the mean absolute seasonal difference, in the units of the figures.
    """
    absolute = (median - targets).abs()
    size = median_in_file.abs() + targets_in_file.abs()
    return {
        "squared": (mean - targets).square(),
        "absolute": absolute,
        "smape": (200 * (median_in_file - targets_in_file).abs() / size).masked_fill(size == 0, 0),
        "scaled": absolute / seasonal.masked_fill(~(seasonal > 0), torch.nan)[:, None],
        "target": targets,
        "target_squared": targets.double().square(),
    }
