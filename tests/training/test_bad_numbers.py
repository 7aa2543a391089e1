"""Numbers that are not finite: the step is not taken, the place is told, the run goes back or stops."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rnnkit import RNN
from rnnkit.cells import Cell, GRUCell
from rnnkit.cli import run
from rnnkit.tasks import Task
from rnnkit.training import ClipNorm, Run
from rnnkit.training.diagnosis import locate

EXPLODING = [
    *(
        "model/cell=elman",
        "model.cell.nonlinearity=relu",
        "optimizer=sgd",
        "optimizer.lr=1e4",
        "clipping=none",
        "data.bptt_steps=64",
    ),
    "trainer.val_check_interval=1.0",
]


def poisoned(monkeypatch: pytest.MonkeyPatch, steps: range) -> list[dict[str, Tensor]]:
    """Gradients are NaN at these steps; the weights before each step are kept."""
    original = ClipNorm.forward
    seen: list[dict[str, Tensor]] = []
    calls = 0

    def forward(self: ClipNorm, parameters: Any) -> tuple[Tensor, Tensor]:
        nonlocal calls
        if calls in steps:
            parameters[0].grad.fill_(torch.nan)
        calls += 1
        return original(self, parameters)

    before = Task.configure_gradient_clipping

    def watched(self: Task, *arguments: Any, **options: Any) -> None:
        seen.append({name: weight.clone() for name, weight in self.model.state_dict().items()})
        before(self, *arguments, **options)

    monkeypatch.setattr(ClipNorm, "forward", forward)
    monkeypatch.setattr(Task, "configure_gradient_clipping", watched)
    return seen


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_bad_step_is_skipped_and_no_other(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = poisoned(monkeypatch, range(7, 9))
    assert run(["train", *small, f"run_dir={tmp_path / 'run'}"]) == 0
    assert [step for step in range(1, 40) if same(seen[step - 1], seen[step])] == [8, 9]
    said = re.findall(r"step (\d+): not finite, skipped; it begins in (.*?)\.", capsys.readouterr().err)
    assert said == [("8", "nowhere: all is finite this time")]  # the poison was ours, not the model's
    callbacks = Run.open(tmp_path / "run").checkpoint("last")["callbacks"]
    assert callbacks["BadNumbers"] == {"skipped": 2}


def test_after_too_many_the_run_goes_back_with_half_the_rate(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = poisoned(monkeypatch, range(26, 29))
    overrides = [*small, "bad_steps=3", "schedule=constant", "schedule.warmup_steps=0", f"run_dir={tmp_path / 'run'}"]
    assert run(["train", *overrides]) == 0
    assert (
        "3 bad steps in a row: back to the weights of step 20, with half the learning rate" in capsys.readouterr().err
    )
    assert same(seen[29], seen[20])
    groups = Run.open(tmp_path / "run").checkpoint("last")["optimizer_states"][0]["param_groups"]
    assert [group["lr"] for group in groups] == pytest.approx([3e-3 / 2] * len(groups))


def test_a_run_that_explodes_says_where_and_can_be_replayed(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run(["train", *small, *EXPLODING, f"run_dir={folder}"]) == 2
    said = capsys.readouterr().err
    assert "5 steps in a row without (no checkpoint to go back to)" in said
    where = re.search(r"it begins in (.*)\. To see it again", said)
    assert where is not None
    assert re.fullmatch(r"the output of rnn, layer 1, time step \d+, lane \d", where[1])
    assert run(["replay", str(folder)]) == 0
    assert where[1] in capsys.readouterr().out


def test_a_run_may_stop_instead(small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned(monkeypatch, range(25, 30))
    overrides = [*small, "bad_steps=2", "after_bad_steps=stop", f"run_dir={tmp_path / 'run'}"]
    assert run(["train", *overrides]) == 2
    assert Run.open(tmp_path / "run").checkpoint("last")["global_step"] == 20


@pytest.mark.parametrize("setting", ["bad_steps=0", "after_bad_steps=hope"])
def test_settings_that_make_no_sense(setting: str, small: list[str], tmp_path: Path) -> None:
    assert run(["train", *small, setting, f"run_dir={tmp_path / 'run'}"]) == 2
    assert not (tmp_path / "run").exists()


def test_replay_of_a_run_without_a_bad_batch(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", str(trained)]) == 2
    assert "a run that met a bad batch" in capsys.readouterr().err


class Root(Cell[Tensor]):
    """Its output is finite and its derivative is not, where x is 0."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size = self.output_size = input_size
        self.weight = torch.nn.Parameter(torch.ones(()))

    def initial_state(self, batch_size: int) -> Tensor:
        return self.weight.new_zeros(batch_size, self.output_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        y_BI = torch.sqrt(x_BI * self.weight)
        return y_BI, y_BI


def test_an_infinite_gradient_is_traced_to_what_it_reaches() -> None:
    first, then = RNN(GRUCell, 3, 3), RNN(Root, 3, 3)
    model = torch.nn.ModuleDict({"first": first, "then": then})
    x_BTI = torch.randn(2, 5, 3)

    def loss() -> Tensor:
        y_BTO = first(x_BTI)[0].abs() + 0.1
        mask = torch.ones_like(y_BTO)
        mask[1, 2] = 0
        return then(y_BTO * mask)[0].sum()  # type: ignore[no-any-return]

    assert locate(model, loss) == "the gradient that reaches first, layer 1, time step 2, lane 1"


def test_the_second_layer_of_a_stack_is_told_from_the_first() -> None:
    rnn = RNN(GRUCell, 3, 4, num_layers=2, bidirectional=True)
    with torch.no_grad():
        rnn.cell_at(3).weight_ih[0, 0] = torch.nan  # type: ignore[index]
    where = locate(rnn, lambda: rnn(torch.randn(2, 5, 3))[0].sum())
    assert where == "the output of rnn, layer 2, backward, time step 0, lane 0"
