"""Padding, resets and direction of a window, and operations on them."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from rnnkit.cells.state import map_state
from rnnkit.masks import valid_steps

StateTree = TypeVar("StateTree")


class Window(NamedTuple):
    """Padding, resets and direction of the rows of a window.

    Args:
        lengths: [B], the number of valid steps of each row, which come first; None if there is no padding.
        fresh: [B, T], true where a row starts from the cell's initial state at that step; None for nowhere. Never true
            at a padded step; the direction is already accounted for.
        reverse: run from the last valid step to the first.
    """

    lengths: Tensor | None
    fresh: Tensor | None
    reverse: bool


FULL = Window(None, None, False)
"""No padding, no resets, forward."""


def expanded(mask: Tensor, like: Tensor) -> Tensor:
    """Expand a mask of the first axes of a tensor to all its axes.

    >>> expanded(torch.tensor([True, False]), torch.zeros(2, 3, 4)).shape
    torch.Size([2, 1, 1])
    """
    return mask.view(*mask.shape, *[1] * (like.dim() - mask.dim()))


def without_padding(x: StateTree, lengths_B: Tensor) -> StateTree:
    """Set padded steps to zero in every tensor [B, T, ...] of x.

    >>> without_padding(torch.ones(2, 3), torch.tensor([2, 0]))
    tensor([[1., 1., 0.],
            [0., 0., 0.]])
    """

    def zeroed(leaf: Tensor) -> Tensor:
        return leaf.masked_fill(expanded(~valid_steps(lengths_B, leaf.shape[1]), leaf), 0)

    return map_state(zeroed, x)


def cut(window: Window, start: int, stop: int) -> Window:
    """Return the part of a window from one step to another.

    >>> cut(Window(torch.tensor([5, 1]), None, False), 2, 4).lengths
    tensor([2, 0])
    """
    lengths_B = None if window.lengths is None else (window.lengths - start).clamp(0, stop - start)
    fresh_BT = None if window.fresh is None else window.fresh[:, start:stop]
    return Window(lengths_B, fresh_BT, window.reverse)


def joined(parts: Sequence[StateTree]) -> StateTree:
    """Concatenate trees with leaves [B, T, ...] in time.

    >>> joined([torch.zeros(1, 2), torch.ones(1, 1)])
    tensor([[0., 0., 1.]])
    """
    return map_state(lambda *leaves: torch.cat(leaves, dim=1), *parts)


def select_rows(mask_B: Tensor, chosen: StateTree, otherwise: StateTree) -> StateTree:
    """Return the rows of `chosen` where the mask is true, of `otherwise` elsewhere; others get no gradient.

    >>> select_rows(torch.tensor([True, False]), torch.zeros(2, 1), torch.ones(2, 1)).flatten()
    tensor([0., 1.])
    """

    def select(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(expanded(mask_B, a), a, b)

    return map_state(select, chosen, otherwise)
