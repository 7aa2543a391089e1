"""The state of a cell as a vector of real numbers, in which its derivatives are taken.

Complex numbers count as two reals. Masks and counters have no derivative and are left out.
"""

from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.state import map_state, state_leaves
from rnnkit.errors import UserError


def is_differentiable(leaf: Tensor) -> bool:
    """Whether a part of a state has a derivative."""
    return leaf.is_floating_point() or leaf.is_complex()


def to_vector(state: Any, axes: int = 1) -> Tensor:
    """Return the differentiable parts of a state as one real tensor [..., S], with the first `axes` axes kept.

    Raises:
        UserError: if no part of the state is a floating-point or complex tensor.

    >>> to_vector((torch.ones(2, 3), torch.zeros(2, 2, dtype=torch.complex64))).shape
    torch.Size([2, 7])
    """
    parts = [leaf for leaf in state_leaves(state) if is_differentiable(leaf)]
    if not parts:
        raise UserError("state", "a floating-point or complex tensor", "none", fix="a cell with such a state")
    dtype = parts[0].dtype.to_real()
    for part in parts[1:]:
        dtype = torch.promote_types(dtype, part.dtype.to_real())
    return torch.cat([_as_real(part).flatten(axes).to(dtype) for part in parts], dim=-1)


def from_vector(vector: Tensor, like: Any) -> Any:
    """Return a state of the structure of `like` whose differentiable parts are those of the vector [..., S].

    >>> from_vector(torch.arange(4.0)[None], (torch.zeros(1, 2), torch.zeros(1, 1, dtype=torch.complex64)))[1]
    tensor([[2.+3.j]])
    """
    axes, start = vector.dim() - 1, 0

    def taken(leaf: Tensor) -> Tensor:
        nonlocal start
        if not is_differentiable(leaf):
            return leaf
        shape = leaf.shape[axes:] + ((2,) if leaf.is_complex() else ())
        part = vector[..., start : start + shape.numel()].reshape(vector.shape[:-1] + shape).to(leaf.dtype.to_real())
        start += shape.numel()
        return torch.view_as_complex(part.contiguous()) if leaf.is_complex() else part

    return map_state(taken, like)


def unit_names(state: Any) -> list[str]:
    """Return a name for each element of the vector of a state: the field of the state and the index.

    >>> from rnnkit.cells import LSTMCell
    >>> unit_names(LSTMCell(3, 2).initial_state(1))
    ['hidden 0', 'hidden 1', 'cell 0', 'cell 1']
    """
    names: list[str] = []
    for name, leaf in _named_leaves(state, ""):
        if is_differentiable(leaf):
            count = _as_real(leaf).flatten(1).shape[1]
            names += [f"{name or 'state'} {index}" for index in range(count)]
    return names


def _named_leaves(state: Any, name: str) -> list[tuple[str, Tensor]]:
    if isinstance(state, Tensor):
        return [(name, state)]
    fields = getattr(state, "_fields", [str(index) for index in range(len(state))])
    return [leaf for field, part in zip(fields, state, strict=True) for leaf in _named_leaves(part, field)]


def _as_real(leaf: Tensor) -> Tensor:
    return torch.view_as_real(leaf) if leaf.is_complex() else leaf
