"""RNN and torch.nn's LSTM, GRU and RNN are the same networks, both ways."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rnnkit
from rnnkit.cells import Cell, GRUCell, LSTMCell, map_state
from rnnkit.errors import UserError
from rnnkit.layers import RNN, LockedDropout

MODULES: dict[str, Any] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "tanh": nn.RNN,
    "relu": partial(nn.RNN, nonlinearity="relu"),
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_there_and_back(name: str, bias: bool, bidirectional: bool, num_layers: int) -> None:
    options = {"bias": bias, "bidirectional": bidirectional, "num_layers": num_layers}
    module = MODULES[name](3, 5, batch_first=True, dtype=torch.float64, **options)
    rnn = RNN.from_torch(module)
    x_BTI = torch.randn(2, 6, 3, dtype=torch.float64)
    wanted, wanted_state = module(x_BTI)
    wanted, wanted_state = module(x_BTI, wanted_state)
    state = rnn(x_BTI)[1]
    found, found_state = rnn(x_BTI, state)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(rnn.state_to_torch(found_state), wanted_state)
    torch.testing.assert_close(rnn.state_from_torch(wanted_state), found_state)

    back = rnn.to_torch()
    assert type(back) is type(module)
    assert back.batch_first
    assert repr(back) == repr(module)
    assert list(back.state_dict()) == list(module.state_dict())
    torch.testing.assert_close(dict(back.state_dict()), dict(module.state_dict()), rtol=0, atol=0)
    torch.testing.assert_close(back(x_BTI)[0], module(x_BTI)[0])


def test_weights_are_copies_and_keep_what_they_were() -> None:
    module = nn.LSTM(3, 5, num_layers=2, dropout=0.3, dtype=torch.bfloat16).eval()
    module.weight_hh_l1.requires_grad_(False)
    rnn = RNN.from_torch(module)
    assert not rnn.training
    assert isinstance(rnn.dropout, nn.Dropout)
    assert rnn.dropout.p == 0.3
    assert rnn.cells[0].weight_ih.dtype == torch.bfloat16
    assert not rnn.cells[1].weight_hh.requires_grad
    assert rnn.cells[0].weight_hh.requires_grad
    with torch.no_grad():
        module.weight_ih_l0.zero_()
    assert rnn.cells[0].weight_ih.any()
    back = rnn.to_torch()
    assert back.dropout == 0.3
    assert not back.training
    assert back.weight_ih_l0.dtype == torch.bfloat16
    assert not back.weight_hh_l1.requires_grad


def test_a_converted_module_trains() -> None:
    module = RNN(LSTMCell, 3, 5).to_torch()
    module(torch.randn(2, 4, 3))[0].sum().backward()
    assert module.weight_hh_l0.grad is not None
    before = module(torch.ones(1, 2, 3))[0]
    with torch.no_grad():
        module.weight_ih_l0.mul_(2)
    assert not torch.equal(module(torch.ones(1, 2, 3))[0], before)


def test_a_single_layer_drops_its_useless_dropout_in_silence() -> None:
    assert RNN(LSTMCell, 3, 5, dropout=0.5).to_torch().dropout == 0


class Other(GRUCell):
    pass


class Foreign(Cell[Tensor]):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, self.output_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return state, state


@pytest.mark.parametrize(
    ("rnn", "message"),
    [
        (lambda: RNN(Foreign, 3, 5), r"to_torch: expected a network that torch.nn has too; got Foreign"),
        (lambda: RNN(Other, 3, 5), r"to_torch: .*got Other"),
        (lambda: RNN(partial(GRUCell, reset_after=False), 3, 5), r"to_torch: .*got a GRUCell with reset_after=False"),
        (
            lambda: RNN(GRUCell, 3, 5, num_layers=2, residual=True),
            r"to_torch: .*got residual=True.*model.residual=false",
        ),
        (lambda: RNN(GRUCell, 3, 5, dropout=LockedDropout(0.1)), r"to_torch: .*got LockedDropout between layers"),
    ],
)
def test_what_torch_does_not_have_is_refused(rnn: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        rnn().to_torch()


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: nn.LSTM(3, 5, proj_size=2), r"module: expected no projection.*got proj_size=2"),
        (lambda: nn.LSTMCell(3, 5), r"module: expected a torch.nn.LSTM, GRU or RNN; got LSTMCell"),
    ],
)
def test_what_rnnkit_does_not_have_is_refused(module: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        RNN.from_torch(module())


def test_states_of_a_stack_survive_the_trip() -> None:
    rnn = RNN(LSTMCell, 3, 5, num_layers=2, bidirectional=True)
    state = map_state(torch.randn_like, rnn.initial_state(2))
    h_n, c_n = rnn.state_to_torch(state)
    assert h_n.shape == c_n.shape == (4, 2, 5)
    torch.testing.assert_close(rnn.state_from_torch((h_n, c_n)), state, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False}])
def test_the_namesakes_compute_what_those_of_torch_compute(name: str, options: dict[str, Any]) -> None:
    ours = getattr(rnnkit, name)(3, 5, **options)
    theirs = ours.to_torch()
    assert type(theirs) is getattr(nn, name)
    x_BTI = torch.randn(2, 7, 3)
    torch.testing.assert_close(ours(x_BTI)[0], theirs(x_BTI)[0])
