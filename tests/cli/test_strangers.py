"""A run folder, a checkpoint, a folder of choices or a working folder of a stranger's: nothing of theirs is run."""

import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from rnnkit.cli import run
from rnnkit.training import Run
from rnnkit.training.run import storage

COMMANDS = (["evaluate"], ["generate"], ["predict"], ["replay"], ["resume", "trainer.max_epochs=9"])


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def theirs(trained: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(trained, tmp_path / "theirs"))
    shutil.copy(folder / "checkpoints" / "last.ckpt", folder / "bad_batch.pt")
    return folder


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


def refused(folder: Path, capsys: pytest.CaptureFixture[str], *, commands: Any = COMMANDS) -> str:
    """The messages of the commands, each of which refuses the folder and leaves it as it was."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    said = ""
    for name, *options in commands:
        assert run([name, str(folder), *options]) == 2, name
        error = capsys.readouterr().err
        assert error.count("rnnkit: ") == 1
        said += error
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    return said


def rewritten(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Write the run's configuration with a change."""
    config: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    change(config)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))


def nodes(canary: Path) -> list[dict[str, Any]]:
    """What would make the canary, if it were built."""
    command = f"touch {canary}"
    return [
        {"_target_": "os.system", "command": command},
        {"_target_": "os.system", "_args_": [command]},
        {"_target_": "rnnkit.cli.os.system", "command": command},
        {
            "_target_": "lightning.pytorch.cli.instantiate_class",
            "args": command,
            "init": {"class_path": "os.system"},
        },
        {
            "_target_": "lightning.pytorch.core.saving.save_hparams_to_yaml",
            "config_yaml": str(canary),
            "hparams": {"a": 1},
        },
        {"_target_": "torch.nn.attention._fa3._fa3_import_module", "module_path": "antigravity"},
        {
            "_target_": "rnnkit.engines.toolchain.load",
            "source": f'#include <cstdlib>\nint x = system("{command}");',
        },
        {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "os.system", "command": command}]},
        {"_target_": "torch.nn.Sequential", "_recursive_": False, "a": {3: [{"_target_": "os.system"}]}},
        {"_target_": "torch.save", "obj": 1, "f": str(canary)},
        {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": str(canary)},
        {"_target_": "lightning.Trainer", "default_root_dir": str(canary)},
    ]


@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("place", ["clipping", "callbacks", "trainer", "data"])
def test_a_node_in_a_runs_configuration(
    number: int, place: str, theirs: Path, canary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = nodes(canary)[number]

    def change(config: dict[str, Any]) -> None:
        if place == "clipping":
            config["clipping"] = node
        else:
            config[place]["planted"] = node

    rewritten(theirs, change)
    assert place in refused(theirs, capsys)


@pytest.mark.parametrize(
    "reference",
    [
        "${oc.create:'{_target_: os.system, command: touch CANARY}'}",
        "${oc.decode:'{_target_: os.system, command: touch CANARY}'}",
        "${oc.env:HOME}",
        "${seed}",
        "a${seed}b",
        "${",
    ],
)
def test_a_reference_in_a_runs_configuration(
    reference: str, theirs: Path, canary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (theirs / "config.yaml").read_text()
    lines = json.dumps(reference.replace("CANARY", str(canary)))
    for planted in (f"planted: {lines}\n", f"planted: [[{lines}]]\n", f"planted: {{{lines}: 1}}\n"):
        (theirs / "config.yaml").write_text(text + planted)
        assert "config.yaml" in refused(theirs, capsys)


LEVELS = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12))


