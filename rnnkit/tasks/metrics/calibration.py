"""Calibration of predicted probabilities."""

import torch.nn.functional as F
from torch import Tensor

BINS = 15


def expected_calibration_error(confidence_N: Tensor, correct_N: Tensor, weights_RN: Tensor) -> Tensor:
    r"""Returns the mean gap between confidence and accuracy over bins of confidence (Guo et al. 2017,
    arXiv:1706.04599).

    .. math:: \mathrm{ECE} = \sum_b \frac{n_b}{N} \, |\mathrm{accuracy}_b - \mathrm{confidence}_b|

    There are 15 bins of equal width. Confidence is the probability of the predicted class. `weights_RN` [R, N] are the
    weights of the sequences; the result has shape [R].

    >>> import torch
    >>> confidence_N, correct_N = torch.tensor([0.8] * 5), torch.tensor([True, True, True, True, False])
    >>> float(expected_calibration_error(confidence_N, correct_N, torch.ones(1, 5)).round(decimals=4))
    0.0
    """
    place_N = (confidence_N * BINS).ceil().long().clamp(1, BINS) - 1
    gap_NB = F.one_hot(place_N, BINS) * (correct_N.double() - confidence_N.double())[:, None]
    weights_RN = weights_RN.double()
    return (weights_RN @ gap_NB).abs().sum(dim=1) / weights_RN.sum(dim=1)
