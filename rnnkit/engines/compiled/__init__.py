"""The recurrence compiler: traces the step of any cell with its backward pass, and compiles it to two time loops.

The loops are C++ on CPUs and CUDA graphs on GPUs. `trace` makes a graph of a step and checks what it depends on. `plan`
partitions the graph into what runs once and what runs in the loop, and decides where each value is stored.
`differentiable` is the autograd function. `cpu` generates C++ for the loops and for single steps, `gpu` records chunks
of steps as CUDA graphs of kernels that Inductor has fused.
"""

import itertools
import threading
from collections.abc import Hashable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from rnnkit.cells.base import Cell, State
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.compat.torch import are_transforms_active, is_forward_mode
from rnnkit.engines import reference, toolchain
from rnnkit.engines.compiled.trace.frozen import is_portable
from rnnkit.engines.compiled.trace.given import Given, context_leaves, kind_of
from rnnkit.engines.compiled.trace.once import warn_once as _warn
from rnnkit.engines.compiled.trace.specialization import condition, structure
from rnnkit.engines.hooks import transformed, watched
from rnnkit.engines.request import Request, Result
from rnnkit.engines.weights import ComputedWeight, computed_weights
from rnnkit.engines.window import without_padding
from rnnkit.errors import UserError

MOST_KERNELS = 32
"""The number of specializations of a cell that are compiled, for modes, options and dtypes."""

MOST_SHARED = 64
"""The number of kernels that are kept for other cells of the same class, options and shapes."""

_tracing = threading.Lock()
"""torch can trace one function at a time only."""
_steppers: "WeakKeyDictionary[Cell[Any], Any]" = WeakKeyDictionary()
_stepless: "WeakKeyDictionary[Cell[Any], Hashable]" = WeakKeyDictionary()
_kernels: "WeakKeyDictionary[Cell[Any], dict[Hashable, Any]]" = WeakKeyDictionary()
_shared: dict[Hashable, Any] = {}


class Uncompilable(Exception):  # noqa: N818
    """Raised if the step of a cell cannot be compiled, with the reason."""


class _Failure(str):
    """The reason why there is no kernel, in cases where the Python loop should raise its own error, if any."""


def unsupported(request: Request) -> str | None:
    """Return why the compiler cannot compute the cell; None if it can, as far as is known without a trace."""
    device = request.first.device
    if device.type not in _KERNELS:
        return f"the compiler supports CPUs and CUDA devices, not {device.type}"
    cell = request.cell
    given = [*state_leaves(request.x), *state_leaves(request.state), *context_leaves(request.context)]
    tensors = [*given, *cell.parameters(), *cell.buffers()]
    if any(tensor.device != device for tensor in tensors):
        return "x, the state, the context and the weights are not on one device"
    if any(tensor.is_complex() for tensor in tensors):
        return "the compiler does not support complex numbers"
    if torch.compiler.is_compiling():
        return "torch.compile traces every step"
    return watched(cell) or transformed(tensors)


def prepare(request: Request) -> str | None:
    """Trace the step for this request; if that fails, warn and return the reason."""
    reason = toolchain.missing() if request.first.device.type == "cpu" else None
    if reason is not None:
        _warn(f"rnnkit runs without its compiler: {reason}")
        return reason
    kernel = _kernel(request)[0]
    if isinstance(kernel, str) and not isinstance(kernel, _Failure):
        _warn(f"{type(request.cell).__name__} runs as a Python loop: {kernel}")
        return kernel
    return None


def run(request: Request) -> Result:
    """Run the compiled loop, or the Python loop if compilation has failed."""
    cell, x, state, window, *_ = request
    kernel, given, weights = _kernel(request)
    if isinstance(kernel, _Failure):
        # raises torch's own error
        return reference.run(request)
    try:
        if isinstance(kernel, str):
            raise toolchain.CompilerError(kernel)
        if _is_live(request):
            carry = kernel.carry(state)
            done = _step(cell, x, carry, begun=True) or _first_step(cell, x, carry)
            if done is not None:
                return Result(*done)
        kernel.prepare()
    except toolchain.CompilerError as error:
        _warn(f"{type(cell).__name__} runs as a Python loop: {error}")
        return reference.run(request)
    if window.lengths is not None:
        request = request._replace(x=without_padding(x, window.lengths))
    # without a reset the initial state is not read, and must not draw random numbers that the loop does not draw
    fresh = request.masked and window.fresh is not None
    initial = request.fresh_state() if fresh else state if request.masked else None
    return kernel(request, given, initial, weights)  # type: ignore[no-any-return]


