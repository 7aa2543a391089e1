"""Dropout with one mask for a window, inside the recurrence as well (Gal and Ghahramani, 2016, arXiv:1512.05287)."""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.cells.probability import check_probability
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.cells.wrapper import Wrapper
from rnnkit.ranges import Probability


class VariationalState(NamedTuple):
    """The wrapped cell's `inner` state, and masks of the kept features: [B, I], as the hidden state, [B, O]."""

    inner: Any
    input_kept: Tensor
    hidden_kept: Tensor
    output_kept: Tensor


class VariationalDropout(Wrapper[VariationalState]):
    r"""Drops the same features of input, recurrent state and output at every step of a window, in training only.

    .. math::
        y_t, s_t = \mathrm{cell}\Bigl(\frac{m^x \odot x_t}{1 - p_x}, \frac{m^h \odot s_{t-1}}{1 - p_h}\Bigr), \qquad
        \text{output } \frac{m^y \odot y_t}{1 - p_y}, \qquad m \sim \mathrm{Bernoulli}(1 - p)

    The masks differ between the rows of a batch. They are part of the state, since a cell does not handle time. They
    are drawn by `initial_state` and, for a carried state, at the start of each `rnnkit.scan`.

    :math:`m^h` acts on the first tensor of the state, the hidden state; the cell state of an LSTM is not dropped. This
    suits cells that read their hidden state through weights only, such as LSTM and Elman. If the hidden state is also
    carried over by addition, as in a GRU, scaling it at every step would make it grow: use `WeightDrop` or `Zoneout`.

    Raises:
        UserError: if a probability is not in [0, 1).

    >>> from rnnkit.cells import LSTMCell
    >>> cell = VariationalDropout(LSTMCell(3, 5), input=0.4, state=0.25, output=0.4)
    >>> output, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> output.shape, state.inner.cell.shape, state.input_kept.shape
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

    def initial_state(self, batch_size: int) -> VariationalState:
        """Return the wrapped cell's initial state, with masks: new ones in training, all true in evaluation."""
        return self._with_masks(self.cell.initial_state(batch_size))

    def begin(self, state: VariationalState) -> VariationalState:
        """Return the same inner state with new masks."""
        return self._with_masks(self.cell.begin(state.inner))

    def forward(self, x: Any, state: VariationalState, context: Any = None) -> tuple[Tensor, VariationalState]:
        """Run one step on x [B, I] and the state; return the output [B, O] and the new state, with the same masks."""
        if not self.training:
            output, after = self.inner(x, state.inner, context)
            return output, state._replace(inner=after)
        hidden = state_leaves(state.inner)[0]
        dropped = _dropped(hidden, state.hidden_kept, self.state)
        before = map_state(lambda leaf: dropped if leaf is hidden else leaf, state.inner)
        output, after = self.inner(_dropped(x, state.input_kept, self.input), before, context)
        return _dropped(output, state.output_kept, self.output), state._replace(inner=after)

    def _with_masks(self, inner: Any) -> VariationalState:
        hidden = state_leaves(inner)[0]
        B, device = hidden.shape[0], hidden.device
        masks = (((B, self.input_size), self.input), (hidden.shape, self.state), ((B, self.output_size), self.output))
        return VariationalState(inner, *(_kept(shape, p if self.training else 0, device) for shape, p in masks))

    def extra_repr(self) -> str:
        """Return the sizes and the probabilities, for `print(cell)`."""
        return f"{super().extra_repr()}, input={self.input}, state={self.state}, output={self.output}"


def _kept(shape: tuple[int, ...], p: float, device: torch.device) -> Tensor:
    return torch.rand(shape, device=device) >= p if p else torch.ones(shape, dtype=torch.bool, device=device)


def _dropped(value: Tensor, kept: Tensor, p: float) -> Tensor:
    return torch.where(kept, value / (1 - p), 0) if p else value
