"""The linear-chain conditional random field (Lafferty et al. 2001; Lample et al. 2016, arXiv:1603.01360)."""

import torch
from torch import Tensor, nn

from rnnkit.layers.forward_backward import log_partition, marginals, wide, wide_log_partition
from rnnkit.layers.viterbi import n_best, viterbi
from rnnkit.masks import Lengths, as_lengths, last_valid, valid_steps
from rnnkit.tags import LegalTags


class CRF(nn.Module):
    r"""Scores each pair of successive tags, and defines a probability for sequences of tags.

    .. math::
        \mathrm{score}(y) &= s_{y_1} + \sum_t e_{t, y_t} + \sum_t A_{y_{t-1}, y_t} + z_{y_T} \\
        \ln p(y) &= \mathrm{score}(y) - \ln \sum_{y'} \exp \mathrm{score}(y')

    The emissions e [B, T, C] come from a model; s, A and z are learned. Transitions that are not `legal` have a score
    of minus infinity: paths with them have no part in the sum and are never decoded. All methods take the emissions and
    `lengths` [B], None if there is no padding; values in the padding have no effect.

    Axes: B sequences, T steps, C tags.

    Args:
        tags: C.
        legal: see `rnnkit.tags`; None allows all transitions.

    >>> crf = CRF(tags=3)
    >>> e_BTC, tags_BT = torch.randn(2, 4, 3), torch.tensor([[0, 1, 2, 0], [2, 1, 0, 0]])
    >>> lengths = torch.tensor([4, 2])
    >>> crf.log_likelihood(e_BTC, tags_BT, lengths).shape, crf.decode(e_BTC, lengths).shape
    (torch.Size([2]), torch.Size([2, 4]))
    """

    allowed: Tensor
    allowed_start: Tensor
    allowed_end: Tensor

    def __init__(self, tags: int, legal: LegalTags | None = None) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.empty(tags, tags))
        self.start = nn.Parameter(torch.empty(tags))
        self.end = nn.Parameter(torch.empty(tags))
        anything = LegalTags(torch.ones(tags, tags), torch.ones(tags), torch.ones(tags))
        for name, part in zip(("allowed", "allowed_start", "allowed_end"), legal or anything, strict=True):
            self.register_buffer(name, part.bool(), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize all scores with small uniform numbers, so that all paths are about equally likely."""
        for scores in (self.transitions, self.start, self.end):
            nn.init.uniform_(scores, -0.1, 0.1)

    def scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return transitions [C, C] from row to column, start [C] and end [C], minus infinity if illegal."""
        return (
            self.transitions.masked_fill(~self.allowed, -torch.inf),
            self.start.masked_fill(~self.allowed_start, -torch.inf),
            self.end.masked_fill(~self.allowed_end, -torch.inf),
        )

    def log_likelihood(self, e_BTC: Tensor, tags_BT: Tensor, lengths: Lengths | None = None) -> Tensor:
        """Return the log-likelihood of the tags of each sequence [B], at least in float32; 0 for an empty sequence."""
        lengths_B = None if lengths is None else as_lengths(lengths, e_BTC)
        dtype = torch.promote_types(torch.promote_types(e_BTC.dtype, self.start.dtype), torch.float32)
        # both are large for long sentences, and their difference is small: it is computed before rounding
        chain = wide(e_BTC, *self.scores())
        return (path_score(*chain, tags_BT, lengths_B) - wide_log_partition(*chain, lengths_B)).to(dtype)

    def decode(self, e_BTC: Tensor, lengths: Lengths | None = None) -> Tensor:
        """Return the most probable tags [B, T], zero at padding."""
        return viterbi(e_BTC, *self.scores(), None if lengths is None else as_lengths(lengths, e_BTC))

    def n_best(self, e_BTC: Tensor, n: int, lengths: Lengths | None = None) -> tuple[Tensor, Tensor]:
        """Return the n most probable tag sequences [B, n, T], best first, and their log-probabilities [B, n]."""
        scores, lengths_B = self.scores(), None if lengths is None else as_lengths(lengths, e_BTC)
        paths_BNT, scores_BN = n_best(e_BTC, *scores, n, lengths_B)
        return paths_BNT, scores_BN - log_partition(e_BTC, *scores, lengths_B)[:, None]

    def marginals(self, e_BTC: Tensor, lengths: Lengths | None = None) -> Tensor:
        """Return the marginal probability of each tag at each step [B, T, C], zero at padding."""
        return marginals(e_BTC, *self.scores(), None if lengths is None else as_lengths(lengths, e_BTC))

    def extra_repr(self) -> str:
        """Return the number of tags, for `print(module)`."""
        return f"tags={len(self.start)}"


def path_score(
    e_BTC: Tensor, transitions_CC: Tensor, start_C: Tensor, end_C: Tensor, tags_BT: Tensor, lengths_B: Tensor | None
) -> Tensor:
    """Return the score of one path for each sequence [B]; tags at padding are ignored."""
    _, T, C = e_BTC.shape
    tags_BT = tags_BT.long()
    if T == 0:
        return e_BTC.sum((1, 2))
    valid_BT = None if lengths_B is None else valid_steps(lengths_B, T)
    if valid_BT is not None:
        tags_BT = tags_BT.masked_fill(~valid_BT, 0)
    states_BT = e_BTC.gather(2, tags_BT[..., None])[..., 0]
    steps_BT = transitions_CC.flatten()[tags_BT[:, :-1] * C + tags_BT[:, 1:]]
    if valid_BT is None or lengths_B is None:
        return start_C[tags_BT[:, 0]] + states_BT.sum(1) + steps_BT.sum(1) + end_C[tags_BT[:, -1]]
    last_B = last_valid(tags_BT, lengths_B)
    states_BT = torch.where(valid_BT, states_BT, 0)
    steps_BT = torch.where(valid_BT[:, 1:], steps_BT, 0)
    score_B = start_C[tags_BT[:, 0]] + states_BT.sum(1) + steps_BT.sum(1) + end_C[last_B]
    return torch.where(lengths_B > 0, score_B, 0)
