"""Pooling: one vector for each sequence from the outputs of all steps, without padding."""

import torch
from torch import Tensor, nn

from rnnkit.errors import UserError
from rnnkit.masks import Lengths, as_lengths, last_valid, valid_steps


class LastPooling(nn.Module):
    r"""The output after the last step of each direction.

    .. math::
        p = y_T, \qquad \text{in both directions} \quad p = [\overrightarrow{y}_T ; \overleftarrow{y}_1]

    For the backward half of a bidirectional layer, that is the output at the first step.

    >>> y_BTH = torch.arange(12.0).view(1, 3, 4)
    >>> LastPooling(4)(y_BTH, torch.tensor([2])).tolist()
    [[4.0, 5.0, 6.0, 7.0]]
    >>> LastPooling(4, bidirectional=True)(y_BTH, torch.tensor([2])).tolist()
    [[4.0, 5.0, 2.0, 3.0]]
    """

    def __init__(self, input_size: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.output_size = input_size
        self.bidirectional = bidirectional

    def forward(self, y_BTH: Tensor, lengths: Lengths | None = None) -> Tensor:
        """Return [B, H], zero for a sequence without a step."""
        if lengths is None:
            return self._ends(y_BTH, y_BTH[:, -1])
        lengths_B = as_lengths(lengths, y_BTH)
        return self._ends(y_BTH, last_valid(y_BTH, lengths_B)).masked_fill((lengths_B == 0)[:, None], 0)

    def _ends(self, y_BTH: Tensor, last_BH: Tensor) -> Tensor:
        if not self.bidirectional:
            return last_BH
        half = self.output_size // 2
        return torch.cat([last_BH[:, :half], y_BTH[:, 0, half:]], dim=1)


class MeanPooling(nn.Module):
    r"""The mean of all steps.

    .. math:: p = \frac{1}{T} \sum_t y_t

    >>> MeanPooling(1)(torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([2])).tolist()
    [[2.0]]
    """

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.output_size = input_size

    def forward(self, y_BTH: Tensor, lengths: Lengths | None = None) -> Tensor:
        """Return [B, H], zero for a sequence without a step."""
        if lengths is None:
            return y_BTH.mean(dim=1)
        lengths_B = as_lengths(lengths, y_BTH)
        # in float16, the sum could overflow although the mean does not
        dtype = torch.promote_types(y_BTH.dtype, torch.float32)
        total_BH = y_BTH.masked_fill(~valid_steps(lengths_B, y_BTH.shape[1])[..., None], 0).sum(dim=1, dtype=dtype)
        return (total_BH / lengths_B.clamp(min=1)[:, None]).to(y_BTH.dtype)


class MaxPooling(nn.Module):
    r"""The largest value of each feature over all steps (Collobert et al. 2011; Conneau et al. 2017, arXiv:1705.02364).

    .. math:: p_h = \max_t y_{th}

    >>> MaxPooling(1)(torch.tensor([[[-3.0], [-1.0], [99.0]]]), torch.tensor([2])).tolist()
    [[-1.0]]
    """

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.output_size = input_size

    def forward(self, y_BTH: Tensor, lengths: Lengths | None = None) -> Tensor:
        """Return [B, H], zero for a sequence without a step."""
        if lengths is None:
            return y_BTH.amax(dim=1)
        lengths_B = as_lengths(lengths, y_BTH)
        padded_BT1 = ~valid_steps(lengths_B, y_BTH.shape[1])[..., None]
        largest_BH = y_BTH.masked_fill(padded_BT1, -torch.inf).amax(dim=1)
        return largest_BH.masked_fill((lengths_B == 0)[:, None], 0)


class AttentionPooling(nn.Module):
    r"""A weighted mean of all steps with learned weights: additive attention (Bahdanau et al. 2015, arXiv:1409.0473;
    several heads: Lin et al. 2017, arXiv:1703.03130).

    .. math::
        e_{kt} = v_k^\top \tanh(W y_t + b), \qquad a_k = \mathrm{softmax}_t(e_k), \qquad
        p = [\textstyle\sum_t a_{1t} y_t ; \dots ; \sum_t a_{Kt} y_t]

    Args:
        input_size: H.
        heads: K; the result has K * H features.
        hidden_size: the number of rows of W; None uses H.

    Raises:
        UserError: if `heads` is below 1.

    >>> pool = AttentionPooling(4, heads=2)
    >>> y_BTH, lengths = torch.randn(3, 5, 4), torch.tensor([5, 2, 1])
    >>> pool(y_BTH, lengths).shape, pool.weights(y_BTH, lengths)[2, 0].tolist()
    (torch.Size([3, 8]), [1.0, 0.0, 0.0, 0.0, 0.0])
    """

    def __init__(self, input_size: int, heads: int = 1, hidden_size: int | None = None) -> None:
        super().__init__()
        if heads < 1:
            raise UserError("attention_heads", "1 or more", str(heads), fix="model.attention_heads=1")
        self.output_size = heads * input_size
        self.hidden = nn.Linear(input_size, hidden_size or input_size)
        self.scores = nn.Linear(hidden_size or input_size, heads, bias=False)

    def weights(self, y_BTH: Tensor, lengths: Lengths | None = None) -> Tensor:
        """Return the weights of the steps [B, K, T], which sum to 1 over the valid steps and are 0 at padding."""
        scores_BKT: Tensor = self.scores(torch.tanh(self.hidden(y_BTH))).transpose(1, 2)
        scores_BKT = scores_BKT.to(torch.promote_types(scores_BKT.dtype, torch.float32))
        if lengths is None:
            return scores_BKT.softmax(dim=2)
        padded_B1T = ~valid_steps(as_lengths(lengths, y_BTH), y_BTH.shape[1])[:, None]
        # the lowest number, not -inf, which would make a sequence without a step NaN
        scores_BKT = scores_BKT.masked_fill(padded_B1T, torch.finfo(scores_BKT.dtype).min)
        return scores_BKT.softmax(dim=2).masked_fill(padded_B1T, 0)

    def forward(self, y_BTH: Tensor, lengths: Lengths | None = None) -> Tensor:
        """Return [B, K * H], zero for a sequence without a step."""
        if lengths is not None:
            lengths = as_lengths(lengths, y_BTH)
            y_BTH = y_BTH.masked_fill(~valid_steps(lengths, y_BTH.shape[1])[..., None], 0)
        return torch.bmm(self.weights(y_BTH, lengths).to(y_BTH.dtype), y_BTH).flatten(1)
