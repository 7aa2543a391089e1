"""rnnkit: recurrent neural networks in PyTorch.

The public names work without Lightning or Hydra and are imported on first use, so that `rnnkit --help` does not import
torch:

>>> import rnnkit, torch
>>> rnn = rnnkit.RNN(rnnkit.cells.LSTMCell, input_size=3, hidden_size=5, num_layers=2)
>>> y_BTO, state = rnn(torch.zeros(2, 7, 3))
>>> tuple(y_BTO.shape)
(2, 7, 5)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnkit import cells as cells
    from rnnkit import deploy as deploy
    from rnnkit import insight as insight
    from rnnkit import layers as layers
    from rnnkit import testing as testing
    from rnnkit.batch import SequenceBatch as SequenceBatch
    from rnnkit.cells import Cell as Cell
    from rnnkit.deploy import Session as Session
    from rnnkit.deploy import SessionBank as SessionBank
    from rnnkit.engines import explain as explain
    from rnnkit.engines import observe as observe
    from rnnkit.engines import scan as scan
    from rnnkit.layers import GRU as GRU
    from rnnkit.layers import LSTM as LSTM
    from rnnkit.layers import RNN as RNN
    from rnnkit.training import load as load

__version__ = "0.1.0"
__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Cell",
    "SequenceBatch",
    "Session",
    "SessionBank",
    "cells",
    "deploy",
    "explain",
    "insight",
    "layers",
    "load",
    "observe",
    "scan",
    "testing",
]

_HOMES = {
    "GRU": "rnnkit.layers",
    "LSTM": "rnnkit.layers",
    "RNN": "rnnkit.layers",
    "Cell": "rnnkit.cells",
    "SequenceBatch": "rnnkit.batch",
    "Session": "rnnkit.deploy",
    "SessionBank": "rnnkit.deploy",
    "explain": "rnnkit.engines",
    "load": "rnnkit.training",
    "observe": "rnnkit.engines",
    "scan": "rnnkit.engines",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in __all__:
        return import_module(f"rnnkit.{name}")
    raise AttributeError(f"module 'rnnkit' has no attribute {name!r}")
