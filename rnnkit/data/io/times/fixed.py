"""Conversion of many times of a fixed width at once."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FIELDS = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}
_PLACES = {"Y": 0, "m": 5, "d": 8, "H": 11, "M": 14, "S": 17}
_ISO = np.frombuffer(b"0000-01-01T00:00:00", np.uint8)


def read_fixed(cells: Sequence[str], time_format: str) -> NDArray[Any] | None:
    """Convert cells to `datetime64[us]`, or return None if the conversion is not possible in this way.

    It is possible if the format has only a year, a month, a day, an hour, a minute and a second with all their digits,
    and all cells have exactly this form.

    >>> read_fixed(["31.01.2024 18:00", "01.02.2024 06:30"], "%d.%m.%Y %H:%M").astype(str).tolist()
    ['2024-01-31T18:00:00.000000', '2024-02-01T06:30:00.000000']
    """
    parts = re.findall(r"%(.)|([^%])", time_format)
    if not cells or any(name and name not in _FIELDS for name, _ in parts) or "Y" not in [name for name, _ in parts]:
        return None
    width = sum(_FIELDS[name] if name else 1 for name, _ in parts)
    try:
        found = np.array(cells, f"S{width + 1}")
    except UnicodeEncodeError:
        return None
    if (np.strings.str_len(found) != width).any():
        return None
    bytes_NW = found.view(np.uint8).reshape(len(cells), width + 1)
    iso_NW = np.tile(_ISO, (len(cells), 1))
    at = 0
    for name, literal in parts:
        if name:
            digits = bytes_NW[:, at : at + _FIELDS[name]]
            if ((digits < ord("0")) | (digits > ord("9"))).any():
                return None
            iso_NW[:, _PLACES[name] : _PLACES[name] + _FIELDS[name]] = digits
        elif (bytes_NW[:, at] != ord(literal)).any():
            return None
        at += _FIELDS[name] if name else 1
    try:
        return iso_NW.view(f"S{len(_ISO)}")[:, 0].astype("datetime64[us]")
    except ValueError:  # a date that does not exist
        return None
