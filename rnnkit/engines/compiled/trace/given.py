"""What a step is given besides its state and its weights: an input, and a context that is the same at all steps."""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from rnnkit.cells.state import map_state, state_leaves
from rnnkit.engines.compiled.trace.step import structured


class Given(NamedTuple):
    """One step's input and the context, as trees of tensors.

    * `of_lanes`: for each tensor of the context, whether its first axis is the batch. One that all lanes share is taken
      for a weight, of a name of its own.
    """

    x: Any
    context: Any
    of_lanes: tuple[bool, ...]

    @classmethod
    def of(cls, x: Any, context: Any, of_lanes: tuple[bool, ...]) -> "Given":
        """With the first step of an x [B, T, ...], if there is any."""
        first = map_state(lambda leaf: leaf.detach()[:, :1].flatten(0, 1).requires_grad_(leaf.requires_grad), x)
        return cls(first, context, of_lanes)

    @property
    def x_leaves(self) -> list[Tensor]:
        """The tensors of the input."""
        return state_leaves(self.x)

    @property
    def lane_context(self) -> list[Tensor]:
        """The tensors of the context that belong to lanes."""
        return [leaf for leaf, own in zip(context_leaves(self.context), self.of_lanes, strict=True) if own]

    @property
    def shared_context(self) -> dict[str, Tensor]:
        """Those that do not, by name."""
        leaves = context_leaves(self.context)
        return {_name(n): leaves[n] for n, own in enumerate(self.of_lanes) if not own}

    @property
    def shared_names(self) -> list[str]:
        """Their names."""
        return [_name(n) for n, own in enumerate(self.of_lanes) if not own]

    def x_of(self, leaves: list[Tensor]) -> Any:
        """An input of these tensors."""
        return structured(self.x, leaves)

    def context_of(self, lanes: list[Tensor], weights: dict[str, Tensor]) -> Any:
        """A context of the tensors of lanes, and of those among the weights."""
        own = iter(lanes)
        leaves = iter([next(own) if mine else weights[_name(n)] for n, mine in enumerate(self.of_lanes)])
        return tree_map(lambda leaf: next(leaves) if isinstance(leaf, Tensor) else leaf, self.context)

    def like(self, function: Callable[[Tensor], Tensor]) -> "Given":
        """The same with other tensors."""
        context = tree_map(lambda leaf: function(leaf) if isinstance(leaf, Tensor) else leaf, self.context)
        return Given(map_state(function, self.x), context, self.of_lanes)


def context_leaves(context: Any) -> list[Tensor]:
    """The tensors of a context, which may be absent in parts."""
    return [leaf for leaf in tree_leaves(context) if isinstance(leaf, Tensor)]


def kind_of(tree: Any) -> Hashable:
    """The structure of a tree of tensors, to be compared."""
    return (type(tree), *map(kind_of, tree)) if isinstance(tree, tuple) else tree is None


def _name(n: int) -> str:
    # No parameter has a colon in its name.
    return f"context:{n}"
