"""The results of a traced step: copies where they would share memory, and operations without writes in place."""

from typing import Any

from torch import Tensor, fx

from rnnkit.compat.torch import (
    schema_of,
)
from rnnkit.engines.compiled.trace.graphs import (
    OpOverload,
    Untraceable,
    aten,
)
from rnnkit.engines.compiled.trace.step import Step


def as_number(traced: fx.GraphModule, node: fx.Node) -> None:
    """Replace `torch.tensor(0.5)` in a step by the number; larger constants would have to be stored."""
    constant = getattr(traced, str(node.target))
    if not isinstance(constant, Tensor):
        raise Untraceable(f"its step reads a {type(constant).__name__}, which the compiler does not support")
    if constant.numel() != 1:
        shape = list(constant.shape)
        raise Untraceable(f"its step makes a constant tensor of shape {shape}, which should be a buffer of the cell")
    with traced.graph.inserting_before(node):
        options: dict[str, Any] = {"dtype": constant.dtype, "device": constant.device}
        number = traced.graph.call_function(aten.full.default, (list(constant.shape), constant.item()), options)
    number.meta["val"] = node.meta.get("val", constant)
    node.replace_all_uses_with(number)
    traced.graph.erase_node(node)


def copy_results(step: Step) -> None:
    """Copy a result that is the context itself, so that every step has it as a value."""
    (output,) = (node for node in step.graph.nodes if node.op == "output")

    def own(result: fx.Node) -> fx.Node:
        if result not in step.context:
            return result
        with step.graph.inserting_before(output):
            copy = step.graph.call_function(aten.maximum.default, (result, result))
        copy.meta["val"] = result.meta["val"]
        return copy

    step.y, step.new_state = own(step.y), [own(new) for new in step.new_state]
    results = output.args[0]
    assert isinstance(results, (list, tuple))
    output.args = ([step.y, *step.new_state, *results[1 + len(step.new_state) :]],)


def as_it_is(tensor: Tensor) -> Tensor:
    """Return the tensor itself, for hooks that would pack it."""
    return tensor


def writes_in_place(node: fx.Node) -> bool:
    """Whether an operation writes into one of its arguments."""
    return isinstance(node.target, OpOverload) and schema_of(node.target).is_mutable
