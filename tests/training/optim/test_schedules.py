from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from rnnkit.errors import UserError
from rnnkit.training import constant, constant_then_decay, cosine, one_cycle, reduce_on_plateau


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)


def rates(make: Callable[[torch.optim.Optimizer], Any], steps: int) -> list[float]:
    """The learning rate of each step."""
    sgd = optimizer()
    made = make(sgd)
    scheduler = made["scheduler"] if isinstance(made, dict) else made
    found = []
    for _ in range(steps):
        found.append(sgd.param_groups[0]["lr"])
        sgd.step()
        scheduler.step()
    return found


def test_cosine_is_torchs() -> None:
    ours = rates(lambda sgd: cosine(sgd, 50, final_share=0.1), 50)
    assert ours == pytest.approx(rates(lambda sgd: CosineAnnealingLR(sgd, 50, eta_min=0.2), 50))


def test_one_cycle_is_torchs_whose_phases_end_on_a_step() -> None:
    torchs = rates(lambda sgd: OneCycleLR(sgd, 2.0, total_steps=101, pct_start=31 / 101, cycle_momentum=False), 101)
    ours = rates(lambda sgd: one_cycle(sgd, 100, warmup_share=0.3, start_share=0.04, final_share=0.04e-4), 101)
    assert ours == pytest.approx(torchs)


def test_warm_up_rises_in_equal_steps_to_the_peak() -> None:
    assert rates(lambda sgd: constant(sgd, 10, warmup_steps=3), 6) == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0, 2.0])
    warmed = rates(lambda sgd: cosine(sgd, 10, warmup_steps=3), 11)
    assert warmed[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert warmed[3:] == sorted(warmed[3:], reverse=True)
    assert warmed[-1] == pytest.approx(0)


@pytest.mark.parametrize("epoch_steps", [1, 7, 2323])
def test_constant_then_decay_halves_at_each_epoch_after_the_fourth(epoch_steps: int) -> None:
    found = rates(
        lambda sgd: constant_then_decay(sgd, 13 * epoch_steps, constant_share=4 / 13, num_decays=9), 13 * epoch_steps
    )
    expected = [2.0 * 0.5 ** max(0, epoch - 3) for epoch in range(13) for _ in range(epoch_steps)]
    assert found == pytest.approx(expected)


def test_reduce_on_plateau_counts_calls_without_a_better_figure() -> None:
    sgd = optimizer()
    made = reduce_on_plateau(sgd, 100, monitor="val/loss", patience=1, factor=0.1)
    assert made["monitor"] == "val/loss"
    seen = []
    for figure in [3.0, 2.0, 2.5, 2.6, 2.7]:
        made["scheduler"].step(figure)
        seen.append(sgd.param_groups[0]["lr"])
    assert seen == pytest.approx([2.0, 2.0, 2.0, 0.2, 0.2])


@pytest.mark.parametrize("name", ["warmup_share", "start_share", "final_share"])
def test_shares_outside_0_and_1_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"schedule\.{name}: expected a number in \[0, 1\); got 1.5"):
        one_cycle(optimizer(), 10, **{name: 1.5})
