"""Every key of every task with values that make no sense: what each of them may end in."""

import contextlib
import io
import math
import re
import resource
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from rnnkit.cli import run
from rnnkit.cli.configuration import config_folder, groups

VALUES = ("-1", "0", "1e30", "nan", "inf", "x", "null", "[]", "{}", "1.5")
SECONDS = 60
"""Longer than this and it hangs."""
BYTES = 2 * 2**30

TINY = [
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1",
    "trainer.log_every_n_steps=1",
    "trainer.enable_progress_bar=false",
]
LANGUAGE = ["data.path=text.txt", "model.hidden_size=8", "model.num_layers=1", "data.lanes=2", "data.bptt_steps=8"]
FORECAST = ["data.generator.series=1", "data.generator.steps=200", "data.context=16", "data.horizon=4"]
FORECAST += ["model.hidden_size=4", "task.samples=2"]
TAGS = ["data.path=tags.txt", "model.hidden_size=4", "model.embedding_size=4", "model.character_size=4"]
LABELS = ["data=labeled_text", "data.path=labels.csv", "model.hidden_size=4"]
NUMBERS = ["data.path=numbers.csv", "data.id_column=id", "data.target_column=y", "model.hidden_size=4"]

TASKS = {
    "language_modeling": LANGUAGE,
    "forecasting": FORECAST,
    "tagging": TAGS,
    "classification": LABELS,
    "regression": NUMBERS,
}
CHOICES = [
    *(("forecasting", f"output={name}") for name in ("quantiles", "point", "student_t")),
    *(("forecasting", f"model={name}") for name in ("autoregressive_forecaster", "segment_forecaster")),
    *(("language_modeling", f"schedule={name}") for name in groups()["schedule"] if name != "cosine"),
    *(("language_modeling", f"clipping={name}") for name in groups()["clipping"] if name != "norm"),
    *(("language_modeling", f"averaging={name}") for name in groups()["averaging"]),
    *(("language_modeling", f"optimizer={name}") for name in groups()["optimizer"] if name != "adamw"),
    *(("language_modeling", f"model/cell={name}") for name in groups()["model/cell"] if name != "lstm"),
    ("classification", "data=labeled_series data.path=series.csv data.id_column=id data.target_column=y"),
]
"""Beside the defaults of each task: choices whose own keys are tried too."""
MORE_FOR_A_CHOICE = {"model=segment_forecaster": ["model.segment=2"]}

NEGATIVE = re.compile(
    r"trainer\.(max_epochs|max_steps|devices)|.*\.(forget_bias|dampening|tag_column|token_column|text_column|target_column)"
    r"|.*_column|data\.(time|id|target)"
)
"""Keys for which -1 means something."""
BEGUN = ("training: expected finite numbers", "a metric that the first validation measures")
"""What only a run that has begun can find out, and so has a folder."""


class Outcome(NamedTuple):
    """What came of one command."""

    code: int
    said: str
    folder: bool
    """Whether a run folder is there."""


def write_files(folder: Path) -> None:
    """The data of all tasks, a few kilobytes."""
    words = ["the", "river", "runs", "to", "the", "sea", "and", "comes", "again"]
    (folder / "text.txt").write_text("\n".join(" ".join(words[(n * k) % 9] for k in range(1, 9)) for n in range(60)))
    lines = ["\n".join(f"{w} {'N' if len(w) > 3 else 'V'}" for w in words[: 2 + n % 7]) for n in range(60)]
    (folder / "tags.txt").write_text("\n\n".join(lines) + "\n\n")
    rows = [f"{words[n % 9]} {words[n % 4]},{'good' if n % 2 else 'bad'}" for n in range(80)]
    (folder / "labels.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    steps = [f"{n},{n % 5 + step},{n % 5}" for n in range(60) for step in range(4)]
    (folder / "numbers.csv").write_text("\n".join(["id,x,y", *steps]) + "\n")
    steps = [f"{n},{n % 2 + step},{'odd' if n % 2 else 'even'}" for n in range(60) for step in range(4)]
    (folder / "series.csv").write_text("\n".join(["id,x,y", *steps]) + "\n")


def composed(overrides: Sequence[str]) -> DictConfig:
    """The configuration, unresolved."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("train", [*overrides, "run_dir=run"])


def keys_of(config: DictConfig) -> list[str]:
    """Every key, of groups too."""

    def walk(node: Any, prefix: str) -> Iterator[str]:
        for name, value in node.items():
            yield f"{prefix}{name}"
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{name}.")

    return list(walk(OmegaConf.to_container(config, resolve=False), ""))


def commands() -> list[list[str]]:
    """All that are tried, without `train` and `run_dir`."""
    found = []
    for task, small in TASKS.items():
        base = [f"task={task}", *small, *TINY]
        found += [[*base, f"{key}={value}"] for key in keys_of(composed(base)) for value in VALUES]
    for task, choice in CHOICES:
        base = [f"task={task}", *TASKS[task], *TINY]
        usual = keys_of(composed(base))
        if choice.startswith("data="):
            base = [item for item in base if not item.startswith("data")]
        base = [*base, *choice.split(), *MORE_FOR_A_CHOICE.get(choice, [])]
        group = choice.split("=")[0].replace("/", ".")
        own = [key for key in keys_of(composed(base)) if key not in usual or key.startswith(f"{group}.")]
        found += [[*base, f"{key}={value}"] for key in own for value in VALUES]
    return found


def outcome(command: Sequence[str], capsys: pytest.CaptureFixture[str] | None = None) -> Outcome:
    """Runs one command in the current folder, in this process."""

    def too_long(*_: Any) -> None:
        raise TimeoutError(f"longer than {SECONDS} s")

    said, printed = io.StringIO(), io.StringIO()
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(printed):
            code = run(["train", *command, *([] if command[-1].startswith("run_dir=") else ["run_dir=runs/run"])])
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException as error:  # run lets nothing through but what ends the process
        return Outcome(-1, f"{type(error).__name__}: {error}", Path("runs").exists())
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return Outcome(code, said.getvalue(), Path("runs").exists() or Path("x").exists())


def violation(command: Sequence[str], came: Outcome, numbers: set[str]) -> str | None:
    """What is wrong with an outcome; None where it is as it should be."""
    key, _, value = command[-1].partition("=")
    if came.code not in (0, 2):
        return f"exit {came.code}"
    if "Traceback" in came.said:
        return "traceback"
    if came.code == 2:
        mine = [line for line in came.said.splitlines() if line.startswith("rnnkit: ")]
        if len(mine) != 1 or "Try: " not in came.said:
            return "not one message"
        if came.folder and not any(begun in came.said for begun in BEGUN):
            return "a folder is left"
        return None
    if not came.folder:
        return "no run"
    if key in numbers and value in ("nan", "inf", "x", "[]"):
        return f"{value} for a number"
    if key in numbers and value == "-1" and not NEGATIVE.fullmatch(key):
        return "a negative number"
    return None


def numeric_keys(command: Sequence[str]) -> set[str]:
    """Keys whose usual value is a number."""
    plain = OmegaConf.to_container(composed(command), resolve=False)

    def walk(node: Any, prefix: str) -> Iterator[str]:
        for name, value in node.items():
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{name}.")
            elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                yield f"{prefix}{name}"

    return set(walk(plain, ""))


def peak_memory() -> int:
    """Bytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
