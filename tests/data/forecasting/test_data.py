"""Covariates, what a trained model keeps, prediction from new files, and whole runs through the command line."""

import csv
import inspect
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from rnnkit.cli import run
from rnnkit.data import ForecastData
from rnnkit.errors import UserError
from rnnkit.predictions import ForecastPrediction
from rnnkit.training import Run

CONFIGS = Path(__file__).parents[3] / "configs"
DAYS = np.arange("2024-01-01", "2025-12-31", 1, "datetime64[D]").astype(str)
COLUMNS: dict[str, Any] = {
    "id": "shop",
    "target": "sold",
    "covariates": {"past": ["visitors", "weather"], "known": ["price", "promotion"], "static": ["size", "city"]},
}
CALENDAR = {**COLUMNS["covariates"], "time_features": True}


def sales(path: Path, steps: int = 60, *, future: int = 0, weather: str = "sun rain snow", offset: int = 0) -> Path:
    """Two shops; in the last `future` rows only what is known beforehand."""
    rows = ["shop,day,sold,visitors,weather,price,promotion,size,city"]
    kinds = weather.split()
    for shop, size in (("north", 100), ("south", 300)):
        for i in range(steps):
            past = f"{i * size},{i + size},{kinds[i % len(kinds)]}" if i < steps - future else ",,"
            place = "Oslo" if shop == "north" else "Rome"
            rows.append(f"{shop},{DAYS[i + offset]},{past},{10 + i % 5},{'' if i % 7 else 'sale'},{size},{place}")
    path.write_text("\n".join(rows) + "\n")
    return path


def made(path: Path, **arguments: Any) -> ForecastData:
    data = ForecastData(**{"path": path, "context": 4, "horizon": 3, **COLUMNS, **arguments})
    data.setup()
    return data


def test_covariates_of_every_kind_stand_beside_the_values(tmp_path: Path) -> None:
    data = made(sales(tmp_path / "sales.csv"))
    assert data.model_kwargs == {
        "channels": 1,
        "context": 4,
        "horizon": 3,
        "past_covariates": 2,
        "future_covariates": 1,
        "past_categories": [4, 2],
        "future_categories": [2],
        "static": 1,
        "static_categories": [3],
    }
    windows = data.splits["valid"]
    inputs = data.collate(windows).inputs
    for lane, window in enumerate(windows):
        past = np.arange(window.origin - 4, window.origin)
        future = np.arange(window.origin, window.origin + 3)
        size = (100, 300)[window.series]
        training = np.arange(42)  # of 60 steps, 9 and 9 are for validation and test
        visitors = np.concatenate([training + 100, training + 300])
        price = 10 + training % 5
        expected = np.stack(
            [(past + size - visitors.mean()) / visitors.std(), (10 + past % 5 - price.mean()) / price.std()], 1
        )
        np.testing.assert_allclose(inputs.past_covariates[lane], expected, rtol=1e-4)
        known = (10 + future % 5 - price.mean()) / price.std()
        np.testing.assert_allclose(inputs.future_covariates[lane, :, 0], known, rtol=1e-4)
        weather = [{"rain": 1, "snow": 2, "sun": 3}["sun rain snow".split()[i % 3]] for i in past]  # noqa: SIM905
        promotion = [0 if i % 7 else 1 for i in (*past, *future)]
        assert inputs.past_categories[lane].T.tolist() == [weather, promotion[:4]]
        assert inputs.future_categories[lane, :, 0].tolist() == promotion[4:]
        assert inputs.static[lane].tolist() == pytest.approx([(-1.0, 1.0)[window.series]])
        assert inputs.static_categories[lane].tolist() == [1 + window.series]


def test_numbers_can_be_categories_and_words_of_the_test_part_are_unknown(tmp_path: Path) -> None:
    path = sales(tmp_path / "sales.csv", weather=" ".join(["sun"] * 55 + ["hail"] * 5))
    data = made(path, covariates={**COLUMNS["covariates"], "categorical": ["price"], "past": ["weather"]})
    assert data.model_kwargs["past_categories"] == [2, 6, 2]  # hail is not seen in training
    assert data.model_kwargs["future_categories"] == [6, 2]
    assert 0 in data.collate(data.splits["test"]).inputs.past_categories[..., 0]


