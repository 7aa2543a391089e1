"""`KEY._target_=my_lab.Class` on the command line: options of the class that was there are dropped, and named."""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rnnkit.cli import run

OWN = """
    import lightning as L
    import torch
    from torch import Tensor, nn

    from rnnkit.cells import Cell
    from rnnkit.data import TextData


    class Leaky(Cell[Tensor]):
        def __init__(self, input_size: int, hidden_size: int, leak: float = 0.5) -> None:
            super().__init__()
            self.input_size, self.output_size, self.leak = input_size, hidden_size, leak
            self.read, self.keep = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size)

        def initial_state(self, batch_size: int) -> Tensor:
            return self.read.weight.new_zeros(batch_size, self.output_size)

        def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            state = torch.lerp(state, torch.tanh(self.read(x) + self.keep(state)), self.leak)
            return state, state


    class Text(TextData):
        def __init__(self, path: str, lanes: int = 4, bptt_steps: int = 16) -> None:
            super().__init__(path=path, lanes=lanes, bptt_steps=bptt_steps)


    class Quiet(L.Callback):
        pass
"""


@pytest.fixture(autouse=True)
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "replaced_lab.py").write_text(textwrap.dedent(OWN))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("replaced_lab", None)


def quick(small: list[str]) -> list[str]:
    return [*small, "trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1"]


@pytest.mark.parametrize(
    ("override", "dropped"),
    [
        ("model.cell._target_=replaced_lab.Leaky", "forget_bias, bias"),
        ("model.cell._target_=rnnkit.cells.GRUCell", "forget_bias"),
        ("optimizer._target_=torch.optim.SGD", "betas"),
        ("callbacks.sample._target_=replaced_lab.Quiet", "length, prompt_length, temperature"),
        ("clipping._target_=rnnkit.training.ClipPercentile", "max_norm"),
        ("schedule._target_=rnnkit.training.constant", "final_share"),
    ],
)
def test_options_of_the_class_before_are_dropped_and_named(
    override: str, dropped: str, small: list[str], lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", *quick(small), override, "run_dir=run"]) == 0
    key, target = override.split("._target_=")
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"{key}: options of the replaced class dropped, {target} does not take {dropped}"
    assert not any("dropped" in line for line in said[1:])
    node = OmegaConf.select(OmegaConf.load(lab / "run" / "config.yaml"), key)
    assert not {*dropped.split(", ")} & {*node}


def test_data_of_the_users_own(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", *quick(small), "data._target_=replaced_lab.Text", "~task.unit", "run_dir=run"]) == 0
    said = capsys.readouterr().err.splitlines()[0]
    start = "data: options of the replaced class dropped, replaced_lab.Text does not take dataset, train, valid, test"
    assert said.startswith(f"{start}, level, min_count")


def test_what_is_typed_is_never_dropped(small: list[str], lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["model.cell._target_=replaced_lab.Leaky", "model.cell.forget_bias=2.0", "+model.cell.leak=0.1"]
    assert run(["train", *small, *own, "run_dir=run"]) == 2
    caught = capsys.readouterr()
    assert "model.cell.forget_bias: expected an argument of replaced_lab.Leaky; got forget_bias" in caught.err
    assert "Try: leaving out model.cell.forget_bias" in caught.err
    assert "does not take bias" in caught.err
    assert not (lab / "run").exists()
    assert run(["train", *quick(small), own[0], own[2], "run_dir=run"]) == 0
    assert OmegaConf.load(lab / "run" / "config.yaml").model.cell.leak == 0.1


def test_explain_and_resume_drop_them_too(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", *small, "model.cell._target_=replaced_lab.Leaky"]) == 0
    assert "replaced_lab.Leaky does not take forget_bias, bias" in capsys.readouterr().err
    assert run(["train", *quick(small), "run_dir=run"]) == 0
    assert run(["resume", "run", "trainer.max_epochs=2", "callbacks.sample._target_=replaced_lab.Quiet"]) == 0
    assert "replaced_lab.Quiet does not take length, prompt_length, temperature" in capsys.readouterr().err
