"""Strided convolutions over time, which shorten the sequence for a recurrent layer."""

from torch import Tensor, nn

from rnnkit.errors import UserError
from rnnkit.masks import Lengths, as_lengths, valid_steps


class Subsample(nn.Module):
    r"""A strided convolution over time followed by a ReLU.

    .. math:: y_t = \max\Bigl(0, b + \sum_{k=-K}^{K} W_k \, x_{t s + k}\Bigr), \qquad T' = \lceil T / s \rceil

    Neighboring frames of audio are similar; with a stride of s the recurrence is s times as short (strided convolutions
    before recurrent layers: Amodei et al. 2016, arXiv:1512.02595). x is zero beyond both ends of a sequence, so that
    padding has no effect.

    Args:
        input_size, output_size: I and O.
        kernel_size: 2 K + 1, odd, so that the kernel is centered at a step.
        stride: s.

    Raises:
        UserError: if `kernel_size` is even or negative, or `stride` is below 1.

    >>> import torch
    >>> y_BTO, lengths = Subsample(3, 8, kernel_size=5, stride=2)(torch.randn(2, 7, 3), torch.tensor([7, 4]))
    >>> y_BTO.shape, lengths.tolist()
    (torch.Size([2, 4, 8]), [4, 2])
    """

    def __init__(self, input_size: int, output_size: int, kernel_size: int = 5, stride: int = 1) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise UserError("kernel_size", "an odd number", str(kernel_size), fix="model.kernel_size=5")
        if stride < 1:
            raise UserError("stride", "1 or more steps", str(stride), fix="model.stride=2")
        self.output_size = output_size
        self.stride = stride
        self.convolution = nn.Conv1d(input_size, output_size, kernel_size, stride, padding=kernel_size // 2)

    def forward(self, x_BTI: Tensor, lengths: Lengths | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the remaining steps [B, T', O], zero at padding, and their number in each sequence."""
        if lengths is None:
            return self.convolution(x_BTI.transpose(1, 2)).relu().transpose(1, 2), None
        lengths_B = as_lengths(lengths, x_BTI)
        x_BTI = x_BTI.masked_fill(~valid_steps(lengths_B, x_BTI.shape[1])[..., None], 0)
        y_BTO = self.convolution(x_BTI.transpose(1, 2)).relu().transpose(1, 2)
        lengths_B = (lengths_B + self.stride - 1) // self.stride
        return y_BTO.masked_fill(~valid_steps(lengths_B, y_BTO.shape[1])[..., None], 0), lengths_B
