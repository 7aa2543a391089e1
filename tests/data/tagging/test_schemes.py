"""Schemes of entity tags: every conversion keeps the entities."""

from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnkit.data.tagging.learned import Scheme
from rnnkit.data.tagging.schemes import PARTS, Parts, Span, convert, spans, tags_of
from rnnkit.tags import legal_tags, marks_entities

BY_HAND = {
    "bio": "B-x I-x I-x B-x O B-y B-y".split(),  # noqa: SIM905
    "iob1": "I-x I-x I-x B-x O I-y B-y".split(),  # noqa: SIM905
    "ioe2": "I-x I-x E-x E-x O E-y E-y".split(),  # noqa: SIM905
    "ioe1": "I-x I-x E-x I-x O E-y I-y".split(),  # noqa: SIM905
    "bioes": "B-x I-x E-x S-x O S-y S-y".split(),  # noqa: SIM905
    "bilou": "B-x I-x L-x U-x O U-y U-y".split(),  # noqa: SIM905
    "bmes": "B-x M-x E-x S-x O S-y S-y".split(),  # noqa: SIM905
    "bmewo": "B-x M-x E-x W-x O W-y W-y".split(),  # noqa: SIM905
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


@pytest.mark.parametrize("scheme", [*BY_HAND, "io"])
@pytest.mark.parametrize("is_bare", [False, True])
def test_every_scheme_is_found(scheme: str, is_bare: bool) -> None:
    """Also where tags have no types, and entities of all kinds touch."""
    tags = BY_HAND.get(scheme, ["I-x", "I-x", "O", "I-y", "I-x"])
    if is_bare:
        tags = [tag.removesuffix("-x").removesuffix("-y") for tag in tags]
    assert marks_entities(tags)
    assert Parts([tags]).schemes()[0] == scheme
    assert convert(tags, scheme) == tags


@pytest.mark.parametrize(
    ("tags", "scheme", "others"),
    [
        ("B-x O B-y", "bio", []),
        ("I-x O I-x I-x", "io", ["iob1", "ioe1"]),
        ("B-x E-x O B-y E-y", "bioes", ["bmes", "bmewo"]),
        ("S-x O S-y", "bioes", ["bmes"]),
        ("U-x O U-y", "bilou", []),
        ("E-x O I-y E-y", "ioe2", []),
        ("B-x L-x", "bilou", []),
        ("O O", "bio", None),
    ],
)
def test_what_several_schemes_fit_is_the_first_of_them(tags: str, scheme: str, others: list[str] | None) -> None:
    found = Parts([tags.split()]).schemes()
    assert found[0] == scheme
    assert others is None or found[1:] == others


@pytest.mark.parametrize("scheme", PARTS)
def test_the_majority_decides_and_strays_are_counted(scheme: str) -> None:
    sentences = [BY_HAND.get(scheme, ["I-x", "I-x", "O", "I-y"])] * 50
    stray = {"bio": "I-x", "io": "B-x"}.get(scheme, "B-x")
    parts = Parts([*sentences, ["O", stray, "O"], ["O", stray, "O"]])
    assert parts.departures(scheme) == 2
    if scheme != "io":  # which two B- and nothing else do not tell from iob1
        assert parts.schemes() == [scheme]


@pytest.mark.parametrize("scheme", sorted(set(PARTS) - {"io"}))
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


def test_in_io_entities_of_a_type_that_touch_are_one() -> None:
    assert convert(["B-x", "I-x", "B-x", "B-y"], "io") == ["I-x", "I-x", "I-x", "I-y"]


@pytest.mark.parametrize("tags", ["NOUN O", "S O", "B-x O X-x", "B-x I O", "O", "E S", "O-x B-x"])
def test_labels_of_their_own_mark_no_entities(tags: str) -> None:
    assert not marks_entities(tags.split())


def test_every_scheme_may_stand_in_a_file() -> None:
    assert {*get_args(get_args(Scheme)[0])} == {*PARTS}
