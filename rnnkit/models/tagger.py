"""A recurrent tagger."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from rnnkit.batch import TokenInputs
from rnnkit.cells import Cell, Stack
from rnnkit.cells.probability import check_probability
from rnnkit.cells.stateless import Stateless
from rnnkit.errors import Problems, UserError
from rnnkit.layers import CRF, RNN, CharCNN, CharRNN, LockedDropout, legal_tags
from rnnkit.layers.viterbi import viterbi
from rnnkit.masks import Lengths, as_lengths
from rnnkit.models.stepping import future, layers_of, mapped, stacked
from rnnkit.ranges import Layers, NonNegativeInt, Odd, PositiveInt, Probability


class Token(NamedTuple):
    """A token of each of B live sentences.

    Args:
        word, vector: [B] int64, as in `TokenInputs`.
        characters: [B, K] int64 ids of the characters of the word; 0 is padding.
        size: [B] int64, the number of its characters.
    """

    word: Tensor
    vector: Tensor
    characters: Tensor
    size: Tensor


class Tagger(nn.Module):
    r"""Scores each tag for each token of a sentence, from the words before and after it.

    .. math::
        x_t &= [E[w_t] ; V[w_t] ; \mathrm{characters}(w_t)] \\
        y_{1..T} &= \mathrm{RNN}(x_{1..T}) \text{ in both directions} \\
        e_t &= W y_t + b

    The scores e are the logits of a softmax or, with `crf`, the emissions of a `rnnkit.layers.CRF` (Huang et al. 2015,
    arXiv:1508.01991; Lample et al. 2016, arXiv:1603.01360). With a `scheme`, decoded tag sequences are legal in both
    cases. Dropout is locked: one mask over all time steps.

    To train the representation of unknown words, a word is replaced by the unknown word with probability
    `word_dropout`, or `rare_dropout` if it occurs once in training. Its characters and its given vector are kept.

    Axes: B sentences, T tokens, C tags, U distinct words, I features of a token, H outputs of the recurrent layers.

    Args:
        vocabulary_size: the number of words of E, including the unknown word with id 0.
        alphabet_size: the number of characters, including padding with id 0.
        tags: the names of the tags.
        cell: a cell factory, called as `cell(input_size, hidden_size)`.
        rare_from: words from this id on occur once in training; None if there are none.
        vectors, vector_size: rows and width of V, the given word vectors, whose row 0 is for words without a vector; 0
            rows for no V. The task copies the vectors to V.
        scheme: None, bio or bioes, the scheme of entity tags.
        embedding_size: the width of E; 0 for no E, if there are characters or given vectors.
        characters: "cnn", "rnn" (of `cell`), None, or a class of your own, called with `alphabet_size`: it has an
            `output_size` O, and maps the ids [U, K] of the characters of U words and their numbers [U] to [U, O].
        character_embedding_size: the width of a character embedding of the cnn or rnn.
        character_size: the filters of the CNN, or the width of both directions of the RNN together.
        kernel_size: the width of a filter of the CNN in characters, odd.
        hidden_size, num_layers: of the recurrent layers, each direction.
        word_dropout, rare_dropout: see above, in [0, 1).
        input_dropout, dropout, output_dropout: on x, between the layers, on y, in [0, 1); None uses `dropout`.
        tune_vectors: train V too.
        residual: add each layer's input to its output, from the second layer on.
        bidirectional: read in both directions.
        crf: score transitions between tags.

    Raises:
        UserError: if a size is below 1, a probability is not in [0, 1), the encoder or the scheme is unknown, or there
            is no input.

    >>> from rnnkit.cells import LSTMCell
    >>> model = Tagger(50, 20, ["O", "B-x", "I-x"], LSTMCell, hidden_size=16, scheme="bio", crf=True)
    >>> ids_BT = torch.tensor([[3, 4, 5], [6, 0, 0]])
    >>> inputs = TokenInputs(ids_BT, ids_BT, ids_BT, torch.ones(7, 4).long(), torch.full((7,), 4))
    >>> e_BTC = model(inputs, lengths=torch.tensor([3, 1]))
    >>> e_BTC.shape, model.decode(e_BTC, torch.tensor([3, 1])).shape
    (torch.Size([2, 3, 3]), torch.Size([2, 3]))
    """

    tasks = ("tagging",)

    def __init__(
        self,
        vocabulary_size: int,
        alphabet_size: int,
        tags: Sequence[str],
        cell: Callable[[int, int], Cell[Any]],
        *,
        rare_from: int | None = None,
        vectors: int = 0,
        vector_size: int = 0,
        scheme: str | None = None,
        embedding_size: NonNegativeInt = 100,
        characters: Literal["cnn", "rnn"] | Callable[..., nn.Module] | None = "cnn",
        character_embedding_size: PositiveInt = 32,
        character_size: PositiveInt = 100,
        kernel_size: Odd = 5,
        hidden_size: PositiveInt = 200,
        num_layers: Layers = 1,
        word_dropout: Probability = 0.0,
        rare_dropout: Probability = 0.0,
        input_dropout: Probability | None = None,
        dropout: Probability = 0.0,
        output_dropout: Probability | None = None,
        tune_vectors: bool = False,
        residual: bool = False,
        bidirectional: bool = True,
        crf: bool = False,
    ) -> None:
        super().__init__()
        input_dropout = dropout if input_dropout is None else input_dropout
        output_dropout = dropout if output_dropout is None else output_dropout
        probabilities = {"word_dropout": word_dropout, "rare_dropout": rare_dropout, "dropout": dropout}
        for name, p in {**probabilities, "input_dropout": input_dropout, "output_dropout": output_dropout}.items():
            check_probability(name, p, key=f"model.{name}")
        for name, size in (("hidden_size", hidden_size), ("character_size", character_size)):
            if size < 1:
                raise UserError(f"model.{name}", "1 or more", str(size), fix=f"model.{name}=100")
        self.vocabulary_size = vocabulary_size
        self.rare_from = vocabulary_size if rare_from is None else rare_from
        self.word_dropout, self.rare_dropout = word_dropout, rare_dropout
        self.embedding = nn.Embedding(vocabulary_size, embedding_size) if embedding_size else None
        self.vectors = nn.Embedding(vectors, vector_size) if vectors else None
        if self.vectors is not None:
            nn.init.zeros_(self.vectors.weight)
            self.vectors.weight.requires_grad_(tune_vectors)
        self.characters = _characters(
            characters, alphabet_size, cell, character_embedding_size, character_size, kernel_size
        )
        input_size = embedding_size + (vector_size if vectors else 0)
        input_size += 0 if self.characters is None else self.characters.output_size
        if not input_size:
            expected = "words, characters or given vectors to read"
            raise UserError("model.embedding_size", expected, "none of them", fix="model.embedding_size=100")
        self.input_dropout, self.output_dropout = LockedDropout(input_dropout), LockedDropout(output_dropout)
        self.rnn = RNN(
            cell,
            input_size,
            hidden_size,
            num_layers,
            bidirectional=bidirectional,
            dropout=LockedDropout(dropout),
            residual=residual,
        )
        self.output = nn.Linear(self.rnn.output_size, len(tags))
        legal = legal_tags(tags, scheme)
        self.crf = CRF(len(tags), legal) if crf else None
        self._legal = legal
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize with small embeddings, so that unknown words are close to the others."""
        if self.embedding is not None:
            nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

    def forward(self, inputs: TokenInputs, *, lengths: Lengths | None = None) -> Tensor:
        """Return the scores [B, T, C] of each tag at each token; those at padding are arbitrary."""
        y_BTH, _ = self.rnn(self.input_dropout(_represented(self, self._known(inputs.words), inputs)), lengths=lengths)
        e_BTC: Tensor = self.output(self.output_dropout(y_BTH))
        return e_BTC

    def step(self) -> Stack:
        """Return one step of the model as a cell in evaluation mode, which shares the parameters of the model.

        It maps a `Token` to the scores [B, C] of its tags.

        Raises:
            UserError: if the model needs the future: with two directions, or a CRF, whose best tags depend on the whole
                sentence.

        >>> from rnnkit.cells import LSTMCell
        >>> step = Tagger(50, 20, ["O", "B-x", "I-x"], LSTMCell, characters=None, bidirectional=False).step()
        >>> ids_B = torch.tensor([7, 8])
        >>> scores_BC, _ = step(Token(ids_B, ids_B, ids_B[:, None], ids_B), step.initial_state(2))
        >>> scores_BC.shape
        torch.Size([2, 3])
        """
        problems = Problems()
        layers = problems.attempt(layers_of, self.rnn)
        if self.crf is not None:
            problems.found.append(future("model.crf", "true", "model.crf=false"))
        problems.raise_all()
        front = _TokenCell(_TokenFront(self), 1, self.rnn.input_size)
        return stacked(front, layers, mapped(self.output))

    def decode(self, e_BTC: Tensor, lengths: Lengths | None = None) -> Tensor:
        """Return the best tags [B, T] for the scores of `forward`: by the CRF, or the most probable legal sequence."""
        if self.crf is not None:
            return self.crf.decode(e_BTC, lengths)
        if self._legal is None:
            return e_BTC.argmax(-1)
        transitions_CC, start_C, end_C = (
            torch.zeros_like(ok, dtype=torch.float32).masked_fill_(~ok, -torch.inf).to(e_BTC.device)
            for ok in self._legal
        )
        lengths_B = None if lengths is None else as_lengths(lengths, e_BTC)
        return viterbi(e_BTC.float(), transitions_CC, start_C, end_C, lengths_B)

    def _known(self, words_BT: Tensor) -> Tensor:
        if not self.training or not (self.word_dropout or self.rare_dropout):
            return words_BT
        p_BT = torch.where(words_BT < self.rare_from, self.word_dropout, max(self.word_dropout, self.rare_dropout))
        return words_BT.masked_fill(torch.rand(p_BT.shape, device=p_BT.device) < p_BT, 0)


