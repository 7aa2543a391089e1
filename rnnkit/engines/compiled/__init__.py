"""The recurrence compiler: any cell's step, traced with its backward, as two time loops: in C++, or as CUDA graphs.

`trace` has the `step` as a graph, `graphs` tidies it, `partition` cuts it into what runs once and what runs in the
loop, `plan` says where each value stands, `differentiable` is what autograd sees of it.

On a CPU `schedule` orders the loop, `writer` has it as C++ (both with `reading`, `expressions` and `index`), `kernel`
runs it, and `stepper` runs a single step. On a GPU `loop` has it as a graph of operations, `fusion` hands that to
Inductor, `chunk` is the memory of some steps, `capture` records them, `repeated` takes windows of any size, and `cuda`
runs it.
"""

import threading
from collections.abc import Hashable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from rnnkit.cells.base import Cell, State
from rnnkit.cells.elman import ElmanCell
from rnnkit.cells.gru import GRUCell
from rnnkit.cells.lstm import LSTMCell
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.compat.torch import are_transforms_active, is_forward_mode
from rnnkit.engines import native, parallel, reference, toolchain
from rnnkit.engines.compiled.condition import condition
from rnnkit.engines.compiled.once import warn_once as _warn
from rnnkit.engines.hooks import transformed, watched
from rnnkit.engines.weights import ComputedWeight, computed_weights
from rnnkit.engines.window import Window, valid_steps
from rnnkit.errors import UserError

FEWEST_STEPS = 16
MOST_KERNELS = 32
"""In how many conditions one cell is compiled: modes, options, dtypes."""
LEAST_WORK = {LSTMCell: 1e9, GRUCell: 2e7, ElmanCell: 2e7}
"""Multiplications in a window from which on a cell is worth compiling that torch has a kernel for; oneDNN's for the
LSTM is a fast one."""

_tracing = threading.Lock()
"""torch traces one thing at a time."""
_steppers: "WeakKeyDictionary[Cell[Any], Any]" = WeakKeyDictionary()
_stepless: "WeakKeyDictionary[Cell[Any], Hashable]" = WeakKeyDictionary()
_kernels: "WeakKeyDictionary[Cell[Any], dict[Hashable, Any]]" = WeakKeyDictionary()


class _Failure(str):
    """The reason why there is no kernel where the Python loop is to say what is wrong, if it fails too."""


def unsuitable(cell: Cell[State], x_BTI: Tensor, state: State) -> str | None:
    """Why the compiler would not compute what the cell computes; None where it does."""
    device = x_BTI.device
    if device.type not in _KERNELS:
        return f"the compiler knows CPUs and CUDA devices, not {device.type}"
    reason = toolchain.missing() if device.type == "cpu" else None
    if reason is not None:
        _warn(f"rnnkit runs without its compiler: {reason}")
        return reason
    tensors = [x_BTI, *state_leaves(state), *cell.parameters(), *cell.buffers()]
    if any(tensor.device != device for tensor in tensors):
        return "x, the state and the weights are not on one device"
    if any(tensor.is_complex() for tensor in tensors):
        return "the compiler knows no complex numbers"
    if torch.compiler.is_compiling():
        return "torch.compile looks into every step"
    if (watcher := watched(cell) or transformed(tensors)) is not None:
        return watcher
    kernel, _ = _kernel(cell, x_BTI, state, masked=False)
    if isinstance(kernel, str) and not isinstance(kernel, _Failure):
        _warn(f"{type(cell).__name__} runs as a Python loop: {kernel}")
        return kernel
    return None


def unprofitable(cell: Cell[State], x_BTI: Tensor, state: State) -> str | None:
    """Why another engine is as fast for this work; it is a matter of sizes alone, so that a run can be had again."""
    B, T = x_BTI.shape[:2]
    if T < FEWEST_STEPS:
        return f"{T} steps are too few to be worth compiling"
    if x_BTI.is_cuda:
        return _better_on_cuda(cell, x_BTI, state)
    weights = sum(parameter.numel() for parameter in cell.parameters())
    if T * B * weights < LEAST_WORK.get(type(cell), 0) and native.unsuitable(cell, x_BTI, state) is None:
        return "torch has a kernel for this cell, and for so little work it need not be faster"
    return None


def _better_on_cuda(cell: Cell[State], x_BTI: Tensor, state: State) -> str | None:
    """What else is faster on a GPU, where it is: one pass over all steps, or cuDNN's kernels."""
    if parallel.unsuitable(cell, x_BTI, state) is None and parallel.unprofitable(cell, x_BTI, state) is None:
        return "on a GPU a linear recurrence is faster all at once"
    if native.unsuitable(cell, x_BTI, state) is None:
        return "cuDNN has a kernel for this cell"
    return None


def run(cell: Cell[State], x_BTI: Tensor, state: State, window: Window) -> tuple[Tensor, State]:
    """Run the compiled loop; without a compiled one, because the compiler fails on it, the Python loop."""
    masked = window.lengths is not None or window.fresh is not None
    kernel, weights = _kernel(cell, x_BTI, state, masked=masked)
    if isinstance(kernel, _Failure):
        # Which raises what torch has to say.
        return reference.run(cell, x_BTI, state, window)
    try:
        if isinstance(kernel, str):
            raise toolchain.CompilerError(kernel)
        if x_BTI.is_cpu and x_BTI.shape[1] == 1 and not masked and not torch.is_grad_enabled():
            carry = kernel.carry(state)
            done = quick_step(cell, x_BTI, carry) or _first_step(cell, x_BTI, carry)
            if done is not None:
                return done
        kernel.prepare()
    except toolchain.CompilerError as error:
        _warn(f"{type(cell).__name__} runs as a Python loop: {error}")
        return reference.run(cell, x_BTI, state, window)
    if window.lengths is not None:
        x_BTI = x_BTI.masked_fill(~valid_steps(window.lengths, x_BTI.shape[1])[..., None], 0)
    # Without a lane that begins anew it is not read, and nothing may be drawn for it that the loop does not draw.
    initial = None if not masked else state if window.fresh is None else cell.initial_state(x_BTI.shape[0])
    return kernel(x_BTI, state, initial, window, weights)  # type: ignore[no-any-return]