def test_the_calendar_joins_the_known_covariates(tmp_path: Path) -> None:
    data = made(sales(tmp_path / "sales.csv"), covariates=CALENDAR)
    assert data.model_kwargs["future_covariates"] == 1 + 6
    batch = next(iter(data.test_dataloader()))
    following = torch.cat([batch.inputs.past_covariates[..., 1:], batch.inputs.future_covariates], 1)
    angle = torch.atan2(following[..., 1], following[..., 2])  # of the week
    turned = (angle[:, 1:] - angle[:, :-1]) % (2 * torch.pi)
    torch.testing.assert_close(turned, torch.full_like(turned, 2 * torch.pi / 7), rtol=1e-4, atol=1e-4)


def test_what_was_learned_comes_back(tmp_path: Path) -> None:
    first = made(sales(tmp_path / "sales.csv"), covariates=CALENDAR)
    first.save(tmp_path)
    arguments = {**COLUMNS, "covariates": CALENDAR}
    again = ForecastData(path=tmp_path / "sales.csv", context=4, horizon=3, **arguments)
    again.load(tmp_path)
    assert json.loads((tmp_path / "data.json").read_text())["frequency"] == "1d"
    again.setup("test")
    assert again.model_kwargs == first.model_kwargs
    assert again.task_kwargs == first.task_kwargs
    one, other = next(iter(first.test_dataloader())), next(iter(again.test_dataloader()))
    for name, value in one.inputs._asdict().items():
        torch.testing.assert_close(getattr(other.inputs, name), value, rtol=0, atol=0, equal_nan=True)


def test_another_file_is_scaled_as_learned(tmp_path: Path) -> None:
    first = made(sales(tmp_path / "sales.csv"))
    first.save(tmp_path)
    arguments = {"path": None, "test": sales(tmp_path / "later.csv", 20, offset=100)}
    again = ForecastData(context=4, horizon=3, **COLUMNS, **arguments)
    again.load(tmp_path)
    again.setup("test")
    assert set(again.splits) == {"test"}
    assert [window.origin for window in again.splits["test"]] == [*range(4, 18)] * 2
    one, other = next(iter(first.test_dataloader())), next(iter(again.test_dataloader()))
    assert set(one.extra.scale.flatten().tolist()) == set(other.extra.scale.flatten().tolist())


def predicted(data: ForecastData, path: Path | None) -> tuple[list[Any], list[dict[str, Any]]]:
    """The windows of a file, and the rows of a forecast that says how many steps it is ahead."""
    windows = list(data.read_inputs(path))
    answer = ForecastPrediction([[1.0], [2.0], [3.0]], {0.1: [[0.5], [1.5], [2.5]]})
    return windows, [row for window in windows for row in data.rows(window, answer)]


def test_a_file_is_continued(tmp_path: Path) -> None:
    data = made(sales(tmp_path / "sales.csv"))
    windows, rows = predicted(data, sales(tmp_path / "new.csv", 13, future=3))
    batch = data.collate(windows)
    assert batch.extra.origin.tolist() == [10, 10]
    assert batch.targets.isnan().all()
    sold = batch.extra.location[:, None] + batch.extra.scale[:, None] * batch.inputs.past
    assert sold[1].flatten().tolist() == pytest.approx([6 * 300, 7 * 300, 8 * 300, 9 * 300])
    assert not batch.inputs.future_covariates.isnan().any()
    assert batch.inputs.future_categories.flatten().tolist() == [0, 0, 0] * 2  # days 10, 11, 12
    assert rows[0] == {"id": "north", "time": "2024-01-11", "channel": "sold", "mean": 1.0, "q0.1": 0.5}
    assert [row["time"] for row in rows] == ["2024-01-11", "2024-01-12", "2024-01-13"] * 2
    assert [row["id"] for row in rows] == ["north"] * 3 + ["south"] * 3


