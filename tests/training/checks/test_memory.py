"""Memory is estimated before a run from a few rows, and the estimate leaves the run unchanged."""

import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from curves import figures

import rnnkit
from rnnkit.batch import SequenceBatch
from rnnkit.cells import GRUCell, LSTMCell
from rnnkit.cli import run
from rnnkit.cli.configuration import groups
from rnnkit.cli.explain import _composed
from rnnkit.data.corpus.windows import Windows
from rnnkit.data.loading.batches import Batches
from rnnkit.engines import observe
from rnnkit.engines.compiled.plan.products import BUFFERS, BufferPool
from rnnkit.engines.policy import as_for_more_rows
from rnnkit.models import LanguageModel, SequenceModel
from rnnkit.tasks import Classification, LanguageModeling, Task
from rnnkit.training import Run
from rnnkit.training.checks import memory
from rnnkit.training.checks.dry_run import preserving_state
from rnnkit.training.checks.live_memory import Growth, LiveMemory
from rnnkit.training.checks.memory import Kept
from rnnkit.training.configuration.construct import construct
from rnnkit.training.free_memory import free_memory

MIB = 2**20
CPU = torch.device("cpu")


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_tightest_limit_is_what_is_free(tmp_path: Path) -> None:
    root = written(tmp_path, {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n"})
    assert free_memory(CPU, root) == 8000 * 1024
    group = "sys/fs/cgroup/box"
    written(root, {"proc/self/cgroup": "0::/box/inner\n", f"{group}/inner/memory.max": "max\n"})
    written(root, {f"{group}/memory.max": "5000000\n", f"{group}/memory.current": "2000000\n"})
    assert free_memory(CPU, root) == 3_000_000  # that of the group around
    written(root, {f"{group}/memory.stat": "anon 1500000\ninactive_file 400000\n"})
    assert free_memory(CPU, root) == 3_400_000
    older = "sys/fs/cgroup/memory/box"
    written(root, {"proc/self/cgroup": "4:cpu,memory:/box\n0::/box\n", f"{older}/memory.limit_in_bytes": "1000000\n"})
    written(root, {f"{older}/memory.usage_in_bytes": "1200000\n"})
    assert free_memory(CPU, root) == 0


def test_where_the_system_says_nothing_nothing_is_known(tmp_path: Path) -> None:
    assert free_memory(CPU, tmp_path) is None


def test_the_limit_of_the_address_space_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = written(tmp_path, {"proc/meminfo": "MemAvailable: 8000000 kB\n", "proc/self/statm": "3 1 1 0 0 0 0\n"})
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (10**6, resource.RLIM_INFINITY))
    assert free_memory(CPU, root) == 10**6 - 3 * resource.getpagesize()


def classifier() -> tuple[Task, Any]:
    model = SequenceModel(3, GRUCell, input_size=4, hidden_size=24, bidirectional=True, pooling="attention")
    lengths = torch.tensor([40, 33, 20, 20, 9, 3])

    def batch(lanes: int) -> SequenceBatch:
        chosen = lengths.repeat(1 + lanes // 6)[:lanes].clone()
        chosen[0] = 40
        targets = torch.arange(lanes) % 3
        return SequenceBatch(torch.randn(lanes, 40, 4), targets, chosen, num_steps=int(chosen.sum()))

    return Classification(model, torch.optim.AdamW), batch


def language_model(cell: Any = LSTMCell, checkpoint_every: int | None = None) -> tuple[Task, Any]:
    model = LanguageModel(50, cell, hidden_size=48, dropout=0.2, checkpoint_every=checkpoint_every)

    def batch(lanes: int) -> SequenceBatch:
        ids = torch.randint(50, (lanes, 33))
        return SequenceBatch(ids[:, :-1], ids[:, 1:], reset=torch.ones(lanes, dtype=torch.bool))

    return LanguageModeling(model, torch.optim.AdamW), batch


class OwnScan(torch.nn.Module):
    """A user's model that takes its cell over time itself."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.cell, self.logits = torch.nn.Embedding(50, 48), GRUCell(48, 48), torch.nn.Linear(48, 50)

    def forward(self, ids_BT: torch.Tensor, state: Any = None, *, lengths: Any = None, reset: Any = None) -> Any:
        y_BTO, state = rnnkit.scan(self.cell, self.embedding(ids_BT), state, lengths=lengths, reset=reset)
        return self.logits(y_BTO), state


def own_scan() -> tuple[Task, Any]:
    return LanguageModeling(OwnScan(), torch.optim.AdamW), language_model(GRUCell)[1]


MADE = {
    "a scan of one's own": own_scan,
    "an LSTM, native": language_model,
    "a GRU, compiled": lambda: language_model(GRUCell),
    "computed again for the backward pass": lambda: language_model(LSTMCell, checkpoint_every=8),
    "padded, both directions": classifier,
}


def course(task: Task, batch: SequenceBatch, lanes: int) -> list[int]:
    if hasattr(task, "carry"):
        task.carry.clear()
    with as_for_more_rows(lanes / batch.shape[0]), LiveMemory() as memory:
        torch.autograd.grad(task.training_step(batch, 0), list(task.parameters()), allow_unused=True)
    return memory.course


@pytest.mark.parametrize("made", MADE)
def test_two_and_three_lanes_tell_of_many(made: str) -> None:
    task, batch = MADE[made]()
    found = []
    for lanes in (2, 2, 3, 64):  # the first compiles what has to be
        BUFFERS.clear()
        found.append(course(task, batch(lanes), 64))
    growth = Growth(found[1], found[2])
    assert growth.peak(64) == pytest.approx(max(found[3]), rel=0.15)
    assert max(found[3]) > 8 * max(found[2])  # so that the extrapolation is far


def test_a_few_rows_take_the_engine_of_many() -> None:
    task, batch = own_scan()
    engines: list[str] = []
    with observe(lambda event: engines.append(event.engine)):
        task.training_step(batch(2), 0)
        with as_for_more_rows(50):
            task.training_step(batch(2), 0)
        task.carry.clear()  # type: ignore[attr-defined]
        task.training_step(batch(100), 0)
    assert engines == ["native", "compiled", "compiled"]


def test_the_most_rows_are_those_that_just_fit() -> None:
    growth = Growth([10, 100, 40], [10, 110, 80])
    for room in (100, 119, 120, 200, 1000):
        most = growth.most_rows(room)
        assert growth.peak(most) <= room < growth.peak(most + 1)
    assert growth.most_rows(5) == 0
    assert Growth([10, 100], [10, 110], scale=4.0).most_rows(1000) == Growth([10, 100], [10, 110]).most_rows(1000) // 4


@pytest.mark.parametrize(("optimizer", "states"), [("adamw", 2), ("sgd", 0), ("rmsprop", 1), ("nt_asgd", 0)])
def test_what_the_optimizer_keeps_is_seen_on_a_small_weight(optimizer: str, states: int) -> None:
    config = _composed([f"optimizer={optimizer}", "averaging=ema"], None)
    model = torch.nn.Linear(10, 10, bias=False)
    assert Kept.by(model, config) == (400, 400, states * 400, 400)


@pytest.mark.parametrize("cell", groups()["model/cell"])
def test_every_cell_says_its_size_without_memory(cell: str) -> None:
    config = _composed([f"model/cell={cell}", "model.hidden_size=16"], None)
    real = construct(config, "model", vocabulary_size=20)
    with torch.device("meta"):
        model = construct(config, "model", vocabulary_size=20)
    assert {value.device.type for value in (*model.parameters(), *model.buffers())} == {"meta"}
    assert Kept.by(model, config) == Kept.by(real, config)


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: size)


def refused(arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["train", *arguments, f"run_dir={folder}"]) == 2
    assert not folder.exists()
    return capsys.readouterr().err


def test_a_model_that_cannot_fit_is_refused_before_it_is_built(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused([*small, "model.hidden_size=2000000"], tmp_path / "run", capsys)  # 58 TiB of weights
    assert re.search(r"model.hidden_size: expected at most .* GiB of free memory; got about [\d,.]+ GiB: weights", said)
    free(monkeypatch, 20 * MIB)
    said = refused([*small, "model.hidden_size=3000"], tmp_path / "run", capsys)
    size = re.search(r"Try: (model.hidden_size=\d+), or check_memory=false", said)
    assert size is not None
    assert run(["train", *small, size[1], "trainer.limit_train_batches=2", f"run_dir={tmp_path / 'run'}"]) == 0


def test_a_number_of_weights_beyond_counting_is_refused_too(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused([*small, "model.hidden_size=20000000000"], tmp_path / "run", capsys)
    assert "model: expected sizes whose product does not overflow" in said


def test_lanes_that_cannot_fit_are_refused_with_a_number_that_does(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    free(monkeypatch, 4 * MIB)
    many = [*small, "data.lanes=96", "data.bptt_steps=64", "model.hidden_size=32"]
    said = refused(many, tmp_path / "run", capsys)
    assert re.search(r"data.lanes: expected at most 4 MiB of free memory; got about \d+ MiB: .* for 96 rows x 64", said)
    fix = re.search(r"Try: (data.lanes=(\d+)) (trainer.accumulate_grad_batches=(\d+)), or", said)
    assert fix is not None
    assert int(fix[2]) * int(fix[4]) == 96
    short = [f"run_dir={tmp_path / 'run'}", "trainer.max_epochs=1", "trainer.limit_train_batches=2"]
    assert run(["train", *many, fix[1], fix[3], *short]) == 0
    assert run(["train", *many, "check_memory=false", f"run_dir={tmp_path / 'bold'}", *short[1:]]) == 0


def test_where_not_even_one_lane_fits_the_window_is_too_long(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    free(monkeypatch, 2 * MIB)
    long = [*small, "data.lanes=2", "data.bptt_steps=10000"]
    said = refused(long, tmp_path / "run", capsys)
    fix = re.search(r"data.bptt_steps: .* Try: (data.bptt_steps=\d+) (data.lanes=1), or", said)
    assert fix is not None
    short = [f"run_dir={tmp_path / 'run'}", "trainer.max_epochs=1", "trainer.limit_train_batches=2"]
    assert run(["train", *long, fix[1], fix[2], *short]) == 0


def test_a_validation_that_cannot_fit_is_foreseen_too(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    free(monkeypatch, MIB // 2)
    said = refused([*small, "data.eval_lanes=1000"], tmp_path / "run", capsys)
    assert re.search(r"data.eval_lanes: .* Try: data.eval_lanes=\d+, or", said)
    assert "accumulate" not in said


def test_batches_by_length_are_foreseen_by_their_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    free(monkeypatch, 20 * MIB)
    said = refused(["task=regression", "model.hidden_size=16", "data.batch_size=5000"], tmp_path / "run", capsys)
    assert re.search(r"data.batch_size: .* for 2,000 rows x 128 steps. Try: data.batch_size=\d+ trainer.acc", said)


def test_the_longest_sequences_and_the_shortest_stand_for_a_batch() -> None:
    def worst(lengths: list[int], batch_size: int) -> Any:
        return Batches(lengths, lambda indices: indices, batch_size=batch_size).worst_case(3)  # type: ignore[arg-type, return-value]

    assert worst([3, 9, 5, 7], 3) == ([1, 3, 0], 3, 9, "batch_size", None)
    assert worst([4], 8) == ([0, 0, 0], 1, 4, "batch_size", None)


@pytest.mark.parametrize("random_steps", [False, True])
@pytest.mark.parametrize(("tokens", "steps"), [(1000, 9), (2000, 90), (50, 90)])
def test_a_window_stands_for_the_longest(tokens: int, steps: int, random_steps: bool) -> None:
    windows = Windows(torch.arange(tokens), lanes=2, steps=steps, random_steps=random_steps)
    worst = windows.worst_case(3)
    longest = max(window.shape[1] for window in windows)
    assert worst[1:] == (2, longest, "lanes", "bptt_steps")
    assert worst.batch.shape == (3, min(longest, 64))
    assert worst.batch.inputs[2].tolist() == worst.batch.inputs[0].tolist() == list(range(min(longest, 64)))
    assert worst.batch.reset is not None


def test_a_pool_that_is_emptied_counts_what_it_would_keep_and_passes_nothing_on() -> None:
    pool = BufferPool()
    pool.give([torch.empty(100_000)], [])
    with pool.emptied() as sizes:
        kept = torch.empty(7)
        assert pool.take((100_000,), torch.float32).numel() == 100_000
        pool.give([torch.empty(10), kept, kept[2:], torch.empty(5)], [kept])
        assert sizes == [20, 40]
        for _ in range(20):
            pool.give([torch.empty(3)], [])
        assert sizes == [12] * pool.MOST
    first = torch.empty(100_000)
    pool.give([first], [])
    assert pool.take((100_000,), torch.float32).data_ptr() == first.data_ptr()


def test_what_is_tried_leaves_no_trace() -> None:
    import random

    import numpy as np

    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3), torch.nn.Dropout()).train()
    task = torch.nn.ModuleDict({"model": model})
    before = {name: value.clone() for name, value in task.state_dict().items()}

    def drawn() -> tuple[float, float, float]:
        return float(torch.rand(())), random.random(), float(np.random.rand())

    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    expected = drawn()
    torch.set_rng_state(states[0])
    random.setstate(states[1])
    np.random.set_state(states[2])
    with preserving_state(task, weights=True):  # type: ignore[arg-type]
        model(torch.randn(5, 3)).sum().backward()
        torch.optim.SGD(model.parameters(), 1.0).step()
        drawn()
        model.eval()
    assert model[2].training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())
    assert drawn() == expected


@pytest.mark.parametrize(
    "more",
    [["model.word_dropout=0.1"], ["averaging=ema", "clipping=percentile", "model/cell=gru"]],
    ids=["lstm", "gru"],
)
def test_a_run_that_was_foreseen_is_bit_for_bit_one_that_was_not(
    more: list[str], small: list[str], tmp_path: Path
) -> None:
    for name in ("true", "false"):
        overrides = [*small, *more, f"check_memory={name}", "trainer.max_epochs=1", f"run_dir={tmp_path / name}"]
        assert run(["train", *overrides]) == 0
    one, other = (Run.open(tmp_path / name).checkpoint("last") for name in ("true", "false"))
    # unused slots of a clipping history are NaN
    weights = [{name: value.nan_to_num() for name, value in found["state_dict"].items()} for found in (one, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    assert figures(tmp_path / "true") == figures(tmp_path / "false")


def test_what_cannot_be_tried_is_not_refused_and_that_is_said(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = LanguageModeling.training_step

    def whole_batches_only(self: LanguageModeling, batch: SequenceBatch, batch_idx: int) -> torch.Tensor:
        if batch.shape[0] != 4:
            raise RuntimeError("four lanes, please")
        return original(self, batch, batch_idx)

    monkeypatch.setattr(LanguageModeling, "training_step", whole_batches_only)
    assert run(["train", *small, "trainer.max_epochs=1", f"run_dir={tmp_path / 'run'}"]) == 0
    said = capsys.readouterr().err
    assert "the memory of training was not checked: RuntimeError: four lanes, please" in said
    assert "the memory of validation" not in said


MEASURED = """
import json, re, sys
from pathlib import Path
import lightning as L
from rnnkit.cli import run

def resident(what):
    return int(re.search(rf"{what}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

def fit(self, *arguments, **options):
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now on
    before = resident("VmRSS")
    original(self, *arguments, **options)
    print("grew", resident("VmHWM") - before)

original, L.Trainer.fit = L.Trainer.fit, fit
sys.exit(run(["train", *sys.argv[1:]]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_the_estimate_is_near_what_a_process_really_takes(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    large = [*small, "model.hidden_size=400", "data.lanes=128", "data.bptt_steps=128", "trainer.max_epochs=1"]
    large += ["trainer.limit_train_batches=2", "callbacks.sample.length=0"]
    script = [sys.executable, "-c", MEASURED, *large, "check_memory=false", f"run_dir={tmp_path / 'run'}"]
    said = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    found = re.search(r"grew (\d+)", said)
    assert found is not None
    free(monkeypatch, 100 * MIB)  # enough for the weights
    estimate = re.search(r"got about (\d+) MiB: weights (\d+)", refused(large, tmp_path / "other", capsys))
    assert estimate is not None
    estimated = (int(estimate[1]) - int(estimate[2])) * MIB  # the weights were there before
    assert 0.7 * int(found[1]) < estimated < 1.4 * int(found[1])
