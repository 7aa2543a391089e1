"""The recurrence compiler: any cell's step, traced with its backward, as two time loops in C++.

`trace` has the step as a graph, `graphs` tidies it, `partition` cuts it into what runs once and what runs in the loop,
`loops` writes the loop as C++ (with `reading`, `expressions` and `index`), `kernel` runs it.
"""

import functools
import warnings
from collections.abc import Hashable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.modules.module import _has_any_global_hook

from rnnkit.cells.base import Cell, State
from rnnkit.cells.state import state_leaves
from rnnkit.engines import reference, toolchain
from rnnkit.engines.window import Window

_kernels: "WeakKeyDictionary[Cell[Any], dict[Hashable, Any]]" = WeakKeyDictionary()


def unsuitable(cell: Cell[State], x_BTI: Tensor, state: State) -> str | None:
    """Why the compiler would not compute what the cell computes; None where it does."""
    reason = toolchain.missing()
    if reason is not None:
        _warn(f"rnnkit runs without its compiler: {reason}")
        return reason
    tensors = [x_BTI, *state_leaves(state), *cell.parameters(), *cell.buffers()]
    if any(tensor.device.type != "cpu" for tensor in tensors):
        return "the compiler writes code for CPUs"
    if any(tensor.is_complex() for tensor in tensors):
        return "the compiler knows no complex numbers"
    if torch._C._are_functorch_transforms_active() or torch.compiler.is_compiling():
        return "a torch.func transform or torch.compile looks into every step"
    if _is_watched(cell):
        return "a hook or a replaced forward watches every step of the cell, and compiled steps call none"
    kernel = _kernel(cell, x_BTI, state, masked=False)
    if isinstance(kernel, str):
        _warn(f"{type(cell).__name__} runs as a Python loop: {kernel}")
        return kernel
    return None


def unprofitable(cell: Cell[State], x_BTI: Tensor, state: State) -> str | None:
    """Why another engine is as fast for this work."""
    return None


def run(cell: Cell[State], x_BTI: Tensor, state: State, window: Window) -> tuple[Tensor, State]:
    """Run the compiled loop; without a compiled one, because the compiler fails on it, the Python loop."""
    masked = window.lengths is not None or window.fresh is not None
    kernel = _kernel(cell, x_BTI, state, masked=masked)
    try:
        if isinstance(kernel, str):
            raise toolchain.CompilerError(kernel)
        _ = kernel.library
    except toolchain.CompilerError as error:
        _warn(f"{type(cell).__name__} runs as a Python loop: {error}")
        return reference.run(cell, x_BTI, state, window)
    if window.lengths is not None:
        padded_BT1 = torch.arange(x_BTI.shape[1]) >= window.lengths[:, None]
        x_BTI = x_BTI.masked_fill(padded_BT1[..., None], 0)
    weights = dict(cell.named_parameters()) | dict(cell.named_buffers())
    initial = cell.initial_state(x_BTI.shape[0]) if masked else None
    return kernel(x_BTI, state, initial, window, weights)  # type: ignore[no-any-return]


def _kernel(cell: Cell[Any], x_BTI: Tensor, state: Any, *, masked: bool) -> Any:
    """The kernel for this cell in its present condition, or the reason why there is none."""
    from rnnkit.engines.compiled.kernel import Kernel
    from rnnkit.engines.compiled.graphs import Untraceable

    sources = [x_BTI, *state_leaves(state), *cell.parameters()]
    backward = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in sources)
    x_grad = backward and x_BTI.requires_grad
    key = (masked, backward, x_grad, x_BTI.dtype, *(leaf.dtype for leaf in state_leaves(state)), _condition(cell))
    kernels = _kernels.setdefault(cell, {})
    if key not in kernels:
        try:
            kernels[key] = Kernel(cell, x_BTI, state, masked=masked, backward=backward, x_grad=x_grad)
        except Untraceable as reason:
            kernels[key] = str(reason)
    return kernels[key]


def _condition(cell: Cell[Any]) -> Hashable:
    """All that a trace of the cell depends on besides its inputs: modes, options, dtypes, what asks for a gradient."""
    options = tuple(
        (name, value)
        for module in cell.modules()
        for name, value in vars(module).items()
        if isinstance(value, (bool, int, float, str, tuple)) and not name.startswith("_")
    )
    tensors = tuple((tensor.dtype, tensor.requires_grad) for tensor in (*cell.parameters(), *cell.buffers()))
    autocast = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
    return options, tensors, autocast, torch.get_default_dtype()


def _is_watched(cell: Cell[Any]) -> bool:
    return _has_any_global_hook() or any(
        "forward" in vars(module)
        or module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        for module in cell.modules()
    )


@functools.cache
def _warn(message: str) -> None:
    """Once for each message."""
    warnings.warn(message, stacklevel=2)
