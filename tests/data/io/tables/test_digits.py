"""Many numbers at once are the numbers that Python reads one at a time."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rnnkit.data.io.tables.building import Notation
from rnnkit.data.io.tables.records import divide

digits = st.text("0123456789", max_size=20)
plain = st.builds(lambda sign, whole, rest: f"{sign}{whole}{rest}", st.sampled_from(["", "-", "+"]), digits, digits)
pointed = st.builds(lambda sign, whole, rest: f"{sign}{whole}.{rest}", st.sampled_from(["", "-"]), digits, digits)
odd = st.sampled_from(
    ["", " 1.5 ", "nan", "NA", "?", "1e5", "-2.5E-3", ".", "-", "1.2.3", "1-2", "x", "1_000", "--1", "5."]
)
cells = st.lists(st.one_of(plain, pointed, odd, st.floats().map(repr)), min_size=1, max_size=30)


@given(cells)
def test_numbers_of_a_block_are_those_of_its_cells(column: list[str]) -> None:
    block = "".join(f"{cell},0\n" for cell in column).encode()
    found = divide(block, ",", '"', 2)
    assert found is not None
    values = Notation().read(found, 0)
    one_by_one = [Notation().number(cell) for cell in column]
    if None in one_by_one:
        assert values is None
        return
    np.testing.assert_array_equal(values, np.array(one_by_one, np.float64))
    for cell, value in zip(column, one_by_one, strict=True):
        if not Notation().is_missing(cell):
            expected = float(cell)
            assert value == expected or (math.isnan(expected) and value is not None and math.isnan(value))


@given(st.lists(st.tuples(st.integers(-(10**9), 10**9), st.integers(0, 999)), min_size=1))
def test_decimal_commas(numbers: list[tuple[int, int]]) -> None:
    block = "".join(f"{whole},{part:03};\n" for whole, part in numbers).encode()
    found = divide(block, ";", '"', 2)
    assert found is not None
    values = Notation(",").read(found, 0)
    np.testing.assert_array_equal(values, [float(f"{whole}.{part:03}") for whole, part in numbers])
