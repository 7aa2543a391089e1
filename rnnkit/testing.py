"""What rnnkit promises of every cell, as one test that any outside cell can be put through."""

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call

from rnnkit.cells.base import Cell
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.engines import ENGINES, scan

Run = Callable[[Cell[Any], Tensor, Any], tuple[Tensor, Any]]
Results = dict[str, Tensor]

BATCH, STEPS, CUT = 3, 7, 3
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 1e-1}
"""Allowed difference, relative to the largest value of a tensor or to 1."""


class Form(NamedTuple):
    """How one and the same sequence is presented."""

    lengths: Tensor | None
    reset: Tensor | None
    reverse: bool

    def __str__(self) -> str:
        words = {"padded": self.lengths is not None, "reset": self.reset is not None, "reversed": self.reverse}
        return " and ".join(word for word, holds in words.items() if holds) or "plain"


def check_cell(factory: Callable[[int, int], Cell[Any]], *, input_size: int = 4, hidden_size: int = 5) -> None:
    """Raise `AssertionError` where a cell breaks a promise, telling which forms disagree, where and by how much.

    From a state that is not zero, for values and for all gradients (x, state, every parameter): each lane stepped by
    hand = the whole sequence = two chunks with the carry = every engine that runs this cell; plain, in a padded batch
    whose padding is NaN, with resets inside, and reversed. Rows are independent, the state matters and keeps its type
    and dtype, the gradients are those of finite differences, float64, float32 and bfloat16 run, and the same seed
    gives the same numbers. A cell that is random in training mode is held to all but the last in evaluation mode.

    * `factory`: called as `factory(input_size, hidden_size)`, like the `cell` of `rnnkit.RNN`.

    >>> from rnnkit.cells import GRUCell
    >>> check_cell(GRUCell)
    """
    # A test leaves the caller's random numbers alone.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        cell = factory(input_size, hidden_size).double()
        torch.manual_seed(0)
        twin = factory(input_size, hidden_size).double()
        _check_signature(cell, input_size)
        _check_repeatable(cell, twin)
        _check_state_and_rows(cell)
        _check_gradients(cell)
        for dtype in TOLERANCE:
            _check_forms(cell.to(dtype), dtype)


def _check_signature(cell: Cell[Any], input_size: int) -> None:
    """Sizes, shapes, types."""
    _require(isinstance(cell, Cell), "the factory must return a rnnkit.cells.Cell", cell)
    _require(cell.input_size == input_size, f"input_size is {cell.input_size}, but it was built for {input_size}", cell)
    before = cell.initial_state(BATCH)
    output, after = cell(torch.randn(BATCH, input_size, dtype=torch.float64), before)
    expected = [BATCH, cell.output_size]
    _require(list(output.shape) == expected, f"one step's output is {list(output.shape)}, not {expected}", cell)
    _require(type(after) is type(before), f"the state enters as {type(before)} and leaves as {type(after)}", cell)
    for (name, old), new in zip(_named("state", before), state_leaves(after), strict=True):
        _require(old.shape[:1] == (BATCH,), f"{name} of initial_state({BATCH}) has shape {list(old.shape)}", cell)
        _require(new.shape == old.shape, f"{name} enters as {list(old.shape)} and leaves as {list(new.shape)}", cell)
        _require(new.dtype == old.dtype, f"{name} enters as {old.dtype} and leaves as {new.dtype}", cell)


def _check_repeatable(cell: Cell[Any], twin: Cell[Any]) -> None:
    """Equal seeds give equal numbers; a cell that then proves random is left in evaluation mode."""
    x_BTI, state = _sequence(cell), _reached_state(cell)

    def run(a_cell: Cell[Any], seed: int) -> Results:
        torch.manual_seed(seed)
        return _results(a_cell, x_BTI, state, _whole(Form(None, None, False), "reference"))

    first = run(cell, 1)
    _compare(cell, "a first run", first, "a second run with the same seed", run(cell, 1), tolerance=0)
    _compare(cell, "a first run", first, "a cell built again with the same seed", run(twin, 1), tolerance=0)
    other = run(cell, 2)
    cell.train(all(torch.equal(first[name], other[name]) for name in first))


def _check_state_and_rows(cell: Cell[Any]) -> None:
    """The state matters, and no row of a batch sees another."""
    x_BI, state = _sequence(cell)[:, 0], _reached_state(cell)
    usual = _values(*cell(x_BI, state))
    afresh = _values(*cell(x_BI, cell.initial_state(BATCH)))
    matters = any(not torch.equal(usual[name], afresh[name]) for name in usual)
    _require(matters, "the given state changes nothing: a step from the initial one gives the same", cell)

    def change_first(leaf: Tensor) -> Tensor:
        return torch.cat([leaf[1:2], leaf[1:]])

    changed = _values(*cell(change_first(x_BI), map_state(change_first, state)))
    others = ({name: leaf[1:] for name, leaf in values.items()} for values in (changed, usual))
    _compare(cell, "the other rows with row 0 changed", next(others), "the other rows as they were", next(others), 1e-9)


