"""Models with planted illnesses, and three measurements of each, for the tests and the table of error rates."""

from collections.abc import Callable
from typing import Any

import torch
from insight_cells import OwnCell

from rnnkit.batch import SequenceBatch
from rnnkit.cells import Cell, ElmanCell, GRUCell, LSTMCell, MinGRUCell
from rnnkit.insight.alarms import alarms
from rnnkit.insight.context import context_used
from rnnkit.insight.twin import shared_twin
from rnnkit.models import LanguageModel
from rnnkit.tasks import LanguageModeling
from rnnkit.training.insight import act
from rnnkit.training.insight.subject import Subject

H, T = 24, 40
KINDS = {"lstm": LSTMCell, "gru": GRUCell, "elman": ElmanCell, "minGRU": MinGRUCell, "own": OwnCell}


def _forgetful(cell: Cell[Any]) -> None:
    if isinstance(cell, LSTMCell | GRUCell):
        cell.bias_ih[H : 2 * H] = -5.0
        cell.weight_hh *= 0.1
    elif isinstance(cell, ElmanCell):
        cell.weight_hh *= 0.05
    elif isinstance(cell, OwnCell):
        cell.keep.bias[:] = -6.0
        cell.keep.weight *= 0.1
    else:
        cell.input_map.bias[:H] = 5.0


def _chaotic(cell: Cell[Any]) -> None:
    cell.weight_hh *= 8.0


def _stuck(cell: Cell[Any]) -> None:
    if isinstance(cell, MinGRUCell):
        cell.input_map.bias[:H] = -30.0
    elif isinstance(cell, OwnCell):
        cell.keep.bias[:] = 30.0
    else:
        cell.bias_ih[H : 2 * H] = 30.0


def _dead(cell: Cell[Any]) -> None:
    for weight in (cell.input_map.weight[H:],) if isinstance(cell, MinGRUCell) else (cell.weight_ih, cell.weight_hh):
        weight.view(-1, H, weight.shape[1])[:, : H // 2] = 0
    if isinstance(cell, LSTMCell | GRUCell | ElmanCell):
        assert cell.bias_ih is not None
        cell.bias_ih.view(-1, H)[:, : H // 2] = 0
    else:
        cell.input_map.bias[H : H + H // 2] = -0.5
        cell.input_map.bias[: H // 2] = 20.0


def rows_of(kind: str, harm: Any = None, seed: int = 0, dynamics: bool = True) -> list[dict[str, Any]]:
    """Three measurements of an untrained model on the same batch."""
    torch.manual_seed(seed)
    model = LanguageModel(12, KINDS[kind], hidden_size=H, num_layers=1)
    if harm is not None:
        with torch.no_grad():
            harm(model.rnn.cell_at(0))
    task = LanguageModeling(model)
    ids = torch.randint(0, 12, (4, T + 1))
    batch = SequenceBatch(ids[:, :-1], ids[:, 1:])
    subject = Subject(task, shared_twin(model))
    events, given, _ = act.observe_batch(subject, batch, None)
    (name,) = events
    figures = act.layer_figures(subject, name, events[name], given[name], dynamics=dynamics, spectrum=False)
    used = context_used(subject.twin, batch).length()
    row = {"window": T, "is_stream": True, "layers": {"layer1": figures}, "loss": 2.0, "first_loss": 2.5, "lr": 1.0}
    row |= {"largest_lr": 1.0, "context": used.steps, "context_is_censored": used.is_censored, "carry_gain": None}
    return [{**row, "step": step} for step in (100, 200, 300)]


def found(rows: list[dict[str, Any]]) -> set[str]:
    return {alarm.kind for alarm in alarms(rows, 1000)}


Harm = Callable[[Any], None]
ILLNESSES: dict[str, tuple[Harm, Callable[[str], bool]]] = {
    "vanishing": (_forgetful, lambda kind: kind != "own"),  # which turns a part of its state and keeps it
    "exploding": (_chaotic, lambda kind: kind in ("lstm", "gru", "elman")),  # the others forget by construction
    "stuck": (_stuck, lambda kind: kind != "elman"),  # which has no gates
    "dead": (_dead, lambda kind: kind != "own"),
}
"""Each illness with the cells that can have it."""
