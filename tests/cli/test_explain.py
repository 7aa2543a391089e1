"""`rnnkit explain` says what `rnnkit train` would run, and needs no data for it where none can matter."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from rnnkit import RNN
from rnnkit.cells import GRUCell, LSTMCell
from rnnkit.cli import run
from rnnkit.data import TextData
from rnnkit.engines import explain

SMALL = ["model.hidden_size=8", "data.lanes=4", "data.bptt_steps=6"]


def printed(capsys: pytest.CaptureFixture[str], *overrides: str) -> str:
    capsys.readouterr()
    assert run(["explain", *SMALL, *overrides]) == 0
    return capsys.readouterr().out


def test_it_prints_what_scan_decides(capsys: pytest.CaptureFixture[str]) -> None:
    first, *layers = printed(capsys, "model/cell=gru", "model.cell.reset_after=false").splitlines()
    assert "4 lanes x 6 steps, 32-true on cpu" in first
    x_BTI = torch.zeros(4, 6, 8, requires_grad=True)
    expected = explain(GRUCell(8, 8, reset_after=False), x_BTI)
    assert [line.split(": ")[-1] for line in layers if line.startswith("rnn")] == [expected.engine] * 2
    assert sum(f"not native: {expected.ruled_out['native']}" in line for line in layers) == 2


def test_the_faster_engines_alone_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "model/cell=lstm")
    engine = explain(LSTMCell(8, 8), torch.zeros(4, 6, 8, requires_grad=True)).engine
    assert text.count(f"LSTMCell(8, 8): {engine}") == 2
    assert "not reference" not in text
    assert f"not {engine}" not in text


def test_windows_and_layers_are_those_of_the_overrides(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "data.lanes=2", "data.bptt_steps=1", "model.num_layers=1", "model.embedding_size=5")
    assert "2 lanes x 1 steps" in text
    assert "LSTMCell(5, 8): " in text
    assert "layer 2" not in text
    assert re.search(r"not compiled: 1 steps are too few", text)
    assert "4 lanes x 6 steps, bf16-mixed" in printed(capsys, "trainer.precision=bf16-mixed")
    assert "64-true" in printed(capsys, "trainer.precision=64-true")


def test_wrapped_cells_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "model/cell=zoneout_lstm").count("Zoneout(LSTMCell(8, 8)): ") == 2


def test_lanes_are_shared_among_processes(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    assert "2 lanes x 6 steps" in text


def test_the_data_are_not_read_where_they_cannot_matter(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TextData, "setup", lambda *_: pytest.fail("the data were read"))
    assert "layer 2" in printed(capsys)


class OneHot(nn.Module):
    """Its recurrent layers are as wide as the vocabulary, which only the data know."""

    def __init__(self, vocabulary_size: int, hidden_size: int) -> None:
        super().__init__()
        self.reader = RNN(LSTMCell, vocabulary_size, hidden_size, bidirectional=True)
        self.writer = RNN(GRUCell, 2 * hidden_size, hidden_size)


def test_the_data_are_read_where_they_matter(
    corpus: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("rnnkit.models.OneHot", OneHot, raising=False)
    monkeypatch.setenv("RNNKIT_ALLOW", "rnnkit")  # it is defined here
    folder = tmp_path / "conf" / "model"
    folder.mkdir(parents=True)
    (folder / "one_hot.yaml").write_text("_target_: rnnkit.models.OneHot\nhidden_size: 3\n")
    text = printed(capsys, "--config-dir", str(tmp_path / "conf"), "model=one_hot", f"data.path={corpus}")
    characters = len(set(corpus.read_text())) + 1  # and the unknown one
    names = [line.split("  ")[0] for line in text.splitlines()[1:] if line[0] != " "]
    assert names == ["reader, layer 1, forward", "reader, layer 1, backward", "writer, layer 1"]
    assert text.count(f"LSTMCell({characters}, 8): ") == 2
    assert "GRUCell(16, 8): " in text


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model/cell=gruu", r"model/cell: expected one of .*; got 'gruu'\. Try: model/cell=gru"),
        ("model.hiden_size=3", r"Try: model\.hidden_size=3"),
        ("model.hidden_size=x", r"model\.hidden_size: expected a whole number, 1 or more; got 'x'"),
        ("model.cell._target_=my_lab.Cell", r"model\.cell\._target_: expected something that can be imported"),
        ("model._target_=my_lab.Model", r"model\._target_: expected something that can be imported"),
        ("model._target_=torch.nn.Identity", r"model: expected a model that contains a cell; got Identity"),
        ("data.lanes=0", r"data\.lanes: expected a whole number, 1 or more; got 0"),
        ("--config-dir=nowhere", r"--config-dir: expected a folder"),
        ("--layers", r"unrecognized arguments: --layers"),
    ],
)
def test_mistakes_end_in_one_message(override: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", *SMALL, override]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert len(error.splitlines()) == 1


def test_help_needs_no_torch() -> None:
    check = "import sys; from rnnkit.cli import run\ntry: run(['explain', '--help'])\nexcept SystemExit: pass\n"
    check += "assert not {'torch', 'lightning', 'hydra'} & set(sys.modules), set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True)
    assert "rnnkit explain" in done.stdout


OWN = """
import rnnkit
import torch
from rnnkit.cells import GRUCell


class Model(torch.nn.Module):
    def __init__(self, vocabulary_size, **options):
        super().__init__()
        self.embedding, self.memory = torch.nn.Embedding(vocabulary_size, 8), GRUCell(8, 8, reset_after=False)
        self.logits = torch.nn.Linear(8, vocabulary_size)

    def forward(self, ids_BT, state=None, *, lengths=None, reset=None):
        y_BTO, state = rnnkit.scan(self.memory, self.embedding(ids_BT), state, lengths=lengths, reset=reset)
        return self.logits(y_BTO), state
"""


def test_a_cell_that_a_model_of_ones_own_scans_is_explained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_scan.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    text = printed(capsys, "model._target_=own_scan.Model", "data.bptt_steps=1")
    assert "memory  GRUCell(8, 8): reference" in text
    assert "not native: torch's GRU resets after" in text
