"""Base class of tasks that carry the state from window to window."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnkit.batch import SequenceBatch
from rnnkit.cells import map_state, state_leaves
from rnnkit.tasks.base import Capability, Task


class StreamTask(Task):
    """A task trained on a stream of windows by truncated backpropagation through time.

    Each batch is a window of B lanes. The detached state after a window is the *carry*: the initial state of the next
    window, except in lanes that `reset` marks. Gradients flow through the T steps of one window only, the state through
    the whole stream. One window is one ordinary `training_step`. Training, validation and test each have their own
    carry. The training carry is part of the checkpoint.

    Args:
        model: maps `(inputs, state, lengths=..., reset=...)` to `(outputs, state)` and has `initial_state(batch_size)`.
        optimizer, schedule, clip: see `Task`.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"stream"})

    def run_window(self, batch: SequenceBatch, stage: str) -> Tensor:
        """Returns the loss of one window and updates the carry of `stage` ("train", "val", "test")."""
        outputs, state = self.model(batch.inputs, self.carry.get(stage), lengths=batch.lengths, reset=batch.reset)
        self.carry[stage] = map_state(Tensor.detach, state)
        return self.loss(outputs, batch)

    def run_model(self, model: Any, batch: SequenceBatch, state: Any = None) -> Any:
        return model(batch.inputs, state, lengths=batch.lengths, reset=batch.reset)[0]

    def training_step(self, batch: SequenceBatch, batch_idx: int) -> Tensor:
        return self.run_window(batch, "train")

    def begin(self, stage: str) -> None:
        self.carry.pop(stage, None)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # leaves only, so that weights_only=True can load the checkpoint; one row for each process
        leaves = state_leaves(self.carry.get("train", ()))
        many = self.trainer.world_size > 1
        checkpoint["carry"] = [self.all_gather(leaf) if many else leaf[None].clone() for leaf in leaves]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        leaves = checkpoint.get("carry", [])
        if leaves:
            mine = iter(leaf[self.global_rank].to(self.device) for leaf in leaves)
            self.carry["train"] = map_state(lambda _: next(mine), self.model.initial_state(1))

    def training_state_metrics(self) -> dict[str, float]:
        return {"carry_norm": float(self.carry_norm())}

    def carry_norm(self) -> Tensor:
        """Returns the root mean square, over the lanes, of the norm of the training carry."""
        # boolean masks are left out; abs() handles complex states
        leaves = [leaf for leaf in state_leaves(self.carry["train"]) if leaf.dtype != torch.bool]
        return torch.stack([leaf.abs().float().square().sum() / leaf.shape[0] for leaf in leaves]).sum().sqrt()
