"""A recurrent language model."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from rnnkit.cells import Cell
from rnnkit.errors import UserError
from rnnkit.layers import RNN, LockedDropout
from rnnkit.layers.dropout import check_probability


class LanguageModel(nn.Module):
    r"""Predicts each token of a text from all the tokens before it.

    .. math::
        y_{1..T} &= \mathrm{RNN}(E[w_{0..T-1}], s) \\
        p(w_{t+1} \mid w_{\le t}) &= \mathrm{softmax}(W y_t + b)

    Dropout is locked: one mask over all time steps (Gal and Ghahramani 2016, arXiv:1512.05287). With `tied=True`, W is
    E (Press and Wolf 2017, arXiv:1608.05859).

    Axes: B lanes, T time steps, V vocabulary.

    Args:
        vocabulary_size: V.
        cell: a cell factory, called as `cell(input_size, hidden_size)`.
        embedding_size: width of E; None takes `hidden_size`.
        hidden_size: width of each recurrent layer.
        num_layers: recurrent layers.
        dropout: probability of dropout between the layers and on the last layer's outputs, in [0, 1).
        input_dropout: probability of dropout on the embeddings, in [0, 1).
        tied: share E and W; needs a cell output as wide as the embedding.
        residual: add each layer's input to its output, from the second layer on.
        bidirectional: must stay false, because a backward layer reads the very token that is to be predicted.

    Raises:
        UserError: for sizes below 1 or that cannot be tied, probabilities outside [0, 1), and `bidirectional=True`.

    >>> import torch
    >>> from rnnkit.cells import LSTMCell
    >>> model = LanguageModel(65, LSTMCell, embedding_size=16, hidden_size=32)
    >>> logits_BTV, state = model(torch.zeros(2, 7, dtype=torch.long))
    >>> tuple(logits_BTV.shape)
    (2, 7, 65)
    """

    def __init__(
        self,
        vocabulary_size: int,
        cell: Callable[[int, int], Cell[Any]],
        *,
        embedding_size: int | None = None,
        hidden_size: int = 256,
        num_layers: int = 2,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        tied: bool = False,
        residual: bool = False,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        if bidirectional:
            raise UserError(
                "model.bidirectional",
                "false, since a backward layer would read the token that the model has to predict",
                "true",
                fix="model.bidirectional=false",
            )
        if embedding_size is None:
            embedding_size = hidden_size
        for name, size in (("hidden_size", hidden_size), ("embedding_size", embedding_size)):
            if size < 1:
                raise UserError(f"model.{name}", "1 or more", str(size), fix=f"model.{name}=128")
        check_probability("dropout", dropout)
        check_probability("input_dropout", input_dropout)
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.input_dropout = LockedDropout(input_dropout)
        self.dropout = LockedDropout(dropout)
        self.rnn = RNN(cell, embedding_size, hidden_size, num_layers, dropout=self.dropout, residual=residual)
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
        """Small uniform embeddings and outputs (Zaremba et al. 2014, arXiv:1409.2329), so the first guess is even."""
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.uniform_(self.output.weight, -0.1, 0.1)
        nn.init.zeros_(self.output.bias)

    def initial_state(self, batch_size: int) -> Any:
        """The state before the first token, a tuple with one entry a layer."""
        return self.rnn.initial_state(batch_size)

    def forward(
        self, ids_BT: Tensor, state: Any = None, *, lengths: Tensor | None = None, reset: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Logits [B, T, V] for the token after each token of `ids_BT`, and the state after the last."""
        x_BTI = self.input_dropout(self.embedding(ids_BT))
        y_BTH, state = self.rnn(x_BTI, state, lengths=lengths, reset=reset)
        return self.output(self.dropout(y_BTH)), state
