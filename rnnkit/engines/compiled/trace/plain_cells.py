"""torch's own cells in basic operations: on a GPU each is one fused kernel, which a trace cannot decompose."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode


def _lstm_cell(
    x: Tensor, state: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    h, c = state
    i, f, g, o = (linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _gru_cell(
    x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    x_r, x_z, x_n = linear(x, w_ih, b_ih).chunk(3, -1)
    h_r, h_z, h_n = linear(h, w_hh, b_hh).chunk(3, -1)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    return n + z * (h - n)


class PlainCells(TorchFunctionMode):
    """A mode in which `nn.LSTMCell` and `nn.GRUCell` compute the same in operations that the compiler supports.

    >>> cell, x_BI = torch.nn.GRUCell(3, 5), torch.randn(2, 3)
    >>> expected = cell(x_BI)
    >>> with PlainCells():
    ...     torch.testing.assert_close(cell(x_BI), expected)
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        written: Callable[..., Any] = {torch.lstm_cell: _lstm_cell, torch.gru_cell: _gru_cell}.get(func, func)
        return written(*args, **(kwargs or {}))
