"""Recording and fusing, with stand-ins for what needs a GPU; where either fails, the run goes on with a warning."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from rnnkit import scan
from rnnkit.cells import LayerNormLSTMCell
from rnnkit.engines.compiled.gpu import capture, fusion, repeated
from rnnkit.engines.compiled.trace.once import warn_once

H = 6


class Graphs:
    """torch.cuda's part in a recording, played on a CPU; `failure` says when a capture fails."""

    def __init__(self, tape: Any, failure: str = "") -> None:
        self.tape, self.failure = tape, failure
        self.captures = 0
        self.streams: list[Any] = []

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names = {"Stream": self._stream, "stream": self._on, "graph": self._graph, "CUDAGraph": self.tape}
        for name, stand_in in (names | {"graph_pool_handle": object}).items():
            monkeypatch.setattr(torch.cuda, name, stand_in)
        recorder = capture.CudaGraphs(self._stream("cuda:0"))
        monkeypatch.setattr(repeated, "recorder_for", lambda _: recorder)

    def _stream(self, device: Any) -> Any:
        return SimpleNamespace(device=device, wait_stream=lambda _: None)

    @contextmanager
    def _on(self, stream: Any) -> Iterator[None]:
        self.streams.append(stream)
        try:
            yield
        finally:
            self.streams.pop()

    @contextmanager
    def _graph(self, graph: Any, pool: Any, stream: Any, *, capture_error_mode: str) -> Iterator[None]:
        assert capture_error_mode == "thread_local"
        if self.failure == "at the beginning":
            raise RuntimeError("CUDA error: operation not permitted\nand much more")
        with graph:
            yield
        if self.failure == "at the end":
            raise RuntimeError("CUDA error: capture invalidated")
        self.captures += 1


@pytest.fixture
def cell() -> LayerNormLSTMCell:
    return LayerNormLSTMCell(3, H).double()


def test_a_graph_is_made_once_and_replayed(
    cell: Any, tape: Any, as_its_loop: Any, reached: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = Graphs(tape)
    graphs.patch(monkeypatch)
    x_BTI, state = torch.randn(4, 7, 3, dtype=torch.float64), reached(cell, 4)
    for _ in range(3):
        as_its_loop(cell, x_BTI, state)
    assert graphs.captures == 6
    assert graphs.streams == []


@pytest.mark.parametrize("failure", ["at the beginning", "at the end"])
def test_a_capture_that_fails(
    failure: str, cell: Any, tape: Any, as_its_loop: Any, reached: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    warn_once.cache_clear()
    graphs = Graphs(tape, failure)
    graphs.patch(monkeypatch)
    x_BTI, state = torch.randn(4, 7, 3, dtype=torch.float64), reached(cell, 4)
    with pytest.warns(UserWarning, match=r"without CUDA graphs, because .*: CUDA error: [a-z ]+$") as told:
        as_its_loop(cell, x_BTI, state)
    assert len(told) == 1
    assert graphs.streams == []
    # Nor are they fused here: from now on the Python loop is faster.
    with pytest.warns(UserWarning, match="runs as a Python loop: neither Inductor nor CUDA graphs work here"):
        as_its_loop(cell, x_BTI, state)


def test_an_inductor_that_fails(cell: Any, as_its_loop: Any, reached: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    warn_once.cache_clear()
    monkeypatch.setattr(fusion, "FUSED_ON", {"cpu"})
    monkeypatch.setattr(torch._inductor, "compile", lambda *_: 1 / 0)
    x_BTI, state = torch.randn(4, 7, 3, dtype=torch.float64), reached(cell, 4)
    with pytest.warns(UserWarning, match="operation by operation, because Inductor failed: division by zero") as told:
        as_its_loop(cell, x_BTI, state)
    assert len(told) == 1


def test_a_machine_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    warn_once.cache_clear()
    monkeypatch.setattr(fusion.importlib.util, "find_spec", lambda _: None)
    step: Any = nn.Identity()
    with FakeTensorMode(), pytest.warns(UserWarning, match="Triton is not installed"):
        assert fusion.fused(step, [torch.empty(2, device="cuda")]) is step


@pytest.mark.slow
def test_inductor_fuses_the_steps(cell: Any, as_its_loop: Any, reached: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inductor writes C++ here, and Triton on a GPU; what it is given, and how it writes into slots, is the same.

    From a thread of its own, as autograd calls backward passes on a GPU.
    """
    monkeypatch.setattr(fusion, "FUSED_ON", {"cpu"})
    made, fuse = [], torch._inductor.compile
    monkeypatch.setattr(torch._inductor, "compile", lambda *given: (made.append(1), fuse(*given))[1])
    x_BTI, state = torch.randn(5, 7, 3, dtype=torch.float64), reached(cell, 5)
    forms: list[dict[str, Any]] = [{}, {"lengths": torch.tensor([7, 0, 3, 7, 1]), "reverse": True}]
    with ThreadPoolExecutor(1) as thread:
        for form in forms:
            thread.submit(as_its_loop, cell, x_BTI, state, **form).result()
    assert len(made) == 4
    with torch.no_grad():
        scan(cell, x_BTI, state, engine="compiled")
    assert len(made) == 5
