"""Operations on all tensors of a state of any structure."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from torch import Tensor

from rnnkit.errors import UserError

StateTree = TypeVar("StateTree")
"""A Tensor, or a NamedTuple or tuple of states: the state of a cell, or of all layers of an RNN."""


def map_state(function: Callable[..., Tensor], state: StateTree, *others: StateTree) -> StateTree:
    """Apply `function` to every tensor of a state (and the matching tensors of `others`); types are preserved.

    It also accepts inputs of several tensors and contexts; a part that is None stays None.

    Args:
        function: called with a tensor of each of the states.
        state: a state.
        others: states of the same structure.

    Raises:
        UserError: if a state has an item that is neither a tensor nor a tuple, or the structures differ.

    >>> import torch
    >>> from rnnkit.cells import LSTMState
    >>> map_state(Tensor.neg, LSTMState(hidden=torch.ones(1), cell=torch.zeros(1))).hidden
    tensor([-1.])
    """
    if isinstance(state, Tensor):
        return cast("StateTree", function(state, *others))
    if not isinstance(state, tuple):
        raise UserError(
            "state",
            "a Tensor, or a NamedTuple or tuple of Tensors",
            type(state).__name__,
            fix="state=None to start from the cell's initial state",
        )
    if any(type(other) is not type(state) or len(cast(Any, other)) != len(state) for other in others):
        raise UserError(
            "state",
            f"states of one structure, {_structure(state)}",
            ", ".join(_structure(other) for other in others),
            fix="state=None to start from the cell's initial state",
        )
    together = zip(state, *cast(Any, others), strict=True)
    parts: list[Any] = [None if all(leaf is None for leaf in part) else map_state(function, *part) for part in together]
    # a NamedTuple takes its fields as arguments, a plain tuple takes one sequence
    return cast("StateTree", type(state)(*parts) if hasattr(state, "_fields") else tuple(parts))


def state_leaves(state: object) -> list[Tensor]:
    """Return the tensors of a state, in order.

    >>> import torch
    >>> len(state_leaves((torch.zeros(1), (torch.zeros(1), torch.zeros(1)))))
    3
    """
    leaves: list[Tensor] = []

    def collect(leaf: Tensor) -> Tensor:
        leaves.append(leaf)
        return leaf

    map_state(collect, state)
    return leaves


def _structure(state: object) -> str:
    return f"{type(state).__name__} of {len(state)}" if isinstance(state, tuple) else type(state).__name__