class _TokenFront(nn.Module):
    """The representation of one token, by the embeddings and the character encoder of a tagger."""

    def __init__(self, tagger: Tagger) -> None:
        super().__init__()
        self.embedding, self.vectors, self.characters = tagger.embedding, tagger.vectors, tagger.characters

    def forward(self, token: Token) -> Tensor:
        if self.characters is None:
            unused_B1 = token.word[:, None]
            inputs = TokenInputs(unused_B1, token.vector[:, None], unused_B1, token.characters, token.size)
            return _represented(self, inputs.words, inputs)[:, 0]
        which_B1 = torch.arange(len(token.word), device=token.word.device)[:, None]
        inputs = TokenInputs(token.word[:, None], token.vector[:, None], which_B1, token.characters, token.size)
        return _represented(self, inputs.words, inputs)[:, 0]


class _TokenCell(Stateless):
    """The front as a cell without state."""

    def example(self) -> Token:
        """Return an unknown word of one character."""
        id_1 = torch.zeros(1, dtype=torch.int64)
        return Token(id_1, id_1, id_1[:, None] + 1, id_1 + 1)


def _represented(layers: Any, words_BT: Tensor, inputs: TokenInputs) -> Tensor:
    """Return the representation x of each token [B, T, I] by the embeddings and the character encoder of `layers`."""
    parts = []
    if layers.embedding is not None:
        parts.append(layers.embedding(words_BT))
    if layers.vectors is not None:
        parts.append(layers.vectors(inputs.vectors))
    if layers.characters is not None:
        # each distinct word is encoded once and copied to its places by index_select, whose backward is a fast sum
        y_UO = layers.characters(inputs.characters, inputs.sizes)
        parts.append(y_UO.index_select(0, inputs.word_index.flatten()).view(*inputs.word_index.shape, -1))
    return parts[0] if len(parts) == 1 else torch.cat([part.to(parts[0].dtype) for part in parts], dim=-1)


def _characters(
    chosen: str | Callable[..., nn.Module] | None,
    alphabet_size: int,
    cell: Callable[[int, int], Cell[Any]],
    embedding_size: NonNegativeInt,
    size: int,
    kernel_size: Odd,
) -> Any:
    """Return the encoder for a name or class; None for none."""
    if chosen is None:
        return None
    if callable(chosen):
        return chosen(alphabet_size)
    if chosen == "cnn":
        return CharCNN(alphabet_size, embedding_size, size, kernel_size)
    if chosen == "rnn":
        return CharRNN(alphabet_size, cell, embedding_size, output_size=size)
    raise UserError("model.characters", "cnn, rnn or null", repr(chosen), fix="model.characters=cnn")