def _check_gradients(cell: Cell[Any]) -> None:
    """Two steps against central differences: a detached state shows in the gradient of the given one."""
    x_BTI, state = _sequence(cell)[:2, :2], map_state(lambda leaf: leaf[:2], _reached_state(cell))
    sources = dict([*_named("given state", state), ("x", x_BTI), *cell.named_parameters()])
    sources = {name: source.detach() for name, source in sources.items()}

    def probed(varied: Tensor, name: str) -> Tensor:
        tensors = sources | {name: torch.view_as_complex(varied) if sources[name].is_complex() else varied}
        end = _restored(state, [tensors[key] for key, _ in _named("given state", state)])
        values = {}
        for t in range(2):
            weights = {key: tensors[key] for key, _ in cell.named_parameters()}
            output, end = functional_call(cell, weights, (tensors["x"][:, t], end))
            values[f"output {t}"] = output
        # The zero keeps a cell that detaches everything from ending in an error about the graph.
        return _probed_sum(values | dict(_named("final state", end))) + 0 * varied.sum()

    for name, source in zip(sources, map(_real, sources.values()), strict=True):
        if source.is_floating_point():
            varied = source.clone().requires_grad_()
            (found,) = torch.autograd.grad(probed(varied, name), varied)
            with torch.no_grad():
                nudges = 1e-5 * torch.eye(source.numel(), dtype=source.dtype).view(-1, *source.shape)
                slopes = [(probed(source + n, name) - probed(source - n, name)) / 2e-5 for n in nudges]
            label = f"the gradient of {name}"
            wanted = {label: torch.stack(slopes).view_as(source)}
            _compare(cell, "backpropagation", {label: found}, "finite differences", wanted, 1e-6)


def _check_forms(cell: Cell[Any], dtype: torch.dtype) -> None:
    """All forms of one sequence against each lane stepped by hand."""
    state = _reached_state(cell)
    lengths_B = torch.tensor([STEPS, CUT + 1, 0])
    reset_BT = torch.zeros(BATCH, STEPS, dtype=torch.bool)
    reset_BT[[0, 0, 1, 1, 2], [0, CUT + 1, CUT - 1, STEPS - 1, CUT]] = True
    for lengths, reset, reverse in product((None, lengths_B), (None, reset_BT), (False, True)):
        form = Form(lengths, reset, reverse)
        x_BTI = _sequence(cell)
        if lengths is not None:
            x_BTI[torch.arange(STEPS) >= lengths[:, None]] = torch.nan
        by_hand = _results(cell, x_BTI, state, _by_hand(form))
        for name, engine in ENGINES.items():
            if engine.unsuitable(cell, x_BTI, state) is not None:
                continue
            runs = {"the whole sequence": _whole(form, name)}
            if not reverse:
                runs["two chunks with the carry"] = _in_chunks(form, name)
            for title, run in runs.items():
                _compare(
                    cell,
                    f"{title} ({form}, engine {name}, {dtype})",
                    _results(cell, x_BTI, state, run),
                    "each lane stepped by hand",
                    by_hand,
                    TOLERANCE[dtype],
                )


def _by_hand(form: Form) -> Run:
    """One lane at a time, one step at a time, without any of rnnkit's machinery."""

    def lane(cell: Cell[Any], x_TI: Tensor, state: Any, b: int) -> tuple[Tensor, Any]:
        length = STEPS if form.lengths is None else int(form.lengths[b])
        outputs = [x_TI.new_zeros(1, cell.output_size)] * STEPS
        for t in reversed(range(length)) if form.reverse else range(length):
            first_of_its_sequence = t + 1 if form.reverse else t
            if form.reset is not None and first_of_its_sequence < length and form.reset[b, first_of_its_sequence]:
                state = cell.initial_state(1)
            outputs[t], state = cell(x_TI[t : t + 1], state)
        return torch.stack(outputs, dim=1), state

    def run(cell: Cell[Any], x_BTI: Tensor, state: Any) -> tuple[Tensor, Any]:
        lanes = [lane(cell, x_BTI[b], map_state(lambda leaf, b=b: leaf[b : b + 1], state), b) for b in range(BATCH)]
        end = map_state(lambda *leaves: torch.cat(leaves), *(state for _, state in lanes))
        return torch.cat([y_1TO for y_1TO, _ in lanes]), end

    return run


