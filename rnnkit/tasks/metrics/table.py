"""Tables in plain text."""

import math
from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str | float | int]]) -> str:
    """Formats a table with the smallest column widths, names aligned left and numbers right.

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
    """Formats a value with six significant digits and at most four decimals, below a thousandth with four digits.

    >>> shown(0.5), shown(1234.5), shown(17_077_555_200.0), shown(0.0001234567), shown(7)
    ('0.5000', '1,234.50', '1.70776e+10', '1.235e-04', '7')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if math.isnan(value):
        return "-"
    size = abs(value)
    if 0 < size < 1e-3:
        return f"{value:.3e}"
    if size >= 999_999.5:
        return f"{value:.5e}" if math.isfinite(value) else f"{value}"
    decimals = next(
        places
        for places, below in ((4, 99.99995), (3, 999.9995), (2, 9999.995), (1, 99999.95), (0, 1e6))
        if size < below
    )
    return f"{value:,.{decimals}f}"
