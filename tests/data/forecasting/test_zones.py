"""Times keep their zone: in forecasts, in the calendar, in dates that divide; clocks that are set forward and back."""

import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from rnnkit.data import ForecastData
from rnnkit.errors import UserError
from rnnkit.predictions import ForecastPrediction

BERLIN = ZoneInfo("Europe/Berlin")
SPRING, AUTUMN = datetime(2024, 3, 27, tzinfo=UTC), datetime(2024, 10, 24, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "series.csv"


def write(path: Path, times: list[str]) -> Path:
    rows = [f"{time},{round(10 + math.sin(i), 4)}" for i, time in enumerate(times)]
    path.write_text("\n".join(["time,x", *rows]) + "\n")
    return path


def made(path: Path, **arguments: Any) -> ForecastData:
    data = ForecastData(**{"path": path, "context": 8, "horizon": 3, **arguments})
    data.setup()
    return data


def following(data: ForecastData, path: Path) -> list[Any]:
    [window] = data.read_inputs(path)
    return [row["time"] for row in data.rows(window, ForecastPrediction([[0.0]] * data.horizon, {}))]


def hours(start: datetime, count: int, zone: Any) -> list[datetime]:
    return [(start + timedelta(hours=i)).astimezone(zone) for i in range(count)]


@pytest.mark.parametrize(
    ("hours_ahead", "style"), [(9, "+09:00"), (-3.5, "-03:30"), (0, "Z"), (0, "+00:00"), (9, "+0900")]
)
def test_forecasts_are_in_the_zone_of_the_file(hours_ahead: float, style: str, file: Path) -> None:
    start = datetime(2024, 5, 1)
    write(file, [f"{start + timedelta(hours=i):%Y-%m-%dT%H:%M:%S}{style}" for i in range(100)])
    data = made(file)
    assert following(data, file) == [f"2024-05-05T0{hour}:00:00{style}" for hour in (4, 5, 6)]
    local = data.splits["train"].panel.frames[0].local
    assert local[0] == np.datetime64("2024-05-01T00:00", "us")


def test_the_calendar_and_the_splits_are_in_local_time(file: Path) -> None:
    write(
        file,
        [time.isoformat() for time in hours(datetime(2024, 4, 30, 15, tzinfo=UTC), 240, timezone(timedelta(hours=9)))],
    )
    data = made(
        file,
        covariates={"time_features": True},
        split={"valid_from": "2024-05-07", "test_from": "2024-05-09T00:00:00+09:00"},
    )
    assert [windows[0].origin for windows in data.splits.values()] == [8, 144, 192]
    batch = data.collate([data.splits["test"][0]])
    names = data.learned()["calendar"]
    midnight = batch.inputs.future_covariates[0, 0, [names.index("day_sin"), names.index("day_cos")]]
    np.testing.assert_allclose(midnight, [0, 1], atol=1e-6)
    same = made(file, split={"valid_from": "2024-05-07", "test_from": "2024-05-08T15:00:00Z"})
    assert same.splits["test"][0].origin == 192


def test_hours_go_on_over_a_change_of_the_clock_and_days_keep_to_it(file: Path) -> None:
    write(file, [time.isoformat() for time in hours(SPRING, 100, BERLIN)])
    data = made(file)
    assert len(data.splits["train"].panel.values) == 100  # no step was put in
    assert any("the offset from UTC changes in 1 series (+1 h, +2 h)" in line for line in data.report)
    midnights = [datetime(2024, 1, 1) + timedelta(days=i) for i in range(90)]  # 30 March is the last
    write(file, [day.replace(tzinfo=BERLIN).isoformat() for day in midnights])
    assert following(made(file, horizon=4), file)[1:3] == ["2024-04-01T00:00:00+01:00", "2024-04-02T00:00:00+01:00"]
    named = made(file, horizon=4, times={"zone": "Europe/Berlin"})
    assert following(named, file)[:2] == ["2024-03-31T00:00:00+01:00", "2024-04-01T00:00:00+02:00"]
    assert str(named.frequency) == "1d"


def test_a_local_clock_that_skips_an_hour(file: Path) -> None:
    times = hours(SPRING, 120, BERLIN)
    write(file, [time.strftime("%Y-%m-%d %H:%M") for time in times])
    plain = made(file)
    assert "missing rows: 1 in 1 places, inserted as steps without values" in plain.report
    named = made(file, times={"zone": "Europe/Berlin"})
    frame = named.splits["train"].panel.frames[0]
    expected = np.array([time.astimezone(UTC).replace(tzinfo=None) for time in times], "datetime64[us]")
    np.testing.assert_array_equal(frame.times, expected)
    write(file, [f"2024-03-10 {hour:02}:00" for hour in range(24)])
    with pytest.raises(
        UserError, match=r"expected a time that exists in America/New_York.*Try: data\.times\.zone=null"
    ):
        made(file, times={"zone": "America/New_York"})


@pytest.mark.parametrize("backwards", [False, True])
def test_a_local_clock_that_shows_an_hour_twice(backwards: bool, file: Path) -> None:
    times = hours(AUTUMN, 120, BERLIN)
    text = [time.strftime("%d.%m.%Y %H:%M") for time in times]
    write(file, text[::-1] if backwards else text)
    with pytest.raises(
        UserError, match=r"27\.10\.2024 02:00 again.*data\.times\.duplicates=mean.*data\.times\.zone=Europe/Berlin"
    ):
        made(file)
    data = made(file, times={"zone": "Europe/Berlin"})
    frame = data.splits["train"].panel.frames[0]
    expected = np.array([time.astimezone(UTC).replace(tzinfo=None) for time in times], "datetime64[us]")
    np.testing.assert_array_equal(frame.times, expected)
    assert following(data, file)[0] == "29.10.2024 01:00+01:00"


def test_quarters_of_an_hour_that_the_clock_shows_twice(file: Path) -> None:
    times = [(AUTUMN + timedelta(minutes=15 * i)).astimezone(BERLIN) for i in range(400)]
    write(file, [time.strftime("%Y-%m-%d %H:%M") for time in times])
    with pytest.raises(
        UserError, match=r"2024-10-27 02:00 at .* after 2024-10-27 02:45.*data\.times\.zone=Europe/Berlin"
    ):
        made(file)
    frame = made(file, times={"zone": "Europe/Berlin"}).splits["train"].panel.frames[0]
    np.testing.assert_array_equal(np.diff(frame.times), np.timedelta64(15, "m"))


def test_forecasts_over_the_change_of_the_clock(file: Path) -> None:
    times = hours(datetime(2024, 3, 27, tzinfo=UTC), 97, BERLIN)  # to 31 March, 01:00
    write(file, [time.isoformat() for time in times])
    data = made(file, times={"zone": "Europe/Berlin"})
    assert following(data, file) == [f"2024-03-31T0{hour}:00:00+02:00" for hour in (3, 4, 5)]


def test_seconds_since_1970_in_a_zone(file: Path) -> None:
    write(file, [str(int(AUTUMN.timestamp()) + 3600 * i) for i in range(100)])
    data = made(file, times={"zone": "Asia/Tokyo"})
    assert data.splits["train"].panel.frames[0].local[0] == np.datetime64("2024-10-24T09:00", "us")
    assert following(data, file)[0] == int(AUTUMN.timestamp()) + 360_000


def test_zones_that_are_mixed(file: Path) -> None:
    zones = [timezone(timedelta(hours=9)), UTC]
    write(file, [time.astimezone(zones[i % 2]).isoformat() for i, time in enumerate(hours(SPRING, 100, UTC))])
    data = made(file)
    np.testing.assert_array_equal(np.diff(data.splits["train"].panel.frames[0].times), np.timedelta64(1, "h"))
    write(file, [time.isoformat()[: 19 if i == 3 else None] for i, time in enumerate(hours(SPRING, 100, UTC))])
    with pytest.raises(
        UserError, match=r"a zone in every row or in none.*none there at .* line 5\. Try: data\.times\.zone=UTC"
    ):
        made(file)
    assert following(made(file, times={"zone": "UTC"}), file)[0] == "2024-03-31T04:00:00+00:00"
    with pytest.raises(UserError, match=r"^data\.times\.zone: .*got 'Europe/Atlantis'"):
        made(file, times={"zone": "Europe/Atlantis"})


def test_each_series_has_its_own_zone(file: Path) -> None:
    rows = [
        f"{name},{time.isoformat()},{i % 7}"
        for name, zone in (("a", "Asia/Tokyo"), ("b", "Asia/Kolkata"))
        for i, time in enumerate(hours(SPRING, 100, ZoneInfo(zone)))
    ]
    file.write_text("\n".join(["id,time,x", *rows]) + "\n")
    data = made(file, id="id")
    answer = ForecastPrediction([[0.0]] * 3, {})
    last = [next(iter(data.rows(window, answer)))["time"] for window in data.read_inputs(file)]
    assert last == ["2024-03-31T13:00:00+09:00", "2024-03-31T09:30:00+05:30"]
