"""Tags of the parts of entities, and their legal transitions."""

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rnnkit.errors import UserError

SCHEMES = ("bio", "bioes")
"""The schemes that a model can be trained in."""

_TAG = re.compile(r"([BIESLUMW])(?:-(.+))?", re.DOTALL)
_SAME = {"L": "E", "U": "S", "W": "S", "M": "I"}
"""Letters of other schemes: last and unit in BILOU, middle in BMES, whole in BMEWO."""


class LegalTags(NamedTuple):
    """Booleans: `transitions` [C, C] from a tag (row) to the next (column), `start` [C] and `end` [C] of a sentence."""

    transitions: Tensor
    start: Tensor
    end: Tensor


def split_tag(tag: str) -> tuple[str, str]:
    """Return part (B, I, E or S) and type of an entity's tag; any other tag is outside.

    The type is empty if the tag is the letter of the part alone. The letters of BILOU and BMEWO are converted.

    >>> split_tag("B-creative-work"), split_tag("U-x"), split_tag("I"), split_tag("O")
    (('B', 'creative-work'), ('S', 'x'), ('I', ''), ('O', ''))
    """
    match = _TAG.fullmatch(tag)
    if match is None:
        return "O", ""
    part, kind = match.groups()
    return _SAME.get(part, part), kind or ""


def unknown_tags(tags: Collection[str]) -> list[str]:
    """Return the tags that are neither O nor a part of an entity, in their order.

    A bare letter is one of them if other tags have a type.

    >>> unknown_tags(["O", "B-x", "I-x", "X-x", "I"])
    ['X-x', 'I']
    """
    typed = any(split_tag(tag)[1] for tag in tags)
    return [tag for tag in tags if tag != "O" and (split_tag(tag)[0] == "O" or (typed and not split_tag(tag)[1]))]


def marks_entities(tags: Collection[str]) -> bool:
    """Whether all tags are those of one scheme for entities, and not other labels.

    >>> marks_entities(["O", "B-x"]), marks_entities(["B", "M", "E", "S"]), marks_entities(["NOUN", "S", "O"])
    (True, True, False)
    """
    parts = [split_tag(tag) for tag in tags if tag != "O"]
    if not parts or unknown_tags(tags):
        return False
    typed = any(kind for _, kind in parts)
    return typed or "B" in tags or ("I" in tags and "O" in tags)  # otherwise letters may be other labels


def legal_tags(tags: Sequence[str], scheme: str | None) -> LegalTags | None:
    """Return the transitions that a scheme allows among `tags`; None for no scheme, which allows everything.

    * bio: I-x follows B-x or I-x.
    * bioes: an entity of one word is S-x, others are B-x, I-x ..., E-x, so that only I-x and E-x follow B-x and I-x.

    Raises:
        UserError: for another scheme.

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
