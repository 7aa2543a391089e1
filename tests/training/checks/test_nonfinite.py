"""Numbers that are not finite: the step is not taken, the place is told, the run goes back or stops."""

import copy
import functools
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from rnnkit import RNN
from rnnkit.batch import ForecastExtra, ForecastInputs, SequenceBatch, TokenInputs
from rnnkit.cells import Cell, GRUCell
from rnnkit.cli import run
from rnnkit.errors import UserError
from rnnkit.tasks import Task
from rnnkit.training import ClipNorm, Run
from rnnkit.training.checks.bad_batch import plain, read_batch
from rnnkit.training.checks.diagnosis import locate
from rnnkit.training.run import storage

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
    said = re.findall(
        r"step (\d+): non-finite gradient; step skipped\. First non-finite value: (.*?)\.", capsys.readouterr().err
    )
    assert said == [("8", "none, all values are finite this time")]  # the poison was ours, not the model's
    callbacks = Run.open(tmp_path / "run").checkpoint("last")["callbacks"]
    assert callbacks["BadNumbers"] == {"skipped": 2}


def test_after_too_many_the_run_goes_back_with_half_the_rate(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = poisoned(monkeypatch, range(26, 29))
    overrides = [
        *small,
        "max_nonfinite_steps=3",
        "schedule=constant",
        "schedule.warmup_steps=0",
        f"run_dir={tmp_path / 'run'}",
    ]
    assert run(["train", *overrides]) == 0
    assert (
        "3 consecutive non-finite gradients; restored the weights of step 20 and halved the learning rate"
        in capsys.readouterr().err
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
    assert "5 consecutive steps without (no checkpoint to restore)" in said
    where = re.search(r"First non-finite value: (.*)\. Reproduce with", said)
    assert where is not None
    assert re.fullmatch(r"the output of rnn, layer 1, time step \d+, row \d", where[1])
    assert run(["replay", str(folder)]) == 0
    assert where[1] in capsys.readouterr().out


@pytest.fixture(scope="module")
def exploded(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exploded") / "run"
    assert run(["train", *small, *EXPLODING, f"run_dir={folder}"]) == 2
    return folder


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to every value of a nest."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*path, key))


def test_no_altered_value_of_a_bad_batch_ends_in_a_traceback(
    exploded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = exploded / "bad_batch.pt"
    whole = storage.read(path)
    others = [None, -1, 10**30, "x", [], {}, float("nan"), torch.zeros(0), torch.full((4, 64), 10**6)]
    ended: Counter[int] = Counter()
    for number, keys in enumerate(places(whole)):
        chosen = others if len(keys) < 2 else [others[number % len(others)], others[(number * 5 + 3) % len(others)]]
        for other in chosen:
            case = copy.deepcopy(whole)
            if keys:
                holder = functools.reduce(lambda part, key: part[key], keys[:-1], case)
                holder[keys[-1]] = other
            storage.write(case if keys else {"x": other}, path)
            capsys.readouterr()
            code = run(["replay", str(exploded)])
            said = capsys.readouterr().err.strip()
            assert code == 0 or (code, len(said.splitlines())) == (2, 1), (keys, other, said)
            ended[code] += 1
    storage.write(whole, path)
    assert ended[2] > 30


def test_a_run_may_stop_instead(small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned(monkeypatch, range(25, 30))
    overrides = [*small, "max_nonfinite_steps=2", "on_nonfinite=stop", f"run_dir={tmp_path / 'run'}"]
    assert run(["train", *overrides]) == 2
    assert Run.open(tmp_path / "run").checkpoint("last")["global_step"] == 20


@pytest.mark.parametrize("setting", ["max_nonfinite_steps=0", "on_nonfinite=hope"])
def test_settings_that_make_no_sense(setting: str, small: list[str], tmp_path: Path) -> None:
    assert run(["train", *small, setting, f"run_dir={tmp_path / 'run'}"]) == 2
    assert not (tmp_path / "run").exists()


def test_replay_of_a_run_without_a_bad_batch(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", str(trained)]) == 2
    assert "a run with a non-finite batch" in capsys.readouterr().err


OWN = """
import dataclasses
from typing import Any, NamedTuple

import torch
from rnnkit.data import CylinderBellFunnel
from rnnkit.models import SequenceModel


class Named(NamedTuple):
    values: Any
    more: dict


@dataclasses.dataclass(frozen=True)
class Fields:
    values: torch.Tensor
    name: str = "made by its constructor"

    def __post_init__(self):
        object.__setattr__(self, "name", "made by its constructor")


class Unknown:
    def __init__(self, values):
        self.values = values
        self.shape = values.shape

    def __getitem__(self, place):
        return self.values


MAKE = {
    "named": lambda x: Named([x], {"mean": x.mean(1), "none": None}),
    "dict": lambda x: {"values": x, "gaps": (x[:, :1], 3)},
    "dataclass": Fields,
    "unknown": lambda x: (x, Unknown(x)),
}
TAKE = {
    "named": lambda inputs: inputs.values[0],
    "dict": lambda inputs: inputs["values"],
    "dataclass": lambda inputs: inputs.values,
    "unknown": lambda inputs: inputs[1].values,
}


class Shapes(CylinderBellFunnel):
    made = 0

    def collate(self, examples):
        batch = super().collate(examples)
        self.made += len(examples) == 8
        if self.made == 4 and len(examples) == 8:
            batch.inputs[2, 5] = torch.inf
        return batch._replace(inputs=MAKE[KIND](batch.inputs))


class Model(SequenceModel):
    def forward(self, inputs, lengths=None):
        return super().forward(TAKE[KIND](inputs), lengths=lengths)
"""


@pytest.mark.parametrize("kind", ["named", "dict", "dataclass", "unknown"])
def test_inputs_of_a_type_of_ones_own_are_guarded_and_replayed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RNNKIT_ALLOW", f"own_{kind}")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"own_{kind}.py").write_text(f"KIND = {kind!r}\n{OWN}")
    task = ["task=classification", "data=cylinder_bell_funnel", "data.train_size=48", "data.valid_size=9"]
    own = [f"data._target_=own_{kind}.Shapes", f"model._target_=own_{kind}.Model"]
    small = ["data.batch_size=8", "model.hidden_size=8", "trainer.max_epochs=2", "trainer.log_every_n_steps=2"]
    assert run(["train", *task, *own, *small, "run_dir=run"]) == 0
    told = capsys.readouterr().err
    place = "the output of input_dropout, time step 5, row 2"
    assert f"non-finite gradient; step skipped. First non-finite value: {place}." in told
    if kind == "unknown":
        assert (
            f"The batch could not be saved: it holds a own_{kind}.Unknown, which is neither a tensor nor a number"
            in told
        )
        assert not (tmp_path / "run" / "bad_batch.pt").exists()
        return
    assert "Reproduce with: rnnkit replay run" in told
    command = [sys.executable, "-m", "rnnkit", "replay", "run"]  # what this process has imported is not there
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "8 rows x 128 steps: non-finite gradient. First non-finite value:" in done.stdout
    assert place in done.stdout


class Pair(NamedTuple):
    values: Tensor
    more: list[Any]


@dataclass
class Fields:
    values: Tensor
    made: bool = False

    def __post_init__(self) -> None:
        self.made = True


def test_a_batch_comes_back_as_it_was_without_a_call_of_a_constructor(tmp_path: Path) -> None:
    fields = Fields(torch.ones(2))
    fields.made = False
    inputs = Pair(torch.ones(2, 3), [None, {"a": (1, True), 2: 0.5}, fields, "x"])
    batch = SequenceBatch(inputs, torch.ones(2), None, num_steps=np.int64(6))  # type: ignore[arg-type]
    storage.write({"batch": plain(batch)}, tmp_path / "batch.pt")
    found = read_batch(storage.read(tmp_path / "batch.pt")["batch"], tmp_path)
    assert str(found) == str(batch._replace(num_steps=6))
    assert type(found.inputs) is Pair
    assert type(found.inputs.more[2]) is Fields
    assert found.shape == (2, 3)


@pytest.mark.parametrize(
    "name", ["os:system", "subprocess:Popen", "ast:Call", "no_such:Type", "builtins:dict", "", "Run"]
)
def test_a_batch_of_a_strangers_run_makes_no_object_of_another_kind(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"bad_batch\.pt"):
        read_batch({"type": name, "parts": ["touch pwned"]}, tmp_path)
    whole = plain(SequenceBatch(torch.ones(1, 1), torch.ones(1), None))
    with pytest.raises(UserError, match=r"bad_batch\.pt"):
        read_batch({**whole, "parts": whole["parts"][1:]}, tmp_path)


@pytest.mark.parametrize("case", [{}, {"batch": None}, {"batch": [1]}, {"batch": 3, "state_dict": {}, "step": 1}])
def test_a_kept_batch_that_makes_no_sense_is_named(
    case: dict[str, Any], trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    storage.write(case, tmp_path / "run" / "bad_batch.pt")
    assert run(["replay", str(tmp_path / "run")]) == 2
    assert "bad_batch.pt" in capsys.readouterr().err


def test_every_field_of_a_batch_comes_back(tmp_path: Path) -> None:
    inputs = ForecastInputs.of(torch.rand(2, 5, 1), horizon=3)
    lengths, target_lengths = torch.tensor([5, 4]), torch.tensor([3, 1])
    extra = ForecastExtra.of(inputs.past)
    batch = SequenceBatch(inputs, torch.rand(2, 3, 1), lengths, target_lengths, torch.tensor([True, False]), 9, extra)
    storage.write({"batch": plain(batch)}, tmp_path / "batch.pt")
    found = read_batch(storage.read(tmp_path / "batch.pt")["batch"], tmp_path)
    assert str(found) == str(batch)


@pytest.mark.parametrize(
    ("kind", "count", "fields"),
    [("ForecastInputs", 12, ForecastInputs._fields), ("TokenInputs", 6, TokenInputs._fields)],
)
def test_inputs_that_held_what_metrics_read_are_read_without_it(
    kind: str, count: int, fields: tuple[str, ...], tmp_path: Path
) -> None:
    parts = [torch.full((2, 3), float(number)) for number in range(count)]
    inputs = {"type": f"rnnkit.batch:{kind}", "parts": parts}
    batch = [inputs, torch.ones(2), torch.tensor([3, 2]), None, 5]
    found = read_batch({"type": "rnnkit.batch:SequenceBatch", "parts": batch}, tmp_path)
    assert found.inputs._fields == fields
    assert [float(part[0, 0]) for part in found.inputs] == [*range(len(fields))]
    assert (found.num_steps, found.reset, found.extra) == (5, None, None)


def test_a_field_that_a_type_does_not_have_is_named(tmp_path: Path) -> None:
    kept = plain(SequenceBatch(torch.ones(1, 1), torch.ones(1)))
    names = [name if name != "reset" else "other" for name in kept["names"]]
    with pytest.raises(UserError, match=r"fields inputs, targets, .*, other, .* of a SequenceBatch"):
        read_batch({**kept, "names": names}, tmp_path)


def test_batches_of_the_first_version_are_read(tmp_path: Path) -> None:
    fields = [torch.ones(2, 3), torch.ones(2), None, None, None]
    assert read_batch({"type": "SequenceBatch", "fields": fields}, tmp_path).shape == (2, 3)


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

    assert locate(model, loss) == "the gradient that reaches first, layer 1, time step 2, row 1"


def test_the_second_layer_of_a_stack_is_told_from_the_first() -> None:
    rnn = RNN(GRUCell, 3, 4, num_layers=2, bidirectional=True)
    with torch.no_grad():
        rnn.cell_at(3).weight_ih[0, 0] = torch.nan  # type: ignore[index]
    where = locate(rnn, lambda: rnn(torch.randn(2, 5, 3))[0].sum())
    assert where == "the output of rnn, layer 2, backward, time step 0, row 0"
