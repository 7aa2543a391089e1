import pytest
import torch

from rnnkit.errors import UserError
from rnnkit.layers import LockedDropout


def test_one_mask_over_time_and_another_for_each_row() -> None:
    torch.manual_seed(0)
    y_BTI = LockedDropout(0.25)(torch.ones(50, 7, 200))
    assert torch.equal(y_BTI, y_BTI[:, :1].expand_as(y_BTI))
    assert not torch.equal(y_BTI[0], y_BTI[1])
    assert y_BTI.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert y_BTI.mean().item() == pytest.approx(1, abs=0.02)


def test_identity_in_evaluation_and_without_dropout() -> None:
    x_BTI = torch.randn(2, 3, 4)
    assert LockedDropout(0.5).eval()(x_BTI) is x_BTI
    assert LockedDropout(0.0)(x_BTI) is x_BTI


def test_the_dtype_is_kept() -> None:
    assert LockedDropout(0.5)(torch.ones(1, 2, 3, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("p", [-0.1, 1.0, 2, float("nan")])
def test_a_probability_out_of_range_is_refused(p: float) -> None:
    with pytest.raises(UserError, match=r"p: expected a probability"):
        LockedDropout(p)
