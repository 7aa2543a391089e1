"""Compressed files, and protection from decompression bombs."""

from rnnkit.errors import UserError

PACKED = (".gz", ".xz", ".zip")
"""Extensions of files that are decompressed when they are read."""

ALLOWED = 1 << 30
"""Decompressed bytes that are allowed for any file."""
RATIO = 200
"""The largest compression ratio that is allowed beyond that. Text and numbers have ratios of 3 to 30."""


def check_unpacked(size: int, packed: int, name: str, argument: str) -> None:
    """Check the decompressed size of a file.

    Args:
        size: decompressed bytes so far.
        packed: compressed size of the file in bytes.
        name: name of the file.
        argument: the argument that error messages name.

    Raises:
        UserError: the decompressed size is implausibly large for the compressed size.

    >>> check_unpacked(5 << 30, 10 << 20, "zeros.gz", "data.path")
    Traceback (most recent call last):
    rnnkit.errors.UserError: data.path: expected a plausible compression ratio; got zeros.gz, whose 10,485,760 bytes ...
    """
    if size > max(ALLOWED, RATIO * packed):
        raise UserError(
            argument,
            "a plausible compression ratio",
            f"{name}, whose {packed:,} bytes unpack to more than {size:,}",
            fix="decompressing the file by hand if it is correct",
        )
