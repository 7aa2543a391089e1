"""Checks that the model of a run folder has the size of its checkpoint and fits into memory, before it is built."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rnnkit.errors import UserError
from rnnkit.notices import in_bytes
from rnnkit.training.free_memory import free_memory
from rnnkit.training.run.provenance import check_weights

SPARE = 10
"""The number of parameters that a model may create for each weight in the checkpoint, to be shared or replaced."""


def check_fits(build: Callable[[], nn.Module], checkpoint: Mapping[str, Any], path: Path) -> None:
    """Build a model without memory for its weights, and check that it fits into free memory and matches its checkpoint.

    Raises:
        UserError: if it does not.
    """
    try:
        with torch.device("meta"), _bounded(SPARE * (10 + len(checkpoint["state_dict"]))):
            expected = build().state_dict()
    except UserError:
        raise
    except (RuntimeError, OverflowError, MemoryError) as error:
        if "overflow" not in str(error).lower():  # a class that reads values; the run could build it
            return
        raise UserError(
            "run", "sizes whose product does not overflow", str(error), fix="the config.yaml of the run"
        ) from error
    check_weights(expected, checkpoint, path)


@contextmanager
def _bounded(most: int) -> Iterator[None]:
    """Raise UserError in the block when what is built has too many parameters, or needs more than the free memory."""
    free, taken, made = free_memory(torch.device("cpu")), 0, 0

    def count(module: nn.Module, name: str, value: Tensor | None) -> None:
        nonlocal taken, made
        made += 1
        taken += 0 if value is None else value.numel() * value.element_size()
        fix = "the config.yaml that it was trained with"
        if made > most:
            raise UserError("run", "a model with the parameters of its checkpoint", "one with many more", fix=fix)
        if free is not None and taken > free:
            expected = f"a model that fits into {in_bytes(free)} of free memory"
            got = f"one of {in_bytes(taken)} or more, including {type(module).__name__}.{name}"
            raise UserError("run", expected, got, fix=fix)

    handle = nn.modules.module.register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
