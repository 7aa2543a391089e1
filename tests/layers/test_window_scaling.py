"""The scale of a window against numpy, its inverse, and that nothing outside the known values matters."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from rnnkit.errors import UserError
from rnnkit.layers import WindowScaling
from rnnkit.layers.window_scaling import WINDOW_SCALINGS, scaled, window_features


def windows() -> torch.Tensor:
    x_BTC = 5 + 3 * torch.randn(6, 11, 2)
    return x_BTC.masked_fill(torch.rand_like(x_BTC) < 0.3, torch.nan)


BY_NUMPY = {
    "none": lambda x: (0.0, 1.0),
    "mean": lambda x: (0.0, np.abs(x).mean()),
    "standard": lambda x: (x.mean(), x.std()),
    "robust": lambda x: (np.quantile(x, 0.5), np.quantile(x, 0.75) - np.quantile(x, 0.25)),
    "reversible": lambda x: (x.mean(), x.std()),
    "last": lambda x: (x[-1], 1.0),
}


@pytest.mark.parametrize("kind", WINDOW_SCALINGS)
def test_location_and_scale_are_those_of_the_known_values(kind: str) -> None:
    x_BTC = windows()
    location_BC, scale_BC = WindowScaling(kind, 2)(x_BTC)
    for b in range(6):
        for c in range(2):
            known = x_BTC[b, :, c].double().numpy()
            expected = BY_NUMPY[kind](known[~np.isnan(known)])
            assert (location_BC[b, c].item(), scale_BC[b, c].item()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", WINDOW_SCALINGS)
def test_the_inverse_gives_the_values_back_and_missing_ones_become_zero(kind: str) -> None:
    x_BTC = windows()
    scaling = WindowScaling(kind, 2)
    if kind == "reversible":
        torch.nn.init.normal_(scaling.log_gamma)
        torch.nn.init.normal_(scaling.beta)
    location_BC, scale_BC = scaling(x_BTC)
    z_BTC = scaled(x_BTC, location_BC, scale_BC)
    assert (scale_BC > 0).all()
    assert (z_BTC[x_BTC.isnan()] == 0).all()
    back_BTC = location_BC[:, None] + scale_BC[:, None] * z_BTC
    assert_close(back_BTC[~x_BTC.isnan()], x_BTC[~x_BTC.isnan()])


def test_reversible_scaling_is_the_normalization_and_the_affine_map_of_the_paper() -> None:
    x_BTC = torch.randn(3, 9, 2) * 4 + 1
    scaling = WindowScaling("reversible", 2)
    gamma_C, beta_C = torch.tensor([0.5, 2.0]), torch.tensor([-1.0, 3.0])
    scaling.load_state_dict({"log_gamma": gamma_C.log(), "beta": beta_C})
    normal_BTC = (x_BTC - x_BTC.mean(1, keepdim=True)) / x_BTC.std(1, keepdim=True, correction=0)
    assert_close(scaled(x_BTC, *scaling(x_BTC)), gamma_C * normal_BTC + beta_C)


@pytest.mark.parametrize("kind", WINDOW_SCALINGS)
def test_padding_and_lost_steps_change_nothing(kind: str) -> None:
    x_BTC = windows()
    padded_BTC = torch.cat([x_BTC, torch.full((6, 4, 2), torch.nan)], 1)
    for alone, beside in zip(WindowScaling(kind, 2)(x_BTC), WindowScaling(kind, 2)(padded_BTC), strict=True):
        assert_close(alone, beside)


@pytest.mark.parametrize("kind", WINDOW_SCALINGS)
@pytest.mark.parametrize("value", [0.0, 7.0, 1e6, torch.nan])
def test_a_constant_window_and_an_empty_one_have_a_scale_too(kind: str, value: float) -> None:
    x_BTC = torch.full((1, 5, 1), value, requires_grad=True)
    location_BC, scale_BC = WindowScaling(kind, 1)(x_BTC)
    expected = value if kind == "mean" and value > 0 else 1.0
    assert scale_BC.item() == pytest.approx(expected)
    assert location_BC.isfinite().all()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UserError, match=r"model.scaling: expected one of none, .*got 'minmax'"):
        WindowScaling("minmax", 1)


def test_features_of_a_window_tell_location_and_scale_and_stay_small() -> None:
    location_BC, scale_BC = torch.tensor([[-1e6, 0.0, 3.0]]), torch.tensor([[1e6, 1.0, 1e-3]])
    features_BF = window_features(location_BC, scale_BC)
    assert features_BF.abs().max() < 15
    back_BC = features_BF[:, :3].sign() * features_BF[:, :3].abs().expm1()
    assert_close(back_BC, location_BC)
    assert_close(features_BF[:, 3:].exp(), scale_BC)


@pytest.mark.parametrize("kind", WINDOW_SCALINGS)
@pytest.mark.parametrize("power", [-100, -40, 0, 40, 100])
def test_values_of_any_size_are_scaled_as_those_near_one(kind: str, power: int) -> None:
    x_BTC = windows()
    factor = 2.0**power  # rounds nothing
    expected = WindowScaling(kind, 2)(x_BTC)
    found = WindowScaling(kind, 2)(factor * x_BTC)
    scale_follows = kind not in ("none", "last")
    assert_close(found[0] / factor, expected[0], rtol=1e-6, atol=0)
    assert_close(found[1] / (factor if scale_follows else 1), expected[1], rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", WINDOW_SCALINGS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64])
def test_windows_of_any_dtype(kind: str, dtype: torch.dtype) -> None:
    """In float16 the squares of these values, and their sum, would be infinite."""
    x_BTC = (20_000 + 3_000 * torch.randn(3, 40, 2)).to(dtype)
    location_BC, scale_BC = WindowScaling(kind, 2)(x_BTC)
    expected = WindowScaling(kind, 2)(x_BTC.double())
    own = dtype if dtype.is_floating_point else torch.float32
    assert location_BC.dtype == own or kind == "reversible"  # its parameters are float32
    for found, wanted in zip((location_BC, scale_BC), expected, strict=True):
        assert_close(found.double(), wanted.double(), rtol=1e-2, atol=0)


@pytest.mark.parametrize("kind", [*WINDOW_SCALINGS])
def test_first_and_second_derivatives_are_those_of_finite_differences(kind: str) -> None:
    x_BTC = (
        5 + 3 * torch.randn(2, 5, 2, dtype=torch.float64)
    ).requires_grad_()  # no ties, at which quartiles have kinks
    scaling = WindowScaling(kind, 2).double()

    def values(x_BTC: torch.Tensor) -> torch.Tensor:
        return scaled(x_BTC, *scaling(x_BTC))

    torch.autograd.gradcheck(values, x_BTC)
    torch.autograd.gradgradcheck(values, x_BTC)


@pytest.mark.parametrize("kind", WINDOW_SCALINGS)
@pytest.mark.parametrize("value", [0.0, 7.0, torch.nan])
def test_a_constant_window_has_a_gradient(kind: str, value: float) -> None:
    x_BTC = torch.full((1, 5, 1), value, requires_grad=True)
    location_BC, scale_BC = WindowScaling(kind, 1)(x_BTC)
    total = location_BC.sum() + scale_BC.sum() + 0 * x_BTC.nan_to_num().sum()
    (gradient_BTC,) = torch.autograd.grad(total, x_BTC)
    assert gradient_BTC.isfinite().all()


@pytest.mark.parametrize("kind", ["mean", "standard", "robust", "reversible"])
@pytest.mark.parametrize("unit", [1e-30, 1e-9, 1e30])
def test_windows_of_any_size_look_alike(kind: str, unit: float) -> None:
    x_BTC = torch.randn(3, 20, 1, dtype=torch.float64)
    scaling = WindowScaling(kind, 1)
    plain, sized = (scaled(x, *scaling(x), torch.float32) for x in (x_BTC, unit * x_BTC))
    assert_close(sized, plain)


def test_the_spread_of_a_window_in_float64_is_taken_in_float64_and_then_cast() -> None:
    """A part in 100,000 of the level: a window in float32 keeps two digits of it."""
    noise_BTC = torch.randn(3, 20, 1, dtype=torch.float64)
    scaling = WindowScaling("standard", 1)
    high_BTC = 1e10 + 1e5 * noise_BTC
    location_BC, scale_BC = scaling(high_BTC)
    assert location_BC.dtype == scale_BC.dtype == torch.float64
    z_BTC = scaled(high_BTC, location_BC, scale_BC, torch.float32)
    assert z_BTC.dtype == torch.float32
    assert_close(z_BTC, scaled(noise_BTC, *scaling(noise_BTC)).float())
    assert window_features(location_BC, scale_BC, torch.float32).dtype == torch.float32
