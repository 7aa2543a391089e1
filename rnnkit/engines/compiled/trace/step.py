"""A traced step with its backward pass, and names for its inputs and outputs."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from rnnkit.cells.state import map_state
from rnnkit.compat.torch import tree_flatten, tree_unflatten


@dataclass
class Step:
    """A traced step. `None` stands for a value that does not exist: no gradient, no tangent, no mask.

    * `weights`: parameters and buffers by name, and tensors of the context that do not belong to rows; `x`, `state`,
      `context`, and for a masked step `initial` (the initial state of a reset row), `valid` and `fresh` [B].
    * `y_grad`, `state_grad`, `states_grad`: the incoming gradients of the output, of the new state from the next step,
      and of the state that is returned at every step.
    * `y`, `new_state`: the results; `weight_grads`, `x_grads`, `state_grads`, `initial_grads`, `context_grads`.
    """

    graph: fx.Graph
    weights: dict[str, fx.Node]
    x: list[fx.Node]
    state: list[fx.Node]
    context: list[fx.Node]
    initial: list[fx.Node]
    valid: fx.Node | None
    fresh: fx.Node | None
    y_grad: fx.Node | None
    state_grad: list[fx.Node | None]
    states_grad: list[fx.Node | None]
    y: fx.Node
    new_state: list[fx.Node]
    weight_grads: dict[str, fx.Node | None]
    x_grads: list[fx.Node | None]
    state_grads: list[fx.Node | None]
    initial_grads: list[fx.Node | None]
    context_grads: list[fx.Node | None]

    @property
    def tangents(self) -> list[fx.Node]:
        """All incoming gradients of the backward step."""
        return [node for node in (self.y_grad, *self.state_grad, *self.states_grad) if node is not None]


def named(
    graph: fx.Graph, inputs: dict[str, Any], tangents: dict[str, Any], asks: dict[str, Any], backward: bool
) -> Step:
    """Return the inputs and outputs of a graph under their names.

    `asks` has the structure of the inputs, and states for each whether its gradient is among the outputs.
    """
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    spec = tree_flatten((inputs, tangents))[1]
    given, tangent_nodes = tree_unflatten(placeholders, spec)
    (output,) = (node for node in graph.nodes if node.op == "output")
    results = iter(output.args[0])
    y, new_state = next(results), [next(results) for _ in given["state"]]

    def grads(asked: Any) -> Any:
        if isinstance(asked, dict):
            return {name: grads(wanted) for name, wanted in asked.items()}
        if isinstance(asked, list):
            return [grads(wanted) for wanted in asked]
        return next(results) if asked and backward else None

    by_source = {key: grads(wanted) for key, wanted in asks.items()}
    return Step(
        graph=graph,
        weights=given["weights"],
        x=given["x"],
        state=given["state"],
        context=given["context"],
        initial=given.get("initial", []),
        valid=given.get("valid"),
        fresh=given.get("fresh"),
        y_grad=tangent_nodes["y"] if backward else None,
        state_grad=tangent_nodes["state"] if backward else [None] * len(new_state),
        states_grad=tangent_nodes["states"] if backward else [],
        y=y,
        new_state=new_state,
        weight_grads=by_source["weights"],
        x_grads=by_source["x"],
        state_grads=by_source["state"],
        initial_grads=by_source["initial"],
        context_grads=by_source["context"],
    )


def structured(structure: Any, leaves: list[Tensor]) -> Any:
    """Arrange the leaves in the structure of a state."""
    remaining = iter(leaves)
    return map_state(lambda _: next(remaining), structure)
