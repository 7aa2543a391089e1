"""What the design promises of the code itself."""

import inspect
import subprocess
import sys
from pathlib import Path

import rnnkit
from rnnkit import cells

ROOT = Path(__file__).parents[1]


def test_a_cell_is_one_short_file_with_its_equation() -> None:
    for name in ("elman", "lstm", "gru"):
        text = (ROOT / "rnnkit" / "cells" / f"{name}.py").read_text()
        assert len(text.splitlines()) <= 80
        assert ".. math::" in text
        assert "arXiv" in text or "19" in text


def test_constructors_take_few_arguments_and_pass_none_through() -> None:
    for cell in (cells.ElmanCell, cells.LSTMCell, cells.GRUCell, rnnkit.RNN):
        parameters = inspect.signature(cell).parameters.values()
        assert len(parameters) <= 7
        assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def test_the_names_that_a_researcher_types_need_neither_lightning_nor_hydra() -> None:
    check = "import sys, rnnkit; rnnkit.RNN; rnnkit.scan; rnnkit.cells.LSTMCell; rnnkit.testing.check_cell;"
    check += "assert not {'lightning', 'hydra', 'omegaconf', 'tensorboard'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_importing_rnnkit_imports_nothing_heavy() -> None:
    subprocess.run([sys.executable, "-c", "import sys, rnnkit; assert 'torch' not in sys.modules"], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(rnnkit, "Lstm")
