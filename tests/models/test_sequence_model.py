import itertools
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from rnnkit.cells import Cell, ElmanCell, GRUCell, LayerNormLSTMCell, LSTMCell, MinGRUCell
from rnnkit.errors import UserError
from rnnkit.models import SequenceModel

CELLS = [LSTMCell, GRUCell, ElmanCell, LayerNormLSTMCell, MinGRUCell]
LENGTHS = torch.tensor([9, 6, 2, 1])


def values() -> torch.Tensor:
    """Random numbers, and in the padding more of them."""
    return torch.randn(4, 9, 3, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention", None])
@pytest.mark.parametrize("cell", CELLS)
def test_a_padded_sequence_gets_what_it_gets_alone(cell: type[Cell[object]], pooling: str | None) -> None:
    x_BTI = values()
    for bidirectional, convolutions in itertools.product([False, True], [0, 2]):
        model = SequenceModel(
            2,
            cell,
            input_size=3,
            hidden_size=8,
            num_layers=2,
            bidirectional=bidirectional,
            convolutions=convolutions,
            kernel_size=3,
            stride=1 if pooling is None else 2,
            pooling=pooling,
            attention_heads=2,
        ).eval()
        together = model(x_BTI, lengths=LENGTHS)
        for row, length in enumerate(LENGTHS.tolist()):
            alone = model(x_BTI[row : row + 1, :length])[0]
            assert_close(together[row] if pooling else together[row, :length], alone, atol=1e-5, rtol=1e-5)


def test_outputs_are_those_of_torchs_own_modules() -> None:
    """Ids, two layers, both directions, the ends of both."""
    model = SequenceModel(4, LSTMCell, vocabulary_size=11, embedding_size=5, hidden_size=7, num_layers=2).eval()
    both = SequenceModel(4, LSTMCell, vocabulary_size=11, embedding_size=5, hidden_size=7, bidirectional=True).eval()
    model.rnn.dropout = both.rnn.dropout = nn.Dropout(0.0)  # torch knows no locked dropout
    ids_BT = torch.randint(0, 11, (3, 6))
    end_BH = model.rnn.to_torch()(model.embedding(ids_BT))[1][0][-1]
    assert_close(model(ids_BT), model.output(end_BH))
    forward_BH, backward_BH = both.rnn.to_torch()(both.embedding(ids_BT))[1][0]
    assert_close(both(ids_BT), both.output(torch.cat([forward_BH, backward_BH], dim=1)))


def test_without_pooling_no_step_hears_of_a_later_one_unless_both_directions_are_read() -> None:
    x_BTI = values()
    changed_BTI = x_BTI.clone()
    changed_BTI[:, 5] += 1
    for bidirectional in (False, True):
        model = SequenceModel(1, GRUCell, input_size=3, hidden_size=8, bidirectional=bidirectional, pooling=None)
        before, after = model(x_BTI), model(changed_BTI)
        assert before.shape == (4, 9, 1)
        assert torch.equal(before[:, :5], after[:, :5]) != bidirectional


def test_values_pass_a_linear_map_where_one_is_asked_for() -> None:
    model = SequenceModel(2, GRUCell, input_size=3, embedding_size=5, hidden_size=8)
    assert isinstance(model.embedding, nn.Linear)
    assert model.rnn.input_size == 5
    assert SequenceModel(2, GRUCell, input_size=3, hidden_size=8).rnn.input_size == 3


def test_each_place_has_its_own_dropout_and_evaluation_none() -> None:
    places = {"dropout": 0.1, "input_dropout": 0.2, "output_dropout": 0.3, "word_dropout": 0.4}
    model = SequenceModel(2, LSTMCell, vocabulary_size=11, hidden_size=7, num_layers=2, **places)
    modules = (model.rnn.dropout, model.input_dropout, model.output_dropout, model.word_dropout)
    assert [module.p for module in modules] == list(places.values())
    assert SequenceModel(2, LSTMCell, vocabulary_size=11, hidden_size=7, dropout=0.1).output_dropout.p == 0.1
    ids_BT = torch.randint(0, 11, (2, 5))
    assert not torch.equal(model(ids_BT), model(ids_BT))
    model.eval()
    assert torch.equal(model(ids_BT), model(ids_BT))


def test_bfloat16_gives_nearly_the_same() -> None:
    x_BTI = values()
    for pooling in ("last", "mean", "max", "attention", None):
        model = SequenceModel(2, LSTMCell, input_size=3, hidden_size=8, bidirectional=True, pooling=pooling).eval()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = model(x_BTI, lengths=LENGTHS)
        valid = ... if pooling else torch.arange(9) < LENGTHS[:, None]
        assert_close(rough.float()[valid], model(x_BTI, lengths=LENGTHS)[valid], atol=0.03, rtol=0.05)


def test_all_weights_learn() -> None:
    model = SequenceModel(
        2, GRUCell, vocabulary_size=11, hidden_size=8, convolutions=1, bidirectional=True, pooling="attention"
    )
    model(torch.randint(0, 11, (4, 9)), lengths=LENGTHS).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert math.isfinite(parameter.grad.norm()), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"model\.input_size: expected input_size for values or vocabulary_size for ids; got neither"),
        ({"vocabulary_size": 5, "input_size": 3}, r"got 5 and 3"),
        ({"input_size": 3, "pooling": "median"}, r"model\.pooling: expected one of last, mean, max, attention"),
        ({"input_size": 3, "pooling": None, "convolutions": 1, "stride": 2}, r"model\.stride: expected 1.*got 2"),
        ({"input_size": 3, "convolutions": -1}, r"model\.convolutions: expected 0 or more"),
        ({"input_size": 3, "hidden_size": 0}, r"model\.hidden_size: expected 1 or more; got 0"),
        ({"input_size": 3, "input_dropout": 1.0}, r"input_dropout: expected a probability.*model\.input_dropout"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SequenceModel(2, LSTMCell, **options)
