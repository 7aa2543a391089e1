"""A run folder in which one thing was altered ends in one message, or in the right numbers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from altered import memory_limited
from omegaconf import OmegaConf

from rnnkit.cli import run
from rnnkit.training import Run
from rnnkit.training.run import storage

State = dict[str, Any]
RESUME = ["resume", "trainer.max_epochs=9"]


@pytest.fixture
def theirs(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "theirs"))


@pytest.fixture(scope="session")
def forecaster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a file of two channels and a categorical covariate; its input lies beside it."""
    place = tmp_path_factory.mktemp("forecasts")
    rows = [f"2024-{1 + n // 28:02}-{1 + n % 28:02},{n % 7}.5,{n * n},{'xy'[n % 2]}" for n in range(84)]
    (place / "f.csv").write_text("\n".join(["date,a,b,word_kind", *rows]) + "\n")
    (place / "in.csv").write_text("\n".join(["date,a,b,word_kind", *rows[-30:]]) + "\n")
    columns = ["data.target=[a,b]", "data.covariates.past=[word_kind]", "data.times.frequency=null"]
    data = ["task=forecasting", "data=series", f"data.path={place / 'f.csv'}", "data.generator=null", *columns]
    sizes = ["data.context=8", "data.horizon=2", "model.hidden_size=4", "trainer.max_epochs=1"]
    assert run(["train", *data, *sizes, "trainer.limit_train_batches=2", f"run_dir={place / 'run'}"]) == 0
    return place / "run"


def refused(folder: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The message of a command that refuses a folder and leaves it as it was."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    name, *options = command
    capsys.readouterr()
    assert run([name, str(folder), *options]) == 2, capsys.readouterr().err
    said = capsys.readouterr().err
    assert said.count("rnnkit: ") == 1
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return said


def configured(folder: Path, **values: Any) -> None:
    """Set keys, with __ between their parts, of the run's configuration."""
    config = OmegaConf.load(folder / "config.yaml")
    for key, value in values.items():
        OmegaConf.update(config, key.replace("__", "."), value, force_add=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config))


def saved(folder: Path, change: Callable[[State], object]) -> None:
    for name in ("best", "last"):
        found = Run(folder).checkpoint(name)
        change(found)
        storage.write(found, folder / "checkpoints" / f"{name}.ckpt")


def of_optimizer(found: State, name: str, value: Any) -> None:
    found["optimizer_states"][0]["state"][0][name] = value


def of_callback(found: State, name: str, **values: Any) -> None:
    next(state for key, state in found["callbacks"].items() if key.startswith(name)).update(values)


CHECKPOINTS: dict[str, Callable[[State], object]] = {
    "exp_avg does not store all its elements": lambda c: of_optimizer(c, "exp_avg", torch.zeros(1).expand(10**11)),
    "exp_avg is of shape": lambda c: of_optimizer(c, "exp_avg", torch.zeros(3)),
    "exp_avg is of torch.complex64": lambda c: of_optimizer(
        c, "exp_avg", c["optimizer_states"][0]["state"][0]["exp_avg"].to(torch.complex64)
    ),
    "exp_avg is 'x'": lambda c: of_optimizer(c, "exp_avg", "x"),
    "state[0] has an unknown 'more'": lambda c: of_optimizer(c, "more", 1),
    "param_groups[0] has no lr": lambda c: c["optimizer_states"][0].update(param_groups=[{}]),
    "param_groups is not a list of 1": lambda c: c["optimizer_states"][0].update(param_groups=[]),
    "lr is -1.0": lambda c: c["optimizer_states"][0]["param_groups"][0].update(lr=-1.0),
    "maximize is True": lambda c: c["optimizer_states"][0]["param_groups"][0].update(maximize=True),
    "optimizer_states is not a list of one": lambda c: c.update(optimizer_states=[]),
    "optimizer_states is missing": lambda c: c.pop("optimizer_states"),
    "callbacks is a list": lambda c: c.update(callbacks=[1, 2]),
    "callbacks.Monitor is 3": lambda c: c["callbacks"].update(Monitor=3),
    "callbacks has no RandomState": lambda c: c["callbacks"].pop("RandomState"),
    "Monitor.tokens is -1": lambda c: of_callback(c, "Monitor", tokens=-1),
    "Monitor.sums.loss": lambda c: of_callback(c, "Monitor", sums={"loss": torch.zeros(2)}),
    "TimeBudget.elapsed is inf": lambda c: of_callback(c, "TimeBudget", elapsed=float("inf")),
    "best_k_models is -0.5": lambda c: of_callback(c, "RunCheckpoint", best_k_models=-0.5),
    "loops.fit_loop is 7": lambda c: c.update(loops={"fit_loop": 7}),
    "global_step is 7 beside": lambda c: c.update(global_step=7),
    "global_step is 'x'": lambda c: c.update(global_step="x"),
    "epoch is -3": lambda c: c.update(epoch=-3),
    "lr_schedulers[0] has no": lambda c: c.update(lr_schedulers=[{"_step_count": "x"}]),
    "lr_schedulers is not a list of 1": lambda c: c.update(lr_schedulers=[]),
    "TextData is 'zzz'": lambda c: c.update(TextData="zzz"),
    "TextData is 3": lambda c: c.update(TextData=3),
    "position.window is -1": lambda c: c["TextData"]["position"].update(window=-1),
    "row is 3": lambda c: c.update(row=3),
    "carry is 3": lambda c: c.update(carry=3),
    "carry has 1 parts": lambda c: c.update(carry=c["carry"][:1]),
    "carry[0] is (1, 1, 24)": lambda c: c.update(carry=[leaf[:, :1].clone() for leaf in c["carry"]]),
    "lightning_version is 5": lambda c: c.update({"pytorch-lightning_version": 5}),
    "lightning_version is not 2.0": lambda c: c.update({"pytorch-lightning_version": "0.0.1"}),
    "_version is not 2.0": lambda c: c.update({"pytorch-lightning_version": "new"}),
}


