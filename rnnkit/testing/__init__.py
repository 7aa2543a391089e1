"""A test of any cell: `check_cell`."""

import warnings
from collections.abc import Callable
from typing import Any

import torch

from rnnkit.cells.base import Cell
from rnnkit.testing.calls import check_mixed_dtypes, check_outputs_in_place, check_second_derivatives
from rnnkit.testing.forms import TOLERANCE, check_forms
from rnnkit.testing.step import check_gradients, check_repeatable, check_signature, check_state_and_rows
from rnnkit.testing.subject import Subject

__all__ = ["check_cell"]


def check_cell(
    factory: Callable[[int, int], Cell[Any]],
    *,
    input_size: int = 4,
    hidden_size: int = 5,
    inputs: Callable[[int, int], Any] | None = None,
    context: Callable[[int], Any] | None = None,
    progress: Callable[[str], object] = print,
) -> None:
    """Test a cell; raise `AssertionError` with the forms that disagree, the place and the difference.

    From a non-zero state, for values and for all gradients (x, state, context, every parameter), these must agree: each
    row stepped by hand, the whole sequence, two chunks with the carry, and every engine that supports the cell; without
    padding, in a padded batch whose padding is NaN, with resets inside, and reversed. Rows must be independent, the
    state and the context must matter, the state must keep its type and dtype, and gradients must match finite
    differences. The cell must run in float64, float32, bfloat16 and float16, and equal seeds must give equal numbers.
    Second derivatives, outputs modified in place before the backward pass, and inputs and states of another dtype than
    the weights must match the Python loop, errors included. A cell that is random in training mode is tested in
    evaluation mode, except for the seeds.

    Args:
        factory: called as `factory(input_size, hidden_size)`, like the `cell` of `rnnkit.RNN`.
        input_size: I.
        hidden_size: H.
        inputs: called as `inputs(batch_size, steps)` for a cell whose input is not a tensor [B, T, I]: it returns a
            NamedTuple of tensors [B, T, ...].
        context: called as `context(batch_size)` for a cell that takes one. Its tensors that are longer for a larger
            batch belong to the rows, the others to the whole batch.
        progress: called with one line at the beginning of each check; compiling a cell takes some seconds.

    >>> from rnnkit.cells import GRUCell
    >>> check_cell(GRUCell)
    GRUCell: sizes, shapes and types
    GRUCell: equal seeds give equal numbers
    GRUCell: the state matters, and rows do not mix
    GRUCell: gradients are those of finite differences
    GRUCell: all forms agree in float64
    GRUCell: gradients of gradients
    GRUCell: outputs may be written into
    GRUCell: all forms agree in float32
    GRUCell: inputs and states of other dtypes
    GRUCell: all forms agree in bfloat16
    GRUCell: all forms agree in float16
    """
    # the test does not change the caller's random state
    with torch.random.fork_rng(devices=[]):

        def built() -> Cell[Any]:
            torch.manual_seed(0)
            return factory(input_size, hidden_size).double()

        cell, twin = built(), built()
        subject = Subject(cell, inputs, context)

        def check(promise: str, function: Callable[..., None], *arguments: Any) -> None:
            progress(f"{type(cell).__name__}: {promise}")
            with warnings.catch_warnings():
                if {torch.float16, check_mixed_dtypes} & {function, *arguments}:
                    # neither has to be compiled, and a warning about the Python loop is expected
                    warnings.filterwarnings("ignore", ".* runs as a Python loop")
                function(subject, *arguments)

        check("sizes, shapes and types", check_signature, input_size)
        check("equal seeds give equal numbers", check_repeatable, twin)
        check("the state matters, and rows do not mix", check_state_and_rows)
        check("gradients are those of finite differences", check_gradients)
        for dtype in TOLERANCE:
            # a new cell for each dtype, since a cell is compiled for a limited number of specializations
            subject = subject._replace(cell=built().train(cell.training).to(dtype))
            check(f"all forms agree in {str(dtype).removeprefix('torch.')}", check_forms, dtype)
            if dtype == torch.float64:
                check("gradients of gradients", check_second_derivatives)
                check("outputs may be written into", check_outputs_in_place)
            if dtype == torch.float32:
                check("inputs and states of other dtypes", check_mixed_dtypes)
