"""Dropout of whole words (Gal and Ghahramani, 2016, arXiv:1512.05287; Merity et al., 2018, arXiv:1708.02182)."""

from torch import Tensor, nn
from torch.nn.functional import dropout

from rnnkit.cells.probability import check_probability


class WordDropout(nn.Module):
    r"""Drops words from a window, at all their occurrences, in training only.

    .. math::
        y_{bt} = \frac{m_{w_{bt}}}{1 - p} x_{bt}, \qquad m_w \sim \mathrm{Bernoulli}(1 - p)

    There is one mask [V] over the vocabulary: all embeddings of a dropped word are zero, in every row of the batch.

    Raises:
        UserError: if `p` is not in [0, 1).

    >>> import torch
    >>> y_BTI = WordDropout(2, p=0.5)(torch.ones(1, 4, 3), ids_BT=torch.tensor([[0, 1, 1, 0]]))
    >>> torch.equal(y_BTI[:, 0], y_BTI[:, 3]), torch.equal(y_BTI[:, 1], y_BTI[:, 2])
    (True, True)
    """

    def __init__(self, vocabulary_size: int, p: float) -> None:
        super().__init__()
        check_probability("p", p)
        self.vocabulary_size = vocabulary_size
        self.p = p

    def forward(self, x_BTI: Tensor, ids_BT: Tensor) -> Tensor:
        """Drop words from embeddings [B, T, I] of the words [B, T]."""
        if not self.training or self.p == 0:
            return x_BTI
        return x_BTI * dropout(x_BTI.new_ones(self.vocabulary_size, 1), self.p)[ids_BT]

    def extra_repr(self) -> str:
        """Return the probability, for `print(module)`."""
        return f"p={self.p}"
