"""Schemes of entity tags: every conversion keeps the entities."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnkit.data.tagging.schemes import PARTS, Span, convert, scheme_of, spans, tags_of
from rnnkit.layers.tag_schemes import legal_tags

BY_HAND = {
    "bio": "B-x I-x I-x B-x O B-y B-y".split(),  # noqa: SIM905
    "bio1": "I-x I-x I-x B-x O I-y B-y".split(),  # noqa: SIM905
    "bioes": "B-x I-x E-x S-x O S-y S-y".split(),  # noqa: SIM905
    "bilou": "B-x I-x L-x U-x O U-y U-y".split(),  # noqa: SIM905
}


@st.composite
def entities(draw: st.DrawFn) -> tuple[list[Span], int]:
    """Entities side by side in a sentence, and its length."""
    found, place = [], 0
    for gap, length, kind in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from("xy")))):
        found.append(Span(place + gap, place + gap + length, kind))
        place += gap + length
    return found, place + draw(st.integers(0, 2))


@pytest.mark.parametrize("source", BY_HAND)
@pytest.mark.parametrize("target", BY_HAND)
def test_conversions_by_hand(source: str, target: str) -> None:
    assert convert(BY_HAND[source], target) == BY_HAND[target]
    assert scheme_of([BY_HAND[source]]) == source


@pytest.mark.parametrize("scheme", PARTS)
@given(entities())
def test_entities_survive_the_way_there_and_back(scheme: str, case: tuple[list[Span], int]) -> None:
    found, length = case
    tags = tags_of(found, length, scheme)
    assert len(tags) == length
    assert spans(tags) == found
    assert convert(tags, scheme) == tags


@pytest.mark.parametrize("scheme", ["bio", "bioes"])
@given(entities())
def test_what_is_converted_is_legal(scheme: str, case: tuple[list[Span], int]) -> None:
    tags = tags_of(*case, scheme)
    names = sorted({*tags, "O"})
    legal = legal_tags(names, scheme)
    assert legal is not None
    ids = [names.index(tag) for tag in tags]
    assert all(legal.transitions[i, j] for i, j in pairwise(ids))
    if ids:
        assert legal.start[ids[0]]
        assert legal.end[ids[-1]]


@given(st.lists(st.sampled_from(["O", "B-x", "I-x", "E-x", "S-x", "I-y", "B-y"])))
def test_any_tags_at_all_have_entities_that_cover_all_that_is_not_outside(tags: list[str]) -> None:
    found = spans(tags)
    covered = {place for start, end, _ in found for place in range(start, end)}
    assert covered == {place for place, tag in enumerate(tags) if tag != "O"}
    assert spans(convert(tags, "bioes")) == found


def test_bio1_is_told_from_bio_with_mistakes() -> None:
    assert scheme_of([["I-x", "B-x"], ["O", "I-y"]]) == "bio1"
    assert scheme_of([["I-x", "O", "B-x"]]) == "bio"  # a B that bio1 would not need
    assert scheme_of([["O", "O"]]) == "bio"
