"""The inputs of a step besides its state and weights: the input, and a context that is constant over the steps."""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from torch import Tensor

from rnnkit.cells.state import map_state, state_leaves
from rnnkit.compat.torch import tree_leaves, tree_map
from rnnkit.engines.compiled.trace.step import structured


class Given(NamedTuple):
    """The input of one step and the context, as trees of tensors.

    `of_rows` states for each tensor of the context whether its first axis is the batch. Other tensors are treated as
    weights, with names of their own.
    """

    x: Any
    context: Any
    of_rows: tuple[bool, ...]

    @classmethod
    def of(cls, x: Any, context: Any, of_rows: tuple[bool, ...]) -> "Given":
        """Return the inputs with the first step of x [B, T, ...], if there is one."""
        first = map_state(lambda leaf: leaf.detach()[:, :1].flatten(0, 1).requires_grad_(leaf.requires_grad), x)
        return cls(first, context, of_rows)

    @property
    def x_leaves(self) -> list[Tensor]:
        """The tensors of the input."""
        return state_leaves(self.x)

    @property
    def row_context(self) -> list[Tensor]:
        """The tensors of the context that belong to rows."""
        return [leaf for leaf, own in zip(context_leaves(self.context), self.of_rows, strict=True) if own]

    @property
    def shared_context(self) -> dict[str, Tensor]:
        """The other tensors of the context, by name."""
        leaves = context_leaves(self.context)
        return {_name(n): leaves[n] for n, own in enumerate(self.of_rows) if not own}

    @property
    def shared_names(self) -> list[str]:
        """The names of the other tensors of the context."""
        return [_name(n) for n, own in enumerate(self.of_rows) if not own]

    def x_of(self, leaves: list[Tensor]) -> Any:
        """Return an input with these tensors."""
        return structured(self.x, leaves)

    def context_of(self, rows: list[Tensor], weights: dict[str, Tensor]) -> Any:
        """Return a context with these tensors of rows, and others from the weights."""
        own = iter(rows)
        leaves = iter([next(own) if mine else weights[_name(n)] for n, mine in enumerate(self.of_rows)])
        return tree_map(lambda leaf: next(leaves) if isinstance(leaf, Tensor) else leaf, self.context)

    def like(self, function: Callable[[Tensor], Tensor]) -> "Given":
        """Return the same structure with other tensors."""
        context = tree_map(lambda leaf: function(leaf) if isinstance(leaf, Tensor) else leaf, self.context)
        return Given(map_state(function, self.x), context, self.of_rows)


def context_leaves(context: Any) -> list[Tensor]:
    """Return the tensors of a context, parts of which may be None."""
    return [leaf for leaf in tree_leaves(context) if isinstance(leaf, Tensor)]


def kind_of(tree: Any) -> Hashable:
    """Return the structure of a tree of tensors, for comparison."""
    return (type(tree), *map(kind_of, tree)) if isinstance(tree, tuple) else tree is None


def _name(n: int) -> str:
    # no parameter name has a colon
    return f"context:{n}"
