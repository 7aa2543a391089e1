"""Layers of different widths."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from rnnkit.cells import ElmanCell, GRUCell, LSTMCell, Zoneout, wrapped
from rnnkit.engines import scan
from rnnkit.errors import UserError
from rnnkit.layers import RNN, WordDropout


@pytest.mark.parametrize("bidirectional", [False, True])
def test_each_layer_is_as_wide_as_it_is_told(bidirectional: bool) -> None:
    rnn = RNN(LSTMCell, 3, [6, 4], num_layers=2, bidirectional=bidirectional)
    directions = 2 if bidirectional else 1
    layers = [nn.LSTM(3, 6, bidirectional=bidirectional, batch_first=True)]
    layers += [nn.LSTM(6 * directions, 4, bidirectional=bidirectional, batch_first=True)]
    x_BTI = torch.randn(2, 5, 3)
    wanted = x_BTI
    for number, layer in enumerate(layers):
        for direction, suffix in enumerate(("", "_reverse")[:directions]):
            weights = rnn.cell_at(directions * number + direction).state_dict()
            layer.load_state_dict({f"{name}_l0{suffix}": value for name, value in weights.items()}, strict=False)
        wanted, _ = layer(wanted)
    found, state = rnn(x_BTI)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(rnn(x_BTI, rnn.initial_state(2)), (found, state))
    assert rnn.output_size == 4 * directions


def test_one_width_in_a_list_for_each_layer_is_one_width_for_all() -> None:
    torch.manual_seed(0)
    one = RNN(GRUCell, 3, 4, num_layers=2)
    torch.manual_seed(0)
    listed = RNN(GRUCell, 3, [4, 4], num_layers=2)
    torch.testing.assert_close(listed.state_dict(), one.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": [4, 4]}, r"hidden_size: expected one width, or one for each of 3 layers; got \[4, 4\]"),
        ({"hidden_size": [4, 0, 4]}, r"hidden_size: expected a whole number of at least 1; got 0"),
        ({"hidden_size": [4, 4, 5], "residual": True}, r"residual: expected layers of one width.*got 4 and 5"),
    ],
)
def test_widths_that_do_not_fit_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RNN(GRUCell, 3, num_layers=3, **options)  # type: ignore[arg-type]


def test_torch_has_no_layers_of_different_widths() -> None:
    with pytest.raises(UserError, match=r"to_torch: .*got layers \[4, 5\] wide"):
        RNN(GRUCell, 3, [4, 5], num_layers=2).to_torch()


def test_word_dropout_drops_a_share_of_the_vocabulary() -> None:
    dropout = WordDropout(20_000, p=0.3)
    ids_BT = torch.arange(20_000).view(4, -1)
    y_BTI = dropout(torch.ones(4, 5_000, 2), ids_BT)
    assert y_BTI.eq(0).float().mean().item() == pytest.approx(0.3, abs=0.013)
    assert y_BTI.mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(y_BTI[..., 0], y_BTI[..., 1])
    assert torch.equal(dropout.eval()(y_BTI, ids_BT), y_BTI)
    with pytest.raises(UserError, match="p: expected a probability"):
        WordDropout(5, p=1.0)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_each_layer_is_of_the_kind_it_is_told(bidirectional: bool) -> None:
    kinds: list[Any] = [GRUCell, LSTMCell, partial(wrapped, cell=ElmanCell, wrappers=[partial(Zoneout, p=0.1)])]
    rnn = RNN(kinds, 3, [4, 5, 6], num_layers=3, bidirectional=bidirectional)
    directions = 2 if bidirectional else 1
    names = [type(cell).__name__ for cell in rnn.cells]
    assert names == [name for name in ("GRUCell", "LSTMCell", "Zoneout") for _ in range(directions)]
    x = torch.randn(2, 7, 3)
    y, state = rnn.eval()(x, lengths=[7, 3])
    for layer in range(3):
        cells = [rnn.cell_at(directions * layer + d) for d in range(directions)]
        parts = [scan(cell, x, reverse=d == 1, lengths=[7, 3])[0] for d, cell in enumerate(cells)]
        x = torch.cat(parts, dim=2)
    torch.testing.assert_close(y, x)
    again, _ = rnn(torch.randn(2, 7, 3), state)
    assert again.shape == y.shape


def test_kinds_that_are_not_as_many_as_layers_are_refused() -> None:
    with pytest.raises(UserError, match=r"^cell: .* one for each of 1 layers; got 2 kinds. Try: num_layers=2$"):
        RNN([GRUCell, LSTMCell], 3, 5)
    with pytest.raises(UserError, match=r"^cell: .*LSTMCell instance"):
        RNN([LSTMCell(3, 5)], 3, 5)  # type: ignore[list-item]


def test_torch_has_no_layers_of_different_kinds() -> None:
    with pytest.raises(UserError, match="layers of GRUCell and LSTMCell"):
        RNN([GRUCell, LSTMCell], 3, 5, num_layers=2).to_torch()


def test_options_are_named() -> None:
    with pytest.raises(TypeError):
        RNN(GRUCell, 3, 5, 2, True)  # type: ignore[misc]
