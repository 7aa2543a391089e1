"""What the tags of files are: parts of entities in some scheme, or labels of their own."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from rnnkit.data.io.findings import Findings
from rnnkit.data.tagging.schemes import Parts, part_in, places_of, spans
from rnnkit.data.tagging.sentence import Sentence
from rnnkit.errors import UserError
from rnnkit.notices import counted, listed, notice
from rnnkit.tags import SCHEMES, marks_entities, split_tag, unknown_tags

PLAIN = "plain"
"""In place of a scheme: labels of their own, whatever they look like."""

UNTAGGED = "_"

_LIKE_PARTS = re.compile(r"[A-Za-z]-.+|[BIESLUMW][_:./|].+|.+[-_:][BIESLUMW]", re.DOTALL)


def check_scheme(scheme: str | None) -> None:
    """UserError for what is no scheme to train in."""
    if scheme not in (None, PLAIN, *SCHEMES):
        expected = f"null or one of {', '.join([*SCHEMES, PLAIN])}"
        raise UserError("data.scheme", expected, repr(scheme), fix="data.scheme=bioes")


def check_tagged(train: Sequence[Sentence], fix: str) -> None:
    """UserError where all tags are "_", by which CoNLL-U says that none is known; a single tag is told."""
    counts = Counter(tag for sentence in train for tag in sentence.tags or ())
    if set(counts) == {UNTAGGED}:
        got = f"only '{UNTAGGED}', which stands where no tag is known, {counts[UNTAGGED]:,} times"
        raise UserError("data.tag_column", "tags", got, fix=fix)
    if len(counts) == 1:
        notice(f"tags: all {counts.total():,} tokens of training have the tag {next(iter(counts))!r}")
    elif counts[UNTAGGED]:
        share = f"{counts[UNTAGGED]:,} of {counts.total():,} tokens"
        notice(f"tags: {share} of training have '{UNTAGGED}', which is learned as a tag like the others")


def own_scheme(train: Sequence[Sentence], wanted: str | None) -> str | None:
    """The scheme of the training sentences, None for labels of their own; how they are read is printed.

    `wanted` is the scheme to train in, which says that there are entities; `PLAIN` says that there are none. Otherwise
    tags are parts of entities if most of them are, or if some look like it and O is among them.

    Raises UserError for tags that are no part of entities among those that are.
    """
    tags = dict.fromkeys(tag for sentence in train for tag in sentence.tags or ())
    if wanted in SCHEMES and not any(split_tag(tag)[0] != "O" for tag in tags):
        got = ", ".join(sorted(tags)[:5])
        raise UserError("data.scheme", "tags of entities, such as B-PER and O", got, fix="data.scheme=null")
    if wanted == PLAIN or not (wanted in SCHEMES or _are_entities(tags)):
        like = [] if wanted == PLAIN else sorted(tag for tag in tags if split_tag(tag)[1])
        but = f", though {listed(like)} look like parts of entities" if like else ""
        notice(f"tags: {counted(len(tags), 'label')} without a scheme of entities{but}")
        return None
    check_tags(train)
    schemes = Parts(sentence.tags or () for sentence in train).schemes()
    kinds = len({split_tag(tag)[1] for tag in tags if tag != "O"})
    alike = f" ({listed(schemes[1:])} would fit as well)" if len(schemes) > 1 else ""
    notice(f"tags: entities of {counted(kinds, 'type')}, marked as in {schemes[0]}{alike}")
    return schemes[0]


def check_tags(sentences: Iterable[Sentence]) -> None:
    """UserError for tags that are neither O nor a part of an entity."""
    sentences = list(sentences)
    unknown = set(unknown_tags({tag for sentence in sentences for tag in sentence.tags or ()}))
    findings = Findings()
    for sentence in sentences:
        for token, tag in zip(sentence.tokens, sentence.tags or (), strict=True):
            if tag in unknown:
                findings.add(repr(tag), f"at {token!r}, {sentence.place}")
    findings.refuse(
        "data.tag_column",
        "tags of entities, such as B-PER, I-PER and O",
        fix=f"data.scheme={PLAIN} if the tags mark no entities, or other tags there",
    )


def tell_departures(split: str, sentences: Sequence[Sentence], scheme: str, *, converted: bool) -> None:
    """Print how many tags are not as the scheme has them, and where the first is.

    Raises UserError for a split that is in another scheme, unless all are `converted` to one.
    """
    parts = Parts(sentence.tags or () for sentence in sentences)
    departures = parts.departures(scheme)
    if not departures:
        return
    best = parts.schemes()
    if scheme not in best and 2 * departures > parts.words and not converted:
        got = f"{best[0]}: {departures:,} of {parts.words:,} words of entities have other tags"
        raise UserError(f"data.{split}", f"tags in {scheme}, as in training", got, fix="data.scheme=bio")
    tag, where = _first_departure(sentences, scheme)
    notice(
        f"{split}: {departures:,} of {counted(parts.words, 'tag')} of entities are not as {scheme} has them and are "
        f"read as conlleval reads them; the first is {tag} {where}"
    )


def _first_departure(sentences: Sequence[Sentence], scheme: str) -> tuple[str, str]:
    for sentence in sentences:
        tags = sentence.tags or []
        for token, place, _ in places_of(spans(tags)):
            if tags[token][0] != part_in(scheme, place):
                return tags[token], f"at {sentence.tokens[token]!r}, {sentence.place}"
    raise AssertionError("called only where there is one")


def _are_entities(tags: Collection[str]) -> bool:
    typed = sum(bool(split_tag(tag)[1]) for tag in tags)
    like = any(_LIKE_PARTS.fullmatch(tag) for tag in tags) and ("O" in tags or "o" in tags)
    return marks_entities(tags) or like or 2 * typed > len(tags)
