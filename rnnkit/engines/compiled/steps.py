"""Single steps without gradients: of a live stream, and as programs."""

from collections.abc import Hashable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from rnnkit.cells.base import Cell, State
from rnnkit.cells.state import map_state
from rnnkit.compat.torch import are_transforms_active, is_forward_mode
from rnnkit.engines import toolchain
from rnnkit.engines.compiled.kernels import TRACING, weights_of
from rnnkit.engines.compiled.trace.given import Given
from rnnkit.engines.compiled.trace.specialization import condition
from rnnkit.engines.request import Request

_steppers: "WeakKeyDictionary[Cell[Any], Any]" = WeakKeyDictionary()
_stepless: "WeakKeyDictionary[Cell[Any], Hashable]" = WeakKeyDictionary()


class Uncompilable(Exception):  # noqa: N818
    """Raised if the step of a cell cannot be compiled, with the reason."""


def is_live(request: Request) -> bool:
    """Whether a request is one step of a stream."""
    x = request.first
    one = x.is_cpu and x.shape[1] == 1 and request.plain is None and not request.masked
    return one and not request.states and not torch.is_grad_enabled()


def quick_step(cell: Cell[State], x_B1I: Tensor, state: State) -> tuple[Tensor, State] | None:
    """Run one step of a live stream that an earlier `run` has prepared; None if there is none."""
    return prepared_step(cell, x_B1I, state, begun=False)


def prepared_step(cell: Cell[State], x_B1I: Tensor, state: State, *, begun: bool) -> tuple[Tensor, State] | None:
    """Run a prepared step; None if there is none for these arguments. `begun`: `Cell.begin` was called."""
    stepper = _steppers.get(cell)
    if (
        stepper is None
        or torch.is_grad_enabled()
        or torch.is_autocast_enabled("cpu")
        or are_transforms_active()
        or is_forward_mode()
        or not stepper.fits(x_B1I, state)
        or (not begun and cell.begin(x_B1I.shape[0]) is not None)  # a step with a context is not prepared
    ):
        return None
    return stepper(x_B1I, state)  # type: ignore[no-any-return]


def first_step(cell: Cell[State], x_B1I: Tensor, state: State) -> tuple[Tensor, State] | None:
    """Prepare the steps of a live stream and run one; None if a step needs more than one call."""
    from rnnkit.engines.compiled.cpu.stepper import Stepper
    from rnnkit.engines.compiled.trace.graphs import Untraceable
    from rnnkit.engines.compiled.trace.trace import trace
    from rnnkit.engines.compiled.trace.twin import Twin

    weights, computed = weights_of(cell)
    key = (x_B1I.dtype, condition(cell, weights, x_B1I.device))
    # inference tensors have no version counter
    if computed or any(tensor.is_inference() for tensor in weights.values()) or _stepless.get(cell) == key:
        return None
    try:
        with TRACING:
            twin = Twin(cell, Given.of(x_B1I, None, ()), state, weights, computed)
            step = trace(twin, x_B1I.dtype, state, weights, masked=False, backward=False)
        _steppers[cell] = Stepper(cell, step, weights, state)
    except (Untraceable, toolchain.CompilerError):
        _stepless[cell] = key
        return None
    return prepared_step(cell, x_B1I, state, begun=True)


def step_program(cell: Cell[Any], x: Any, y_dtype: torch.dtype) -> Any:
    """Return one step of a cell without gradients as a `rnnkit.engines.compiled.cpu.program.Program`.

    Args:
        cell: the cell; complex tensors of its state are pairs of real ones in the program.
        x: an input of one step [B, ...].
        y_dtype: the dtype of the output.

    Raises:
        Uncompilable: if there is none.
    """
    from rnnkit.engines.compiled.trace.graphs import Untraceable, first_line

    try:
        from rnnkit.engines.compiled.cpu.program import Program

        step, weights = traced_step(cell, x, y_dtype)
        return Program(step, weights)
    except Untraceable as reason:
        raise Uncompilable(str(reason)) from reason
    except Exception as error:
        # a bug of the compiler must not break a cell that runs without it
        raise Uncompilable(f"the compiler fails on it ({type(error).__name__}: {first_line(error)})") from error


def traced_step(cell: Cell[Any], x: Any, y_dtype: torch.dtype) -> Any:
    """Return the traced step of a cell without gradients, and its weights; raise `Untraceable` if there is none."""
    from rnnkit.engines.compiled.trace.pairs import RealView, has_complex_state
    from rnnkit.engines.compiled.trace.trace import trace
    from rnnkit.engines.compiled.trace.twin import Twin

    real = RealView(cell).eval() if has_complex_state(cell) else cell
    weights, computed = weights_of(real)
    state = real.initial_state(1)
    with TRACING:
        twin = Twin(real, Given.of(map_state(lambda leaf: leaf[:, None], x), None, ()), state, weights, computed)
        return trace(twin, y_dtype, state, weights, masked=False, backward=False), weights
