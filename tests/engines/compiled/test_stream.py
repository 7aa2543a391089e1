"""A live stream is prepared once, and then costs one call a step."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from rnnkit import scan
from rnnkit.cells import Cell, GRUCell, LayerNormGRUCell, LSTMCell, MinGRUCell, VariationalDropout, Zoneout
from rnnkit.engines.compiled.trace import trace as tracing

X = torch.randn(2, 1, 3)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    traced: list[object] = []
    original = tracing.trace

    def trace(cell: object, *arguments: object, **options: object) -> object:
        traced.append(cell)
        return original(cell, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(tracing, "trace", trace)
    return traced


@pytest.mark.parametrize("given", [True, False])
def test_steps_of_a_plain_cell_are_traced_once(given: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = LSTMCell(3, 5)
    with torch.no_grad():
        scan(cell, X, cell.initial_state(2), engine="compiled")
        traced = counted(monkeypatch)
        for _ in range(3):
            scan(cell, X, cell.initial_state(2) if given else None, engine="compiled")
    assert traced == []


def test_steps_of_a_random_cell_are_not_traced_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Zoneout(LSTMCell(3, 5), 0.5)
    with torch.no_grad():
        scan(cell, X, cell.initial_state(2), engine="compiled")
        traced = counted(monkeypatch)
        for _ in range(3):
            scan(cell, X, cell.initial_state(2), engine="compiled")
    assert traced == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("kind", [LSTMCell, GRUCell, LayerNormGRUCell, MinGRUCell])
def test_a_stream_is_the_loops(kind: type[Cell[Any]], dtype: torch.dtype) -> None:
    cell = kind(3, 5).to(dtype)  # type: ignore[call-arg]
    x_BTI = torch.randn(2, 6, 3).to(dtype)
    with torch.no_grad():
        wanted, _ = scan(cell, x_BTI, engine="reference")
        state, found = cell.initial_state(2), []
        for t in range(6):
            y_B1O, state = scan(cell, x_BTI[:, t : t + 1], state, engine="compiled")
            found.append(y_B1O)
    bound = {"atol": 0.02, "rtol": 0.02} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(torch.cat(found, dim=1), wanted, **bound)


def test_a_stream_keeps_no_cell_alive() -> None:
    cell = LSTMCell(3, 5)
    with torch.no_grad():
        scan(cell, X, cell.initial_state(2), engine="compiled")
    scan(cell, torch.randn(2, 4, 3), engine="compiled")[0].sum().backward()
    gone = weakref.ref(cell)
    del cell
    gc.collect()
    assert gone() is None


def test_threads_may_share_a_cell() -> None:
    cell = LSTMCell(3, 64)
    streams = torch.randn(8, 2, 40, 3)
    wanted = [scan(cell, x_BTI, engine="reference")[0].detach() for x_BTI in streams]

    def stream(x_BTI: torch.Tensor) -> torch.Tensor:
        torch.set_num_threads(1)
        with torch.no_grad():
            state, outputs = cell.initial_state(2), []
            for x_BI in x_BTI.unbind(1):
                y_B1O, state = scan(cell, x_BI[:, None], state, engine="compiled")
                outputs.append(y_B1O)
        return torch.cat(outputs, dim=1)

    def train(x_BTI: torch.Tensor) -> torch.Tensor:
        torch.set_num_threads(1)
        y_BTO, _ = scan(cell, x_BTI, engine="compiled")
        torch.autograd.grad(y_BTO.sum(), list(cell.parameters()))
        return y_BTO.detach()

    with ThreadPoolExecutor(4) as pool:
        for run in (stream, train):
            for _ in range(3):
                for found, expected in zip(pool.map(run, streams), wanted, strict=True):
                    torch.testing.assert_close(found, expected)


def test_a_step_draws_its_masks_once() -> None:
    cell = VariationalDropout(LSTMCell(3, 5), input=0.5, state=0.5, output=0.5)
    with torch.no_grad():
        for state in (None, None, cell.initial_state(2), cell.initial_state(2)):
            found = {}
            for engine in ("reference", "compiled"):
                torch.manual_seed(1)
                found[engine] = scan(cell, X, state, engine=engine)[0]
            torch.testing.assert_close(found["compiled"], found["reference"])


def test_a_cell_made_in_inference_mode_is_stepped() -> None:
    with torch.inference_mode():
        cell, state, found = GRUCell(3, 5), None, []
        x_BTI = torch.randn(2, 4, 3)
        for t in range(4):
            y_B1O, state = scan(cell, x_BTI[:, t : t + 1], state, engine="compiled")
            found.append(y_B1O)
        torch.testing.assert_close(torch.cat(found, dim=1), scan(cell, x_BTI, engine="reference")[0])


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 33])
def test_the_number_of_rows_changes_no_bit_of_a_step(count: int) -> None:
    torch.manual_seed(1)
    cell, x_BTI = LSTMCell(10, 22), torch.randn(64, 1, 10)
    with torch.no_grad():
        state = cell(torch.randn(64, 10), cell.initial_state(64))[1]
        y_B1O, after = scan(cell, x_BTI, state, engine="compiled")
        part_B1O, part = scan(cell, x_BTI[:count], type(state)(*(leaf[:count] for leaf in state)), engine="compiled")
    assert torch.equal(part_B1O, y_B1O[:count])
    assert torch.equal(part.cell, after.cell[:count])
