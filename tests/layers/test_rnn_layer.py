"""Depth and direction over any cell."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnnkit.cells import Cell, ElmanCell, GRUCell, LSTMCell, LSTMState, map_state, state_leaves
from rnnkit.engines import scan
from rnnkit.errors import UserError
from rnnkit.layers import RNN, BothDirections, LockedDropout


class Wide(Cell[Tensor]):
    """An output three times the hidden size: the layer must go by `output_size`."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, 3 * hidden_size
        self.map = nn.Linear(input_size + hidden_size, hidden_size)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.map.weight.new_zeros(batch_size, self.output_size // 3)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        h_BH = torch.tanh(self.map(torch.cat([x_BI, state], dim=-1)))
        return torch.cat([h_BH, h_BH, h_BH], dim=-1), h_BH


ANY_CELL = pytest.mark.parametrize("cell", [LSTMCell, GRUCell, ElmanCell, Wide])
DIRECTIONS = pytest.mark.parametrize("bidirectional", [False, True])


@ANY_CELL
@DIRECTIONS
@pytest.mark.parametrize("num_layers", [1, 3])
def test_shapes_and_state_structure(cell: Any, bidirectional: bool, num_layers: int) -> None:
    rnn = RNN(cell, 3, 4, num_layers=num_layers, bidirectional=bidirectional)
    y_BTO, state = rnn(torch.randn(2, 5, 3))
    assert y_BTO.shape == (2, 5, rnn.output_size)
    assert rnn.output_size == (2 if bidirectional else 1) * rnn.cells[0].output_size
    assert type(state) is tuple
    assert len(state) == num_layers
    own = type(rnn.cells[0].initial_state(1))
    for layer in state:
        parts = layer if bidirectional else (layer,)
        assert type(layer) is (BothDirections if bidirectional else own)
        assert all(type(part) is own for part in parts)
    shapes = [leaf.shape for leaf in state_leaves(rnn.initial_state(2))]
    assert shapes == [leaf.shape for leaf in state_leaves(state)]
    again, _ = rnn(torch.randn(2, 5, 3), map_state(Tensor.detach, state))
    assert again.shape == y_BTO.shape


@ANY_CELL
def test_a_stack_is_its_scans_one_after_another(cell: Any) -> None:
    rnn = RNN(cell, 3, 4, num_layers=2, bidirectional=True, residual=True)
    x_BTI, lengths = torch.randn(2, 5, 3), torch.tensor([5, 2])
    state = map_state(torch.randn_like, rnn.initial_state(2))
    reset = torch.tensor([False, True])

    def both(layer: int, x_BTI: Tensor) -> tuple[Tensor, Any]:
        pair = [
            scan(rnn.cells[2 * layer + d], x_BTI, state[layer][d], lengths=lengths, reset=reset, reverse=d == 1)
            for d in (0, 1)
        ]
        return torch.cat([pair[0][0], pair[1][0]], dim=-1), BothDirections(pair[0][1], pair[1][1])

    first, end_0 = both(0, x_BTI)
    second, end_1 = both(1, first)
    torch.testing.assert_close(rnn(x_BTI, state, lengths=lengths, reset=reset), (second + first, (end_0, end_1)))


@ANY_CELL
@DIRECTIONS
def test_padding_changes_nothing(cell: Any, bidirectional: bool) -> None:
    rnn = RNN(cell, 3, 4, num_layers=2, bidirectional=bidirectional, residual=True).double()
    x_BTI = torch.randn(2, 6, 3, dtype=torch.float64)
    x_BTI[1, 4:] = torch.nan
    x_BTI.requires_grad_()
    y_BTO, state = rnn(x_BTI, lengths=torch.tensor([6, 4]))
    alone, alone_state = rnn(x_BTI[1:, :4])
    torch.testing.assert_close(y_BTO[1:, :4], alone)
    assert not y_BTO[1, 4:].any()
    torch.testing.assert_close(map_state(lambda leaf: leaf[1:], state), alone_state)
    y_BTO.sum().backward()
    assert x_BTI.grad is not None
    assert x_BTI.grad.isfinite().all()
    assert not x_BTI.grad[1, 4:].any()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in rnn.parameters())


@ANY_CELL
def test_two_windows_with_the_carry_are_one(cell: Any) -> None:
    rnn = RNN(cell, 3, 4, num_layers=2, residual=True)
    x_BTI = torch.randn(2, 6, 3)
    whole = rnn(x_BTI)
    first, middle = rnn(x_BTI[:, :2])
    rest, end = rnn(x_BTI[:, 2:], middle)
    torch.testing.assert_close((torch.cat([first, rest], dim=1), end), whole)