def _kernel(cell: Cell[Any], x_BTI: Tensor, state: Any, *, masked: bool) -> tuple[Any, dict[str, Tensor]]:
    """The kernel for this cell in its present condition, or the reason why there is none; and the cell's weights."""
    weights, computed = _weights(cell)
    sources = [x_BTI, *state_leaves(state), *weights.values()]
    backward = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in sources)
    x_grad = backward and x_BTI.requires_grad
    if backward and any(tensor.is_inference() for tensor in sources):
        return _Failure("inference tensors cannot be saved for a backward pass"), weights
    key = (
        masked,
        backward,
        x_grad,
        x_BTI.dtype,
        *(leaf.dtype for leaf in state_leaves(state)),
        condition(cell, weights, x_BTI.device),
    )
    kernels = _kernels.setdefault(cell, {})
    if key in kernels:
        return kernels[key], weights
    if len(kernels) >= MOST_KERNELS:
        return f"it was compiled in {MOST_KERNELS} conditions; an option that changes all the time may be a buffer", {}
    with _tracing:
        if key not in kernels:
            asked = {"masked": masked, "backward": backward, "x_grad": x_grad}
            kernels[key] = _compiled(cell, x_BTI, state, weights, computed, **asked)
    return kernels[key], weights


def _compiled(
    cell: Cell[Any],
    x_BTI: Tensor,
    state: Any,
    weights: dict[str, Tensor],
    computed: list[ComputedWeight],
    *,
    masked: bool,
    backward: bool,
    x_grad: bool,
) -> Any:
    """A new kernel, or the reason why there is none."""
    # What a trace needs takes a second to import.
    try:
        from rnnkit.engines.compiled.graphs import Untraceable, first_line
        from rnnkit.engines.compiled.trace import trace
        from rnnkit.engines.compiled.trial import Unsteppable, try_step, try_ways
        from rnnkit.engines.compiled.twin import Twin
    except (UserError, AttributeError) as error:  # a private name, or an operation
        return f"this torch does not have what the compiler needs ({error})"

    try:
        twin = Twin(cell, state, weights, computed)
        if masked:
            # A lane that begins anew makes the others' states as wide as its own, but not before the first step.
            with torch.random.fork_rng([x_BTI.device] if x_BTI.is_cuda else []):
                wide = map_state(_as_wide, state, cell.initial_state(1))
            if any(
                one.dtype != other.dtype for one, other in zip(state_leaves(wide), state_leaves(state), strict=True)
            ):
                try_step(twin, x_BTI.dtype, state, weights, backward=backward, x_grad=x_grad)
                state, twin = wide, Twin(cell, wide, weights, computed)
        y_dtype, carry = try_step(twin, x_BTI.dtype, state, weights, backward=backward, x_grad=x_grad)
        dtypes = (x_BTI.dtype, y_dtype)
        step = trace(twin, dtypes, carry, weights, masked=masked, backward=backward, x_grad=x_grad)
        try_ways(twin, x_BTI.dtype, carry, weights)  # last, since a trace names more exactly what it sees
        return _KERNELS[x_BTI.device.type]()(step, twin, backward=backward)
    except Unsteppable as reason:
        return _Failure(reason)
    except Untraceable as reason:
        return str(reason)
    except Exception as error:
        # A cell that runs as a loop must not fail because the compiler does.
        return f"the compiler fails on it ({type(error).__name__}: {first_line(error)})"


def quick_step(cell: Cell[State], x_B1I: Tensor, state: State) -> tuple[Tensor, State] | None:
    """One step of a live stream as an earlier `run` has prepared it; None where there is no such thing."""
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
    return stepper(x_B1I, cell.begin(state))  # type: ignore[no-any-return]


def _first_step(cell: Cell[State], x_B1I: Tensor, state: State) -> tuple[Tensor, State] | None:
    """Prepare the steps of a live stream and take one; None where a step needs more than one call."""
    from rnnkit.engines.compiled.graphs import Untraceable
    from rnnkit.engines.compiled.stepper import Stepper
    from rnnkit.engines.compiled.trace import trace
    from rnnkit.engines.compiled.twin import Twin

    weights, computed = _weights(cell)
    key = (x_B1I.dtype, condition(cell, weights, x_B1I.device))
    # Whether an inference tensor was written into, nothing tells.
    if computed or any(tensor.is_inference() for tensor in weights.values()) or _stepless.get(cell) == key:
        return None
    try:
        with _tracing:
            twin = Twin(cell, state, weights, computed)
            step = trace(twin, (x_B1I.dtype, x_B1I.dtype), state, weights, masked=False, backward=False, x_grad=False)
        _steppers[cell] = Stepper(cell, step, weights, state)
    except (Untraceable, toolchain.CompilerError):
        _stepless[cell] = key
        return None
    return quick_step(cell, x_B1I, state)


def _cpu_kernel() -> Any:
    from rnnkit.engines.compiled.kernel import Kernel

    return Kernel


def _cuda_kernel() -> Any:
    from rnnkit.engines.compiled.cuda import GraphKernel

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
