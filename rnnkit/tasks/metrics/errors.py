"""The figures of regression, from sums over each sequence, for resamples of a split as well as for the split."""

import torch
from torch import Tensor

from rnnkit.tasks.metrics.gathered import widened


def error_sums(predicted_BT: Tensor, truth_BT: Tensor) -> Tensor:
    """What the figures need of each sequence [B, 5]: the count of known values, and the sums of the absolute errors, of
    the squared errors, of the values and of their squares. NaN in the truth is unknown.

    >>> error_sums(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, torch.nan]])).tolist()
    [[1.0, 2.0, 4.0, 3.0, 9.0]]
    """
    known_BT = ~truth_BT.isnan()
    truth_BT = widened(truth_BT)
    difference_BT = widened(predicted_BT) - truth_BT
    terms = (widened(known_BT), difference_BT.abs(), difference_BT.square(), truth_BT, truth_BT.square())
    return torch.stack([term_BT.masked_fill(~known_BT, 0).sum(dim=1) for term_BT in terms], dim=1)


def error_figures(sums_N5: Tensor, weights_RN: Tensor) -> dict[str, Tensor]:
    r"""RMSE, MAE and R² [R] for weights [R, N], how often each sequence counts.

    .. math::
        \sqrt{\tfrac{1}{n} \sum (\hat y - y)^2}, \qquad \tfrac{1}{n} \sum |\hat y - y|, \qquad
        1 - \frac{\sum (\hat y - y)^2}{\sum (y - \bar y)^2}

    >>> sums_N5 = error_sums(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [4.0]]))
    >>> {name: round(float(value), 4) for name, value in error_figures(sums_N5, torch.ones(1, 2)).items()}
    {'rmse': 1.4142, 'mae': 1.0, 'r2': 0.1111}
    """
    count_R, absolute_R, squared_R, value_R, square_R = (weights_RN.double() @ sums_N5).unbind(dim=1)
    spread_R = square_R - value_R.square() / count_R
    return {
        "rmse": (squared_R / count_R).sqrt(),
        "mae": absolute_R / count_R,
        "r2": 1 - squared_R / spread_R,
    }


def phm_penalty(predicted: Tensor, truth: Tensor) -> Tensor:
    r"""What a wrong remaining life costs: late predictions more than early ones (Saxena et al. 2008, the PHM08
    challenge, whose score is the sum over all engines).

    .. math:: d = \hat y - y, \qquad s(d) = e^{-d / 13} - 1 \;\text{for}\; d < 0, \quad e^{d / 10} - 1 \;\text{else}

    >>> phm_penalty(torch.tensor([100.0, 126.0, 150.0]), torch.tensor([113.0, 126.0, 140.0]))
    tensor([1.7183, 0.0000, 1.7183])
    """
    late = predicted - truth
    return torch.where(late < 0, -late / 13, late / 10).expm1()
