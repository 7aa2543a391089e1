"""Each wrong argument ends in one message with its name, what was expected, what arrived and what repairs it."""

from typing import Any

import pytest
import torch

from rnnkit.cells import ElmanCell, GRUCell, LSTMCell, LSTMState
from rnnkit.engines import ENGINES, explain, scan
from rnnkit.errors import UserError

X = torch.zeros(2, 4, 3)
ZEROS = torch.zeros(2, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x_BTI": X[0]}, r"x_BTI: expected three axes, \[batch, time, 3\]; got shape \[4, 3\]\. Try: x\[None\]"),
        ({"x_BTI": X[..., :2]}, r"x_BTI: expected \[batch, time, 3\].*LSTMCell.*got shape \[2, 4, 2\].*input_size=2"),
        ({"state": (ZEROS, ZEROS)}, r"state: expected LSTMState\(hidden, cell\); got tuple\. Try: state=LSTMState\("),
        ({"state": ZEROS}, r"state: expected LSTMState\(hidden, cell\); got Tensor"),
        ({"state": LSTMState(ZEROS, ZEROS[:1])}, r"state.cell: expected shape \[2, 5\]; got shape \[1, 5\]"),
        ({"state": LSTMState(ZEROS[:, :4], ZEROS)}, r"state.hidden: expected shape \[2, 5\]; got shape \[2, 4\]"),
        ({"state": LSTMState(ZEROS, None)}, r"state.cell: expected a Tensor \[2, 5\]; got NoneType"),  # type: ignore
        ({"lengths": torch.tensor([4])}, r"lengths: expected whole numbers of shape \[2\].*shape \[1\].*mask.sum"),
        ({"lengths": torch.ones(2)}, r"lengths: expected whole numbers .*torch.float32"),
        ({"lengths": torch.tensor([True, True])}, r"lengths: expected whole numbers .*torch.bool"),
        ({"lengths": torch.tensor([4, 5])}, r"lengths: expected values from 0 to the 4 steps of x; got values from 4 to 5"),
        ({"lengths": torch.tensor([-1, 4])}, r"lengths: .*got values from -1 to 4.*clamp\(0, 4\)"),
        (
            {"reset": torch.zeros(3, dtype=torch.bool)},
            r"reset: expected torch.bool of shape \[2\] or \[2, 4\]; got .*\[3\]",
        ),
        ({"reset": torch.zeros(2, 3, dtype=torch.bool)}, r"reset: .*got torch.bool of shape \[2, 3\]"),
        ({"reset": torch.zeros(2)}, r"reset: .*got torch.float32 of shape \[2\].*reset.bool\(\)"),
        ({"engine": "fast"}, r"engine: expected auto or one of .*reference; got 'fast'\. Try: engine=.auto."),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        scan(LSTMCell(3, 5), **{"x_BTI": X, **options})


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
    assert asked.ruled_out["native"] == "`reference` was asked for"


def test_mistakes_cost_no_look_at_a_devices_numbers() -> None:
    lengths = torch.tensor([4, 5], device="meta")
    cell = LSTMCell(3, 5).to("meta")
    y_BTO, _ = scan(cell, X.to("meta"), lengths=lengths)
    assert y_BTO.shape == (2, 4, 5)
