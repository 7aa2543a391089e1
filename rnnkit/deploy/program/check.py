"""Builds an exported program in a folder of its own, and compares it with the model."""

import re
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from torch import Tensor

from rnnkit.errors import UserError


def record(path: Path, x_TI: Tensor, y_TO: Tensor) -> None:
    """Write the inputs of one sequence and the outputs of the model, from the state before the first step."""
    with path.open("wb") as file:
        file.write(struct.pack("q", len(x_TI)))
        for x_I, y_O in zip(x_TI, y_TO, strict=True):
            file.write(x_I.contiguous().numpy().tobytes())
            file.write(y_O.contiguous().numpy().tobytes())


def check(folder: Path) -> float:
    """Build a copy of the program, run its own check, and return the largest difference.

    Raises:
        UserError: if the program cannot be built here, or its outputs are not those of the model.
    """
    if shutil.which("make") is None or shutil.which("cc") is None:
        fix = "a machine with cc and make, or check=False and `make check` on the target"
        raise UserError("export", "a C compiler and make, to check the program", "none on this machine", fix=fix)
    with tempfile.TemporaryDirectory(prefix="rnnkit-program-") as place:
        copy = Path(place) / "program"
        shutil.copytree(folder, copy)
        command = ["make", "-s", "check", "OPTIMIZE=-O1 -ffp-contract=fast -fopenmp-simd"]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    found = re.search(r"largest difference (\S+),", done.stdout)
    if done.returncode or found is None:
        got = (done.stdout + done.stderr).strip()[-500:] or f"make ended with {done.returncode}"
        raise UserError("export", "a program that computes what the model computes", got, fix="--format onnx")
    return float(found[1])
