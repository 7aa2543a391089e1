"""A weight that is computed is computed once a scan, on every engine, with the gradient of what it is computed from."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from rnnkit.cells import ElmanCell, LSTMCell, WeightDrop
from rnnkit.engines import ENGINES, scan
from rnnkit.engines.policy import refusal
from rnnkit.engines.request import Request
from rnnkit.engines.weights import computed_weights, fixed_weights


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.computed = 0

    def forward(self, weight: Tensor) -> Tensor:
        self.computed += 1
        return 2 * weight


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("checkpoint_every", [None, 3])
def test_once_a_scan(engine: str, checkpoint_every: int | None) -> None:
    doubled = Doubled()
    cell, plain = LSTMCell(3, 4).double(), LSTMCell(3, 4).double()
    plain.load_state_dict(cell.state_dict())
    with torch.no_grad():
        plain.weight_hh.mul_(2)
    parametrize.register_parametrization(cell, "weight_hh", doubled)
    x_BTI = torch.randn(2, 7, 3, dtype=torch.float64)
    if refusal(engine, Request(cell, x_BTI, cell.initial_state(2))) is not None:
        pytest.skip(f"{engine} does not run parametrized cells")
    doubled.computed = 0
    y_BTO, _ = scan(cell, x_BTI, engine=engine, checkpoint_every=checkpoint_every)
    wanted, _ = scan(plain, x_BTI, engine="reference")
    torch.testing.assert_close(y_BTO, wanted)
    y_BTO.square().sum().backward()
    wanted.square().sum().backward()
    torch.testing.assert_close(cell.parametrizations.weight_hh.original.grad, 2 * plain.weight_hh.grad)
    assert doubled.computed == 1


def test_weight_norm_trains() -> None:
    cell = parametrizations.weight_norm(ElmanCell(3, 4).double(), "weight_hh")
    direction, size = (cell.parametrizations.weight_hh.original1, cell.parametrizations.weight_hh.original0)
    x_BTI = torch.randn(2, 5, 3, dtype=torch.float64)

    def total() -> Tensor:
        return scan(cell, x_BTI)[0].sin().sum()

    found = torch.autograd.grad(total(), [direction, size])
    for weight, gradient in zip((direction, size), found, strict=True):
        with torch.no_grad():
            nudge = torch.zeros_like(weight)
            nudge.view(-1)[1] = 1e-6
            weight += nudge
            up = total()
            weight -= 2 * nudge
            down = total()
            weight += nudge
        assert gradient.view(-1)[1].item() == pytest.approx((up - down).item() / 2e-6, rel=1e-6)


def test_after_the_scan_the_weight_is_computed_again() -> None:
    cell = WeightDrop(LSTMCell(3, 20), p=0.5)
    with pytest.raises(ValueError, match="x: expected"):
        scan(cell, torch.zeros(2, 4, 5))
    with pytest.raises(ValueError, match="state"):
        scan(cell, torch.zeros(2, 4, 3), torch.zeros(2, 20))  # type: ignore[arg-type]
    scan(cell, torch.zeros(2, 4, 3))
    assert not torch.equal(cell.cell.weight_hh, cell.cell.weight_hh)


def test_torchs_own_cache_around_several_scans_is_heard() -> None:
    cell = WeightDrop(ElmanCell(3, 20), p=0.5)
    x_BTI = torch.randn(2, 4, 3)
    with parametrize.cached():
        first, second = scan(cell, x_BTI), scan(cell, x_BTI)
    torch.testing.assert_close(first, second)
    assert not torch.equal(scan(cell, x_BTI)[0], scan(cell, x_BTI)[0])


def test_other_tensors_can_stand_for_computed_weights_one_inside_the_other() -> None:
    cell = WeightDrop(LSTMCell(3, 4), p=0.5)
    (weight,) = computed_weights(cell)
    assert weight.name == "cell.weight_hh"
    ones, twos = torch.ones(16, 4), torch.full((16, 4), 2.0)
    with fixed_weights([weight._replace(value=ones)]):
        with fixed_weights([weight._replace(value=twos)]):
            assert cell.cell.weight_hh is twos
        assert cell.cell.weight_hh is ones


def test_a_plain_cell_has_none() -> None:
    cell: Any = LSTMCell(3, 4)
    assert computed_weights(cell) == []
    assert [weight.name for weight in computed_weights(parametrizations.orthogonal(cell, "weight_ih"))] == ["weight_ih"]
