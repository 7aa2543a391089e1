"""A factory of cells with wrappers, which can be written in a configuration."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from rnnkit.cells.base import Cell
from rnnkit.errors import UserError


def wrapped(
    input_size: int,
    hidden_size: int,
    *,
    cell: Callable[[int, int], Cell[Any]],
    wrappers: Sequence[Callable[[Cell[Any]], Cell[Any]]],
) -> Cell[Any]:
    """Build `cell(input_size, hidden_size)` and apply each of `wrappers` to it, from first to last.

    With `cell` and `wrappers` set by `functools.partial`, or by a YAML file, it is a factory like the class of a cell.

    Args:
        input_size: I.
        hidden_size: H.
        cell: a factory of cells.
        wrappers: factories of wrappers, called with a cell.

    Raises:
        UserError: if `cell` or a wrapper is an instance, or does not return a cell.

    >>> from functools import partial
    >>> from rnnkit.cells import LSTMCell, Residual, Zoneout
    >>> wrapped(4, 4, cell=LSTMCell, wrappers=[partial(Zoneout, p=0.1), Residual])
    Residual(
      4, 4
      (cell): Zoneout(
        4, 4, p=0.1
        (cell): LSTMCell(4, 4)
      )
    )
    """
    if not isinstance(wrappers, Sequence):
        got = type(wrappers).__name__
        raise UserError(
            "wrappers", "a list of wrappers, applied from first to last", got, fix="wrappers=[wrapper], also for one"
        )
    built: Cell[Any] = _called("cell", cell, input_size, hidden_size)
    for number, wrapper in enumerate(wrappers):
        built = _called(f"wrappers[{number}]", wrapper, built)
    return built


def _called(name: str, factory: Any, *arguments: Any) -> Cell[Any]:
    # a cell instance is callable too, and would take the sizes or the cell for its input and state
    finished = isinstance(factory, nn.Module) or not callable(factory)
    built = factory if finished else factory(*arguments)
    if finished or not isinstance(built, Cell):
        wanted = "cell(input_size, hidden_size)" if name == "cell" else "wrapper(cell)"
        raise UserError(
            name,
            f"a factory, called as {wanted}, that returns a rnnkit.cells.Cell",
            f"a {type(built).__name__} instance" if finished else f"one that returns {type(built).__name__}",
            fix="_partial_: true beside its _target_",
        )
    return built