def _is_live(request: Request) -> bool:
    """Whether a request is one step of a stream."""
    x = request.first
    one = x.is_cpu and x.shape[1] == 1 and request.plain is None and not request.masked
    return one and not request.states and not torch.is_grad_enabled()


def _kernel(request: Request) -> tuple[Any, Given, dict[str, Tensor]]:
    """Return the kernel for the cell's present specialization, or the reason why there is none; and its arguments.

    A tensor of the context with as many rows as the batch is assumed to belong to the rows.
    """
    weights, computed = _weights(request.cell)
    B = request.first.shape[0]
    leaves = context_leaves(request.context)
    choices = [
        (False,) if leaf.dim() == 0 or leaf.shape[0] != B else (True, False) if leaf.dim() <= 2 else (True,)
        for leaf in leaves
    ]
    reason = None
    for of_rows in itertools.product(*choices):
        given = Given.of(request.x, request.context, of_rows)
        tensors = weights | given.shared_context
        found = _kernel_for(request, given, tensors, computed)
        if not isinstance(found, str):
            return found, given, tensors
        reason = found if reason is None else reason
    return reason, given, tensors


def _kernel_for(request: Request, given: Given, weights: dict[str, Tensor], computed: list[ComputedWeight]) -> Any:
    cell, x, state = request[:3]
    inputs = [*state_leaves(x), *given.row_context]
    sources = [*inputs, *state_leaves(state), *weights.values()]
    backward = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in sources)
    if backward and any(tensor.is_inference() for tensor in sources):
        return _Failure("inference tensors cannot be saved for a backward pass")
    key = (
        request.masked,
        request.states,
        backward,
        kind_of(x),
        kind_of(request.context),
        given.of_rows,
        *((leaf.dtype, leaf.shape[2:], backward and leaf.requires_grad) for leaf in state_leaves(x)),
        *((leaf.dtype, leaf.shape[1:], backward and leaf.requires_grad) for leaf in given.row_context),
        *(leaf.dtype for leaf in state_leaves(state)),
        condition(cell, weights, request.first.device),
    )
    kernels = _kernels.setdefault(cell, {})
    if key in kernels:
        return kernels[key]
    if len(kernels) >= MOST_KERNELS:
        advice = "make an option that often changes a buffer, and pad contexts to a few lengths"
        return f"it was compiled {MOST_KERNELS} times for different options, dtypes or shapes; {advice}"
    # the same for other cells of equal classes, options and shapes
    shapes = tuple(leaf.shape[1:] for leaf in state_leaves(state))
    shared = (key, kind_of(state), shapes, structure(cell, weights))
    with _tracing:
        if key not in kernels and shared in _shared:
            kernels[key] = _shared[shared]
        elif key not in kernels:
            kernels[key] = _compiled(request, given, weights, computed, backward=backward)
            if not isinstance(kernels[key], str) and kernels[key].is_for_any_cell and is_portable(shared):
                _shared[shared] = kernels[key]
                if len(_shared) > MOST_SHARED:
                    del _shared[next(iter(_shared))]
    return kernels[key]


