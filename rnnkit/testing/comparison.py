"""Results of a run, and the comparison of two runs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.testing.subject import Subject

Run = Callable[[Any, Any, Any], tuple[Tensor, Any]]
"""A function from x, state and context to outputs and state."""
Results = dict[str, Tensor]


def results(
    subject: Subject,
    x: Any,
    state: Any,
    run: Run,
    *,
    twice: bool = False,
    then: Callable[[Tensor], Tensor] = lambda y_BTO: y_BTO,
) -> Results:
    """Return the results of a run, and the gradients of a fixed random sum of them.

    Args:
        subject: the cell and its context.
        x: the input.
        state: the initial state.
        run: the run.
        twice: also return the gradients of a sum of these gradients.
        then: applied to the outputs before they are summed.
    """
    cell = subject.cell
    x, given, context = map_state(_learned, (x, state, subject.context()))
    output, end = run(x, given, context)
    require(type(end) is type(state), f"the state enters as {type(state)} and leaves as {type(end)}", cell)
    for (name, old), new in zip(named("state", state), state_leaves(end), strict=True):
        require(new.dtype == old.dtype, f"{name} enters as {old.dtype} and leaves as {new.dtype}", cell)
    found = values(then(output), end)
    leaves = [*named("x", x), *named("given state", given), *named("context", context), *cell.named_parameters()]
    sources = {name: source for name, source in leaves if source.requires_grad}
    # a parameter that the cell does not use has a gradient of zero
    options: dict[str, Any] = {"allow_unused": True, "materialize_grads": True}
    tensors = list(sources.values())
    # squares, since the gradient of a sum that is linear in the outputs does not depend on them
    total = probed_sum({name: value + value * value for name, value in found.items()} if twice else found)
    grads = torch.autograd.grad(total, tensors, create_graph=twice, **options)
    found |= {f"the gradient of {name}": grad for name, grad in zip(sources, grads, strict=True)}
    if twice:
        # the zero is for gradients that depend on nothing
        total = probed_sum(dict(zip(sources, grads, strict=True))) + 0 * sum(real(t).sum().double() for t in tensors)
        seconds = torch.autograd.grad(total, tensors, **options)
        found |= {f"the second derivative by {name}": grad for name, grad in zip(sources, seconds, strict=True)}
    return found


def compare(cell: Cell[Any], form: str, found: Results, reference: str, expected: Results, tolerance: float) -> None:
    """Raise AssertionError if two runs differ by more than the tolerance."""
    for name in expected:
        got, wanted = real(found[name]), real(expected[name])
        difference = (got.double() - wanted.double()).abs().nan_to_num(nan=torch.inf).detach()
        allowed = tolerance * max(1.0, wanted.double().abs().nan_to_num().max().item() if wanted.numel() else 0.0)
        if (difference > allowed).any():
            index = tuple(int(i) for i in torch.unravel_index(difference.argmax(), difference.shape))
            require(
                False,
                f"{form} and {reference} disagree in {name}{list(index)}: {got[index].item():.6g} against "
                f"{wanted[index].item():.6g}, off by {difference[index].item():.3g} where {allowed:.3g} is allowed",
                cell,
            )


def probed_sum(values: Results) -> Tensor:
    """Return a sum with fixed, distinct weights."""
    probe = torch.Generator().manual_seed(3)
    parts = map(real, values.values())
    weighed = [(part * torch.randn(part.shape, generator=probe)).sum().double() for part in parts]
    return torch.stack(weighed).sum()


def real(value: Tensor) -> Tensor:
    """Return a complex tensor as a real one with the two parts on a last axis."""
    return torch.view_as_real(value) if value.is_complex() else value


def _learned(leaf: Tensor) -> Tensor:
    return leaf.clone().requires_grad_(real(leaf).is_floating_point())


def values(output: Tensor, state: Any) -> Results:
    """Return an output and the leaves of a state, with names for messages."""
    return {"the output": output, **dict(named("the final state", state))}


def named(name: str, state: Any) -> list[tuple[str, Tensor]]:
    """Return the leaves of a state, an input or a context with their dotted names."""
    if state is None:
        return []
    if isinstance(state, Tensor):
        return [(name, state)]
    fields = getattr(state, "_fields", range(len(state)))
    return [leaf for field, part in zip(fields, state, strict=True) for leaf in named(f"{name}.{field}", part)]


def require(holds: bool, message: str, cell: Any) -> None:
    """Raise AssertionError with a message unless a condition holds."""
    if not holds:
        raise AssertionError(f"{type(cell).__name__}: {message}")