def _whole(form: Form, engine: str) -> Run:
    return lambda cell, x_BTI, state: scan(cell, x_BTI, state, **form._asdict(), engine=engine)


def _in_chunks(form: Form, engine: str) -> Run:
    def run(cell: Cell[Any], x_BTI: Tensor, state: Any) -> tuple[Tensor, Any]:
        outputs = []
        for start, stop in ((0, CUT), (CUT, STEPS)):
            lengths = None if form.lengths is None else (form.lengths - start).clamp(0, stop - start)
            reset = None if form.reset is None else form.reset[:, start:stop]
            y_BTO, state = scan(cell, x_BTI[:, start:stop], state, lengths=lengths, reset=reset, engine=engine)
            outputs.append(y_BTO)
        return torch.cat(outputs, dim=1), state

    return run


def _results(cell: Cell[Any], x_BTI: Tensor, state: Any, run: Run) -> Results:
    """What a run returns, and the gradients of a fixed random sum of it."""
    x_BTI = x_BTI.clone().requires_grad_()
    given = map_state(lambda leaf: leaf.clone().requires_grad_(_real(leaf).is_floating_point()), state)
    output, end = run(cell, x_BTI, given)
    _require(type(end) is type(state), f"the state enters as {type(state)} and leaves as {type(end)}", cell)
    for (name, old), new in zip(_named("state", state), state_leaves(end), strict=True):
        _require(new.dtype == old.dtype, f"{name} enters as {old.dtype} and leaves as {new.dtype}", cell)
    values = _values(output, end)
    sources = {"x": x_BTI, **dict(_named("given state", given)), **dict(cell.named_parameters())}
    sources = {name: source for name, source in sources.items() if source.requires_grad}
    # A cell need not use all its parameters: those have a gradient of zero.
    found = torch.autograd.grad(_probed_sum(values), list(sources.values()), allow_unused=True, materialize_grads=True)
    return values | {f"the gradient of {name}": gradient for name, gradient in zip(sources, found, strict=True)}


def _compare(cell: Cell[Any], form: str, found: Results, reference: str, expected: Results, tolerance: float) -> None:
    for name in expected:
        got, wanted = _real(found[name]), _real(expected[name])
        difference = (got.double() - wanted.double()).abs().nan_to_num(nan=torch.inf).detach()
        allowed = tolerance * max(1.0, wanted.double().abs().nan_to_num().max().item() if wanted.numel() else 0.0)
        if (difference > allowed).any():
            index = tuple(int(i) for i in torch.unravel_index(difference.argmax(), difference.shape))
            _require(
                False,
                f"{form} and {reference} disagree in {name}{list(index)}: {got[index].item():.6g} against "
                f"{wanted[index].item():.6g}, off by {difference[index].item():.3g} where {allowed:.3g} is allowed",
                cell,
            )


def _probed_sum(values: Results) -> Tensor:
    """A sum that weighs every number differently, always in the same way."""
    probe = torch.Generator().manual_seed(3)
    parts = map(_real, values.values())
    weighed = [(part * torch.randn(part.shape, generator=probe)).sum().double() for part in parts]
    return torch.stack(weighed).sum()


def _real(value: Tensor) -> Tensor:
    """A complex tensor with its two parts as a last axis."""
    return torch.view_as_real(value) if value.is_complex() else value


def _values(output: Tensor, state: Any) -> Results:
    return {"the output": output, **dict(_named("the final state", state))}


def _named(name: str, state: Any) -> list[tuple[str, Tensor]]:
    if isinstance(state, Tensor):
        return [(name, state)]
    fields = getattr(state, "_fields", range(len(state)))
    return [leaf for field, part in zip(fields, state, strict=True) for leaf in _named(f"{name}.{field}", part)]


def _restored(state: Any, leaves: list[Tensor]) -> Any:
    remaining = iter(leaves)
    return map_state(lambda _: next(remaining), state)


def _sequence(cell: Cell[Any]) -> Tensor:
    dtype = next((p.dtype for p in cell.parameters()), state_leaves(cell.initial_state(1))[0].dtype)
    return torch.randn(BATCH, STEPS, cell.input_size, generator=torch.Generator().manual_seed(4)).to(dtype)


def _reached_state(cell: Cell[Any]) -> Any:
    """A state that is not zero and that the cell can be in, which a random one might not be."""
    state = cell.initial_state(BATCH)
    for x_BI in _sequence(cell).flip(1).mul(2).unbind(1)[:2]:
        _, state = cell(x_BI, state)
    return map_state(Tensor.detach, state)


def _require(holds: bool, message: str, cell: Any) -> None:
    if not holds:
        raise AssertionError(f"{type(cell).__name__}: {message}")
