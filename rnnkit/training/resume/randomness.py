"""States of the random number generators in checkpoints."""

import random
from collections.abc import Mapping
from typing import Any

import lightning as L
import numpy as np
import torch


class RandomState(L.Callback):
    """Saves and restores random number generators, so that a resumed run draws the same numbers as without the stop.

    The generators are those of torch (CPU and each CUDA device), Python and NumPy, of every process. They are restored
    when training begins, after all random numbers for building the model are drawn.
    """

    def __init__(self) -> None:
        self._restored: list[dict[str, Any]] | None = None

    def state_dict(self) -> dict[str, Any]:
        mine = _now()
        if not torch.distributed.is_initialized():
            return {"processes": [mine]}
        processes = [mine] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(processes, mine)  # each process has its own generators
        return {"processes": processes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        processes = state_dict.get("processes", [state_dict])  # version 0.1.0 saved those of the first process
        for mine in processes:
            check_generators(mine)
        self._restored = processes

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._restored is None:
            return
        mine = self._restored[min(trainer.global_rank, len(self._restored) - 1)]
        torch.set_rng_state(mine["torch"])
        if len(mine["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(mine["cuda"])
        random.setstate(mine["python"])
        np.random.set_state(mine["numpy"])


def check_generators(state: Mapping[str, Any]) -> None:
    """Raise ValueError, TypeError or RuntimeError for a state that the generators do not accept."""
    torch.Generator().set_state(state["torch"])
    random.Random().setstate(state["python"])
    np.random.RandomState().set_state(state["numpy"])
    if not 0 <= state["numpy"][2] <= len(state["numpy"][1]):  # the position in the state: NumPy does not check it
        raise ValueError(f"position {state['numpy'][2]} in the state of NumPy's generator")


def _now() -> dict[str, Any]:
    name, keys, *rest = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": random.getstate(),
        "numpy": (name, np.asarray(keys).tolist(), *rest),
    }
