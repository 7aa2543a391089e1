"""The cells against torch's own, and the one torch does not have against its equation written out."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rnnkit.cells import ElmanCell, GRUCell, LSTMCell, LSTMState

PAIRS: dict[str, tuple[Any, Any]] = {
    "lstm": (LSTMCell, nn.LSTMCell),
    "gru": (GRUCell, nn.GRUCell),
    "tanh": (ElmanCell, nn.RNNCell),
    "relu": (
        lambda *a, **k: ElmanCell(*a, nonlinearity="relu", **k),
        lambda *a, **k: nn.RNNCell(*a, nonlinearity="relu", **k),
    ),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", PAIRS)
def test_a_step_and_its_gradients_are_torchs(name: str, bias: bool) -> None:
    ours, theirs = (build(4, 6, bias=bias).double() for build in PAIRS[name])
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())
    nn.init.normal_(ours.weight_ih)
    theirs.load_state_dict(ours.state_dict())
    x_BI, h_BH, c_BH = (torch.randn(3, size, dtype=torch.float64) for size in (4, 6, 6))
    if name == "lstm":
        found = torch.cat(ours(x_BI, LSTMState(h_BH, c_BH))[1])
        wanted = torch.cat(theirs(x_BI, (h_BH, c_BH)))
    else:
        found, wanted = ours(x_BI, h_BH)[1], theirs(x_BI, h_BH)
    torch.testing.assert_close(found, wanted)
    probe = torch.randn_like(found)
    (found * probe).sum().backward()
    (wanted * probe).sum().backward()
    for (key, mine), torchs in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, torchs.grad, msg=key)


@pytest.mark.parametrize("name", PAIRS)
def test_parameters_have_torchs_names_and_order(name: str) -> None:
    ours, theirs = (build(4, 6) for build in PAIRS[name])
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [
        (k, v.shape) for k, v in theirs.state_dict().items()
    ]


def test_absent_biases_are_none_as_in_torch() -> None:
    cell = GRUCell(4, 6, bias=False)
    assert cell.bias_ih is None
    assert cell.bias_hh is None
    assert set(cell.state_dict()) == {"weight_ih", "weight_hh"}


def test_gru_with_the_reset_before_is_the_papers_equation() -> None:
    cell = GRUCell(4, 6, reset_after=False).double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter)
    x, h = np.random.default_rng(0).normal(size=4), np.random.default_rng(1).normal(size=6)
    W, U, b, d = (p.detach().numpy() for p in (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh))
    r, z, n = slice(0, 6), slice(6, 12), slice(12, 18)

    def sigmoid(a: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-a))

    reset = sigmoid(W[r] @ x + b[r] + U[r] @ h + d[r])
    update = sigmoid(W[z] @ x + b[z] + U[z] @ h + d[z])
    new = np.tanh(W[n] @ x + b[n] + U[n] @ (reset * h) + d[n])
    output, state = cell(torch.from_numpy(x)[None], torch.from_numpy(h)[None])
    np.testing.assert_allclose(output[0].detach().numpy(), (1 - update) * new + update * h)
    assert output is state
