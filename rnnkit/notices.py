"""Notices about data that were left out, repaired or assumed."""

import os
import sys

_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
"""Environment variables of launchers with the number of the process."""


def notice(text: str) -> None:
    """Print one line on standard error, from the first process of a distributed run only.

    Standard output is reserved for results that another program reads.
    """
    rank = next((os.environ[name] for name in _RANKS if name in os.environ), "0")
    if rank == "0":
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
