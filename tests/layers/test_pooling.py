"""Pooling and the convolutions in front, against the same written out row by row."""

import math

import pytest
import torch
from torch.testing import assert_close

from rnnkit.errors import UserError
from rnnkit.layers import AttentionPooling, LastPooling, MaxPooling, MeanPooling, Subsample

LENGTHS = torch.tensor([7, 3, 1, 0])


@pytest.fixture
def y_BTH() -> torch.Tensor:
    """NaN in the padding would spread to all that it has a part in."""
    y_BTH = torch.randn(4, 7, 6)
    for row, length in enumerate(LENGTHS.tolist()):
        y_BTH[row, length:] = math.nan
    return y_BTH.requires_grad_()


POOLINGS = {
    "last": lambda: LastPooling(6),
    "both ends": lambda: LastPooling(6, bidirectional=True),
    "mean": lambda: MeanPooling(6),
    "max": lambda: MaxPooling(6),
    "attention": lambda: AttentionPooling(6),
    "three heads": lambda: AttentionPooling(6, heads=3, hidden_size=4),
}


def by_hand(pool: torch.nn.Module, y_TH: torch.Tensor) -> torch.Tensor:
    """One row without padding."""
    if isinstance(pool, LastPooling):
        return torch.cat([y_TH[-1, :3], y_TH[0, 3:]]) if pool.bidirectional else y_TH[-1]
    if isinstance(pool, MeanPooling):
        return sum(y_TH) / len(y_TH)
    if isinstance(pool, MaxPooling):
        return torch.stack([max(column) for column in y_TH.T])
    assert isinstance(pool, AttentionPooling)
    heads = []
    for v_A in pool.scores.weight:
        scores = [torch.exp(v_A @ torch.tanh(pool.hidden.weight @ y_H + pool.hidden.bias)) for y_H in y_TH]
        heads.append(sum(score / sum(scores) * y_H for score, y_H in zip(scores, y_TH, strict=True)))
    return torch.cat(heads)


@pytest.mark.parametrize("name", POOLINGS)
def test_each_row_is_pooled_over_its_own_steps(name: str, y_BTH: torch.Tensor) -> None:
    pool = POOLINGS[name]()
    pooled_BP = pool(y_BTH, LENGTHS)
    assert pooled_BP.shape == (4, pool.output_size)
    for row, length in enumerate(LENGTHS.tolist()[:3]):
        alone_TH = y_BTH[row, :length].detach()
        assert_close(pooled_BP[row], by_hand(pool, alone_TH))
        assert_close(pool(alone_TH[None])[0], by_hand(pool, alone_TH))
    assert not pooled_BP[3].any()


@pytest.mark.parametrize("name", POOLINGS)
def test_padding_gets_no_gradient(name: str, y_BTH: torch.Tensor) -> None:
    POOLINGS[name]()(y_BTH, LENGTHS).square().sum().backward()
    assert y_BTH.grad is not None
    assert y_BTH.grad.isfinite().all()
    for row, length in enumerate(LENGTHS.tolist()):
        assert not y_BTH.grad[row, length:].any()
    assert y_BTH.grad[0].any()


def test_attention_weights_are_shares_of_the_valid_steps(y_BTH: torch.Tensor) -> None:
    pool = AttentionPooling(6, heads=2)
    weights_BKT = pool.weights(y_BTH.detach().nan_to_num(), LENGTHS)
    assert weights_BKT.shape == (4, 2, 7)
    assert_close(weights_BKT.sum(dim=2), torch.tensor([[1.0, 1.0]] * 3 + [[0.0, 0.0]]))
    assert not weights_BKT[1, :, 3:].any()
    assert (weights_BKT[0] > 0).all()


