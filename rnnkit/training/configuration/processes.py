"""The number of processes that a run may start on this machine."""

import os
from collections.abc import Iterator
from typing import Any

import torch
from omegaconf import DictConfig

from rnnkit.errors import UserError


def device_problems(config: DictConfig) -> Iterator[UserError]:
    """Yield a UserError if there are more devices, each a process, than this machine has (on a CPU: processors)."""
    trainer = config.get("trainer") or {}
    asked: Any = trainer.get("devices")
    accelerator = trainer.get("accelerator")
    try:
        count = int(asked)
    except (TypeError, ValueError, OverflowError):  # a list or a word; Lightning reads it
        return
    processors, cards = os.cpu_count() or 1, torch.cuda.device_count()
    is_cpu = accelerator == "cpu" or (accelerator in (None, "auto") and not cards)
    most = processors if is_cpu else max(cards, 1)
    if count > most:
        kind = "processors" if is_cpu else "devices"
        expected = f"at most {most}, the number of {kind} of this machine"
        yield UserError("trainer.devices", expected, str(asked), fix=f"trainer.devices={most}")
