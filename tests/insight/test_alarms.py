"""Each alarm sounds for a model made to have the illness, and is silent for a healthy one."""

from typing import Any

import pytest
import torch

from rnnkit.batch import SequenceBatch
from rnnkit.cells import Cell, ElmanCell, GRUCell, LSTMCell, MinGRUCell
from rnnkit.insight.alarms import alarms
from rnnkit.insight.context import context_used
from rnnkit.insight.twin import is_shared, shared_twin
from rnnkit.models import LanguageModel
from rnnkit.tasks import LanguageModeling
from rnnkit.training.insight import act

H, T = 24, 40
KINDS = {"lstm": LSTMCell, "gru": GRUCell, "elman": ElmanCell, "minGRU": MinGRUCell}


def _forgetful(cell: Cell[Any]) -> None:
    if isinstance(cell, LSTMCell | GRUCell):
        cell.bias_ih[H : 2 * H] = -5.0
        cell.weight_hh *= 0.1
    elif isinstance(cell, ElmanCell):
        cell.weight_hh *= 0.05
    else:
        cell.input_map.bias[:H] = 5.0


def _chaotic(cell: Cell[Any]) -> None:
    cell.weight_hh *= 8.0


def _stuck(cell: Cell[Any]) -> None:
    if isinstance(cell, MinGRUCell):
        cell.input_map.bias[:H] = -30.0
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
    subject = act.Subject(task, shared_twin(model))
    events, given, _ = act.observe_batch(subject, batch, None)
    (name,) = events
    figures = act.layer_figures(
        subject, name, events[name], given[name], "reference", dynamics=dynamics, spectrum=False
    )
    used = context_used(subject.twin, batch).length()
    row = {"window": T, "is_stream": True, "layers": {"layer1": figures}, "loss": 2.0, "first_loss": 2.5, "lr": 1.0}
    row |= {"largest_lr": 1.0, "context": used.steps, "context_is_censored": used.is_censored, "carry_gain": None}
    return [{**row, "step": step} for step in (100, 200, 300)]


def found(rows: list[dict[str, Any]]) -> set[str]:
    return {alarm.kind for alarm in alarms(rows, 1000)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_healthy_model_is_silent(kind: str) -> None:
    assert found(rows_of(kind)) == set()


@pytest.mark.parametrize("kind", KINDS)
def test_each_illness_is_named(kind: str) -> None:
    assert "vanishing" in found(rows_of(kind, _forgetful, dynamics=False))
    assert "dead" in found(rows_of(kind, _dead, dynamics=False))
    if kind != "minGRU":  # its factors are below 1
        assert "exploding" in found(rows_of(kind, _chaotic))
    if kind != "elman":  # which has no gates
        assert {one for one in found(rows_of(kind, _stuck, dynamics=False)) if one.startswith("stuck")}


def _with(row: dict[str, Any], **layer: Any) -> dict[str, Any]:
    whole = {key: layer.pop(key) for key in list(layer) if key in ("carry_gain", "clipped_share", "lr", "is_fresh")}
    return {**row, **whole, "layers": {"layer1": {**row["layers"]["layer1"], **layer}}}


def test_conditions_of_training() -> None:
    healthy = rows_of("gru", dynamics=False)
    ill = {
        "window": {"flow_end": 0.3, "carry_gain": 0.05},
        "carry": {"carry_gain": 0.0002, "is_fresh": True},
        "small updates": {"update_ratio": 1e-6},
        "large updates": {"update_ratio": 0.1},
    }
    well = {
        "window": {"flow_end": 0.3, "carry_gain": 0.005},
        "carry": {"carry_gain": 0.02, "is_fresh": True},
        "small updates": {"update_ratio": 1e-6, "lr": 0.01},  # at the end of its schedule
        "large updates": {"update_ratio": 1e-3},
    }
    for kind, changes in ill.items():
        assert found([_with(row, **changes) for row in healthy]) == {kind}
        # twice in a row is not enough, nor is the beginning of a long run
        assert found([healthy[0], *(_with(row, **changes) for row in healthy[1:])]) == set()
        assert not alarms([_with(row, **changes) for row in healthy], 10_000)
        assert found([_with(row, **well[kind]) for row in healthy]) == set()
    clipped = [{**_with(healthy[0], clipped_share=0.95), "step": step} for step in range(100, 801, 100)]
    assert found(clipped) == {"clipping"}
    assert found(clipped[:4]) == set()
    assert found([*clipped[:-1], {**clipped[-1], "clipped_share": 0.5}]) == set()


def test_alarms_say_what_to_try() -> None:
    (alarm,) = [one for one in alarms(rows_of("lstm", _forgetful, dynamics=False), 1000) if one.kind == "vanishing"]
    assert str(alarm).startswith("layer1: gradients vanish: they fall to 1 % after ")
    assert f"your windows have {T}" in str(alarm)
    assert "Try model.cell.forget_bias=1" in str(alarm)


def test_a_twin_shares_its_weights_and_not_its_mode() -> None:
    model = LanguageModel(5, GRUCell, hidden_size=4, dropout=0.5).train()
    twin = shared_twin(model)
    with torch.no_grad():
        model.output.bias += 1
    assert bool((twin.output.bias == model.output.bias).all())
    assert is_shared(model, twin)
    assert model.training
    assert not any(part.training for part in twin.modules())
    assert not any(p.requires_grad for p in twin.parameters())
    model.output.bias = torch.nn.Parameter(torch.zeros(5))
    assert not is_shared(model, twin)
