import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.testing import assert_close

from rnnkit.errors import UserError
from rnnkit.training import ClipNorm, ClipPercentile, ClipValue, NoClipping


def parameters(scale: float = 1.0, seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    made = [nn.Parameter(torch.zeros(3, 2)), nn.Parameter(torch.zeros(5))]
    for parameter in made:
        parameter.grad = scale * torch.randn(parameter.shape, generator=generator)
    return made


def gradient(made: list[nn.Parameter]) -> torch.Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in made if parameter.grad is not None])


@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_clipping_by_norm_is_torchs(limit: float) -> None:
    ours, torchs = parameters(), parameters()
    norm, clipped = ClipNorm(limit)(ours)
    assert_close(norm, clip_grad_norm_(torchs, limit))
    assert_close(gradient(ours), gradient(torchs))
    assert bool(clipped) == (limit == 0.5)


@pytest.mark.parametrize("limit", [0.3, 100.0])
def test_clipping_by_value_is_torchs(limit: float) -> None:
    ours, torchs = parameters(), parameters()
    norm, clipped = ClipValue(limit)(ours)
    assert_close(norm, gradient(torchs).norm())
    clip_grad_value_(torchs, limit)
    assert_close(gradient(ours), gradient(torchs))
    assert bool(clipped) == (limit == 0.3)


def test_without_clipping_only_the_norm_is_measured() -> None:
    made = parameters()
    before = gradient(made)
    norm, clipped = NoClipping()(made)
    assert_close(norm, before.norm())
    assert torch.equal(gradient(made), before)
    assert not clipped


def test_the_limit_is_the_percentile_of_the_recent_norms_the_new_one_included() -> None:
    clip = ClipPercentile(percentile=50.0, history=5)
    scales = [1.0, 4.0, 2.0, 8.0, 1.0, 0.5, 16.0, 3.0]
    norms: list[float] = []
    for step, scale in enumerate(scales):
        made = parameters(scale, seed=step)
        raw = gradient(made)
        norms.append(raw.norm().item())
        norm, clipped = clip(made)
        limit = np.inf if step == 0 else np.percentile(norms[-5:], 50)
        assert norm.item() == pytest.approx(norms[-1])
        assert bool(clipped) == (norms[-1] > limit)
        assert_close(gradient(made), raw * min(1.0, limit / norms[-1]))


def test_a_gradient_that_is_not_finite_does_not_enter_the_history() -> None:
    clip = ClipPercentile(percentile=50.0, history=5)
    clip(parameters(1.0))
    clip(parameters(float("inf")))
    made = parameters(100.0)
    assert bool(clip(made)[1])
    assert gradient(made).isfinite().all()


def test_the_history_survives_a_checkpoint() -> None:
    clip, resumed = ClipPercentile(history=4), ClipPercentile(history=4)
    for step in range(3):
        clip(parameters(1.0 + step, seed=step))
    resumed.load_state_dict(clip.state_dict())
    a, b = parameters(9.0), parameters(9.0)
    clip(a)
    resumed(b)
    assert torch.equal(gradient(a), gradient(b))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClipNorm(0), r"clipping\.max_norm: expected a number above 0; got 0"),
        (lambda: ClipValue(float("nan")), r"clipping\.max_value: expected a number above 0; got nan"),
        (lambda: ClipPercentile(100), r"clipping\.percentile: expected between 0 and 100"),
        (lambda: ClipPercentile(history=1), r"clipping\.history: expected 2 or more"),
    ],
)
def test_limits_that_make_no_sense_are_refused(make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()  # type: ignore[operator]
