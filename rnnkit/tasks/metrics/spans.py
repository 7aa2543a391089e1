"""Counts of entities, by the definition of conlleval."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from rnnkit.tags import split_tag

_PARTS = "OBIES"
_O, _B, _I, _E, _S = range(5)
UNSEEN = "(unseen)"
"""The type of entities that no training tag has."""


class SpanCounts(Metric):
    r"""The number of true, predicted and correctly predicted entities of each type.

    .. math::
        P = \frac{\mathrm{right}}{\mathrm{found}}, \qquad R = \frac{\mathrm{right}}{\mathrm{there}}, \qquad
        F_1 = \frac{2 P R}{P + R}

    A predicted entity is correct if its type, its first and its last token are. Entities are read from a sequence of
    tags, legal or not, as in the script of the CoNLL shared tasks (Tjong Kim Sang and Buchholz 2000). An entity begins
    at B or S, at I or E after O, E or S, and where the type changes. It ends at E or S, and before the next entity or
    O. No entity extends over two sentences or into the padding.

    `compute` returns the counts [K, 3] of `kinds`: there, found, right. Tags are ids. The ids from C to C + 4 are the
    parts O, B, I, E and S of types that do not occur in the tags; they count as one type.

    Axes: B sentences, T tokens, C tags, K types.

    >>> counts = SpanCounts(["O", "B-x", "I-x"])
    >>> counts.update(torch.tensor([[1, 2, 0], [1, 1, 0]]), torch.tensor([[1, 2, 0], [1, 2, 0]]))
    >>> counts.kinds, counts.compute().tolist()
    (['x'], [[3, 2, 1]])
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, tags: Sequence[str]) -> None:
        super().__init__()
        parts = [split_tag(tag) for tag in tags]
        self.kinds = sorted({kind for part, kind in parts if part != "O"})
        place = {kind: k for k, kind in enumerate(self.kinds)}
        unseen = len(self.kinds)
        self._part = torch.tensor([_PARTS.index(part) for part, _ in parts] + list(range(5)))
        self._kind = torch.tensor([place.get(kind, -1) for _, kind in parts] + [-1, *[unseen] * 4])
        self.add_state("counts", torch.zeros(unseen + 1, 3, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, truth_BT: Tensor, found_BT: Tensor, valid_BT: Tensor | None = None) -> None:
        """Adds the tags of a batch; None means that there is no padding."""
        there, found = (self._marked(ids_BT, valid_BT) for ids_BT in (truth_BT, found_BT))
        K = len(self.counts)
        right = (there[0] == found[0]) & (there[0] >= 0) & (there[1] == found[1])
        for column, kinds in enumerate((there[0][there[0] >= 0], found[0][found[0] >= 0], there[0][right])):
            self.counts[:, column] += torch.bincount(kinds, minlength=K)

    def compute(self) -> Tensor:
        """Returns counts [K, 3], with one more row for unseen types if there are any."""
        return self.counts if bool(self.counts[-1].any()) else self.counts[:-1]

    def _marked(self, ids_BT: Tensor, valid_BT: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns for each token the type of the entity that begins there, -1 for none, and the token that ends it."""
        device = ids_BT.device
        ids_BT = torch.nn.functional.pad(ids_BT, (0, 1))  # a step outside between sentences
        outside = torch.ones_like(ids_BT, dtype=torch.bool)
        outside[:, :-1] = False if valid_BT is None else ~valid_BT
        ids_N, outside_N = ids_BT.masked_fill(outside, 0).flatten(), outside.flatten()
        part_N = self._part.to(device)[ids_N].masked_fill(outside_N, _O)
        kind_N = self._kind.to(device)[ids_N].masked_fill(outside_N, -1)
        before_N, kind_before_N = part_N.roll(1), kind_N.roll(1)  # the last step is outside
        inside_N = part_N != _O
        goes_on_N = (
            ((part_N == _I) | (part_N == _E)) & ((before_N == _B) | (before_N == _I)) & (kind_N == kind_before_N)
        )
        begins_N = inside_N & ~goes_on_N
        ends_N = inside_N & ~goes_on_N.roll(-1)
        end_N = torch.zeros_like(ids_N)
        end_N[begins_N] = ends_N.nonzero().flatten()  # beginnings and ends alternate
        return kind_N.masked_fill(~begins_N, -1), end_N


def scores(counts_K3: Tensor) -> Tensor:
    """Returns precision, recall and F1 [..., 3] from counts [..., 3] (there, found, right); 0 if a denominator is 0."""
    there, found, right = counts_K3.double().unbind(-1)
    ratios = [right / found, right / there, 2 * right / (there + found)]
    return torch.stack(ratios, -1).nan_to_num(0.0)
