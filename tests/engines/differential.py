"""Every engine against the Python loop, over what `scan` and `RNN` may be handed: one case, and what is wrong with it.

The values, the final state and its dtypes, the gradients and the gradients of gradients that an engine gives are those
of `engine="reference"`, within a bound for each dtype; where the reference raises, the engine raises; and where an
engine refuses, it does so by a `UserError` about `engine`, which `auto` never does. `test_differential.py` looks at a
few hundred cases, `scripts/soak.py --differential` at any number.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from differential_cases import OTHER_DTYPES, OVERWRITING, Call, Case, call_of, real_of
from torch import Tensor

from rnnkit.cells import state_leaves
from rnnkit.errors import UserError

ENGINES = ("auto", "compiled", "parallel", "native")
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Relative to the largest value of a tensor or to 1; ten times as much for second derivatives."""

Results = dict[str, Tensor]
SAME, REFUSED, RAISED = "the same", "refused", "raised as the reference does"
FINE = (SAME, REFUSED, RAISED)


def compared(case: Case, engines: tuple[str, ...] = ENGINES) -> dict[str, str]:
    """By engine, one of `FINE` or what is wrong with its answer."""
    expected = attempt(case, "reference")
    # All answers before any of them is looked at: a buffer that is used again would show.
    found = {engine: attempt(case, engine) for engine in engines}
    return {engine: _verdict(case, engine, answer, expected) for engine, answer in found.items()}


