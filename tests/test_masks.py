"""The last valid step of a row, against a loop over rows."""

import pytest
import torch

from rnnkit.masks import last_valid


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (4, 5, 3, 2)])
@pytest.mark.parametrize("lengths", [None, [5, 1, 0, 3]])
def test_the_last_valid_step_and_its_gradient(shape: tuple[int, ...], lengths: list[int] | None) -> None:
    y_BT = torch.randn(shape, requires_grad=True)
    ends = [max(0, length - 1) for length in lengths or [5] * 4]
    found = last_valid(y_BT, None if lengths is None else torch.tensor(lengths))
    wanted = torch.stack([y_BT[row, end] for row, end in enumerate(ends)])
    assert torch.equal(found, wanted)
    weights = torch.randn_like(wanted)
    ours, theirs = (torch.autograd.grad((y * weights).sum(), y_BT)[0] for y in (found, wanted))
    assert torch.equal(ours, theirs)
