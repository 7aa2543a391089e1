"""The minimal GRU and LSTM, whose gates depend on the input only (Feng et al., 2024, arXiv:2410.01201)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, relu

from rnnkit.cells.linear import LinearCell


class MinGRUCell(LinearCell):
    r"""One step of a minGRU.

    .. math::
        z_t &= \sigma(W_z x_t + b_z) \\
        h_t &= (1 - z_t) \odot h_{t-1} + z_t \odot g(W_h x_t + b_h), \quad
        g(v) = \begin{cases} v + \tfrac12 & v \ge 0 \\ \sigma(v) & v < 0 \end{cases}

    This is the paper's form of Appendix B, with the positive candidate of its experiments, but not in logarithms; its
    Appendix A has :math:`g(v) = v`. The output is the new state, which stays in the range of the candidates and of the
    given state. `input_map.weight` is [2H, I], in the order z, h.

    >>> cell = MinGRUCell(input_size=3, hidden_size=5)
    >>> h_BH, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> h_BH.shape
    torch.Size([2, 5])
    """

    gate_names = ("update",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.input_map = nn.Linear(input_size, 2 * hidden_size)

    def initial_state(self, batch_size: int) -> Tensor:
        """Return zeros [B, H]."""
        return self.input_map.weight.new_zeros(batch_size, self.hidden_size)

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return `1 - z` and `z g`."""
        z, v = self.input_map(x).chunk(2, dim=-1)
        return _blend(torch.sigmoid(z), v)


class MinLSTMCell(LinearCell):
    r"""One step of a minLSTM.

    .. math::
        f_t &= \sigma(W_f x_t + b_f), \quad i_t = \sigma(W_i x_t + b_i) \\
        h_t &= \frac{f_t}{f_t + i_t} \odot h_{t-1} + \frac{i_t}{f_t + i_t} \odot g(W_h x_t + b_h)

    with the :math:`g` of `MinGRUCell`, as in the paper's Appendix B. The output is the new state. `input_map.weight` is
    [3H, I], in the order f, i, h.

    >>> cell = MinLSTMCell(input_size=3, hidden_size=5)
    >>> h_BH, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> h_BH.shape
    torch.Size([2, 5])
    """

    gate_names = ("input",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.input_map = nn.Linear(input_size, 3 * hidden_size)

    def initial_state(self, batch_size: int) -> Tensor:
        """Return zeros [B, H]."""
        return self.input_map.weight.new_zeros(batch_size, self.hidden_size)

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return `f / (f + i)` and `i g / (f + i)`."""
        f, i, v = self.input_map(x).chunk(3, dim=-1)
        # i / (f + i) = sigmoid(log i - log f), without 0 / 0 when both gates are closed
        return _blend(torch.sigmoid(logsigmoid(i) - logsigmoid(f)), v)


def _blend(z: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return `1 - z` and `z g(v)`."""
    # g without a selection, which would be many times slower: v - relu(v) is v below zero and 0 above
    above = relu(v)
    return 1 - z, z * (above + torch.sigmoid(v - above))
