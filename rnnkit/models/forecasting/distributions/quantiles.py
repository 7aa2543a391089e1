"""Quantiles, trained by the pinball loss."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import MinLen
from torch import Tensor

from rnnkit.errors import UserError
from rnnkit.models.forecasting.distributions.output import Output, located, precision, scale_of, standardized
from rnnkit.models.forecasting.parameters import Parameters
from rnnkit.ranges import Level


class Quantiles(Output):
    r"""Quantiles of given levels (Koenker & Bassett 1978), without an assumption about the distribution.

    .. math::
        L = \frac{2}{Q} \sum_q \max(q (x - \hat x_q), (q - 1) (x - \hat x_q))

    The loss approximates the continuous ranked probability score, and is reported as that score. Quantiles in the wrong
    order are sorted when they are requested (Chernozhukov et al. 2010). The median is used as the mean. Quantiles
    between levels are interpolated linearly.

    Raises:
        UserError: if a level is not in (0, 1), or the median is missing.

    >>> output = Quantiles([0.1, 0.5, 0.9])
    >>> raw = torch.tensor([1.0, 0.0, 2.0]).view(1, 1, 1, 3)
    >>> parameters = Parameters(raw, location=torch.zeros(1, 1), scale=torch.ones(1, 1))
    >>> output.quantiles(parameters, [0.1, 0.7]).flatten().tolist()
    [0.0, 1.5]
    """

    def __init__(
        self, levels: Annotated[Sequence[Level], MinLen(1)] = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
    ) -> None:
        self.levels = sorted(set(levels))
        if not self.levels or not 0 < self.levels[0] <= self.levels[-1] < 1 or 0.5 not in self.levels:
            expected = "levels between 0 and 1, including 0.5"
            raise UserError("output.levels", expected, str(list(levels)), fix="output.levels=[0.1,0.5,0.9]")
        self.size = self.num_location_parameters = len(self.levels)

    def loss(self, parameters: Parameters, targets_BNC: Tensor) -> Tensor:
        return self._pinball(parameters.raw.to(precision(parameters)), parameters, targets_BNC)

    def mean(self, parameters: Parameters) -> Tensor:
        return self.quantiles(parameters, [0.5])[0]

    def sample(self, parameters: Parameters, samples: int, generator: torch.Generator | None = None) -> Tensor:
        raise UserError(
            "output",
            "a distribution that can be sampled step by step",
            "Quantiles",
            fix="output=student_t, or model=direct_forecaster",
        )

    def provides(self, levels: Annotated[Sequence[Level], MinLen(1)]) -> bool:
        return all(self.levels[0] <= level <= self.levels[-1] for level in levels)

    def quantiles(
        self,
        parameters: Parameters,
        levels: Annotated[Sequence[Level], MinLen(1)],
        generator: torch.Generator | None = None,
    ) -> Tensor:
        values_BNCQ = parameters.raw.to(precision(parameters)).sort(-1).values
        found = []
        for level in levels:
            high = min(bisect_right(self.levels, level), self.size - 1)
            low = max(high - 1, 0)
            part = (level - self.levels[low]) / (self.levels[high] - self.levels[low]) if high > low else 0.0
            found.append(torch.lerp(values_BNCQ[..., low], values_BNCQ[..., high], part))
        return located(parameters, torch.stack(found))

    def crps(self, parameters: Parameters, targets_BNC: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self._pinball(parameters.raw.to(precision(parameters)).sort(-1).values, parameters, targets_BNC)

    def _pinball(self, z_BNCQ: Tensor, parameters: Parameters, targets_BNC: Tensor) -> Tensor:
        below_BNCQ = standardized(parameters, targets_BNC)[..., None] - z_BNCQ
        levels_Q = below_BNCQ.new_tensor(self.levels)
        loss_BNC = 2 * torch.maximum(levels_Q * below_BNCQ, (levels_Q - 1) * below_BNCQ).mean(-1)
        return scale_of(parameters) * loss_BNC
