"""A whole configuration against the signatures of the classes that it names."""

import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf, open_dict

from rnnkit.cli.configuration import config_folder, groups
from rnnkit.errors import UserError
from rnnkit.training import fit
from rnnkit.training.configuration.schema import check_configuration
from rnnkit.training.configuration.signatures import signature_of
from rnnkit.training.configuration.values import MISSING

TASKS = groups()["task"]
OWN = """
    from __future__ import annotations

    import dataclasses
    from typing import TYPE_CHECKING, Annotated, Literal

    import lightning as L
    import torch
    from annotated_types import Interval

    from rnnkit.cells import LSTMCell
    from rnnkit.data import TextData

    if TYPE_CHECKING:
        from nowhere import Thing


    class Leaky(LSTMCell):
        def __init__(
            self,
            input_size: int,
            hidden_size: int,
            leak: Annotated[float, Interval(gt=0, le=1)] = 0.5,
            kind: Literal["slow", "fast"] = "slow",
            thing: Thing | None = None,
            untyped=3,
            wrong: int = None,
        ) -> None:
            super().__init__(input_size, hidden_size)


    @dataclasses.dataclass
    class Trim:
        share: Annotated[float, Interval(ge=0, lt=1)] = 0.1
        side: Literal["left", "right"] = "left"


    class Text(TextData):
        def __init__(
            self,
            *,
            margin: Annotated[int, Interval(ge=0)] = 0,
            trim: Trim | dict | None = None,
            **others: object,
        ) -> None:
            super().__init__(**others)


    class Open:
        def __init__(self, lr: float, **others: object) -> None: ...


    @dataclasses.dataclass
    class Watch(L.Callback):
        every: int = 1
        names: list[str] = dataclasses.field(default_factory=list)


    def cells(input_size: int, hidden_size: int, *, depth: int):
        return LSTMCell(input_size, hidden_size)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "own_lab.py").write_text(textwrap.dedent(OWN))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("own_lab", None)


def composed(*overrides: str) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("train", [*overrides, "run_dir=runs/test"])
    OmegaConf.set_struct(config, False)
    return config


def problems(config: DictConfig) -> list[str]:
    """The keys of what is wrong."""
    try:
        check_configuration(config)
    except UserError as error:
        lines = str(error).splitlines()
        return [line.split(":")[0].strip() for line in (lines[1:] or lines)]
    return []


CHOICES = [f"{group}={choice}" for group, choices in groups().items() for choice in choices if group != "experiment"]


@pytest.mark.parametrize("task", TASKS)
def test_what_ships_fits(task: str) -> None:
    assert problems(composed(f"task={task}")) == []


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_that_ships_fits(choice: str) -> None:
    """Also one that is for another task: that is for others to say."""
    tasks = TASKS if choice.startswith("data=") else ["forecasting" if "forecast" in choice else TASKS[0]]
    tasks = ["forecasting"] if choice.startswith(("output=", "model/scaling=")) else tasks
    tasks = ["tagging"] if choice.startswith("model/characters=") else tasks
    assert any(problems(composed(f"task={task}", choice)) == [] for task in tasks)


@pytest.mark.parametrize("experiment", groups()["experiment"])
def test_every_experiment_fits(experiment: str) -> None:
    assert problems(composed(f"experiment={experiment}")) == []


def test_values_of_every_origin_are_checked_alike(tmp_path: Path) -> None:
    """From the command line, a YAML file, and Python, all at once and before a folder is made."""
    config = composed("model.hidden_size=-1", "+model.cell.forgetbias=2", "optimizer.betas=[0.9]")
    config.merge_with(OmegaConf.create({"data": {"lanes": "x"}, "trainer": {"accumulate_grad_batches": -1}}))
    config.seed = -1
    found = problems(config)
    assert sorted(found) == [
        "data.lanes",
        "model.cell.forgetbias",
        "model.hidden_size",
        "optimizer.betas",
        "seed",
        "trainer.accumulate_grad_batches",
    ]
    with pytest.raises(UserError, match="6 problems"):
        fit(config, tmp_path / "made" / "run")
    assert not (tmp_path / "made").exists()


def test_a_problem_is_told_once_and_where_it_is_set() -> None:
    config = composed("task=forecasting")
    config.output = {"_target_": "rnnkit.models.forecasting.distributions.Point", "error": "mea"}
    config.data.context = 0
    config.seed = "x"
    assert sorted(problems(config)) == [
        "data.context",
        "output.error",
        "seed",
    ]


def test_references_that_lead_nowhere() -> None:
    config = composed()
    config.model.hidden_size = "${nothing.here}"
    with pytest.raises(UserError, match="hidden_size: expected a value"):
        check_configuration(config)


@pytest.mark.parametrize(
    ("key", "value"),
    [("model", 3), ("model.cell", "gru"), ("callbacks.sample", 3), ("callbacks", "x"), ("clipping", 1.0)],
)
def test_a_value_in_the_place_of_an_object(key: str, value: Any) -> None:
    config = composed()
    OmegaConf.update(config, key, value, merge=False)
    assert problems(config)[0].startswith(key)


@pytest.mark.parametrize(
    ("group", "target"),
    [
        ("task", "torch.nn.Linear"),
        ("trainer", "torch.nn.Linear"),
        ("averaging", "torch.optim.SGD"),
        ("callbacks.sample", "torch.nn.Linear"),
        ("model", "nowhere.Model"),
        ("model.cell", "math.pi"),
        ("optimizer", 3),
    ],
)
def test_classes_of_another_kind(group: str, target: Any) -> None:
    config = composed("averaging=ema")
    OmegaConf.update(config, f"{group}._target_", target)
    assert problems(config) == [f"{group}._target_"]


def test_a_class_of_the_users_takes_part_by_its_own_annotations(own: Path) -> None:
    config = composed()
    config.model.cell = {"_target_": "own_lab.Leaky", "_partial_": True}
    for good in ({"leak": 1}, {"kind": "fast"}, {"thing": 5}, {"untyped": "anything"}, {"wrong": None}):
        with open_dict(config):
            config.model.cell = {"_target_": "own_lab.Leaky", "_partial_": True, **good}
        assert problems(config) == [], good
    for bad in ({"leak": 0}, {"leak": "x"}, {"kind": "fats"}, {"wrong": "x"}, {"forget_bias": 1.0}, {"_partial_": "x"}):
        config.model.cell = {"_target_": "own_lab.Leaky", "_partial_": True, **bad}
        assert problems(config) == [f"model.cell.{next(iter(bad))}"], bad


def test_a_constructor_that_passes_arguments_on(own: Path) -> None:
    config = composed()
    config.data._target_ = "own_lab.Text"
    config.data.margin = 2
    assert problems(config) == []
    config.data.margin, config.data.lanes, config.data.nothing = -1, 0, 1
    assert sorted(problems(config)) == ["data.lanes", "data.margin", "data.nothing"]
    config = composed()
    config.optimizer = {"_target_": "own_lab.Open", "_partial_": True, "lr": "x", "anything": 3}
    assert problems(config) == ["optimizer.lr"]


@pytest.mark.usefixtures("own")
def test_the_keys_of_a_group_are_the_fields_of_its_dataclass() -> None:
    series = composed("task=forecasting", "data=series", "data.path=a.csv")
    series.data.table.delimiter = 3
    series.data.table.decimal = "comma"
    series.data.split.valid_fraction = 2
    series.data.times.zones = "UTC"
    series.data.windows = 4
    assert sorted(problems(series)) == [
        "data.split.valid_fraction",
        "data.table.decimal",
        "data.table.delimiter",
        "data.times.zones",
        "data.windows",
    ]
    with pytest.raises(
        UserError, match=r"data\.times\.zones: expected a key of data\.times: format, zone, .*data\.times\.zone=UTC"
    ):
        check_configuration(series)
    mine = composed("data._target_=own_lab.Text", "+data.trim={share: 1, side: up, sight: 2}")
    assert sorted(problems(mine)) == ["data.trim.share", "data.trim.side", "data.trim.sight"]
    assert problems(composed("data._target_=own_lab.Text", "+data.trim={share: 0.5}")) == []


def test_functions_and_dataclasses(own: Path) -> None:
    config = composed()
    config.model.cell = {"_target_": "own_lab.cells", "_partial_": True, "depth": 1.5}
    config.callbacks.watch = {"_target_": "own_lab.Watch", "every": "x", "names": [1]}
    assert sorted(problems(config)) == ["callbacks.watch.every", "callbacks.watch.names", "model.cell.depth"]


def test_nodes_in_lists_are_looked_into() -> None:
    config = composed("model/cell=zoneout_lstm")
    config.model.cell.wrappers[0].p = 1.5
    config.model.cell.cell.forget_bias = "x"
    assert problems(config) == ["model.cell.cell.forget_bias", "model.cell.wrappers[0].p"]


def test_arguments_of_a_trainer_that_a_run_decides() -> None:
    config = composed()
    config.trainer.gradient_clip_val = 1.0
    with pytest.raises(UserError, match=r"trainer.gradient_clip_val: .* Try: clipping.max_norm=1.0"):
        check_configuration(config)


def test_signatures_of_all_that_ships_can_be_read() -> None:
    """Annotations that could not be resolved would check nothing."""
    from rnnkit import cells, data, models, tasks, training
    from rnnkit.models.forecasting import distributions as outputs

    for module in (cells, data, models, tasks, training, outputs):
        for name in module.__all__:
            target = getattr(module, name)
            if isinstance(target, type) and name not in ("Cell", "Task", "Wrapper"):
                parameters = signature_of(target).parameters
                untyped = [key for key, (hint, default) in parameters.items() if hint is Any and default is not MISSING]
                assert untyped == [], f"{name}: {untyped}"


def test_it_costs_little() -> None:
    """0.3 s is the most that the start of a run may take longer; it is some hundredths."""
    config = composed("task=forecasting")
    check_configuration(config)
    started = time.process_time()
    check_configuration(config)
    assert time.process_time() - started < 0.3


def test_a_refusal_needs_no_folder_of_hydra(tmp_path: Path) -> None:
    """In a process of its own, as it is typed."""
    command = [sys.executable, "-m", "rnnkit", "train", "patience=-1"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "patience: expected a whole number, 0 or more or null; got -1" in ended.stderr
    assert list(tmp_path.iterdir()) == []
