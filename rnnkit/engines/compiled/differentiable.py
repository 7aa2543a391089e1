"""The autograd function of a compiled step: one graph node for all steps of a window."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from rnnkit.cells.state import state_leaves
from rnnkit.engines.compiled.autograd import CompiledScan
from rnnkit.engines.compiled.plan.hoisted import Hoisted
from rnnkit.engines.compiled.plan.layout import by_row
from rnnkit.engines.compiled.plan.plan import Plan
from rnnkit.engines.compiled.trace.given import Given
from rnnkit.engines.compiled.trace.graphs import arguments, batch_axis, is_random, is_view, value
from rnnkit.engines.compiled.trace.readings import readings
from rnnkit.engines.compiled.trace.step import Step, structured
from rnnkit.engines.compiled.trace.twin import Twin
from rnnkit.engines.recorded import gradients_of
from rnnkit.engines.request import Request, Result
from rnnkit.engines.window import Window
from rnnkit.errors import UserError

Values = dict[fx.Node, Tensor]
"""Values by node. Values of rows include all steps: the batch axis of the trace has T * B rows, step by step."""


class WindowShape(NamedTuple):
    """The shape of a window: its steps and rows, and 1 if time runs backward."""

    T: int
    B: int
    reverse: int


class Differentiable(Plan):
    """A step in one mode, for any number of rows and steps; the subclass of a device runs the loops."""

    is_for_any_cell = False
    """Whether equal cells may share it, because it reads the weights of each call; a CUDA graph reads those of one."""

    def __init__(self, step: Step, twin: Twin, *, backward: bool, states: bool) -> None:
        super().__init__(step, backward=backward, states=states)
        self.twin = twin
        self._outside = readings(twin.cell).key
        device = value(step.y).device.type
        self._autocast = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))
        self.is_random = any(is_random(node) for node in step.graph.nodes)
        self.inputs = [*step.x, *step.state, *step.initial, *step.context, *step.weights.values()]
        # states are saved as their histories
        self.besides = [node for node in self.saved if node not in self.inputs or node in step.state]
        self._read = [(n, node) for n, node in enumerate(self.inputs) if node in self.saved and node not in step.state]
        shown = step.y
        while is_view(shown):
            shown = arguments(shown)[0]
        history = dict(zip(step.new_state, step.state, strict=True))
        self.shows_input = shown.op == "placeholder"
        self.shows_saved = history.get(shown, shown) in self.saved

    def __call__(self, request: Request, given: Given, initial: Any, weights: dict[str, Tensor]) -> Result:
        """Run a request; `initial` is the initial state for resets."""
        window = request.window
        B, T = request.first.shape[:2]
        shape = WindowShape(T, B, int(window.reverse))
        leaves = state_leaves(self.carry(request.state))
        # an initial state may be one expanded row
        first = [leaf.contiguous() for leaf in state_leaves(self.carry(initial))] if self.step.initial else []
        rows = [self.rows(leaf, shape) for leaf in state_leaves(request.x)]
        inputs = [*rows, *leaves, *first, *given.row_context, *(weights[name] for name in self.step.weights)]
        if self.partition.backward is None:
            y_BTO, ends, states, _ = self.forward(inputs, window, shape)
            y_BTO = y_BTO.clone() if self.shows_input else y_BTO.data
        else:
            y_BTO, *found = CompiledScan.apply(self, window, shape, *inputs)
            ends, states = found[: len(leaves)], found[len(leaves) :]
        over_time = structured(request.state, states) if self.returns_states else None
        return Result(y_BTO, structured(request.state, ends), over_time)

    def carry(self, state: Any) -> Any:
        """Cast a state to its dtypes between steps."""
        leaves = [leaf.to(value(node).dtype) for leaf, node in zip(state_leaves(state), self.step.state, strict=True)]
        return structured(state, leaves)

    def prepare(self) -> None:
        """Do what may fail, before the first step; raise `toolchain.CompilerError` if it does."""

    @abstractmethod
    def rows(self, x_BTI: Tensor, shape: WindowShape) -> Tensor:
        """Return all steps of x, [T * B, I], in the order of the loops."""

    @abstractmethod
    def in_time(self, x_NI: Tensor, shape: WindowShape) -> Tensor:
        """Return [B, T, I] in order of time, the inverse of `rows`."""

    @abstractmethod
    def forward(
        self, inputs: Sequence[Tensor], window: Window, shape: WindowShape
    ) -> tuple[Tensor, list[Tensor], list[Tensor], Values]:
        """Return outputs, final state, the states after all steps if requested, and the saved values.

        `inputs` are the rows of x, the state, the initial state if rows may be reset, the tensors of the context that
        belong to rows, and the weights.
        """

    @abstractmethod
    def backward(
        self,
        values: Values,
        shape: WindowShape,
        y_grad_BTO: Tensor,
        state_grads: list[Tensor],
        states_grads: list[Tensor],
    ) -> list[Tensor | None]:
        """Return the gradients of the inputs."""

    def run_once(self, values: Values, B: int) -> None:
        """Compute what depends on the weights only, and what depends on the context only."""
        self.partition.weights.run(0, values)
        self.partition.context.run(B, values)

    def run_for_all(
        self, part: Hoisted, values: Values, T: int, B: int, sums: dict[fx.Node, Tensor] | None = None
    ) -> None:
        """Compute hoisted values for all steps at once; values that are constant over the steps are expanded."""
        own = {node: self.at_all_steps(node, values, T) for node in part.inputs if node in self.partition.per_row}
        found = values | own
        part.run(T * B, found, sums)
        values.update({node: found[node] for node in part.outputs})

    def at_all_steps(self, node: fx.Node, values: Values, T: int) -> Tensor:
        """Return a value at all steps, expanded if it is constant."""
        if node not in self.partition.per_row:
            return values[node]
        axis = batch_axis(node)
        return values[node].repeat(*(T if n == axis else 1 for n in range(values[node].dim())))

    def late_grads(self, values: Values, sums: dict[fx.Node, Tensor], B: int) -> Values:
        """Return the gradients that are computed from sums over all steps, which `sums` has for each row."""
        part = self.partition.late
        summed = {node: by_row(total.to(value(node).dtype), node) for node, total in sums.items()}
        found = {node: values[node] for node in part.inputs if node not in summed} | summed
        part.run(B, found)
        return found

    def values_of(self, inputs: Sequence[Tensor], kept: Sequence[Tensor]) -> Values:
        """Return the values that the backward loop reads, from the inputs and the saved values."""
        return {node: inputs[n] for n, node in self._read} | dict(zip(self.besides, kept, strict=True))

    def by_the_loop(
        self, inputs: Sequence[Tensor], window: Window, shape: WindowShape, tangents: Sequence[Tensor | None]
    ) -> list[Tensor | None]:
        """Return the gradients of the inputs by the Python loop, in operations that torch can differentiate.

        Raises:
            UserError: if the loop would not repeat the computation.
        """
        if self.is_random or readings(self.twin.cell).key != self._outside:
            reason = "draws random numbers in every step" if self.is_random else "reads globals that have changed since"
            raise UserError(
                "engine",
                "one whose gradients can be differentiated, or vmapped, for this cell",
                f"compiled ({type(self.twin.cell).__name__} {reason})",
                fix='engine="reference"',
            )

        def loop(*given: Tensor) -> list[Tensor]:
            step, remaining = self.step, iter(given)
            x, before, first, context = (
                [next(remaining) for _ in nodes] for nodes in (step.x, step.state, step.initial, step.context)
            )
            weights = dict(zip(step.weights, remaining, strict=True))
            x, state = [self.in_time(leaf, shape) for leaf in x], structured(self.twin.state, before)
            with torch.autocast(self._autocast[0], self._autocast[1], self._autocast[2]):
                found = self.twin.over_time(weights, x, state, first, context, window, states=self.returns_states)
            after = [*state_leaves(found.state), *(state_leaves(found.states) if self.returns_states else [])]
            return [found.y, *(new.to(old.dtype) for new, old in zip(after, [*before, *before], strict=False))]

        return gradients_of(loop, inputs, tangents)
