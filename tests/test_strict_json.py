"""JSON that has no NaN and no Infinity, whatever is written."""

import io
import json
import math

import pytest

from rnnkit.data.io.writing import row_writer
from rnnkit.strict_json import dumps


def strictly(text: str) -> object:
    """What a parser that knows the standard alone reads."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_becomes_null_at_any_depth(bad: float) -> None:
    value = {"a": bad, "b": [1, (bad, 0.1)], "c": {"d": bad, "e": "NaN"}, "f": None, "g": True}
    expected = {"a": None, "b": [1, [None, 0.1]], "c": {"d": None, "e": "NaN"}, "f": None, "g": True}
    assert strictly(dumps(value)) == expected


def test_finite_values_are_written_as_json_writes_them() -> None:
    value = {"x": 0.1 + 0.2, "y": 1e-310, "name": "größe", "n": [1, 2]}
    assert dumps(value, indent=2, ensure_ascii=False) == json.dumps(value, indent=2, ensure_ascii=False)


@pytest.mark.parametrize("format_", ["jsonl", "csv"])
def test_predictions_keep_all_digits_and_leave_out_what_is_not_finite(
    format_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = io.StringIO()
    write = row_writer(sink, format_, lambda example, prediction: [{"id": example, "value": prediction}])
    for number, value in enumerate([100000000.78183149, math.nan, math.inf, 1e-30]):
        write(number, value)
    lines = sink.getvalue().splitlines()
    if format_ == "jsonl":
        assert [strictly(line)["value"] for line in lines] == [100000000.78183149, None, None, 1e-30]  # type: ignore[index]
    else:
        assert lines == ["id,value", "0,100000000.78183149", "1,", "2,", "3,1e-30"]
    assert capsys.readouterr().err == "non-finite numbers are left empty, first in row 2: value\n"
