"""Units whose value follows a feature of the input, with the p-value of a permutation test."""

from typing import NamedTuple

import torch
from torch import Tensor

from rnnkit.errors import UserError

SHIFTS = 199
"""The number of circular shifts of a feature that it is compared with."""


class Match(NamedTuple):
    """The unit that follows a feature best.

    Args:
        feature: the name of the feature.
        unit: the index of the unit.
        correlation: Pearson's r of the two over the steps.
        p_value: the share of shifted copies of the feature, the feature included, for which the best of all units is
            as good: the choice among many units is accounted for.
    """

    feature: str
    unit: int
    correlation: float
    p_value: float


def match_units(units_TS: Tensor, features_TF: Tensor, names: list[str], *, shifts: int = SHIFTS) -> list[Match]:
    """Return the best unit for each feature, by the absolute correlation; features that are constant are left out.

    The permutations are circular shifts, at least a tenth of the steps long, which keep the autocorrelation of the
    feature.

    Args:
        units_TS: the values of S units over T steps.
        features_TF: the values of F features.
        names: their names.
        shifts: the number of shifts.

    Raises:
        UserError: if the numbers of steps differ or are below 20, or the names do not fit.

    >>> feature = (torch.arange(200) % 7 < 3).float()[:, None]
    >>> noise = torch.randn(200, 4)
    >>> (match,) = match_units(torch.cat([noise, feature + 0.1 * noise[:, :1]], dim=1), feature, ["phase"])
    >>> match.unit, round(abs(match.correlation), 1)
    (4, 1.0)
    """
    T = len(units_TS)
    if len(features_TF) != T or T < 20:
        got = f"{T} and {len(features_TF)}"
        raise UserError("features", "one value for each of 20 steps or more", got, fix="features of the same input")
    if features_TF.shape[1] != len(names):
        raise UserError("names", f"{features_TF.shape[1]} names", str(len(names)), fix="one name for each feature")
    units = _standardized(units_TS.double())
    features = _standardized(features_TF.double())
    generator = torch.Generator().manual_seed(0)
    offsets = torch.randint(T // 10, T - T // 10 + 1, (shifts,), generator=generator).tolist()
    found = []
    for index, name in enumerate(names):
        feature_T = features[:, index]
        if not bool(feature_T.any()):
            continue
        correlations_S = units.T @ feature_T / T
        best = int(correlations_S.abs().argmax())
        shifted_TN = torch.stack([feature_T.roll(offset) for offset in offsets], dim=1)
        null_N = (units.T @ shifted_TN / T).abs().amax(0)
        strength = correlations_S[best].abs()
        p_value = (1 + int((null_N >= strength).sum())) / (1 + shifts)
        found.append(Match(name, best, float(correlations_S[best]), p_value))
    return found


def ranked_units(values_TS: Tensor, count: int) -> list[int]:
    """Return the units that explain most of the variance of all units, each standardized, one after the other.

    The next unit is the one that explains most of what the earlier ones leave, by linear regression. The size of a unit
    plays no role.

    >>> slow, fast = torch.linspace(0, 1, 50), torch.arange(50.0) % 2
    >>> ranked_units(torch.stack([1e-3 * slow, slow, slow, 100 * fast], dim=1), 2)
    [0, 3]
    """
    rest_TS = _standardized(values_TS.double())
    chosen: list[int] = []
    for _ in range(min(count, values_TS.shape[1])):
        gram_SS = rest_TS.T @ rest_TS
        own_S = gram_SS.diagonal()
        explained_S = gram_SS.square().sum(0) / own_S.clamp(min=1e-9 * len(values_TS))
        explained_S[chosen] = -1
        best = int(explained_S.argmax())
        chosen.append(best)
        unit_T = rest_TS[:, best]
        rest_TS = rest_TS - unit_T[:, None] * (unit_T @ rest_TS) / own_S[best].clamp(min=1e-9 * len(values_TS))
    return chosen


def _standardized(values: Tensor) -> Tensor:
    """Return values of mean 0 and variance 1 over the steps; 0 for constants."""
    centered = values - values.mean(0)
    spread = centered.square().mean(0).sqrt()
    # rounding leaves a spread in constants
    is_constant = spread <= 1e-9 * values.abs().amax(0).clamp(min=1e-30)
    return torch.where(is_constant, 0, centered / torch.where(is_constant, 1, spread))
