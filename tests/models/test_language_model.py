import pytest
import torch
from torch import nn
from torch.testing import assert_close

from rnnkit.cells import ElmanCell, GRUCell, LSTMCell
from rnnkit.errors import UserError
from rnnkit.models import LanguageModel

CELLS = {"elman": ElmanCell, "gru": GRUCell, "lstm": LSTMCell}


def test_logits_and_gradients_are_those_of_torchs_own_modules() -> None:
    model = LanguageModel(11, LSTMCell, embedding_size=5, hidden_size=7, num_layers=2)
    lstm = nn.LSTM(5, 7, 2, batch_first=True)
    with torch.no_grad():
        for layer, cell in enumerate(model.rnn.cells):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(lstm, f"{name}_l{layer}").copy_(getattr(cell, name))
    ids_BT = torch.randint(0, 11, (3, 6))
    expected_BTV = nn.functional.linear(lstm(model.embedding(ids_BT))[0], model.output.weight, model.output.bias)
    expected_gradients = torch.autograd.grad(expected_BTV.square().sum(), list(model.output.parameters()))
    logits_BTV, _ = model(ids_BT)
    gradients = torch.autograd.grad(logits_BTV.square().sum(), list(model.output.parameters()))
    assert_close(logits_BTV, expected_BTV)
    assert_close(gradients, expected_gradients)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_one_token_at_a_time_gives_the_logits_of_the_whole(cell: type) -> None:
    model = LanguageModel(11, cell, hidden_size=7).eval()
    ids_BT = torch.randint(0, 11, (3, 6))
    whole_BTV, end = model(ids_BT)
    state, steps = model.initial_state(3), []
    for t in range(6):
        logits_B1V, state = model(ids_BT[:, t : t + 1], state)
        steps.append(logits_B1V)
    assert_close(torch.cat(steps, dim=1), whole_BTV)
    assert_close(state, end)


def test_no_logit_depends_on_a_later_token() -> None:
    model = LanguageModel(11, GRUCell, hidden_size=7).eval()
    ids_BT = torch.randint(0, 11, (1, 6))
    changed_BT = ids_BT.clone()
    changed_BT[0, 4] = (ids_BT[0, 4] + 1) % 11
    before, after = model(ids_BT)[0], model(changed_BT)[0]
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.equal(before[:, 4], after[:, 4])


def test_tied_weights_are_one_parameter_with_both_gradients() -> None:
    model = LanguageModel(11, LSTMCell, hidden_size=7, tied=True)
    assert model.output.weight is model.embedding.weight
    untied = LanguageModel(11, LSTMCell, hidden_size=7)
    untied.load_state_dict(model.state_dict())
    ids_BT = torch.randint(0, 11, (2, 5))
    for each in (model, untied):
        each(ids_BT)[0].square().sum().backward()
    assert_close(model.embedding.weight.grad, untied.embedding.weight.grad + untied.output.weight.grad)


def test_with_tied_weights_the_last_of_several_layers_is_as_wide_as_the_embedding() -> None:
    model = LanguageModel(11, LSTMCell, embedding_size=5, hidden_size=7, num_layers=3, tied=True)
    assert [(cell.input_size, cell.output_size) for cell in model.rnn.cells] == [(5, 7), (7, 7), (7, 5)]
    assert model(torch.zeros(2, 3, dtype=torch.long))[0].shape == (2, 3, 11)
    with pytest.raises(UserError, match=r"residual: expected layers of one width.*got 7 and 5"):
        LanguageModel(11, LSTMCell, embedding_size=5, hidden_size=7, tied=True, residual=True)


def test_each_place_has_its_own_dropout() -> None:
    places = {"dropout": 0.1, "input_dropout": 0.2, "output_dropout": 0.3, "word_dropout": 0.4}
    model = LanguageModel(11, LSTMCell, hidden_size=7, **places)
    modules = (model.rnn.dropout, model.input_dropout, model.output_dropout, model.word_dropout)
    assert [module.p for module in modules] == list(places.values())
    assert LanguageModel(11, LSTMCell, hidden_size=7, dropout=0.1).output_dropout.p == 0.1


def test_a_dropped_word_is_missed_wherever_it_stands_and_can_still_be_predicted() -> None:
    model = LanguageModel(11, LSTMCell, hidden_size=7, word_dropout=0.5, tied=True)
    seen: list[torch.Tensor] = []
    model.input_dropout.register_forward_hook(lambda module, inputs, output: seen.append(output))
    ids_BT = torch.randint(0, 11, (6, 20))
    model(ids_BT)[0].square().sum().backward()
    missing_BT = ~seen[0].any(dim=-1)
    for word in range(11):
        places = missing_BT[ids_BT == word]
        assert places.all() or not places.any()
    assert 0 < missing_BT.float().mean() < 1
    assert_close(seen[0][~missing_BT], 2 * model.embedding(ids_BT)[~missing_BT])
    assert model.embedding.weight.grad.any(dim=-1).all()
    model.eval()(ids_BT)
    assert_close(seen[1], model.embedding(ids_BT))


def test_dropout_is_locked_over_time_and_off_in_evaluation() -> None:
    model = LanguageModel(11, LSTMCell, hidden_size=64, num_layers=1, dropout=0.5)
    dropped_BTH = model.output_dropout(torch.ones(2, 9, 64))
    assert torch.equal(dropped_BTH, dropped_BTH[:, :1].expand_as(dropped_BTH))
    assert 0 < (dropped_BTH == 0).float().mean() < 1
    ids_BT = torch.randint(0, 11, (2, 5))
    assert not torch.equal(model(ids_BT)[0], model(ids_BT)[0])
    model.eval()
    assert torch.equal(model(ids_BT)[0], model(ids_BT)[0])


def test_what_cannot_be_is_refused_with_the_reason() -> None:
    with pytest.raises(UserError, match=r"model\.bidirectional: expected false.*predict.*model\.bidirectional=false"):
        LanguageModel(11, LSTMCell, bidirectional=True)
    with pytest.raises(UserError, match=r"model\.tied: expected an embedding as wide.*7; got model\.embedding_size=5"):
        LanguageModel(11, LSTMCell, embedding_size=5, hidden_size=7, num_layers=1, tied=True)
    for name in ("dropout", "input_dropout", "output_dropout", "word_dropout"):
        with pytest.raises(UserError, match=rf"{name}: expected a probability.*; got 1\.0\. Try: model\.{name}=0\.5"):
            LanguageModel(11, LSTMCell, **{name: 1.0})
