"""What rnnkit promises of every cell, as one test that any outside cell can be put through."""

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
    """Raise `AssertionError` where a cell breaks a promise, telling which forms disagree, where and by how much.

    From a state that is not zero, for values and for all gradients (x, state, context, every parameter): each lane
    stepped by hand = the whole sequence = two chunks with the carry = every engine that runs this cell; plain, in a
    padded batch whose padding is NaN, with resets inside, and reversed. Rows are independent, the state and the context
    matter, the state keeps its type and dtype, the gradients are those of finite differences, float64, float32,
    bfloat16 and float16 run, and the same seed gives the same numbers. Gradients of gradients, outputs that are written
    into before the backward pass, and inputs and states of another dtype than the weights are the Python loop's, errors
    included. A cell that is random in training mode is held to all but the seed in evaluation mode.

    * `factory`: called as `factory(input_size, hidden_size)`, like the `cell` of `rnnkit.RNN`.
    * `inputs`: called as `inputs(batch_size, steps)` for a cell whose input is more than a tensor [B, T, I]: it returns
      a NamedTuple of tensors [B, T, ...].
    * `context`: called as `context(batch_size)` for a cell that reads one. Its tensors that are longer for a larger
      batch belong to the rows, and the others to all of them.
    * `progress`: called with one line for each promise when its check begins; compiling a cell takes some seconds.

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
    # A test leaves the caller's random numbers alone.
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
                    # Neither has to be compiled, and that it runs as a Python loop is no news.
                    warnings.filterwarnings("ignore", ".* runs as a Python loop")
                function(subject, *arguments)

        check("sizes, shapes and types", check_signature, input_size)
        check("equal seeds give equal numbers", check_repeatable, twin)
        check("the state matters, and rows do not mix", check_state_and_rows)
        check("gradients are those of finite differences", check_gradients)
        for dtype in TOLERANCE:
            # Another one for each, since a cell is compiled in so many conditions only.
            subject = subject._replace(cell=built().train(cell.training).to(dtype))
            check(f"all forms agree in {str(dtype).removeprefix('torch.')}", check_forms, dtype)
            if dtype == torch.float64:
                check("gradients of gradients", check_second_derivatives)
                check("outputs may be written into", check_outputs_in_place)
            if dtype == torch.float32:
                check("inputs and states of other dtypes", check_mixed_dtypes)
