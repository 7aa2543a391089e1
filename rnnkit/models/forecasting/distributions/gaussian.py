"""The normal distribution."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

from rnnkit.models.forecasting.distributions.output import Output, located, log_scale, raw, scale_of, standardized
from rnnkit.models.forecasting.parameters import Parameters

NARROWEST = 1e-3
"""The smallest standard deviation, as a share of the scale, which bounds the loss of outliers."""


class Gaussian(Output):
    r"""A normal distribution, trained by the negative log-likelihood in nats.

    .. math::
        L = \frac{(x - \mu)^2}{2 \sigma^2} + \ln \sigma + \tfrac{1}{2} \ln 2 \pi, \qquad
        \mu = m + s \, r_1, \quad \sigma = s \, (\mathrm{softplus}(r_2) + 10^{-3})

    The continuous ranked probability score has a closed form (Gneiting & Raftery 2007):

    .. math::
        \sigma \left( z (2 \Phi(z) - 1) + 2 \varphi(z) - \pi^{-1/2} \right), \qquad z = (x - \mu) / \sigma

    >>> parameters = Parameters(torch.zeros(1, 1, 1, 2), location=torch.zeros(1, 1), scale=torch.ones(1, 1))
    >>> Gaussian().quantiles(parameters, [0.5]).item()
    0.0
    """

    size = 2

    def loss(self, parameters: Parameters, targets_BNC: Tensor) -> Tensor:
        mean_BNC, deviation_BNC = self._moments(parameters)
        distance_BNC = (standardized(parameters, targets_BNC) - mean_BNC) / deviation_BNC
        log_deviation_BNC = deviation_BNC.log() + log_scale(parameters)
        return 0.5 * distance_BNC.square() + log_deviation_BNC + 0.5 * math.log(2 * math.pi)

    def mean(self, parameters: Parameters) -> Tensor:
        return located(parameters, raw(parameters, 0))

    def sample(self, parameters: Parameters, samples: int, generator: torch.Generator | None = None) -> Tensor:
        mean_BNC, deviation_BNC = self._moments(parameters)
        noise = torch.randn(
            (samples, *mean_BNC.shape), generator=generator, device=mean_BNC.device, dtype=mean_BNC.dtype
        )
        return located(parameters, mean_BNC + deviation_BNC * noise)

    def quantiles(
        self, parameters: Parameters, levels: Sequence[float], generator: torch.Generator | None = None
    ) -> Tensor:
        mean_BNC, deviation_BNC = self._moments(parameters)
        z_Q: Tensor = torch.special.ndtri(mean_BNC.new_tensor(levels))
        return located(parameters, mean_BNC + deviation_BNC * z_Q.view(-1, 1, 1, 1))

    def crps(self, parameters: Parameters, targets_BNC: Tensor, generator: torch.Generator | None = None) -> Tensor:
        mean_BNC, deviation_BNC = self._moments(parameters)
        z_BNC = (standardized(parameters, targets_BNC) - mean_BNC) / deviation_BNC
        density_BNC = torch.exp(-0.5 * z_BNC.square()) / math.sqrt(2 * math.pi)
        inner_BNC: Tensor = z_BNC * (2 * torch.special.ndtr(z_BNC) - 1) + 2 * density_BNC - 1 / math.sqrt(math.pi)
        return scale_of(parameters) * deviation_BNC * inner_BNC

    def _moments(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation on the scale of the window."""
        return raw(parameters, 0), softplus(raw(parameters, 1)) + NARROWEST
