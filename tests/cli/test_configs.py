"""Every configuration file, at every depth, composes and builds; every experiment survives two steps."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from rnnkit.cli import run
from rnnkit.cli.configuration import config_folder, groups
from rnnkit.training.configuration.construct import construct
from rnnkit.training.configuration.monitored import settled_mode
from rnnkit.training.run.build import build_trainable

ROOT = Path(__file__).parents[2]
CHOICES = [f"{group}={choice}" for group, choices in groups().items() for choice in choices]
EXPERIMENTS = groups()["experiment"]
TASK_OF_GROUP = {
    "model/characters": "tagging",
    "model/pooling": "classification",
    "model/scaling": "forecasting",
    "output": "forecasting",
}


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("train", [*overrides, "run_dir=runs/test"])
    OmegaConf.set_struct(config, False)
    return config


@cache
def told(task: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the default data of a task tell its model and the task."""
    if task == "language_modeling":
        return {"vocabulary_size": 12}, {}
    data = construct(composed(f"task={task}"), "data")
    data.setup("fit")
    return data.model_kwargs, data.task_kwargs


def buildable(choice: str) -> DictConfig:
    """The configuration with one choice made, and with the task and the paths that it asks for."""
    group, name = choice.split("=")
    overrides = []
    if group == "model":
        model = get_class(OmegaConf.load(config_folder() / "model" / f"{name}.yaml")._target_)
        overrides.append(f"task={model.tasks[0]}")  # type: ignore[attr-defined]
    if group in TASK_OF_GROUP:
        overrides.append(f"task={TASK_OF_GROUP[group]}")
    config = composed(*overrides, choice)
    if group == "data":
        if config.data.get("dataset", "") is None and not config.data.path:
            overrides.append("data.path=my_file")
        overrides.append(f"task={construct(composed(choice, *overrides), 'data').task}")
        config = composed(*overrides, choice)
    task = get_class(config.task._target_).kind  # type: ignore[attr-defined]
    if group not in ("experiment", "data"):  # theirs need not be of the default data's kind
        sizes, facts = told(task)
        config.model.update(sizes)
        config.task.update(facts)
    config.monitor_mode = settled_mode(config)
    return config


def test_every_file_is_a_choice_and_there_are_as_many_as_there_were() -> None:
    """A file that no group finds would never be tried below."""
    files = {path.relative_to(config_folder()).as_posix() for path in config_folder().rglob("*.yaml")}
    assert files == {f"{group}/{choice}.yaml" for group, choices in groups().items() for choice in choices} | {
        "train.yaml"
    }
    assert len(files) >= 33


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if not choice.startswith(("data=", "experiment="))])
def test_every_choice_composes_and_builds(choice: str) -> None:
    config = buildable(choice)
    OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    task = build_trainable(config)
    optimizer = construct(config, "optimizer")(task.model.parameters())
    schedule = construct(config, "schedule")(optimizer, 100)
    assert schedule["scheduler"].optimizer is optimizer
    for name in config.callbacks:
        assert construct(config.callbacks, name) is not None
    construct(config, "averaging")
    if choice != "trainer=gpu":
        construct(config, "trainer", logger=False, enable_checkpointing=False)


@pytest.mark.parametrize("choice", [f"data={name}" for name in groups()["data"]])
def test_every_kind_of_data_is_built_for_its_task(choice: str) -> None:
    config = buildable(choice)
    OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    data = construct(config, "data")
    assert get_class(config.task._target_).kind == data.task  # type: ignore[attr-defined]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_survives_two_steps(experiment: str, tmp_path: Path) -> None:
    config = composed(f"experiment={experiment}")
    folders = os.environ.get("RNNKIT_DATA")
    if config.data.get("dataset") not in (None, "python_stdlib") and not folders:
        pytest.skip(f"needs the data set {config.data.dataset}; set RNNKIT_DATA to a folder that holds it")
    few = [
        "trainer.max_epochs=1",
        "trainer.max_steps=-1",
        "trainer.limit_train_batches=2",
        "trainer.limit_val_batches=2",
    ]
    few += ["trainer.log_every_n_steps=1", "trainer.val_check_interval=1.0", "trainer.check_val_every_n_epoch=1"]
    assert run(["train", f"experiment={experiment}", *few, f"run_dir={tmp_path / 'run'}"]) == 0
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiments_hold_differences_only(experiment: str) -> None:
    assert len((config_folder() / "experiment" / f"{experiment}.yaml").read_text().splitlines()) <= 35


@pytest.mark.parametrize("output", groups()["output"])
@pytest.mark.parametrize("experiment", ["etth1_segrnn", "exchange_rate", "m4_hourly", "mackey_glass"])
def test_recipes_of_forecasts_take_another_output(experiment: str, output: str) -> None:
    """What a recipe says of its own output must not reach the one that takes its place."""
    config = composed(f"experiment={experiment}", f"output={output}")
    chosen = OmegaConf.load(config_folder() / "output" / f"{output}.yaml")
    assert config.output == chosen.get("output", chosen)
    assert construct(config, "output") is not None


def test_the_wheel_carries_the_configuration() -> None:
    """The installed package finds the folder inside itself; a checkout finds it beside."""
    assert config_folder() == ROOT / "configs"
    assert 'force-include]\n"configs" = "rnnkit/configs"' in (ROOT / "pyproject.toml").read_text()
