"""A compiled step as autograd sees it: one node of its graph for all the steps of a window."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, fx
from torch.autograd.function import once_differentiable

from rnnkit.cells.state import state_leaves
from rnnkit.engines.compiled.plan import Plan
from rnnkit.engines.compiled.step import structured
from rnnkit.engines.window import Window

Values = dict[fx.Node, Tensor]
"""Values by node. Those of a lane hold all steps: where the trace has the batch, they have T * B rows, step by step."""


class Differentiable(Plan):
    """A step in one mode, for any number of lanes and steps; a machine's own class says how its loops are run."""

    def __call__(self, x_BTI: Tensor, state: Any, initial: Any, window: Window, weights: dict[str, Tensor]) -> Any:
        """Outputs and state, as an engine's `run`."""
        leaves = state_leaves(state)
        # An initial state may be one row, expanded.
        first = [leaf.contiguous() for leaf in state_leaves(initial)] if self.step.initial else []
        given = [*leaves, *first, *(weights[name] for name in self.step.weights)]
        if self.partition.backward is None:
            y_BTO, ends, _ = self.forward(x_BTI, given, window)
        else:
            y_BTO, *ends = _Scan.apply(self, window, x_BTI, *given)
        return y_BTO, structured(state, ends)

    def prepare(self) -> None:
        """Do what may fail before the first step; raises `toolchain.CompilerError`."""

    @abstractmethod
    def forward(self, x_BTI: Tensor, given: list[Tensor], window: Window) -> tuple[Tensor, list[Tensor], Values]:
        """Outputs, final state, and the values of the nodes that are saved."""

    @abstractmethod
    def backward(
        self, values: Values, shape: tuple[int, int, int], y_grad_BTO: Tensor, state_grads: list[Tensor]
    ) -> list[Tensor | None]:
        """The gradients of x, state, initial state and weights; `shape` is T, B, and 1 for time running backwards."""


class _Scan(torch.autograd.Function):
    """All steps forward, and all steps back."""

    @staticmethod
    def forward(ctx: Any, kernel: Differentiable, window: Window, x_BTI: Tensor, *given: Tensor) -> Any:
        y_BTO, ends, values = kernel.forward(x_BTI, list(given), window)
        ctx.kernel = kernel
        ctx.shape = (x_BTI.shape[1], x_BTI.shape[0], int(window.reverse))
        ctx.save_for_backward(*(values[node] for node in kernel.saved))
        ctx.mark_non_differentiable(*(end for end in ends if not end.is_floating_point()))
        return y_BTO, *ends

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, y_grad_BTO: Tensor, *state_grads: Tensor) -> Any:
        values = dict(zip(ctx.kernel.saved, ctx.saved_tensors, strict=True))
        with torch.autocast(y_grad_BTO.device.type, enabled=False):
            grads = ctx.kernel.backward(values, ctx.shape, y_grad_BTO, list(state_grads))
        return None, None, *grads