@pytest.mark.parametrize("said", CHECKPOINTS)
def test_a_part_of_a_checkpoint(said: str, theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(theirs, CHECKPOINTS[said])
    message = refused(theirs, RESUME, capsys)
    assert said in message
    assert "last.ckpt" in message


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("torch",), torch.zeros(3, dtype=torch.uint8)),
        (("python",), (3, (1, 2), None)),
        (("numpy",), ("MT19937", [0] * 624, 10**9, 0, 0.0)),
    ],
)
def test_the_state_of_generators(
    place: tuple[str], value: Any, theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(theirs, lambda c: c["callbacks"]["RandomState"]["processes"][0].update({place[0]: value}))
    assert run(["resume", str(theirs), "trainer.max_epochs=9"]) == 2
    assert "callbacks cannot be restored" in capsys.readouterr().err


def test_the_fix_for_a_last_checkpoint_is_the_one_before(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(theirs / "checkpoints" / "last.ckpt", theirs / "checkpoints" / "before_last.ckpt")
    saved(theirs, lambda c: c.update(row=3))
    assert "Try: cp " in refused(theirs, RESUME, capsys)
    shutil.copy(theirs / "checkpoints" / "before_last.ckpt", theirs / "checkpoints" / "last.ckpt")
    assert run(["resume", str(theirs), "trainer.max_epochs=3"]) == 0


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int8, torch.bool])
def test_weights_are_of_the_kind_of_their_parameter(
    dtype: torch.dtype, theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(theirs, lambda c: c.update(state_dict={name: weight.to(dtype) for name, weight in c["state_dict"].items()}))
    for command in (["evaluate"], ["generate"], RESUME):
        assert str(dtype) in refused(theirs, command, capsys)


def test_weights_of_another_precision_are_taken(theirs: Path) -> None:
    saved(theirs, lambda c: c.update(state_dict={name: weight.double() for name, weight in c["state_dict"].items()}))
    assert run(["evaluate", str(theirs)]) == 0


@pytest.mark.parametrize("key", ["model__num_layers", "data__lanes", "data__bptt_steps", "trainer__devices"])
@pytest.mark.parametrize("size", [10**9, 10**12, 10**30])
def test_sizes_without_measure(key: str, size: int, theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configured(theirs, **{key: size})
    with memory_limited():
        for command in (["evaluate"], ["generate"], RESUME):
            if key == "model__num_layers" or command == RESUME:
                assert key.split("__")[1] in refused(theirs, command, capsys)
            else:
                assert run([command[0], str(theirs)]) in (0, 2)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"trainer__devices": 100_000}, "trainer.devices: expected at most"),
        ({"trainer__devices": "100000"}, "trainer.devices: expected at most"),
        ({"trainer__num_nodes": 4}, "trainer.num_nodes=4 typed"),
        ({"trainer__strategy": "fsdp2x"}, "trainer.strategy"),
    ],
)
def test_settings_that_start_processes(
    setting: dict[str, Any], named: str, theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configured(theirs, **setting)
    assert named in refused(theirs, RESUME, capsys)


def test_more_processes_than_the_machine_has(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", *small, "trainer.devices=99999", f"run_dir={tmp_path / 'run'}"]) == 2
    assert "the number of processors of this machine" in capsys.readouterr().err
    assert run(["explain", "trainer.devices=99999"]) == 2
    tags = ["task=tagging", "data.workers=99999", f"run_dir={tmp_path / 'run'}"]
    assert run(["train", *tags]) == 2
    assert "data.workers: expected at most" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["/", "/proc", "/dev", "/sys/kernel", "a\0b", "9" * 5000])
def test_paths_that_are_no_data(
    path: str, theirs: Path, forecaster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = "a NUL character" if "\0" in path else "data.path"
    configured(theirs, data__path=path)
    assert named in refused(theirs, ["evaluate"], capsys)
    series = Path(shutil.copytree(forecaster, tmp_path / "series"))
    configured(series, data__path=path)
    assert named in refused(series, ["evaluate"], capsys)


def test_a_folder_that_cannot_be_read(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Root may read everything, so the system's answer is made here."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("text")

    def closed(path: Path, strict: bool = False) -> Path:
        raise PermissionError(13, "Permission denied", str(path))

    line = [item for item in small if "data.path" not in item]
    with monkeypatch.context() as patched:
        patched.setattr(Path, "is_fifo", closed)
        assert run(["train", *line, f"data.path={tmp_path / 'texts'}", f"run_dir={tmp_path / 'run'}"]) == 2
    said = capsys.readouterr().err
    assert "data.path" in said
    assert "Permission denied" in said


VALUES: list[Any] = [None, "x", -1, 10**30, 1e30, [], {}, [1], {"x": 1}, True]
FEW: list[Any] = [None, -1, {"x": 1}]


def predicted(folder: Path) -> tuple[int, str]:
    output = folder.parent / "out.csv"
    output.unlink(missing_ok=True)
    code = run(["predict", str(folder), "--input", str(folder.parent / "in.csv"), "--output", str(output)])
    return code, output.read_text() if output.exists() else ""


@pytest.mark.parametrize("values", [FEW, pytest.param(VALUES, marks=pytest.mark.slow)], ids=["few", "all"])
def test_every_key_of_what_the_data_learned(
    values: list[Any], forecaster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint that does not tell it: each other value is refused, or changes nothing."""
    folder = Path(shutil.copytree(forecaster, tmp_path / "theirs"))
    shutil.copy(forecaster.parent / "in.csv", tmp_path)
    assert predicted(folder)[0] == 0
    assert "does not record what its data learned" not in capsys.readouterr().err
    saved(folder, lambda c: c.pop("rnnkit"))
    whole = json.loads((folder / "data.json").read_text())
    code, expected = predicted(folder)
    assert code == 0
    assert "does not record what its data learned" in capsys.readouterr().err
    for names in [*((name,) for name in whole), *(("format", name) for name in whole["format"])]:
        for value in values:
            learned = json.loads(json.dumps(whole))
            inner = learned if len(names) == 1 else learned["format"]
            if inner[names[-1]] == value:
                continue
            inner[names[-1]] = value
            (folder / "data.json").write_text(json.dumps(learned))
            code, rows = predicted(folder)
            assert code == 2 or rows == expected, (names, value)
            said = capsys.readouterr().err
            assert code == 0 or "Try: " in said
        del inner[names[-1]]
        (folder / "data.json").write_text(json.dumps(learned))
        code, rows = predicted(folder)  # the first version wrote no time_format
        assert code == 2 or rows == expected, names


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"season": 12}, "task.season is 12 instead of 7"),
        ({"scale": {"": [1.0, 0.0]}}, "scale.[1] is 0.0"),
        ({"scale": {"": [1.0]}}, "scale. has 1 numbers for 2 channels"),
        ({"location": {"other": [0.0, 0.0]}}, "location and scale are of different series"),
        ({"vocabularies": [["y", "x"]]}, "vocabularies has names that are unsorted or repeated"),
        ({"vocabularies": [["x", "y", "z"]]}, "model.past_categories[0] is 4 instead of 3"),
        ({"frequency": "3"}, "frequency is 3, but times are read"),
        ({"more": 1}, "more is not known"),
    ],
)
def test_what_contradicts_itself(
    change: State, said: str, forecaster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(forecaster, tmp_path / "theirs"))
    saved(folder, lambda c: c.pop("rnnkit"))
    whole = json.loads((folder / "data.json").read_text())
    (folder / "data.json").write_text(json.dumps({**whole, **change}))
    capsys.readouterr()
    assert run(["predict", str(folder), "--input", str(forecaster.parent / "in.csv")]) == 2
    assert said in capsys.readouterr().err


def test_a_vocabulary_of_another_size(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(theirs, lambda c: c.pop("rnnkit"))
    content = json.loads((theirs / "vocabulary.json").read_text())
    size = len(content["tokens"])
    (theirs / "vocabulary.json").write_text(json.dumps({**content, "tokens": [*content["tokens"][:-2], "<unk>"]}))
    for command in (["evaluate"], ["generate"]):
        assert f"model.vocabulary_size is {size - 1} instead of {size}" in refused(theirs, command, capsys)
