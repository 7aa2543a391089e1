"""The scans of a model over a batch, seen by `rnnkit.observe`; what all functions of this package start from."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rnnkit.batch import SequenceBatch
from rnnkit.cells.base import Cell
from rnnkit.engines import ScanEvent, observe, scan
from rnnkit.errors import UserError
from rnnkit.layers.rnn import RNN


class Recording(NamedTuple):
    """The outputs of a model, and its scans by the names of their cells: for each cell the one with the most steps."""

    outputs: Any
    scans: dict[str, ScanEvent]


def as_module(model: Any) -> nn.Module:
    """Return a model whose scans can be observed: a `torch.nn.LSTM`, `GRU` or `RNN` becomes an `rnnkit.RNN`.

    Raises:
        UserError: if it is no module.
    """
    if isinstance(model, nn.LSTM | nn.GRU | nn.RNN):
        return RNN.from_torch(model)
    if not isinstance(model, nn.Module):
        raise UserError("model", "a torch.nn.Module", type(model).__name__, fix="rnnkit.RNN(LSTMCell, 8, 16)")
    return model


def as_batch(batch: Any) -> SequenceBatch:
    """Return a batch; a tensor of inputs becomes one without targets."""
    if isinstance(batch, SequenceBatch):
        return batch
    return SequenceBatch(batch, torch.empty(0))


def record(model: nn.Module, batch: SequenceBatch, state: Any = None) -> Recording:
    """Run a module over a batch as it is trained, and return its outputs and its scans."""
    with recording(model) as scans:
        outputs = call(model, batch, state)
    return Recording(outputs, checked(scans))


@contextmanager
def recording(model: nn.Module) -> Iterator[dict[str, ScanEvent]]:
    """Collect the scans in the block, by the names of their cells in the model.

    Outputs that have no graph, because all weights are frozen, become leaves of one, so that they have a gradient.
    """
    scans: dict[str, ScanEvent] = {}

    def keep(event: ScanEvent) -> None:
        assert event.y is not None
        if torch.is_grad_enabled() and not event.y.requires_grad and event.y.is_floating_point():
            event.y.requires_grad_()
        known = scans.get(event.name)
        if known is None or known.y is None or known.y.shape[1] < event.y.shape[1]:
            scans[event.name] = event

    with observe(keep, module=model):
        yield scans


def checked(scans: dict[str, ScanEvent]) -> dict[str, ScanEvent]:
    """Return scans with at least one step.

    Raises:
        UserError: if there are none.
    """
    found = {name: event for name, event in scans.items() if event.y is not None and event.y.shape[1] > 0}
    if not found:
        got = "no scan" if not scans else "no steps"
        fix = "rnnkit.RNN.from_torch(layer) for a torch.nn.LSTM, GRU or RNN inside of your model"
        raise UserError("model", "a model that runs rnnkit.scan or rnnkit.RNN over the batch", got, fix=fix)
    return found


def call(model: nn.Module, batch: SequenceBatch, state: Any = None) -> Any:
    """Call a model with what it accepts of a batch; padding and resets must not be dropped.

    Raises:
        UserError: if its `forward` lacks an argument that the batch has.
    """
    given = {"lengths": batch.lengths, "reset": batch.reset}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if isinstance(model, Cell):
        return scan(model, batch.inputs, state, **options)
    parameters = inspect.signature(model.forward).parameters
    if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values()):
        for name in [*options, *([] if state is None else ["state"])]:
            if name not in parameters:
                raise UserError("batch", f"a model whose forward has the argument {name}", "none", fix=f"{name}=None")
    return model(batch.inputs, **options) if state is None else model(batch.inputs, state, **options)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put all modules of a model into eval mode within the block: dropout would hide what is measured."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def input_steps(event: ScanEvent) -> tuple[int, int]:
    """Return the rows and the steps of a scan."""
    assert event.y is not None
    return event.y.shape[0], event.y.shape[1]


def valid_lengths(event: ScanEvent) -> Tensor:
    """Return the number of valid steps [B] of each row of a scan."""
    B, T = input_steps(event)
    assert event.y is not None
    return torch.full((B,), T, device=event.y.device) if event.lengths is None else event.lengths
