"""What `scan` and `RNN` may be handed: cases as plain values, a strategy that draws them, and the calls they are."""

import copy
import functools
from collections.abc import Callable
from typing import Any, NamedTuple
from zlib import crc32

import torch
from differential_cells import factory_of, is_random
from differential_inputs import READERS, context_of, reading_of
from hypothesis import strategies as st
from torch import Tensor, nn

from rnnkit import RNN, scan
from rnnkit.cells import Cell, map_state, state_leaves

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}
OTHER_DTYPES = {**DTYPES, "int64": torch.int64}


class Case(NamedTuple):
    """One call. The defaults are the plainest, which `smallest` goes towards.

    * `cell`: a name for `differential_cells.factory_of`; `sizes`: input and hidden.
    * `weights`, `x`, `state`, `context`: dtypes; None for no state, and no context of a cell that reads one.
    * `lanes`, `steps`; `lengths`, `reset`: drawn from the seed; `direction`: forward, reverse, or both (a bidirectional
      `RNN`).
    * `states`: the states of all steps are returned too, which `RNN` does not.
    * `layout` of x in memory; `x_grad`, with the context, and `state_grad`: whether they ask for a gradient.
    * `mode`: no_grad, inference, grad, or second, for the gradient of a gradient.
    * `meddling`: what happens between the forward and the backward pass.
    """

    cell: str = "leaky"
    sizes: tuple[int, int] = (3, 4)
    weights: str = "float32"
    x: str = "float32"
    state: str | None = None
    context: str | None = None
    lanes: int = 1
    steps: int = 1
    lengths: bool = False
    reset: str | None = None
    direction: str = "forward"
    states: bool = False
    layout: str = "contiguous"
    x_grad: bool = False
    state_grad: bool = False
    mode: str = "no_grad"
    meddling: str | None = None
    checkpoint_every: int | None = None
    training: bool = False
    autocast: bool = False
    seed: int = 0

    def words(self) -> str:
        """The case as it can be typed, without what is plain."""
        odd = {name: value for name, value in self._asdict().items() if value != self._field_defaults[name]}
        return f"Case({', '.join(f'{name}={value!r}' for name, value in odd.items())})"


LAYOUTS = ("contiguous", "one lane expanded", "one step expanded", "time first", "part of a larger one")
OVERWRITING = ("x overwritten", "weights stepped")
MEDDLINGS = ("relu_ on y", "mul_ on y", "x overwritten", "weights stepped", "another call")


@st.composite
def cases(draw: Any, cells: list[str], sizes: list[tuple[int, int]], dtypes: list[str], mixed: bool = True) -> Case:
    """Any case, with most choices at their plainest more often than not.

    A cell has one size for each dtype, and a few cells have autocast: each of these would be another kernel to compile,
    where lanes, steps and forms share one.
    """

    def mostly(usual: Any, others: Any, odds: int = 3) -> Any:
        return draw(st.sampled_from([usual] * (odds - 1) * len(others) + list(others)))

    cell, weights = draw(st.sampled_from(cells)), draw(st.sampled_from(dtypes))
    x = mostly(weights, OTHER_DTYPES, 6) if mixed else weights
    state = draw(st.sampled_from([None, weights]))
    if state is not None and mixed:
        state = mostly(state, DTYPES, 6)
    context = draw(st.sampled_from([None, weights])) if cell in READERS else None
    if context is not None and mixed:
        context = mostly(context, DTYPES, 6)
    mode = draw(st.sampled_from(["grad", "second", "no_grad", "inference"]))
    checkpoint_every = mostly(None, [1, 3, 100])
    # What is computed again in the backward pass has what stands there then, with the loop and torch's checkpoint too.
    meddlings = [what for what in MEDDLINGS if checkpoint_every is None or what not in OVERWRITING]
    number = crc32(f"{cell} {weights}".encode())
    direction = draw(st.sampled_from(["forward", "reverse", "both"]))
    return Case(
        cell=cell,
        sizes=sizes[number % len(sizes)],
        weights=weights,
        x=x,
        state=state,
        context=context,
        lanes=draw(st.sampled_from([2, 1, 4, 6, 0])),
        steps=draw(st.sampled_from([5, 1, 2, 3, 8, 15, 16, 17, 24, 33, 40, 0])),
        lengths=draw(st.booleans()),
        reset=mostly(None, ["lanes", "steps"]),
        direction=direction,
        states=direction != "both" and mostly(False, [True]),
        layout=mostly("contiguous", LAYOUTS[1:]),
        x_grad=draw(st.booleans()),
        state_grad=draw(st.booleans()),
        mode=mode,
        meddling=mostly(None, meddlings) if mode in ("grad", "second") else None,
        checkpoint_every=checkpoint_every,
        training=is_random(cell) and draw(st.booleans()),
        autocast=mixed and number % 8 == 0 and mostly(False, [True]),
        seed=draw(st.integers(0, 2**16)),
    )


class Call(NamedTuple):
    """What a case is made of: `x` are its tensors, `sources` those that ask for a gradient, by name."""

    run: Callable[[str], tuple[Any, ...]]
    x: tuple[Tensor, ...]
    sources: dict[str, Tensor]
    module: nn.Module


