"""A stack of cells is a cell."""

import pytest
import torch
from torch.testing import assert_close

import rnnkit
from rnnkit.cells import GRUCell, LearnedInitialState, LSTMCell, Residual, Stack, VariationalDropout, Zoneout
from rnnkit.errors import UserError
from rnnkit.testing import check_cell


def deep(input_size: int, hidden_size: int) -> Stack:
    return Stack([GRUCell(input_size, hidden_size), LearnedInitialState(Residual(LSTMCell(hidden_size, hidden_size)))])


def test_it_keeps_every_promise_of_a_cell() -> None:
    check_cell(deep)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_it_is_the_stack_of_layers(engine: str) -> None:
    layers = rnnkit.RNN(LSTMCell, 3, 5, num_layers=2)
    cell = Stack([layers.cell_at(0), layers.cell_at(1)])
    x_BTI = torch.randn(4, 20, 3, requires_grad=True)
    lengths = torch.tensor([20, 7, 1, 0])
    expected, states = layers(x_BTI, lengths=lengths, engine="reference")
    found, after = rnnkit.scan(cell, x_BTI, lengths=lengths, engine=engine)
    assert_close(found, expected)
    assert_close(after, states)
    weights = [x_BTI, *cell.parameters()]
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), weights),
        torch.autograd.grad(expected.square().sum(), weights),
        strict=True,
    ):
        assert_close(one, other)


def test_stacks_nest_and_are_wrapped() -> None:
    cell = Zoneout(Stack([Stack([GRUCell(3, 4)]), VariationalDropout(LSTMCell(4, 2), output=0.5)]), p=0.1)
    y_BTO, _ = rnnkit.scan(cell, torch.randn(2, 6, 3))
    assert y_BTO.shape == (2, 6, 2)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([], "cells: expected one cell or more"),
        ([GRUCell], r"cells\[0\]: expected a rnnkit.cells.Cell instance; got GRUCell"),
        (
            [GRUCell(3, 4), GRUCell(5, 4)],
            r"cells\[1\]: expected a cell that reads the 4 outputs of cells\[0\]; got .* 5",
        ),
    ],
)
def test_what_does_not_fit_is_refused(cells: list[object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Stack(cells)  # type: ignore[arg-type]
