"""Conversion of many cells of text to numbers at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_WIDEST = 24
_TENS = 10.0 ** np.arange(23)  # exact


def read_digits(
    buffer: NDArray[np.uint8], starts: NDArray[np.int64], widths: NDArray[np.int64], decimal: str
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    r"""Convert cells with a sign, digits and a decimal mark to the nearest float64.

    A number of up to 15 digits is an integer below 2^53 divided by a power of ten, both of which are exact, so that the
    quotient is correctly rounded (Clinger 1990).

    Args:
        buffer: the text as bytes, at least 24 longer than the last cell.
        starts: the start of each cell [N].
        widths: the length of each cell [N].
        decimal: the decimal mark.

    Returns:
        The numbers [N], NaN for an empty cell; and the indices of the cells with another form.

    >>> text = np.frombuffer(b"1.5,-20,x" + bytes(24), np.uint8)
    >>> read_digits(text, np.array([0, 4, 8]), np.array([3, 3, 1]), ".")
    (array([  1.5, -20. ,   nan]), array([2]))
    """
    count = len(starts)
    mantissa = np.zeros(count, np.int64)
    digits, behind, marks = np.zeros(count, np.int8), np.zeros(count, np.int8), np.zeros(count, np.int8)
    odd = widths > _WIDEST
    first = buffer[starts]
    is_negative = first == ord("-")
    has_sign = (is_negative | (first == ord("+"))) & (widths > 0)
    for place in range(min(_WIDEST, int(widths.max(initial=0)))):
        byte = buffer[starts + place]
        inside = widths > place
        digit = byte - np.uint8(48)  # wraps around for all other bytes
        is_digit = (digit < 10) & inside
        is_mark = (byte == ord(decimal)) & inside
        other = inside & ~is_digit & ~is_mark
        odd |= other & ~has_sign if place == 0 else other
        mantissa = np.where(is_digit & (digits < 16), mantissa * 10 + digit, mantissa)
        digits += is_digit & (mantissa > 0)
        marks += is_mark
        behind += is_digit & (marks > 0)
    has_digit = widths > has_sign.astype(np.int64) + marks
    odd |= (widths > 0) & ((marks > 1) | (digits > 15) | (behind > 22) | ~has_digit)
    values = mantissa / _TENS[np.minimum(behind, 22)]
    values[is_negative] *= -1
    values[(widths == 0) | odd] = np.nan
    return values, np.flatnonzero(odd)
