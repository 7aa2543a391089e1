"""Non-finite gradients: skipped, counted and explained; a checkpoint is restored if they persist."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from rnnkit.batch import SequenceBatch
from rnnkit.cells import map_state, state_leaves
from rnnkit.errors import UserError
from rnnkit.notices import notice
from rnnkit.tasks import Task
from rnnkit.training.checks.bad_batch import plain
from rnnkit.training.checks.diagnosis import locate
from rnnkit.training.run import storage

THEN = ("rollback", "stop")
MOST_ROLLBACKS = 3
"""The number of rollbacks without a finite step in between after which the run stops."""


class NonFiniteGuard(L.Callback):
    """Handles steps that `Task` has skipped because the gradient has a NaN or an infinity.

    A carry that is not finite is reset. At the first of consecutive skipped steps, the first non-finite value is
    printed, and the batch is saved as `bad_batch.pt` with everything that `rnnkit replay` needs to reproduce it. After
    `most` consecutive skipped steps, the run restores the weights and the optimizer of its last checkpoint with half
    the learning rate, or stops.

    Args:
        folder: the run folder.
        most: the number of consecutive skipped steps after which `then` is done.
        then: "rollback" or "stop".
    """

    def __init__(self, folder: Path, most: int, then: str) -> None:
        if most < 1:
            raise UserError("max_nonfinite_steps", "1 or more", str(most), fix="max_nonfinite_steps=5")
        if then not in THEN:
            raise UserError("on_nonfinite", f"one of {', '.join(THEN)}", repr(then), fix="on_nonfinite=rollback")
        self.folder = folder
        self.most = most
        self.then = then
        self.skipped = 0
        """The number of steps skipped since the run began."""
        self._row = 0
        self._rollbacks = 0
        self._random: Tensor | None = None
        self._carry: Any = None

    @property
    def state_key(self) -> str:
        """The name of the state in the checkpoints of all versions."""
        return "BadNumbers"

    def state_dict(self) -> dict[str, Any]:
        return {"skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.skipped = state_dict["skipped"]

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Task)
        self._random = torch.get_rng_state()
        self._carry = pl_module.carry.get("train")

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Task)
        if not pl_module.skipped_nonfinite:
            if self._row:
                self._row = self._rollbacks = 0
            return
        pl_module.skipped_nonfinite = False
        self.skipped += 1
        self._row += 1
        _drop_bad_carry(pl_module, self._carry)
        if self._row == 1:
            self._explain(trainer, pl_module, batch)
        if self._row == self.most:
            self._row = 0
            self._go_back(trainer, pl_module)

    def _explain(self, trainer: L.Trainer, task: Task, batch: SequenceBatch) -> None:
        case = {
            "state_dict": task.state_dict(),
            "carry": [] if self._carry is None else state_leaves(self._carry),
            "random": self._random,
            "step": trainer.global_step,
        }
        try:
            where = replay(task, case, batch)
        except Exception as error:  # the run continues
            where = f"unknown ({type(error).__name__}: {error})"
        again = f"Reproduce with: rnnkit replay {self.folder}"
        if trainer.is_global_zero:
            try:
                storage.write({**case, "batch": plain(batch)}, self.folder / "bad_batch.pt")
            except (TypeError, OSError) as error:
                again = f"The batch could not be saved: {error}"
        step = f"step {trainer.global_step}: non-finite gradient; step skipped"
        # from every process, since the value may be in one of them only
        print(f"{step}. First non-finite value: {where}. {again}", file=sys.stderr)

    def _go_back(self, trainer: L.Trainer, task: Task) -> None:
        files = [self.folder / "checkpoints" / f"{name}.ckpt" for name in (storage.LAST, storage.BEFORE_LAST)]
        whole = next((found for found in map(_good, files) if found is not None), None)
        if self.then == "stop" or whole is None or self._rollbacks == MOST_ROLLBACKS:
            why = {"stop": "on_nonfinite=stop"}.get(self.then, f"restored {self._rollbacks} times already")
            why = "no checkpoint to restore" if whole is None and self.then != "stop" else why
            raise UserError(
                "training",
                "finite numbers",
                f"{self.most} consecutive steps without ({why}); {self.folder}/bad_batch.pt holds the first of them",
                fix="optimizer.lr=... ten times smaller, or clipping=norm clipping.max_norm=1",
            )
        self._rollbacks += 1
        task.load_state_dict(whole["state_dict"])
        for optimizer, state in zip(trainer.optimizers, whole["optimizer_states"], strict=True):
            rates = [group["lr"] for group in optimizer.param_groups]
            optimizer.load_state_dict(state)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
        _scale_rates(trainer, 0.5)
        notice(
            f"step {trainer.global_step}: {self.most} consecutive non-finite gradients; restored the weights of step "
            f"{whole['global_step']} and halved the learning rate"
        )


def replay(task: Task, case: Mapping[str, Any], batch: SequenceBatch) -> str:
    """Run a batch again with the weights, carry and random numbers of its case; return where it is not finite."""
    weights, gradients = task.state_dict(), [p.grad for p in task.parameters()]
    kept = {name: weight.clone() for name, weight in weights.items()}
    carry = dict(task.carry)
    task.load_state_dict(case["state_dict"])
    task.train()
    leaves = iter(case["carry"])
    task.carry.pop("train", None)
    if case["carry"]:
        task.carry["train"] = map_state(lambda _: next(leaves).to(task.device), task.model.initial_state(1))
    before = torch.get_rng_state()
    torch.set_rng_state(case["random"])
    try:
        with torch.enable_grad():
            return locate(task.model, lambda: task.training_step(batch, 0))
    finally:
        torch.set_rng_state(before)
        task.load_state_dict(kept)
        for parameter, gradient in zip(task.parameters(), gradients, strict=True):
            parameter.grad = gradient
        task.carry = carry


def _drop_bad_carry(task: Task, before: Any) -> None:
    def finite(state: Any) -> bool:
        leaves = [leaf for leaf in state_leaves(state) if leaf.is_floating_point() or leaf.is_complex()]
        return all(bool(leaf.isfinite().all()) for leaf in leaves)

    if "train" in task.carry and not finite(task.carry["train"]):
        del task.carry["train"]
        if before is not None and finite(before):
            task.carry["train"] = before


def _good(path: Path) -> dict[str, Any] | None:
    try:
        found = storage.read(path)
    except (OSError, storage.DamagedFileError):
        return None
    # unused slots of a clipping history are NaN on purpose
    weights = [weight for name, weight in found["state_dict"].items() if name.startswith("model.")]
    return found if all(bool(weight.isfinite().all()) for weight in weights) else None


def _scale_rates(trainer: L.Trainer, factor: float) -> None:
    """Scale the current learning rates, and the base rates of schedules."""
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            group.update({key: group[key] * factor for key in ("lr", "initial_lr", "max_lr", "min_lr") if key in group})
    for entry in trainer.lr_scheduler_configs:
        rates = getattr(entry.scheduler, "base_lrs", None)
        if rates is not None:
            entry.scheduler.base_lrs = [rate * factor for rate in rates]
