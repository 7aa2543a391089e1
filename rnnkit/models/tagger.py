"""A recurrent tagger."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rnnkit.batch import TokenInputs
from rnnkit.cells import Cell
from rnnkit.cells.probability import check_probability
from rnnkit.errors import UserError
from rnnkit.layers import CRF, RNN, CharCNN, CharRNN, LockedDropout, legal_tags
from rnnkit.layers.viterbi import viterbi
from rnnkit.masks import Lengths, as_lengths
from rnnkit.ranges import Layers, NonNegativeInt, Odd, PositiveInt, Probability


class Tagger(nn.Module):
    r"""Scores each tag for each token of a sentence, from the words on both sides of it.

    .. math::
        x_t &= [E[w_t] ; V[w_t] ; \mathrm{characters}(w_t)] \\
        y_{1..T} &= \mathrm{RNN}(x_{1..T}) \text{ in both directions} \\
        e_t &= W y_t + b

    The scores e are those of a softmax or, with `crf`, the emissions of a `rnnkit.layers.CRF` (Huang et al. 2015,
    arXiv:1508.01991; Lample et al. 2016, arXiv:1603.01360). With a `scheme`, what is decoded is legal in both cases.
    Dropout is locked: one mask over all time steps.

    What training never saw must have been met in training: any word is taken for unknown with the probability
    `word_dropout`, one that training has once with `rare_dropout`. Its characters and its given vector stay.

    Axes: B sentences, T tokens, C tags, U distinct words, I features of a token, H outputs of the recurrent layers.

    Args:
        vocabulary_size: words of E, the unknown one with id 0 included.
        alphabet_size: characters, padding with id 0 included.
        tags: names of the tags.
        cell: a cell factory, called as `cell(input_size, hidden_size)`.
        rare_from: from this id on words were seen once; None says that none was.
        vectors, vector_size: rows and width of V, the given word vectors, of which row 0 is for words without one; 0
            rows for no V. The task puts the vectors in.
        scheme: None, bio or bioes, as tags of entities are.
        embedding_size: width of E; 0 for no E, where characters or given vectors must do.
        characters: "cnn", "rnn" (of `cell`), None, or a class of your own, called with `alphabet_size`: it has an
            `output_size` O, and maps the ids [U, K] of the characters of U words and their numbers [U] to [U, O].
        character_embedding_size: width of a character, of an encoder that is named so.
        character_size: filters of the CNN, or width of both directions of the RNN together.
        kernel_size: characters that a filter of the CNN sees, odd.
        hidden_size, num_layers: of the recurrent layers, each direction.
        word_dropout, rare_dropout: see above, in [0, 1).
        input_dropout, dropout, output_dropout: on x, between the layers, on y, in [0, 1); None takes `dropout`.
        tune_vectors: train V too.
        residual: add each layer's input to its output, from the second layer on.
        bidirectional: read in both directions.
        crf: score transitions from tag to tag.

    Raises:
        UserError: for sizes below 1, probabilities outside [0, 1), an unknown encoder or scheme, and nothing to read.

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
        """Small embeddings, so that unknown words are not far from the others."""
        if self.embedding is not None:
            nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

    def forward(self, inputs: TokenInputs, *, lengths: Lengths | None = None) -> Tensor:
        """The scores [B, T, C] of each tag at each token; those at padding mean nothing."""
        parts = []
        if self.embedding is not None:
            parts.append(self.embedding(self._known(inputs.words)))
        if self.vectors is not None:
            parts.append(self.vectors(inputs.vectors))
        if self.characters is not None:
            # each distinct word once, then to where it stands: index_select, whose backward is a quick sum of rows
            y_UO = self.characters(inputs.characters, inputs.sizes)
            parts.append(y_UO.index_select(0, inputs.which.flatten()).view(*inputs.which.shape, -1))
        x_BTI = parts[0] if len(parts) == 1 else torch.cat([part.to(parts[0].dtype) for part in parts], dim=-1)
        y_BTH, _ = self.rnn(self.input_dropout(x_BTI), lengths=lengths)
        e_BTC: Tensor = self.output(self.output_dropout(y_BTH))
        return e_BTC

    def decode(self, e_BTC: Tensor, lengths: Lengths | None = None) -> Tensor:
        """The best tags [B, T] for what `forward` gave: the CRF's, or the most probable that are legal together."""
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


def _characters(
    chosen: str | Callable[..., nn.Module] | None,
    alphabet_size: int,
    cell: Callable[[int, int], Cell[Any]],
    embedding_size: NonNegativeInt,
    size: int,
    kernel_size: Odd,
) -> Any:
    """The encoder of a name or of a class; None for none."""
    if chosen is None:
        return None
    if callable(chosen):
        return chosen(alphabet_size)
    if chosen == "cnn":
        return CharCNN(alphabet_size, embedding_size, size, kernel_size)
    if chosen == "rnn":
        return CharRNN(alphabet_size, cell, embedding_size, output_size=size)
    raise UserError("model.characters", "cnn, rnn or null", repr(chosen), fix="model.characters=cnn")
