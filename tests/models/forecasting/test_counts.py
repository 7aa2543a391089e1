"""Values that a distribution cannot have are refused when they are read, with their place."""

from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch

from rnnkit.cells import GRUCell
from rnnkit.cli import run
from rnnkit.data import ForecastData
from rnnkit.errors import UserError
from rnnkit.models import DirectForecaster
from rnnkit.models.forecasting.distributions import NegativeBinomial
from rnnkit.tasks import Forecasting

STEPS = 120


def written(folder: Path, bad: dict[int, str], name: str = "counts.csv") -> Path:
    """Counts, but for the cells of some rows; the first row of counts is line 2 of the file."""
    counts = np.random.default_rng(0).poisson(4, STEPS)
    days = np.datetime64("2024-01-01") + np.arange(STEPS)
    lines = [f"{day},{bad.get(row, count)}" for row, (day, count) in enumerate(zip(days, counts, strict=True))]
    path = folder / name
    path.write_text("\n".join(["day,sold", *lines]) + "\n")
    return path


def command(path: Path, folder: Path, *more: str) -> list[str]:
    options = ["task=forecasting", "data=series", "output=negative_binomial", "data.context=14", "data.horizon=7"]
    options += ["model.hidden_size=4", "trainer.max_epochs=1", "callbacks.forecasts.windows=0", "data.batch_size=16"]
    return ["train", *options, f"data.path={path}", f"run_dir={folder / 'run'}", *more]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("counts")
    assert run(command(written(folder, {}), folder)) == 0
    return folder / "run"


# the first 70 % train, the next 15 % validate, the last 15 % test
@pytest.mark.parametrize("row", [0, 10, 90, 119])
@pytest.mark.parametrize("value", ["-1", "2.5", "1e10"])
def test_a_value_that_is_no_count_is_refused_before_training_whatever_its_split(
    row: int, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, {row: value})
    assert run(command(path, tmp_path)) == 2
    day = np.datetime64("2024-01-01") + row
    said = capsys.readouterr().err
    expected = "data.target: expected counts, whole numbers from 0 to 1,000,000,000"
    assert f"{expected}; got {float(value):.15g} at {path} line {row + 2}, {day}. Try: output=student_t" in said
    assert not (tmp_path / "run").exists()


def test_the_fix_works(tmp_path: Path) -> None:
    path = written(tmp_path, {10: "-1"})
    fixed = [part.replace("negative_binomial", "student_t") for part in command(path, tmp_path)]
    assert run(fixed) == 0


def test_the_series_and_the_number_of_such_values_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"{shop},2024-01-{1 + day:02},{day}" for shop in ("north", "south") for day in range(30)]
    lines[35], lines[40] = "south,2024-01-06,-2", "south,2024-01-11,-3"
    path = tmp_path / "shops.csv"
    path.write_text("\n".join(["shop,day,sold", *lines]) + "\n")
    more = ["data.id=shop", "data.context=5", "data.horizon=2"]
    assert run(command(path, tmp_path, *more)) == 2
    assert f"got -2 at {path} line 37, series south, 2024-01-06, and 1 more" in capsys.readouterr().err


def test_counts_that_averaging_made_fractions_are_refused_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, {})
    text = path.read_text().splitlines()
    path.write_text("\n".join([*text[:6], "2024-01-05,0", "2024-01-05,1", *text[6:]]) + "\n")
    assert run(command(path, tmp_path, "data.times.duplicates=mean")) == 2
    assert f"at {path}, 2024-01-05" in capsys.readouterr().err


def test_scaled_counts_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command(written(tmp_path, {}), tmp_path, "data.scaling=standard")) == 2
    assert "data.scaling: expected none, for counts" in capsys.readouterr().err


def test_new_data_are_checked_by_predict_and_evaluate(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, {50: "-3"})
    assert run(["predict", str(trained), "--input", str(path)]) == 2
    said = capsys.readouterr().err
    assert f"--input: expected counts, whole numbers from 0 to 1,000,000,000; got -3 at {path} line 52" in said
    assert "or a run trained with output=student_t" in said
    assert run(["evaluate", str(trained), "--data", str(path)]) == 2
    assert f"got -3 at {path} line 52" in capsys.readouterr().err
    assert run(["predict", str(trained), "--input", str(written(tmp_path, {}))]) == 0
    assert run(["evaluate", str(trained)]) == 0


def test_generated_series_are_checked_by_lightnings_trainer_as_well() -> None:
    counts = np.random.default_rng(0).poisson(4, (STEPS, 1)).astype(float)
    counts[100] = -1
    data = ForecastData(generator=lambda: {"a": counts}, context=14, horizon=7, scaling="none")
    model = DirectForecaster(GRUCell, NegativeBinomial(), channels=1, horizon=7, context=14, scaling="mean")
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = L.Trainer(accelerator="cpu", devices=1, max_epochs=1, **off)  # type: ignore[arg-type]
    task = Forecasting(model, lambda parameters: torch.optim.SGD(parameters, lr=0.1))
    with pytest.raises(UserError, match=r"got -1 at series a, step 101\."):
        trainer.fit(task, datamodule=data)
