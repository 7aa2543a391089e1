"""Word representations from characters."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, pad

from rnnkit.cells.base import Cell
from rnnkit.errors import UserError
from rnnkit.layers.rnn import RNN
from rnnkit.masks import Lengths, as_lengths, valid_steps
from rnnkit.ranges import Odd, PositiveInt

GROUP = 64
"""The number of words in a batch on a CPU."""


class CharRNN(nn.Module):
    r"""Represents a word by the last states of a bidirectional recurrent network over its characters (Ling et al. 2015,
    arXiv:1508.02096).

    .. math:: w = [\overrightarrow{h}_K ; \overleftarrow{h}_1]

    Axes: U words, K characters, O output features.

    Args:
        alphabet_size: the number of characters; id 0 is padding.
        cell: any cell factory.
        embedding_size: the width of a character embedding.
        hidden_size: the width of each direction.
        output_size: the width of both directions together, in place of `hidden_size`; odd values are rounded up.

    >>> from rnnkit.cells import GRUCell
    >>> encoder = CharRNN(30, GRUCell, embedding_size=8, hidden_size=16)
    >>> encoder(torch.tensor([[4, 5, 6], [7, 0, 0]]), torch.tensor([3, 1])).shape
    torch.Size([2, 32])
    """

    def __init__(
        self,
        alphabet_size: int,
        cell: Callable[[int, int], Cell[Any]],
        embedding_size: PositiveInt = 32,
        hidden_size: PositiveInt = 50,
        output_size: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        if output_size is not None:
            hidden_size = (output_size + 1) // 2
        self.embedding = nn.Embedding(alphabet_size, embedding_size, padding_idx=0)
        self.rnn = RNN(cell, embedding_size, hidden_size, bidirectional=True)
        self.output_size = self.rnn.output_size

    def forward(self, characters_UK: Tensor, sizes_U: Lengths) -> Tensor:
        """Return a representation of each word [U, O], from its characters and their number (one or more)."""
        sizes_U = as_lengths(sizes_U, characters_UK, "sizes_U")
        if characters_UK.device.type != "cpu" or len(sizes_U) <= GROUP:
            return self._read(characters_UK, sizes_U)
        # Words are sorted by length: otherwise a CPU spends more than half of its time on the padding of short words.
        # All batches have the same size, the last words twice, since oneDNN prepares a kernel for each new shape.
        order_U = sizes_U.argsort(descending=True)
        filled_U = torch.cat([order_U, order_U[-1:].expand(-len(order_U) % GROUP)])
        groups = []
        for some_U in filled_U.split(GROUP):
            longest = max(int(sizes_U[some_U[0]]), 1)
            groups.append(self._read(characters_UK[some_U, : longest + longest % 2], sizes_U[some_U]))
        return torch.cat(groups).index_select(0, order_U.argsort())

    def _read(self, characters_UK: Tensor, sizes_U: Tensor) -> Tensor:
        y_UKO, _ = self.rnn(self.embedding(characters_UK), lengths=sizes_U)
        half = self.output_size // 2
        last_U = (sizes_U - 1).clamp(min=0)
        forward_UO = y_UKO[torch.arange(len(last_U), device=last_U.device), last_U, :half]
        return torch.cat([forward_UO, y_UKO[:, 0, half:]], dim=-1)


class CharCNN(nn.Module):
    r"""Represents a word by the maxima of a convolution over its characters (Ma and Hovy 2016, arXiv:1603.01354).

    .. math:: w_o = \max_k \max\Big(0, \; b_o + \sum_{j=0}^{n-1} W_{oj} \cdot x_{k + j - (n - 1) / 2}\Big)

    Words should have marks for their beginning and end, so that a filter can distinguish a suffix from the same letters
    elsewhere.

    Axes: U words, K characters, O filters.

    Args:
        alphabet_size: the number of characters; id 0 is padding.
        embedding_size: the width of a character embedding.
        filters: O.
        kernel_size: n, odd.

    Raises:
        UserError: if `kernel_size` is even.

    >>> encoder = CharCNN(30, embedding_size=8, filters=16)
    >>> encoder(torch.tensor([[4, 5, 6], [7, 0, 0]]), torch.tensor([3, 1])).shape
    torch.Size([2, 16])
    """

    def __init__(
        self,
        alphabet_size: int,
        embedding_size: PositiveInt = 32,
        filters: PositiveInt = 100,
        kernel_size: Odd = 5,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise UserError("kernel_size", "an odd number", str(kernel_size), fix=f"kernel_size={kernel_size + 1}")
        self.embedding = nn.Embedding(alphabet_size, embedding_size, padding_idx=0)
        self.filters = nn.Linear(kernel_size * embedding_size, filters)
        self.kernel_size = kernel_size
        self.output_size = filters

    def forward(self, characters_UK: Tensor, sizes_U: Lengths) -> Tensor:
        """Return a representation of each word [U, O], from its characters and their number (one or more)."""
        sizes_U = as_lengths(sizes_U, characters_UK, "sizes_U")
        A, I = self.embedding.weight.shape  # noqa: E741
        n = self.kernel_size
        # The contributions of each character to a filter at its n places form a small table, and the convolution is a
        # sum of n of its rows. This is far less work than the product, as there are many words and few characters.
        weight_AI = torch.cat([self.embedding.weight.new_zeros(1, I), self.embedding.weight[1:]])
        table_nAO = torch.einsum("ai,oni->nao", weight_AI, self.filters.weight.view(-1, n, I))
        rows_UKn = pad(characters_UK, (n // 2, n // 2)).unfold(1, n, 1)
        rows_UKn = rows_UKn + A * torch.arange(n, device=rows_UKn.device)
        dtype = torch.promote_types(table_nAO.dtype, torch.float32)
        y_RO: Tensor = _RowSums.apply(table_nAO.flatten(0, 1).to(dtype), rows_UKn.flatten(0, 1))
        padded_UK1 = ~valid_steps(sizes_U, characters_UK.shape[1])[..., None]
        largest_UO = y_RO.view(*characters_UK.shape, -1).masked_fill_(padded_UK1, -torch.inf).amax(1)
        return torch.relu(largest_UO.to(self.filters.bias.dtype) + self.filters.bias)


class _RowSums(torch.autograd.Function):
    """Sums of n rows each of a table, [R, O]; `embedding_bag` has no second derivative and a slow first one."""

    @staticmethod
    def forward(ctx: Any, table_AO: Tensor, rows_Rn: Tensor) -> Tensor:
        ctx.save_for_backward(rows_Rn)
        ctx.size = len(table_AO)
        return embedding_bag(rows_Rn, table_AO, mode="sum")

    @staticmethod
    def backward(ctx: Any, grad_RO: Tensor) -> tuple[Tensor, None]:
        (rows_Rn,) = ctx.saved_tensors
        return _Spread.apply(grad_RO, rows_Rn, ctx.size), None


class _Spread(torch.autograd.Function):
    """The transpose of `_RowSums`: adds each of R values to its n rows of a table of zeros."""

    @staticmethod
    def forward(ctx: Any, values_RO: Tensor, rows_Rn: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(rows_Rn)
        table_AO = values_RO.new_zeros(size, values_RO.shape[1])
        for rows_R in rows_Rn.unbind(1):
            table_AO.index_put_((rows_R,), values_RO, accumulate=True)
        return table_AO

    @staticmethod
    def backward(ctx: Any, grad_AO: Tensor) -> tuple[Tensor, None, None]:
        (rows_Rn,) = ctx.saved_tensors
        return _RowSums.apply(grad_AO, rows_Rn), None, None