@pytest.mark.parametrize(
    "planted",
    [
        f"l0: &l0 [x, x]\n{LEVELS}\n",  # ten of ten of ten ...
        "l0: &l0 {a: 1}\n" + "\n".join(f"l{n}: &l{n} {{<<: [{', '.join([f'*l{n - 1}'] * 9)}]}}" for n in range(1, 9)),
        "l0: &l0 [*l0]\n",
        "deep: " + "[" * 2000 + "]" * 2000 + "\n",
        "deep: " + "{a: " * 60 + "1" + "}" * 60 + "\n",
        "planted: !!python/object/apply:os.system [touch x]\n",
        "planted: !mine 3\n",
        "planted: " + "x" * 2_000_000 + "\n",
        "planted: [" + "1, " * 200_000 + "]\n",
        "planted: \x00\n",
        "planted: [1\n",
    ],
    ids=range(11),
)
def test_yaml_that_is_no_plain_configuration(planted: str, theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (theirs / "config.yaml").open("a") as file:
        file.write(planted)
    assert "config.yaml" in refused(theirs, capsys)


@pytest.mark.parametrize(
    ("name", "size"),
    [("hidden_size", 60_000), ("num_layers", 100_000_000), ("hidden_size", 10**21), ("num_layers", -1)],
)
def test_sizes_that_do_not_fit(name: str, size: int, theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewritten(theirs, lambda config: config["model"].update({name: size}))
    refused(theirs, capsys, commands=[*COMMANDS[:2], COMMANDS[-1]])


def test_a_small_file_with_large_weights_takes_no_memory(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights that are one number, repeated without being stored."""
    rewritten(theirs, lambda config: config["model"].update(hidden_size=60_000, tied=False))
    found = Run(theirs).checkpoint("best")
    config = OmegaConf.load(theirs / "config.yaml")
    from rnnkit.training.run.build import build_task

    with torch.device("meta"):
        sizes = {name: weight.shape for name, weight in build_task(config).state_dict().items()}  # type: ignore[arg-type]
    found["state_dict"] = {name: torch.zeros(()).expand(size) for name, size in sizes.items()}
    storage.write(found, theirs / "checkpoints" / "best.ckpt")
    assert "memory" in refused(theirs, capsys, commands=COMMANDS[:2])


class Trap:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.canary}",)


def test_a_pickle_is_refused_without_advice_to_run_it(
    theirs: Path, canary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("best", "last", "before_last"):
        torch.save({"state_dict": {}, "planted": Trap(canary)}, theirs / "checkpoints" / f"{name}.ckpt")
    torch.save(Trap(canary), theirs / "bad_batch.pt")
    said = refused(theirs, capsys)
    assert "system, which is code" in said
    assert "weights_only" not in said
    assert "torch.load" not in said


def test_a_script_archive_is_refused_without_advice_to_run_it(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("a/data.pkl", "a/constants.pkl", "a/code/x.py", "a/version"):
            archive.writestr(name, b"3\n")
    for name in ("best", "last", "before_last"):
        (theirs / "checkpoints" / f"{name}.ckpt").write_bytes(buffer.getvalue())
    with pytest.warns(UserWarning, match="TorchScript"):
        said = refused(theirs, capsys, commands=COMMANDS[:2])
    assert "weights_only" not in said


def test_an_archive_that_unpacks_to_more_than_it_is(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(50_000_000))
    (theirs / "checkpoints" / "best.ckpt").write_bytes(buffer.getvalue())
    assert "unpacks to more" in refused(theirs, capsys, commands=COMMANDS[:2])


@pytest.mark.parametrize(
    "change",
    [
        {"state_dict": 3},
        {"state_dict": {"a": "b"}},
        {"state_dict": {3: torch.zeros(2)}},
        {"rnnkit": 3},
        {"rnnkit": {"format": "x"}},
        {"rnnkit": {"format": 2, "learnt": {"../../x": "{}"}}},
        {"rnnkit": {"format": 2, "learnt": {"data.json": "["}}},
        {"rnnkit": {"format": 2, "learnt": {"data.json": "[" * 100_000}}},
    ],
)
def test_a_checkpoint_of_other_things(change: dict[str, Any], theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("best", "last"):
        found = Run(theirs).checkpoint(name)
        storage.write({**found, **change}, theirs / "checkpoints" / f"{name}.ckpt")
    refused(theirs, capsys, commands=[*COMMANDS[:2], COMMANDS[-1]])


@pytest.mark.parametrize("kind", ["NamedTuple", "torch", "Any", "__loader__", "no", 3])
def test_a_saved_batch_names_only_batches(kind: Any, theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = {"state_dict": Run(theirs).checkpoint()["state_dict"], "random": torch.get_rng_state(), "step": 1}
    batch = {"type": kind, "fields": [torch.zeros(2, 3)]}
    storage.write({**case, "carry": [], "batch": batch}, theirs / "bad_batch.pt")
    refused(theirs, capsys, commands=[["replay"]])


@pytest.mark.parametrize(
    "place",
    [
        ".lock",
        "config.yaml",
        "command.txt",
        "metrics.csv",
        "metrics.tmp",
        "summary.json",
        "checkpoints",
        "checkpoints/last.ckpt",
    ],
)
def test_a_link_in_a_run_folder_is_not_written_through(
    place: str, theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], small: list[str]
) -> None:
    mine = tmp_path / "mine"
    if (theirs / place).exists():
        shutil.move(theirs / place, mine)
    else:
        mine.write_text("mine")
    (theirs / place).symlink_to(mine)
    kept = mine.stat()
    assert run(["resume", str(theirs), "trainer.max_epochs=9"]) == 2
    assert f"{Path(place).name}', a link to" in capsys.readouterr().err
    (theirs / "config.yaml").unlink(missing_ok=True)
    assert run(["train", *small, f"run_dir={theirs}"]) == (0 if place == "config.yaml" else 2)
    assert (mine.stat().st_mtime_ns, mine.stat().st_size) == (kept.st_mtime_ns, kept.st_size)


@pytest.mark.parametrize("name", ["vocabulary.json", "metrics.csv", "checkpoints/best.ckpt"])
def test_a_pipe_in_a_run_folder_is_not_waited_for(name: str, theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (theirs / name).unlink()
    os.mkfifo(theirs / name)
    assert Path(name).name in refused(theirs, capsys)


def test_a_checkpoint_has_nothing_deleted(theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lightning deletes the files that a callback's state says it has written before."""
    mine = tmp_path / "mine.ckpt"
    mine.write_text("mine")
    found = Run(theirs).checkpoint("last")
    for name, state in found["callbacks"].items():
        if "Checkpoint" in name and "best_model_path" in state:
            for path in (str(mine), f"{theirs}/checkpoints/../../mine.ckpt"):
                score = torch.tensor(-1e9)
                state.update(
                    best_model_path=path, kth_best_model_path=path, best_k_models={path: score}, kth_value=score
                )
    storage.write(found, theirs / "checkpoints" / "last.ckpt")
    assert run(["resume", str(theirs), "trainer.max_epochs=9"]) == 2
    assert "which names" in capsys.readouterr().err
    for state in found["callbacks"].values():
        if "best_model_path" in state:
            state.update(
                best_model_path=str(mine), kth_best_model_path=str(mine), best_k_models={str(mine): torch.tensor(1e9)}
            )
    storage.write(found, theirs / "checkpoints" / "last.ckpt")
    assert run(["resume", str(theirs), "trainer.max_epochs=3"]) == 0
    assert mine.read_text() == "mine"


CHOICES = {
    "hydra: {callbacks: {x: {_target_: os.system, command: touch CANARY}}}": "hydra.callbacks.x",
    "hydra: {job: {env_set: {CXX: CANARY}}}": "hydra.job.env_set.CXX",
    "hydra: {job: {chdir: true}}": "hydra.job.chdir",
    "hydra: {run: {dir: CANARY}}": "hydra.run.dir",
    "hydra: {sweep: {dir: CANARY}}": "hydra.sweep.dir",
    "hydra: {output_subdir: ../../canary}": "hydra.output_subdir",
    "hydra: {job_logging: {version: 1, root: {handlers: [a]}, handlers: {a: {(): os.system}}}}": "hydra.job_logging",
    "hydra: {hydra_logging: {version: 1, root: {handlers: []}}}": "hydra.hydra_logging",
    "hydra: {launcher: {_target_: os.system}}": "hydra.launcher._target_",
    "hydra: {sweeper: {params: {seed: '1,2'}}}": "hydra.sweeper.params",
    "run_dir: CANARY": "run_dir",
    "defaults: [{override /hydra/launcher: planted}]": "hydra.launcher._target_",
    "defaults: [{/hydra/launcher@hydra.callbacks.x: planted}]": "hydra.callbacks.x",
    "defaults: [{/hydra/launcher@callbacks.x: planted}]": "callbacks.x._target_",
    "callbacks: {x: {_target_: os.system, command: touch CANARY}}": "callbacks.x._target_",
    "callbacks: {x: \"${oc.create:'{_target_: os.system, command: touch CANARY}'}\"}": "callbacks.x._target_",
    "callbacks: {x: {_target_: '${seed}'}}": "callbacks.x._target_",
    "callbacks: {x: {_target_: lightning.pytorch.callbacks.ModelCheckpoint, dirpath: CANARY}}": "callbacks.x.dirpath",
    "trainer: {default_root_dir: CANARY}": "trainer.default_root_dir",
    "trainer: {profiler: pytorch}": "trainer.profiler",
    "data: {x: '${nowhere}'}": "configuration",
    f"l0: &l0 [x, x]\n{LEVELS}": "--config-dir",
}


@pytest.fixture
def choices(tmp_path: Path) -> Path:
    folder = tmp_path / "choices"
    (folder / "experiment").mkdir(parents=True)
    (folder / "hydra" / "launcher").mkdir(parents=True)
    (folder / "hydra" / "launcher" / "planted.yaml").write_text("_target_: os.system\n")
    return folder


@pytest.mark.parametrize(
    ("command", "planted", "key"),
    [
        *(("train", *choice) for choice in CHOICES.items()),
        *(("train --multirun", *choice) for choice in [*CHOICES.items()][::5]),
        *(("explain", *choice) for choice in [*CHOICES.items()][::3]),
    ],
    ids=map(str, itertools.count()),
)
def test_a_folder_of_choices(
    command: str,
    planted: str,
    key: str,
    choices: Path,
    canary: Path,
    tmp_path: Path,
    small: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    text = planted.replace("CANARY", str(canary))
    (choices / "experiment" / "planted.yaml").write_text(f"# @package _global_\n{text}\n")
    (choices / "experiment" / "harmless.yaml").write_text("# @package _global_\nmodel: {dropout: 0.1}\n")
    experiment = "experiment=planted,harmless" if "multirun" in command else "experiment=planted"
    place = ["hydra.sweep.dir=mine"] if "multirun" in command else []
    if place and key == "hydra.sweep.dir":
        key, place = "hydra.run.dir", ["hydra.sweep.dir=mine"]  # typed, it is the user's own: the folder is not asked
        (choices / "experiment" / "planted.yaml").write_text("# @package _global_\nhydra: {run: {dir: x}}\n")
    assert run([*command.split(), "--config-dir", str(choices), *small, experiment, *place]) == 2
    assert key in capsys.readouterr().err
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert not (tmp_path / "mine" / "0").exists()


def test_a_header_puts_a_file_into_hydras_node(
    choices: Path, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (choices / "experiment" / "planted.yaml").write_text("# @package hydra.job\nenv_set: {CXX: x}\n")
    assert run(["train", "--config-dir", str(choices), *small, "experiment=planted"]) == 2
    assert "hydra.job.env_set.CXX" in capsys.readouterr().err


def test_what_is_typed_for_hydra_is_followed(
    choices: Path, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (choices / "experiment" / "harmless.yaml").write_text("# @package _global_\nmodel: {dropout: 0.1}\n")
    typed = ["hydra.job.chdir=false", "hydra.output_subdir=typed", f"run_dir={tmp_path / 'run'}"]
    assert run(["train", "--config-dir", str(choices), *small, "experiment=harmless", *typed]) == 0
    assert (tmp_path / "typed").is_dir()
    assert run(["train", "--experimental-rerun", "x"]) == 2


RNNKIT = Path(sys.executable).with_name("rnnkit")


def command(*arguments: object, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The installed command, typed in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment}
    line = [str(RNNKIT), *map(str, arguments)]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("is_whole", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_nothing_that_lies_in_the_folder_is_imported(
    is_whole: bool, theirs: Path, canary: Path, tmp_path: Path, small: list[str]
) -> None:
    here = tmp_path / "here"
    planted = f"open({str(canary)!r}, 'w').close()\n"
    for name in ("numpy", "torch", "json", "sitecustomize", "usercustomize", "pandas", "rich", "omegaconf", "my_lab"):
        (here / name).mkdir(parents=True)
        (here / name / "__init__.py").write_text(planted)
        (here / f"{name}.py").write_text(planted)
    for name in ("lightning", "hydra_plugins", "hydra_plugins/planted", "rnnkit", "tensorboard"):
        (here / name).mkdir()
        (here / name / "__init__.py").write_text(planted)
    (here / "hydra_plugins" / "__init__.py").unlink()  # the namespace in which Hydra looks for plugins
    (here / "planted-1.0.dist-info").mkdir()
    (here / "planted-1.0.dist-info" / "entry_points.txt").write_text("[torch.backends]\nplanted = my_lab:run\n")
    (here / "planted-1.0.dist-info" / "METADATA").write_text("Name: planted\nVersion: 1.0\n")
    (here / "matplotlibrc").write_text(
        "axes.prop_cycle: cycler('color', [[g.gi_frame.f_back.f_back.f_builtins['open']"
        f"('{canary}', 'w').close() for g in [x]] and 'k' for x in [(y for y in [0])]])\n"
    )
    shutil.copytree(theirs, here / "run")
    short = [item for item in small if "max_epochs" not in item]
    for line in (
        ["train", *short, "trainer.max_epochs=1", "run_dir=new"],
        ["evaluate", "run"],
        ["explain"],
        ["resume", "run", "trainer.max_epochs=3"],
        ["data", "list"],
    )[: 5 if is_whole else 2]:
        done = command(*line, folder=here)
        assert done.returncode == 0, (line, done.stderr)
        assert not canary.exists(), line


@pytest.mark.parametrize("is_whole", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_class_of_ones_own_is_trained_and_evaluated_in_its_folder(
    is_whole: bool, tmp_path: Path, small: list[str]
) -> None:
    mine = tmp_path / "mine"
    (mine / "my_lab").mkdir(parents=True)
    (mine / "my_lab" / "cells.py").write_text("from rnnkit.cells import LSTMCell\nclass Mine(LSTMCell):\n    pass\n")
    typed = ["model.cell._target_=my_lab.cells.Mine", "run_dir=runs/one"]
    done = command("train", *small, *typed, folder=mine)
    assert done.returncode == 0, done.stderr
    for line in (["evaluate", "runs/one"], ["resume", "runs/one", "trainer.max_epochs=3"])[: 1 + is_whole]:
        done = command(*line, folder=mine)
        assert done.returncode == 0, done.stderr
    stranger = Path(shutil.copytree(mine, tmp_path / "unpacked"))
    (stranger / "my_lab" / "cells.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w').close()\n")
    for line in (
        ["evaluate", "runs/one"],
        ["resume", "runs/one"],
        ["train", "--config-dir", "conf", "model/cell=mine"],
    )[: 3 if is_whole else 1]:
        (stranger / "conf" / "model" / "cell").mkdir(parents=True, exist_ok=True)
        (stranger / "conf" / "model" / "cell" / "mine.yaml").write_text("_target_: my_lab.cells.Mine\n")
        done = command(*line, folder=stranger)
        assert done.returncode == 2, done.stderr
        assert "RNNKIT_ALLOW=my_lab" in done.stderr
    assert not (tmp_path / "canary").exists()
    assert command("evaluate", "runs/one", folder=stranger, RNNKIT_ALLOW="my_lab").returncode != 0
    assert (tmp_path / "canary").exists()
