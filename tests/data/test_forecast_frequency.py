"""Frequencies: read, found, continued; the calendar as numbers."""

import numpy as np
import pytest

from rnnkit.data.forecasting.calendar import calendar_features, calendar_names
from rnnkit.data.forecasting.frames import plain_frame
from rnnkit.data.forecasting.frequency import Frequency, detect_frequency, parse_frequency
from rnnkit.data.forecasting.grid import filled
from rnnkit.errors import UserError

SEASONS = {"1min": 1440, "15min": 96, "30min": 48, "1h": 24, "1d": 7, "1w": 52, "1mo": 12, "1q": 4, "1y": 1, "1s": 1}


def days(*texts: str) -> np.ndarray:
    return np.array(texts, "datetime64[us]")


@pytest.mark.parametrize("name", SEASONS)
def test_names_are_read_and_seasons_known(name: str) -> None:
    assert parse_frequency(name).season == SEASONS[name]
    assert parse_frequency(str(parse_frequency(name))) == parse_frequency(name)


def test_names_of_other_libraries() -> None:
    for other, name in {"H": "1h", "MS": "1mo", "ME": "1mo", "QS": "1q", "T": "1min", "W-SUN": "1w", "D": "1d"}.items():
        assert parse_frequency(other) == parse_frequency(name)
    assert parse_frequency("2") == Frequency("", 2)


@pytest.mark.parametrize("name", ["", "1 fortnight", "h1", "-1h", "0h", "0.5mo", "1m", "."])
def test_what_is_no_frequency_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"^data\.frequency: expected 1s, 15min, .*Try: data\.frequency=null"):
        parse_frequency(name)


FOUND = {
    "15min": np.arange("2024-01-01T00:00", "2024-01-02T00:00", 15, "datetime64[m]"),
    "1d": np.arange("2024-01-01", "2024-03-01", 1, "datetime64[D]"),
    "1w": np.arange("2024-01-01", "2024-03-01", 7, "datetime64[D]"),
    "1mo": np.arange("2023-01", "2024-12", 1, "datetime64[M]"),
    "3mo": np.arange("2020-01", "2024-12", 3, "datetime64[M]"),
    "12mo": np.arange("2000-01", "2024-12", 12, "datetime64[M]"),
    "30d": np.arange("2024-01-01", "2024-12-30", 30, "datetime64[D]"),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_frequency_is_found_though_rows_are_missing(name: str) -> None:
    times = FOUND[name].astype("datetime64[us]")
    kept = np.arange(len(times)) % 5 != 3
    assert str(detect_frequency([times])) == name
    assert str(detect_frequency([times[kept]])) == name


def test_the_end_of_the_month_is_a_month_apart_and_goes_on() -> None:
    ends = FOUND["1mo"].astype("datetime64[us]")[1:] - np.timedelta64(1, "D")
    found = detect_frequency([ends])
    assert str(found) == "1mo"
    assert found is not None
    assert set(np.diff(found.positions(ends))) == {1.0}
    np.testing.assert_array_equal(
        found.after(days("2023-12-31", "2024-01-31"), 3), days("2024-02-29", "2024-03-31", "2024-04-30")
    )
    assert found.after(days("2024-01-15T06:00"), 1)[0] == np.datetime64("2024-02-15T06:00", "us")


def test_gaps_between_days_of_different_months() -> None:
    gaps = np.diff(parse_frequency("1mo").positions(days("2023-01-01", "2023-02-01", "2023-02-15", "2023-04-01")))
    np.testing.assert_allclose(gaps, [1, 0.5, 1.5])


def test_numbers_have_a_frequency_too() -> None:
    found = detect_frequency([np.array([10.0, 12.0, 14.0, 20.0])])
    assert found == Frequency("", 2)
    assert np.diff(Frequency("", 2).positions(np.array([10.0, 12.0, 20.0]))).tolist() == [1, 4]
    assert Frequency("", 2).after(np.array([10.0, 12.0]), 2).tolist() == [14, 16]
    assert detect_frequency([np.array([1.0])]) is None


def test_the_calendar_says_only_what_changes_at_a_frequency() -> None:
    for name, first in {"1h": "day_sin", "1d": "week_sin", "1w": "month_sin", "1mo": "year_sin"}.items():
        assert calendar_names(parse_frequency(name))[0] == first
    assert calendar_names(parse_frequency("1y")) == calendar_names(None) == calendar_names(Frequency("", 1)) == []


def test_calendar_features_by_hand() -> None:
    # Monday 00:00; Thursday 12:00, half of the week and of the day; 2 July 2023 12:00, the middle of that year
    times = days("2024-01-01T00:00", "2024-01-04T12:00", "2023-07-02T12:00")
    names = calendar_names(parse_frequency("1h"))
    found = dict(zip(names, calendar_features(times, names).T, strict=True))
    np.testing.assert_allclose(found["day_cos"], [1, -1, -1], atol=1e-6)
    np.testing.assert_allclose(found["week_cos"][:2], [1, -1], atol=1e-6)
    np.testing.assert_allclose(found["month_sin"][2], np.sin(2 * np.pi * 1.5 / 31), atol=1e-6)
    np.testing.assert_allclose(found["year_cos"], [1, np.cos(2 * np.pi * 3.5 / 366), -1], atol=1e-4)


def with_times(times: np.ndarray) -> "object":
    frame = plain_frame("a", np.arange(1.0, len(times) + 1)[:, None], 0)
    return type(frame)(**{**frame.__dict__, "times": times})


def test_missing_rows_become_steps_without_values() -> None:
    frame = filled(with_times(days("2024-01-01", "2024-01-02", "2024-01-05")), parse_frequency("1d"))
    np.testing.assert_array_equal(frame.values[0, :, 0], [1, 2, np.nan, np.nan, 3])
    np.testing.assert_array_equal(frame.times, np.arange("2024-01-01", "2024-01-06", 1, "datetime64[D]"))
    ends = filled(with_times(days("2024-01-31", "2024-02-29", "2024-04-30")), parse_frequency("1mo"))
    np.testing.assert_array_equal(ends.values[0, :, 0], [1, 2, np.nan, 3])
    assert ends.times[2].astype("datetime64[M]") == np.datetime64("2024-03")


def test_times_off_the_grid_are_not_filled() -> None:
    with pytest.raises(
        UserError, match=r"^data\.fill_gaps: expected times that are multiples of 1d apart; got 2024-01-02"
    ):
        filled(with_times(days("2024-01-01", "2024-01-02T06:00")), parse_frequency("1d"))
