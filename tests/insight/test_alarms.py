"""Each alarm sounds for a model made to have the illness, and is silent for a healthy one."""

from typing import Any

import pytest
import torch
from ill_models import ILLNESSES, KINDS, T, found, rows_of

from rnnkit.cells import GRUCell
from rnnkit.insight.alarms import alarms
from rnnkit.insight.twin import is_shared, shared_twin
from rnnkit.models import LanguageModel


@pytest.mark.parametrize("kind", KINDS)
def test_a_healthy_model_is_silent(kind: str) -> None:
    assert found(rows_of(kind)) == set()


@pytest.mark.parametrize("kind", KINDS)
def test_each_illness_is_named(kind: str) -> None:
    for name, (harm, fits) in ILLNESSES.items():
        if fits(kind):
            kinds = found(rows_of(kind, harm, dynamics=name == "exploding"))
            assert any(one.startswith(name) for one in kinds), name


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
    (alarm,) = [
        one
        for one in alarms(rows_of("lstm", ILLNESSES["vanishing"][0], dynamics=False), 1000)
        if one.kind == "vanishing"
    ]
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
