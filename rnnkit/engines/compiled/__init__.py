"""The recurrence compiler: any cell's step, traced with its backward, as two time loops: in C++, or as CUDA graphs.

`trace` has the `step` as a graph, `graphs` tidies it, `partition` cuts it into what runs once and what runs in the
loop, `plan` says where each value stands, `differentiable` is what autograd sees of it.

`given` is what a step reads besides state and weights, `merged` writes axes that hold the batch and another as two,
`steady` finds what is the same at all steps.

On a CPU `schedule` orders the loop (products of two tensors of a lane with `contraction`), `writer` has it as C++ (both
with `reading`, `expressions` and `index`), `kernel` runs it, and `stepper` runs a single step. On a GPU `loop` has it
as a graph of operations, `fusion` hands that to Inductor, `chunk` is the memory of some steps, `capture` records them,
`repeated` takes windows of any size, and `cuda` runs it.
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
from rnnkit.engines.compiled.trace.given import Given, context_leaves, kind_of
from rnnkit.engines.compiled.trace.once import warn_once as _warn
from rnnkit.engines.compiled.trace.specialization import condition
from rnnkit.engines.hooks import transformed, watched
from rnnkit.engines.request import Request, Result
from rnnkit.engines.weights import ComputedWeight, computed_weights
from rnnkit.engines.window import without_padding
from rnnkit.errors import UserError

MOST_KERNELS = 32
"""In how many conditions one cell is compiled: modes, options, dtypes."""

_tracing = threading.Lock()
"""torch traces one thing at a time."""
_steppers: "WeakKeyDictionary[Cell[Any], Any]" = WeakKeyDictionary()
_stepless: "WeakKeyDictionary[Cell[Any], Hashable]" = WeakKeyDictionary()
_kernels: "WeakKeyDictionary[Cell[Any], dict[Hashable, Any]]" = WeakKeyDictionary()


class _Failure(str):
    """The reason why there is no kernel where the Python loop is to say what is wrong, if it fails too."""


def unsupported(request: Request) -> str | None:
    """Why the compiler would not compute what the cell computes; None where it does, unless a trace tells otherwise."""
    device = request.first.device
    if device.type not in _KERNELS:
        return f"the compiler knows CPUs and CUDA devices, not {device.type}"
    cell = request.cell
    given = [*state_leaves(request.x), *state_leaves(request.state), *context_leaves(request.context)]
    tensors = [*given, *cell.parameters(), *cell.buffers()]
    if any(tensor.device != device for tensor in tensors):
        return "x, the state, the context and the weights are not on one device"
    if any(tensor.is_complex() for tensor in tensors):
        return "the compiler knows no complex numbers"
    if torch.compiler.is_compiling():
        return "torch.compile looks into every step"
    return watched(cell) or transformed(tensors)


def prepare(request: Request) -> str | None:
    """Trace the step as this request needs it; the reason, with a warning, where that is impossible."""
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
    """Run the compiled loop; without a compiled one, because the compiler fails on it, the Python loop."""
    cell, x, state, window, _, _ = request
    kernel, given, weights = _kernel(request)
    if isinstance(kernel, _Failure):
        # Which raises what torch has to say.
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
    # Without a lane that begins anew it is not read, and nothing may be drawn for it that the loop does not draw.
    fresh = request.masked and window.fresh is not None
    initial = cell.initial_state(request.first.shape[0]) if fresh else state if request.masked else None
    return kernel(request, given, initial, weights)  # type: ignore[no-any-return]


def _is_live(request: Request) -> bool:
    """Whether it is one step of a stream."""
    x = request.first
    one = x.is_cpu and x.shape[1] == 1 and request.plain is None and not request.masked
    return one and not request.states and not torch.is_grad_enabled()


def _kernel(request: Request) -> tuple[Any, Given, dict[str, Tensor]]:
    """The kernel for this cell in its present condition, or the reason why there is none; and what it is to be given.

    A tensor of the context with as many rows as the batch belongs to its lanes, or happens to have that size.
    """
    weights, computed = _weights(request.cell)
    B = request.first.shape[0]
    leaves = context_leaves(request.context)
    choices = [
        (False,) if leaf.dim() == 0 or leaf.shape[0] != B else (True, False) if leaf.dim() <= 2 else (True,)
        for leaf in leaves
    ]
    reason = None
    for of_lanes in itertools.product(*choices):
        given = Given.of(request.x, request.context, of_lanes)
        tensors = weights | given.shared_context
        found = _kernel_for(request, given, tensors, computed)
        if not isinstance(found, str):
            return found, given, tensors
        reason = found if reason is None else reason
    return reason, given, tensors


def _kernel_for(request: Request, given: Given, weights: dict[str, Tensor], computed: list[ComputedWeight]) -> Any:
    cell, x, state = request[:3]
    inputs = [*state_leaves(x), *given.lane_context]
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
        given.of_lanes,
        *((leaf.dtype, leaf.shape[2:], backward and leaf.requires_grad) for leaf in state_leaves(x)),
        *((leaf.dtype, leaf.shape[1:], backward and leaf.requires_grad) for leaf in given.lane_context),
        *(leaf.dtype for leaf in state_leaves(state)),
        condition(cell, weights, request.first.device),
    )
    kernels = _kernels.setdefault(cell, {})
    if key in kernels:
        return kernels[key]
    if len(kernels) >= MOST_KERNELS:
        advice = "an option that changes all the time may be a buffer, contexts may be padded to a few lengths"
        return f"it was compiled in {MOST_KERNELS} conditions; {advice}"
    with _tracing:
        if key not in kernels:
            kernels[key] = _compiled(request, given, weights, computed, backward=backward)
    return kernels[key]


def _compiled(
    request: Request, given: Given, weights: dict[str, Tensor], computed: list[ComputedWeight], *, backward: bool
) -> Any:
    """A new kernel, or the reason why there is none."""
    # What a trace needs takes a second to import.
    try:
        from rnnkit.engines.compiled.trace.graphs import Untraceable, first_line
        from rnnkit.engines.compiled.trace.trace import trace
        from rnnkit.engines.compiled.trace.trial import Unsteppable, try_step, try_ways
        from rnnkit.engines.compiled.trace.twin import Twin
    except (UserError, AttributeError) as error:  # a private name, or an operation
        return f"this torch does not have what the compiler needs ({error})"

    cell, state, device = request.cell, request.state, request.first.device
    masked, states = request.masked, request.states
    try:
        twin = Twin(cell, given, state, weights, computed)
        if masked:
            # A lane that begins anew makes the others' states as wide as its own, but not before the first step.
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                wide = map_state(_as_wide, state, cell.initial_state(1))
            if any(
                one.dtype != other.dtype for one, other in zip(state_leaves(wide), state_leaves(state), strict=True)
            ):
                try_step(twin, given, state, weights, backward=backward)
                state, twin = wide, Twin(cell, given, wide, weights, computed)
        y_dtype, carry = try_step(twin, given, state, weights, backward=backward)
        step = trace(twin, y_dtype, carry, weights, masked=masked, backward=backward, states=states)
        try_ways(twin, given, carry, weights)  # last, since a trace names more exactly what it sees
        return _KERNELS[device.type]()(step, twin, backward=backward, states=states)
    except Unsteppable as reason:
        return _Failure(reason)
    except Untraceable as reason:
        return str(reason)
    except Exception as error:
        # A cell that runs as a loop must not fail because the compiler does.
        return f"the compiler fails on it ({type(error).__name__}: {first_line(error)})"


def quick_step(cell: Cell[State], x_B1I: Tensor, state: State) -> tuple[Tensor, State] | None:
    """One step of a live stream as an earlier `run` has prepared it; None where there is no such thing."""
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
    ):
        return None
    # Whatever is random for a call is drawn once.
    return stepper(x_B1I, state if begun else cell.begin(state))  # type: ignore[no-any-return]


def _first_step(cell: Cell[State], x_B1I: Tensor, state: State) -> tuple[Tensor, State] | None:
    """Prepare the steps of a live stream and take one; None where a step needs more than one call."""
    from rnnkit.engines.compiled.cpu.stepper import Stepper
    from rnnkit.engines.compiled.trace.graphs import Untraceable
    from rnnkit.engines.compiled.trace.trace import trace
    from rnnkit.engines.compiled.trace.twin import Twin

    weights, computed = _weights(cell)
    key = (x_B1I.dtype, condition(cell, weights, x_B1I.device))
    # Whether an inference tensor was written into, nothing tells.
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


def _cpu_kernel() -> Any:
    from rnnkit.engines.compiled.cpu.kernel import Kernel

    return Kernel


def _cuda_kernel() -> Any:
    from rnnkit.engines.compiled.gpu.cuda import GraphKernel

    return GraphKernel


_KERNELS = {"cpu": _cpu_kernel, "cuda": _cuda_kernel}
"""What runs a step, by the type of device; what it needs takes a second to import."""


def _weights(cell: Cell[Any]) -> tuple[dict[str, Tensor], list[ComputedWeight]]:
    """The tensors that a step reads besides x and the state, computed weights in place of what they are made of."""
    computed = computed_weights(cell)
    tensors = dict(cell.named_parameters()) | dict(cell.named_buffers())
    if computed:
        tensors = {name: tensor for name, tensor in tensors.items() if ".parametrizations." not in f".{name}"}
        tensors |= {weight.name: weight.value for weight in computed}
    return tensors, computed


def _as_wide(leaf: Tensor, other: Tensor) -> Tensor:
    return leaf.to(torch.promote_types(leaf.dtype, other.dtype))
