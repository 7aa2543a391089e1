"""Detection and checks of the kind of tags: entities in some scheme, or plain labels."""

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
"""The value of `scheme` for tags that are plain labels."""

UNTAGGED = "_"

_LIKE_PARTS = re.compile(r"[A-Za-z]-.+|[BIESLUMW][_:./|].+|.+[-_:][BIESLUMW]", re.DOTALL)


def check_scheme(scheme: str | None) -> None:
    """Raise UserError if `scheme` is not a scheme for training."""
    if scheme not in (None, PLAIN, *SCHEMES):
        expected = f"null or one of {', '.join([*SCHEMES, PLAIN])}"
        raise UserError("data.scheme", expected, repr(scheme), fix="data.scheme=bioes")


def check_tagged(train: Sequence[Sentence], fix: str) -> None:
    """Raise UserError if all tags are "_", the unknown tag of CoNLL-U. Print a notice if there is only one tag."""
    counts = Counter(tag for sentence in train for tag in sentence.tags or ())
    if set(counts) == {UNTAGGED}:
        got = f"only '{UNTAGGED}', which means that no tag is known, {counts[UNTAGGED]:,} times"
        raise UserError("data.tag_column", "tags", got, fix=fix)
    if len(counts) == 1:
        notice(f"tags: all {counts.total():,} tokens of training have the tag {next(iter(counts))!r}")
    elif counts[UNTAGGED]:
        share = f"{counts[UNTAGGED]:,} of {counts.total():,} tokens"
        notice(f"tags: {share} of training have '{UNTAGGED}', which is learned like any other tag")


def own_scheme(train: Sequence[Sentence], wanted: str | None) -> str | None:
    """Detect the scheme of the training sentences and print it.

    Without `wanted`, tags are entities if most of them have that form, or if some have it and O is among the tags.

    Args:
        train: the training sentences.
        wanted: the scheme to train in, for entities; `PLAIN` for plain labels; None to detect the kind.

    Returns:
        The scheme, or None for plain labels.

    Raises:
        UserError: only some of the tags have the form of entities.
    """
    tags = dict.fromkeys(tag for sentence in train for tag in sentence.tags or ())
    if wanted in SCHEMES and not any(split_tag(tag)[0] != "O" for tag in tags):
        got = ", ".join(sorted(tags)[:5])
        raise UserError("data.scheme", "tags of entities, such as B-PER and O", got, fix="data.scheme=null")
    if wanted == PLAIN or not (wanted in SCHEMES or _are_entities(tags)):
        like = [] if wanted == PLAIN else sorted(tag for tag in tags if split_tag(tag)[1])
        but = f", although {listed(like)} have the form of entities" if like else ""
        notice(f"tags: {counted(len(tags), 'label')} without a scheme of entities{but}")
        return None
    check_tags(train)
    schemes = Parts(sentence.tags or () for sentence in train).schemes()
    kinds = len({split_tag(tag)[1] for tag in tags if tag != "O"})
    alike = f" ({listed(schemes[1:])} would fit as well)" if len(schemes) > 1 else ""
    notice(f"tags: entities of {counted(kinds, 'type')}, marked as in {schemes[0]}{alike}")
    return schemes[0]


def check_tags(sentences: Iterable[Sentence]) -> None:
    """Raise UserError if a tag is neither O nor part of an entity."""
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
        fix=f"data.scheme={PLAIN} if the tags are not entities, or corrected tags",
    )


def report_departures(split: str, sentences: Sequence[Sentence], scheme: str, *, converted: bool) -> None:
    """Print the number of tags that do not follow the scheme, and the place of the first.

    Args:
        split: the name of the split.
        sentences: its sentences.
        scheme: the scheme of training.
        converted: whether all splits are converted to one scheme.

    Raises:
        UserError: the split has another scheme, and splits are not converted.
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
        f"{split}: {departures:,} of {counted(parts.words, 'tag')} of entities do not follow {scheme} and are read by "
        f"the rules of conlleval; the first is {tag} {where}"
    )


def _first_departure(sentences: Sequence[Sentence], scheme: str) -> tuple[str, str]:
    for sentence in sentences:
        tags = sentence.tags or []
        for token, place, _ in places_of(spans(tags)):
            if tags[token][0] != part_in(scheme, place):
                return tags[token], f"at {sentence.tokens[token]!r}, {sentence.place}"
    raise AssertionError("called only if there is one")


def _are_entities(tags: Collection[str]) -> bool:
    typed = sum(bool(split_tag(tag)[1]) for tag in tags)
    like = any(_LIKE_PARTS.fullmatch(tag) for tag in tags) and ("O" in tags or "o" in tags)
    return marks_entities(tags) or like or 2 * typed > len(tags)
