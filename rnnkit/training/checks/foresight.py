"""Checks before a run that the model and its batches fit into memory."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import lightning as L
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from rnnkit.errors import UserError
from rnnkit.tasks import Task
from rnnkit.training.checks.batch_memory import BatchMemory, training_memory, validation_memory
from rnnkit.training.checks.rehearsal import Rehearsal, preserving_state
from rnnkit.training.configuration.construct import construct
from rnnkit.training.free_memory import free_memory

MARGIN = 0.9
"""The share of the free memory that a proposed size may use."""

Build = Callable[[DictConfig], nn.Module | None]


class Kept(NamedTuple):
    """Memory in bytes that does not depend on the batch size."""

    weights: int
    gradients: int
    optimizer: int
    averages: int

    @classmethod
    def by(cls, model: nn.Module, config: DictConfig) -> "Kept":
        """Compute it from a model, which may be on the device "meta", and its configuration."""
        size = sum(value.numel() * value.element_size() for value in (*model.parameters(), *model.buffers()))
        trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
        averages = 0 if config.get("averaging") is None else size
        return cls(size, trained, round(trained * _states_of_a_weight(config)), averages)

    @property
    def checkpoint(self) -> int:
        """The size of a checkpoint, which is built in memory before it is written."""
        return self.weights + self.optimizer + self.averages


def check_weight_memory(config: DictConfig, model: nn.Module, build: Build) -> None:
    """Check that the weights and all that training stores for them fit into free memory.

    Args:
        config: the configuration.
        model: the model of `config`; it may be on the device "meta", without memory for its weights.
        build: builds such a model for a configuration, or returns None if it cannot.

    Raises:
        UserError: if they do not fit; it proposes a hidden size that fits if there is one.
    """
    free = free_memory(torch.device("cpu"))
    if free is None or not config.get("check_memory", True):
        return
    kept = Kept.by(model, config)
    need = sum(kept) + kept.checkpoint
    if need <= free:
        return
    smaller = _smaller_model(config, build, free, need)
    parts = {**kept._asdict(), "a checkpoint": kept.checkpoint}
    if smaller is None:
        raise _refusal("model", free, need, parts, "", "smaller sizes")
    raise _refusal("model.hidden_size", free, need, parts, "", f"model.hidden_size={smaller}")


def check_batch_memory(config: DictConfig, trainer: L.Trainer, task: Task, data: Any) -> None:
    """Check that a training step and a validation batch fit into free memory.

    The memory of a batch is measured: the longest sequences, in batches of two and three, are trained on and validated,
    and the memory after each operation is extrapolated to the batch size. The state of the task is restored afterward.
    This takes the time of a few steps. A task that cannot be measured is not refused.

    Args:
        config: with the settings that depend on the data.
        trainer: before it starts.
        task: the task.
        data: after `setup`.

    Raises:
        UserError: if they do not fit, with a batch size that does, or if the task cannot be trained on the data.
    """
    device = trainer.strategy.root_device
    free = free_memory(device)
    # the first process of a machine checks, before it starts the others
    if free is None or not config.get("check_memory", True) or trainer.local_rank:
        return
    with preserving_state(task, trainer):
        rehearsal = Rehearsal(task, trainer)
        kept = Kept.by(rehearsal.model, config)
        if device.type == "cpu":
            free = free // trainer.num_devices + kept.weights  # the weights are allocated already
        for tried in _tried(rehearsal, trainer, data):
            tried.check(config, trainer, free, kept)


class _Tried(NamedTuple):
    training: bool
    memory: BatchMemory

    def check(self, config: DictConfig, trainer: L.Trainer, free: int, kept: Kept) -> None:
        """Raise UserError if it does not fit."""
        lanes, steps, growth = self.memory
        peak = growth.peak(math.ceil(lanes / trainer.world_size))
        held = sum(kept) - (kept.gradients if self.training else 0)  # gradients are part of the measured step
        if held + peak <= free:
            return
        activations = peak - (kept.gradients if self.training else 0)
        older = kept.gradients if self.training else 0  # with accumulation
        room = int(MARGIN * free) - held - older
        argument, fix = self._fewer(config, trainer, room)
        shape = f" for {lanes:,} lanes x {steps:,} steps"
        raise _refusal(argument, free, held + peak, {**kept._asdict(), "activations": activations}, shape, fix)

    def _fewer(self, config: DictConfig, trainer: L.Trainer, room: int) -> tuple[str, str]:
        """Return the key, and the overrides with which it fits."""
        lanes, steps, growth = self.memory
        processes = trainer.world_size
        windows = "lanes" in config.data
        key = f"data.{'' if self.training else 'eval_'}{'lanes' if windows else 'batch_size'}"
        most = growth.most_lanes(room) * processes
        if most < processes:
            fitting = int(steps * room / growth.peak(1))
            if not windows or fitting < 1:
                return key, f"{key}={processes}, and smaller sizes of the model or shorter sequences"
            return "data.bptt_steps", f"data.bptt_steps={fitting} {key}={processes}"
        parts = _parts(lanes, most, processes)
        fewer = f"{key}={max(1, lanes // parts // processes) * processes}"
        batches = parts * config.trainer.get("accumulate_grad_batches", 1)
        return key, f"{fewer} trainer.accumulate_grad_batches={batches}" if self.training else fewer


def _tried(rehearsal: Rehearsal, trainer: L.Trainer, data: Any) -> Iterator[_Tried]:
    """Yield the measurement of training and, if there is validation, of validation; neither if it fails."""
    processes, accumulating = trainer.world_size, trainer.accumulate_grad_batches > 1
    for training in (True, False):
        try:
            if training:
                yield _Tried(True, training_memory(rehearsal, data, processes, accumulating=accumulating))
            elif trainer.limit_val_batches != 0:
                yield _Tried(False, validation_memory(rehearsal, data, processes))
        except UserError:
            raise
        except Exception:  # if something is wrong, the run itself raises the error
            continue


def _parts(lanes: int, most: int, processes: int) -> int:
    """Return into how many batches to split a batch, equal ones if possible."""
    fewest = math.ceil(lanes / most)
    equal = (n for n in range(fewest, 2 * fewest) if lanes % (n * processes) == 0)
    return next(equal, fewest)


def _smaller_model(config: DictConfig, build: Build, free: int, need: int) -> int | None:
    """Return a hidden size whose model fits; None if the hidden size is not the cause."""
    size = config.model.get("hidden_size")
    while isinstance(size, int) and size >= 1 and need > MARGIN * free:
        # the number of weights grows at most with its square
        size = int(size * min(0.9, math.sqrt(MARGIN * free / need)))
        size -= size % 8 if size > 8 else 0
        model = build(OmegaConf.merge(config, {"model": {"hidden_size": size}})) if size else None  # type: ignore[arg-type]
        if model is None:
            return None
        kept = Kept.by(model, config)
        need = sum(kept) + kept.checkpoint
    return size if isinstance(size, int) and size >= 1 else None


def _states_of_a_weight(config: DictConfig) -> float:
    """Return the size of the optimizer state as a multiple of the weights, measured with a small weight."""
    weight = nn.Parameter(torch.zeros(32, 32))
    weight.grad = torch.zeros_like(weight)
    try:
        optimizer = construct(config, "optimizer")([weight])
        optimizer.step()
    except Exception:  # an optimizer that needs more than a gradient: the size of its state is unknown
        return 0.0
    states = [state for state in optimizer.state[weight].values() if isinstance(state, torch.Tensor)]
    kept = sum(state.numel() * state.element_size() for state in states if state.shape == weight.shape)
    return kept / (weight.numel() * weight.element_size())


def _refusal(argument: str, free: int, need: int, parts: Mapping[str, int], shape: str, fix: str) -> UserError:
    named = ", ".join(f"{name} {_bytes(size)}" for name, size in parts.items() if size)
    return UserError(
        argument,
        f"at most {_bytes(free)} of free memory",
        f"about {_bytes(need)}: {named}{shape}",
        fix=f"{fix}, or check_memory=false to train anyway",
    )


def _bytes(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"
