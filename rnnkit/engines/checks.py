"""What may be handed to `scan`, checked before a kernel answers in its own words."""

from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.errors import UserError


def check_input(cell: Cell[Any], x_BTI: Tensor) -> None:
    """[B, T, I] with the cell's I."""
    shape = list(x_BTI.shape)
    if len(shape) != 3:
        raise UserError(
            "x_BTI",
            f"three axes, [batch, time, {cell.input_size}]",
            f"shape {shape}",
            fix="x[None] for one sequence without a batch axis, x[..., None] for a single feature",
        )
    if shape[2] != cell.input_size:
        raise UserError(
            "x_BTI",
            f"[batch, time, {cell.input_size}], as {type(cell).__name__} was built",
            f"shape {shape}",
            fix=f"input_size={shape[2]} where the cell or the RNN is built",
        )


def check_state(name: str, state: Any, initial: Any, batch_size: int) -> None:
    """The structure and the shapes of the cell's own `initial_state(1)`, in this batch size."""
    if isinstance(initial, Tensor):
        expected = [batch_size, *initial.shape[1:]]
        if not isinstance(state, Tensor):
            raise UserError(name, f"a Tensor {expected}", type(state).__name__, fix="state=None to start afresh")
        if list(state.shape) != expected:
            raise UserError(
                name,
                f"shape {expected}",
                f"shape {list(state.shape)}",
                fix=f"initial_state({batch_size}), or state=None to start afresh",
            )
        return
    fields = getattr(initial, "_fields", tuple(map(str, range(len(initial)))))  # a plain tuple has numbers for names
    if type(state) is not type(initial) or len(state) != len(initial):
        wanted = f"{type(initial).__name__}({', '.join(fields)})"
        raise UserError(name, wanted, type(state).__name__, fix=f"state={wanted}, or state=None to start afresh")
    for field, part, initial_part in zip(fields, state, initial, strict=True):
        check_state(f"{name}.{field}", part, initial_part, batch_size)


def check_lengths(lengths: Tensor, x_BTI: Tensor) -> None:
    """[B] whole numbers from 0 to T; the values are looked at only where that does not wait for a GPU."""
    B, T = x_BTI.shape[:2]
    if list(lengths.shape) != [B] or lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise UserError(
            "lengths",
            f"whole numbers of shape [{B}], one for each lane",
            f"{lengths.dtype} of shape {list(lengths.shape)}",
            fix="lengths=mask.sum(dim=1) for a [batch, time] mask",
        )
    if lengths.device.type == "cpu" and B > 0 and not torch.compiler.is_compiling():
        low, high = (int(bound) for bound in torch.aminmax(lengths))
        if low < 0 or high > T:
            raise UserError(
                "lengths",
                f"values from 0 to the {T} steps of x_BTI",
                f"values from {low} to {high}",
                fix=f"lengths=lengths.clamp(0, {T}), or an x_BTI with all its steps",
            )


def check_reset(reset: Tensor, x_BTI: Tensor) -> None:
    """Booleans [B] or [B, T]."""
    B, T = x_BTI.shape[:2]
    if reset.dtype != torch.bool or list(reset.shape) not in ([B], [B, T]):
        raise UserError(
            "reset",
            f"torch.bool of shape [{B}] or [{B}, {T}]",
            f"{reset.dtype} of shape {list(reset.shape)}",
            fix="reset=reset.bool() with one value for each lane, or for each lane and step",
        )


def check_checkpoint_every(checkpoint_every: int, steps: int) -> None:
    """One step at least; the proposal needs the least memory, the square root of the window's steps."""
    if checkpoint_every < 1:
        raise UserError(
            "checkpoint_every",
            "a number of steps, 1 or more, or None",
            str(checkpoint_every),
            fix=f"model.checkpoint_every={max(1, round(steps**0.5))}",
        )