def test_attention_needs_a_head() -> None:
    with pytest.raises(UserError, match=r"attention_heads: expected 1 or more; got 0"):
        AttentionPooling(6, heads=0)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_subsampled_step_is_the_sum_over_its_neighborhood(stride: int, y_BTH: torch.Tensor) -> None:
    layer = Subsample(6, 4, kernel_size=5, stride=stride)
    y_BTO, lengths = layer(y_BTH.detach(), LENGTHS)
    assert lengths is not None
    assert lengths.tolist() == [math.ceil(length / stride) for length in LENGTHS.tolist()]
    weight_OIK, bias_O = layer.convolution.weight, layer.convolution.bias
    for row, length in enumerate(LENGTHS.tolist()):
        for step, middle in enumerate(range(0, length, stride)):
            around = [(k, middle + k - 2) for k in range(5) if 0 <= middle + k - 2 < length]
            total_O = bias_O + sum(weight_OIK[..., k] @ y_BTH[row, t] for k, t in around)
            assert_close(y_BTO[row, step], total_O.clamp(min=0))
        assert not y_BTO[row, lengths[row] :].any()
    whole_TO, none = layer(y_BTH[:1].detach())
    assert none is None
    assert_close(whole_TO[0], y_BTO[0])


def test_what_no_convolution_can_be_is_refused() -> None:
    with pytest.raises(UserError, match=r"kernel_size: expected an odd number; got 4"):
        Subsample(3, 4, kernel_size=4)
    with pytest.raises(UserError, match=r"stride: expected 1 or more steps; got 0"):
        Subsample(3, 4, stride=0)


@pytest.mark.parametrize("name", POOLINGS)
def test_first_and_second_derivatives_are_those_of_finite_differences(name: str) -> None:
    pool = POOLINGS[name]().double()
    y_BTH = torch.randn(4, 4, 6, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([4, 2, 1, 0])
    torch.autograd.gradcheck(lambda y: pool(y, lengths), y_BTH)
    torch.autograd.gradgradcheck(lambda y: pool(y, lengths), y_BTH)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", POOLINGS)
def test_narrow_numbers_are_pooled_as_wide_ones_and_stay_narrow(name: str, dtype: torch.dtype) -> None:
    pool = POOLINGS[name]()
    y_BTH = torch.randn(3, 200, 6)
    lengths = [200, 7, 0]
    found_BP = pool.to(dtype)(y_BTH.to(dtype), lengths)
    assert found_BP.dtype == dtype
    assert_close(found_BP.float(), pool.float()(y_BTH.to(dtype).float(), lengths), atol=0.03, rtol=0.03)


def test_a_mean_may_be_where_a_sum_is_too_large() -> None:
    y_BTH = torch.full((1, 100, 1), 3000.0, dtype=torch.float16)
    assert MeanPooling(1)(y_BTH, [90]).item() == 3000


@pytest.mark.parametrize("scale", [1e-30, 1e30, -1e30])
@pytest.mark.parametrize("name", ["last", "both ends", "mean", "max"])
def test_values_of_any_size(name: str, scale: float) -> None:
    y_TH = scale * torch.rand(5, 6)
    assert_close(POOLINGS[name]()(y_TH[None], [3])[0] / scale, by_hand(POOLINGS[name](), y_TH[:3]) / scale)


def test_the_largest_of_nothing_but_minus_infinity_is_that() -> None:
    y_BTH = torch.full((1, 3, 1), -torch.inf)
    assert MaxPooling(1)(y_BTH, [2]).item() == -torch.inf


@pytest.mark.parametrize("name", [*POOLINGS, "subsample"])
def test_lengths_of_any_integer_type(name: str) -> None:
    layer = Subsample(6, 4) if name == "subsample" else POOLINGS[name]()
    y_BTH = torch.randn(4, 7, 6)
    expected = layer(y_BTH, LENGTHS)
    for lengths in (LENGTHS.tolist(), LENGTHS.numpy(), LENGTHS.to(torch.uint8), LENGTHS.to(torch.int16)):
        assert_close(layer(y_BTH, lengths), expected)
    with pytest.raises(UserError, match=r"lengths: expected whole numbers of shape \[4\].*long\(\)"):
        layer(y_BTH, LENGTHS.float())
    with pytest.raises(UserError, match=r"lengths: expected values from 0 to the 7 steps of x; got values from 0 to 8"):
        layer(y_BTH, LENGTHS + LENGTHS // 7)
