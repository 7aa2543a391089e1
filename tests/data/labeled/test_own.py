"""Data that need no file, and the turbofan engines."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnnkit.data import CMAPSSData, CylinderBellFunnel, FunctionSource
from rnnkit.data.builtin.cylinder_bell_funnel import cylinder_bell_funnel
from rnnkit.data.builtin.function_source import functions
from rnnkit.errors import UserError


@pytest.mark.parametrize(("shape", "form"), [(0, lambda u: 1 + 0 * u), (1, lambda u: u), (2, lambda u: 1 - u)])
def test_the_three_shapes_are_their_equations(shape: int, form: Any) -> None:
    """The mean over many series at t is the expectation, summed over all a and b by hand."""
    N = 20_000
    x_NT = cylinder_bell_funnel(torch.full((N,), shape), torch.Generator().manual_seed(1))
    t = np.arange(1, 129)
    expected = np.zeros(128)
    for a in range(16, 33):
        for width in range(32, 97):
            u = (t - a) / width
            expected += 6 * np.where((u >= 0) & (u <= 1), form(u), 0) / (17 * 65)
    error = x_NT.mean(0).numpy() - expected
    assert np.abs(error).max() < 5 * float(x_NT.std(0).max()) / N**0.5
    assert x_NT[:, :15].std().item() == pytest.approx(1, abs=0.02)  # noise alone


def test_draws_differ_by_number_and_not_by_seed() -> None:
    def first(**settings: Any) -> torch.Tensor:
        data = CylinderBellFunnel(train_size=6, valid_size=3, test_size=3, **settings)
        data.setup()
        return torch.cat([example.inputs for example in data.splits["test"]])

    assert first(seed=1).equal(first(seed=2))
    assert not first().equal(first(draw=1))
    with pytest.raises(UserError, match=r"data.test_size: expected 3 or more; got 2"):
        CylinderBellFunnel(test_size=2)


def test_functions_of_a_module() -> None:
    text = "import x\n\n\ndef f(a):\n    def inner():\n        pass\n    return inner\n"
    text += "\n\nclass C:\n    async def g(self):\n        pass\n"
    assert list(functions(text)) == [
        (4, "def f(a):\n    def inner():\n        pass\n    return inner"),
        (11, "async def g(self):\n    pass"),
    ]


def test_functions_of_the_library_are_split_by_file(tmp_path: Path) -> None:
    data = FunctionSource(level="char", max_length=256)
    data.setup()
    homes = {name: {example.group for example in examples} for name, examples in data.splits.items()}
    assert not homes["train"] & homes["valid"]
    assert not homes["train"] & homes["test"]
    assert not homes["valid"] & homes["test"]
    classes = data.task_kwargs["classes"]
    assert len(classes) >= 7
    for name, examples in data.splits.items():
        assert {classes[example.target] for example in examples} == set(classes), name
        assert all(classes[example.target] == str(example.group).split("/")[0] for example in examples)
    (tmp_path / "mine.py").write_text("def f(x):\n    return x\n\n\ndef g():\n    pass\n")
    read = list(data.read_inputs(tmp_path / "mine.py"))
    assert [example.id for example in read] == ["mine.py:1", "mine.py:5"]
    assert data.tokenizer.decode(read[1].inputs) == "def g():\n    pass"
    (tmp_path / "bad.py").write_text("def f(:\n")
    with pytest.raises(UserError, match=r"--input: expected Python source; got bad.py"):
        list(data.read_inputs(tmp_path / "bad.py"))


def rows(units: dict[int, int]) -> str:
    lines = []
    for unit, flights in units.items():
        for flight in range(1, flights + 1):
            values = [0.1 * unit, 5.0, 100.0, *(flight * sensor + unit for sensor in range(1, 22))]
            lines.append(f"{unit} {flight} " + " ".join(f"{value:.4f}" for value in values) + "  ")
    return "\n".join(lines) + "\n"


@pytest.fixture
def engines(tmp_path: Path) -> dict[str, Path]:
    files = {"train": rows({n: 3 + n for n in range(1, 11)}), "test": rows({1: 4, 2: 6}), "remaining": "7 \n300 \n"}
    for name, text in files.items():
        (tmp_path / f"{name}.txt").write_text(text)
    return {name: tmp_path / f"{name}.txt" for name in files}


def test_remaining_life_at_every_step(engines: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    data = CMAPSSData(**engines, cap=5, split={"valid_fraction": 0.2})
    data.setup()
    assert "dropped: channel 1, 2 (from 0)" in capsys.readouterr().err
    assert data.task == "regression"
    assert data.model_kwargs == {"input_size": 22, "outputs": 1}
    assert {name: len(examples) for name, examples in data.splits.items()} == {"train": 8, "valid": 2, "test": 2}
    for example in [*data.splits["train"], *data.splits["valid"]]:
        left = [min(5, len(example.inputs) - flight) for flight in range(1, len(example.inputs) + 1)]
        assert len(example.inputs) == 3 + int(example.id)
        assert example.target.tolist() == left
    batch = next(iter(data.test_dataloader()))
    assert batch.lengths is not None
    last = [curve[length - 1].item() for curve, length in zip(batch.targets, batch.lengths, strict=True)]
    assert last == [300, 7]  # the longer engine first; as the file says, not capped
    assert int((~batch.targets.isnan()).sum()) == 2


def test_sensors_are_chosen_by_the_numbers_that_papers_give_them(
    engines: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    everything, some = CMAPSSData(**engines), CMAPSSData(**engines, sensors=[2, 21])
    for data in (everything, some):
        data.setup()
    assert some.model_kwargs == {"input_size": 2, "outputs": 1}
    kept = everything.standardize.learn(everything.read_files("train", engines["train"], "data.train"))["kept"]
    for example, of_all in zip(some.splits["test"], everything.splits["test"], strict=True):
        assert example.inputs.equal(of_all.inputs[:, [kept.index(2 + 2), kept.index(2 + 21)]])
    monkeypatch.setattr("sys.stdin", io.StringIO(engines["test"].read_text()))
    for typed, example in zip(some.read_inputs(None), some.splits["test"], strict=True):
        assert typed.inputs.equal(example.inputs)
    for wrong in ([0], [22], []):
        with pytest.raises(UserError, match=r"data\.sensors: expected some of the measurements 1 to 21, or null"):
            CMAPSSData(**engines, sensors=wrong)


def test_evaluation_on_other_engines_needs_their_remaining_lives(engines: dict[str, Path], tmp_path: Path) -> None:
    data = CMAPSSData(**engines)
    data.setup()
    data.save(tmp_path)
    again = CMAPSSData(test=engines["test"])
    again.load(tmp_path)
    with pytest.raises(
        UserError, match=r"data.remaining: expected the remaining lives of the test engines; got none next to"
    ):
        again.setup("test")
    (tmp_path / "RUL_x.txt").write_text(engines["remaining"].read_text())
    (tmp_path / "test_x.txt").write_text(engines["test"].read_text())
    beside = CMAPSSData(test=tmp_path / "test_x.txt")
    beside.load(tmp_path)
    beside.setup("test")
    assert [float(example.target[-1]) for example in beside.splits["test"]] == [7, 300]
    inputs = list(again.read_inputs(engines["test"]))
    assert [example.id for example in inputs] == ["1", "2"]
    assert all(a.inputs.equal(b.inputs) for a, b in zip(inputs, data.splits["test"], strict=True))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train", rows({1: 3}) + "1 4 5\n", r"data.train: expected 26 numbers in every row; got 3 at train.txt line 4"),
        ("train", rows({1: 3}).replace("1 2 ", "1 4 ", 1), r"expected flights 1, 2, 3, ... of every engine"),
        (
            "train",
            rows({1: 3}).replace("5.0000", "five", 1),
            r"expected a finite number; got 'five' at train.txt line 1",
        ),
        ("remaining", "7\n", r"data.remaining: expected 2 numbers, one for each engine; got 1 in remaining.txt"),
    ],
)
def test_bad_engines(name: str, content: str, message: str, engines: dict[str, Path]) -> None:
    engines[name].write_text(content)
    with pytest.raises(UserError, match=message):
        CMAPSSData(**engines).setup()


@pytest.mark.usefixtures("real_data")
def test_fd001_has_the_published_counts() -> None:
    data = CMAPSSData(dataset="cmapss_fd001", split={"valid_fraction": 0.2})
    data.setup()
    steps = {name: sum(len(example.inputs) for example in examples) for name, examples in data.splits.items()}
    assert len(data.splits["train"]) + len(data.splits["valid"]) == 100
    assert steps["train"] + steps["valid"] == 20631
    assert (len(data.splits["test"]), steps["test"]) == (100, 13096)
    targets = np.array([float(example.target[-1]) for example in data.splits["test"]])
    everything = torch.cat([example.target for name in ("train", "valid") for example in data.splits[name]])
    mean = float(everything.double().mean())
    # the constant forecast of the data's own description: 41.9 against targets capped at 125, 43.1 as the file says
    assert np.sqrt(np.mean((targets.clip(max=125) - mean) ** 2)) == pytest.approx(41.9, abs=0.05)
    assert np.sqrt(np.mean((targets - mean) ** 2)) == pytest.approx(43.1, abs=0.05)
