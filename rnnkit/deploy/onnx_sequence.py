"""Whole sequences as an ONNX file: a Scan around the step."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.state import state_leaves
from rnnkit.deploy.onnx_step import Real, apart, package
from rnnkit.engines.live import Frozen


def sequence_model(step: Any, frozen: Frozen) -> Any:
    """Return a model of x [B, T, I] and the states before it: y [B, T, O] and the states after it, for any B and T.

    Args:
        step: the `onnx.ModelProto` of the step. Its graph becomes the body of a Scan over time.
        frozen: the step.
    """
    onnx = package("onnx")
    helper = onnx.helper
    real = Real(frozen)
    graph = step.graph
    values = {value.name: value for value in (*graph.input, *graph.output)}
    # the results of a step as values of their own: a result that is an input or another result is copied
    copies, ends = [], []
    for name in [*real.outputs, "y"]:
        ends.append(_renamed(onnx, values[name], f"step.{name}"))
        copies.append(helper.make_node("Identity", [name], [f"step.{name}"]))
    starts = [_renamed(onnx, values[name], name) for name in [*real.inputs, "x"]]
    body = helper.make_graph([*graph.node, *copies], "step", starts, ends)
    scan = helper.make_node(
        "Scan",
        [*(f"{name}.first" for name in real.inputs), "x.sequence"],
        [*(f"{name}.last" for name in real.outputs), "y.sequence"],
        name="recurrence",
        body=body,
        num_scan_inputs=1,
        scan_input_axes=[1],
        scan_output_axes=[1],
    )
    outer_inputs = [_over_time(onnx, values["x"], "x.sequence")]
    outer_inputs += [_renamed(onnx, values[name], f"{name}.first") for name in real.inputs]
    outer_outputs = [_over_time(onnx, values["y"], "y.sequence")]
    outer_outputs += [_renamed(onnx, values[name], f"{name}.last") for name in real.outputs]
    outer = helper.make_graph([scan], "sequence", outer_inputs, outer_outputs, initializer=list(graph.initializer))
    model = helper.make_model(outer, opset_imports=step.opset_import, functions=list(step.functions))
    model.ir_version, model.producer_name = step.ir_version, "rnnkit"
    states = real.metadata()
    for name in real.inputs:
        states = states.replace(f'"{name}"', f'"{name}.first"')
    for name in real.outputs:
        states = states.replace(f'"{name}"', f'"{name}.last"')
    helper.set_model_props(model, {"rnnkit.states": states})
    return model


def sequence_difference(frozen: Frozen, path: Path, x_TI: Tensor) -> tuple[float, float]:
    """Run a sequence file by ONNX Runtime and return the largest differences of one step, and of all steps, from torch.

    Both include a batch of two rows, of which the second is the first one in reverse.
    """
    runtime = package("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    real = Real(frozen)
    x_BTI = torch.stack([x_TI, x_TI.flip(0)])
    first = [leaf.expand(2, *leaf.shape[1:]) for leaf in state_leaves(real.initial)]
    names = [f"{name}.first" for name in real.inputs]
    found = []
    for steps in (1, len(x_TI)):
        given = {name: leaf.contiguous().numpy() for name, leaf in zip(names, first, strict=True)}
        y, *ends = session.run(None, {"x.sequence": x_BTI[:, :steps].contiguous().numpy(), **given})
        state, worst = real.cell.initial_state(2), 0.0
        with torch.no_grad():
            for t in range(steps):
                y_BO, state = real.cell(x_BTI[:, t], state)
                worst = max(worst, apart(torch.from_numpy(y[:, t]), y_BO))
        for end, leaf in zip(ends, state_leaves(state), strict=True):
            worst = max(worst, apart(torch.from_numpy(end), leaf))
        found.append(worst)
    return found[0], found[1]


def _renamed(onnx: Any, value: Any, name: str) -> Any:
    copied = onnx.ValueInfoProto()
    copied.CopyFrom(value)
    copied.name = name
    return copied


def _over_time(onnx: Any, value: Any, name: str) -> Any:
    """Return a value [B, T, ...] for one of [B, ...]."""
    tensor = value.type.tensor_type
    axes = [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]
    return onnx.helper.make_tensor_value_info(name, tensor.elem_type, [axes[0], "T", *axes[1:]])
