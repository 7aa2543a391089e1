"""The negative binomial distribution, for counts."""

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Gamma
from torch.nn.functional import softplus

from rnnkit.models.forecasting.distributions.drawing import drawing_from
from rnnkit.models.forecasting.distributions.output import Output, precision
from rnnkit.models.forecasting.parameters import Parameters
from rnnkit.precision import widened
from rnnkit.support import Support

SMALLEST = 1e-4
"""The least mean and dispersion, so that logarithms stay finite."""
MOST = 10**9
"""The largest count whose likelihood float64 holds to five decimals."""


class NegativeBinomial(Output):
    r"""Mean and dispersion of a count, by the negative log-likelihood in nats (Salinas et al. 2020, arXiv:1704.04110).

    .. math::
        p(x) = \frac{\Gamma(x + 1/\alpha)}{x! \, \Gamma(1/\alpha)}
               \left( \frac{1}{1 + \alpha \mu} \right)^{1/\alpha} \left( \frac{\alpha \mu}{1 + \alpha \mu} \right)^x,
        \qquad \mu = s \, \mathrm{softplus}(r_1), \quad \alpha = \mathrm{softplus}(r_2) / \sqrt{s}

    The variance is :math:`\mu + \alpha \mu^2`. Data must be counts as they are (`data.scaling=none`), and windows may
    be scaled by their mean alone, which keeps zero where it is; `output=negative_binomial` sees to both. Counts of more
    than 1,000,000,000 are refused. Quantiles and the continuous ranked probability score are taken from samples.

    >>> parameters = Parameters(torch.zeros(1, 1, 1, 2), location=torch.zeros(1, 1), scale=torch.ones(1, 1))
    >>> round(NegativeBinomial().mean(parameters).item(), 4)
    0.6932
    """

    size = 2
    scalings = ("none", "mean")
    support = Support(
        f"counts, whole numbers from 0 to {MOST:,}",
        lambda values: (values >= 0) & (values <= MOST) & (values == np.floor(values)),
        scalings=("none",),
        fix="output=student_t",
    )

    def loss(self, parameters: Parameters, targets_BNC: Tensor) -> Tensor:
        mean_BNC, alpha_BNC = self._of(parameters)
        count_BNC, shape_BNC = widened(targets_BNC), 1 / alpha_BNC
        ratio_BNC = alpha_BNC * mean_BNC
        choices_BNC = torch.lgamma(count_BNC + shape_BNC) - torch.lgamma(count_BNC + 1) - torch.lgamma(shape_BNC)
        rest_BNC = shape_BNC * torch.log1p(ratio_BNC) + count_BNC * (torch.log1p(ratio_BNC) - torch.log(ratio_BNC))
        return (rest_BNC - choices_BNC).to(precision(parameters))

    def mean(self, parameters: Parameters) -> Tensor:
        return self._of(parameters)[0]

    def sample(self, parameters: Parameters, samples: int, generator: torch.Generator | None = None) -> Tensor:
        mean_BNC, alpha_BNC = self._of(parameters)
        dtype = precision(parameters)
        # a Poisson variable whose rate has a gamma distribution
        shape_BNC = (1 / alpha_BNC).to(dtype)
        gamma = Gamma(shape_BNC, torch.ones_like(shape_BNC), validate_args=False)
        with drawing_from(generator):
            rate = gamma.sample(torch.Size([samples])) * (alpha_BNC * mean_BNC).to(dtype)
        # torch draws from no rate that is not finite; what a diverged model says must reach whoever watches the numbers
        drawn = torch.poisson(torch.where(rate.isfinite(), rate, 0.0), generator=generator)
        return torch.where(rate.isfinite(), drawn, torch.nan).to(mean_BNC.dtype)

    def _of(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        # float64, because the logarithms of the gamma function of large counts nearly cancel
        raw, scale_B1C = widened(parameters.raw), widened(parameters.scale)[:, None]
        mean_BNC = scale_B1C * (softplus(raw[..., 0]) + SMALLEST)
        return mean_BNC, (softplus(raw[..., 1]) + SMALLEST) / scale_B1C.sqrt()
