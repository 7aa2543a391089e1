"""However a run is stopped, it says what is left of it, and goes on as if it had not been."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

STOPS = Path(__file__).with_name("stops.py")


def slow(*names: str) -> list[Any]:
    """Cases like others that `make test` has."""
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


def found(name: str, corpus: Path) -> dict[str, Any]:
    """What became of a case."""
    done = subprocess.run([sys.executable, str(STOPS), str(corpus), name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    "name",
    [
        "at a step before a validation in mid-epoch",
        *slow("with workers", "in mid-epoch", "while accumulating", "while averaging", "at the last step of an epoch"),
        *slow("at the last step of an epoch without validation", "in a validation", "twice by SIGTERM"),
    ],
)
def test_a_stop_loses_nothing_and_the_curves_are_those_of_one_run(name: str, corpus: Path) -> None:
    case = found(name, corpus)
    assert case["codes"] == [130, 0], case["said"]
    assert "Stopped, nothing is lost. Resume with: rnnkit resume" in case["said"]
    assert (case["bytes_differing"], case["points_differing"]) == (0, 0)


@pytest.mark.slow
def test_a_stop_at_the_last_step_is_none(corpus: Path) -> None:
    case = found("at the last step", corpus)
    assert case["codes"] == [0]
    assert (case["bytes_differing"], case["points_differing"]) == (0, 0)


def test_a_second_ctrl_c_stops_at_once_with_the_checkpoint_that_there_is(corpus: Path) -> None:
    case = found("twice by Ctrl-C", corpus)
    assert case["codes"] == [130, 0], case["said"]
    assert "Stopped immediately; the last checkpoint is" in case["said"]
    assert "Traceback" not in case["said"]
    assert (case["bytes_differing"], case["points_differing"]) == (0, 0)


@pytest.mark.parametrize(
    "name", ["before the first step", *slow("while data are read", "twice by Ctrl-C before a checkpoint")]
)
def test_a_run_that_never_began_leaves_no_folder(name: str, corpus: Path) -> None:
    case = found(name, corpus)
    assert case["codes"] == [130]
    assert case["left"] is None
    assert "Stopped before the first checkpoint; there is nothing to resume" in case["said"]
    assert "Traceback" not in case["said"]


def test_a_worker_that_is_killed_ends_the_run_with_all_its_steps(corpus: Path) -> None:
    case = found("a worker is killed", corpus)
    assert case["codes"] == [2, 0], case["said"]
    message = "rnnkit: data.workers: expected worker processes that stay alive; got one that died"
    assert message in case["said"]
    told = re.search(r"last\.ckpt holds all (\d+) steps\)?\. Try: rnnkit resume \S+ data\.workers=0", case["said"])
    assert told
    # how many batches were made by then is the machine's affair; the next epoch has workers of its own
    assert 27 <= int(told[1]) <= 40
    assert "Traceback" not in case["said"]
    assert (case["bytes_differing"], case["points_differing"]) == (0, 0)