def attempt(case: Case, engine: str, vary: Callable[[Tensor], Tensor] | None = None) -> Results | Exception:
    """What an engine gives, or what it raises; `vary` changes the input and the state before."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a cell runs as a Python loop
            return _results(case, engine, vary)
    except Exception as error:
        return error


def _results(case: Case, engine: str, vary: Callable[[Tensor], Tensor] | None, wide: bool = False) -> Results:
    with _mode(case):
        call = call_of(case, vary, wide)
        torch.manual_seed(case.seed)
        y_BTO, *states = call.run(engine)
    values = {"y": y_BTO}
    for name, state in zip(("end", "states"), states, strict=False):
        values |= {f"{name} {n}": leaf for n, leaf in enumerate(state_leaves(state))}
    if case.mode in ("no_grad", "inference"):
        return values
    given = {name: leaf.detach().clone() for name, leaf in values.items()}
    with _meddled(case, call, engine, values):
        return given | _gradients(values, call.sources, second=case.mode == "second")


def _gradients(values: Results, sources: dict[str, Tensor], *, second: bool) -> Results:
    draw = torch.Generator().manual_seed(5)

    def weighed(tensors: Any) -> Tensor:
        reals = [real_of(tensor).double() for tensor in tensors if real_of(tensor).is_floating_point()]
        parts = [
            (real * torch.randn(real.shape, generator=draw, dtype=torch.float64) + real.square() / 4).sum()
            for real in reals
        ]
        return torch.stack(parts).sum()

    total = weighed(values.values())
    options = {"allow_unused": True, "materialize_grads": True}
    names, tensors = list(sources), list(sources.values())
    if not total.requires_grad:
        return {f"gradient of {name}": torch.zeros_like(tensor) for name, tensor in sources.items()}
    grads = torch.autograd.grad(total, tensors, create_graph=second, **options)
    found = {f"gradient of {name}": grad for name, grad in zip(names, grads, strict=True)}
    if second:
        twice = weighed(grads)
        seconds = (
            torch.autograd.grad(twice, tensors, **options) if twice.requires_grad else map(torch.zeros_like, tensors)
        )
        found |= {f"second derivative by {name}": grad for name, grad in zip(names, seconds, strict=True)}
    return {name: grad.detach() for name, grad in found.items()}


@contextmanager
def _mode(case: Case) -> Iterator[None]:
    with ExitStack() as stack:
        if case.mode == "no_grad":
            stack.enter_context(torch.no_grad())
        if case.mode == "inference":
            stack.enter_context(torch.inference_mode())
        if case.autocast:
            stack.enter_context(torch.autocast("cpu", torch.bfloat16))
        yield


@contextmanager
def _meddled(case: Case, call: Call, engine: str, values: Results) -> Iterator[None]:
    """The reference is left in peace: what is done to the others in place, it has out of place."""
    in_place = engine != "reference"
    if case.meddling == "relu_ on y":
        values["y"] = values["y"].relu_() if in_place else values["y"].relu()
    elif case.meddling == "mul_ on y":
        values["y"] = values["y"].mul_(0.5) if in_place else values["y"] * 0.5
    elif case.meddling == "another call":
        call.run(engine)
    elif case.meddling == "x overwritten" and in_place:
        with torch.no_grad():
            for stored in call.x:
                stored.zero_()
    elif case.meddling == "weights stepped" and in_place:
        parameters = list(call.module.parameters())
        before = [parameter.detach().clone() for parameter in parameters]
        with torch.no_grad():
            for parameter in parameters:
                parameter.mul_(1.5)
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, old in zip(parameters, before, strict=True):
                    parameter.copy_(old)
        return
    yield


def _verdict(case: Case, engine: str, answer: Results | Exception, expected: Results | Exception) -> str:
    if isinstance(answer, Exception):
        return _of_error(case, engine, answer, expected)
    if isinstance(expected, Exception):
        if "not implemented for" in str(expected):  # a gap of torch's own, which need not be one of an engine
            return RAISED
        return f"answers where the reference raises {type(expected).__name__}: {_line(expected)}"
    for name, wanted in expected.items():
        if answer[name].dtype != wanted.dtype and not (case.autocast and name == "y"):
            return f"{name} is {answer[name].dtype}, not {wanted.dtype}"
        if answer[name].shape != wanted.shape:
            return f"{name} is {list(answer[name].shape)}, not {list(wanted.shape)}"
    far = [name for name, wanted in expected.items() if _excess(case, name, answer[name], wanted, None) > 0]
    if not far:
        return SAME
    # Near a kink, or where rounding is blown up, no two orders of summation agree: what rounding may do is measured.
    spread = _spread(case, expected)
    for name in far:
        excess = _excess(case, name, answer[name], expected[name], spread[name])
        if excess > 0:
            return f"{name} is off by {_distance(answer[name], expected[name]).max().item():.2g}, {excess:.2g} too far"
    return SAME


def _of_error(case: Case, engine: str, error: Exception, expected: Results | Exception) -> str:
    refusal = isinstance(error, UserError) and (error.argument == "engine" or 'engine="reference"' in str(error))
    if refusal and engine != "auto":
        return REFUSED
    if isinstance(expected, Exception):
        fits = isinstance(error, UserError) or type(error) is type(expected)
        return (
            RAISED
            if fits
            else f"raises {type(error).__name__}, the reference {type(expected).__name__}: {_line(error)}"
        )
    # What is overwritten before the backward pass may be needed there, and autograd may say so.
    if case.meddling in OVERWRITING and re.search("modified (by an )?inplace", str(error)):
        return RAISED
    return f"raises {type(error).__name__}: {_line(error)}"


def _excess(case: Case, name: str, found: Tensor, wanted: Tensor, spread: float | None) -> float:
    """How much further apart than allowed; infinite where one is no number and the other is."""
    if wanted.numel() == 0:
        return 0.0
    allowed = TOLERANCE[_coarsest(case)] * (10 if name.startswith("second") else 1)
    finite = real_of(wanted).double().nan_to_num(posinf=0, neginf=0).abs()
    allowed = allowed * max(1.0, finite.max().item()) + (4 * spread if spread is not None else 0.0)
    return max(0.0, _distance(found, wanted).max().item() - allowed)


def _distance(found: Tensor, wanted: Tensor) -> Tensor:
    a, b = real_of(found).double(), real_of(wanted).double()
    same = (a == b) | (a.isnan() & b.isnan())
    return (a - b).abs().nan_to_num(nan=torch.inf).masked_fill(same, 0)


def _spread(case: Case, expected: Results) -> dict[str, float]:
    """How far the reference moves when its input is rounded otherwise, or when it is given float64 to compute in."""
    draw = torch.Generator().manual_seed(7)
    step = 4 * torch.finfo(_coarsest(case)).eps

    def nudged(tensor: Tensor) -> Tensor:
        return tensor * (1 + step * torch.randn(tensor.shape, generator=draw)).to(tensor.dtype)

    others: list[Any] = [attempt(case, "reference", nudged) for _ in range(6)]
    if _coarsest(case) != torch.float64:
        try:
            others.append(_results(case._replace(autocast=False), "reference", None, wide=True))
        except Exception as error:
            others.append(error)
    others = [other for other in others if not isinstance(other, Exception)]
    return {
        name: max((_distance(other[name], wanted).max().item() for other in others if wanted.numel()), default=0.0)
        for name, wanted in expected.items()
    }


def _coarsest(case: Case) -> torch.dtype:
    dtypes = [OTHER_DTYPES[name] for name in (case.weights, case.x, case.state, case.context) if name is not None]
    dtypes = [dtype for dtype in dtypes if dtype.is_floating_point] + [torch.bfloat16] * case.autocast
    return max(dtypes, key=TOLERANCE.__getitem__)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def kind_of(case: Case, engine: str, verdict: str) -> str:
    """What two disagreements have in common that may have one cause: sizes and the names of weights left out."""
    what = verdict if "raises" in verdict else re.sub(r" by .*| of (cells|x).*| is off.*", "", verdict)
    mixed = {case.x, case.state or case.weights, case.context or case.weights} != {case.weights}
    circumstances = {
        case.mode: True,
        "mixed dtypes": mixed,
        case.weights: not mixed,
        "autocast": case.autocast,
        str(case.meddling): case.meddling,
    }
    return (
        f"{engine}, {', '.join(word for word, holds in circumstances.items() if holds)}: {re.sub('[0-9]+', 'N', what)}"
    )


def smallest(case: Case, fails: Callable[[Case], bool]) -> Case:
    """A case that still fails, with choices as plain and numbers as small as one at a time can make them."""
    plain = Case(cell=case.cell, weights=case.weights)
    while True:
        for name, value in case._asdict().items():
            simpler = [getattr(plain, name)] if name not in ("lanes", "steps", "seed") else range(int(value))
            for candidate in simpler:
                other = case._replace(**{name: candidate})
                if candidate != value and fails(other):
                    case = other
                    break
            else:
                continue
            break
        else:
            return case
