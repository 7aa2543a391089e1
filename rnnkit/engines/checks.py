"""Checks of the arguments of `scan`, before a kernel fails with a message of its own; see also `rnnkit.masks`."""

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from rnnkit.cells.base import Cell
from rnnkit.errors import UserError


def check_input(cell: Cell[Any], x: Any) -> None:
    """Check for a tensor [B, T, I] with the cell's I, or a NamedTuple of tensors with the same B and T."""
    if isinstance(x, Tensor):
        _check_features(cell, x)
    elif isinstance(x, tuple) and hasattr(x, "_fields") and not isinstance(x, PackedSequence):
        _check_fields(x)
    else:
        raise _no_tensor(cell, x)


def _check_features(cell: Cell[Any], x_BTI: Tensor) -> None:
    shape = list(x_BTI.shape)
    if len(shape) != 3:
        raise UserError(
            "x",
            f"three axes, [batch, time, {cell.input_size}]",
            f"shape {shape}",
            fix="x[None] for one sequence without a batch axis, x[..., None] for a single feature",
        )
    if shape[2] != cell.input_size:
        raise UserError(
            "x",
            f"[batch, time, {cell.input_size}], the input size of the {type(cell).__name__}",
            f"shape {shape}",
            fix=f"input_size={shape[2]} for the cell or the RNN",
        )


def _check_fields(x: Any) -> None:
    """Check batch and time of all fields; their numbers of features are not known here."""
    leaves = _fields("x", x)
    if not leaves:
        raise UserError("x", "a NamedTuple of tensors [batch, time, ...]", "one without fields", fix="x = a tensor")
    first_name, first = next(iter(leaves.items()))
    for name, leaf in leaves.items():
        if leaf.dim() < 2:
            got, fix = f"shape {list(leaf.shape)}", f"{name}[None] for one sequence without a batch axis"
            raise UserError(name, "a tensor [batch, time, ...]", got, fix=fix)
        if leaf.shape[:2] != first.shape[:2]:
            wanted = f"[{first.shape[0]}, {first.shape[1]}, ...], the batch and time of {first_name}"
            fix = f"tensors of one batch and time in all fields of {type(x).__name__}; context= for what has no time"
            raise UserError(name, wanted, f"shape {list(leaf.shape)}", fix=fix)


def _fields(name: str, x: Any) -> dict[str, Tensor]:
    """Return the tensors of nested NamedTuples by their dotted names."""
    if isinstance(x, Tensor):
        return {name: x}
    if not isinstance(x, tuple):
        fix = f"{name}=torch.as_tensor(...)"
        raise UserError(name, "a tensor, or a NamedTuple of tensors", type(x).__name__, fix=fix)
    names = getattr(x, "_fields", range(len(x)))
    return {
        key: leaf
        for field, part in zip(names, x, strict=True)
        for key, leaf in _fields(f"{name}.{field}", part).items()
    }


def check_context(cell: Cell[Any], context: Any) -> None:
    """Check for tensors, None, and tuples of them, if the cell's step takes a context."""
    if context is None:
        if cell.needs_context:
            raise UserError(
                "context", f"the context of {type(cell).__name__}.forward", "None", fix="scan(cell, x, context=...)"
            )
        return
    if not cell.takes_context:
        raise UserError(
            "context",
            "None for a cell whose forward has no parameter of this name",
            f"a {type(context).__name__} for {type(cell).__name__}",
            fix="def forward(self, x, state, context=None) in the cell, or context=None",
        )
    _check_tree("context", context)


def _check_tree(name: str, tree: Any) -> None:
    if tree is None or isinstance(tree, Tensor):
        return
    if not isinstance(tree, tuple):
        fix = f"{name}=torch.as_tensor(...), or a NamedTuple with a field for each part"
        raise UserError(name, "a tensor, None, or a tuple of them", type(tree).__name__, fix=fix)
    for field, part in zip(getattr(tree, "_fields", range(len(tree))), tree, strict=True):
        _check_tree(f"{name}.{field}", part)


def _no_tensor(cell: Cell[Any], x: Any) -> UserError:
    if isinstance(x, PackedSequence):
        return UserError(
            "x",
            "a padded tensor [batch, time, features], and lengths=",
            "a PackedSequence",
            fix="x, lengths = torch.nn.utils.rnn.pad_packed_sequence(x, batch_first=True); rnn(x, lengths=lengths)",
        )
    return UserError(
        "x",
        f"a tensor [batch, time, {cell.input_size}]",
        type(x).__name__,
        fix="x = torch.as_tensor(x, dtype=torch.float32)",
    )


_structures: WeakKeyDictionary[Cell[Any], Any] = WeakKeyDictionary()
"""For each cell, the structure of its state."""


def check_state(cell: Cell[Any], state: Any, batch_size: int) -> None:
    """Check that a state has the structure and the shapes of the cell's `initial_state(1)`, for this batch size.

    The initial state is created once for each cell, so that random initial states draw no numbers in each call of
    `scan`.
    """
    if torch.compiler.is_compiling():
        _check_structure("state", state, cell.initial_state(1), batch_size)
        return
    known = _structures.get(cell)
    if known is not None:
        try:
            _check_structure("state", state, known, batch_size)
        except UserError:
            known = None  # the cell may have been changed
    if known is None:
        with torch.no_grad(), torch.random.fork_rng([leaf.device for leaf in cell.parameters() if leaf.is_cuda][:1]):
            _structures[cell] = cell.initial_state(1)
        _check_structure("state", state, _structures[cell], batch_size)


def _check_structure(name: str, state: Any, initial: Any, batch_size: int) -> None:
    if isinstance(initial, Tensor):
        expected = [batch_size, *initial.shape[1:]]
        if not isinstance(state, Tensor):
            raise UserError(name, f"a Tensor {expected}", type(state).__name__, fix="state=None for the initial state")
        if list(state.shape) != expected:
            raise UserError(
                name,
                f"shape {expected}",
                f"shape {list(state.shape)}",
                fix=f"initial_state({batch_size}), or state=None for the initial state",
            )
        return
    fields = getattr(initial, "_fields", tuple(map(str, range(len(initial)))))  # a plain tuple has numbered items
    if type(state) is not type(initial) or len(state) != len(initial):
        wanted = f"{type(initial).__name__}({', '.join(fields)})"
        raise UserError(name, wanted, type(state).__name__, fix=f"state={wanted}, or state=None for the initial state")
    for field, part, initial_part in zip(fields, state, initial, strict=True):
        _check_structure(f"{name}.{field}", part, initial_part, batch_size)


def check_checkpoint_every(checkpoint_every: int, steps: int) -> None:
    """Check for at least one step; the proposed value, the square root of the steps, needs the least memory."""
    if checkpoint_every < 1:
        raise UserError(
            "checkpoint_every",
            "a number of steps, 1 or more, or None",
            str(checkpoint_every),
            fix=f"model.checkpoint_every={max(1, round(steps**0.5))}",
        )
