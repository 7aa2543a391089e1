"""One step of a cell with its backward, as a graph of ATen operations."""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from rnnkit.cells.state import state_leaves
from rnnkit.compat.torch import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    make_fx,
    tree_flatten,
    tree_unflatten,
)
from rnnkit.engines.compiled.trace.batch_independence import check_batch_independence
from rnnkit.engines.compiled.trace.graphs import (
    SENTINEL_BATCH,
    Untraceable,
    ancestors,
    descendants,
    first_line,
)
from rnnkit.engines.compiled.trace.merged import separate
from rnnkit.engines.compiled.trace.pairs import as_pairs
from rnnkit.engines.compiled.trace.plain_cells import PlainCells
from rnnkit.engines.compiled.trace.primitives import decompositions
from rnnkit.engines.compiled.trace.results import as_it_is, as_number, copy_results, writes_in_place
from rnnkit.engines.compiled.trace.simplify import simplify
from rnnkit.engines.compiled.trace.step import Step, named, structured
from rnnkit.engines.compiled.trace.twin import Twin
from rnnkit.engines.compiled.trace.unlogged import unlogged
from rnnkit.engines.window import select_rows


def trace(
    twin: Twin,
    y_dtype: torch.dtype,
    state: Any,
    weights: dict[str, Tensor],
    *,
    masked: bool,
    backward: bool,
    states: bool = False,
) -> Step:
    """Trace one step of a cell, by its twin, with gradients of all inputs that require them.

    `y_dtype` is the dtype of the output. `weights` are all tensors that the step reads besides those of its rows,
    computed weights included. `masked` means that rows may end early or be reset within a window, `states` that all
    states are results.

    Raises:
        Untraceable: if a graph cannot represent the step, for example if its control flow depends on values.
    """
    mode = FakeTensorMode()
    with mode, torch.no_grad():
        leaves = [_like(leaf, SENTINEL_BATCH) for leaf in state_leaves(state)]
        device = leaves[0].device
        inputs: dict[str, Any] = {"weights": {name: _like(tensor) for name, tensor in weights.items()}}
        x, context = (
            [_like(leaf, SENTINEL_BATCH, device) for leaf in tensors]
            for tensors in (twin.given.x_leaves, twin.given.row_context)
        )
        inputs |= {"x": x, "state": leaves, "context": context}
        if masked:
            inputs["initial"] = [torch.empty_like(leaf) for leaf in leaves]
            inputs["valid"], inputs["fresh"] = (
                torch.empty(SENTINEL_BATCH, dtype=torch.bool, device=device) for _ in range(2)
            )
        asks = {
            "weights": {name: backward and tensor.requires_grad for name, tensor in weights.items()},
            "x": [backward and leaf.requires_grad for leaf in twin.given.x_leaves],
            "state": [backward and leaf.is_floating_point() for leaf in leaves],
            "initial": [backward and leaf.is_floating_point() for leaf in leaves] if masked else [],
            "context": [backward and leaf.requires_grad for leaf in twin.given.row_context],
        }
        tangents: dict[str, Any] = {
            "y": torch.empty(SENTINEL_BATCH, twin.cell.output_size, dtype=y_dtype, device=device)
        }
        tangents["state"] = [torch.empty_like(leaf) for leaf in leaves]
        tangents["states"] = [torch.empty_like(leaf) for leaf in leaves] if states else []

    def step(given: dict[str, Any]) -> tuple[Tensor, list[Tensor]]:
        before = structured(state, given["state"])
        if masked:
            before = select_rows(given["fresh"], structured(state, given["initial"]), before)
        with nullcontext() if device.type == "cpu" else PlainCells():
            y_BO, after = twin(given["weights"], given["x"], before, given["context"])
        _check_same(before, after)
        if masked:
            y_BO = y_BO.masked_fill(~given["valid"][:, None], 0)
            after = select_rows(given["valid"], after, before)
        # the carry keeps its dtype, as `scan` guarantees
        kept = [new.to(old.dtype) for new, old in zip(state_leaves(after), state_leaves(before), strict=True)]
        return y_BO, kept

    def joint(given: dict[str, Any], tangents: dict[str, Any]) -> dict[str, Any]:
        with torch.set_grad_enabled(backward):
            given = _asking(given, asks)
            y_BO, after = step(given)
        results: dict[str, Any] = {"y": y_BO, "state": after, "grads": None}
        if backward:
            sources = [t for key in asks for t in _flat(given.get(key), asks[key])]
            pairs = [(y_BO, tangents["y"]), *zip(after, tangents["state"], strict=True)]
            pairs += zip(after if states else [], tangents["states"], strict=True)
            pairs = [(out, tangent) for out, tangent in pairs if out.requires_grad]
            if pairs and sources:
                outs, outs_grad = zip(*pairs, strict=True)
                results["grads"] = torch.autograd.grad(outs, sources, outs_grad, allow_unused=True)
            else:
                results["grads"] = [None] * len(sources)
        return results

    flat_inputs, rebuild = _flattened(inputs, tangents)

    def flat(*tensors: Tensor) -> list[Tensor | None]:
        results = joint(*rebuild(tensors))
        return [results["y"], *results["state"], *(results["grads"] or [])]

    try:
        # without the hooks of a checkpoint around the scan, which count saved tensors, and without anomaly detection
        hooks, quiet = (
            torch.autograd.graph.saved_tensors_hooks(as_it_is, as_it_is),
            torch.autograd.set_detect_anomaly(False),
        )
        # attention in single operations, which can be analyzed
        with mode, unlogged(), twin.unchanged(), hooks, quiet, sdpa_kernel(SDPBackend.MATH):
            traced = make_fx(flat, decompositions(), tracing_mode="real")(*flat_inputs)
            if any(writes_in_place(node) for node in traced.graph.nodes):
                traced = make_fx(torch.func.functionalize(traced), decompositions(), tracing_mode="real")(*flat_inputs)
            if any(writes_in_place(node) for node in traced.graph.nodes):
                raise Untraceable("its step modifies a weight, a buffer, its input or its state")
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise Untraceable("control flow, a shape or a Python number in its step depends on values") from error
    except Untraceable:
        raise
    except Exception as error:
        raise Untraceable(f"its step cannot be traced ({first_line(error)})") from error
    for node in list(traced.graph.nodes):
        if node.op == "get_attr":
            as_number(traced, node)
    simplify(traced.graph)
    with mode:
        as_pairs(traced.graph)
    if separate(traced.graph):
        simplify(traced.graph)
    traced_step = named(traced.graph, inputs, tangents, asks, backward)
    copy_results(traced_step)
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    needed = ancestors([output])
    # in order, so that the reason is the same in every run
    in_order = [node for node in traced.graph.nodes if node in needed]
    check_batch_independence(in_order, descendants(traced_step.tangents))
    return traced_step


