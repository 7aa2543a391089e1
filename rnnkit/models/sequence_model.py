"""A recurrent model of sequences with one output for each sequence, or one for each step."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from torch import Tensor, nn

from rnnkit.cells import Cell, Stack
from rnnkit.cells.probability import check_probability
from rnnkit.cells.stateless import Embedded
from rnnkit.errors import Problems, UserError
from rnnkit.layers import (
    RNN,
    AttentionPooling,
    LastPooling,
    LockedDropout,
    MaxPooling,
    MeanPooling,
    Subsample,
    WordDropout,
)
from rnnkit.masks import Lengths, as_lengths
from rnnkit.models.stepping import future, layers_of, mapped, pooling_so_far, stacked
from rnnkit.ranges import Layers, LayersOrNone, Odd, PositiveInt, Probability

POOLINGS: dict[str, Callable[..., nn.Module]] = {
    "last": LastPooling,
    "mean": MeanPooling,
    "max": MaxPooling,
    "attention": AttentionPooling,
}


class SequenceModel(nn.Module):
    r"""Reads a sequence of ids or values, and has one output for the sequence or, without pooling, one for each step.

    .. math::
        x_{1..T} &= E[w_{1..T}] \quad \text{or} \quad \mathrm{front}(v_{1..T}) \\
        y_{1..T} &= \mathrm{RNN}(x_{1..T}) \\
        o &= W \, \mathrm{pool}(y_{1..T}) + b \qquad \text{or} \qquad o_t = W y_t + b

    Padding has no effect: a sequence has the same output in a batch as alone. Dropout is locked: one mask over all time
    steps (Gal and Ghahramani 2016, arXiv:1512.05287).

    Axes: B rows, T time steps, I input features, O outputs.

    Args:
        outputs: O, the number of classes, or 1 for a number.
        cell: a cell factory, called as `cell(input_size, hidden_size)`.
        vocabulary_size: the inputs are ids below this number, which are embedded; or:
        input_size: the inputs are values with I features.
        embedding_size: the width of the embeddings, None uses `hidden_size`; for values the width of a linear map
            before the RNN, None for no such map.
        convolutions: the number of `Subsample` layers before the RNN, each as wide as the embedding.
        kernel_size, stride: of each of them.
        hidden_size, num_layers, bidirectional, residual: see `rnnkit.RNN`.
        pooling: last, mean, max or attention (see `rnnkit.layers`), or a class of your own, called with the width H of
            its input: it has an `output_size`, and maps [B, T, H] and `lengths` to [B, output_size]. None for an output
            at every step.
        attention_heads: the number of heads of attention pooling.
        dropout: probability of dropout between the layers, in [0, 1).
        input_dropout: probability of dropout on the input of the RNN, in [0, 1).
        output_dropout: probability of dropout on the input of W, in [0, 1); None uses `dropout`.
        word_dropout: probability that all occurrences of an id in the batch are dropped, in [0, 1).

    Raises:
        UserError: if a size is below 1, both or neither of `vocabulary_size` and `input_size` are given, the pooling is
            unknown, a probability is not in [0, 1), or there is a stride with an output at every step.

    >>> import torch
    >>> from rnnkit.cells import GRUCell
    >>> model = SequenceModel(3, GRUCell, input_size=2, hidden_size=8, bidirectional=True, pooling="max").eval()
    >>> x_BTI = torch.randn(4, 9, 2)
    >>> o_BO = model(x_BTI, lengths=torch.tensor([9, 5, 2, 1]))
    >>> torch.allclose(o_BO[1], model(x_BTI[1:2, :5])[0], atol=1e-5)
    True
    """

    tasks = ("classification", "regression")

    def __init__(
        self,
        outputs: int,
        cell: Callable[[int, int], Cell[Any]],
        *,
        vocabulary_size: PositiveInt | None = None,
        input_size: PositiveInt | None = None,
        embedding_size: PositiveInt | None = None,
        convolutions: LayersOrNone = 0,
        kernel_size: Odd = 5,
        stride: PositiveInt = 1,
        hidden_size: PositiveInt = 64,
        num_layers: Layers = 1,
        bidirectional: bool = False,
        residual: bool = False,
        pooling: Literal["last", "mean", "max", "attention"] | Callable[..., nn.Module] | None = "last",
        attention_heads: PositiveInt = 1,
        dropout: Probability = 0.0,
        input_dropout: Probability = 0.0,
        output_dropout: Probability | None = None,
        word_dropout: Probability = 0.0,
    ) -> None:
        super().__init__()
        if (vocabulary_size is None) == (input_size is None):
            got = "neither" if input_size is None else f"{vocabulary_size} and {input_size}"
            fix = "the one that fits the data"
            raise UserError("model.input_size", "input_size for values or vocabulary_size for ids", got, fix=fix)
        sizes = {"hidden_size": hidden_size, "outputs": outputs, "embedding_size": embedding_size}
        for name, size in sizes.items():
            if size is not None and size < 1:
                raise UserError(f"model.{name}", "1 or more", str(size), fix=f"model.{name}=128")
        if convolutions < 0:
            raise UserError("model.convolutions", "0 or more layers", str(convolutions), fix="model.convolutions=0")
        if pooling is None and convolutions and stride > 1:
            expected = "1, for an output at every step, as with model.pooling=null"
            raise UserError("model.stride", expected, str(stride), fix="model.stride=1, or model.pooling=last")
        output_dropout = dropout if output_dropout is None else output_dropout
        probabilities = {"dropout": dropout, "input_dropout": input_dropout, "output_dropout": output_dropout}
        for name, p in {**probabilities, "word_dropout": word_dropout}.items():
            check_probability(name, p, key=f"model.{name}")
        width = embedding_size or hidden_size
        self.embedding: nn.Module | None = None
        if vocabulary_size is not None:
            self.embedding = nn.Embedding(vocabulary_size, width)
            self.word_dropout = WordDropout(vocabulary_size, word_dropout)
            size = width
        else:
            assert input_size is not None
            if embedding_size and not convolutions:
                self.embedding = nn.Linear(input_size, width)
            size = width if self.embedding is not None else input_size
        layers = [Subsample(width if i else size, width, kernel_size, stride) for i in range(convolutions)]
        self.convolutions = nn.ModuleList(layers)
        self.input_dropout = LockedDropout(input_dropout)
        self.rnn = RNN(
            cell,
            width if convolutions else size,
            hidden_size,
            num_layers,
            bidirectional=bidirectional,
            dropout=LockedDropout(dropout),
            residual=residual,
        )
        self.pooling = _pooling(pooling, self.rnn, attention_heads)
        read = self.rnn.output_size if self.pooling is None else self.pooling.output_size
        self.output_dropout = LockedDropout(output_dropout) if self.pooling is None else nn.Dropout(output_dropout)
        self.output = nn.Linear(read, outputs)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize with small uniform embeddings and no bias, so that all outputs are about equal."""
        if isinstance(self.embedding, nn.Embedding):
            nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.zeros_(self.output.bias)

    def features(self, inputs: Tensor, *, lengths: Lengths | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the last recurrent layer's outputs at every step [B, T, H], and the number of steps of each row."""
        lengths_B = None if lengths is None else as_lengths(lengths, inputs)
        if isinstance(self.embedding, nn.Embedding):
            x_BTI = self.word_dropout(self.embedding(inputs), inputs)
        else:
            x_BTI = inputs if self.embedding is None else self.embedding(inputs)
        for layer in self.convolutions:
            x_BTI, lengths_B = layer(x_BTI, lengths_B)
        y_BTH, _ = self.rnn(self.input_dropout(x_BTI), lengths=lengths_B)
        return y_BTH, lengths_B

    def forward(self, inputs: Tensor, *, lengths: Lengths | None = None) -> Tensor:
        """Map ids [B, T] or values [B, T, I] to outputs [B, O] or, without pooling, [B, T, O]."""
        y_BTH, lengths_B = self.features(inputs, lengths=lengths)
        pooled = y_BTH if self.pooling is None else self.pooling(y_BTH, lengths_B)
        outputs: Tensor = self.output(self.output_dropout(pooled))
        return outputs

    def step(self) -> Stack:
        """Return one step of the model as a cell in evaluation mode, which shares the parameters of the model.

        It maps ids [B, 1] or values [B, I] to outputs [B, O]. With pooling, the output after a step is that of the
        model for the sequence so far, and the pooling is part of the state.

        Raises:
            UserError: if the model needs the future: with two directions, or convolutions, which are centered.

        >>> import torch
        >>> from rnnkit.cells import GRUCell
        >>> step = SequenceModel(3, GRUCell, input_size=2, hidden_size=8, pooling="mean").step()
        >>> step(torch.zeros(4, 2), step.initial_state(4))[0].shape
        torch.Size([4, 3])
        """
        problems = Problems()
        if self.convolutions:
            got = f"{len(self.convolutions)} centered layers"
            problems.found.append(future("model.convolutions", got, "model.convolutions=0"))
        layers = problems.attempt(layers_of, self.rnn)
        pooling = problems.attempt(pooling_so_far, self.pooling, self.output.weight)
        problems.raise_all()
        front: list[Cell[Any]] = []
        if isinstance(self.embedding, nn.Embedding):
            front = [Embedded(self.embedding)]
        elif isinstance(self.embedding, nn.Linear):
            front = [mapped(self.embedding)]
        return stacked(front, layers, pooling, mapped(self.output))


def _pooling(chosen: str | Callable[..., nn.Module] | None, rnn: RNN, heads: int) -> Any:
    """Return the pooling layer for a name or class; None for none."""
    size = rnn.output_size
    if chosen is None:
        return None
    if isinstance(chosen, str):
        if chosen not in POOLINGS:
            expected = f"one of {', '.join(POOLINGS)}, or null for an output at every step"
            raise UserError("model.pooling", expected, repr(chosen), fix="model.pooling=last")
        chosen = partial(AttentionPooling, heads=heads) if chosen == "attention" else POOLINGS[chosen]
    layer: Any = chosen(size)
    if isinstance(layer, LastPooling):
        layer.bidirectional = rnn.bidirectional  # the last output of the backward half is at the first step
    return layer
