"""Each wrong argument ends in one message with its name, what was expected, what arrived and what repairs it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from rnnkit.cells import ElmanCell, GRUCell, LSTMCell, LSTMState
from rnnkit.engines import ENGINES, explain, scan
from rnnkit.errors import UserError
from rnnkit.layers import RNN

X = torch.zeros(2, 4, 3)
ZEROS = torch.zeros(2, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": X[0]}, r"x: expected three axes, \[batch, time, 3\]; got shape \[4, 3\]\. Try: x\[None\]"),
        ({"x": X[..., :2]}, r"x: expected \[batch, time, 3\].*LSTMCell.*got shape \[2, 4, 2\].*input_size=2"),
        ({"state": (ZEROS, ZEROS)}, r"state: expected LSTMState\(hidden, cell\); got tuple\. Try: state=LSTMState\("),
        ({"state": ZEROS}, r"state: expected LSTMState\(hidden, cell\); got Tensor"),
        ({"state": LSTMState(ZEROS, ZEROS[:1])}, r"state.cell: expected shape \[2, 5\]; got shape \[1, 5\]"),
        ({"state": LSTMState(ZEROS[:, :4], ZEROS)}, r"state.hidden: expected shape \[2, 5\]; got shape \[2, 4\]"),
        ({"state": LSTMState(ZEROS, None)}, r"state.cell: expected a Tensor \[2, 5\]; got NoneType"),  # type: ignore
        ({"lengths": torch.tensor([4])}, r"lengths: expected whole numbers of shape \[2\].*shape \[1\].*mask.sum"),
        ({"lengths": torch.ones(2)}, r"lengths: expected whole numbers .*torch.float32"),
        ({"lengths": torch.tensor([True, True])}, r"lengths: expected whole numbers .*torch.bool"),
        (
            {"lengths": torch.tensor([4, 5])},
            r"lengths: expected values from 0 to the 4 steps of x; got values from 4 to 5",
        ),
        ({"lengths": torch.tensor([-1, 4])}, r"lengths: .*got values from -1 to 4.*clamp\(0, 4\)"),
        (
            {"reset": torch.zeros(3, dtype=torch.bool)},
            r"reset: expected torch.bool of shape \[2\] or \[2, 4\]; got .*\[3\]",
        ),
        ({"reset": torch.zeros(2, 3, dtype=torch.bool)}, r"reset: .*got torch.bool of shape \[2, 3\]"),
        ({"reset": torch.zeros(2)}, r"reset: .*got torch.float32 of shape \[2\].*as_tensor\(reset\).bool\(\)"),
        ({"engine": "fast"}, r"engine: expected auto or one of .*reference; got 'fast'\. Try: engine=.auto."),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        scan(LSTMCell(3, 5), **{"x": X, **options})


def test_a_state_where_one_tensor_is_expected() -> None:
    with pytest.raises(UserError, match=r"state: expected a Tensor \[2, 5\]; got LSTMState"):
        scan(ElmanCell(3, 5), X, LSTMState(ZEROS, ZEROS))  # type: ignore[arg-type]


def test_an_engine_that_cannot_run_the_cell_says_why() -> None:
    with pytest.raises(UserError, match=r"engine: .*got native \(torch's GRU resets after .*engine=.auto"):
        scan(GRUCell(3, 5, reset_after=False), X, engine="native")
    with pytest.raises(UserError, match="engine"):
        explain(GRUCell(3, 5), X, engine="none")


def test_explain_accounts_for_every_other_engine() -> None:
    explanation = explain(GRUCell(3, 5), X)
    assert {explanation.engine, *explanation.ruled_out} == set(ENGINES)
    assert explanation.ruled_out["reference"] == "`native` is faster"
    asked = explain(GRUCell(3, 5), X, engine="reference")
    assert asked.engine == "reference"
    assert asked.ruled_out["native"] == "`reference` was requested"


def test_mistakes_cost_no_look_at_a_devices_numbers() -> None:
    lengths = torch.tensor([4, 5], device="meta")
    cell = LSTMCell(3, 5).to("meta")
    y_BTO, _ = scan(cell, X.to("meta"), lengths=lengths)
    assert y_BTO.shape == (2, 4, 5)


LENGTHS = torch.tensor([4, 1])


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    "lengths",
    [
        [4, 1],
        (4, 1),
        range(4, -2, -3),
        [LENGTHS[0], np.int16(1)],
        *(np.array([4, 1], dtype) for dtype in ("int64", "int8", "uint8", "uint16", "uint64")),
        *(
            LENGTHS.to(dtype)
            for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.uint16, torch.uint64)
        ),
    ],
    ids=lambda lengths: f"{type(lengths).__name__} {getattr(lengths, 'dtype', '')}",
)
def test_lengths_of_any_integer_type(lengths: Any, bidirectional: bool) -> None:
    rnn, x_BTI = RNN(LSTMCell, 3, 5, bidirectional=bidirectional), torch.randn(2, 4, 3)
    for engine in ("reference", "native"):
        expected, _ = rnn(x_BTI, lengths=LENGTHS, engine=engine)
        assert torch.equal(rnn(x_BTI, lengths=lengths, engine=engine)[0], expected)


@pytest.mark.parametrize(
    "reset",
    [[True, False], (True, False), np.array([True, False]), [[True, False, False, False], [False] * 4]],
    ids=["list", "tuple", "array", "lists"],
)
def test_resets_of_any_type(reset: Any) -> None:
    cell, x_BTI, state = GRUCell(3, 5), torch.randn(2, 4, 3), torch.randn(2, 5)
    expected, _ = scan(cell, x_BTI, state, reset=torch.tensor([True, False]))
    assert_close(scan(cell, x_BTI, state, reset=reset)[0], expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lengths": [4.0, 1.0]}, r"lengths: .*got torch.float32.*Try: lengths=torch.as_tensor\(lengths\).long\(\)"),
        ({"lengths": np.array([4.5, 1])}, r"lengths: .*got torch.float64"),
        ({"lengths": [True, True]}, r"lengths: .*got torch.bool"),
        ({"lengths": [[4], [1, 2]]}, r"lengths: .*got list .*Try: lengths=\[4\] \* 2"),
        ({"lengths": "41"}, r"lengths: .*got str"),
        ({"lengths": {4, 1}}, r"lengths: .*got set"),
        ({"lengths": [None, 1]}, r"lengths: .*got list"),
        ({"lengths": []}, r"lengths: .*got torch.int64 of shape \[0\]"),
        ({"lengths": 4}, r"lengths: .*got torch.int64 of shape \[\]"),
        ({"reset": [0, 1]}, r"reset: .*got torch.int64 of shape \[2\].*bool\(\)"),
        ({"reset": [[True], [True, False]]}, r"reset: .*got list"),
        ({"x": X.numpy()}, r"x: expected a tensor .*got ndarray. Try: x = torch.as_tensor\(x"),
        ({"x": X.tolist(), "state": ZEROS}, r"x: expected a tensor .*got list"),
    ],
)
def test_wrong_arguments_that_are_no_tensors(options: dict[str, Any], message: str) -> None:
    with torch.no_grad(), pytest.raises(UserError, match=message):
        scan(ElmanCell(3, 5), **{"x": X, **options})


def test_a_packed_sequence_is_told_how_it_becomes_a_padded_one() -> None:
    x_BTI, rnn = torch.randn(2, 4, 3), RNN(GRUCell, 3, 5)
    expected, _ = rnn(x_BTI, lengths=LENGTHS)
    x = torch.nn.utils.rnn.pack_padded_sequence(x_BTI, LENGTHS, batch_first=True)
    with pytest.raises(UserError, match=r"lengths=.*got a PackedSequence") as raised:
        rnn(x)
    typed, _, call = str(raised.value).partition("Try: ")[2].partition("; ")
    names: dict[str, Any] = {"torch": torch, "x": x, "rnn": rnn}
    exec(typed, names)
    assert torch.equal(eval(call, names)[0], expected)


@pytest.mark.parametrize("wrong", [[4], [4.0, 1.0], [5, 1]])
def test_a_repair_for_lengths_repairs(wrong: list[Any]) -> None:
    with pytest.raises(UserError) as raised:
        scan(GRUCell(3, 5), X, lengths=wrong)
    typed = str(raised.value).partition("Try: lengths=")[2].partition(", or")[0].partition(" for ")[0]
    mask = torch.ones(2, 4, dtype=torch.bool)
    lengths = eval(typed, {"torch": torch, "lengths": wrong, "mask": mask})
    assert scan(GRUCell(3, 5), X, lengths=lengths)[0].shape == (2, 4, 5)
