"""The recurrence compiler: traces the step of any cell with its backward pass, and compiles it to two time loops.

The loops are C++ on CPUs and CUDA graphs on GPUs. `trace` makes a graph of a step and checks what it depends on. `plan`
partitions the graph into what runs once and what runs in the loop, and decides where each value is stored.
`differentiable` is the autograd function. `cpu` generates C++ for the loops and for single steps, `gpu` records chunks
of steps as CUDA graphs of kernels that Inductor has fused.
"""

import torch

from rnnkit.cells.state import state_leaves
from rnnkit.engines import reference, toolchain
from rnnkit.engines.compiled.kernels import KINDS, Failure, kernel_of
from rnnkit.engines.compiled.steps import (
    Uncompilable,
    first_step,
    is_live,
    prepared_step,
    quick_step,
    step_program,
    traced_step,
)
from rnnkit.engines.compiled.trace.given import context_leaves
from rnnkit.engines.compiled.trace.once import warn_once as _warn
from rnnkit.engines.hooks import transformed, watched
from rnnkit.engines.request import Request, Result
from rnnkit.engines.window import without_padding

__all__ = ["Uncompilable", "prepare", "quick_step", "run", "step_program", "traced_step", "unsupported"]


def unsupported(request: Request) -> str | None:
    """Return why the compiler cannot compute the cell; None if it can, as far as is known without a trace."""
    device = request.first.device
    if device.type not in KINDS:
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
    kernel = kernel_of(request)[0]
    if isinstance(kernel, str) and not isinstance(kernel, Failure):
        _warn(f"{type(request.cell).__name__} runs as a Python loop: {kernel}")
        return kernel
    return None


def run(request: Request) -> Result:
    """Run the compiled loop, or the Python loop if compilation has failed."""
    cell, x, state, window, *_ = request
    kernel, given, weights = kernel_of(request)
    if isinstance(kernel, Failure):
        # raises torch's own error
        return reference.run(request)
    try:
        if isinstance(kernel, str):
            raise toolchain.CompilerError(kernel)
        if is_live(request):
            carry = kernel.carry(state)
            done = prepared_step(cell, x, carry, begun=True) or first_step(cell, x, carry)
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
