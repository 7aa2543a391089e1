"""Recurrences that are linear in the state, whose steps can be computed in parallel."""

from abc import abstractmethod

from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.cells.blocks import check_size


class LinearCell(Cell[Tensor]):
    r"""A cell whose state is linear in the previous state, feature by feature.

    .. math::
        h_t &= a(x_t) \odot h_{t-1} + b(x_t) \\
        y_t &= \mathrm{readout}(h_t, x_t)

    :math:`a` and :math:`b` depend on the input only and are real or complex. A subclass defines `coefficients`,
    `initial_state` and, if the output is not the state, `readout`. Coefficients and readout accept any number of
    leading axes, so that the `parallel` engine can compute all steps at once (Martin and Cundy, 2018,
    arXiv:1709.04057). Do not override `forward`: a cell with its own `forward` runs step by step.

    Raises:
        UserError: if a size is below 1.

    >>> import torch
    >>> class Leaky(LinearCell):
    ...     def __init__(self, input_size: int, hidden_size: int) -> None:
    ...         super().__init__(input_size, hidden_size)
    ...         self.input_map = torch.nn.Linear(input_size, hidden_size)
    ...     def initial_state(self, batch_size: int) -> Tensor:
    ...         return self.input_map.weight.new_zeros(batch_size, self.hidden_size)
    ...     def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
    ...         b = 0.1 * self.input_map(x)
    ...         return torch.full_like(b, 0.9), b
    >>> cell = Leaky(3, 5)
    >>> y_BH, h_BH = cell(torch.zeros(2, 3), torch.ones(2, 5))
    >>> torch.allclose(h_BH, 0.9 + 0.1 * cell.input_map.bias)
    True
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        check_size("input_size", input_size)
        check_size("hidden_size", hidden_size)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.output_size = hidden_size

    @abstractmethod
    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the factor and the increment of the state: [..., I] gives two of [..., H], or of a shape that
        expands.
        """

    def readout(self, h: Tensor, x: Tensor) -> Tensor:
        """Return the output for the state after a step, [..., H], and its input, [..., I]; by default the state."""
        return h

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run one step: map x [B, I] and the state [B, H] to the output [B, O] and the new state [B, H]."""
        a_BH, b_BH = self.coefficients(x_BI)
        h_BH = a_BH * state + b_BH
        return self.readout(h_BH, x_BI), h_BH
