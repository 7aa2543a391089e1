"""All steps of a scan as rows of one batch, for what can be computed at every step at once."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnnkit.cells.state import map_state
from rnnkit.engines import ScanEvent, scan
from rnnkit.insight.record import as_batch, as_module, call, checked, evaluating, input_steps, recording, valid_lengths
from rnnkit.insight.replay import states_before


class Steps(NamedTuple):
    """The N valid steps of a scan: input, state before the step and context, each [N, ...], and rows and times [N]."""

    x: Any
    before: Any
    context: Any
    row: Tensor
    time: Tensor

    def take(self, index: Tensor) -> "Steps":
        """Return some of the steps; an index may occur several times."""
        x, before = (map_state(lambda leaf: leaf[index], tree) for tree in (self.x, self.before))
        count = len(self.row)

        def of_steps(leaf: Tensor) -> Tensor:
            return leaf[index] if leaf.dim() and len(leaf) == count else leaf

        context = None if self.context is None else map_state(of_steps, self.context)
        return Steps(x, before, context, self.row[index], self.time[index])


def observed(model: Any, batch: Any, state: Any = None) -> dict[str, ScanEvent]:
    """Return the scans of a model over a batch, in eval mode and without gradients.

    Raises:
        UserError: if there are none, or the model does not accept what the batch has.
    """
    module = as_module(model)
    with evaluating(module), torch.no_grad(), recording(module) as scans:
        call(module, as_batch(batch), state)
    return checked(scans)


def states_after(event: ScanEvent) -> Any:
    """Return the states of a scan after each step, each part [B, T, ...]."""
    options = {"lengths": event.lengths, "reset": event.reset, "reverse": event.reverse, "context": event.context}
    with torch.no_grad(), evaluating(event.cell):
        _, _, states = scan(event.cell, event.x, event.initial, return_states=True, engine="reference", **options)
    return states


def steps_of(event: ScanEvent, states: Any) -> Steps:
    """Return the valid steps of a scan in the order of its rows, given the states after them."""
    B, T = input_steps(event)
    lengths_B = valid_lengths(event)
    t_T = torch.arange(T, device=lengths_B.device)
    row_N, time_N = (t_T < lengths_B[:, None]).nonzero(as_tuple=True)

    def at(leaf: Tensor) -> Tensor:
        return leaf.detach()[row_N, time_N]

    def of_rows(leaf: Tensor) -> Tensor:
        return leaf.detach()[row_N] if leaf.dim() and len(leaf) == B else leaf.detach()

    context = None if event.context is None else map_state(of_rows, event.context)
    return Steps(map_state(at, event.x), map_state(at, states_before(event, states)), context, row_N, time_N)


def step(cell: Any, steps: Steps, before: Any = None) -> tuple[Tensor, Any]:
    """Run one step of a cell for all rows."""
    state = steps.before if before is None else before
    stepped: tuple[Tensor, Any] = (
        cell(steps.x, state) if steps.context is None else cell(steps.x, state, context=steps.context)
    )
    return stepped