def _compiled(
    request: Request, given: Given, weights: dict[str, Tensor], computed: list[ComputedWeight], *, backward: bool
) -> Any:
    """Compile a new kernel; return it, or the reason why there is none."""
    # these imports take a second
    try:
        from rnnkit.engines.compiled.trace.graphs import Untraceable, first_line
        from rnnkit.engines.compiled.trace.trace import trace
        from rnnkit.engines.compiled.trace.trial import Unsteppable, try_step, try_ways
        from rnnkit.engines.compiled.trace.twin import Twin
    except (UserError, AttributeError) as error:  # a private name, or an operation, that this torch does not have
        return f"this torch lacks a function that the compiler needs ({error})"

    cell, state, device = request.cell, request.state, request.first.device
    masked, states = request.masked, request.states
    try:
        twin = Twin(cell, given, state, weights, computed)
        if masked:
            # a reset row makes all states as wide as its initial state, but not before the first step
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                wide = map_state(_as_wide, state, cell.initial_state(1))
            if any(
                one.dtype != other.dtype for one, other in zip(state_leaves(wide), state_leaves(state), strict=True)
            ):
                try_step(twin, given, state, weights, backward=backward)
                state, twin = wide, Twin(cell, given, wide, weights, computed)
        y_dtype, carry = try_step(twin, given, state, weights, backward=backward)
        step = trace(twin, y_dtype, carry, weights, masked=masked, backward=backward, states=states)
        try_ways(twin, given, carry, weights)  # last, since the errors of a trace are more precise
        return _KERNELS[device.type]()(step, twin, backward=backward, states=states)
    except Unsteppable as reason:
        return _Failure(reason)
    except Untraceable as reason:
        return str(reason)
    except Exception as error:
        # a bug of the compiler must not break a cell that the Python loop can run
        return f"the compiler fails on it ({type(error).__name__}: {first_line(error)})"


def quick_step(cell: Cell[State], x_B1I: Tensor, state: State) -> tuple[Tensor, State] | None:
    """Run one step of a live stream that an earlier `run` has prepared; None if there is none."""
    return _step(cell, x_B1I, state, begun=False)


def _step(cell: Cell[State], x_B1I: Tensor, state: State, *, begun: bool) -> tuple[Tensor, State] | None:
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


def _first_step(cell: Cell[State], x_B1I: Tensor, state: State) -> tuple[Tensor, State] | None:
    """Prepare the steps of a live stream and run one; None if a step needs more than one call."""
    from rnnkit.engines.compiled.cpu.stepper import Stepper
    from rnnkit.engines.compiled.trace.graphs import Untraceable
    from rnnkit.engines.compiled.trace.trace import trace
    from rnnkit.engines.compiled.trace.twin import Twin

    weights, computed = _weights(cell)
    key = (x_B1I.dtype, condition(cell, weights, x_B1I.device))
    # inference tensors have no version counter
    if computed or any(tensor.is_inference() for tensor in weights.values()) or _stepless.get(cell) == key:
        return None
    try:
        with _tracing:
            twin = Twin(cell, Given.of(x_B1I, None, ()), state, weights, computed)
            step = trace(twin, x_B1I.dtype, state, weights, masked=False, backward=False)
        _steppers[cell] = Stepper(cell, step, weights, state)
    except (Untraceable, toolchain.CompilerError):
        _stepless[cell] = key
        return None
    return _step(cell, x_B1I, state, begun=True)


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
    weights, computed = _weights(real)
    state = real.initial_state(1)
    with _tracing:
        twin = Twin(real, Given.of(map_state(lambda leaf: leaf[:, None], x), None, ()), state, weights, computed)
        return trace(twin, y_dtype, state, weights, masked=False, backward=False), weights


def _cpu_kernel() -> Any:
    from rnnkit.engines.compiled.cpu.kernel import Kernel

    return Kernel


def _cuda_kernel() -> Any:
    from rnnkit.engines.compiled.gpu.cuda import GraphKernel

    return GraphKernel


_KERNELS = {"cpu": _cpu_kernel, "cuda": _cuda_kernel}
"""The function that compiles a step, by device type; their imports take a second."""


def _weights(cell: Cell[Any]) -> tuple[dict[str, Tensor], list[ComputedWeight]]:
    """Return the tensors that a step reads besides x and the state, with computed weights in place of their sources."""
    computed = computed_weights(cell)
    tensors = dict(cell.named_parameters()) | dict(cell.named_buffers())
    if computed:
        tensors = {name: tensor for name, tensor in tensors.items() if ".parametrizations." not in f".{name}"}
        tensors |= {weight.name: weight.value for weight in computed}
    return tensors, computed


def _as_wide(leaf: Tensor, other: Tensor) -> Tensor:
    return leaf.to(torch.promote_types(leaf.dtype, other.dtype))
