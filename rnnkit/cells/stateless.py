"""Functions of one step's input as cells, so that a whole model is a stack of cells."""

from typing import Any

from torch import Tensor, nn

from rnnkit.cells.base import Cell

NoState = tuple[()]


class Stateless(Cell[NoState]):
    """A module that maps the input of each step [B, I] to the output [B, O], as a cell whose state is empty.

    Args:
        module: the module; it computes rows independently.
        input_size, output_size: I and O.

    >>> import torch
    >>> cell = Stateless(nn.Linear(3, 5), 3, 5)
    >>> y_BO, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> y_BO.shape, state
    (torch.Size([2, 5]), ())
    """

    def __init__(self, module: nn.Module, input_size: int, output_size: int) -> None:
        super().__init__()
        self.module = module
        self.input_size, self.output_size = input_size, output_size

    def initial_state(self, batch_size: int) -> NoState:
        """Return the empty state."""
        return ()

    def forward(self, x: Any, state: NoState) -> tuple[Tensor, NoState]:
        """Map the input; the state stays empty."""
        return self.module(x), state


class Embedded(Stateless):
    """The embedding of an id: x is [B, 1] int64.

    >>> import torch
    >>> cell = Embedded(nn.Embedding(7, 5))
    >>> cell(torch.tensor([[3], [6]]), ())[0].shape
    torch.Size([2, 5])
    """

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__(embedding, 1, embedding.embedding_dim)
        self.vocabulary_size = embedding.num_embeddings

    def forward(self, x_B1: Tensor, state: NoState) -> tuple[Tensor, NoState]:
        """Return the rows of the embedding [B, O]."""
        return self.module(x_B1[:, 0]), state
