"""Layers of the two most used cells, with the arguments of their namesakes in torch.nn."""

from functools import partial

from rnnkit.cells.gru import GRUCell
from rnnkit.cells.lstm import LSTMCell
from rnnkit.layers.rnn import RNN
from rnnkit.ranges import Layers


def LSTM(  # noqa: N802  reads like torch.nn.LSTM
    input_size: int,
    hidden_size: int,
    num_layers: Layers = 1,
    *,
    bias: bool = True,
    dropout: float = 0.0,
    bidirectional: bool = False,
) -> RNN:
    """Return an `RNN` with `LSTMCell` in every layer.

    Input and output are batch-first, and the state is a tuple over layers.

    >>> import torch
    >>> y_BTO, state = LSTM(3, 5, num_layers=2, bidirectional=True)(torch.randn(2, 7, 3))
    >>> y_BTO.shape, state[0].forward.cell.shape
    (torch.Size([2, 7, 10]), torch.Size([2, 5]))
    """
    cell = partial(LSTMCell, bias=bias)
    return RNN(cell, input_size, hidden_size, num_layers, bidirectional=bidirectional, dropout=dropout)


def GRU(  # noqa: N802  reads like torch.nn.GRU
    input_size: int,
    hidden_size: int,
    num_layers: Layers = 1,
    *,
    bias: bool = True,
    dropout: float = 0.0,
    bidirectional: bool = False,
) -> RNN:
    """Return an `RNN` with `GRUCell` in every layer.

    Input and output are batch-first, and the state is a tuple over layers.

    >>> import torch
    >>> y_BTO, state = GRU(3, 5)(torch.randn(2, 7, 3), lengths=torch.tensor([7, 4]))
    >>> y_BTO.shape, state[0].shape
    (torch.Size([2, 7, 5]), torch.Size([2, 5]))
    """
    cell = partial(GRUCell, bias=bias)
    return RNN(cell, input_size, hidden_size, num_layers, bidirectional=bidirectional, dropout=dropout)
