"""Memory at fixed addresses that windows, layers and directions use in turn, and nothing of it seen from outside."""

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

from rnnkit import scan
from rnnkit.cells import LayerNormLSTMCell, LSTMCell, PeepholeLSTMCell
from rnnkit.engines.compiled import kernels
from rnnkit.engines.compiled.gpu import chunk, repeated

H = 6


def loops_of(cell: Any) -> list[Any]:
    """All loops that a cell was compiled to."""
    made = kernels._kernels[cell].values()
    return [loop for kernel in made for loop in (kernel.forward_loop, kernel.backward_loop)]


def test_windows_before_their_gradients(taped: Any) -> None:
    """What autograd keeps of one window is not overwritten by the next, of one cell or of another of its size."""
    cells = [LayerNormLSTMCell(3, H).double(), LayerNormLSTMCell(H, H).double()]
    windows = [torch.randn(4, 9, 3, dtype=torch.float64) for _ in range(3)]

    def gradients(engine: str, *, at_once: bool) -> list[Tensor]:
        for cell in cells:
            cell.zero_grad()
        losses = []
        for x_BTI in windows:
            for cell in cells:
                x_BTI, _ = scan(cell, x_BTI, engine=engine)
            losses.append(x_BTI.square().sum())
            if not at_once:
                losses.pop().backward()
        for loss in losses:
            loss.backward()
        return [parameter.grad.clone() for cell in cells for parameter in cell.parameters()]  # type: ignore[union-attr]

    expected = gradients("reference", at_once=False)
    for at_once in (False, True):
        torch.testing.assert_close(gradients("compiled", at_once=at_once), expected)
    assert taped.replays > taped.made


@pytest.mark.usefixtures("taped")
def test_outputs_are_the_callers_own() -> None:
    cell = LayerNormLSTMCell(3, H)
    x_BTI = torch.randn(4, 9, 3)
    y_BTO, end = scan(cell, x_BTI, engine="compiled")
    kept = [y_BTO.clone(), end.hidden.clone(), end.cell.clone()]
    scan(cell, 2 * x_BTI, end, engine="compiled")
    assert [torch.equal(before, now) for before, now in zip(kept, [y_BTO, *end], strict=True)] == [True] * 3


@pytest.mark.usefixtures("taped")
def test_what_stands_in_the_memory_reaches_nothing(as_its_loop: Any, reached: Any) -> None:
    """NaN in every number that a window does not fill itself: rows beyond the batch, steps beyond the piece."""
    cell = LayerNormLSTMCell(3, H).double()
    x_BTI, state = torch.randn(5, 7, 3, dtype=torch.float64), reached(cell, 5)
    for _ in range(2):
        as_its_loop(cell, x_BTI, state, lengths=torch.tensor([7, 0, 3, 7, 1]))
        buffers = [
            buffer for loop in loops_of(cell) for held in loop._chunks.values() for buffer in held.buffers.values()
        ]
        for buffer in buffers:
            buffer.fill_(torch.nan if buffer.is_floating_point() else 1)
    assert buffers


@pytest.mark.usefixtures("taped")
def test_loops_share_one_block() -> None:
    """Two layers and both directions, one after the other in the same place, and right."""
    cells = [LayerNormLSTMCell(3, H).double(), PeepholeLSTMCell(H, H).double()]
    x_BTI = torch.randn(4, 9, 3, dtype=torch.float64)

    def gradients(engine: str) -> list[Tensor]:
        y_BTO = x_BTI
        for cell in cells:
            y_BTO, _ = scan(cell, y_BTO, engine=engine)
        return list(torch.autograd.grad(y_BTO.square().sum(), [p for cell in cells for p in cell.parameters()]))

    expected = gradients("reference")
    for _ in range(2):
        torch.testing.assert_close(gradients("compiled"), expected)
    arenas = {id(held.arena) for cell in cells for loop in loops_of(cell) for held in loop._chunks.values()}
    assert len(arenas) == 1


@pytest.mark.usefixtures("taped")
def test_weights_may_move_between_windows(as_its_loop: Any, reached: Any) -> None:
    cell = LayerNormLSTMCell(3, H).double()
    x_BTI, state = torch.randn(4, 9, 3, dtype=torch.float64), reached(cell, 4)
    for _ in range(2):
        as_its_loop(cell, x_BTI, state)
        for parameter in cell.parameters():
            parameter.data = torch.randn_like(parameter).t().contiguous().t()


@pytest.mark.usefixtures("taped")
def test_without_gradients_and_then_with() -> None:
    cell, x_BTI = LayerNormLSTMCell(3, H), torch.randn(4, 9, 3)
    expected = scan(cell, x_BTI, engine="reference")[0]
    for mode in (torch.inference_mode, torch.no_grad, torch.enable_grad, torch.inference_mode):
        with mode():
            y_BTO, _ = scan(cell, x_BTI, engine="compiled")
        torch.testing.assert_close(y_BTO, expected)
        assert y_BTO.requires_grad == (mode is torch.enable_grad)


def test_few_numbers_of_rows_are_remembered(monkeypatch: pytest.MonkeyPatch, taped: Any) -> None:
    monkeypatch.setattr(repeated, "MOST_CHUNKS", 2)
    cell = LSTMCell(3, H)
    for rows in (1, 17, 33, 1):
        x_BTI = torch.randn(rows, 4, 3)
        with torch.no_grad():
            found, expected = (scan(cell, x_BTI, engine=engine)[0] for engine in ("compiled", "reference"))
        torch.testing.assert_close(found, expected)
    (kernel,) = kernels._kernels[cell].values()
    assert [rows for rows, *_ in kernel.forward_loop._chunks] == [48, 16]
    assert taped.made == 4


@pytest.mark.parametrize(("most", "steps"), [(96 << 20, 64), (1 << 20, 8), (1, 1)])
@pytest.mark.usefixtures("taped")
def test_a_chunk_is_bounded(most: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "MOST_STEPS", 64)
    monkeypatch.setattr(chunk, "MOST_BYTES", most)
    cell, x_BTI = LayerNormLSTMCell(3, 32), torch.randn(64, 20, 3)
    y_BTO, _ = scan(cell, x_BTI, engine="compiled")
    torch.testing.assert_close(y_BTO, scan(cell, x_BTI, engine="reference")[0])
    loop = loops_of(cell)[0]
    (held,) = loop._chunks.values()
    assert held.steps == steps
    assert steps == 1 or sum(held.buffers[argument].nbytes for argument in loop.slotted) <= most


@pytest.mark.usefixtures("taped")
def test_memory_goes_with_the_cell_and_waits_for_no_garbage_collection() -> None:
    cell = LayerNormLSTMCell(3, H)
    scan(cell, torch.randn(2, 4, 3), engine="compiled")[0].sum().backward()
    arenas = [weakref.ref(held.arena) for loop in loops_of(cell) for held in loop._chunks.values()]
    assert len(arenas) == 2
    gc.disable()
    try:
        del cell
        assert [arena() for arena in arenas] == [None, None]
    finally:
        gc.enable()


def test_within_a_capture_of_the_callers_nothing_is_recorded_or_kept(
    monkeypatch: pytest.MonkeyPatch, taped: Any
) -> None:
    monkeypatch.setattr(repeated, "is_capturing", lambda _: True)
    cell, x_BTI = LayerNormLSTMCell(3, H), torch.randn(4, 7, 3)
    torch.testing.assert_close(scan(cell, x_BTI, engine="compiled")[0], scan(cell, x_BTI, engine="reference")[0])
    assert not any(loop._chunks for loop in loops_of(cell))
    assert taped.made == 0