@ANY_CELL
@DIRECTIONS
def test_engines_agree(cell: Any, bidirectional: bool) -> None:
    rnn = RNN(cell, 3, 4, num_layers=2, bidirectional=bidirectional)
    x_BTI, reset = torch.randn(2, 6, 3), torch.rand(2, 6) < 0.3
    torch.testing.assert_close(rnn(x_BTI, reset=reset), rnn(x_BTI, reset=reset, engine="reference"))


def test_dropout_stands_between_layers_and_nowhere_else() -> None:
    x_BTI = torch.randn(2, 6, 3)
    one = RNN(GRUCell, 3, 8, dropout=0.9)
    torch.testing.assert_close(one(x_BTI), one(x_BTI))
    two = RNN(GRUCell, 3, 8, num_layers=2, dropout=0.9)
    first, second = two(x_BTI)[1], two(x_BTI)[1]
    torch.testing.assert_close(first[0], second[0])
    assert not torch.allclose(first[1], second[1])
    two.eval()
    torch.testing.assert_close(two(x_BTI), two(x_BTI))


def test_a_dropout_module_is_used_as_it_is() -> None:
    locked = LockedDropout(0.5)
    rnn = RNN(GRUCell, 3, 8, num_layers=2, dropout=locked)
    seen: list[Tensor] = []
    locked.register_forward_hook(lambda module, inputs, output: seen.append(output))
    rnn(torch.randn(2, 6, 3))
    assert rnn.dropout is locked
    assert torch.equal(seen[0][:, 0] == 0, seen[0][:, 5] == 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_layers": 0}, r"num_layers: expected .* at least 1; got 0\. Try: model.num_layers=1"),
        ({"dropout": 1.0}, r"dropout: expected a probability .*below 1; got 1.0\. Try: model.dropout=0.5"),
        ({"dropout": -0.1}, r"dropout: .*got -0.1"),
        ({"hidden_size": 0}, r"hidden_size: .*got 0"),
        (
            {"cell": LSTMCell(3, 4)},
            r"cell: expected a factory.*got a LSTMCell instance\. Try: model.cell._partial_=true",
        ),
        ({"cell": nn.Linear}, r"cell: expected a factory.*got one that returns Linear"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RNN(**{"cell": LSTMCell, "input_size": 3, "hidden_size": 4, **options})


@pytest.mark.parametrize(
    ("bidirectional", "state", "message"),
    [
        (False, [None, None], r"state: expected a tuple with one state for each of 2 layers; got list"),
        (False, (torch.zeros(2, 4),), r"each of 2 layers; got tuple of 1"),
        (False, LSTMState(torch.zeros(2, 4), torch.zeros(2, 4)), r"each of 2 layers; got LSTMState of 2"),
        (True, (torch.zeros(2, 4), torch.zeros(2, 4)), r"state: expected BothDirections\(.*got Tensor"),
        (False, (torch.zeros(2, 4), torch.zeros(2, 5)), r"state: expected shape \[2, 4\]; got shape \[2, 5\]"),
    ],
)
def test_wrong_states(bidirectional: bool, state: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        RNN(GRUCell, 3, 4, num_layers=2, bidirectional=bidirectional)(torch.zeros(2, 5, 3), state)


def test_the_factory_may_be_a_partial() -> None:
    rnn = RNN(partial(GRUCell, reset_after=False, bias=False), 3, 4)
    assert not rnn.cells[0].reset_after
    assert set(rnn.state_dict()) == {"cells.0.weight_ih", "cells.0.weight_hh"}


@pytest.mark.parametrize("padded", [False, True])
def test_a_layer_compiles_and_exports_whole(padded: bool) -> None:
    rnn = RNN(LSTMCell, 3, 4, num_layers=2, bidirectional=True)
    x_BTI = torch.randn(2, 5, 3)
    options = {"lengths": torch.tensor([5, 2])} if padded else {}
    wanted = rnn(x_BTI, **options)
    exported = torch.export.export(rnn, (x_BTI,), options).module()(x_BTI, **options)
    torch.testing.assert_close(exported[0], wanted[0])
    compiled = torch.compile(rnn, backend="eager", fullgraph=True)(x_BTI, **options)
    torch.testing.assert_close(compiled, wanted)
