"""Exports one step of a model to a file or a program that runs without torch, and checks it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.engines.live import Frozen, freeze
from rnnkit.engines.live.compiled import Compiled
from rnnkit.errors import UserError

FORMATS = {".onnx": "onnx", "": "cpp"}
STEPS = 64
"""The number of random steps for the check if there are no inputs."""
ONE_STEP, CARRIED = 1e-5, 1e-4
"""The largest differences that are still rounding, relative to 1 + |y|: in one step from the same state, and at the end
of all steps. Typical ones are 1e-6."""


@dataclass(frozen=True)
class Report:
    """What was exported and how it compares with the model.

    Args:
        path: the file or folder.
        format: the format.
        steps: the number of steps of the check; 0 if there was none.
        one_step: the largest difference of an output or a state in one step from the same state, relative to one plus
            its size; None for a program, which is checked as a whole.
        carried: the largest difference of an output when each goes on from its own state.
        bytes: the size of all files.
    """

    path: Path
    format: str
    steps: int
    one_step: float | None
    carried: float | None
    bytes: int

    def __str__(self) -> str:
        size = f"{self.bytes / 1e6:.3g} MB" if self.bytes > 1e6 else f"{self.bytes / 1e3:.3g} kB"
        if not self.steps:
            return f"{self.path}: {self.format}, {size}, not checked"
        one = "" if self.one_step is None else f"{self.one_step:.2g} in one step, "
        return f"{self.path}: {self.format}, {size}; differs by {one}{self.carried:.2g} over {self.steps:,} steps"


def export(
    step: Cell[Any] | Frozen,
    path: str | Path,
    *,
    format: str | None = None,
    inputs: Tensor | None = None,
    name: str = "model",
    weights: str = "arrays",
    check: bool = True,
) -> Report:
    """Export one step, and check that what was exported computes what the model computes.

    Formats: `onnx`, a file whose states are named inputs and outputs; `onnx-sequence`, a file that runs whole
    sequences; `cpp` and `c`, a folder with a program (see the deployment guide).

    Args:
        step: a cell, such as `model.step()`.
        path: the file or, for a program, the folder, which is new or empty.
        format: see above; None follows the extension of the path.
        inputs: [T, I], or ids [T], one sequence to check with; None draws random numbers.
        name: of a program, the prefix of its files and functions.
        weights: of a program, `arrays` in its source, or a `file` that it reads.
        check: whether to check.

    Raises:
        UserError: if the format is unknown or does not support the step, the path is in use, a package is missing, or
            the check fails. Nothing is left behind then.
    """
    path = Path(path)
    format = FORMATS.get(path.suffix) if format is None else format
    writers: dict[str | None, Callable[..., Any]] = {
        "cpp": _program,
        "c": _program,
        "onnx": _onnx,
        "onnx-sequence": _onnx,
    }
    if format is None or format not in writers:
        fix = 'export(step, "model.onnx"), or format="cpp"'
        raise UserError("format", f"one of {', '.join(map(str, writers))}", repr(format or path.suffix), fix=fix)
    if not (name.isidentifier() and name.isascii()):
        raise UserError("name", "letters, digits and underscores", repr(name), fix="name='model'")
    if weights not in ("arrays", "file"):
        raise UserError("weights", "arrays or file", repr(weights), fix="weights='arrays'")
    is_used = any(path.iterdir()) if path.is_dir() else path.exists()
    if is_used:
        raise UserError("path", "a new path, or an empty folder", f"'{path}', which is in use", fix=f"{path}-2")
    frozen = step if isinstance(step, Frozen) else freeze(step)
    x = _inputs(frozen, inputs) if check else None
    was_there = path.exists()
    try:
        one_step, carried = writers[format](frozen, path, x, format=format, name=name, weights=weights)
    except BaseException:
        if path.is_dir():
            for part in path.iterdir():
                part.unlink()
            if not was_there:
                path.rmdir()
        else:
            path.unlink(missing_ok=True)
        raise
    files = [path] if path.is_file() else list(path.iterdir())
    size = sum(file.stat().st_size for file in files)
    return Report(path, str(format), 0 if x is None else len(x), one_step, carried, size)


def _inputs(frozen: Frozen, inputs: Tensor | None) -> Tensor:
    """Return the inputs of the check as the step reads them, [T, I]."""
    from rnnkit.deploy.given import rows_of

    if inputs is not None:
        return rows_of(frozen, inputs, "inputs", single=False)[0][0]
    generator, like = torch.Generator().manual_seed(0), frozen.x_leaves[0]
    if frozen.limit is not None:
        return torch.randint(0, frozen.limit, (STEPS, 1), generator=generator)
    return torch.randn(STEPS, *like.shape[1:], generator=generator).to(like.dtype)


def outputs_of(frozen: Frozen, x_TI: Tensor) -> Tensor:
    """Return the outputs of the cell itself for one sequence, [T, O], by torch."""
    found, state = [], frozen.cell.initial_state(1)
    with torch.no_grad():
        for x_I in x_TI:
            y_1O, state = frozen.cell(x_I[None], state)
            found.append(y_1O[0])
    return torch.stack(found)


def _program(
    frozen: Frozen, path: Path, x_TI: Tensor | None, *, format: str, name: str, weights: str
) -> tuple[None, float | None]:
    from rnnkit.deploy.program import check, write
    from rnnkit.deploy.program.check import record

    if not isinstance(frozen, Compiled):
        fix = "--format onnx, or a cell that the compiler supports"
        raise UserError("step", "a step that can be compiled", "one that runs as calls of the cell", fix=fix)
    path.mkdir(parents=True, exist_ok=True)
    write(frozen, path, name, language=format, weights=weights, bound=CARRIED)
    if x_TI is None:
        (path / "parity.bin").write_bytes(b"")
        return None, None
    record(path / "parity.bin", x_TI, outputs_of(frozen, x_TI))
    return None, check(path)


def _onnx(
    frozen: Frozen, path: Path, x_TI: Tensor | None, *, format: str, name: str, weights: str
) -> tuple[float | None, float | None]:
    from rnnkit.deploy.onnx_sequence import sequence_difference, sequence_model
    from rnnkit.deploy.onnx_step import difference, save, step_model

    model = step_model(frozen)
    save(model if format == "onnx" else sequence_model(model, frozen), path)
    if x_TI is None:
        return None, None
    one_step, carried = (difference if format == "onnx" else sequence_difference)(frozen, path, x_TI)
    if not (one_step <= ONE_STEP and carried <= CARRIED):
        got = f"differences of {one_step:.2g} in one step and {carried:.2g} over {len(x_TI)} steps"
        expected = f"at most {ONE_STEP:g} in one step and {CARRIED:g} over all, relative to 1 + |y|"
        raise UserError("export", expected, got, fix="a trained model and its own data as inputs")
    return one_step, carried
