"""One step of a model as a cell: 300 steps are the model on the whole sequence, whatever the model is made of."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.testing import assert_close

from rnnkit import scan
from rnnkit.batch import TokenInputs
from rnnkit.cells import (
    Cell,
    GRUCell,
    LayerNormLSTMCell,
    LearnedInitialState,
    LSTMCell,
    VariationalDropout,
    WeightDrop,
    Zoneout,
)
from rnnkit.errors import UserError
from rnnkit.models import LanguageModel, SequenceModel, Tagger
from rnnkit.models.tagger import Token

STEPS, BEFORE = 300, 17
YAMLS = sorted((Path(__file__).parents[2] / "configs" / "model" / "cell").glob("*.yaml"))


def stepped(step: Cell[Any], x_BTI: Any, state: Any = None) -> tuple[Tensor, Any]:
    return scan(step, x_BTI, state, engine="reference")


def check_language_model(cell: Callable[[int, int], Cell[Any]]) -> None:
    """From a carried state: both read 17 steps first, in training mode, with dropout."""
    model = LanguageModel(11, cell, embedding_size=6, hidden_size=8, num_layers=2, dropout=0.5, residual=True)
    step, ids_BT = model.step(), torch.randint(0, 11, (2, BEFORE + STEPS))
    assert model.training
    assert not step.training
    model.eval()
    with torch.no_grad():
        _, carry = model(ids_BT[:, :BEFORE])
        wanted_BTV, _ = model(ids_BT[:, BEFORE:], carry)
        _, state = stepped(step, ids_BT[:, :BEFORE, None])
        found_BTV, _ = stepped(step, ids_BT[:, BEFORE:, None], state)
    assert_close(found_BTV, wanted_BTV, atol=2e-5, rtol=1e-4)


WRAPPED: list[Callable[[int, int], Cell[Any]]] = [
    GRUCell,
    lambda i, h: VariationalDropout(LSTMCell(i, h), 0.3, 0.3, 0.3),
    lambda i, h: Zoneout(WeightDrop(LSTMCell(i, h), 0.5), 0.2),
    lambda i, h: LearnedInitialState(VariationalDropout(LayerNormLSTMCell(i, h), 0.3)),
]


@pytest.mark.parametrize("cell", WRAPPED, ids=["gru", "variational", "zoneout", "learned"])
def test_steps_of_a_language_model_are_the_model(cell: Callable[[int, int], Cell[Any]]) -> None:
    check_language_model(cell)


@pytest.mark.slow
@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_steps_of_every_cell_are_the_model(path: Path) -> None:
    check_language_model(hydra.utils.instantiate(OmegaConf.load(path)))


def test_a_stripped_wrapper_leaves_no_state_behind() -> None:
    model = LanguageModel(11, lambda i, h: VariationalDropout(LSTMCell(i, h), 0.3), hidden_size=8, num_layers=1)
    assert type(model.step().initial_state(1)[1]).__name__ == "LSTMState"


@pytest.mark.parametrize("front", ["ids", "values", "a linear map"])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention", None])
def test_steps_of_a_sequence_model_are_its_answers_so_far(pooling: Any, front: str) -> None:
    inputs: dict[str, Any] = {"vocabulary_size": 9} if front == "ids" else {"input_size": 3}
    width = 5 if front == "a linear map" else None
    model = SequenceModel(
        4, GRUCell, hidden_size=8, pooling=pooling, attention_heads=2, embedding_size=width, dropout=0.4, **inputs
    ).eval()
    x = torch.randint(0, 9, (2, STEPS)) if front == "ids" else torch.randn(2, STEPS, 3)
    with torch.no_grad():
        found_BTO, _ = stepped(model.step(), x[..., None] if front == "ids" else x)
        if pooling is None:
            assert_close(found_BTO, model(x), atol=1e-5, rtol=1e-4)
        for count in (1, 2, 50, STEPS) if pooling else ():
            assert_close(found_BTO[:, count - 1], model(x[:, :count]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("characters", ["cnn", "rnn", None])
def test_steps_of_a_tagger_are_the_model(characters: Any) -> None:
    sizes: dict[str, Any] = {"vectors": 7, "vector_size": 4, "hidden_size": 8, "character_size": 6}
    model = Tagger(20, 9, ["O", "B-x", "I-x"], LSTMCell, characters=characters, bidirectional=False, **sizes).eval()
    words, vectors, which = torch.randint(0, 20, (2, 30)), torch.randint(0, 7, (2, 30)), torch.randint(0, 12, (2, 30))
    letters, counts = torch.randint(1, 9, (12, 5)), torch.randint(1, 6, (12,))
    letters = letters.masked_fill(torch.arange(5) >= counts[:, None], 0)
    with torch.no_grad():
        wanted_BTC = model(TokenInputs(words, vectors, which, letters, counts))
        found_BTC, _ = stepped(model.step(), Token(words, vectors, letters[which], counts[which]))
    assert_close(found_BTC, wanted_BTC, atol=1e-5, rtol=1e-4)


def test_the_step_follows_the_weights_and_not_the_mode_of_the_model() -> None:
    model = SequenceModel(2, partial(LSTMCell, forget_bias=0.0), input_size=3, hidden_size=4)
    step, x_BI = model.step(), torch.randn(1, 3)
    before_BO, _ = step(x_BI, step.initial_state(1))
    nn.init.zeros_(model.output.weight)
    assert step(x_BI, step.initial_state(1))[0].abs().sum() == model.output.bias.abs().sum()
    assert before_BO.abs().sum() > 0
    assert all(module.training for module in model.modules())


def test_what_needs_the_future_is_refused_in_one_message_with_the_overrides() -> None:
    model = SequenceModel(2, GRUCell, input_size=3, convolutions=1, bidirectional=True, pooling="mean")
    with pytest.raises(UserError) as caught:
        model.step()
    for part in ("model.bidirectional=false", "model.convolutions=0", "past"):
        assert part in str(caught.value)
    tagger = Tagger(5, 5, ["O", "X"], GRUCell, crf=True)
    with pytest.raises(UserError, match=r"(?s)model.bidirectional=false.*model.crf=false"):
        tagger.step()


def test_a_pooling_of_ones_own_is_asked_for_its_step() -> None:
    class Sum(nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.output_size = size

        def forward(self, y_BTH: Tensor, lengths: object = None) -> Tensor:
            return y_BTH.sum(1)

    with pytest.raises(UserError, match="a class with a method step"):
        SequenceModel(2, GRUCell, input_size=3, pooling=Sum).step()
