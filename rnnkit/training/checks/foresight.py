"""Sizes that cannot fit into memory, foreseen before a run begins."""

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
"""Of what is free, for the size that is proposed."""

Build = Callable[[DictConfig], nn.Module | None]


class Kept(NamedTuple):
    """Bytes that a run keeps whatever its batches are."""

    weights: int
    gradients: int
    optimizer: int
    averages: int

    @classmethod
    def by(cls, model: nn.Module, config: DictConfig) -> "Kept":
        """By a model, which may be one without memory of its own, on the device "meta", and its configuration."""
        size = sum(value.numel() * value.element_size() for value in (*model.parameters(), *model.buffers()))
        trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
        averages = 0 if config.get("averaging") is None else size
        return cls(size, trained, round(trained * _states_of_a_weight(config)), averages)

    @property
    def checkpoint(self) -> int:
        """What is put together in memory before it is written."""
        return self.weights + self.optimizer + self.averages


def foresee_weights(config: DictConfig, model: nn.Module, build: Build) -> None:
    """Refuse a model whose weights, with all that training keeps beside them, do not fit into what is free.

    * `model`: that of `config`; its weights need no memory, which those on the device "meta" have not.
    * `build`: gives such a model for a configuration, None where it cannot.

    Raises UserError, with a size of the hidden layers that fits where there is one.
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
    """Refuse batches with which a training step, or a validation, does not fit into what is free.

    What a batch takes is measured: the longest sequences, two and three lanes of them, are trained on and validated,
    without a trace, and what each operation leaves in memory is extrapolated to the batch. That takes as long as a few
    steps. What cannot be tried so is not refused.

    * `config`: with what the data have told.
    * `trainer`: before it begins.
    * `data`: after `setup`.

    Raises UserError, with a batch that fits; and what the task itself refuses to be trained on.
    """
    device = trainer.strategy.root_device
    free = free_memory(device)
    # of the processes of one machine the first one looks, before it starts the others
    if free is None or not config.get("check_memory", True) or trainer.local_rank:
        return
    with preserving_state(task, trainer):
        rehearsal = Rehearsal(task, trainer)
        kept = Kept.by(rehearsal.model, config)
        if device.type == "cpu":
            free = free // trainer.num_devices + kept.weights  # which are there already
        for tried in _tried(rehearsal, trainer, data):
            tried.check(config, trainer, free, kept)


class _Tried(NamedTuple):
    training: bool
    memory: BatchMemory

    def check(self, config: DictConfig, trainer: L.Trainer, free: int, kept: Kept) -> None:
        """UserError where it does not fit."""
        lanes, steps, growth = self.memory
        peak = growth.peak(math.ceil(lanes / trainer.world_size))
        held = sum(kept) - (kept.gradients if self.training else 0)  # of a step they are in what was measured
        if held + peak <= free:
            return
        activations = peak - (kept.gradients if self.training else 0)
        older = kept.gradients if self.training else 0  # where several batches make a step
        room = int(MARGIN * free) - held - older
        argument, fix = self._fewer(config, trainer, room)
        shape = f" for {lanes:,} lanes x {steps:,} steps"
        raise _refusal(argument, free, held + peak, {**kept._asdict(), "activations": activations}, shape, fix)

    def _fewer(self, config: DictConfig, trainer: L.Trainer, room: int) -> tuple[str, str]:
        """The key, and the overrides with which it fits."""
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
    """Training, and validation if there is to be any; neither where it cannot be tried on a few lanes."""
    processes, accumulating = trainer.world_size, trainer.accumulate_grad_batches > 1
    for training in (True, False):
        try:
            if training:
                yield _Tried(True, training_memory(rehearsal, data, processes, accumulating=accumulating))
            elif trainer.limit_val_batches != 0:
                yield _Tried(False, validation_memory(rehearsal, data, processes))
        except UserError:
            raise
        except Exception:  # the run itself says what is wrong, if anything is
            continue


def _parts(lanes: int, most: int, processes: int) -> int:
    """Into how many batches a batch is cut, equal ones if possible."""
    fewest = math.ceil(lanes / most)
    equal = (n for n in range(fewest, 2 * fewest) if lanes % (n * processes) == 0)
    return next(equal, fewest)


def _smaller_model(config: DictConfig, build: Build, free: int, need: int) -> int | None:
    """A hidden size whose model fits; None where it is not that size that is too large."""
    size = config.model.get("hidden_size")
    while isinstance(size, int) and size >= 1 and need > MARGIN * free:
        # weights grow with its square, or slower
        size = int(size * min(0.9, math.sqrt(MARGIN * free / need)))
        size -= size % 8 if size > 8 else 0
        model = build(OmegaConf.merge(config, {"model": {"hidden_size": size}})) if size else None  # type: ignore[arg-type]
        if model is None:
            return None
        kept = Kept.by(model, config)
        need = sum(kept) + kept.checkpoint
    return size if isinstance(size, int) and size >= 1 else None


def _states_of_a_weight(config: DictConfig) -> float:
    """What the optimizer keeps, in multiples of what it trains: seen on a small weight."""
    weight = nn.Parameter(torch.zeros(32, 32))
    weight.grad = torch.zeros_like(weight)
    try:
        optimizer = construct(config, "optimizer")([weight])
        optimizer.step()
    except Exception:  # one that needs more than a gradient: what it keeps is not known
        return 0.0
    states = [state for state in optimizer.state[weight].values() if isinstance(state, torch.Tensor)]
    kept = sum(state.numel() * state.element_size() for state in states if state.shape == weight.shape)
    return kept / (weight.numel() * weight.element_size())


def _refusal(argument: str, free: int, need: int, parts: Mapping[str, int], shape: str, fix: str) -> UserError:
    named = ", ".join(f"{name} {_bytes(size)}" for name, size in parts.items() if size)
    return UserError(
        argument,
        f"at most {_bytes(free)}, which are free",
        f"about {_bytes(need)}: {named}{shape}",
        fix=f"{fix}, or check_memory=false to try it all the same",
    )


def _bytes(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"
