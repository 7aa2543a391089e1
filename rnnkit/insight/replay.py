"""A scan run again with a probe, for the gradients with respect to the state before every step."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnnkit.cells.state import map_state, state_leaves
from rnnkit.engines import ScanEvent, scan
from rnnkit.insight.probe import Probed
from rnnkit.insight.vectors import is_differentiable, to_vector


class Cotangent(NamedTuple):
    """The gradient of a loss with respect to the outputs [B, T, O] of a scan and each part of its last state.

    None where the loss does not depend on it.
    """

    y: Tensor | None
    end: list[Tensor | None]


class StepGradients(NamedTuple):
    """The gradients of a loss with respect to what each step reads, and the states of the scan.

    Args:
        state: [B, T, S], with respect to the state before each step.
        x: [B, T, I], with respect to the input of each step; None for an input that is no floating-point tensor.
        states: the states after each step, each part [B, T, ...].
    """

    state: Tensor
    x: Tensor | None
    states: Any


def cotangents(loss: Tensor, scans: dict[str, ScanEvent]) -> dict[str, Cotangent]:
    """Return the gradients of a loss with respect to the results of scans, as what follows the scan uses them."""
    found = {}
    for name, event in scans.items():
        leaves = state_leaves(event.state)
        wanted = [leaf for leaf in [event.y, *leaves] if leaf is not None and leaf.requires_grad]
        if not (loss.requires_grad and wanted):
            found[name] = Cotangent(None, [None] * len(leaves))
            continue
        gradients = torch.autograd.grad(loss, wanted, retain_graph=True, allow_unused=True)
        by_id = {id(tensor): gradient for tensor, gradient in zip(wanted, gradients, strict=True)}
        # a last state that is computed from y has passed its gradient on to that of y
        own = [None if _is_from(leaf, event.y) else by_id.get(id(leaf)) for leaf in leaves]
        found[name] = Cotangent(by_id.get(id(event.y)), own)
    return found


def _is_from(leaf: Tensor, y: Tensor | None) -> bool:
    if y is None or leaf is y or leaf.grad_fn is None or not y.requires_grad:
        return leaf is y
    with torch.enable_grad():
        total = leaf.abs().sum() if leaf.is_complex() else leaf.sum()
    return torch.autograd.grad(total, y, retain_graph=True, allow_unused=True)[0] is not None


def replay(
    event: ScanEvent, given: Cotangent, probed: Probed | None = None, engine: str = "reference"
) -> StepGradients:
    """Run a scan again from the same inputs, and return the gradients for a cotangent of its results.

    Args:
        event: the scan.
        given: the gradients with respect to its results.
        probed: the probe of its cell, which a caller keeps so that it is compiled once; None makes one.
        engine: the engine of the second run.
    """
    probed = Probed(event.cell) if probed is None else probed
    x, differentiable = _leaf(event.x)
    e_BTS = probed.zeros(event.x).requires_grad_()
    with torch.enable_grad():
        y, end, states = scan(
            probed,
            probed.input_of(x, e_BTS),
            map_state(Tensor.detach, event.initial),
            context=_detached(event.context),
            lengths=event.lengths,
            reset=event.reset,
            reverse=event.reverse,
            return_states=True,
            engine=engine,
        )
        results = [y, *state_leaves(end)]
        pairs = [(r, g) for r, g in zip(results, [given.y, *given.end], strict=True) if g is not None]
        pairs = [(result, gradient) for result, gradient in pairs if result.requires_grad]
        sources = [e_BTS, *([x] if differentiable else [])]
        found: list[Tensor | None] = [None] * len(sources)
        if pairs:
            outputs, gradients = zip(*pairs, strict=True)
            found = list(torch.autograd.grad(outputs, sources, gradients, allow_unused=True))
    by_state, *by_x = [torch.zeros_like(s) if g is None else g for s, g in zip(sources, found, strict=True)]
    return StepGradients(by_state, by_x[0] if by_x else None, map_state(Tensor.detach, states))


def states_before(event: ScanEvent, states: Any) -> Any:
    """Return the state before every step, each part [B, T, ...]: the given one, the initial one at a reset, or that
    after the step before. At padding it is arbitrary.
    """
    step = 1 if event.reverse else -1

    def shifted(after: Tensor, initial: Tensor) -> Tensor:
        moved = after.roll(-step, 1)
        if not event.reverse:
            moved[:, 0] = initial
            return moved
        last = (after.shape[1] if event.lengths is None else event.lengths) - 1
        rows = torch.arange(len(after), device=after.device)
        moved[rows, torch.as_tensor(last, device=after.device).clamp(min=0)] = initial
        return moved

    before = map_state(shifted, states, map_state(Tensor.detach, event.initial))
    if event.reset is None:
        return before
    fresh_BT = event.reset if not event.reverse else event.reset.roll(-1, 1) & _not_last(event.reset)
    initial = event.cell.initial_state(len(event.reset))

    def chosen(leaf: Tensor, own: Tensor) -> Tensor:
        mask = fresh_BT.view(*fresh_BT.shape, *[1] * (leaf.dim() - 2))
        return torch.where(mask, own.detach()[:, None].to(leaf.dtype), leaf)

    return map_state(chosen, before, initial)


def vectors_before(event: ScanEvent, states: Any) -> Tensor:
    """Return the state before every step as vectors [B, T, S]."""
    return to_vector(states_before(event, states), axes=2)


def _not_last(reset_BT: Tensor) -> Tensor:
    return torch.arange(reset_BT.shape[1], device=reset_BT.device) < reset_BT.shape[1] - 1


def _leaf(x: Any) -> tuple[Any, bool]:
    """Return an input without its graph, and whether gradients with respect to it are computed."""
    if not isinstance(x, Tensor):
        return map_state(Tensor.detach, x), False
    detached = x.detach()
    return (detached.requires_grad_(), True) if is_differentiable(detached) else (detached, False)


def _detached(context: Any) -> Any:
    return None if context is None else map_state(Tensor.detach, context)
