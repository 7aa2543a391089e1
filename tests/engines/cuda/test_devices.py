"""What a GPU changes in a trace and in the choice of engines, with stand-ins for tensors on one."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from rnnkit.cells import GRUCell, LayerNormLSTMCell, LSTMCell, LSTMState, MinGRUCell
from rnnkit.cells.state import map_state
from rnnkit.engines import native, parallel
from rnnkit.engines.compiled.gpu.cuda import GraphKernel
from rnnkit.engines.compiled.trace import trace as tracing
from rnnkit.engines.compiled.trace.given import Given
from rnnkit.engines.compiled.trace.graphs import value
from rnnkit.engines.compiled.trace.plain_cells import PlainCells
from rnnkit.engines.compiled.trace.twin import Twin
from rnnkit.engines.policy import refusal, slower
from rnnkit.engines.request import Request

H = 6


def traced(cell: Any) -> tuple[Any, Twin]:
    """The step of a cell on a GPU. Without gradients and masks: those of stand-ins need a torch built for one."""
    begin = cell.initial_state(4)
    twin = Twin(cell, Given.of(torch.empty(4, 1, cell.input_size), None, ()), begin, dict(cell.named_parameters()), [])
    with FakeTensorMode():
        weights = {name: torch.empty(leaf.shape, device="cuda") for name, leaf in cell.named_parameters()}
        state = map_state(lambda leaf: torch.empty(leaf.shape, device="cuda"), begin)
    with torch.no_grad():
        return tracing.trace(twin, torch.float32, state, weights, masked=False, backward=False), twin


def test_a_trace_stays_on_the_device_of_its_cell(written: Any) -> None:
    def step(c: Any, x: Tensor, h: Tensor) -> Any:
        noise = nn.functional.dropout(x, 0.5) + torch.rand_like(x) + torch.arange(3.0).to(x.device)
        h = torch.tanh(c.mix(noise, h)) + torch.zeros(len(x), H, device=x.device)
        return h, h

    found, twin = traced(written(step))
    nodes = [node for node in found.graph.nodes if isinstance(node.meta.get("val"), Tensor)]
    assert [node.name for node in nodes if value(node).device.type != "cuda"] == ["arange"]
    # It is brought over once, before the loop.
    loop = GraphKernel(found, twin, backward=False, states=False).forward_loop
    assert all(value(node).device.type == "cuda" for node in (*loop.known, *loop.nodes))


@pytest.mark.parametrize("torchs_own", [nn.LSTMCell, nn.GRUCell])
def test_a_cell_made_of_torchs_cells(
    torchs_own: Any, written: Any, as_its_loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which are fused kernels on a GPU, and no operations that a graph could be cut at."""

    def step(c: Any, x: Tensor, state: Any) -> Any:
        if isinstance(c.inner, nn.GRUCell):
            h = c.inner(x, state)
            return h, h
        h, k = c.inner(x, tuple(state))
        return h, LSTMState(h, k)

    def initial(c: Any, n: int) -> Any:
        h = c.u.new_zeros(n, H)
        return h if isinstance(c.inner, nn.GRUCell) else LSTMState(h, h)

    cell = written(step, initial=initial, setup=lambda c: setattr(c, "inner", torchs_own(3, H))).double()
    assert not any("fused" in str(node.target) for node in traced(cell)[0].graph.nodes)
    monkeypatch.setattr(tracing, "nullcontext", PlainCells)
    as_its_loop(cell, torch.randn(4, 7, 3, dtype=torch.float64), cell.initial_state(4))


def test_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuDNN for what it has kernels for, one pass over time for linear cells, the compiler for the rest."""
    for engine in (native, parallel):
        monkeypatch.setattr(engine, "transformed", lambda _: None)  # stand-ins are left to the loop
    reasons = {}
    for cell in (LSTMCell(3, H), GRUCell(3, H, reset_after=False), MinGRUCell(3, H), LayerNormLSTMCell(3, H)):
        with FakeTensorMode():
            x_BTI, short_BTI = (torch.empty(4, steps, 3, device="cuda") for steps in (32, 8))
        reasons[type(cell).__name__] = slower("compiled", Request(cell, x_BTI, cell.initial_state(4)))
        assert "too few" in str(slower("compiled", Request(cell, short_BTI, cell.initial_state(4))))
        reason = refusal("compiled", Request(cell, x_BTI, cell.initial_state(4)))
        assert reason == "x, the state, the context and the weights are not on one device"
    assert reasons == {
        "LSTMCell": "cuDNN has a kernel for this cell",
        "GRUCell": None,
        "MinGRUCell": "on a GPU, the parallel engine is faster for a linear recurrence",
        "LayerNormLSTMCell": None,
    }


def test_other_devices_are_refused() -> None:
    reason = refusal("compiled", Request(LSTMCell(3, H), torch.empty(2, 4, 3, device="meta"), None))
    assert reason == "the compiler supports CPUs and CUDA devices, not meta"
