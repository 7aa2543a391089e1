"""The loops that a GPU runs, here on the CPU in the same memory; CUDA graphs are played by a tape."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rnnkit import scan
from rnnkit.cells import Cell
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.engines import compiled
from rnnkit.engines.compiled import kernels
from rnnkit.engines.compiled.gpu import chunk, repeated

Results = dict[str, Tensor]


class Tape(TorchDispatchMode):
    """What was done within the mode, to be done again: as in a CUDA graph, results go where they went."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, found))
        return found

    def replay(self) -> None:
        for func, args, kwargs, before in self.calls:
            for new, old in zip(tree_leaves(func(*args, **kwargs)), tree_leaves(before), strict=True):
                if isinstance(new, Tensor) and new.data_ptr() != old.data_ptr():
                    old.copy_(new)


class Taped:
    """A recorder that plays tapes: how many were `made`, and how often one was played."""

    def __init__(self) -> None:
        self.made = 0
        self.replays = 0

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        with Tape() as tape:
            work()
        self.made += 1

        def again() -> None:
            self.replays += 1
            tape.replay()

        return again


def _results(cell: Cell[Any], engine: str, x_BTI: Tensor, state: Any, **form: Any) -> Results:
    """Outputs, the final state, and the gradients of a fixed random sum of both."""
    x_BTI = x_BTI.clone().requires_grad_()
    given = map_state(lambda leaf: leaf.detach().clone().requires_grad_(leaf.is_floating_point()), state)
    y_BTO, end = scan(cell, x_BTI, given, engine=engine, **form)
    values = {"y": y_BTO} | {f"end {n}": leaf for n, leaf in enumerate(state_leaves(end))}
    generator = torch.Generator().manual_seed(5)
    weighed = [(leaf * torch.randn(leaf.shape, generator=generator)).sum().double() for leaf in values.values()]
    sources = {"x": x_BTI} | {f"state {n}": leaf for n, leaf in enumerate(state_leaves(given))}
    sources = {name: leaf for name, leaf in {**sources, **dict(cell.named_parameters())}.items() if leaf.requires_grad}
    found = torch.autograd.grad(
        torch.stack(weighed).sum(), list(sources.values()), allow_unused=True, materialize_grads=True
    )
    return values | {f"gradient of {name}": leaf for name, leaf in zip(sources, found, strict=True)}


def _as_its_loop(cell: Cell[Any], x_BTI: Tensor, state: Any, tolerance: float = 1e-9, **form: Any) -> None:
    """Raise where the compiled engine and the Python loop disagree, in values, gradients or dtypes."""
    found, expected = (_results(cell, engine, x_BTI, state, **form) for engine in ("compiled", "reference"))
    for name, leaf in expected.items():
        torch.testing.assert_close(
            found[name], leaf, rtol=tolerance, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )  # type: ignore[misc]


def _reached(cell: Cell[Any], rows: int) -> Any:
    """A state that the cell can be in, not zero."""
    dtype = next(cell.parameters()).dtype
    return map_state(Tensor.detach, scan(cell, torch.randn(rows, 2, cell.input_size).to(dtype), engine="reference")[1])


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU runs what a GPU would, and no C++; chunks are short, so that every window is several."""
    monkeypatch.setitem(kernels.KINDS, "cpu", kernels._cuda_kernel)
    monkeypatch.setattr(kernels, "_shared", {})
    monkeypatch.setattr(compiled, "first_step", lambda *_: None)
    monkeypatch.setattr(chunk, "MOST_STEPS", 4)


@pytest.fixture
def taped(monkeypatch: pytest.MonkeyPatch) -> Taped:
    """The recorder in the place of the one that makes CUDA graphs."""
    recorder = Taped()
    monkeypatch.setattr(repeated, "recorder_for", lambda _: recorder)
    return recorder


@pytest.fixture(scope="session")
def tape() -> type[Tape]:
    """A CUDA graph's stand-in."""
    return Tape


@pytest.fixture(scope="session")
def as_its_loop() -> Callable[..., None]:
    """Raises where the compiled engine and the Python loop disagree."""
    return _as_its_loop


@pytest.fixture(scope="session")
def reached() -> Callable[[Cell[Any], int], Any]:
    """Makes a state for a number of rows."""
    return _reached
