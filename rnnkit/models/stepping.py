"""A model as a cell: one step of its input, layers and read-out, for live sequences."""

from collections.abc import Iterable
from typing import Any, cast

from torch import Tensor, nn

from rnnkit.cells import Cell, Residual, Stack
from rnnkit.cells.evaluation import in_evaluation
from rnnkit.cells.stateless import Stateless
from rnnkit.errors import Problems, UserError
from rnnkit.layers import RNN, AttentionPooling, LastPooling, LockedDropout, MaxPooling, MeanPooling
from rnnkit.layers.so_far import AttentionSoFar, MaxSoFar, MeanSoFar

INERT = (nn.Dropout, LockedDropout, nn.Identity)
"""Modules between the layers that do nothing in evaluation."""


def layers_of(rnn: RNN) -> list[Cell[Any]]:
    """Return the cells of the layers, each with its residual connection.

    Raises:
        UserError: if a step would need the future, or a module between the layers acts in evaluation.
    """
    problems = Problems()
    if rnn.bidirectional:
        problems.found.append(future("model.bidirectional", "true", "model.bidirectional=false"))
    if rnn.num_layers > 1 and not isinstance(rnn.dropout, INERT):
        got, fix = type(rnn.dropout).__name__, "model.dropout=0"
        problems.found.append(UserError("model.dropout", "a module that does nothing in evaluation", got, fix=fix))
    problems.raise_all()
    cells = [rnn.cell_at(index) for index in range(rnn.num_layers)]
    return [Residual(cell) if rnn.residual and index > 0 else cell for index, cell in enumerate(cells)]


def pooling_so_far(pooling: Any, like: Tensor) -> list[Cell[Any]]:
    """Return the cell that pools all steps so far; none for the last step, or without a pooling.

    A pooling of your own can have a method `step(like)` that returns such a cell.

    Raises:
        UserError: if it has none.
    """
    if pooling is None or isinstance(pooling, LastPooling):
        return []
    if isinstance(pooling, AttentionPooling):
        return [AttentionSoFar(pooling.hidden, pooling.scores)]
    if isinstance(pooling, MeanPooling | MaxPooling):
        kind = MeanSoFar if isinstance(pooling, MeanPooling) else MaxSoFar
        return [kind(pooling.output_size, like)]
    if hasattr(pooling, "step"):
        return [pooling.step(like)]
    raise UserError(
        "model.pooling",
        "last, mean, max, attention, or a class with a method step(like) that returns a Cell",
        type(pooling).__name__,
        fix="model.pooling=last",
    )


def mapped(layer: nn.Linear) -> Stateless:
    """Return a linear map as a cell."""
    return Stateless(layer, layer.in_features, layer.out_features)


def stacked(*parts: Cell[Any] | Iterable[Cell[Any]] | None) -> Stack:
    """Return all parts as one cell in evaluation mode, which shares the parameters of the model but not its mode."""
    cells = [cell for part in parts for cell in ([part] if isinstance(part, Cell) else part or [])]
    return cast("Stack", in_evaluation(Stack(cells)))


def future(key: str, got: str, fix: str) -> UserError:
    """Return the error of a part that reads steps to come, which a live sequence does not have."""
    return UserError(key, "a model whose steps read the past only, to step through a live sequence", got, fix=fix)
