"""One step as an ONNX file whose states are named inputs and outputs."""

import contextlib
import io
import json
import logging
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rnnkit.cells.base import Cell
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.engines.compiled.trace.pairs import RealView, has_complex_state
from rnnkit.engines.live import Frozen
from rnnkit.engines.live.layout import state_names
from rnnkit.errors import UserError

METADATA = "rnnkit.states"
"""The key of the metadata that pair each input of a state with its output and give its value before the first step."""


def package(name: str) -> Any:
    """Return a package of the extra `onnx`.

    Raises:
        UserError: if it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(
            "format", f"the package {name}, for ONNX", str(error), fix="pip install rnnkit[onnx]"
        ) from error


class Real:
    """A frozen step as ONNX sees it: a cell whose state has real tensors only.

    A complex tensor [B, H] is a real one [B, H, 2], the real and the imaginary part.
    """

    def __init__(self, frozen: Frozen) -> None:
        if not isinstance(frozen.x, Tensor):
            fix = "a step with one input tensor"
            raise UserError("step", "one input tensor, for ONNX", type(frozen.x).__name__, fix=fix)
        cell = frozen.cell
        self.cell: Cell[Any] = RealView(cell).eval() if has_complex_state(cell) else cell
        self.initial = self.cell.initial_state(1)
        self.names = state_names(self.initial)
        self.x = frozen.x

    @property
    def inputs(self) -> list[str]:
        """The names of the states before a step."""
        return [f"state.{name}" for name in self.names]

    @property
    def outputs(self) -> list[str]:
        """The names of the states after a step."""
        return [f"next.{name}" for name in self.names]

    def metadata(self) -> str:
        """Return the states as JSON: input, output, and the value before the first step, of one row."""
        states = zip(self.inputs, self.outputs, state_leaves(self.initial), strict=True)
        return json.dumps(
            [
                {"input": before, "output": after, "shape": list(leaf.shape[1:]), "initial": leaf[0].flatten().tolist()}
                for before, after, leaf in states
            ]
        )


class _Flat(nn.Module):
    """A step with the tensors of the state as separate arguments and results."""

    def __init__(self, cell: Cell[Any], structure: Any) -> None:
        super().__init__()
        self.cell = cell
        self.structure = structure

    def forward(self, x_BI: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
        given = iter(leaves)
        y_BO, after = self.cell(x_BI, map_state(lambda _: next(given), self.structure))
        return (y_BO, *state_leaves(after))


def step_model(frozen: Frozen) -> Any:
    """Return the step as an `onnx.ModelProto`: x [B, I] and states to y [B, O] and states, for any B.

    Raises:
        UserError: if a package is missing, or the step cannot be exported.
    """
    package("onnxscript")
    onnx = package("onnx")
    real = Real(frozen)
    batch = torch.export.Dim("B", min=1)
    leaves = [leaf.expand(3, *leaf.shape[1:]).clone() for leaf in state_leaves(real.initial)]
    x_BI = real.x.expand(3, *real.x.shape[1:]).clone()
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program: Any = torch.onnx.export(
                _Flat(real.cell, real.initial).eval(),
                (x_BI, *leaves),
                dynamo=True,
                verbose=False,
                input_names=["x", *real.inputs],
                output_names=["y", *real.outputs],
                dynamic_shapes=({0: batch}, tuple({0: batch} for _ in leaves)),
            )
    except Exception as error:
        text = str(error).strip().splitlines() or [type(error).__name__]
        fix = "--format cpp, or a cell of operations that ONNX has"
        raise UserError("step", "a step that torch can export to ONNX", text[0][:300], fix=fix) from error
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
    assert program is not None
    model = program.model_proto
    _named(model, real, onnx)
    return model


def _named(model: Any, real: Real, onnx: Any) -> None:
    """Add the metadata, drop what describes the source of each node, and check the names."""
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.helper.set_model_props(model, {METADATA: real.metadata()})
    model.producer_name, model.doc_string = "rnnkit", ""
    found = [value.name for value in (*model.graph.input, *model.graph.output)]
    if found != ["x", *real.inputs, "y", *real.outputs]:
        fix = "--format cpp"
        raise UserError("step", "a graph with all states as inputs and outputs", ", ".join(found), fix=fix)


def save(model: Any, path: Path) -> None:
    """Check and write a model; weights of more than 1.5 GB go to a file beside it."""
    onnx = package("onnx")
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    large = model.ByteSize() > 1_500_000_000
    onnx.save_model(model, str(path), save_as_external_data=large, location=f"{path.name}.data" if large else None)


def difference(frozen: Frozen, path: Path, x_TI: Tensor) -> tuple[float, float]:
    """Run a step file by ONNX Runtime and return its largest differences from torch.

    The first is of one step from the same state, outputs and states; the second of outputs when each goes on from its
    own state. Both are relative to 1 + |y|.
    """
    runtime = package("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    real = Real(frozen)
    state, own = real.initial, [leaf.numpy() for leaf in state_leaves(real.initial)]
    one_step = carried = 0.0
    with torch.no_grad():
        for x_I in x_TI:
            before = [leaf.numpy() for leaf in state_leaves(state)]
            y_1O, state = real.cell(x_I[None], state)
            found = session.run(None, {"x": x_I[None].numpy(), **dict(zip(real.inputs, before, strict=True))})
            for one, other in zip(found, [y_1O, *state_leaves(state)], strict=True):
                one_step = max(one_step, apart(torch.from_numpy(one), other))
            y, *own = session.run(None, {"x": x_I[None].numpy(), **dict(zip(real.inputs, own, strict=True))})
            carried = max(carried, apart(torch.from_numpy(y), y_1O))
    return one_step, carried


def apart(found: Tensor, wanted: Tensor) -> float:
    """Return the largest difference relative to 1 + |wanted|; infinity if only one of them is finite."""
    same = (found == wanted) | (found.isnan() & wanted.isnan())
    found, wanted = found.double(), wanted.double()
    distance = ((found - wanted).abs() / (1 + wanted.abs())).masked_fill(same, 0).nan_to_num(torch.inf)
    return distance.max().item() if distance.numel() else 0.0
