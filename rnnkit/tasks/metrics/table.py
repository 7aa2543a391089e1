"""Tables in plain text."""

import math
from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str | float | int]]) -> str:
    """Columns as wide as they must be, names to the left, numbers to the right.

    >>> print(table(["class", "f1", "sequences"], [["a", 0.5, 1200], ["bc", math.nan, 0]]))
    class      f1  sequences
    a      0.5000      1,200
    bc          -          0
    """
    cells = [list(head), *([shown(value) for value in row] for row in rows)]
    numbers = [all(not isinstance(row[i], str) for row in rows) for i in range(len(head))]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]

    def line(row: list[str]) -> str:
        fitted = (c.rjust(w) if number else c.ljust(w) for c, w, number in zip(row, widths, numbers, strict=True))
        return "  ".join(fitted).rstrip()

    return "\n".join(map(line, cells))


def shown(value: str | float | int) -> str:
    """A value as it is printed: four decimals, or four digits where the first of them comes later.

    >>> shown(1234.5), shown(0.0001234567), shown(7)
    ('1,234.5000', '1.235e-04', '7')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if math.isnan(value):
        return "-"
    return f"{value:.3e}" if 0 < abs(value) < 1e-3 else f"{value:,.4f}"
