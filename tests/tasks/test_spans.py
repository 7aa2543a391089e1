"""Entities by conlleval's definition, against cases worked out by hand."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from rnnkit.data.tagging.schemes import spans
from rnnkit.tasks.metrics.spans import SpanCounts, scores

TAGS = ["O", "B-x", "I-x", "B-y", "I-y", "E-x", "S-x", "E-y", "S-y"]


def counted(*pairs: tuple[str, str]) -> dict[str, list[int]]:
    """There, found and right of each type, over sentences given as "O B-x I-x" twice, the truth first."""
    counts = SpanCounts(TAGS)
    split = [(truth.split(), found.split()) for truth, found in pairs]
    T = max(len(truth) for truth, _ in split)

    def ids(tags: list[str]) -> list[int]:
        return [TAGS.index(tag) for tag in tags] + [-100] * (T - len(tags))

    truth_BT = torch.tensor([ids(truth) for truth, _ in split])
    found_BT = torch.tensor([ids(found) for _, found in split]).clamp(min=0)
    lengths_B = torch.tensor([len(truth) for truth, _ in split])
    counts.update(truth_BT, found_BT, torch.arange(T) < lengths_B[:, None])
    return dict(zip(counts.kinds, counts.compute().tolist(), strict=True))


CASES = {
    "all right": ("B-x I-x O B-y", "B-x I-x O B-y", {"x": [1, 1, 1], "y": [1, 1, 1]}),
    "a word too few": ("B-x I-x O O", "B-x O O O", {"x": [1, 1, 0], "y": [0, 0, 0]}),
    "a word too many": ("B-x O O O", "B-x I-x O O", {"x": [1, 1, 0], "y": [0, 0, 0]}),
    "another type": ("B-x I-x", "B-y I-y", {"x": [1, 0, 0], "y": [0, 1, 0]}),
    "I after O begins an entity": ("O B-x I-x O", "O I-x I-x O", {"x": [1, 1, 1], "y": [0, 0, 0]}),
    "I at the very beginning": ("B-x I-x", "I-x I-x", {"x": [1, 1, 1], "y": [0, 0, 0]}),
    "a change of type begins one": ("B-x B-y I-y", "B-x I-y I-y", {"x": [1, 1, 1], "y": [1, 1, 1]}),
    "a change of type ends one": ("B-x I-x I-x", "B-x I-x I-y", {"x": [1, 1, 0], "y": [0, 1, 0]}),
    "B splits": ("B-x I-x I-x", "B-x I-x B-x", {"x": [1, 2, 0], "y": [0, 0, 0]}),
    "two that touch": ("B-x B-x", "B-x B-x", {"x": [2, 2, 2], "y": [0, 0, 0]}),
    "E and S in BIOES": ("B-x E-x S-x S-y", "B-x E-x S-x O", {"x": [2, 2, 2], "y": [1, 0, 0]}),
    "I after E or S begins one": (
        "B-x E-x B-x S-x I-x",
        "B-x E-x I-x S-x B-x",
        {"x": [4, 4, 4], "y": [0, 0, 0]},
    ),
    "nothing there": ("O O O", "O B-y O", {"x": [0, 0, 0], "y": [0, 1, 0]}),
}


@pytest.mark.parametrize("case", CASES)
def test_counts_by_hand(case: str) -> None:
    truth, found, expected = CASES[case]
    assert counted((truth, found)) == expected


@pytest.mark.parametrize(
    ("truth", "found", "expected"),
    [  # there, found and right, as seqeval has them with scheme=BILOU, IOE2 and so on
        ("U-x O B-x L-x", "U-x O B-x L-x", [2, 2, 2]),
        ("B-x I-x L-x U-x", "B-x I-x L-x O", [2, 1, 1]),
        ("U-x U-x O O", "B-x L-x O O", [2, 1, 0]),
        ("B-x M-x E-x S-x", "B-x M-x E-x S-x", [2, 2, 2]),
        ("B-x M-x E-x W-x", "B-x E-x W-x W-x", [2, 3, 1]),
        ("I-x E-x E-x O", "I-x E-x O E-x", [2, 2, 1]),
        ("I-x E-x I-x O", "I-x I-x I-x O", [2, 1, 0]),
        ("I-x I-x B-x O", "I-x I-x B-x O", [2, 2, 2]),
        ("B I O B", "B I O O", [2, 1, 1]),
        ("B M E S", "B M E S", [2, 2, 2]),
    ],
)
def test_the_letters_of_other_schemes(truth: str, found: str, expected: list[int]) -> None:
    names = sorted({"O", *truth.split(), *found.split()})
    counts = SpanCounts(names)
    counts.update(*(torch.tensor([[names.index(tag) for tag in tags.split()]]) for tags in (truth, found)))
    assert counts.compute().tolist() == [expected]


def test_the_entities_of_two_sentences_do_not_touch() -> None:
    assert counted(("O B-x", "O B-x"), ("I-x O", "I-x O"))["x"] == [2, 2, 2]
    assert counted(("O B-x", "O B-x"), ("I-x O O", "I-x O O"))["x"] == [2, 2, 2]


def test_batches_of_any_shape_add_up_to_the_entities_that_lists_hold() -> None:
    rng = random.Random(0)
    tagged = [
        ([rng.choice(TAGS) for _ in range(length)], [rng.choice(TAGS) for _ in range(length)])
        for length in (rng.randint(1, 12) for _ in range(300))
    ]
    expected = {"x": [0, 0, 0], "y": [0, 0, 0]}
    for truth, found in tagged:
        there, here = set(spans(truth)), set(spans(found))
        for column, some in enumerate((there, here, there & here)):
            for span in some:
                expected[span.kind][column] += 1
    together = counted(*((" ".join(truth), " ".join(found)) for truth, found in tagged))
    assert together == expected
    assert expected["x"][2] > 20


def test_types_that_training_never_saw_count_as_there_and_never_as_found() -> None:
    counts = SpanCounts(["O", "B-x", "I-x"])
    C = 3
    truth_BT = torch.tensor([[C + 1, C + 2, 0, 1, C + 4]])  # an unseen type's B and I, O, B-x, an unseen S
    counts.update(truth_BT, torch.tensor([[1, 2, 0, 1, 0]]))
    assert counts.compute().tolist() == [[1, 2, 1], [2, 0, 0]]


def test_scores() -> None:
    assert scores(torch.tensor([4, 2, 1])).tolist() == pytest.approx([1 / 2, 1 / 4, 1 / 3])
    assert scores(torch.tensor([[0, 0, 0], [3, 0, 0]])).tolist() == [[0, 0, 0], [0, 0, 0]]


RECORDED = json.loads((Path(__file__).parent / "recorded_span_scores.json").read_text())


@pytest.mark.parametrize("case", RECORDED, ids=[f"{case['scheme']}{n}" for n, case in enumerate(RECORDED)])
def test_scores_equal_those_that_seqeval_gave(case: dict[str, Any]) -> None:
    """Recorded by scripts/record_span_scores.py; half of the tags are illegal in their scheme."""
    counts = SpanCounts(TAGS)
    for truth, found in zip(case["truth"], case["found"], strict=True):
        counts.update(*(torch.tensor([[TAGS.index(tag) for tag in tags]]) for tags in (truth, found)))
    counts_K3 = counts.compute()
    rows = {**dict(zip(counts.kinds, counts_K3, strict=True)), "micro avg": counts_K3.sum(0)}
    for name, expected in case["scores"].items():
        precision, recall, f1 = scores(rows[name]).tolist()
        assert (precision, recall, f1) == pytest.approx(
            (expected["precision"], expected["recall"], expected["f1-score"])
        )
        assert rows[name][0] == expected["support"]
    assert 0.05 < case["scores"]["micro avg"]["f1-score"] < 0.95
