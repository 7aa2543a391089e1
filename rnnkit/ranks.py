"""The place of this process among those of a distributed run, from the environment of its launcher."""

import os

_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
"""Environment variables of launchers with the number of the process."""


def is_first() -> bool:
    """Whether this is the first process of all machines; True without a launcher."""
    return next((os.environ[name] for name in _RANKS if name in os.environ), "0") == "0"


def is_first_of_machine() -> bool:
    """Whether this is the first process of its machine; True without a launcher."""
    return os.environ.get("LOCAL_RANK", "0") == "0"
