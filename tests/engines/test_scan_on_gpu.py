"""cuDNN under the native engine: what a CPU cannot show. Warnings are errors, cuDNN's about scattered weights too."""

from functools import partial
from typing import Any

import pytest
import torch

from rnnkit.cells import ElmanCell, GRUCell, LSTMCell, map_state, state_leaves
from rnnkit.engines import scan

pytestmark = pytest.mark.gpu

CELLS = [LSTMCell, GRUCell, ElmanCell, partial(ElmanCell, nonlinearity="relu"), partial(LSTMCell, bias=False)]
each_cell = pytest.mark.parametrize("build", CELLS, ids=["lstm", "gru", "tanh", "relu", "lstm-no-bias"])


@each_cell
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("resets", [False, True])
def test_cudnn_and_the_loop_agree(build: Any, reverse: bool, padded: bool, resets: bool) -> None:
    # In evaluation mode: cuDNN's own modules have no gradients there, a cell has.
    cell = build(3, 5).double().cuda().eval()
    state = map_state(torch.randn_like, cell.initial_state(4))
    x_BTI = torch.randn(4, 9, 3, dtype=torch.float64, device="cuda")
    lengths = torch.tensor([9, 0, 4, 7], device="cuda") if padded else None
    if lengths is not None:
        x_BTI[torch.arange(9, device="cuda") >= lengths[:, None]] = torch.nan
    reset = torch.rand(4, 9, device="cuda") < 0.2 if resets else None
    results = []
    for engine in ("native", "reference"):
        x_BTI = x_BTI.detach().requires_grad_()
        y_BTO, end = scan(cell, x_BTI, state, lengths=lengths, reset=reset, reverse=reverse, engine=engine)
        total = y_BTO.square().sum() + sum(leaf.square().sum() for leaf in state_leaves(end))
        results.append([y_BTO, *state_leaves(end), *torch.autograd.grad(total, [x_BTI, *cell.parameters()])])
    torch.testing.assert_close(*results)


@each_cell
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_carries_its_state_and_stays_finite(build: Any, dtype: torch.dtype) -> None:
    cell = build(3, 5).cuda()
    x_BTI, lengths = torch.randn(4, 9, 3, device="cuda"), torch.tensor([9, 0, 4, 7], device="cuda")
    with torch.autocast("cuda", dtype):
        y_BTO, state = scan(cell, x_BTI, lengths=lengths, engine="native")
        y_BTO, state = scan(cell, x_BTI, state, lengths=lengths, engine="native")
    assert {leaf.dtype for leaf in state_leaves(state)} == {torch.float32}
    y_BTO.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in cell.parameters())
