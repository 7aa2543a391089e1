"""The devices that a run may use on this machine, each by a process of its own."""

import os
from collections.abc import Iterator
from typing import Any

import torch
from omegaconf import DictConfig

from rnnkit.errors import UserError


def device_problems(config: DictConfig) -> Iterator[UserError]:
    """Yield a UserError for more devices than this machine has (on a CPU: processors), and for numbers of CPUs."""
    trainer = config.get("trainer") or {}
    asked: Any = trainer.get("devices")
    accelerator = trainer.get("accelerator")
    processors, cards = os.cpu_count() or 1, torch.cuda.device_count()
    is_cpu = accelerator == "cpu" or (accelerator in (None, "auto") and not cards)
    try:
        count = int(asked)
    except (TypeError, ValueError, OverflowError):
        count = None
    if is_cpu and asked not in (None, "auto") and (count is None or count < 1):
        expected, fix = "the number of processes on a CPU, or auto", "trainer.devices=1"
        yield UserError("trainer.devices", expected, repr(asked), fix=fix)
    if count is None:  # device numbers of other accelerators; Lightning reads them
        return
    most = processors if is_cpu else max(cards, 1)
    if count > most:
        kind = "processors" if is_cpu else "devices"
        expected = f"at most {most}, the number of {kind} of this machine"
        yield UserError("trainer.devices", expected, str(asked), fix=f"trainer.devices={most}")
