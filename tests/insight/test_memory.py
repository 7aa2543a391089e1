"""What can be read from the state: exact for linear reservoirs, and not fooled by chance or autocorrelation."""

import pytest
import torch
from insight_cells import Linear
from torch import Tensor

from rnnkit import RNN, SequenceBatch
from rnnkit.cells import GRUCell
from rnnkit.errors import UserError
from rnnkit.insight import context_used, match_units, memory_probe, probe_states
from rnnkit.insight.features import series_features, text_features


def test_the_capacity_of_a_linear_reservoir_is_its_rank() -> None:
    S = 20
    orthogonal = torch.linalg.qr(torch.randn(S, S))[0]
    cell = Linear(0.95 * orthogonal, torch.randn(S, 1))
    (found,) = memory_probe(cell, torch.randn(16, 700, 1), lags=120).values()
    assert found.capacity == pytest.approx(S, rel=0.03)
    assert found.state[0] > 0.8
    assert found.gain[:10].min() > 0.5
    assert found.current[1:].abs().max() < 0.05


def test_a_delay_line_remembers_exactly_its_length() -> None:
    S = 6
    shift = torch.diag(torch.ones(S - 1), -1)
    first = torch.zeros(S, 1)
    first[0] = 1
    (found,) = memory_probe(Linear(shift, first), torch.randn(8, 200, 1), lags=10).values()
    assert torch.allclose(found.state[:S], torch.ones(S, dtype=torch.double), atol=1e-4)
    assert found.state[S:].max() < 0.05
    ids = torch.randint(0, 7, (8, 400))
    hot = torch.nn.functional.one_hot(ids, 7).float()
    states = torch.cat([hot, hot.roll(1, 1), hot.roll(2, 1)], dim=2)
    by_id = probe_states(states, ids, torch.full((8,), 390), lags=4)
    assert by_id.state[:3].min() > 0.75
    assert by_id.state[3:].max() < 0.1


def test_noise_has_no_memory_and_autocorrelation_is_subtracted() -> None:
    slow = torch.randn(8, 300, 1).cumsum(1)
    noise = probe_states(torch.randn(8, 300, 100), torch.randn(8, 300, 1), lags=5)
    assert noise.state.max() < 0.05  # in the fitted rows it would be 100 / 1800
    present = probe_states(slow.clone(), slow, lags=5)
    assert present.state.min() > 0.5
    assert present.gain.abs().max() < 1e-6


def test_context_used_is_what_the_target_depends_on() -> None:
    S = 6
    shift = torch.diag(torch.ones(S - 1), -1)
    first = torch.zeros(S, 1)
    first[0] = 1
    cell, x = Linear(shift, first), torch.randn(4, 32, 1)

    def third_back(outputs: tuple[Tensor, Tensor], batch: SequenceBatch) -> Tensor:
        return 0.01 + (outputs[0][..., 2] - batch.targets).square()

    target = x.roll(2, 1)[..., 0]
    used = context_used(cell, SequenceBatch(x, target), loss=third_back)
    assert (used.length().steps, used.length().is_censored) == (4, False)  # 3, among powers of 2
    assert used.full == pytest.approx(0.01)
    for lag, loss in zip(used.lags, used.losses.tolist(), strict=True):
        assert (loss > 0.1) == (lag < 3)
    with pytest.raises(UserError, match="full steps"):
        context_used(cell, x[:, :1])


def test_planted_units_are_found_and_noise_is_not() -> None:
    text = 'x = f(\'a (b\', "c")  # (d\nif y[3]:\n    print("quoted text", g(1, (2)))\n' * 6 + "long = 1\n" * 20
    names, features = text_features(list(text))
    units = torch.randn(len(text), 30)
    units[:, 7] += 3 * features[:, names.index("in quotes")].float()
    units[:, 9] -= 2 * features[:, names.index("bracket depth")].float()
    found = {match.feature: match for match in match_units(units, features, names)}
    assert (found["in quotes"].unit, found["in quotes"].p_value < 0.05) == (7, True)
    assert (found["bracket depth"].unit, found["bracket depth"].correlation < -0.7) == (9, True)
    assert found["is digit"].p_value > 0.01
    assert "line number" in found
    named, values = series_features(torch.randn(50, 2), ["load", "price"])
    assert values.shape == (50, len(named))
    assert torch.allclose(values[20, 4], values[11:21, 0].mean())
    with pytest.raises(UserError):
        match_units(units[:10], features, names)


def test_features_of_text_are_those_of_its_syntax() -> None:
    names, values = text_features(list('a("b)" # (\n  c'))
    depth = values[:, names.index("bracket depth")].tolist()
    assert depth == [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    assert values[:, names.index("in quotes")].tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert values[-1, names.index("indentation")] == 2
    assert values[-1, names.index("column")] == 3


def test_too_little_to_probe_is_refused() -> None:
    rnn = RNN(GRUCell, 1, 4)
    with pytest.raises(UserError, match="two rows"):
        memory_probe(rnn, torch.randn(1, 50, 1))
    with pytest.raises(UserError, match="lags"):
        memory_probe(rnn, torch.randn(4, 10, 1), lags=10)
