"""A check, before a run begins, that the model and its batches fit into memory."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any, NamedTuple

import lightning as L
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from rnnkit.compat.torch import tree_leaves
from rnnkit.data.loading.worst_case import WorstCase
from rnnkit.engines.compiled.plan.products import BUFFERS
from rnnkit.engines.policy import as_for_more_rows
from rnnkit.errors import UserError
from rnnkit.notices import in_bytes, notice
from rnnkit.tasks import Task
from rnnkit.training.checks.dry_run import DryRun, preserving_state
from rnnkit.training.checks.live_memory import Growth, LiveMemory
from rnnkit.training.configuration.construct import construct
from rnnkit.training.free_memory import free_memory

MARGIN = 0.9
"""The share of the free memory that a proposed size may use."""


class Kept(NamedTuple):
    """The bytes that a run keeps independent of its batches."""

    weights: int
    gradients: int
    optimizer: int
    averages: int

    @classmethod
    def by(cls, model: nn.Module, config: DictConfig) -> "Kept":
        """Return the bytes for a model, which may be on the device "meta", and its configuration."""
        size = _size((*model.parameters(), *model.buffers()))
        trained = _size(parameter for parameter in model.parameters() if parameter.requires_grad)
        averages = 0 if config.get("averaging") is None else size
        return cls(size, trained, round(trained * _states_of_a_weight(config)), averages)

    @property
    def with_checkpoint(self) -> int:
        """The bytes while a checkpoint is written, which is assembled in memory first."""
        return sum(self) + self.weights + self.optimizer + self.averages


def check_model_memory(config: DictConfig, model: nn.Module, build: Callable[[DictConfig], nn.Module | None]) -> None:
    """Check that a model fits into memory, with everything that training keeps beside it.

    Args:
        config: the configuration of the run.
        model: the model; it may be on the device "meta", as those that `build` returns for other configurations.
        build: builds the model of a configuration.

    Raises:
        UserError: if it does not fit; the message proposes a hidden size that does.
    """
    free = free_memory(torch.device("cpu"))
    kept = Kept.by(model, config)
    if free is None or not config.get("check_memory", True) or kept.with_checkpoint <= free:
        return

    def needed(size: int) -> int:
        smaller = build(OmegaConf.merge(config, {"model": {"hidden_size": size}}))  # type: ignore[arg-type]
        assert smaller is not None
        return Kept.by(smaller, config).with_checkpoint

    size = config.model.get("hidden_size")
    sizes = range(8, size, 8) if isinstance(size, int) else range(0)
    fitting = bisect_right(sizes, MARGIN * free, key=needed)
    argument, fix = ("model.hidden_size", f"model.hidden_size={sizes[fitting - 1]}") if fitting else ("model", "")
    parts = {**kept._asdict(), "a checkpoint": kept.with_checkpoint - sum(kept)}
    raise _refusal(argument, free, kept.with_checkpoint, parts, "", fix or "smaller sizes")


def check_batch_memory(config: DictConfig, trainer: L.Trainer, task: Task, data: Any) -> None:
    """Check that a training step and a validation step fit into memory.

    The memory of the largest batch, the `worst_case` of a loader, is extrapolated from that of two and of three rows.
    If the steps with these rows fail, the error is printed, and the check is skipped.

    Args:
        config: the configuration of the run.
        trainer: a trainer that has not begun.
        task: the task.
        data: the data module, set up.

    Raises:
        UserError: if a step does not fit; the message proposes smaller batches.
    """
    device = trainer.strategy.root_device
    free = free_memory(device)
    # the first process of a machine checks, before it starts the others
    if free is None or not config.get("check_memory", True) or trainer.local_rank:
        return
    with preserving_state(task):
        dry_run = DryRun(task, trainer)
        kept = Kept.by(dry_run.model, config)
        if device.type == "cpu":
            free = free // trainer.num_devices + kept.weights  # the weights are already allocated
        for training in (True, False) if trainer.limit_val_batches else (True,):
            try:
                worst, growth = _tried(dry_run, trainer, data, training=training)
            except UserError:
                raise
            except Exception as error:  # an error of the user's code; the run raises it again
                stage = "training" if training else "validation"
                notice(f"rnnkit: the memory of {stage} was not checked: {type(error).__name__}: {error}")
                continue
            # the measured memory of a training step includes the gradients
            need = sum(kept) - training * kept.gradients + growth.peak(math.ceil(worst.rows / trainer.world_size))
            if need > free:
                argument, fix = _smaller(worst, growth, int(MARGIN * free) - sum(kept), trainer, training=training)
                parts = {**kept._asdict(), "activations": need - sum(kept)}
                raise _refusal(argument, free, need, parts, f" for {worst.rows:,} rows x {worst.steps:,} steps", fix)


def _tried(dry_run: DryRun, trainer: L.Trainer, data: Any, *, training: bool) -> tuple[WorstCase, Growth]:
    """Return the worst case of a loader, and how the memory of a step grows with the rows of a process."""
    loader = data.train_dataloader() if training else data.val_dataloader()
    courses = []
    # the first attempt compiles kernels and is not recorded
    attempts = (2, nullcontext(LiveMemory())), (2, LiveMemory()), (3, LiveMemory())
    for count, recording in attempts:
        worst: WorstCase = loader.worst_case(count)
        scale = worst.steps / worst.batch.shape[1]
        rows = math.ceil(worst.rows / trainer.world_size) * scale
        task = dry_run.task(training=training)
        with as_for_more_rows(rows / count), BUFFERS.emptied() as spare, recording as memory:
            if training:
                _step(dry_run, task, worst, keep_gradients=trainer.accumulate_grad_batches > 1)
            else:
                dry_run.validate(task, worst.batch)
        tensors = (leaf for leaf in tree_leaves(worst.batch) if isinstance(leaf, Tensor))
        there = sum(spare) + (_size(tensors) if dry_run.on_cpu else 0)
        courses.append([alive + there for alive in memory.course])
    return worst, Growth(courses[1], courses[2], scale)


def _step(dry_run: DryRun, task: Task, worst: WorstCase, *, keep_gradients: bool) -> None:
    """Run a forward and a backward pass. The gradients of the previous step are kept, or freed between the two."""
    weights = [parameter for parameter in task.parameters() if parameter.requires_grad]
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    loss = dry_run.loss(task, worst.batch)
    for weight in weights if not keep_gradients else ():
        weight.grad = None
    loss.backward()


def _smaller(worst: WorstCase, growth: Growth, room: int, trainer: L.Trainer, *, training: bool) -> tuple[str, str]:
    """Return the option that is too large, and overrides with which a batch needs at most `room` bytes."""
    processes = trainer.world_size
    option = f"data.{'' if training else 'eval_'}{worst.rows_option}"
    most = growth.most_rows(room) * processes
    if not most:
        steps = worst.steps * room // growth.peak(1)
        if worst.steps_option is None or steps < 1:
            return option, f"{option}={processes}, and smaller sizes of the model or shorter sequences"
        return f"data.{worst.steps_option}", f"data.{worst.steps_option}={steps} {option}={processes}"
    fewest = math.ceil(worst.rows / most)
    parts = next((n for n in range(fewest, 2 * fewest) if worst.rows % (n * processes) == 0), fewest)  # equal parts
    fix = f"{option}={max(1, worst.rows // parts // processes) * processes}"
    batches = parts * trainer.accumulate_grad_batches
    return option, f"{fix} trainer.accumulate_grad_batches={batches}" if training else fix


def _states_of_a_weight(config: DictConfig) -> float:
    """Return the size of the optimizer's state per trained byte, measured on a small weight; 0 if it cannot step."""
    weight = nn.Parameter(torch.zeros(32, 32))
    weight.grad = torch.zeros_like(weight)
    try:
        optimizer = construct(config, "optimizer")([weight])
        optimizer.step()
    except (TypeError, ValueError, RuntimeError):  # `check_parts` and the run report the error
        return 0
    states = (state for state in optimizer.state[weight].values() if isinstance(state, Tensor))
    return _size(state for state in states if state.shape == weight.shape) / _size([weight])


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _refusal(argument: str, free: int, need: int, parts: dict[str, int], shape: str, fix: str) -> UserError:
    named = ", ".join(f"{name} {in_bytes(size)}" for name, size in parts.items() if size)
    expected, got = f"at most {in_bytes(free)} of free memory", f"about {in_bytes(need)}: {named}{shape}"
    return UserError(argument, expected, got, fix=f"{fix}, or check_memory=false to train anyway")
