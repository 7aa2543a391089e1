"""A live stream is prepared once, and then costs one call a step."""

import gc
import weakref

import pytest
import torch

from rnnkit import scan
from rnnkit.cells import LSTMCell, Zoneout
from rnnkit.engines.compiled import trace as tracing

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


def test_a_stream_is_the_loops() -> None:
    cell = LSTMCell(3, 5)
    x_BTI = torch.randn(2, 6, 3)
    with torch.no_grad():
        wanted, _ = scan(cell, x_BTI, engine="reference")
        state, found = cell.initial_state(2), []
        for t in range(6):
            y_B1O, state = scan(cell, x_BTI[:, t : t + 1], state, engine="compiled")
            found.append(y_B1O)
    torch.testing.assert_close(torch.cat(found, dim=1), wanted)


def test_a_stream_keeps_no_cell_alive() -> None:
    cell = LSTMCell(3, 5)
    with torch.no_grad():
        scan(cell, X, cell.initial_state(2), engine="compiled")
    scan(cell, torch.randn(2, 4, 3), engine="compiled")[0].sum().backward()
    gone = weakref.ref(cell)
    del cell
    gc.collect()
    assert gone() is None
