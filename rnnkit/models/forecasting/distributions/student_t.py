"""Student's t distribution, whose heavy tails are robust against outliers."""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from rnnkit.models.forecasting.distributions.gaussian import NARROWEST
from rnnkit.models.forecasting.distributions.output import Output, located, log_scale, raw, standardized
from rnnkit.models.forecasting.parameters import Parameters


class StudentT(Output):
    r"""Student's t distribution, trained by the negative log-likelihood in nats.

    .. math::
        L = \tfrac{\nu + 1}{2} \ln \left( 1 + \tfrac{z^2}{\nu} \right) + \ln \sigma + \tfrac{1}{2} \ln (\nu \pi)
            + \ln \Gamma(\tfrac{\nu}{2}) - \ln \Gamma(\tfrac{\nu + 1}{2}), \qquad z = (x - \mu) / \sigma

    .. math::
        \mu = m + s \, r_1, \quad \sigma = s \, (\mathrm{softplus}(r_2) + 10^{-3}), \quad
        \nu = 2 + \mathrm{softplus}(r_3)

    With more than two degrees of freedom, the variance exists. Quantiles and the continuous ranked probability score
    are computed from samples.

    >>> parameters = Parameters(torch.zeros(1, 1, 1, 3), location=torch.zeros(1, 1), scale=torch.ones(1, 1))
    >>> StudentT().sample(parameters, 5).shape
    torch.Size([5, 1, 1, 1])
    """

    size = 3

    def loss(self, parameters: Parameters, targets_BNC: Tensor) -> Tensor:
        middle_BNC, spread_BNC, freedom_BNC = self._of(parameters)
        z_BNC = (standardized(parameters, targets_BNC) - middle_BNC) / spread_BNC
        tail_BNC = 0.5 * (freedom_BNC + 1) * torch.log1p(z_BNC.square() / freedom_BNC)
        constant_BNC = torch.lgamma(freedom_BNC / 2) - torch.lgamma((freedom_BNC + 1) / 2)
        log_spread_BNC = spread_BNC.log() + log_scale(parameters)
        return tail_BNC + log_spread_BNC + 0.5 * torch.log(freedom_BNC * math.pi) + constant_BNC

    def mean(self, parameters: Parameters) -> Tensor:
        return located(parameters, raw(parameters, 0))

    def sample(self, parameters: Parameters, samples: int, generator: torch.Generator | None = None) -> Tensor:
        middle_BNC, spread_BNC, freedom_BNC = self._of(parameters)
        shape = (2, samples, *middle_BNC.shape)
        u, v = torch.rand(shape, generator=generator, device=middle_BNC.device, dtype=middle_BNC.dtype)
        # polar method (Bailey 1994): exact for any degrees of freedom; 1 - u because u can be 0
        radius = (freedom_BNC * torch.expm1(-2 / freedom_BNC * torch.log1p(-u))).sqrt()
        return located(parameters, middle_BNC + spread_BNC * radius * torch.cos(2 * math.pi * v))

    def _of(self, parameters: Parameters) -> tuple[Tensor, Tensor, Tensor]:
        """Return location, scale and degrees of freedom, the first two on the scale of the window."""
        return raw(parameters, 0), softplus(raw(parameters, 1)) + NARROWEST, 2 + softplus(raw(parameters, 2))
