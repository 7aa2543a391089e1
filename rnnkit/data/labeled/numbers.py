"""Conversion of the cells of a table to numbers, with exact error messages."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.io.tables.format import MISSING
from rnnkit.errors import UserError


def numbers(cells: Sequence[str], place: Callable[[int], str] | str, argument: str) -> NDArray[np.float64]:
    """Convert cells to numbers. Missing values are NaN.

    Args:
        cells: the cells.
        place: the file and line of all cells, or a function from the index of a cell to its file and line.
        argument: the argument that error messages name.

    Raises:
        UserError: a cell is not a finite number.

    >>> numbers(["1", "?", "-2.5"], str, "data.path")
    array([ 1. ,  nan, -2.5])
    """
    try:
        values = np.array(cells, dtype=np.float64)
    except ValueError:
        values = np.empty(len(cells))
        for index, cell in enumerate(cells):
            try:
                values[index] = np.nan if cell.strip().lower() in MISSING else float(cell)
            except ValueError:
                raise _not_a_number(cell, _at(place, index), argument) from None
    if any("_" in cell for cell in cells):  # Python accepts 1_000 as a number
        index = next(index for index, cell in enumerate(cells) if "_" in cell)
        raise _not_a_number(cells[index], _at(place, index), argument)
    if np.isinf(values).any():
        index = int(np.isinf(values).argmax())
        raise _not_a_number(cells[index], _at(place, index), argument)
    return values


def _at(place: Callable[[int], str] | str, index: int) -> str:
    return place if isinstance(place, str) else place(index)


def _not_a_number(cell: str, place: str, argument: str) -> UserError:
    fix = "a number, or an empty cell if it is unknown"
    return UserError(argument, "a finite number", f"{cell!r} at {place}", fix=fix)
