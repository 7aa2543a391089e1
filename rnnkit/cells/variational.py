"""Dropout with one mask for a window, inside the recurrence as well (Gal and Ghahramani, 2016, arXiv:1512.05287)."""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from rnnkit.cells.base import Cell, State
from rnnkit.cells.probability import check_probability
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.cells.wrapper import Wrapper
from rnnkit.ranges import Probability


class VariationalMasks(NamedTuple):
    """Masks of the kept features, [B, I], as the hidden state, and [B, O], and the wrapped cell's `inner` context."""

    input_kept: Tensor
    hidden_kept: Tensor
    output_kept: Tensor
    inner: Any


class VariationalDropout(Wrapper[State]):
    r"""Drops the same features of input, recurrent state and output at every step of a window, in training only.

    .. math::
        y_t, s_t = \mathrm{cell}\Bigl(\frac{m^x \odot x_t}{1 - p_x}, \frac{m^h \odot s_{t-1}}{1 - p_h}\Bigr), \qquad
        \text{output } \frac{m^y \odot y_t}{1 - p_y}, \qquad m \sim \mathrm{Bernoulli}(1 - p)

    The masks differ between the rows of a batch. They are context: `rnnkit.scan` draws them once for all steps of a
    call, with `begin`. A cell that is stepped by hand draws them for each step, unless it is given `cell.begin(B)` as
    its context.

    :math:`m^h` acts on the first tensor of the state, the hidden state; the cell state of an LSTM is not dropped. This
    suits cells that read their hidden state through weights only, such as LSTM and Elman. If the hidden state is also
    carried over by addition, as in a GRU, scaling it at every step would make it grow: use `WeightDrop` or `Zoneout`.

    Raises:
        UserError: if a probability is not in [0, 1).

    >>> from rnnkit.cells import LSTMCell
    >>> cell = VariationalDropout(LSTMCell(3, 5), input=0.4, state=0.25, output=0.4)
    >>> masks = cell.begin(2)
    >>> output, state = cell(torch.zeros(2, 3), cell.initial_state(2), masks)
    >>> output.shape, state.cell.shape, masks.input_kept.shape
    (torch.Size([2, 5]), torch.Size([2, 5]), torch.Size([2, 3]))
    """

    only_in_training: ClassVar[bool] = True

    def __init__(
        self, cell: Cell[Any], input: Probability = 0.0, state: Probability = 0.0, output: Probability = 0.0
    ) -> None:
        super().__init__(cell)
        for name, p in (("input", input), ("state", state), ("output", output)):
            check_probability(name, p)
        self.input = input
        self.state = state
        self.output = output

    def begin(self, batch_size: int, context: Any = None) -> Any:
        """Return new masks, with the wrapped cell's own context; in evaluation, that context only."""
        inner = self.cell.begin(batch_size, context)
        if not self.training:
            return inner
        hidden = state_leaves(self.cell.initial_state(batch_size))[0]
        shapes = ((batch_size, self.input_size), hidden.shape, (batch_size, self.output_size))
        input_kept, hidden_kept, output_kept = (
            torch.rand(shape, device=hidden.device) >= p
            for shape, p in zip(shapes, (self.input, self.state, self.output), strict=True)
        )
        return VariationalMasks(input_kept, hidden_kept, output_kept, inner)

    def forward(self, x: Any, state: State, context: Any = None) -> tuple[Tensor, State]:
        """Run one step on x [B, I] and the state; return the output [B, O] and the new state."""
        if not self.training:
            return self.inner(x, state, context)
        hidden = state_leaves(state)[0]
        masks = context if isinstance(context, VariationalMasks) else self.begin(hidden.shape[0], context)
        dropped = _dropped(hidden, masks.hidden_kept, self.state)
        before = map_state(lambda leaf: dropped if leaf is hidden else leaf, state)
        output, after = self.inner(_dropped(x, masks.input_kept, self.input), before, masks.inner)
        return _dropped(output, masks.output_kept, self.output), after

    def extra_repr(self) -> str:
        """Return the sizes and the probabilities, for `print(cell)`."""
        return f"{super().extra_repr()}, input={self.input}, state={self.state}, output={self.output}"


def _dropped(value: Tensor, kept: Tensor, p: float) -> Tensor:
    return torch.where(kept, value / (1 - p), 0) if p else value