def test_a_file_that_does_not_know_the_future_is_refused(tmp_path: Path) -> None:
    data = made(sales(tmp_path / "sales.csv"))
    with pytest.raises(
        UserError, match=r"^--input: expected 3 rows after the last target of series north, .*; got 2\."
    ):
        predicted(data, sales(tmp_path / "new.csv", 13, future=2))


def test_a_series_without_a_past_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("V1,V2\n" + "".join(f"s{s}," + ",".join("12345678" * 5) + "\n" for s in range(2)))
    data = ForecastData(path=tmp_path / "a.csv", layout="rows", context=12, horizon=3)
    data.setup()
    (tmp_path / "b.csv").write_text("V1,V2,V3\ns0,1,2\ns1,,\n")
    with pytest.raises(UserError, match=r"^--input: expected at least one value of series s1; got none"):
        predicted(data, tmp_path / "b.csv")


def test_a_file_to_measure_on_must_hold_something_to_foresee(tmp_path: Path) -> None:
    made(sales(tmp_path / "sales.csv")).save(tmp_path)
    test = ForecastData(test=sales(tmp_path / "new.csv", 10, future=6), context=4, horizon=3, **COLUMNS)
    test.load(tmp_path)
    with pytest.raises(UserError, match=r"^test split: expected windows with values; got none"):
        test.setup("test")


def test_other_files_are_read_as_the_first_one_was(tmp_path: Path) -> None:
    """A column of numbers in training stays one, and a file without times gets none from another column."""
    data = made(sales(tmp_path / "sales.csv"))
    spoiled = sales(tmp_path / "new.csv", 13, future=3)
    spoiled.write_text(spoiled.read_text().replace(",10,", ",cheap,"))
    with pytest.raises(UserError, match=r"^data\.covariates\.known: expected a number.*'cheap' at .*new\.csv line 2"):
        predicted(data, spoiled)
    (tmp_path / "plain.csv").write_text("x\n" + "1\n2\n" * 40)
    (tmp_path / "dated.csv").write_text("day,x\n" + "".join(f"{DAYS[i]},{i}\n" for i in range(20)))
    data = ForecastData(path=tmp_path / "plain.csv", context=12, horizon=3)
    data.setup()
    assert [row["step"] for row in predicted(data, tmp_path / "dated.csv")[1]] == [21, 22, 23]


def test_without_known_covariates_the_rows_go_on_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    months = [f"{year}-{month:02}" for year in range(2015, 2020) for month in range(1, 13)]
    text = "month,sold\n" + "".join(f"{month},{i}\n" for i, month in enumerate(months))
    (tmp_path / "a.csv").write_text(text)
    data = ForecastData(path=tmp_path / "a.csv", context=12, horizon=3, covariates={"time_features": True})
    data.setup()
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    windows, rows = predicted(data, None)
    assert [row["time"] for row in rows] == ["2020-01", "2020-02", "2020-03"]
    assert "id" not in rows[0]
    future = data.collate(windows).inputs.future_covariates
    np.testing.assert_allclose(future[0, 0], [0, 1], atol=1e-6)  # the first of January


