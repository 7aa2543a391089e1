"""The generated series against a solver that knows nothing of delays as blocks."""

import numpy as np
import pytest

from rnnkit.data import ForecastData, MackeyGlass
from rnnkit.data.builtin.mackey_glass import integrate
from rnnkit.errors import UserError


def stepped(start: float, tau: float, until: int, h: float) -> list[float]:
    """One Runge-Kutta step after the other, as textbooks have it, with the delayed value between two steps averaged."""
    delay = round(tau / h)
    x = [start] * (delay + 1)
    for _ in range(round(until / h)):
        past, between, now = x[-1 - delay], (x[-1 - delay] + x[-delay]) / 2, x[-delay]

        def slope(value: float, delayed: float) -> float:
            return 0.2 * delayed / (1 + delayed**10) - 0.1 * value

        k1 = slope(x[-1], past)
        k2 = slope(x[-1] + h / 2 * k1, between)
        k3 = slope(x[-1] + h / 2 * k2, between)
        k4 = slope(x[-1] + h * k3, now)
        x.append(x[-1] + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
    return x[delay:]


@pytest.mark.parametrize("tau", [17.0, 30.0, 6.3])
def test_the_equation_is_solved(tau: float) -> None:
    found = integrate(np.array([0.9, 1.2]), tau, 1000)
    for column, start in enumerate((0.9, 1.2)):
        expected = stepped(start, tau, 100, 0.02)
        np.testing.assert_allclose(found[:, column], expected[::5], atol=2e-5)


def test_the_method_is_of_fourth_order_between_its_kinks() -> None:
    """Up to the first delay the equation is linear and has a solution in closed form."""
    force = 0.2 * 1.2 / (1 + 1.2**10)
    time = np.arange(171) / 10
    exact = 10 * force + (1.2 - 10 * force) * np.exp(-0.1 * time)
    np.testing.assert_allclose(integrate(np.array([1.2]), 17.0, 170)[:, 0], exact, atol=1e-9)


def test_the_attractor_is_where_the_literature_has_it() -> None:
    series = MackeyGlass(series=4, steps=2000)()
    values = np.concatenate(list(series.values()))
    assert values.shape == (8000, 1)
    assert 0.2 < values.min() < 0.5
    assert 1.25 < values.max() < 1.4
    assert 0.2 < values.std() < 0.25
    strongest = np.abs(np.fft.rfft(series["0"][:, 0] - series["0"].mean())).argmax()
    assert 2000 / strongest == pytest.approx(50, abs=4)  # its mean period


def test_histories_follow_from_the_seed_and_lead_apart() -> None:
    first, again, other = (MackeyGlass(series=2, steps=50, seed=seed)() for seed in (1, 1, 2))
    assert np.array_equal(first["1"], again["1"])
    assert not np.allclose(first["1"], other["1"], atol=0.05)
    assert not np.allclose(first["0"], first["1"], atol=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"series": 0}, r"^data\.generator\.series: expected a whole number, 1 or more; got 0"),
        ({"steps": 2.5}, r"^data\.generator\.steps: .*got 2\.5"),
        ({"tau": 17.05}, r"^data\.generator\.tau: expected a multiple of 0\.1; got 17\.05"),
        ({"tau": 0}, r"^data\.generator\.tau: "),
    ],
)
def test_settings_that_make_no_sense(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MackeyGlass(**arguments)  # type: ignore[arg-type]


def test_it_is_data_like_any_other() -> None:
    data = ForecastData(
        generator=MackeyGlass(series=2, steps=300), context=20, horizon=84, split={"valid_steps": 90, "test_steps": 90}
    )
    data.setup()
    assert {name: len(windows) for name, windows in data.splits.items()} == {"train": 34, "valid": 14, "test": 14}
    assert data.task_kwargs == {"season": 1, "channels": ["value"]}
