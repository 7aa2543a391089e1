"""Seasons, lags and horizons count time and not rows; frequencies are checked against the times of each series."""

import math
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from rnnkit.cli import run
from rnnkit.data import ForecastData
from rnnkit.errors import UserError
from rnnkit.predictions import ForecastPrediction
from rnnkit.tasks.baselines import seasonal_naive


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "series.csv"


def write(path: Path, rows: Iterable[tuple[Any, ...]], head: str = "date,x") -> Path:
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def made(path: Path, **arguments: Any) -> ForecastData:
    data = ForecastData(**{"path": path, "context": 30, "horizon": 8, **arguments})
    data.setup()
    return data


def following(data: ForecastData, path: Path) -> list[Any]:
    window = next(iter(data.read_inputs(path)))
    return [row["time"] for row in data.rows(window, ForecastPrediction([[0.0]] * data.horizon, {}))]


def last_day(year: int, month: int) -> date:
    return date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)


def months(start: int, count: int, day: Callable[[int, int], date], step: int = 1) -> list[date]:
    return [day((start + i * step) // 12, (start + i * step) % 12 + 1) for i in range(count)]


def on_day(number: int) -> Callable[[int, int], date]:
    return lambda year, month: min(last_day(year, month), date(year, month, 1) + timedelta(days=number - 1))


def last_working_day(year: int, month: int) -> date:
    day = last_day(year, month)
    return day - timedelta(days=max(0, day.weekday() - 4))


def days(week: Iterable[int], count: int, start: date = date(2023, 1, 2)) -> list[date]:
    every = (start + timedelta(days=i) for i in range(10 * count))
    return [day for _, day in zip(range(count), (day for day in every if day.weekday() in set(week)), strict=False)]


START = 12 * 2015
# season; times, of which the last 8 are to be foreseen
KINDS: dict[str, tuple[int, list[Any]]] = {
    "every day": (7, days(range(7), 240)),
    "Monday to Friday": (5, days(range(5), 240)),
    "Monday to Saturday": (6, days(range(6), 240)),
    "Sunday to Thursday": (5, days((6, 0, 1, 2, 3), 240)),
    "Monday, Wednesday, Friday": (3, days((0, 2, 4), 240)),
    "Sundays": (52, days((6,), 240)),
    "first of the month": (12, months(START, 200, on_day(1))),
    "the 15th": (12, months(START, 200, on_day(15))),
    "the 30th": (12, months(START, 200, on_day(30))),
    "the 31st": (12, months(START, 200, last_day)),
    "last working day": (12, months(START, 200, last_working_day)),
    "quarters from February": (4, months(START + 1, 160, on_day(1), 3)),
    "ends of quarters": (4, months(START + 2, 160, last_day, 3)),
    "every second month": (6, months(START, 160, on_day(1), 2)),
    "years": (1, [date(1800 + i, 12, 31) for i in range(160)]),
    "every two hours": (12, [datetime(2024, 2, 20, 1) + timedelta(hours=2 * i) for i in range(240)]),
    "every 15 minutes": (96, [datetime(2024, 2, 20, 0, 0, 7) + timedelta(minutes=15 * i) for i in range(400)]),
    "every five hours": (24, [datetime(2024, 2, 20) + timedelta(hours=5 * i) for i in range(240)]),
}


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_seasons_are_in_time_and_forecasts_keep_to_the_calendar(kind: str, missing: bool, file: Path) -> None:
    """Exactly periodic, so the seasonal naive forecast has no error, whichever rows are missing."""
    season, times = KINDS[kind]
    rows = [(time, i % season) for i, time in enumerate(times)][:-8]
    kept = [row for i, row in enumerate(rows) if not missing or i % 11 not in (3, 4) or i > len(rows) - 4]
    data = made(write(file, kept), context=4 * season + 6)
    assert data.season == season
    assert following(data, file) == [str(time) for time in times[-8:]]
    panel = data.splits["train"].panel
    assert len(panel.values) == len(rows)
    for batch in data.test_dataloader():
        error = seasonal_naive(batch.inputs, 8, season, batch.lengths) - batch.targets
        assert error.nan_to_num().abs().max() < 1e-5
        assert batch.extra.seasonal_error.nan_to_num().abs().max() < 1e-5
        assert (batch.inputs.time_deltas == 1).all()
    place = [rows.index(row) for row in kept]
    single = sum(after - before == 1 for before, after in pairwise(place))
    share = next(line for line in data.report if line.startswith("frequency"))
    assert f"season {season}: {single} of {len(kept) - 1} rows follow the row before by one step" in share


def test_the_denominator_of_mase_is_a_season_of_time(file: Path) -> None:
    values = [i % 7 + 10 * (i // 7) for i in range(210)]  # 10 more a week later
    rows = [(date(2024, 1, 1) + timedelta(days=i), value) for i, value in enumerate(values) if i % 9]
    batch = next(iter(made(write(file, rows), scaling="none").test_dataloader()))
    assert batch.extra.seasonal_error.flatten().tolist() == pytest.approx([10.0] * len(batch.inputs.past))


def test_some_stray_rows_do_not_hide_working_days(file: Path) -> None:
    times = days(range(5), 300)
    holidays = {date(2023, 12, 25), date(2024, 1, 1), date(2023, 5, 1)}
    rows = [(day, i) for i, day in enumerate(times) if day not in holidays]
    rows.append((date(2023, 11, 18), 5))  # a Saturday
    data = made(write(file, sorted(rows)))
    assert str(data.frequency) == "1b"
    beside = next(line for line in data.report if "between steps" in line)
    assert beside == (
        "1 rows between steps were moved to the nearest step, by 1 days at most; "
        "1 of them are dropped, because another row is closer"
    )
    assert data.splits["train"].panel.values.shape == (300, 1)


def test_a_given_frequency_is_checked(file: Path) -> None:
    write(file, [(day, i % 5) for i, day in enumerate(days((0,), 120))])
    assert made(file, times={"frequency": "W-MON"}, context=20).season == 52
    with pytest.raises(
        UserError, match=r"^data\.times\.frequency: expected most times of every series 1w-SUN apart; got 0 of 120"
    ):
        made(file, times={"frequency": "W-SUN"})
    with pytest.raises(UserError, match=r"^data\.times\.frequency: expected most times of every series 1mo-31 apart"):
        made(file, times={"frequency": "ME"})
    write(file, [(day, i % 5) for i, day in enumerate(days(range(5), 120))])
    every_day = made(file, times={"frequency": "1d"})
    assert every_day.season == 7
    assert following(every_day, file)[:2] == ["2023-06-17", "2023-06-18"]


def test_irregular_rows_are_refused_and_the_repairs_work(file: Path) -> None:
    gaps = [5 + i * i * 7 % 61 for i in range(200)]
    times = [datetime(2024, 1, 1) + timedelta(minutes=sum(gaps[:i])) for i in range(200)]
    write(file, [(time, i % 5) for i, time in enumerate(times)])
    with pytest.raises(
        UserError, match=r"^data\.times\.frequency: expected most times.*Try: data\.times\.fill_gaps=false[^.]*$"
    ):
        made(file)
    rows = made(file, times={"fill_gaps": False})
    assert len(rows.splits["train"].panel.values) == 200
    batch = rows.collate([rows.splits["train"][0]])
    expected = [(b - a) / (times[7] - times[6]) for a, b in pairwise(times[4:10])]
    found = batch.inputs.time_deltas[0, 5:10]
    torch.testing.assert_close(found / found[2], torch.tensor(expected), rtol=1e-4, atol=1e-4)
    assert "data.times.fill_gaps=false" in " ".join(rows.report)
    about_noon = [datetime(2024, 1, 1, 12) + timedelta(days=i, hours=i * i * 7 % 13 - 6) for i in range(200)]
    write(file, [(time, i % 7) for i, time in enumerate(about_noon)])
    with pytest.raises(
        UserError, match=r"^data\.times\.frequency: .*data\.times\.fill_gaps=false.*data\.times\.fill_gaps=true"
    ):
        made(file)
    moved = made(file, times={"fill_gaps": True})
    assert moved.splits["train"].panel.values[:, 0].tolist() == [i % 7 for i in range(200)]
    assert (moved.collate(moved.splits["test"]).inputs.time_deltas == 1).all()


def test_a_series_of_another_frequency_is_named(file: Path) -> None:
    daily = [("a", date(2024, 1, 1) + timedelta(days=i), i % 7) for i in range(210)]
    weekly = [("b", date(2024, 1, 1) + timedelta(weeks=i), 0) for i in range(30)]
    write(file, daily + weekly, "id,date,x")
    with pytest.raises(UserError, match=r"got a row every 7 steps of series b\. Try: data\.times\.frequency=1d,"):
        made(file, id="id")
    assert set(made(file, id="id", times={"frequency": "1d"}).splits["train"].panel.lengths) == {210, 29 * 7 + 1}
    hourly = [("b", datetime(2024, 1, 1) + timedelta(hours=i), i % 24) for i in range(150)]
    write(file, [("a", f"{day} 00:00:00", x) for _, day, x in daily] + hourly, "id,date,x")
    with pytest.raises(
        UserError, match=r"of series b; not on them: .*Try: data\.times\.frequency=1h, to use it for all series"
    ):
        made(file, id="id")


def test_series_of_one_panel_may_begin_on_days_of_their_own(file: Path) -> None:
    rows = [
        (name, day, i)
        for name, number in (("a", 1), ("b", 31))
        for i, day in enumerate(months(START, 60, on_day(number)))
    ]
    data = made(write(file, rows, "id,date,x"), id="id", context=12, horizon=4)
    windows = list(data.read_inputs(file))
    answer = ForecastPrediction([[0.0]] * 4, {})
    found = {window.series: [row["time"] for row in data.rows(window, answer)] for window in windows}
    assert found == {
        0: ["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01"],
        1: ["2020-01-31", "2020-02-29", "2020-03-31", "2020-04-30"],
    }


def test_a_short_file_is_continued_as_the_model_was_trained(file: Path, tmp_path: Path) -> None:
    """The 28th of February alone does not say that the 30th is meant."""
    data = made(write(file, [(day, i) for i, day in enumerate(months(START, 100, on_day(30)))]), context=12, horizon=3)
    last = write(tmp_path / "last.csv", [(date(2023, 2, 28), 1)])
    assert following(data, last) == ["2023-03-30", "2023-04-30", "2023-05-30"]


def test_training_prints_how_a_file_was_read(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(day, round(math.sin(i), 3)) for i, day in enumerate(days(range(5), 120)) if i != 60]
    write(file, rows[::-1])
    small = ["model.hidden_size=4", "trainer.max_steps=2", "~callbacks.forecasts", "data.context=10", "data.horizon=3"]
    arguments = ["task=forecasting", "data=series", f"data.path={file}", f"run_dir={tmp_path / 'run'}", *small]
    assert run(["train", *arguments]) == 0
    printed = capsys.readouterr().err
    for line in (
        "series.csv: 1 series, 119 rows, 2023-01-02 to 2023-06-16",
        "time: 'date', read as %Y-%m-%d",
        "1 of 1 series were in descending order of time and were reversed",
        "frequency 1b (Mon, Tue, Wed, Thu, Fri), season 5: 117 of 118 rows follow the row before by one step",
        "missing rows: 1 in 1 places, inserted as steps without values",
        "missing: 0.833 % of 120 values",
        "windows of 10 and 3 steps: train 72, valid 16, test 16",
    ):
        assert printed.count(line) == 1
