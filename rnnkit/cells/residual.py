"""A residual connection around a cell (He et al., 2016, arXiv:1512.03385)."""

from typing import Any

from torch import Tensor

from rnnkit.cells.base import Cell, State
from rnnkit.cells.wrapper import Wrapper
from rnnkit.errors import UserError


class Residual(Wrapper[State]):
    r"""Adds the input to the output; the state is that of the wrapped cell.

    .. math::
        y_t = \mathrm{cell}(x_t, s_{t-1}) + x_t

    Raises:
        UserError: if the output of the cell is not as wide as its input.

    >>> import torch
    >>> from rnnkit.cells import GRUCell
    >>> cell = Residual(GRUCell(5, 5))
    >>> output, state = cell(torch.ones(1, 5), cell.initial_state(1))
    >>> torch.equal(output, state + 1)
    True
    """

    def __init__(self, cell: Cell[Any]) -> None:
        super().__init__(cell)
        if cell.input_size != cell.output_size:
            raise UserError(
                "cell",
                "an output as wide as the input",
                f"{cell.output_size} and {cell.input_size} of {type(cell).__name__}",
                fix=f"hidden_size={cell.input_size}, or a cell without Residual",
            )

    def forward(self, x: Any, state: State, context: Any = None) -> tuple[Tensor, State]:
        """Run one step of the wrapped cell and add the input [B, I] to its output."""
        output, after = self.inner(x, state, context)
        return output + x, after
