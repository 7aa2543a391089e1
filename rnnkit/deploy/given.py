"""Checks of the inputs and states that a live sequence is given."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.state import map_state, state_leaves
from rnnkit.engines.live import Frozen
from rnnkit.errors import UserError

FINGERPRINT = "fingerprint"


def rows_of(frozen: Frozen, x: Any, name: str = "x", *, single: bool | None = None) -> tuple[list[Tensor], int, bool]:
    """Return the tensors of an input [T, ...], contiguous, T, and whether it was a single step without this axis.

    `single` says which of both it must be; None accepts both.

    Raises:
        UserError: if the structure, a shape or a dtype does not fit, there is no step, or an id is out of range.
    """
    if isinstance(frozen.x, Tensor):
        x = _tensor(frozen, x, name)
    leaves = _leaves(frozen, x, name)
    is_single = leaves[0].dim() == frozen.x_leaves[0].dim() - 1
    if single is not None and is_single != single:
        got, fix = f"shape {list(leaves[0].shape)}", "session.push(x_TI)" if single else "session.step(x_I)"
        raise UserError(name, "one step" if single else "an axis of steps before the features", got, fix=fix)
    single = is_single
    found = []
    for leaf, like in zip(leaves, frozen.x_leaves, strict=True):
        shape = tuple(like.shape[1:])
        leaf = leaf[None] if single else leaf
        if tuple(leaf.shape[1:]) != shape or leaf.dim() == 0:
            expected = f"{list(shape)} for one step, or {['T', *shape]} for a chunk".replace("'", "")
            got = f"shape {list(leaf.shape[1:] if single else leaf.shape)}"
            raise UserError(name, expected, got, fix="x[0] of a batch with one row")
        if leaf.dtype != like.dtype:
            if leaf.is_floating_point() != like.is_floating_point() or leaf.is_complex():
                raise UserError(name, f"numbers of {like.dtype}", f"{leaf.dtype}", fix=f"x.to({like.dtype})")
            leaf = leaf.to(like.dtype)
        found.append(leaf.detach().to("cpu").contiguous())
    steps = len(found[0])
    if any(len(leaf) != steps for leaf in found) or steps == 0:
        got = "no step" if steps == 0 else f"fields of {sorted({len(leaf) for leaf in found})} steps"
        raise UserError(name, "one step or more, the same number in all fields", got, fix="a chunk with steps")
    if frozen.limit is not None:
        _check_ids(found[0], frozen.limit, name)
    return found, steps, single


def plain_steps(frozen: Frozen, inputs: list[Any]) -> list[Tensor] | None:
    """Return inputs of one step each, stacked, if all are tensors as the step reads them: the short way; else None."""
    like = frozen.x
    if not isinstance(like, Tensor) or frozen.limit is not None or not inputs:
        return None
    shape, dtype = like.shape[1:], like.dtype
    if all(type(x) is Tensor and x.shape == shape and x.dtype is dtype and x.is_cpu for x in inputs):
        return [torch.stack(inputs).detach()]
    return None


def _tensor(frozen: Frozen, x: Any, name: str) -> Tensor:
    try:
        tensor = x if isinstance(x, Tensor) else torch.as_tensor(x)
    except (TypeError, ValueError, RuntimeError) as error:
        expected = "a tensor, an array or numbers"
        raise UserError(name, expected, f"{type(x).__name__} ({error})", fix=f"{name}=torch.as_tensor(...)") from error
    if frozen.limit is not None and tensor.dim() < 2 and not tensor.is_floating_point():
        # an id, or the ids of several steps
        return tensor.to(torch.int64)[..., None]
    return tensor


def _leaves(frozen: Frozen, x: Any, name: str) -> list[Tensor]:
    try:
        return state_leaves(map_state(lambda _, leaf: torch.as_tensor(leaf), frozen.x, x))
    except (UserError, TypeError, ValueError, AttributeError) as error:
        expected = f"a {type(frozen.x).__name__} of tensors"
        raise UserError(name, expected, type(x).__name__, fix=f"{name}={type(frozen.x).__name__}(...)") from error


def _check_ids(ids: Tensor, limit: int, name: str) -> None:
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= limit:
        got = str(low if low < 0 else high)
        raise UserError(name, f"ids from 0 to {limit - 1}", got, fix="ids of the model's tokenizer")


def saved(frozen: Frozen, record: Tensor) -> dict[str, Tensor]:
    """Return a copy of the state in a record, by name, with the fingerprint of the step."""
    views = frozen.layout.views(record)
    state = {leaf.name: view.clone() for leaf, view in zip(frozen.layout.leaves, views, strict=True)}
    return {FINGERPRINT: torch.tensor(list(frozen.fingerprint), dtype=torch.uint8), **state}


def restore(frozen: Frozen, record: Tensor, state: Mapping[str, Tensor]) -> None:
    """Write a saved state to a record.

    Raises:
        UserError: if it belongs to another step: other weights, another kind, or another dtype.
    """
    fix = "the state_dict() of a session of this model"
    stamp = state.get(FINGERPRINT)
    if not isinstance(stamp, Tensor) or bytes(stamp.to(torch.uint8).tolist()) != frozen.fingerprint:
        got = "one without a fingerprint" if stamp is None else "a state of another model, dtype or version of weights"
        raise UserError("state", "a state of this very step", got, fix=fix)
    wanted = {leaf.name: leaf for leaf in frozen.layout.leaves}
    given = {name: tensor for name, tensor in state.items() if name != FINGERPRINT}
    if given.keys() != wanted.keys():
        raise UserError("state", f"the tensors {', '.join(wanted)}", ", ".join(given) or "none", fix=fix)
    for name, leaf in wanted.items():
        tensor = given[name]
        if tuple(tensor.shape) != leaf.shape or tensor.dtype != leaf.dtype:
            expected = f"{list(leaf.shape)} of {leaf.dtype}"
            raise UserError(f"state.{name}", expected, f"{list(tensor.shape)} of {tensor.dtype}", fix=fix)
    for leaf, view in zip(frozen.layout.leaves, frozen.layout.views(record), strict=True):
        view.copy_(given[leaf.name])
