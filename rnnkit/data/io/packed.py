"""Packed files that are far larger than they look."""

from rnnkit.errors import UserError

ALLOWED = 1 << 30
"""Bytes that may come out of any file."""
RATIO = 200
"""How much larger than the file what comes out may be beyond that; text and numbers pack 3 to 30 times."""


def check_unpacked(size: int, packed: int, name: str, argument: str) -> None:
    """Raise UserError, naming `argument`, where so many bytes out of a file of `packed` bytes are a trap for memory.

    >>> check_unpacked(5 << 30, 10 << 20, "zeros.gz", "data.path")
    Traceback (most recent call last):
    rnnkit.errors.UserError: data.path: expected a file that packs real data; got zeros.gz, whose 10,485,760 bytes ...
    """
    if size > max(ALLOWED, RATIO * packed):
        raise UserError(
            argument,
            "a file that packs real data",
            f"{name}, whose {packed:,} bytes unpack to more than {size:,}",
            fix="unpacking it by hand, if it is what you want",
        )
