"""Steps and sequences in ONNX, run by ONNX Runtime, against torch."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch.testing import assert_close

import rnnkit
from rnnkit.cells import GRUCell, LearnedInitialState, LRUCell, LSTMCell, MinGRUCell, SLSTMCell, Stack
from rnnkit.deploy import export
from rnnkit.engines.live import freeze
from rnnkit.errors import UserError
from rnnkit.models import LanguageModel, Tagger

YAMLS = sorted((Path(__file__).parents[2] / "configs" / "model" / "cell").glob("*.yaml"))


@pytest.fixture(scope="module")
def runtime() -> Any:
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name)
    return pytest.importorskip("onnxruntime")


WITHOUT_TORCH = """
import sys, json
import numpy as np, onnxruntime
assert "torch" not in sys.modules
session = onnxruntime.InferenceSession(sys.argv[1])
states = json.loads(session.get_modelmeta().custom_metadata_map["rnnkit.states"])
x_TBI = np.load(sys.argv[2])
B = x_TBI.shape[1]
own = {s["input"]: np.array([s["initial"]] * B, np.float32).reshape(B, *s["shape"]) for s in states}
names = ["y", *(s["output"] for s in states)]
found = []
for x_BI in x_TBI:
    y, *ends = session.run(names, {"x": x_BI, **own})
    own = {s["input"]: end for s, end in zip(states, ends)}
    found.append(y)
np.save(sys.argv[3], np.stack(found))
"""


def test_a_step_runs_in_a_process_without_torch(runtime: Any, tmp_path: Path) -> None:
    """The states are paired and begun by the metadata alone; initial states that are not zeros, and complex ones."""
    step = Stack([LearnedInitialState(SLSTMCell(3, 6)), LRUCell(6, 5), LSTMCell(5, 4)])
    with torch.no_grad():
        for row in step.cells[0].rows:  # type: ignore[union-attr]
            row.add_(0.3)
    report = export(step, tmp_path / "step.onnx")
    assert report.one_step is not None
    assert report.one_step < 1e-5
    x_TBI = torch.randn(12, 3, 3)
    np.save(tmp_path / "x.npy", x_TBI.numpy())
    files = [str(tmp_path / name) for name in ("step.onnx", "x.npy", "y.npy")]
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *files], check=True)
    found = torch.from_numpy(np.load(tmp_path / "y.npy"))
    with torch.no_grad():
        wanted, _ = rnnkit.scan(step, x_TBI.transpose(0, 1), engine="reference")
    assert_close(found, wanted.transpose(0, 1), atol=1e-5, rtol=1e-4)


def test_a_sequence_of_any_length(runtime: Any, tmp_path: Path) -> None:
    model = LanguageModel(11, GRUCell, embedding_size=6, hidden_size=8).eval()
    report = export(model.step(), tmp_path / "sequence.onnx", format="onnx-sequence")
    assert report.carried is not None
    session = runtime.InferenceSession(str(tmp_path / "sequence.onnx"))
    states = json.loads(session.get_modelmeta().custom_metadata_map["rnnkit.states"])
    for B, T in ((1, 1), (3, 2), (2, 1000)):
        ids_BT = torch.randint(0, 11, (B, T))
        first = {s["input"]: np.array([s["initial"]] * B, np.float32).reshape(B, *s["shape"]) for s in states}
        y, *ends = session.run(None, {"x.sequence": ids_BT[..., None].numpy(), **first})
        with torch.no_grad():
            wanted_BTV, state = model(ids_BT)
        assert_close(torch.from_numpy(y), wanted_BTV, atol=1e-5, rtol=1e-4)
        assert_close(torch.from_numpy(ends[0]), state[0], atol=1e-5, rtol=1e-4)


def test_a_wrong_file_is_refused_and_removed(runtime: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rnnkit.deploy import onnx_step

    right = onnx_step.step_model

    def wrong(frozen: Any) -> Any:
        return right(freeze(LSTMCell(3, 5)))

    monkeypatch.setattr(onnx_step, "step_model", wrong)
    with pytest.raises(UserError, match="in one step and"):
        export(LSTMCell(3, 5), tmp_path / "step.onnx")
    assert not (tmp_path / "step.onnx").exists()


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "onnx-sequence"])
@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_every_cell_is_exported(runtime: Any, path: Path, format: str, tmp_path: Path) -> None:
    cell = hydra.utils.instantiate(OmegaConf.load(path))(10, 24)
    export(cell, tmp_path / "cell.onnx", format=format, inputs=torch.randn(40, 10))


def test_what_onnx_lacks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rnnkit.deploy import onnx_step

    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(onnx_step, "import_module", missing)
    with pytest.raises(UserError, match=r"pip install rnnkit\[onnx\]"):
        export(GRUCell(3, 4), tmp_path / "step.onnx")
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="single calls"):
        frozen = freeze(Tagger(9, 9, ["O"], GRUCell, bidirectional=False, hidden_size=4).step())
    with pytest.raises(UserError, match="one input tensor"):
        onnx_step.Real(frozen)


@pytest.mark.parametrize("kind", [LSTMCell, MinGRUCell])
def test_a_dynamic_number_of_steps_is_not_frozen_in_silence(kind: Any) -> None:
    rnn = rnnkit.RNN(kind, 3, 4)
    shapes = {"x": {1: torch.export.Dim("T", min=2)}}
    with pytest.raises(Exception, match="onnx-sequence"):
        torch.export.export(rnn, (torch.randn(2, 20, 3),), dynamic_shapes=shapes, strict=False)
