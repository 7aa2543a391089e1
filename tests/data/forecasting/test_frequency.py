"""Frequencies: read, found, continued; the calendar as numbers."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from rnnkit.data.forecasting.calendar import calendar_features, calendar_names
from rnnkit.data.forecasting.detection import detect_frequency
from rnnkit.data.forecasting.frame import Frame, plain_frame
from rnnkit.data.forecasting.frequency import Frequency, parse_frequency
from rnnkit.data.forecasting.grid import Grid
from rnnkit.data.forecasting.regular import Fit, on_grid
from rnnkit.errors import UserError

SEASONS = {"1min": 1440, "15min": 96, "30min": 48, "1h": 24, "1d": 7, "1w": 52, "1mo": 12, "1q": 4, "1y": 1, "1s": 1}


def days(*texts: str) -> np.ndarray:
    return np.array(texts, "datetime64[us]")


@pytest.mark.parametrize("name", SEASONS)
def test_names_are_read_and_seasons_known(name: str) -> None:
    assert parse_frequency(name).season == SEASONS[name]
    assert parse_frequency(str(parse_frequency(name))) == parse_frequency(name)


def test_names_of_other_libraries() -> None:
    same = {
        "H": "1h",
        "MS": "1mo-1",
        "ME": "1mo-31",
        "QS": "1q-1",
        "QE-DEC": "3mo-31",
        "T": "1min",
        "D": "1d",
        "B": "1b",
    }
    for other, name in same.items():
        assert parse_frequency(other) == parse_frequency(name)
    assert parse_frequency("W-SUN") == parse_frequency("1w")._replace(day=6)
    assert parse_frequency("2") == Frequency("", 2)


@pytest.mark.parametrize(
    "name", ["", "1 fortnight", "h1", "-1h", "0h", "0.5mo", "1m", ".", "1mo-32", "1b-0000000", "1h-3"]
)
def test_what_is_no_frequency_is_refused(name: str) -> None:
    with pytest.raises(
        UserError, match=r"^data\.times\.frequency: expected 1s, 15min, .*Try: data\.times\.frequency=null"
    ):
        parse_frequency(name)


FOUND = {
    "15min": np.arange("2024-01-01T00:00", "2024-01-02T00:00", 15, "datetime64[m]"),
    "1d": np.arange("2024-01-01", "2024-03-01", 1, "datetime64[D]"),
    "1w": np.arange("2024-01-01", "2024-03-01", 7, "datetime64[D]"),
    "1mo-1": np.arange("2023-01", "2024-12", 1, "datetime64[M]"),
    "3mo-1": np.arange("2020-01", "2024-12", 3, "datetime64[M]"),
    "12mo-1": np.arange("2000-01", "2024-12", 12, "datetime64[M]"),
    "30d": np.arange("2024-01-01", "2024-12-30", 30, "datetime64[D]"),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_frequency_is_found_though_rows_are_missing(name: str) -> None:
    times = FOUND[name].astype("datetime64[us]")
    kept = np.arange(len(times)) % 5 != 3
    assert str(detect_frequency([times])) == name
    assert str(detect_frequency([times[kept]])) == name


def test_gaps_between_days_of_different_months() -> None:
    times = days("2023-01-01", "2023-02-01", "2023-02-15", "2023-04-01")
    np.testing.assert_allclose(np.diff(Grid(parse_frequency("1mo"), times).positions(times)), [1, 0.5, 1.5])


def test_numbers_have_a_frequency_too() -> None:
    found = detect_frequency([np.array([10.0, 12.0, 14.0, 20.0])])
    assert found == Frequency("", 2)
    grid = Grid(Frequency("", 2), np.array([10.0, 12.0, 20.0]))
    assert grid.positions(np.array([10.0, 12.0, 20.0])).tolist() == [0, 1, 5]
    assert grid.at(np.array([2, 3])).tolist() == [14, 16]
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


def with_times(times: np.ndarray) -> Frame:
    return replace(plain_frame("a", np.arange(1.0, len(times) + 1)[:, None], 0), times=times)


def filled(times: np.ndarray, name: str, **options: Any) -> tuple[Frame, Fit]:
    [frame], fit = on_grid(
        [with_times(times)], parse_frequency(name), **{"fill": None, "zone": None, "is_given": False, **options}
    )
    return frame, fit


def test_missing_rows_become_steps_without_values() -> None:
    frame, fit = filled(days("2024-01-01", "2024-01-02", "2024-01-05"), "1d")
    np.testing.assert_array_equal(frame.values[0, :, 0], [1, 2, np.nan, np.nan, 3])
    np.testing.assert_array_equal(frame.times, np.arange("2024-01-01", "2024-01-06", 1, "datetime64[D]"))
    assert (fit.distances, fit.single, fit.gaps, fit.filled, fit.moved) == (2, 1, 1, 2, 0)
    ends, _ = filled(days("2024-01-31", "2024-02-29", "2024-04-30"), "1mo")
    np.testing.assert_array_equal(ends.values[0, :, 0], [1, 2, np.nan, 3])
    np.testing.assert_array_equal(ends.times, days("2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"))


def test_rows_beside_the_grid_are_moved_and_counted_or_refused() -> None:
    hours = np.arange("2024-01-01T00", "2024-01-02T00", 1, "datetime64[h]").astype("datetime64[us]")
    beside = hours.copy()
    beside[[5, 9]] += np.array([40, 3], "timedelta64[m]")  # the sixth row belongs to hour 6, where a row lies nearer
    frame, fit = filled(beside, "1h")
    np.testing.assert_array_equal(frame.times, hours)
    expected = np.arange(1.0, 25)
    expected[5] = np.nan
    np.testing.assert_array_equal(frame.values[0, :, 0], expected)
    assert (fit.moved, fit.left_out, fit.filled) == (2, 1, 1)
    assert fit.furthest == np.timedelta64(20, "m")
    irregular = days("2024-01-01T03:00", "2024-01-01T17:00", "2024-01-02T10:00", "2024-01-03T20:00", "2024-01-05T01:00")
    with pytest.raises(
        UserError, match=r"^data\.times\.frequency: expected most times of every series 1d apart.* of 5 rows"
    ):
        filled(irregular, "1d")
    frame, fit = filled(irregular, "1d", fill=True)
    assert set(np.diff(frame.times).tolist()) == {timedelta(days=1)}
    assert np.nansum(~np.isnan(frame.values)) + fit.left_out == 5
    frame, fit = filled(irregular, "1d", fill=False)
    np.testing.assert_array_equal(frame.times, irregular)
    assert fit.moved > 2


def test_a_grid_of_far_more_steps_than_rows_is_refused() -> None:
    with pytest.raises(UserError, match=r"at most 20 steps per row.*; got 31,536,001 steps of 1s for 3 rows"):
        filled(days("2023-01-01T00:00:00", "2023-01-01T00:00:01", "2024-01-01T00:00:00"), "1s")
