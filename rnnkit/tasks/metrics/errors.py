"""Regression metrics of a split and of its resamples, computed from sums over each sequence."""

import torch
from torch import Tensor

from rnnkit.precision import widened


def error_sums(predicted_BT: Tensor, truth_BT: Tensor) -> Tensor:
    """Returns the sums over each sequence [B, 5] from which the metrics are computed: the number of known values, the
    sums of the absolute and of the squared errors, the mean of the values and the sum of their squared deviations from
    it. A true value that is NaN is unknown.

    >>> error_sums(torch.tensor([[5.0, 0.0, 6.0]]), torch.tensor([[3.0, torch.nan, 5.0]])).tolist()
    [[2.0, 3.0, 5.0, 4.0, 2.0]]
    """
    known_BT = ~truth_BT.isnan()
    truth_BT = widened(truth_BT)
    error_BT = (widened(predicted_BT) - truth_BT).masked_fill(~known_BT, 0)
    count_B = known_BT.sum(dim=1)
    # relative to one of the values, to avoid cancellation when the level is far above the spread
    first_B = truth_BT.masked_fill(~known_BT, -torch.inf).amax(dim=1).masked_fill(count_B == 0, 0)
    apart_BT = (truth_BT - first_B[:, None]).masked_fill(~known_BT, 0)
    mean_B = apart_BT.sum(dim=1) / count_B.clamp(min=1)
    spread_B = (apart_BT - mean_B[:, None]).masked_fill(~known_BT, 0).square().sum(dim=1)
    absolute_B, squared_B = error_BT.abs().sum(dim=1), error_BT.square().sum(dim=1)
    return torch.stack([widened(count_B), absolute_B, squared_B, first_B + mean_B, spread_B], dim=1)


def error_metrics(sums_N5: Tensor, weights_RN: Tensor) -> dict[str, Tensor]:
    r"""Returns RMSE, MAE and R² [R] for weights [R, N] of the sequences.

    .. math::
        \sqrt{\tfrac{1}{n} \sum (\hat y - y)^2}, \qquad \tfrac{1}{n} \sum |\hat y - y|, \qquad
        1 - \frac{\sum (\hat y - y)^2}{\sum (y - \bar y)^2}

    R² is NaN if all values are equal.

    >>> sums_N5 = error_sums(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [4.0]]))
    >>> {name: round(float(value), 4) for name, value in error_metrics(sums_N5, torch.ones(1, 2)).items()}
    {'rmse': 1.4142, 'mae': 1.0, 'r2': 0.1111}
    """
    count_N, absolute_N, squared_N, mean_N, spread_N = sums_N5.unbind(dim=1)
    # the overall mean is subtracted first: the mean of a resample is then small, which avoids cancellation
    apart_N = mean_N - mean_N[:1]
    apart_N = torch.where(count_N > 0, apart_N - (count_N * apart_N).sum() / count_N.sum(), 0)
    terms_N5 = torch.stack(
        [count_N, absolute_N, squared_N, count_N * apart_N, spread_N + count_N * apart_N.square()], 1
    )
    count_R, absolute_R, squared_R, apart_R, square_R = (weights_RN.double() @ terms_N5).unbind(dim=1)
    spread_R = square_R - apart_R.square() / count_R
    # a resample may consist of one value drawn again and again
    spread_R = spread_R.masked_fill(spread_R <= 1e-12 * square_R, torch.nan)
    return {
        "rmse": (squared_R / count_R).sqrt(),
        "mae": absolute_R / count_R,
        "r2": 1 - squared_R / spread_R,
    }


def phm_penalty(predicted: Tensor, truth: Tensor) -> Tensor:
    r"""Returns the penalty of a predicted remaining life, larger for late than for early predictions (Saxena et al.
    2008, the PHM08 challenge, whose score is the sum over all engines). In float64, because it grows exponentially.

    .. math:: d = \hat y - y, \qquad s(d) = e^{-d / 13} - 1 \;\text{for}\; d < 0, \quad e^{d / 10} - 1 \;\text{else}

    >>> phm_penalty(torch.tensor([100.0, 126.0, 150.0]), torch.tensor([113.0, 126.0, 140.0])).round(decimals=4).tolist()
    [1.7183, 0.0, 1.7183]
    """
    late = widened(predicted) - widened(truth)
    return torch.where(late < 0, -late / 13, late / 10).expm1()
