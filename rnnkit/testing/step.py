"""Checks of a single step."""

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from rnnkit.cells.base import Cell
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.engines import scan
from rnnkit.testing.comparison import Results, compare, named, probed_sum, real, require, results, values
from rnnkit.testing.subject import BATCH, Subject


def check_signature(subject: Subject, input_size: int) -> None:
    """Check sizes, shapes and types."""
    cell = subject.cell
    require(isinstance(cell, Cell), "the factory must return a rnnkit.cells.Cell", cell)
    require(cell.input_size == input_size, f"input_size is {cell.input_size}, but it was built for {input_size}", cell)
    before = cell.initial_state(BATCH)
    output, after = subject.step(_at(subject.x(1), 0), before, subject.context())
    expected = [BATCH, cell.output_size]
    require(list(output.shape) == expected, f"one step's output is {list(output.shape)}, not {expected}", cell)
    require(type(after) is type(before), f"the state enters as {type(before)} and leaves as {type(after)}", cell)
    for (name, old), new in zip(named("state", before), state_leaves(after), strict=True):
        require(old.shape[:1] == (BATCH,), f"{name} of initial_state({BATCH}) has shape {list(old.shape)}", cell)
        require(new.shape == old.shape, f"{name} enters as {list(old.shape)} and leaves as {list(new.shape)}", cell)
        require(new.dtype == old.dtype, f"{name} enters as {old.dtype} and leaves as {new.dtype}", cell)


def check_repeatable(subject: Subject, twin: Cell[Any]) -> None:
    """Check that equal seeds give equal numbers; leave a random cell in evaluation mode."""
    x, state = subject.x(), subject.state()

    def run(a_cell: Cell[Any], seed: int) -> Results:
        torch.manual_seed(seed)
        return results(
            subject._replace(cell=a_cell),
            x,
            state,
            lambda x, h, context: scan(a_cell, x, h, context=context, engine="reference"),
        )

    cell = subject.cell
    first = run(cell, 1)
    compare(cell, "a first run", first, "a second run with the same seed", run(cell, 1), tolerance=0)
    compare(cell, "a first run", first, "a cell built again with the same seed", run(twin, 1), tolerance=0)
    other = run(cell, 2)
    cell.train(all(torch.equal(first[name], other[name]) for name in first))


def check_state_and_rows(subject: Subject) -> None:
    """Check that the state and the context matter, and that rows are independent."""
    cell, x, state, context = subject.cell, _at(subject.x(), 0), subject.state(), subject.context()
    usual = values(*subject.step(x, state, context))
    afresh = values(*subject.step(x, cell.initial_state(BATCH), context))
    matters = any(not torch.equal(usual[name], afresh[name]) for name in usual)
    require(matters, "the given state changes nothing: a step from the initial one gives the same", cell)
    if context is not None:
        other = map_state(lambda leaf: leaf + 1 if leaf.is_floating_point() else leaf, context)
        shifted = values(*subject.step(x, state, other))
        matters = any(not torch.equal(usual[name], shifted[name]) for name in usual)
        require(matters, "the context changes nothing: a step with one that is larger by 1 gives the same", cell)

    def change_first(leaf: Tensor) -> Tensor:
        return torch.cat([leaf[1:2], leaf[1:]])

    given = map_state(change_first, x), map_state(change_first, state), subject.of_rows(change_first, context)
    changed = values(*subject.step(*given))
    others, as_they_were = ({name: leaf[1:] for name, leaf in found.items()} for found in (changed, usual))
    compare(cell, "the other rows with row 0 changed", others, "the other rows as they were", as_they_were, 1e-9)


def check_gradients(subject: Subject) -> None:
    """Compare the gradients of two steps with central differences, which detects a detached state."""
    cell, x, state = subject.cell, subject.x(2), subject.state()
    x, state = map_state(_two_rows, x), map_state(_two_rows, state)
    context = subject.of_rows(_two_rows, subject.context())
    trees = {"given state": state, "x": x, "context": context}
    sources = dict([*(pair for name, tree in trees.items() for pair in named(name, tree)), *cell.named_parameters()])
    sources = {name: source.detach() for name, source in sources.items()}

    def probed(varied: Tensor, name: str) -> Tensor:
        tensors = sources | {name: torch.view_as_complex(varied) if sources[name].is_complex() else varied}
        end, x, context = (
            _restored((tree,), [tensors[key] for key, _ in named(name, tree)])[0] for name, tree in trees.items()
        )
        options = {} if context is None else {"context": context}
        found = {}
        for t in range(2):
            weights = {key: tensors[key] for key, _ in cell.named_parameters()}
            output, end = functional_call(cell, weights, (_at(x, t), end), options)
            found[f"output {t}"] = output
        # the zero gives a cell that detaches everything a graph
        return probed_sum(found | dict(named("final state", end))) + 0 * varied.sum()

    for name, source in zip(sources, map(real, sources.values()), strict=True):
        if source.is_floating_point():
            varied = source.clone().requires_grad_()
            (found,) = torch.autograd.grad(probed(varied, name), varied)
            with torch.no_grad():
                nudges = 1e-5 * torch.eye(source.numel(), dtype=source.dtype).view(-1, *source.shape)
                slopes = [(probed(source + n, name) - probed(source - n, name)) / 2e-5 for n in nudges]
            label = f"the gradient of {name}"
            wanted = {label: torch.stack(slopes).view_as(source)}
            compare(cell, "backpropagation", {label: found}, "finite differences", wanted, 1e-6)


def _at(x: Any, t: int) -> Any:
    return map_state(lambda leaf: leaf[:, t], x)


def _two_rows(leaf: Tensor) -> Tensor:
    return leaf[:2]


def _restored(state: Any, leaves: list[Tensor]) -> Any:
    remaining = iter(leaves)
    return map_state(lambda _: next(remaining), state)