def call_of(case: Case, vary: Callable[[Tensor], Tensor] | None, wide: bool) -> Call:
    # Not one module for all: a cell is compiled in so many conditions and no more.
    kept = (case.x, case.state, case.training, case.autocast)
    with torch.inference_mode(False):  # it outlives the mode of this case
        module = _module(case.cell, case.sizes, case.weights, case.direction == "both", kept)
    if wide:
        module = copy.deepcopy(module).double()
    module.train(case.training)
    draw = torch.Generator().manual_seed(case.seed)

    def made(tensor: Tensor, dtype: torch.dtype) -> Tensor:
        tensor = tensor.to(dtype) if dtype.is_floating_point else (3 * tensor).to(dtype)
        if wide and (tensor.is_floating_point() or tensor.is_complex()):
            tensor = tensor.to(torch.promote_types(tensor.dtype, torch.float64))
        return tensor if vary is None or not tensor.is_floating_point() else vary(tensor)

    def drawn(dtype: str, *shape: int, asks: bool) -> Tensor:
        tensor = made(torch.randn(*shape, generator=draw, dtype=torch.float64), OTHER_DTYPES[dtype])
        return tensor.requires_grad_(asks and tensor.is_floating_point() and case.mode in ("grad", "second"))

    B, T, size = case.lanes, case.steps, _first(module).input_size
    lengths = torch.randint(0, T + 1, (B,), generator=draw) if case.lengths else None

    def field(size: int) -> tuple[Tensor, Tensor]:
        """What is stored, and what of it is read: [B, T, size], with NaN in the padding where that can be."""
        base = drawn(case.x, *_stored(case.layout, B, T, size), asks=case.x_grad)
        x_BTI = _laid_out(case.layout, base, B, T)
        own = case.layout in ("contiguous", "time first") and base.is_floating_point() and not base.requires_grad
        if lengths is not None and own:
            x_BTI[torch.arange(T) >= lengths[:, None]] = torch.nan
        return base, x_BTI

    base, x_BTI = field(size)
    x, stored = x_BTI, {"x": base}
    if case.cell == "timed":
        stored["elapsed"], elapsed_BT1 = field(1)
        x = reading_of(x_BTI, elapsed_BT1.squeeze(2), torch.randint(-1, 2, (B, T), generator=draw))
    reset = {None: None, "lanes": torch.rand(B, generator=draw) < 0.5, "steps": torch.rand(B, T, generator=draw) < 0.2}
    sources = {**stored, **dict(module.named_parameters())}
    state = None
    if case.state is not None:

        def reached(leaf: Tensor) -> Tensor:
            if not (leaf.is_floating_point() or leaf.is_complex()):
                return leaf.clone()
            noise = torch.randn(real_of(leaf).shape, generator=draw, dtype=torch.float64).abs() / 2
            dtype = DTYPES[case.state]  # type: ignore[index]
            if leaf.is_complex():
                return torch.view_as_complex(noise).to(torch.promote_types(dtype, torch.float32).to_complex())
            return made(noise, dtype)

        with torch.no_grad():
            state = map_state(reached, _initial(module, B))
        asks = case.state_grad and case.mode in ("grad", "second")
        state = map_state(lambda leaf: leaf.requires_grad_(asks and real_of(leaf).is_floating_point()), state)
        sources |= {f"state {n}": leaf for n, leaf in enumerate(state_leaves(state))}
    context = None
    if case.context is not None:
        made_of = functools.partial(drawn, case.context, asks=case.x_grad)
        context, read = context_of(case.cell, case.sizes[1], B, made_of)
        sources |= read
    options = {"context": context, "lengths": lengths, "reset": reset[case.reset]}
    options["checkpoint_every"] = case.checkpoint_every

    def run(engine: str) -> tuple[Any, ...]:
        if case.direction == "both":
            return module(x, state, **options, engine=engine)  # type: ignore[no-any-return]
        own = {"reverse": case.direction == "reverse", "return_states": case.states}
        return scan(_first(module), x, state, **options, **own, engine=engine)

    sources = {name: source for name, source in sources.items() if source.requires_grad}
    return Call(run, tuple(stored.values()), sources, module)


def _stored(layout: str, B: int, T: int, size: int) -> tuple[int, int, int]:
    return {
        "contiguous": (B, T, size),
        "one lane expanded": (1, T, size),
        "one step expanded": (B, 1, size),
        "time first": (T, B, size),
        "part of a larger one": (B + 1, T + 1, size + 1),
    }[layout]


def _laid_out(layout: str, base: Tensor, B: int, T: int) -> Tensor:
    if layout == "time first":
        return base.transpose(0, 1)
    if layout == "part of a larger one":
        return base[1:, 1:, 1:]
    return base.expand(B, T, base.shape[2])


@functools.cache
def _module(cell: str, sizes: tuple[int, int], weights: str, both: bool, kept: tuple[Any, ...]) -> Any:
    torch.manual_seed(crc32(cell.encode()))
    inputs, hidden = sizes
    factory = factory_of(cell)
    width = hidden if cell.startswith("residual") else inputs
    return RNN(factory, width, hidden, bidirectional=both).to(DTYPES[weights])


def _first(module: Any) -> Cell[Any]:
    return module.cell_at(0)  # type: ignore[no-any-return]


def _initial(module: Any, lanes: int) -> Any:
    return module.initial_state(lanes) if module.bidirectional else _first(module).initial_state(lanes)


def real_of(tensor: Tensor) -> Tensor:
    """A complex tensor with its two parts as a last axis."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor
