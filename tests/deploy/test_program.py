"""Exported programs: they build without torch, compute what the model computes, and refuse what they cannot."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.testing import assert_close

from rnnkit import Session
from rnnkit.cells import GRUCell, LearnedInitialState, LRUCell, LSTMCell, Residual, SLSTMCell, Stack
from rnnkit.deploy import export
from rnnkit.deploy.program.check import check
from rnnkit.errors import UserError
from rnnkit.models import LanguageModel, Tagger

YAMLS = sorted((Path(__file__).parents[2] / "configs" / "model" / "cell").glob("*.yaml"))
pytestmark = pytest.mark.skipif(not (shutil.which("cc") and shutil.which("make")), reason="needs cc and make")


def make(folder: Path, *targets: str, **variables: str) -> None:
    given = [f"{name}={value}" for name, value in {"OPTIMIZE": "-O1 -fopenmp-simd", **variables}.items()]
    subprocess.run(["make", "-s", *given, *targets], cwd=folder, check=True, capture_output=True)


def answers(folder: Path, text: str) -> Tensor:
    done = subprocess.run(["./main"], cwd=folder, input=text, capture_output=True, text=True, check=True)
    return torch.tensor([[float(number) for number in line.split(",")] for line in done.stdout.splitlines()])


@pytest.mark.parametrize("weights", ["arrays", "file"])
@pytest.mark.parametrize("language", ["cpp", "c"])
def test_a_program_answers_like_a_session(language: str, weights: str, tmp_path: Path) -> None:
    step = Stack([Residual(LSTMCell(5, 5)), SLSTMCell(5, 9), GRUCell(9, 19)])
    report = export(step, tmp_path / "out", format=language, weights=weights, name="sensor")
    assert report.carried is not None
    assert report.carried < 1e-5
    make(tmp_path / "out", "all", "check")
    x_TI = torch.randn(20, 5)
    found_TO = answers(tmp_path / "out", "\n".join(", ".join(map(repr, x_I)) for x_I in x_TI.tolist()))
    assert_close(found_TO, Session(step).push(x_TI), atol=1e-5, rtol=1e-4)
    done = subprocess.run(["ldd", str(tmp_path / "out" / "main")], capture_output=True, text=True, check=False)
    libraries = done.stdout
    assert set(re.findall(r"(\w+)[-.\w]*\.so", libraries)) <= {"libm", "libc", "ld", "linux"}


def test_a_language_model_reads_ids_and_refuses_others(tmp_path: Path) -> None:
    model = LanguageModel(11, LRUCell, embedding_size=6, hidden_size=8)
    export(model.step(), tmp_path / "out", format="cpp", inputs=torch.randint(0, 11, (40,)))
    make(tmp_path / "out", "main")
    assert_close(answers(tmp_path / "out", "3\n10\n0"), Session(model.step()).push([3, 10, 0]), atol=1e-5, rtol=1e-4)
    for bad in ("11", "-1", "x", "1 2"):
        done = subprocess.run(["./main"], cwd=tmp_path / "out", input=bad, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")


def test_a_program_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    """States that are swapped, zeroed or stale, and a weight that is wrong in one place."""
    export(LSTMCell(4, 6), tmp_path / "good", format="c", name="m")
    table = re.search(r"leaf\[LEAVES \+ 1\] = \{(.*)\};", (tmp_path / "good" / "m.c").read_text())
    assert table is not None
    one, other = re.findall(r"\{[^}]*\}", table[1])[:2]
    numbers = [list(map(int, leaf.strip("{}").split(", "))) for leaf in (one, other)]
    swapped = [[a, r, n, o] for (a, _, n, o), (_, r, _, _) in zip(numbers, numbers[::-1], strict=True)]
    text = (tmp_path / "good" / "m.c").read_text()
    wrong = {
        "swapped": text.replace(one, f"{{{', '.join(map(str, swapped[0]))}}}").replace(
            other, f"{{{', '.join(map(str, swapped[1]))}}}"
        ),
        "stale": text.replace("leaf[i].bytes);\n  return 0;", "0);\n  return 0;"),
        "reset": text.replace("  if (!in_range(input)) return -1;", "  m_reset(sequence);"),
    }
    for name, changed in wrong.items():
        assert changed != text, name
        shutil.copytree(tmp_path / "good", tmp_path / name)
        (tmp_path / name / "m.c").write_text(changed)
        with pytest.raises(UserError, match="computes what the model computes"):
            check(tmp_path / name)
    assert check(tmp_path / "good") < 1e-5


def test_a_failed_export_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path) -> float:
        raise UserError("export", "a program that computes what the model computes", "another", fix="--format onnx")

    monkeypatch.setattr("rnnkit.deploy.program.check", fail)
    with pytest.raises(UserError, match="another"):
        export(GRUCell(3, 4), tmp_path / "out", format="cpp")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_exported_is_told(tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("mine")
    with pytest.raises(UserError, match="which is in use"):
        export(GRUCell(3, 4), tmp_path / "used", format="cpp")
    with pytest.raises(UserError, match="format: expected one of"):
        export(GRUCell(3, 4), tmp_path / "out", format="tflite")
    with pytest.raises(UserError, match="name: expected letters"):
        export(GRUCell(3, 4), tmp_path / "out", format="c", name="a-b")
    with pytest.raises(UserError, match="--format cpp"):
        export(GRUCell(3, 4).double(), tmp_path / "out", format="c")
    with pytest.warns(UserWarning, match="single calls"), pytest.raises(UserError, match="a step that can be compiled"):
        export(Tagger(9, 9, ["O"], GRUCell, bidirectional=False, hidden_size=4).step(), tmp_path / "out", format="cpp")
    with pytest.raises(UserError, match="inputs: expected"):
        export(GRUCell(3, 4), tmp_path / "out", format="c", inputs=torch.zeros(5, 4))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["used"]


@pytest.mark.slow
@pytest.mark.parametrize("language", ["cpp", "c"])
@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_every_cell_is_exported(path: Path, language: str, tmp_path: Path) -> None:
    cell = LearnedInitialState(hydra.utils.instantiate(OmegaConf.load(path))(10, 24))
    report = export(cell, tmp_path / "out", format=language)
    assert report.carried is not None
    assert report.carried < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("language", ["cpp", "c"])
@pytest.mark.parametrize("kind", [LSTMCell, LRUCell, SLSTMCell])
def test_sanitizers_find_nothing(kind: Any, language: str, tmp_path: Path) -> None:
    export(Stack([kind(7, 21), GRUCell(21, 70)]), tmp_path / "out", format=language)
    flags = "-O1 -g -fopenmp-simd -fsanitize=address,undefined -fno-sanitize-recover=all"
    environment = {"OPTIMIZE": flags, "CC": "cc -fsanitize=address,undefined"}
    make(tmp_path / "out", "check", **environment)


@pytest.mark.slow
def test_cmake_builds_and_checks_it(tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("needs cmake")
    export(LSTMCell(7, 21), tmp_path / "out", format="cpp")
    for command in (
        ["cmake", "-S", ".", "-B", "build"],
        ["cmake", "--build", "build"],
        ["ctest", "--test-dir", "build"],
    ):
        subprocess.run(command.split(), cwd=tmp_path / "out", check=True, capture_output=True)


@pytest.mark.slow
def test_all_processors_agree(tmp_path: Path) -> None:
    """The three units of a program, as far as this machine can run them."""
    export(LSTMCell(7, 21), tmp_path / "out", format="cpp")
    text = (tmp_path / "out" / "model.c").read_text()
    for unit in ("baseline", "avx2"):
        chosen = text.replace('if (__builtin_cpu_supports("avx512f")) return', f"return model_step_{unit}; return")
        (tmp_path / "out" / "model.c").write_text(chosen)
        make(tmp_path / "out", "clean", "check")


def test_arrays_hold_every_bit() -> None:
    from rnnkit.deploy.program.source import _array

    given = torch.tensor([0.1, -3.0e-45, 3.4028235e38, torch.inf, 1 / 3])
    text = _array("w", given)
    numbers = re.search(r"= \{(.*)\};", text, re.DOTALL)
    assert numbers is not None
    assert np.array_equal(np.array(numbers[1].split(","), dtype=np.float64).astype(np.float32), given.numpy())