def test_steps_are_counted_where_there_are_no_times(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n" + "1\n2\n" * 40)
    data = ForecastData(path=tmp_path / "a.csv", context=12, horizon=3)
    data.setup()
    assert [row["step"] for row in predicted(data, tmp_path / "a.csv")[1]] == [81, 82, 83]


@pytest.mark.parametrize("name", ["series", "mackey_glass", "etth1", "etth2", "ettm1", "exchange_rate", "m4_hourly"])
def test_every_yaml_makes_its_data(name: str) -> None:
    with initialize_config_dir(str(CONFIGS), version_base=None):
        config = compose(
            overrides=[f"+data={name}", "+seed=3", *(["data.path=my.csv"] if name == "series" else [])]
        ).data
    data = instantiate(config)
    assert isinstance(data, ForecastData)
    assert data.seed == 3
    assert data.source.origin.dataset == (None if name in ("series", "mackey_glass") else name)
    assert set(config) - {"_target_"} == set(inspect.signature(ForecastData).parameters)


SMALL = [
    "task=forecasting",
    "model.hidden_size=8",
    "data.batch_size=8",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=5",
    "~callbacks.forecasts",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the shops, with every kind of covariate, and the file that it was trained on beside it."""
    folder = tmp_path_factory.mktemp("shops")
    path = sales(folder / "sales.csv")
    columns = [
        *("data.id=shop", "data.target=sold"),
        *(f"data.covariates.{name}={json.dumps(value)}" for name, value in COLUMNS["covariates"].items()),
    ]
    overrides = [*SMALL, "data=series", f"data.path={path}", "data.context=8", "data.horizon=3", *columns]
    assert run(["train", *overrides, f"run_dir={folder / 'run'}"]) == 0
    return folder


def test_a_run_is_evaluated_on_its_own_splits_and_on_another_file(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = sales(trained / "later.csv", 30, offset=200)
    for more, sequences in (([], 14), (["--data", str(other)], 2 * (30 - 8 - 3 + 1))):
        capsys.readouterr()
        assert run(["evaluate", str(trained / "run"), "--json", *more]) == 0
        assert json.loads(capsys.readouterr().out)["sequences"] == sequences


def test_a_run_predicts_what_follows_a_file(trained: Path, tmp_path: Path) -> None:
    new = sales(trained / "new.csv", 23, future=3)
    assert run(["predict", str(trained / "run"), "--input", str(new), "--output", str(tmp_path / "out.csv")]) == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["time"]) for row in rows] == [
        (shop, f"2024-01-{day}") for shop in ("north", "south") for day in (21, 22, 23)
    ]
    assert all(float(row["q0.1"]) < float(row["mean"]) < float(row["q0.9"]) for row in rows)


def test_a_run_that_was_stopped_and_resumed_ends_with_the_weights_of_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ["data.generator.steps=160", "data.generator.series=2", "data.context=16", "data.horizon=4"]
    overrides = [*SMALL, *data, "data.windows.per_series=30", "data.windows.stride=1"]
    assert run(["train", *overrides, f"run_dir={tmp_path / 'whole'}"]) == 0

    from rnnkit.training.report.monitor import Monitor

    original = Monitor.on_train_batch_end
    batches = 0

    def interrupting(self: Monitor, *arguments: Any) -> None:
        nonlocal batches
        batches += 1
        if batches == 11:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, *arguments)

    monkeypatch.setattr(Monitor, "on_train_batch_end", interrupting)
    with pytest.raises(SystemExit, match="130"):
        run(["train", *overrides, f"run_dir={tmp_path / 'stopped'}"])
    assert batches == 11
    assert run(["resume", str(tmp_path / "stopped")]) == 0
    whole, resumed = (Run.open(tmp_path / name).checkpoint("last")["state_dict"] for name in ("whole", "stopped"))
    assert not [name for name in whole if not torch.equal(whole[name], resumed[name])]


def test_a_padded_window_gets_the_forecast_it_gets_alone(tmp_path: Path, trained: Path) -> None:
    task, data = Run.open(trained / "run").task(), Run.open(trained / "run").data()
    long, short = (sales(tmp_path / f"{steps}.csv", steps, future=3) for steps in (20, 6))
    text = long.read_text() + "".join(
        line.replace("north", "east").replace("south", "west") + "\n" for line in short.read_text().splitlines()[1:]
    )
    (tmp_path / "all.csv").write_text(text)
    together = list(data.read_inputs(tmp_path / "all.csv"))
    batch = data.collate(together)
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [8, 8, 3, 3]
    alone = data.collate(together[2:])
    said, expected = task.predict(batch)[2:], task.predict(alone)
    np.testing.assert_allclose([row.mean for row in said], [row.mean for row in expected], rtol=1e-5)
