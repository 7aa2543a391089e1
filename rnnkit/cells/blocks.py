"""The two weight matrices of most cells, stacked in blocks for the gates, and their initialization."""

from itertools import zip_longest

import torch
from torch import Tensor, nn

from rnnkit.cells.base import Cell, State
from rnnkit.errors import UserError


def check_size(name: str, size: int) -> None:
    """Raise a `UserError` if an `input_size` or `hidden_size` is below 1.

    >>> check_size("hidden_size", 0)
    Traceback (most recent call last):
    rnnkit.errors.UserError: hidden_size: expected a whole number of at least 1; got 0. Try: model.hidden_size=128
    """
    if size < 1:
        raise UserError(name, "a whole number of at least 1", str(size), fix=f"model.{name}=128")


def orthogonal_(weight: Tensor) -> None:
    """Fill a matrix with orthonormal rows or columns, whatever its dtype (Saxe et al., 2014, arXiv:1312.6120).

    >>> weight = torch.empty(3, 3, dtype=torch.bfloat16)
    >>> orthogonal_(weight)
    >>> bool((weight.float() @ weight.float().T - torch.eye(3)).abs().max() < 0.02)
    True
    """
    with torch.no_grad():
        # the QR decomposition inside does not support half precision, which the default dtype may be
        weight.copy_(nn.init.orthogonal_(torch.empty_like(weight, dtype=torch.float32)))


class BlockCell(Cell[State]):
    """Base class of cells with one linear map of the input and one of the state, each for all gates at once.

    * `weight_ih` [input_blocks * H, I]: a block for each gate that reads the input, initialized uniformly in the range
      of Glorot and Bengio (2010).
    * `weight_hh` [recurrent_blocks * H, W]: a block for each gate that reads the state. W is `recurrent_width`, or H.
      Each block is initialized orthogonally, so that the state neither grows nor decays in the first steps of training.
      If W is less than H (heads), each square within a block is orthogonal.

    Raises:
        UserError: if a size is below 1.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        input_blocks: int,
        recurrent_blocks: int,
        recurrent_width: int | None = None,
    ) -> None:
        super().__init__()
        check_size("input_size", input_size)
        check_size("hidden_size", hidden_size)
        width = hidden_size if recurrent_width is None else recurrent_width
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.output_size = hidden_size
        self.weight_ih = nn.Parameter(torch.empty(input_blocks * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(recurrent_blocks * hidden_size, width))
        blocks_HI = self.weight_ih.detach().split(hidden_size)
        blocks_HW = self.weight_hh.detach().split(min(hidden_size, width))
        for block_HI, block_HW in zip_longest(blocks_HI, blocks_HW):
            if block_HI is not None:
                nn.init.xavier_uniform_(block_HI)
            if block_HW is not None:
                orthogonal_(block_HW)

    def zeros(self, batch_size: int) -> Tensor:
        """Return zeros [B, H] with the device and dtype of the weights."""
        return self.weight_hh.new_zeros(batch_size, self.hidden_size)
