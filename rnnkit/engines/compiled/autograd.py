"""The autograd function of a compiled loop."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rnnkit.engines.recorded import Watch, more_than_numbers
from rnnkit.engines.window import Window

if TYPE_CHECKING:
    from rnnkit.engines.compiled.differentiable import Differentiable, WindowShape


class CompiledScan(torch.autograd.Function):
    """The forward and the backward pass over all steps."""

    @staticmethod
    def forward(ctx: Any, kernel: "Differentiable", window: Window, shape: "WindowShape", *inputs: Tensor) -> Any:
        y_BTO, ends, states, values = kernel.forward(inputs, window, shape)
        # results may be modified by the caller: they must not be views, nor share memory with saved tensors unnoticed
        copied = kernel.shows_input or (kernel.shows_saved and kernel.is_random)
        y_BTO = y_BTO.clone() if copied else y_BTO.data
        ctx.watch = Watch(y_BTO) if kernel.shows_saved and not copied else None
        ctx.kernel, ctx.shape = kernel, shape
        # the caller may reuse these buffers for other windows
        lengths, fresh = (None if mask is None else mask.clone() for mask in (window.lengths, window.fresh))
        ctx.window = Window(lengths, fresh, window.reverse)
        ctx.save_for_backward(*inputs, *(values[node] for node in kernel.besides))
        ctx.mark_non_differentiable(*(leaf for leaf in (*ends, *states) if not leaf.is_floating_point()))
        return y_BTO, *ends, *states

    @staticmethod
    def backward(ctx: Any, y_grad_BTO: Tensor, *state_grads: Tensor) -> Any:
        kernel = ctx.kernel
        saved = ctx.saved_tensors  # accessed once: a checkpoint recomputes them at each access
        count = len(kernel.inputs)
        inputs, kept = saved[:count], saved[count:]
        tangents = [y_grad_BTO, *state_grads]
        if more_than_numbers(tangents):
            return None, None, None, *kernel.by_the_loop(inputs, ctx.window, ctx.shape, tangents)
        with torch.autocast(y_grad_BTO.device.type, enabled=False):
            if ctx.watch is not None and ctx.watch.overwritten:
                *_, values = kernel.forward(inputs, ctx.window, ctx.shape)
            else:
                values = kernel.values_of(inputs, kept)
            leaves = len(kernel.step.state)
            ends, states = list(state_grads[:leaves]), list(state_grads[leaves:])
            grads = kernel.backward(values, ctx.shape, y_grad_BTO, ends, states)
        return None, None, None, *grads
