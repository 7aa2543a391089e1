"""Chaotic time series of the Mackey-Glass equation."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Interval
from numpy.typing import NDArray

from rnnkit.errors import UserError
from rnnkit.ranges import PositiveInt, Seed

STEPS_PER_UNIT = 10
"""Integration steps per unit of time."""
WASHOUT = 1000
"""Units of time that are discarded at the start, so that the series does not depend on its initial history."""


@dataclass(frozen=True)
class MackeyGlass:
    r"""Series of the delay equation of Mackey & Glass (Science 197:287, 1977), sampled once per unit of time.

    .. math::
        \dot{x}(t) = \frac{\beta \, x(t - \tau)}{1 + x(t - \tau)^n} - \gamma \, x(t),
        \qquad \beta = 0.2, \; \gamma = 0.1, \; n = 10

    With :math:`\tau = 17` the series is mildly chaotic and is the usual benchmark of echo-state networks. Jaeger & Haas
    (Science 304:78, 2004) train on 3,000 steps. They report NRMSE84, the root mean square error 84 steps ahead over
    independent continuations, divided by the standard deviation of the series: :math:`10^{-4.2}` for a free-running
    reservoir of 1,000 units, compared to :math:`10^{-1.7}` for the best earlier method.

    The integration uses the fourth-order Runge-Kutta method with a step of 0.1. The equation depends on the past only
    through the delayed value. Within one delay it is therefore linear in x, and all steps of one delay are computed at
    once.

    Args:
        series: number of series. Each starts from its own constant history, drawn between 0.5 and 1.5.
        steps: length of each series in units of time.
        tau: the delay, a multiple of 0.1.
        seed: seed of the histories.

    >>> series = MackeyGlass(series=2, steps=300)()
    >>> list(series), series["0"].shape, bool(0.2 < series["0"].min() < series["0"].max() < 1.4)
    (['0', '1'], (300, 1), True)
    """

    series: PositiveInt = 8
    steps: PositiveInt = 3000
    tau: Annotated[float, Interval(gt=0, le=10_000)] = 17.0
    seed: Seed = 1

    def __post_init__(self) -> None:
        for name in ("series", "steps"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                fix = f"data.generator.{name}=10"
                raise UserError(f"data.generator.{name}", "a whole number, 1 or more", repr(value), fix=fix)
        if not self.tau > 0 or abs(self.tau * STEPS_PER_UNIT - round(self.tau * STEPS_PER_UNIT)) > 1e-9:
            raise UserError("data.generator.tau", "a multiple of 0.1", repr(self.tau), fix="data.generator.tau=17.0")

    def __call__(self) -> dict[str, NDArray[np.float64]]:
        """Generate the series: a dict from the name of each series to its values [steps, 1]."""
        history_S = np.random.default_rng(self.seed).uniform(0.5, 1.5, self.series)
        x_KS = integrate(history_S, self.tau, (WASHOUT + self.steps) * STEPS_PER_UNIT)
        sampled = x_KS[WASHOUT * STEPS_PER_UNIT :][::STEPS_PER_UNIT][: self.steps]
        return {str(number): column[:, None] for number, column in enumerate(sampled.T)}


def integrate(history_S: NDArray[np.float64], tau: float, count: int) -> NDArray[np.float64]:
    """Integrate from constant histories in steps of 0.1. The solutions [count + 1, S] start at time 0.

    Midway between two steps, the delayed value is interpolated by the cubic Hermite polynomial.
    """
    beta, gamma, power, h = 0.2, 0.1, 10, 1 / STEPS_PER_UNIT
    delay = round(tau * STEPS_PER_UNIT)
    # one step of Runge-Kutta for x' = f(t) - gamma x is x -> keep x + first f(t) + middle f(t + h/2) + last f(t + h)
    z = gamma * h
    keep = 1 - z + z**2 / 2 - z**3 / 6 + z**4 / 24
    first = h / 6 * (1 - z + z**2 / 2 - z**3 / 4)
    middle = h / 6 * (4 - 2 * z + z**2 / 2)
    last = h / 6

    def gain(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return beta * x / (1 + x**power)  # type: ignore[no-any-return]

    x_KS = np.broadcast_to(history_S, (delay + 1, len(history_S))).copy()
    slope_KS = np.zeros_like(x_KS)
    powers = keep ** -np.arange(1.0, delay + 1)[:, None]
    found = [x_KS[-1:]]
    for _ in range(-(-count // delay)):
        half = (x_KS[:-1] + x_KS[1:]) / 2 + h / 8 * (slope_KS[:-1] - slope_KS[1:])
        force, force_half = gain(x_KS), gain(half)
        push = first * force[:-1] + middle * force_half + last * force[1:]
        # x_k = keep^k (x_0 + sum of keep^-j push_j)
        block = (x_KS[-1] + np.cumsum(powers * push, 0)) / powers
        slope_KS = force - gamma * np.concatenate([x_KS[-1:], block])
        x_KS = np.concatenate([x_KS[-1:], block])
        found.append(block)
    return np.concatenate(found)[: count + 1]
