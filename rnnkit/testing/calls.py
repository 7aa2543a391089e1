"""Checks of a cell in use: second derivatives, outputs modified in place, arguments of other dtypes."""

from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.state import map_state
from rnnkit.engines import policy, scan
from rnnkit.errors import UserError
from rnnkit.testing.comparison import Results, compare, require, results
from rnnkit.testing.subject import Subject

FAST = ("auto", *(name for name in policy.ENGINES if name != "reference"))
LENGTHS = (1, 8, 16, 100)
"""`auto` chooses other engines for short sequences than for long ones."""
OTHERS: list[tuple[str, torch.dtype]] = [
    ("x", torch.float64),
    ("x", torch.float16),
    ("x", torch.int64),
    ("state", torch.float64),
    ("state", torch.bfloat16),
]
"""Arguments of a dtype other than that of the float32 weights."""


def check_second_derivatives(subject: Subject) -> None:
    """Check second derivatives, as used in gradient penalties and meta-learning, against the Python loop."""
    for steps in LENGTHS[1:3]:
        _agree(subject, f"the gradient of a gradient over {steps} steps", subject.x(steps), ("auto",), twice=True)


def check_outputs_in_place(subject: Subject) -> None:
    """Check outputs that are modified in place before the backward pass, as by `nn.ReLU(inplace=True)`."""

    def written(y_BTO: Tensor) -> Tensor:
        return y_BTO.mul_(2).relu_()

    for steps in LENGTHS[1:3]:
        _agree(subject, f"outputs written into, of {steps} steps", subject.x(steps), FAST, then=written)


def check_mixed_dtypes(subject: Subject) -> None:
    """Check inputs and states that do not have the weights' dtype: same result as the loop, or, as in torch, an
    error.
    """
    for (what, dtype), steps in ((other, steps) for other in OTHERS for steps in LENGTHS):
        x, state = subject.x(steps), subject.state()
        if what == "x":
            x = map_state(lambda leaf, to=dtype: leaf.to(to) if leaf.is_floating_point() else leaf, x)
        else:
            state = map_state(lambda leaf, to=dtype: _as(leaf, to), state)
        _agree(subject, f"{what} of {dtype} over {steps} steps", x, FAST, state, tolerance=1e-2)


def _agree(
    subject: Subject,
    title: str,
    x: Any,
    engines: tuple[str, ...],
    state: Any = None,
    *,
    tolerance: float = 1e-7,
    twice: bool = False,
    then: Any = None,
) -> None:
    """Compare engines with the Python loop, errors included; an engine that does not support the cell must refuse
    it.
    """
    cell = subject.cell
    state = subject.state() if state is None else state

    def found(engine: str) -> Results | Exception:
        # in place for an engine, out of place for the loop
        options = {} if then is None else {"then": then if engine != "reference" else lambda y_BTO: then(y_BTO.clone())}
        try:
            return results(
                subject,
                x,
                state,
                lambda x, h, context: scan(cell, x, h, context=context, engine=engine),
                twice=twice,
                **options,
            )
        except AssertionError:
            raise
        except Exception as error:
            return error

    expected = found("reference")
    for engine in engines:
        got = found(engine)
        if engine != "auto" and isinstance(got, UserError) and got.argument == "engine":
            continue
        if isinstance(expected, Exception):
            wanted = f"{type(expected).__name__}, as the Python loop does ({expected})"
            as_it_should = isinstance(got, (UserError, type(expected)))
            seen = repr(got) if isinstance(got, Exception) else "no error"
            require(as_it_should, f"{title} (engine {engine}) should raise {wanted}; got {seen}", cell)
        else:
            require(not isinstance(got, Exception), f"{title} (engine {engine}) raises {got!r}", cell)
            compare(cell, f"{title} (engine {engine})", got, "the Python loop", expected, tolerance)  # type: ignore[arg-type]


def _as(leaf: Tensor, dtype: torch.dtype) -> Tensor:
    if leaf.is_complex():
        return leaf.to(torch.promote_types(dtype, torch.float32).to_complex())
    return leaf.to(dtype) if leaf.is_floating_point() else leaf
