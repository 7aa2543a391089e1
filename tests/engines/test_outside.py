"""What a step reads besides its arguments is seen when it changes; what it leaves behind, it leaves as in the loop."""

import collections
import functools
import itertools
import os
import random
import sys
import time
import types
import warnings
from collections.abc import Callable
from os import environ
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rnnkit import scan
from rnnkit.cells import Cell
from rnnkit.engines import compiled, explain
from rnnkit.engines.compiled.trace.readings import readings

SCALE = 0.5
TABLE = {"scale": [0.5]}
CHOSEN = torch.tanh
COUNT = 0
LOG: list[int] = []


class Options:
    scale = 0.5
    inner = types.SimpleNamespace(scale=0.5)


class Power:
    """An object that is called, and reads a global as it is."""

    def __call__(self, a: Tensor) -> Tensor:
        return a * SCALE

    def __mul__(self, a: Tensor) -> Tensor:
        return a * SCALE


class Surrogate(torch.autograd.Function):
    """A step function whose slope is a global's."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        return (a > 0).to(a.dtype) + a

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g * SCALE


def from_environment() -> float:
    import os as system

    return 0.9 if system.getenv("RNNKIT_TEST_FLAG") else 0.5


def helper(a: Tensor) -> Tensor:
    return deeper(a)


def deeper(a: Tensor) -> Tensor:
    return a * SCALE


def by_default(a: Tensor, scales: Any = {"scale": 0.5}) -> Tensor:  # noqa: B006
    return a * scales["scale"]


def decorated(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(function)
    def call(*arguments: Any) -> Tensor:
        return function(*arguments)

    return call


wrapped = decorated(helper)
partial = functools.partial(by_default)
module = types.ModuleType("settings_of_a_user")
module.scale = 0.5  # type: ignore[attr-defined]
module.function = deeper  # type: ignore[attr-defined]


class Base(Cell[Tensor]):
    gain = 0.5
    gains = {"gain": 0.5}  # noqa: RUF012

    @property
    def doubled(self) -> float:
        return 2 * self.gain

    @staticmethod
    def fixed(a: Tensor) -> Tensor:
        return a * SCALE

    @classmethod
    def of_class(cls, a: Tensor) -> Tensor:
        return a * cls.gain

    def method(self, a: Tensor) -> Tensor:
        return a * SCALE


class Reading(Base):
    """A cell whose pre-activation a function changes."""

    def __init__(self, change: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.input_size, self.output_size = 3, 4
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 4, bias=False)
        self.change = change

    def initial_state(self, batch_size: int) -> Tensor:
        return self.a.weight.new_zeros(batch_size, 4)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.change(self, self.a(x) + self.b(h)))
        return h, h


def closing_over(scale: Any) -> Callable[[Any, Tensor], Tensor]:
    return lambda c, a: a * scale["scale"]


HERE = sys.modules[__name__]
shared = {"scale": 0.5}
CHANGES: dict[str, tuple[Callable[[Any, Tensor], Tensor], Callable[[Any, pytest.MonkeyPatch], object]]] = {
    "a global": (lambda c, a: a * SCALE, lambda c, m: m.setattr(HERE, "SCALE", 0.9)),
    "a global's content": (lambda c, a: a * TABLE["scale"][0], lambda c, m: m.setitem(TABLE, "scale", [0.9])),
    "a global function": (lambda c, a: CHOSEN(a), lambda c, m: m.setattr(HERE, "CHOSEN", torch.sigmoid)),
    "a global of a helper's helper": (lambda c, a: helper(a), lambda c, m: m.setattr(HERE, "SCALE", 0.9)),
    "a helper's helper": (lambda c, a: helper(a), lambda c, m: m.setattr(HERE, "deeper", torch.sigmoid)),
    "behind a decorator": (lambda c, a: wrapped(a), lambda c, m: m.setattr(HERE, "SCALE", 0.9)),
    "a default argument": (
        lambda c, a: by_default(a),
        lambda c, m: m.setitem(by_default.__defaults__[0], "scale", 0.9),  # type: ignore[index]
    ),
    "another default argument": (
        lambda c, a: by_default(a),
        lambda c, m: m.setattr(by_default, "__defaults__", ({"scale": 0.9},)),
    ),
    "behind a partial": (
        lambda c, a: partial(a),
        lambda c, m: m.setitem(by_default.__defaults__[0], "scale", 0.9),  # type: ignore[index]
    ),
    "a closure": (closing_over(shared), lambda c, m: m.setitem(shared, "scale", 0.9)),
    "another code": (lambda c, a: deeper(a), lambda c, m: m.setattr(deeper, "__code__", (lambda a: a * 0.9).__code__)),
    "a class attribute": (lambda c, a: a * c.gain, lambda c, m: m.setattr(Reading, "gain", 0.9, raising=False)),
    "a base class's": (lambda c, a: a * c.gain, lambda c, m: m.setattr(Base, "gain", 0.9)),
    "a base class's content": (lambda c, a: a * c.gains["gain"], lambda c, m: m.setitem(Base.gains, "gain", 0.9)),
    "by getattr": (lambda c, a: a * getattr(c, "gain"), lambda c, m: m.setattr(Base, "gain", 0.9)),  # noqa: B009
    "a property": (lambda c, a: a * c.doubled, lambda c, m: m.setattr(Base, "gain", 0.9)),
    "a static method": (lambda c, a: c.fixed(a), lambda c, m: m.setattr(HERE, "SCALE", 0.9)),
    "a class method": (lambda c, a: c.of_class(a), lambda c, m: m.setattr(Base, "gain", 0.9)),
    "a method": (lambda c, a: c.method(a), lambda c, m: m.setattr(HERE, "SCALE", 0.9)),
    "another method": (lambda c, a: c.method(a), lambda c, m: m.setattr(Base, "method", lambda c, a: a * 0.9)),
    "another class's": (lambda c, a: a * Options.scale, lambda c, m: m.setattr(Options, "scale", 0.9)),
    "within an object": (lambda c, a: a * Options.inner.scale, lambda c, m: m.setattr(Options.inner, "scale", 0.9)),
    "a called object": (lambda c, a: Power()(a), lambda c, m: m.setattr(HERE, "SCALE", 0.9)),
    "an operator": (lambda c, a: Power() * a, lambda c, m: m.setattr(HERE, "SCALE", 0.9)),
    "a gradient": (lambda c, a: Surrogate.apply(a), lambda c, m: m.setattr(HERE, "SCALE", 0.9)),
    "a module": (lambda c, a: a * module.scale, lambda c, m: m.setattr(module, "scale", 0.9)),
    "a module's function": (lambda c, a: module.function(a), lambda c, m: m.setattr(HERE, "SCALE", 0.9)),
    "the environment": (
        lambda c, a: a * float(os.environ.get("RNNKIT_TEST_SCALE", "0.5")),
        lambda c, m: m.setenv("RNNKIT_TEST_SCALE", "0.9"),
    ),
    "the environment by getenv": (
        lambda c, a: a * (0.9 if os.getenv("RNNKIT_TEST_FLAG") else 0.5),
        lambda c, m: m.setenv("RNNKIT_TEST_FLAG", "1"),
    ),
    "the environment by its own name": (
        lambda c, a: a * (0.9 if "RNNKIT_TEST_FLAG" in environ else 0.5),
        lambda c, m: m.setenv("RNNKIT_TEST_FLAG", "1"),
    ),
    "the environment in a function": (
        lambda c, a: a * from_environment(),
        lambda c, m: m.setenv("RNNKIT_TEST_FLAG", "1"),
    ),
    "the step itself": (
        lambda c, a: a * 0.5,
        lambda c, m: m.setattr(Reading, "forward", lambda c, x, h: (h + c.a(x), h + c.a(x))),
    ),
    "an attribute's attribute": (
        lambda c, a: a * (c.options.scale if hasattr(c, "options") else 0.5),
        lambda c, m: setattr(c, "options", types.SimpleNamespace(scale=0.9)),
    ),
}


def results(cell: Cell[Any], x: Tensor, engine: str) -> list[Tensor]:
    y, _ = scan(cell, x, engine=engine)
    return [y, *torch.autograd.grad(y.sum(), list(cell.parameters()), allow_unused=True, materialize_grads=True)]


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_outside_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read, change = CHANGES[name]
    cell, x = Reading(read).double(), torch.linspace(-1, 1, 120, dtype=torch.float64).view(2, 20, 3)
    before = results(cell, x, "compiled")
    torch.testing.assert_close(before, results(cell, x, "reference"))
    with torch.no_grad():
        scan(cell, x[:, :1], cell.initial_state(2), engine="compiled")
    change(cell, monkeypatch)
    after = results(cell, x, "compiled")
    torch.testing.assert_close(after, results(cell, x, "reference"))
    if name != "a global's content":
        assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
    with torch.no_grad():
        state = cell.initial_state(2)
        for engine in ("compiled", "auto"):
            found, wanted = (scan(cell, x[:, :1], state, engine=which)[0] for which in (engine, "reference"))
            torch.testing.assert_close(found, wanted)


def prepared(c: Any) -> None:
    c.table, c.last, c.counts = {}, collections.deque(maxlen=3), collections.Counter()
    c.seen, c.box, c.array = set(), types.SimpleNamespace(count=0), np.zeros(3)
    c.nested, c.iterator, c.noise = {"log": [[]]}, itertools.count(), random.Random(0)
    c.own = torch.zeros(2)
    c.register_buffer("steps", torch.zeros(()))


def counted() -> float:
    global COUNT
    COUNT += 1
    return 1.0


def remembers() -> Callable[[], float]:
    number = 0

    def next_number() -> float:
        nonlocal number
        number += 1
        return float(number)

    return next_number


closure = remembers()


@functools.cache
def once(key: int) -> float:
    return time.perf_counter()


EFFECTS: dict[str, tuple[Callable[[Any, Tensor], object], str]] = {
    "a dict": (lambda c, a: c.table.update({len(c.table): 1}), "changes Written.table"),
    "a deque": (lambda c, a: c.last.append(1), "changes Written.last"),
    "a counter": (lambda c, a: c.counts.update(["step"]), "changes Written.counts"),
    "a set": (lambda c, a: c.seen.add(len(c.seen)), "changes Written.seen"),
    "an object": (lambda c, a: setattr(c.box, "count", c.box.count + 1), "changes Written.box"),
    "an array": (lambda c, a: c.array.__setitem__(0, c.array[0] + 1), "changes Written.array"),
    "deep inside": (lambda c, a: c.nested["log"][0].append(1), "changes Written.nested"),
    "a buffer": (lambda c, a: c.steps.add_(1), "modifies a weight"),
    "a kept tensor": (lambda c, a: c.table.update(last=a), "changes Written.table"),
    "a global number": (lambda c, a: a * counted(), "changes COUNT"),
    "a global list": (lambda c, a: LOG.append(1), "changes LOG"),
    "a closure": (lambda c, a: a * closure(), "changes closure"),
    "an iterator": (lambda c, a: a * next(c.iterator), "different results"),
    "the clock": (lambda c, a: a + time.perf_counter() % 1, "different results"),
    "Python's noise": (lambda c, a: a * random.random(), "random numbers from another source than torch"),
    "NumPy's noise": (lambda c, a: a * np.random.rand(), "random numbers from another source than torch"),
    "noise of its own": (lambda c, a: a * c.noise.random(), "different results"),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_what_a_step_leaves_behind_is_refused(name: str, written: Any) -> None:
    effect, sentence = EFFECTS[name]

    def step(c: Any, x: Tensor, h: Tensor) -> Any:
        a = c.mix(x, h)
        changed = effect(c, a)
        h = torch.tanh(changed if isinstance(changed, Tensor) and changed.shape == a.shape else a)
        return h, h

    cell = written(step, setup=prepared)
    compiled._warn.cache_clear()
    with pytest.warns(UserWarning, match=f"as a Python loop: its step.*{sentence}"):
        assert explain(cell, torch.ones(2, 20, 3)).engine == "reference"
    # Nothing of the attempt is left, and the loop leaves what it leaves.
    assert (len(cell.table), len(cell.last), len(cell.seen), cell.box.count, cell.steps.item()) == (0, 0, 0, 0, 0)
    assert (cell.array[0], len(cell.nested["log"][0]), COUNT, len(LOG)) == (0, 0, 0, 0)
    scan(cell, torch.ones(2, 20, 3))
    lasting = {"a dict": cell.table, "a set": cell.seen, "deep inside": cell.nested["log"][0], "a global list": LOG}
    assert len(lasting.get(name, range(20))) == 20
    LOG.clear()
    globals()["COUNT"] = 0


def test_reading_the_clock_once_is_no_change(written: Any, agree: Any) -> None:
    def step(c: Any, x: Tensor, h: Tensor) -> Any:
        h = torch.tanh(c.mix(x, h) + (once(1) > 0))
        return h, h

    agree(written(step))


def test_random_numbers_go_on_as_if_nothing_had_been_tried(written: Any) -> None:
    cell = written(lambda c, x, h: (torch.tanh(c.mix(x, h) * random.random()),) * 2)
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explain(cell, torch.ones(2, 20, 3))
    found = random.random(), np.random.rand(), torch.rand(()).item()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    assert found == (random.random(), np.random.rand(), torch.rand(()).item())


def test_a_search_keeps_no_cell_alive_and_ends(written: Any) -> None:
    cell = Reading(lambda c, a: a)
    cell.itself = [cell]  # type: ignore[assignment]
    assert "SCALE" not in readings(cell).names
    assert readings(cell) is readings(cell)


class Deciding(Cell[Tensor]):
    """Multiplies by what a function of its input and its state says."""

    def __init__(self, factor: Callable[[Tensor, Tensor], float]) -> None:
        super().__init__()
        self.input_size = self.output_size = 3
        self.map, self.factor = nn.Linear(3, 3), factor

    def initial_state(self, batch_size: int) -> Tensor:
        return self.map.weight.new_zeros(batch_size, 3)

    def forward(self, x_BI: Tensor, h_BH: Tensor) -> tuple[Tensor, Tensor]:
        h_BH = torch.tanh(self.map(x_BI) + 0.5 * h_BH) * self.factor(x_BI, h_BH)
        return h_BH, h_BH


@pytest.mark.parametrize(
    ("factor", "reason"),
    [
        (lambda x, h: 2 if x.shape[0] > 3 else 1, "the batch size"),
        (lambda x, h: 2 if x.is_contiguous() else 1, "the layout of its input"),
        (lambda x, h: 2 if h.requires_grad else 1, "whether its state has a gradient"),
        (lambda x, h: 2 if torch.is_grad_enabled() else 1, "whether gradients are recorded"),
    ],
)
def test_decisions_that_a_trace_would_fix_are_left_to_the_loop(
    factor: Callable[[Tensor, Tensor], float], reason: str
) -> None:
    cell = Deciding(factor)
    with pytest.warns(UserWarning, match=f"Deciding runs as a Python loop: its step depends on {reason}"):
        scan(cell, torch.randn(4, 20, 3))
    assert explain(cell, torch.randn(4, 20, 3)).engine == "reference"
