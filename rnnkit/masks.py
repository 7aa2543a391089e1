"""Lengths and resets: as tensors, with checks before a kernel fails with a message of its own, and as masks."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from rnnkit.errors import UserError

Lengths: TypeAlias = Tensor | Sequence[int]
"""[B] integers: a tensor of any integer dtype, a list, a tuple or a NumPy array."""
Resets: TypeAlias = Tensor | Sequence[bool] | Sequence[Sequence[bool]]
"""[B] or [B, T] booleans: a tensor, lists or a NumPy array."""


def as_lengths(lengths: Any, x_BT: Tensor, name: str = "lengths") -> Tensor:
    """Return lengths as int64 [B] on the device of x [B, T, ...]; int64, so that sums and differences cannot overflow.

    Values are checked unless that would synchronize with a GPU.

    Args:
        lengths: the lengths.
        x_BT: the input.
        name: the name of the argument in messages.

    Raises:
        UserError: if the values are not integers from 0 to T, or the shape is not [B].

    >>> as_lengths([3, 1], torch.zeros(2, 3))
    tensor([3, 1])
    >>> as_lengths(torch.tensor([3, 1], dtype=torch.uint8), torch.zeros(2, 3)).dtype
    torch.int64
    """
    B, T = x_BT.shape[:2]
    expected = f"whole numbers of shape [{B}], one for each row"
    given = lengths if isinstance(lengths, Tensor) else _tensor(name, lengths, expected, fix=f"{name}=[{T}] * {B}")
    floating = given.is_floating_point()
    if list(given.shape) != [B] or floating or given.is_complex() or given.dtype == torch.bool:
        fix = f"{name}=mask.sum(dim=1) for a [batch, time] mask"
        if floating and list(given.shape) == [B]:
            fix = f"{name}=torch.as_tensor({name}).long()"
        raise UserError(name, expected, f"{given.dtype} of shape {list(given.shape)}", fix=fix)
    if given.dtype is not torch.int64:
        given = given.long()
    if given.device.type == "cpu" and B > 0 and not torch.compiler.is_compiling():
        low, high = (int(bound) for bound in torch.aminmax(given))
        if low < 0 or high > T:
            raise UserError(
                name,
                f"values from 0 to the {T} steps of x",
                f"values from {low} to {high}",
                fix=f"{name}=torch.as_tensor({name}).clamp(0, {T}), or an x with all its steps",
            )
    return given.to(x_BT.device)


def as_reset(reset: Any, x_BT: Tensor) -> Tensor:
    """Return resets as booleans [B] or [B, T] on the device of x [B, T, ...].

    Raises:
        UserError: for another dtype or shape.

    >>> as_reset([True, False], torch.zeros(2, 3))
    tensor([ True, False])
    """
    B, T = x_BT.shape[:2]
    expected = f"torch.bool of shape [{B}] or [{B}, {T}]"
    given = reset if isinstance(reset, Tensor) else _tensor("reset", reset, expected, fix=f"reset=[False] * {B}")
    if given.dtype != torch.bool or list(given.shape) not in ([B], [B, T]):
        raise UserError(
            "reset",
            expected,
            f"{given.dtype} of shape {list(given.shape)}",
            fix="reset=torch.as_tensor(reset).bool() with one value for each row, or for each row and step",
        )
    return given.to(x_BT.device)


def valid_steps(lengths_B: Tensor, steps: int) -> Tensor:
    """Return booleans [B, T], true at valid steps.

    >>> valid_steps(torch.tensor([2, 0]), 3).int()
    tensor([[1, 1, 0],
            [0, 0, 0]], dtype=torch.int32)
    """
    return torch.arange(steps, device=lengths_B.device) < lengths_B[:, None]


def flip_valid(x_BT: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Reverse each row's valid part in time and leave its padding in place: its own inverse.

    >>> flip_valid(torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2]))
    tensor([[3, 2, 1],
            [5, 4, 0]])
    """
    if lengths_B is None:
        return x_BT.flip(1)
    B, T = x_BT.shape[:2]
    t_T = torch.arange(T, device=x_BT.device)
    from_BT = torch.where(t_T < lengths_B[:, None], lengths_B[:, None] - 1 - t_T, t_T)
    rows = (from_BT + T * torch.arange(B, device=x_BT.device)[:, None]).flatten()
    # rows by index_select, as fast as a flip; the backward pass of gather is four times slower
    return x_BT.flatten(0, 1).index_select(0, rows).view_as(x_BT)


def last_valid(y_BT: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Return the last valid step [B, ...] of each row of y [B, T, ...]; the first step of a row without a valid one.

    The backward pass is deterministic on every device and saves only the lengths.

    >>> last_valid(torch.arange(8.0).view(2, 4), torch.tensor([4, 2]))
    tensor([3., 5.])
    """
    if lengths_B is None:
        return y_BT[:, -1]
    return y_BT[torch.arange(len(y_BT), device=y_BT.device), (lengths_B - 1).clamp(min=0)]


def _tensor(name: str, given: Any, expected: str, *, fix: str) -> Tensor:
    """Return a copy, since torch warns about read-only arrays; [] has the dtype of either."""
    try:
        if hasattr(given, "__len__") and len(given) == 0:
            return torch.zeros(0, dtype=torch.bool if name == "reset" else torch.long)
        return torch.tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        got = f"{type(given).__name__} ({' '.join(str(error).split())[:80]})"
        raise UserError(name, expected, got, fix=fix) from error
