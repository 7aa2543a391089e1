"""A recurrent language model."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from rnnkit.cells import Cell, Stack
from rnnkit.cells.probability import check_probability
from rnnkit.cells.stateless import Embedded
from rnnkit.errors import UserError
from rnnkit.layers import RNN, LockedDropout, WordDropout
from rnnkit.masks import Lengths, Resets
from rnnkit.models.stepping import layers_of, mapped, stacked
from rnnkit.ranges import Layers, PositiveInt, Probability


class LanguageModel(nn.Module):
    r"""Predicts each token of a text from all tokens before it.

    .. math::
        y_{1..T} &= \mathrm{RNN}(E[w_{0..T-1}], s) \\
        p(w_{t+1} \mid w_{\le t}) &= \mathrm{softmax}(W y_t + b)

    Dropout is locked: one mask over all time steps (Gal and Ghahramani 2016, arXiv:1512.05287). With `tied=True`, W is
    E (Press and Wolf 2017, arXiv:1608.05859).

    Axes: B rows, T time steps, V vocabulary.

    Args:
        vocabulary_size: V.
        cell: a cell factory, called as `cell(input_size, hidden_size)`.
        embedding_size: the width of E; None uses `hidden_size`.
        hidden_size: the width of each recurrent layer.
        num_layers: the number of recurrent layers.
        dropout: probability of dropout between the layers, in [0, 1).
        input_dropout: probability of dropout on the embeddings, in [0, 1).
        output_dropout: probability of dropout on the last layer's outputs, in [0, 1); None uses `dropout`.
        word_dropout: probability that all occurrences of a word in the window are dropped, in [0, 1).
        tied: share E and W; the last of several layers is then as wide as the embedding.
        residual: add each layer's input to its output, from the second layer on.
        bidirectional: must be false, because a backward layer would read the token to predict.
        checkpoint_every: see `rnnkit.scan`; saves memory in training.

    Raises:
        UserError: if a size or `checkpoint_every` is below 1, sizes cannot be tied, a probability is not in [0, 1), or
            `bidirectional` is true.

    >>> import torch
    >>> from rnnkit.cells import LSTMCell
    >>> model = LanguageModel(65, LSTMCell, embedding_size=16, hidden_size=32)
    >>> logits_BTV, state = model(torch.zeros(2, 7, dtype=torch.long))
    >>> tuple(logits_BTV.shape)
    (2, 7, 65)
    """

    tasks = ("language_modeling",)

    def __init__(
        self,
        vocabulary_size: int,
        cell: Callable[[int, int], Cell[Any]],
        *,
        embedding_size: PositiveInt | None = None,
        hidden_size: PositiveInt = 256,
        num_layers: Layers = 2,
        dropout: Probability = 0.0,
        input_dropout: Probability = 0.0,
        output_dropout: Probability | None = None,
        word_dropout: Probability = 0.0,
        tied: bool = False,
        residual: bool = False,
        bidirectional: bool = False,
        checkpoint_every: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        if bidirectional:
            raise UserError(
                "model.bidirectional",
                "false, since a backward layer would read the token to predict",
                "true",
                fix="model.bidirectional=false",
            )
        if embedding_size is None:
            embedding_size = hidden_size
        for name, size in (("hidden_size", hidden_size), ("embedding_size", embedding_size)):
            if size < 1:
                raise UserError(f"model.{name}", "1 or more", str(size), fix=f"model.{name}=128")
        if checkpoint_every is not None and checkpoint_every < 1:
            got, fix = str(checkpoint_every), "model.checkpoint_every=16"
            raise UserError("model.checkpoint_every", "a number of steps, 1 or more, or null", got, fix=fix)
        output_dropout = dropout if output_dropout is None else output_dropout
        probabilities = {"dropout": dropout, "input_dropout": input_dropout, "output_dropout": output_dropout}
        for name, p in {**probabilities, "word_dropout": word_dropout}.items():
            check_probability(name, p, key=f"model.{name}")
        widths = [hidden_size] * num_layers
        if tied and num_layers > 1:
            widths[-1] = embedding_size
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.word_dropout = WordDropout(vocabulary_size, word_dropout)
        self.input_dropout = LockedDropout(input_dropout)
        self.output_dropout = LockedDropout(output_dropout)
        self.rnn = RNN(cell, embedding_size, widths, num_layers, dropout=LockedDropout(dropout), residual=residual)
        self.checkpoint_every = checkpoint_every
        self.output = nn.Linear(self.rnn.output_size, vocabulary_size)
        if tied:
            if self.rnn.output_size != embedding_size:
                raise UserError(
                    "model.tied",
                    f"an embedding as wide as the cell's output, {self.rnn.output_size}",
                    f"model.embedding_size={embedding_size}",
                    fix="model.embedding_size=null, or model.tied=false",
                )
            self.output.weight = self.embedding.weight
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize embeddings and outputs with small uniform numbers (Zaremba et al. 2014, arXiv:1409.2329), so that
        all tokens are about equally likely.
        """
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.uniform_(self.output.weight, -0.1, 0.1)
        nn.init.zeros_(self.output.bias)

    def initial_state(self, batch_size: int) -> Any:
        """Return the state before the first token, a tuple with one entry for each layer."""
        return self.rnn.initial_state(batch_size)

    def features(
        self, ids_BT: Tensor, state: Any = None, *, lengths: Lengths | None = None, reset: Resets | None = None
    ) -> tuple[Tensor, Tensor, Any]:
        """Return the last layer's outputs [B, T, H], the same after dropout, and the state after the last token."""
        x_BTI = self.input_dropout(self.word_dropout(self.embedding(ids_BT), ids_BT))
        y_BTH, state = self.rnn(x_BTI, state, lengths=lengths, reset=reset, checkpoint_every=self.checkpoint_every)
        return y_BTH, self.output_dropout(y_BTH), state

    def forward(
        self, ids_BT: Tensor, state: Any = None, *, lengths: Lengths | None = None, reset: Resets | None = None
    ) -> tuple[Tensor, Any]:
        """Return logits [B, T, V] of the token after each token of `ids_BT`, and the state after the last one."""
        _, dropped_BTH, state = self.features(ids_BT, state, lengths=lengths, reset=reset)
        return self.output(dropped_BTH), state

    def step(self) -> Stack:
        """Return one step of the model as a cell in evaluation mode: ids [B, 1] to logits [B, V].

        It shares the parameters of the model.

        >>> import torch
        >>> from rnnkit.cells import LSTMCell
        >>> step = LanguageModel(65, LSTMCell, hidden_size=32).step()
        >>> logits_BV, state = step(torch.tensor([[7]]), step.initial_state(1))
        >>> tuple(logits_BV.shape)
        (1, 65)
        """
        return stacked(Embedded(self.embedding), layers_of(self.rnn), mapped(self.output))
