"""What an engine is handed besides cell, input and state, and what engines do with it."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from rnnkit.cells.state import map_state

StateTree = TypeVar("StateTree")


class Window(NamedTuple):
    """How the lanes of one window lie in time.

    * `lengths` [B]: the valid steps of each lane, which come first; None where all lanes are full.
    * `fresh` [B, T]: true where a lane takes that step from the cell's initial state, whatever came before; None for
      nowhere. Never true at a padded step; the direction is already accounted for.
    * `reverse`: the steps are taken from the last valid one to the first.
    """

    lengths: Tensor | None
    fresh: Tensor | None
    reverse: bool


FULL = Window(None, None, False)
"""All rows full, forward, from the given state."""


def valid_steps(lengths_B: Tensor, steps: int) -> Tensor:
    """[B, T] booleans, true where a step is no padding.

    >>> valid_steps(torch.tensor([2, 0]), 3).int()
    tensor([[1, 1, 0],
            [0, 0, 0]], dtype=torch.int32)
    """
    return torch.arange(steps, device=lengths_B.device) < lengths_B[:, None]


def expanded(mask: Tensor, like: Tensor) -> Tensor:
    """A mask of the first axes of a tensor as one of all its axes.

    >>> expanded(torch.tensor([True, False]), torch.zeros(2, 3, 4)).shape
    torch.Size([2, 1, 1])
    """
    return mask.view(*mask.shape, *[1] * (like.dim() - mask.dim()))


def without_padding(x: StateTree, lengths_B: Tensor) -> StateTree:
    """Zeros at padded steps, in every tensor [B, T, ...] of x.

    >>> without_padding(torch.ones(2, 3), torch.tensor([2, 0]))
    tensor([[1., 1., 0.],
            [0., 0., 0.]])
    """

    def zeroed(leaf: Tensor) -> Tensor:
        return leaf.masked_fill(expanded(~valid_steps(lengths_B, leaf.shape[1]), leaf), 0)

    return map_state(zeroed, x)


def cut(window: Window, start: int, stop: int) -> Window:
    """The part of a window from one step to another.

    >>> cut(Window(torch.tensor([5, 1]), None, False), 2, 4).lengths
    tensor([2, 0])
    """
    lengths_B = None if window.lengths is None else (window.lengths - start).clamp(0, stop - start)
    fresh_BT = None if window.fresh is None else window.fresh[:, start:stop]
    return Window(lengths_B, fresh_BT, window.reverse)


def joined(parts: Sequence[StateTree]) -> StateTree:
    """Trees with leaves [B, T, ...] one after another in time.

    >>> joined([torch.zeros(1, 2), torch.ones(1, 1)])
    tensor([[0., 0., 1.]])
    """
    return map_state(lambda *leaves: torch.cat(leaves, dim=1), *parts)


def select_rows(mask_B: Tensor, chosen: StateTree, otherwise: StateTree) -> StateTree:
    """The rows of `chosen` where the mask is true, of `otherwise` elsewhere; what is not taken reaches no gradient.

    >>> select_rows(torch.tensor([True, False]), torch.zeros(2, 1), torch.ones(2, 1)).flatten()
    tensor([0., 1.])
    """

    def select(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(expanded(mask_B, a), a, b)

    return map_state(select, chosen, otherwise)


def flip_valid(x_BT: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Each lane's valid part backwards in time, its padding where it was: its own inverse.

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
    # Whole rows by index_select: as fast as a flip, where gather's backward is four times slower.
    return x_BT.flatten(0, 1).index_select(0, rows).view_as(x_BT)
