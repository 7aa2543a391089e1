"""Live sessions: steps, chunks and the whole sequence are the same, and a state survives."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.testing import assert_close

from rnnkit import Session, scan
from rnnkit.cells import Cell, GRUCell, LRUCell, LSTMCell, SLSTMCell, Stack, WeightDrop
from rnnkit.engines import toolchain
from rnnkit.errors import UserError
from rnnkit.models import LanguageModel, SequenceModel, Tagger

YAMLS = sorted((Path(__file__).parents[2] / "configs" / "model" / "cell").glob("*.yaml"))


def whole(cell: Cell[Any], x_TI: Tensor) -> Tensor:
    with torch.no_grad():
        return scan(copy.deepcopy(cell).eval(), x_TI[None], engine="reference")[0][0]


def check(cell: Cell[Any]) -> None:
    """300 steps, and chunks of many sizes, bit for bit; and the reference in one pass."""
    x_TI = torch.randn(300, cell.input_size)
    steps, chunks = Session(cell), Session(cell)
    by_step_TO = torch.stack([steps.step(x_I) for x_I in x_TI])
    by_chunk_TO = torch.cat([chunks.push(part) for part in x_TI.split([1, 2, 97, 3, 197])])
    assert torch.equal(by_step_TO, by_chunk_TO)
    assert_close(by_step_TO, whole(cell, x_TI), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", [LSTMCell, LRUCell, SLSTMCell])
def test_steps_are_chunks_are_the_sequence(kind: Any) -> None:
    check(kind(5, 12))


@pytest.mark.slow
@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_steps_of_every_cell_are_the_sequence(path: Path) -> None:
    check(hydra.utils.instantiate(OmegaConf.load(path))(7, 20))


def test_a_model_is_a_session_too() -> None:
    model = LanguageModel(11, LSTMCell, embedding_size=6, hidden_size=8).eval()
    ids = [3, 0, 10, 7]
    with torch.no_grad():
        wanted_TV = model(torch.tensor([ids]))[0][0]
    session = Session(model.step())
    assert_close(torch.stack([session.step(i) for i in ids]), wanted_TV)
    session.reset()
    assert_close(session.push(torch.tensor(ids)), wanted_TV)
    session.reset()
    assert_close(session.step(torch.tensor(ids[0])), wanted_TV[0])
    for bad in (11, -1, torch.tensor([[1.5]])):
        with pytest.raises(UserError, match="x: expected"):
            session.step(bad)


def test_a_tagger_with_characters_runs_as_calls_of_the_cell() -> None:
    model = Tagger(20, 9, ["O", "B-x", "I-x"], LSTMCell, bidirectional=False, hidden_size=8).eval()
    with pytest.warns(UserWarning, match="single calls of the cell"):
        session = Session(model.step())
    x = type(session.frozen.x)(*(leaf[0] for leaf in session.frozen.x))
    first_C = session.step(x)
    session.reset()
    chunk = type(x)(*(leaf.repeat(2, *[1] * (leaf.dim() - 1)) for leaf in session.frozen.x))
    assert torch.equal(session.push(chunk)[0], first_C)


def test_weights_are_frozen_and_the_mode_does_not_matter() -> None:
    cell = WeightDrop(LSTMCell(3, 5), 0.5).train()
    x_TI = torch.randn(4, 3)
    wanted_TO = whole(cell, x_TI)
    session = Session(cell)
    with torch.no_grad():
        cell.cell.parametrizations.weight_hh.original.zero_()  # type: ignore[union-attr, operator]
    assert_close(session.push(x_TI), wanted_TO)
    assert cell.training


def test_a_fork_and_a_reset_leave_the_other_session_alone() -> None:
    session, x_TI = Session(GRUCell(3, 5)), torch.randn(9, 3)
    y_TO = session.push(x_TI)
    twin = session.fork()
    session.reset()
    assert torch.equal(session.push(x_TI), y_TO)
    assert torch.equal(twin.push(x_TI), session.push(x_TI))


RESUME = """
import sys, torch
from safetensors.torch import load_file
from rnnkit import Session
from rnnkit.cells import LSTMCell
torch.manual_seed(1)
session = Session(LSTMCell(3, 5))
session.load_state_dict(load_file(sys.argv[1]))
torch.save(session.push(torch.load(sys.argv[2])), sys.argv[3])
"""


def test_a_state_goes_on_in_another_process_bit_for_bit(tmp_path: Path) -> None:
    torch.manual_seed(1)
    session, x_TI = Session(LSTMCell(3, 5)), torch.randn(20, 3)
    session.push(x_TI[:7])
    save_file(session.state_dict(), tmp_path / "state.safetensors")
    torch.save(x_TI[7:], tmp_path / "x.pt")
    files = [str(tmp_path / name) for name in ("state.safetensors", "x.pt", "y.pt")]
    subprocess.run([sys.executable, "-c", RESUME, *files], check=True)
    assert torch.equal(torch.load(tmp_path / "y.pt"), session.push(x_TI[7:]))
    assert set(load_file(tmp_path / "state.safetensors")) == {"fingerprint", "hidden", "cell"}


def test_a_foreign_state_is_refused() -> None:
    cell = LSTMCell(3, 5)
    session, saved = Session(cell), Session(cell).state_dict()
    session.load_state_dict(saved)
    for other in (LSTMCell(3, 5), copy.deepcopy(cell).double(), LSTMCell(3, 6), Stack([cell])):
        with pytest.raises(UserError, match="a state of this very step"):
            Session(other).load_state_dict(saved)
    with pytest.raises(UserError, match="without a fingerprint"):
        session.load_state_dict({"hidden": saved["hidden"], "cell": saved["cell"]})
    with pytest.raises(UserError, match=r"state.cell: expected \[5\] of torch.float32"):
        session.load_state_dict({**saved, "cell": torch.zeros(1, 5)})
    with pytest.raises(UserError, match="the tensors hidden, cell"):
        session.load_state_dict({name: leaf for name, leaf in saved.items() if name != "cell"})


@pytest.mark.parametrize(
    "x", ["text", torch.zeros(4), torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.complex64), None]
)
def test_bad_steps_are_told(x: Any) -> None:
    session = Session(GRUCell(3, 5))
    with pytest.raises(UserError, match="x: expected"):
        session.step(x)
    assert torch.equal(session.push(torch.zeros(1, 3)), Session(session.frozen).push(torch.zeros(1, 3)))


def test_bad_chunks_are_told() -> None:
    session = Session(GRUCell(3, 5))
    for bad, word in (
        (torch.zeros(0, 3), "one step or more"),
        (torch.zeros(3), "axis of steps"),
        (torch.zeros(2, 4), "T, 3"),
    ):
        with pytest.raises(UserError, match=word):
            session.push(bad)
    twin = session.fork()
    assert torch.equal(session.push([[0.0, 1, 2]]), twin.push(torch.tensor([[0.0, 1, 2]]).double()))


def test_without_a_compiler_the_cell_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    cell, x_TI = LRUCell(3, 5), torch.randn(6, 3)
    monkeypatch.setattr(toolchain, "_compiler", lambda: None)
    with pytest.warns(UserWarning, match="there is no C\\+\\+ compiler"):
        session = Session(cell)
    y_TO = torch.stack([session.step(x_I) for x_I in x_TI])
    assert_close(y_TO, whole(cell, x_TI))
    other = Session(session.frozen)
    other.load_state_dict(session.state_dict())
    assert torch.equal(session.push(x_TI), other.push(x_TI))


def test_a_pooling_is_state() -> None:
    model = SequenceModel(3, GRUCell, input_size=2, hidden_size=8, pooling="attention").eval()
    session, x_TI = Session(model.step()), torch.randn(30, 2)
    with torch.no_grad():
        assert_close(session.push(x_TI)[-1], model(x_TI[None])[0], atol=1e-5, rtol=1e-4)
