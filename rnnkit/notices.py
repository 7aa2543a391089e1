"""Notices on standard error, such as about data that were left out, repaired or assumed."""

import sys

from rnnkit.ranks import is_first


def notice(text: str) -> None:
    """Print one line on standard error, from the first process of a distributed run only.

    Standard output is reserved for results that another program reads.
    """
    if is_first():
        print(" ".join(text.split()), file=sys.stderr, flush=True)


def counted(number: int, noun: str) -> str:
    """Format a number with its noun.

    >>> counted(1, "sentence"), counted(1200, "sentence")
    ('1 sentence', '1,200 sentences')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: list[str], most: int = 3) -> str:
    """Format the first names, and the number of the others.

    >>> listed(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    left = len(names) - most
    return ", ".join(names[:most]) + (f" and {left:,} more" if left > 0 else "")


def in_bytes(size: int) -> str:
    """Format a number of bytes.

    >>> in_bytes(3 * 2**29), in_bytes(5 * 2**20)
    ('1.5 GiB', '5 MiB')
    """
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"
