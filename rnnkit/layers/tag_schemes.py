"""Which tag may follow which where tags mark the parts of entities."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rnnkit.errors import UserError

SCHEMES = ("bio", "bioes")


class LegalTags(NamedTuple):
    """Booleans: `transitions` [C, C] from a tag (row) to the next (column), `start` [C] and `end` [C] of a sentence."""

    transitions: Tensor
    start: Tensor
    end: Tensor


def split_tag(tag: str) -> tuple[str, str]:
    """Part and type of an entity's tag; what is no such tag is outside.

    >>> split_tag("B-creative-work"), split_tag("O")
    (('B', 'creative-work'), ('O', ''))
    """
    part, _, kind = tag.partition("-")
    return (part, kind) if part in ("B", "I", "E", "S") else ("O", "")


def legal_tags(tags: Sequence[str], scheme: str | None) -> LegalTags | None:
    """What a scheme allows among `tags`; None for no scheme, which allows everything.

    * bio: I-x follows B-x or I-x.
    * bioes: an entity of one word is S-x, others are B-x, I-x ..., E-x, so that only I-x and E-x follow B-x and I-x.

    Raises UserError for another scheme.

    >>> legal_tags(["O", "B-x", "I-x"], "bio").transitions.int()
    tensor([[1, 1, 0],
            [1, 1, 1],
            [1, 1, 1]], dtype=torch.int32)
    """
    if scheme is None:
        return None
    if scheme not in SCHEMES:
        raise UserError("model.scheme", "null, bio or bioes", repr(scheme), fix="data.scheme=bioes")
    parts = [split_tag(tag) for tag in tags]
    unfinished = ("B", "I") if scheme == "bioes" else ()

    def follows(before: tuple[str, str], after: tuple[str, str]) -> bool:
        if after[0] in ("I", "E"):
            return before[0] in ("B", "I") and before[1] == after[1]
        return before[0] not in unfinished

    outside = ("O", "")
    return LegalTags(
        torch.tensor([[follows(before, after) for after in parts] for before in parts]),
        torch.tensor([follows(outside, part) for part in parts]),
        torch.tensor([follows(part, outside) for part in parts]),
    )
