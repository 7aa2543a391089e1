"""Dropout with one mask for all time steps (Gal and Ghahramani, 2016, arXiv:1512.05287)."""

from torch import Tensor, nn
from torch.nn.functional import dropout

from rnnkit.cells.probability import check_probability


class LockedDropout(nn.Module):
    r"""Drops the same features at every step of a sequence, in training only.

    .. math::
        y_{bti} = \frac{m_{bi}}{1 - p} x_{bti}, \qquad m_{bi} \sim \mathrm{Bernoulli}(1 - p)

    There is one mask [B, 1, I] for all T steps. Noise that changes from step to step would average out over time.

    Raises:
        UserError: if `p` is not in [0, 1).

    >>> import torch
    >>> y_BTI = LockedDropout(0.5)(torch.ones(1, 3, 8))
    >>> torch.equal(y_BTI[:, 0], y_BTI[:, 2])
    True
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        check_probability("p", p)
        self.p = p

    def forward(self, x_BTI: Tensor) -> Tensor:
        """Return [B, T, I], unchanged in evaluation; in training, some features are dropped and the others scaled
        up.
        """
        if not self.training or self.p == 0:
            return x_BTI
        return x_BTI * dropout(x_BTI.new_ones(x_BTI.shape[0], 1, x_BTI.shape[2]), self.p)

    def extra_repr(self) -> str:
        """Return the probability, for `print(module)`."""
        return f"p={self.p}"
