"""The functions of the generated code, over all sizes of their arguments."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rnnkit import scan

FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], float, float, float]] = {
    # The largest relative errors that were measured: 0.8e-7 for exp, 1.5e-7 for sigmoid, 1.4e-7 for tanh.
    "exp": (torch.exp, -87.0, 88.7, 2.5e-7),
    "sigmoid": (torch.sigmoid, -87.0, 30.0, 4e-7),
    "tanh": (torch.tanh, -12.0, 12.0, 4e-7),
}


@pytest.fixture(scope="module")
def computed(written: Any) -> Callable[[Tensor], list[Tensor]]:
    """exp, sigmoid and tanh of [T, 3], by one kernel; in the state, so that they are computed in the loop."""

    def step(c: Any, x: Tensor, state: Any) -> Any:
        values = [function(x + 0 * state) for function, *_ in FUNCTIONS.values()]
        return torch.cat(values, 1), state

    cell = written(step, initial=lambda c, n: c.u.new_zeros(n, 3), output_size=9)

    def compute(x_TI: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return list(scan(cell.to(x_TI.dtype), x_TI[None], engine="compiled")[0][0].chunk(3, 1))

    return compute


@pytest.mark.parametrize("name", FUNCTIONS)
def test_single_precision_is_that_of_a_float(name: str, computed: Any) -> None:
    function, low, high, tolerance = FUNCTIONS[name]
    near_zero = torch.logspace(-30, 0, 30_000)
    x = torch.cat([torch.linspace(low, high, 240_000), near_zero, -near_zero]).view(-1, 3)
    found = computed(x)[list(FUNCTIONS).index(name)]
    exact = function(x.double())
    assert ((found.double() - exact).abs() / exact.abs()).max() < tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_out_they_are_where_they_end(dtype: torch.dtype, computed: Any) -> None:
    far = [1e4, math.inf, 3e38]
    x = torch.tensor([far, [-value for value in far], [math.nan, 0.0, -0.0]], dtype=dtype)
    exp, sigmoid, tanh = (value.tolist() for value in computed(x))
    assert (exp[0], exp[1]) == ([math.inf] * 3, [0.0] * 3)
    assert (sigmoid[0], sigmoid[1]) == ([1.0] * 3, [0.0] * 3)
    assert (tanh[0], tanh[1]) == ([1.0] * 3, [-1.0] * 3)
    assert all(math.isnan(values[2][0]) for values in (exp, sigmoid, tanh))
    assert (exp[2][1], sigmoid[2][1], tanh[2][1]) == (1.0, 0.5, 0.0)


def test_a_saturated_cell_has_gradients_of_zero_not_nan(written: Any, agree: Any) -> None:
    def step(c: Any, x: Tensor, h: Tensor) -> Any:
        a = c.mix(x, h) * 1e4
        h = torch.tanh(a) + torch.sigmoid(a) + torch.relu(a) / 1e4
        return h, h

    agree(written(step), torch.float64)
    agree(written(step), torch.float64, padded=True)
