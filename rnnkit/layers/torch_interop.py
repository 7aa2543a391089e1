"""Conversion between an `RNN` of classic cells and torch.nn's LSTM, GRU and RNN: options, weights and states."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rnnkit.cells.elman import ElmanCell
from rnnkit.cells.gru import GRUCell
from rnnkit.cells.lstm import LSTMCell, LSTMState
from rnnkit.errors import UserError

if TYPE_CHECKING:
    from rnnkit.layers.rnn import RNN

TorchRNN = nn.LSTM | nn.GRU | nn.RNN
TorchState = Tensor | tuple[Tensor, Tensor]


def arguments_for(module: TorchRNN) -> dict[str, Any]:
    """Return the arguments with which an `RNN` is the same network as a torch module."""
    if not isinstance(module, TorchRNN):
        raise UserError("module", "a torch.nn.LSTM, GRU or RNN", type(module).__name__, fix="RNN(cell, ...) for a cell")
    if module.proj_size > 0:
        raise UserError(
            "module",
            "no projection of the hidden state, which rnnkit does not support",
            f"proj_size={module.proj_size}",
            fix="torch.nn.LSTM(..., proj_size=0)",
        )
    if isinstance(module, nn.LSTM):
        cell: partial[Any] = partial(LSTMCell, bias=module.bias)
    elif isinstance(module, nn.GRU):
        cell = partial(GRUCell, bias=module.bias)
    else:
        cell = partial(ElmanCell, nonlinearity=module.nonlinearity, bias=module.bias)
    return {
        "cell": cell,
        "input_size": module.input_size,
        "hidden_size": module.hidden_size,
        "num_layers": module.num_layers,
        "bidirectional": module.bidirectional,
        "dropout": float(module.dropout),
    }


def module_for(rnn: "RNN") -> TorchRNN:
    """Return the torch module that is the same network, with its own weights."""
    cell = rnn.cell_at(0)
    if type(cell) not in (LSTMCell, GRUCell, ElmanCell):
        raise _no_twin(f"{type(cell).__name__}", fix="model/cell=lstm")
    kinds = dict.fromkeys(type(rnn.cell_at(i)).__name__ for i in range(len(rnn.cells)))
    if len(kinds) > 1:
        raise _no_twin(f"layers of {' and '.join(kinds)}", fix=f"one kind of cell for all layers, {next(iter(kinds))}")
    if isinstance(cell, GRUCell) and not cell.reset_after:
        raise _no_twin("a GRUCell with reset_after=False", fix="model.cell.reset_after=true")
    if rnn.residual and rnn.num_layers > 1:
        raise _no_twin("residual=True", fix="model.residual=false")
    if not isinstance(rnn.hidden_size, int):
        raise _no_twin(f"layers {list(rnn.hidden_size)} wide", fix="one hidden_size for all layers")
    if type(rnn.dropout) is not nn.Dropout:
        raise _no_twin(f"{type(rnn.dropout).__name__} between layers", fix="a float for dropout")
    options: dict[str, Any] = {
        "num_layers": rnn.num_layers,
        "bias": cell.bias_ih is not None,
        "batch_first": True,
        # torch warns about dropout without layers to act between
        "dropout": rnn.dropout.p if rnn.num_layers > 1 else 0.0,
        "bidirectional": rnn.bidirectional,
    }
    if isinstance(cell, ElmanCell):
        return nn.RNN(rnn.input_size, rnn.hidden_size, nonlinearity=cell.nonlinearity, **options)
    return (nn.LSTM if isinstance(cell, LSTMCell) else nn.GRU)(rnn.input_size, rnn.hidden_size, **options)


def copy_weights(module: TorchRNN, cells: nn.ModuleList, *, from_torch: bool) -> None:
    """Copy the weights of one side to the other, with their dtype, device and `requires_grad`."""
    for cell, name, torch_name in _weight_names(module, cells):
        source: Tensor = getattr(module, torch_name) if from_torch else getattr(cell, name)
        copy = nn.Parameter(source.detach().clone(), requires_grad=source.requires_grad)
        if from_torch:
            setattr(cell, name, copy)
        else:
            setattr(module, torch_name, copy)
    module.flatten_parameters()


def stack_states(states: list[Any]) -> TorchState:
    """Return the states of all cells as torch stacks them: h_n [L * D, B, H], for an LSTM (h_n, c_n)."""
    if isinstance(states[0], LSTMState):
        return torch.stack([state.hidden for state in states]), torch.stack([state.cell for state in states])
    return torch.stack(states)


def unstack_states(state: TorchState) -> list[Any]:
    """Return the states of all cells, the inverse of `stack_states`."""
    if isinstance(state, Tensor):
        return list(state.unbind())
    return [LSTMState(hidden, cell) for hidden, cell in zip(*state, strict=True)]


def _weight_names(module: TorchRNN, cells: nn.ModuleList) -> Iterator[tuple[nn.Module, str, str]]:
    directions = 2 if module.bidirectional else 1
    for i, cell in enumerate(cells):
        suffix = f"_l{i // directions}" + ("_reverse" if i % directions else "")
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh") if module.bias else ("weight_ih", "weight_hh"):
            yield cell, name, name + suffix


def _no_twin(got: str, *, fix: str) -> UserError:
    return UserError("to_torch", "a network that torch.nn has too", got, fix=fix)
