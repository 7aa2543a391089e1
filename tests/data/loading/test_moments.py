"""Means, deviations and scales of numbers of any size, against exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnkit.data.forecasting.scaling import location_and_scale
from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.quantities import Curve, Numbers
from rnnkit.data.labeled.standardize import Standardize
from rnnkit.data.loading.moments import mean_and_deviation
from rnnkit.errors import UserError

EXPONENTS = st.integers(-290, 290)


def exactly(values: list[float]) -> tuple[float, float]:
    """Mean and deviation without rounding but at the end."""
    mean = sum(map(Fraction, values)) / len(values)
    variance = sum((Fraction(x) - mean) ** 2 for x in values) / len(values)
    # a square root of a fraction of any size
    shift = (variance.numerator.bit_length() - variance.denominator.bit_length()) // 2 if variance else 0
    return float(mean), math.ldexp(math.sqrt(variance / Fraction(4) ** shift), shift)


@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=20), EXPONENTS, st.sampled_from([0, 1, 1e8, -1e12]))
def test_mean_and_deviation_are_exact_at_any_size_and_level(x: list[float], exponent: int, level: float) -> None:
    values = [(level + value) * 10.0**exponent for value in x]
    mean, deviation = mean_and_deviation(np.array(values))
    expected_mean, expected_deviation = exactly(values)
    largest = max(map(abs, values))
    assert mean == pytest.approx(expected_mean, rel=1e-14, abs=1e-15 * largest)
    assert deviation == pytest.approx(expected_deviation, rel=1e-9, abs=1e-16 * (max(values) - min(values)))


@pytest.mark.parametrize("value", [0.1, 1e15 + 0.125, 1e-310, 0.0, 1.7e308])
def test_numbers_that_are_all_the_same_have_no_deviation(value: float) -> None:
    assert mean_and_deviation(np.full(7, value)) == (value, 0.0)
    location, scale = location_and_scale(np.full((7, 1), value), "standard")
    assert (location[0], scale[0]) == (value, 1.0)


@pytest.mark.parametrize(("level", "unit"), [(1e8, 1.0), (1e13, 1.0), (0.0, 1e-30), (0.0, 1e30), (1.0, 1e-12)])
@pytest.mark.parametrize("scaling", ["standard", "robust"])
def test_series_far_above_their_spread_are_scaled_by_it(scaling: str, level: float, unit: float) -> None:
    x_NC = level + unit * np.sin(np.arange(200.0))[:, None]
    location, scale = location_and_scale(x_NC, scaling)
    z = (x_NC - location) / scale
    assert 1 < z.max() - z.min() < 4


def test_inputs_and_targets_of_labeled_data_are_standardized_in_float64() -> None:
    x = 1e8 + np.sin(np.arange(50.0))
    series = [Labeled(x[:, None], 1e8 + 0.25 * n, n, "") for n in range(4)]
    standardize = Standardize()
    standardize.learn(series)
    expected = (np.sin(np.arange(50.0)) - np.sin(np.arange(50.0)).mean()) / np.sin(np.arange(50.0)).std()
    np.testing.assert_allclose(standardize.encode(series[0])[:, 0].numpy(), expected, atol=1e-6)
    numbers = Numbers()
    numbers.learn(series)
    assert (numbers.location, numbers.scale) == pytest.approx((1e8 + 0.375, 0.25 * math.sqrt(1.25)), rel=1e-15)
    targets = numbers.batch([numbers.encode(one, "train") for one in series], [50] * 4)
    assert targets.tolist() == [1e8, 1e8 + 0.25, 1e8 + 0.5, 1e8 + 0.75]


def test_an_input_that_single_precision_does_not_hold_is_refused_with_its_place() -> None:
    standardize = Standardize()
    standardize.learn([Labeled(np.array([[0.0], [1e-30]]), None, 0, "a.csv line 1")])
    with pytest.raises(UserError, match=r"1e\+20 in channel 0 \(from 0\) at b\.csv line 2"):
        standardize.encode(Labeled(np.array([[0.0], [1e20]]), None, 1, "b.csv line 2"))


def test_an_infinite_target_of_a_curve_is_refused_with_its_place() -> None:
    curve = Labeled(np.zeros((2, 1)), np.array([1.0, math.inf]), 0, "a.npz series 0")
    with pytest.raises(UserError, match=r"got infinity at a\.npz series 0"):
        Curve().read(curve, "train")
