"""Dropout of whole words (Gal and Ghahramani, 2016, arXiv:1512.05287; Merity et al., 2018, arXiv:1708.02182)."""

from torch import Tensor, nn
from torch.nn.functional import dropout

from rnnkit.cells.probability import check_probability


class WordDropout(nn.Module):
    r"""Drop words from a window, wherever they occur in it, in training only.

    .. math::
        y_{bt} = \frac{m_{w_{bt}}}{1 - p} x_{bt}, \qquad m_w \sim \mathrm{Bernoulli}(1 - p)

    One mask [V] over the vocabulary: all embeddings of a word are zero at once, in every lane.

    Raises `UserError` for a `p` outside [0, 1).

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
        """Embeddings [B, T, I] and the words [B, T] that they are of."""
        if not self.training or self.p == 0:
            return x_BTI
        return x_BTI * dropout(x_BTI.new_ones(self.vocabulary_size, 1), self.p)[ids_BT]

    def extra_repr(self) -> str:
        """The probability, as `print(module)` shows it."""
        return f"p={self.p}"
