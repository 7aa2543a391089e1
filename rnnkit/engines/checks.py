"""What may be handed to `scan`, checked before a kernel answers in its own words; `rnnkit.masks` has the rest."""

from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from rnnkit.cells.base import Cell
from rnnkit.errors import UserError


def check_input(cell: Cell[Any], x_BTI: Any) -> None:
    """A tensor [B, T, I] with the cell's I."""
    if not isinstance(x_BTI, Tensor):
        raise _no_tensor(cell, x_BTI)
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


def _no_tensor(cell: Cell[Any], x: Any) -> UserError:
    if isinstance(x, PackedSequence):
        return UserError(
            "x_BTI",
            "a padded tensor [batch, time, features], and lengths=",
            "a PackedSequence",
            fix="x, lengths = torch.nn.utils.rnn.pad_packed_sequence(x, batch_first=True); rnn(x, lengths=lengths)",
        )
    return UserError(
        "x_BTI",
        f"a tensor [batch, time, {cell.input_size}]",
        type(x).__name__,
        fix="x = torch.as_tensor(x, dtype=torch.float32)",
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


def check_checkpoint_every(checkpoint_every: int, steps: int) -> None:
    """One step at least; the proposal needs the least memory, the square root of the window's steps."""
    if checkpoint_every < 1:
        raise UserError(
            "checkpoint_every",
            "a number of steps, 1 or more, or None",
            str(checkpoint_every),
            fix=f"model.checkpoint_every={max(1, round(steps**0.5))}",
        )
