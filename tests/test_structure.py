from numbers import Real
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
from annotated_types import Ge, Interval, MinLen

from rnnkit.structure import check


class Part(TypedDict):
    size: Annotated[int, Ge(1)]
    name: NotRequired[str | None]


FITTING: list[tuple[Any, Any]] = [
    (3, int),
    (3, float),
    (2.5, float),
    (float("inf"), Real),
    (None, str | None),
    (["a"], list[str]),
    ([], list[str]),
    ([1, "a"], tuple[int, str]),
    ({"a": [1.5]}, dict[str, list[float]]),
    ({"size": 2}, Part),
    ({"size": 2, "name": None}, Part),
    ("a", Literal["a", "b"]),
    ({"anything": [{}]}, Any),
    (0.5, Annotated[float, Interval(ge=0, le=1)]),
]
UNFIT: list[tuple[Any, Any, str]] = [
    (True, int, "whole number"),
    (1.0, int, "whole number"),
    (2**70, int, "whole number"),
    (float("nan"), float, "finite"),
    (float("inf"), float, "finite"),
    (True, Real, "number"),
    (1, str | None, "text"),
    ("ab", list[str], "list"),
    (["a", 1], list[str], r"\[1\] is 1"),
    ([1], tuple[int, str], "1 entries instead of 2"),
    ([], Annotated[list[int], MinLen(1)], "range"),
    ({"a": [1, "b"]}, dict[str, list[float]], r"a\[1\] is 'b'"),
    ({}, Part, "size is missing"),
    ({"size": 0}, Part, "size is 0"),
    ({"size": 1, "other": 1}, Part, "other is not known"),
    ({"size": 1, "name": 3}, Part, "name is 3"),
    ([], Part, "mapping"),
    ("c", Literal["a", "b"], "one of a, b"),
    (True, Literal[1], "one of 1"),
    (1.5, Annotated[float, Interval(ge=0, le=1)], "range"),
    ({1: "a"}, dict[str, str], "key"),
]


@pytest.mark.parametrize(("value", "kind"), FITTING)
def test_a_value_of_the_type(value: Any, kind: Any) -> None:
    check(value, kind)


@pytest.mark.parametrize(("value", "kind", "said"), UNFIT)
def test_a_value_of_another_type_is_named(value: Any, kind: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check(value, kind, "place")
