"""One value against one annotation: what fits, and what is said of what does not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Interval, Le, Len, MinLen, MultipleOf, Predicate
from torch import Tensor, nn

from rnnkit.errors import UserError
from rnnkit.ranges import Fraction, Level, NonNegative, NonNegativeInt, Odd, Positive, PositiveInt, Probability, Seed
from rnnkit.training.configuration.values import MISSING, check_value, example, fits
from rnnkit.training.configuration.wording import described

NODE = {"_target_": "my_lab.Thing"}
CASES: list[tuple[Any, list[Any], list[Any]]] = [
    (int, [0, -3, 2**63 - 1], [True, 1.0, "1", None, [], {}, NODE, 2**63, math.nan]),
    (float, [0, 1.5, -1e30], [True, math.nan, math.inf, "x", None, [1.0], NODE]),
    (bool, [True, False], [0, 1, "true", None]),
    (str, ["", "x"], [1, None, [], NODE]),
    (Path, ["a/b", Path("a")], [1, None]),
    (str | Path | None, ["a", None], [1, [], 2.5]),
    (PositiveInt, [1], [0, -1, 1.5, None, True]),
    (NonNegativeInt | None, [0, None], [-1, "x"]),
    (Seed, [0, 2**32 - 1], [-1, 2**32, 10**20]),
    (Odd, [1, 5], [0, 2, -1]),
    (Positive, [1e-9, 3], [0, -1, math.nan, math.inf]),
    (NonNegative, [0, 1e30], [-1e-9]),
    (Probability, [0, 0.5], [1, -0.1, 1.5, math.nan]),
    (Fraction | None, [0.0, None], [1.0]),
    (Level, [0.5], [0, 1]),
    (Annotated[float, Le(math.inf)], [math.inf, 3.0], [math.nan]),
    (Annotated[int, Ge(2), MultipleOf(2)], [2, 4], [3, 0]),
    (Annotated[str, Predicate(str.isupper)], ["A"], ["a", 1]),
    (Literal["a", "b"], ["a"], ["c", 1, None]),
    (Literal[1, "x", True], [1, "x", True], [1.0, False]),
    (Literal["warn"] | bool, ["warn", False], ["x", 0]),
    (Sequence[PositiveInt], [[], [1, 2], (3,)], [[0], [1, "x"], "12", 3, {"a": 1}]),
    (Annotated[list[int], MinLen(1)], [[1]], [[], None]),
    (Annotated[list[int], Len(2, 2)], [[1, 2]], [[1], [1, 2, 3]]),
    (tuple[Fraction, Fraction], [[0.9, 0.99]], [[], [0.9], [0.9, 1.0], 0.9]),
    (tuple[int, ...], [[], [1, 2]], [[1.5]]),
    (Mapping[str, Positive], [{}, {"a": 1.0}], [{"a": 0}, [], 1]),
    (dict, [{}, {"a": 1}], [[], "x"]),
    (Callable[[int], nn.Module], [NODE, len], [3, "x", None, {}]),
    (nn.Module | None, [NODE, None], [3, "gru", [], {}]),
    (float | Tensor, [0.1, NODE], [True, "x", None]),
    (Any, [1, None, [], NODE], []),
]


@pytest.mark.parametrize(("hint", "good", "bad"), CASES)
def test_what_fits(hint: Any, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not fits(value, hint)] == []
    assert [value for value in bad if fits(value, hint)] == []


@pytest.mark.parametrize("hint", [hint for hint, _, _ in CASES])
def test_the_value_that_is_proposed_fits(hint: Any) -> None:
    proposed = example(hint)
    assert proposed is MISSING or fits(proposed, hint)
    assert described(hint)


@pytest.mark.parametrize(
    ("value", "hint", "default", "message"),
    [
        (0, PositiveInt, 256, "k: expected a whole number, 1 or more; got 0. Try: k=256"),
        (2.0, PositiveInt, 256, "k: expected a whole number, 1 or more; got 2.0. Try: k=2"),
        (-1, Seed, MISSING, "k: expected a whole number from 0 to 4294967295; got -1. Try: k=1"),
        (math.nan, Probability | None, 0.1, "k: expected a number in [0, 1) or null; got nan. Try: k=0.1"),
        (0, Positive, MISSING, "k: expected a number above 0; got 0. Try: k=1"),
        ("chra", Literal["char", "byte"], "byte", "k: expected one of char, byte; got 'chra'. Try: k=char"),
        (None, Literal["warn"] | bool, False, "k: expected true or false or warn; got null. Try: k=false"),
        (2024, str | Path | None, None, "k: expected text, a path or null; got 2024. Try: \"k='2024'\""),
        (7, Sequence[int] | None, None, "k: expected a list (each: a whole number) or null; got 7. Try: k=[7]"),
        ([], tuple[float, float], (0.9, 0.99), "k: expected a list of 2 (each: a number); got []. Try: k=[0.9,0.99]"),
        (3, nn.Module, MISSING, "k: expected settings with a _target_; got 3. Try: k._target_=a.dotted.Name"),
        (NODE, float, 1.0, "k: expected a number; got {_target_:my_lab.Thing}. Try: k=1.0"),
    ],
)
def test_what_is_said(value: Any, hint: Any, default: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_value("k", value, hint, default)
    assert str(caught.value) == message


def test_the_default_fits_whatever_its_annotation_says() -> None:
    check_value("k", None, int, default=None)
    check_value("k", 0, Annotated[int, Interval(ge=1)], default=0)
    with pytest.raises(UserError):
        check_value("k", False, Annotated[int, Interval(ge=1)], default=0)