def _like(tensor: Tensor, rows: int | None = None, device: torch.device | None = None) -> Tensor:
    shape = tensor.shape if rows is None else (rows, *tensor.shape[1:])
    return torch.empty(shape, dtype=tensor.dtype, device=device or tensor.device)


def _check_same(before: Any, after: Any) -> None:
    olds, news = state_leaves(before), state_leaves(after)
    if type(before) is not type(after) or [old.shape for old in olds] != [new.shape for new in news]:
        raise Untraceable("its state changes its type or shape")


def _asking(given: dict[str, Any], asks: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs, as new autograd leaves if a gradient is requested."""

    def leaf(tensor: Tensor, asked: bool) -> Tensor:
        return tensor.detach().requires_grad_() if asked else tensor

    asking = dict(given)
    asking["weights"] = {name: leaf(tensor, asks["weights"][name]) for name, tensor in given["weights"].items()}
    for key in ("x", "state", "initial", "context"):
        if key in given:
            asking[key] = [leaf(tensor, asked) for tensor, asked in zip(given[key], asks[key], strict=True)]
    return asking


def _flat(values: Any, asked: Any) -> list[Tensor]:
    if values is None:
        return []
    pairs = (
        [(values[name], asked[name]) for name in values]
        if isinstance(values, dict)
        else list(zip(values, asked, strict=True))
    )
    return [value for value, wanted in pairs if wanted]


def _flattened(inputs: dict[str, Any], tangents: dict[str, Any]) -> tuple[list[Tensor], Any]:
    leaves, spec = tree_flatten((inputs, tangents))
    return leaves, lambda tensors: tree_unflatten(list(tensors), spec)
