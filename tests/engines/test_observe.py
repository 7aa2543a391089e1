"""Whoever watches sees every scan, and changes none."""

from typing import Any

import pytest
import torch
from context_cells import CELLS, Decaying, memory, timed
from torch import Tensor, nn
from torch.testing import assert_close

import rnnkit
from rnnkit import RNN
from rnnkit.cells import ElmanCell, GRUCell, LSTMCell, MGUCell, MinGRUCell, WeightDrop, Zoneout
from rnnkit.engines import ScanEvent, observe, scan
from rnnkit.training.checks.diagnosis import cell_names, locate


class OwnLayer(nn.Module):
    """As a user writes it: an embedding, and a scan of a cell."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.tower = nn.ModuleDict({"cell": cell})

    def forward(self, x_BTI: Tensor) -> Tensor:
        y_BTO, _ = rnnkit.scan(self.tower["cell"], x_BTI)
        return y_BTO


def test_an_event_holds_what_the_scan_was_given_and_gave() -> None:
    kind, inputs, context = CELLS["fast weights"]
    cell, x = kind(3, 4).double(), inputs(2, 5)
    seen: list[ScanEvent] = []
    lengths = torch.tensor([5, 2])
    with observe(seen.append, states=True):
        y, end, states = scan(cell, x, context=context(2), lengths=lengths, return_states=True)
    (event,) = seen
    assert event.cell is cell
    assert (event.name, event.engine, event.reverse) == ("FastWeights", "reference", False)
    assert event.x is x
    assert event.y is y
    assert event.state is end
    assert_close(event.states, states.detach())
    assert_close(event.context, context(2))
    assert event.lengths is not None
    assert event.lengths.tolist() == [5, 2]
    scan(cell, x, context=context(2))
    assert len(seen) == 1  # the block is over


@pytest.mark.parametrize("bidirectional", [False, True])
def test_layers_and_own_layers_are_seen_by_their_names(bidirectional: bool) -> None:
    rnn = RNN(LSTMCell, 3, 4, num_layers=2, bidirectional=bidirectional)
    model = nn.Sequential(OwnLayer(GRUCell(3, 3)), rnn)
    names: list[tuple[str, bool]] = []
    with observe(lambda event: names.append((event.name, event.reverse)), module=model):
        model(torch.randn(2, 5, 3))
    expected = [(f"1.cells.{n}", bidirectional and n % 2 == 1) for n in range(len(rnn.cells))]
    assert names == [("0.tower.cell", False), *expected]


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize(
    "kind", [LSTMCell, GRUCell, MGUCell, MinGRUCell, ElmanCell, lambda i, h: WeightDrop(LSTMCell(i, h), 0.3)]
)
def test_watching_changes_no_number_and_no_engine(kind: Any, states: bool, train: bool) -> None:
    torch.manual_seed(0)
    cell = kind(3, 4).train(train)
    x, events = torch.randn(2, 20, 3, requires_grad=True), []

    def found() -> list[Tensor]:
        torch.manual_seed(5)
        y, end = scan(cell, x)
        y2, _ = scan(cell, x, end)
        gradients = torch.autograd.grad(y2.square().sum(), [x, *cell.parameters()], allow_unused=True)
        return [y, y2, *(g for g in gradients if g is not None), torch.rand(1)]

    expected = found()
    with observe(events.append, states=states):
        watched = found()
    assert all(torch.equal(one, other) for one, other in zip(watched, expected, strict=True))
    assert [event.engine for event in events] == [rnnkit.explain(cell, x).engine] * 2
    if states:  # those that led to these outputs: every one of these cells gives its hidden state
        assert_close(events[0].states[0] if isinstance(events[0].states, tuple) else events[0].states, events[0].y)


def test_the_states_are_those_of_this_draw() -> None:
    torch.manual_seed(0)
    seen: list[ScanEvent] = []
    with observe(seen.append, states=True):
        scan(Zoneout(LSTMCell(3, 16), 0.5), torch.randn(2, 20, 3), engine="compiled")
        scan(Zoneout(LSTMCell(3, 16), 0.5), torch.randn(2, 20, 3), engine="reference")
    assert seen[1].states is not None
    for event in seen:
        if event.states is not None:
            assert_close(event.states.hidden[:, -1], event.state.hidden)


def test_a_step_of_a_live_stream_is_seen_too() -> None:
    cell, seen = LSTMCell(3, 4), []
    with torch.no_grad(), observe(seen.append):
        scan(cell, torch.randn(1, 1, 3), cell.initial_state(1))
    assert len(seen) == 1


def test_observers_stand_beside_each_other_and_do_not_watch_themselves() -> None:
    cell, x, one, other = GRUCell(3, 4), torch.randn(2, 5, 3), [], []

    def again(event: ScanEvent) -> None:
        one.append(event)
        scan(event.cell, event.x)

    order: list[str] = []
    with observe(again, before=lambda event: order.append(f"before {event.y}")), observe(other.append):
        scan(cell, x)
        order.append("after")
        with pytest.raises(ZeroDivisionError), observe(lambda _: 1 / 0):
            scan(cell, x)
        scan(cell, x)
    assert len(one) == len(other) == 3
    assert order == ["before None", "after", "before None", "before None"]


def test_a_context_of_a_decoder_is_seen() -> None:
    kind, inputs, _ = CELLS["dot attention"]
    seen: list[ScanEvent] = []
    with observe(seen.append, states=True):
        scan(kind(3, 4).double(), inputs(2, 5), context=memory(2), reverse=True)
    assert seen[0].states.read.shape == (2, 5, 3)
    assert seen[0].reverse


def test_the_diagnosis_sees_a_layer_of_ones_own() -> None:
    model = nn.Sequential(OwnLayer(GRUCell(3, 4)), nn.Linear(4, 2))
    x_BTI = torch.randn(2, 20, 3)
    x_BTI[1, 3] = torch.inf
    assert locate(model, lambda: model(x_BTI).sum()) == "the output of 0.tower.cell, time step 3, row 1"
    assert list(cell_names(model).values()) == ["0.tower.cell"]


def test_the_diagnosis_takes_the_engines_of_the_run() -> None:
    model, engines = nn.Sequential(OwnLayer(GRUCell(3, 4))), []
    with observe(lambda event: engines.append(event.engine)):
        model(torch.randn(2, 5, 3))
        locate(model, lambda: model(torch.randn(2, 5, 3)).sum())
    assert engines == ["native", "native"]


def test_inputs_of_several_tensors_are_seen_as_they_are() -> None:
    seen: list[ScanEvent] = []
    with observe(seen.append):
        scan(Decaying(3, 4).double(), timed(2, 5))
    assert type(seen[0].x) is type(timed(2, 5))
