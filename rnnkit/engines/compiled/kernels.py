"""The kernels of a cell: one for each specialization, the same for all equal cells."""

import itertools
import threading
from collections.abc import Hashable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.engines.compiled.trace.frozen import is_portable
from rnnkit.engines.compiled.trace.given import Given, context_leaves, kind_of
from rnnkit.engines.compiled.trace.specialization import condition, structure
from rnnkit.engines.request import Request
from rnnkit.engines.weights import ComputedWeight, computed_weights
from rnnkit.errors import UserError

MOST_KERNELS = 32
"""The number of specializations of a cell that are compiled, for modes, options and dtypes."""

MOST_SHARED = 64
"""The number of kernels that are kept for other cells of the same class, options and shapes."""

TRACING = threading.Lock()
"""torch can trace one function at a time only."""
_kernels: "WeakKeyDictionary[Cell[Any], dict[Hashable, Any]]" = WeakKeyDictionary()
_shared: dict[Hashable, Any] = {}


class Failure(str):
    """The reason why there is no kernel, in cases where the Python loop should raise its own error, if any."""


def kernel_of(request: Request) -> tuple[Any, Given, dict[str, Tensor]]:
    """Return the kernel for the cell's present specialization, or the reason why there is none; and its arguments.

    A tensor of the context with as many rows as the batch is assumed to belong to the rows.
    """
    weights, computed = weights_of(request.cell)
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
        return Failure("inference tensors cannot be saved for a backward pass")
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
    with TRACING:
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
        return KINDS[device.type]()(step, twin, backward=backward, states=states)
    except Unsteppable as reason:
        return Failure(reason)
    except Untraceable as reason:
        return str(reason)
    except Exception as error:
        # a bug of the compiler must not break a cell that the Python loop can run
        return f"the compiler fails on it ({type(error).__name__}: {first_line(error)})"


def _cpu_kernel() -> Any:
    from rnnkit.engines.compiled.cpu.kernel import Kernel

    return Kernel


def _cuda_kernel() -> Any:
    from rnnkit.engines.compiled.gpu.cuda import GraphKernel

    return GraphKernel


KINDS = {"cpu": _cpu_kernel, "cuda": _cuda_kernel}
"""The function that compiles a step, by device type; their imports take a second."""


def weights_of(cell: Cell[Any]) -> tuple[dict[str, Tensor], list[ComputedWeight]]:
    """Return the tensors that a step reads besides x and the state, with computed weights in place of their sources."""
    computed = computed_weights(cell)
    tensors = dict(cell.named_parameters()) | dict(cell.named_buffers())
    if computed:
        tensors = {name: tensor for name, tensor in tensors.items() if ".parametrizations." not in f".{name}"}
        tensors |= {weight.name: weight.value for weight in computed}
    return tensors, computed


def _as_wide(leaf: Tensor, other: Tensor) -> Tensor:
    return leaf.to(torch.promote_types(leaf.dtype, other.dtype))
