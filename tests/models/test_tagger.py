"""The tagger."""

import itertools
from typing import Any

import pytest
import torch

from rnnkit.batch import TokenInputs
from rnnkit.cells import Cell, GRUCell, LSTMCell
from rnnkit.errors import UserError
from rnnkit.models import Tagger

TAGS = ["O", "B-x", "I-x", "E-x", "S-x"]
LENGTHS = torch.tensor([6, 1, 4])


def tagger(**options: Any) -> Tagger:
    options = {"cell": LSTMCell, "hidden_size": 8, "embedding_size": 6, "character_size": 4} | options
    return Tagger(20, 12, TAGS, **options)


def inputs(rows: int = 3, steps: int = 6) -> TokenInputs:
    distinct = 7
    index_BT = torch.randint(distinct, (rows, steps))
    sizes_U = torch.randint(2, 6, (distinct,))
    characters_UK = torch.randint(2, 12, (distinct, 5)).masked_fill(torch.arange(5) >= sizes_U[:, None], 0)
    words_BT = torch.randint(20, (rows, steps))
    return TokenInputs(words_BT, words_BT % 4, index_BT, characters_UK, sizes_U)


def cut(tokens: TokenInputs, row: int, length: int) -> TokenInputs:
    """One sentence alone, with its own distinct words only."""
    used_U, index = torch.unique(tokens.word_index[row, :length], return_inverse=True)
    sizes_U = tokens.sizes[used_U]
    return TokenInputs(
        tokens.words[row : row + 1, :length],
        tokens.vectors[row : row + 1, :length],
        index[None],
        tokens.characters[used_U, : int(sizes_U.max())],
        sizes_U,
    )


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("characters", ["cnn", "rnn", None])
@pytest.mark.parametrize("cell", [LSTMCell, GRUCell])
def test_a_padded_sentence_gets_the_scores_and_tags_it_gets_alone(
    cell: type[Cell[Any]], characters: str | None, crf: bool
) -> None:
    model = tagger(cell=cell, characters=characters, crf=crf, scheme="bioes", num_layers=2, vectors=4, vector_size=3)
    model.eval()
    assert model.vectors is not None
    torch.nn.init.normal_(model.vectors.weight)
    tokens = inputs()
    e_BTC = model(tokens, lengths=LENGTHS)
    found_BT = model.decode(e_BTC, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone_1TC = model(cut(tokens, row, length))
        torch.testing.assert_close(e_BTC[row : row + 1, :length], alone_1TC)
        assert torch.equal(found_BT[row, :length], model.decode(alone_1TC)[0])


@pytest.mark.parametrize("crf", [False, True])
def test_what_is_decoded_is_legal(crf: bool) -> None:
    model = tagger(crf=crf, scheme="bioes")
    legal = {("O", "O"), ("O", "B-x"), ("O", "S-x"), ("B-x", "I-x"), ("B-x", "E-x"), ("I-x", "I-x"), ("I-x", "E-x")}
    legal |= {(before, after) for before in ("E-x", "S-x") for after in ("O", "B-x", "S-x")}
    for row in model.decode(30 * torch.randn(100, 7, 5)).tolist():
        names = ["O", *(TAGS[i] for i in row), "O"]
        assert set(itertools.pairwise(names)) <= legal


def test_without_a_scheme_each_token_gets_its_best_tag() -> None:
    e_BTC = torch.randn(4, 5, 5)
    assert torch.equal(tagger().decode(e_BTC), e_BTC.argmax(-1))


def test_of_legal_tags_those_with_the_highest_probability_together_are_chosen() -> None:
    e_TC = torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.9], [0.5, 0.0, 0.0, 0.2, 0.0]])
    assert tagger(scheme="bioes").decode(e_TC[None]).tolist() == [[4, 0]]  # S O, 1.4, before B E, 1.2


def test_words_become_unknown_as_often_as_said() -> None:
    model = tagger(rare_from=10, word_dropout=0.2, rare_dropout=0.6)
    often_BT, once_BT = torch.full((100, 100), 9), torch.full((100, 100), 10)
    assert (model._known(often_BT) == 0).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert (model._known(once_BT) == 0).float().mean().item() == pytest.approx(0.6, abs=0.02)
    assert torch.equal(model.eval()._known(once_BT), once_BT)


def test_given_vectors_are_frozen_unless_tuned_and_unknown_words_keep_theirs() -> None:
    model = tagger(vectors=4, vector_size=3)
    assert model.vectors is not None
    assert not model.vectors.weight.requires_grad
    assert tagger(vectors=4, vector_size=3, tune_vectors=True).vectors.weight.requires_grad  # type: ignore[union-attr]
    torch.nn.init.normal_(model.vectors.weight)
    tokens = inputs()
    unknown = tokens._replace(words=torch.zeros_like(tokens.words))
    other = unknown._replace(vectors=(unknown.vectors + 1) % 4)
    assert not torch.equal(model.eval()(unknown), model(other))


def test_a_batch_in_bfloat16() -> None:
    model = tagger(crf=True, vectors=4, vector_size=3)
    tokens = inputs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        e_BTC = model(tokens, lengths=LENGTHS)
        loss = -model.crf.log_likelihood(e_BTC, torch.zeros(3, 6, dtype=torch.long), LENGTHS).sum()  # type: ignore[union-attr]
    loss.backward()
    assert e_BTC.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(grad is not None and bool(grad.isfinite().all()) for grad in gradients)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"characters": "lstm"}, r"model\.characters: expected cnn, rnn or null; got 'lstm'"),
        ({"embedding_size": 0, "characters": None}, r"model\.embedding_size: expected words, characters or given"),
        ({"word_dropout": 1.0}, r"word_dropout: expected a probability"),
        ({"hidden_size": 0}, r"model\.hidden_size: expected 1 or more; got 0"),
        ({"scheme": "iob"}, r"model\.scheme: expected null, bio or bioes; got 'iob'"),
    ],
)
def test_mistakes_get_a_message(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tagger(**options)
