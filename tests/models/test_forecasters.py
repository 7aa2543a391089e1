"""Forecasters: any cell, padding, missing values, step by step against all at once, channels that trade places."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rnnkit.batch import ForecastInputs
from rnnkit.cells import CfCCell, GRUCell, LSTMCell, MinGRUCell
from rnnkit.errors import UserError
from rnnkit.models.forecasting import (
    AutoregressiveForecaster,
    DirectForecaster,
    Forecaster,
    Parameters,
    SegmentForecaster,
)
from rnnkit.models.forecasting.distributions import Gaussian, Point, Quantiles

KINDS = [DirectForecaster, AutoregressiveForecaster, SegmentForecaster]
CELLS = [LSTMCell, GRUCell, MinGRUCell]
SIZES = {
    "past_covariates": 2,
    "future_covariates": 2,
    "past_categories": [5],
    "future_categories": [5],
    "static": 1,
    "static_categories": [3],
}


def build(kind: type[Forecaster], cell: type = GRUCell, output: object = None, **options: object) -> Forecaster:
    options = {"channels": 2, "horizon": 5, "context": 12, "hidden_size": 8, **options}
    if kind is SegmentForecaster:
        options.setdefault("segment", 4)
    return kind(cell, output or Gaussian(), **options).eval()  # type: ignore[call-arg]


def inputs(rows: int = 3, steps: int = 12, covariates: bool = False) -> ForecastInputs:
    past_BTC = torch.randn(rows, steps, 2)
    plain = ForecastInputs.of(past_BTC.masked_fill(torch.rand_like(past_BTC) < 0.1, torch.nan), horizon=5)
    if not covariates:
        return plain
    return plain._replace(
        past_covariates=torch.randn(rows, steps, 2),
        future_covariates=torch.randn(rows, 5, 2),
        past_categories=torch.randint(0, 5, (rows, steps, 1)),
        future_categories=torch.randint(0, 5, (rows, 5, 1)),
        static=torch.randn(rows, 1),
        static_categories=torch.randint(0, 3, (rows, 1)),
        time_deltas=torch.rand(rows, steps) + 0.5,
    )


def cut(whole: ForecastInputs, row: int, steps: int, width: int) -> ForecastInputs:
    """One row whose first `steps` steps are all there is, in windows of `width`."""
    kept = ForecastInputs(*(field[row : row + 1] for field in whole))
    along = {"past": torch.nan, "past_covariates": torch.nan, "past_categories": 0, "time_deltas": 1}
    for name, value in along.items():
        field = getattr(kept, name).clone()
        field[:, steps:] = value
        kept = kept._replace(**{name: field[:, :width]})
    return kept


def of_horizon(model: Forecaster, given: ForecastInputs, targets: Tensor, lengths: Tensor | None) -> Parameters:
    if isinstance(model, AutoregressiveForecaster):
        return model.teacher_forced_horizon(given, targets, lengths=lengths)[0]
    return model(given, lengths=lengths)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", KINDS)
def test_any_cell_works_and_learns_from_every_weight(kind: type[Forecaster], cell: type) -> None:
    model = build(kind, cell, **({} if kind is SegmentForecaster else SIZES)).train()
    given = inputs(covariates=kind is not SegmentForecaster)
    parameters, targets = model.teacher_forced(given, torch.randn(3, 5, 2))
    assert parameters.raw.shape == (*targets.shape, 2)
    loss = Gaussian().loss(parameters, targets.nan_to_num())[~targets.isnan()].mean()
    loss.backward()
    assert loss.isfinite()
    used = [(name, p.grad) for name, p in model.named_parameters() if p.requires_grad]
    assert [name for name, gradient in used if gradient is None or not gradient.isfinite().all()] == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scaling", ["standard", "last"])
def test_a_padded_window_gets_what_it_gets_alone(kind: type[Forecaster], scaling: str) -> None:
    extra = {} if kind is SegmentForecaster else SIZES
    extra = {**extra, "lags": [1, 4]} if kind is AutoregressiveForecaster else {**extra, "linear": 6}
    model = build(kind, scaling=scaling, **extra)
    if kind is not AutoregressiveForecaster:
        torch.nn.init.normal_(model.linear.weight)  # type: ignore[union-attr, arg-type]
    whole, targets = inputs(covariates=kind is not SegmentForecaster), torch.randn(3, 5, 2)
    lengths = torch.tensor([12, 7, 3])
    rows = [cut(whole, row, steps, 12) for row, steps in enumerate(lengths.tolist())]
    together = ForecastInputs(*(torch.cat(fields) for fields in zip(*rows, strict=True)))
    found = of_horizon(model, together, targets, lengths)
    for row, steps in enumerate(lengths.tolist()):
        alone = of_horizon(model, cut(whole, row, steps, steps), targets[row : row + 1], None)
        for part, expected in zip(found, alone, strict=True):
            assert_close(part[row], expected[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_values_are_marked_and_not_read(kind: type[Forecaster]) -> None:
    model = build(kind, scaling="none")
    given, targets = inputs(), torch.randn(3, 5, 2)
    zero = given._replace(past=given.past.nan_to_num(nan=0.0))
    assert given.past.isnan().any()
    marked, unmarked = (of_horizon(model, each, targets, None).raw for each in (given, zero))
    assert marked.isfinite().all()
    assert not torch.allclose(marked, unmarked)


@pytest.mark.parametrize("kind", [DirectForecaster, AutoregressiveForecaster])
def test_every_covariate_is_read(kind: type[Forecaster]) -> None:
    model = build(kind, **SIZES)
    given, targets = inputs(covariates=True), torch.randn(3, 5, 2)
    first = of_horizon(model, given, targets, None).raw
    for name in SIZES:
        field = getattr(given, name)
        other = (field + 1) % 3 if field.dtype == torch.long else field + 1
        assert not torch.allclose(of_horizon(model, given._replace(**{name: other}), targets, None).raw, first), name
        if field.dtype != torch.long:
            unknown = given._replace(**{name: torch.full_like(field, torch.nan)})
            assert of_horizon(model, unknown, targets, None).raw.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_precision_stays_near_single(kind: type[Forecaster]) -> None:
    model = build(kind)
    given, targets = inputs(), torch.randn(3, 5, 2)
    single = of_horizon(model, given, targets, None)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = of_horizon(model, given, targets, None)
        if isinstance(model, AutoregressiveForecaster):
            assert model.sample_paths(given, 4).isfinite().all()
    assert torch.equal(mixed.location, single.location)
    assert_close(Gaussian().mean(mixed), Gaussian().mean(single), rtol=0.05, atol=0.05)


def test_a_forecast_of_segments_moves_with_the_window() -> None:
    model = build(SegmentForecaster, scaling="standard")
    given = inputs()
    first, second = model(given), model(given._replace(past=100 + 7 * given.past))
    assert_close(first.raw, second.raw, rtol=1e-3, atol=1e-4)
    assert_close(100 + 7 * first.location, second.location, rtol=1e-4, atol=1e-3)
    assert_close(7 * first.scale, second.scale, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [DirectForecaster, AutoregressiveForecaster])
def test_what_scaling_takes_from_a_window_is_read_beside_its_values(kind: type[Forecaster]) -> None:
    model = build(kind, scaling="standard", hidden_size=16)
    given, targets = inputs(), torch.randn(3, 5, 2)
    moved = given._replace(past=100 + 7 * given.past)
    first, second = of_horizon(model, given, targets, None), of_horizon(model, moved, 100 + 7 * targets, None)
    assert_close(100 + 7 * first.location, second.location, rtol=1e-4, atol=1e-3)
    assert not torch.allclose(first.raw, second.raw, rtol=1e-2)


@pytest.mark.parametrize("kind", [DirectForecaster, SegmentForecaster])
def test_the_linear_part_is_a_sum_over_the_last_steps_of_each_row(kind: type[Forecaster]) -> None:
    model = build(kind, linear=4, scaling="none")
    lengths = torch.tensor([12, 6, 3])
    past_BTC = torch.randn(3, 12, 2).masked_fill((torch.arange(12) >= lengths[:, None])[..., None], torch.nan)
    given = ForecastInputs.of(past_BTC, horizon=5)
    before = model(given, lengths=lengths).raw
    weight_HN = torch.nn.init.normal_(model.linear.weight)  # type: ignore[union-attr, arg-type]
    added = model(given, lengths=lengths).raw - before
    expected = torch.zeros(3, 5, 2)
    for row, steps in enumerate(lengths.tolist()):
        for h in range(5):
            for back in range(1, min(4, steps) + 1):
                expected[row, h] += weight_HN[h, 4 - back] * past_BTC[row, steps - back]
    assert_close(added[..., 0], expected, rtol=1e-4, atol=1e-5)
    assert (added[..., 1] == 0).all()


@pytest.mark.parametrize("lags", [[1], [1, 2, 5]])
def test_teacher_forcing_is_one_step_at_a_time_given_the_true_values(lags: list[int]) -> None:
    """Sampling is replaced by the truth: each step of the loop must then foresee what teacher forcing foresaw."""
    model = build(AutoregressiveForecaster, LSTMCell, lags=lags, num_layers=2, **SIZES)
    given, targets = inputs(covariates=True), torch.randn(3, 5, 2)
    lengths = torch.tensor([12, 8, 6])
    given = ForecastInputs(
        *(torch.cat(f) for f in zip(*(cut(given, b, n, 12) for b, n in enumerate(lengths.tolist())), strict=True))
    )
    expected, _ = model.teacher_forced_horizon(given, targets, lengths=lengths)

    class Truth(Gaussian):
        def __init__(self) -> None:
            self.seen: list[Parameters] = []

        def sample(self, parameters: Parameters, samples: int, generator: torch.Generator | None = None) -> Tensor:
            self.seen.append(parameters)
            return targets[:, len(self.seen) - 1].repeat(2, 1)[None, :, None]

    model.output = truth = Truth()
    paths_SBHC = model.sample_paths(given, 2, lengths=lengths)
    assert_close(paths_SBHC, targets.expand(2, -1, -1, -1))
    for h, parameters in enumerate(truth.seen):
        for half in parameters.raw.chunk(2):
            assert_close(half[:, 0], expected.raw[:, h], rtol=1e-4, atol=1e-5)


def test_teaching_counts_the_steps_whose_lags_lie_in_the_window_and_the_whole_horizon() -> None:
    model = build(AutoregressiveForecaster, lags=[1, 4])
    given = inputs()._replace(past=torch.randn(3, 12, 2))
    lengths = torch.tensor([12, 6, 2])
    given = given._replace(past=given.past.masked_fill((torch.arange(12) >= lengths[:, None])[..., None], torch.nan))
    future = torch.randn(3, 5, 2)
    _, values = model.teacher_forced(given, future, lengths=lengths)
    for row, steps in enumerate(lengths.tolist()):
        series = torch.cat([given.past[row, :steps], future[row]])
        first = min(4, steps)
        assert torch.equal(values[row, first : steps + 5], series[first:])
        assert values[row, :first].isnan().all()
        assert values[row, steps + 5 :].isnan().all()


def test_no_step_sees_its_own_value_or_later_ones() -> None:
    model = build(AutoregressiveForecaster, lags=[1, 3], scaling="none")
    given, future = inputs()._replace(past=torch.randn(3, 12, 2)), torch.randn(3, 5, 2)
    first = model.teacher_forced_horizon(given, future)[0].raw
    changed = future.clone()
    changed[:, 2:] += 10
    second = model.teacher_forced_horizon(given, changed)[0].raw
    assert torch.equal(first[:, :3], second[:, :3])
    assert not torch.allclose(first[:, 3], second[:, 3])


def test_paths_come_again_with_the_seed_and_spread_as_the_output_says() -> None:
    model = build(AutoregressiveForecaster)
    given = inputs()
    draws = [model.sample_paths(given, 3000, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    parameters, _ = model.teacher_forced_horizon(given, torch.zeros(3, 5, 2))
    first = parameters._replace(raw=parameters.raw[:, :1])  # the first step depends on no path
    low_BNC, high_BNC = Gaussian().quantiles(first, [0.1, 0.9])
    within = ((draws[2][:, :, :1] > low_BNC) & (draws[2][:, :, :1] < high_BNC)).float().mean(0)
    assert_close(within, torch.full_like(within, 0.8), atol=0.04, rtol=0)


@pytest.mark.parametrize("lengths", [None, [12, 6, 2]])
def test_an_autoregressive_model_that_is_called_draws_nothing_and_goes_on_from_its_means(
    lengths: list[int] | None,
) -> None:
    model = build(AutoregressiveForecaster, lags=[1, 3])
    given, lengths_B = inputs(), None if lengths is None else torch.tensor(lengths)
    if lengths_B is not None:
        padding = (torch.arange(12) >= lengths_B[:, None])[..., None]
        given = given._replace(past=given.past.masked_fill(padding, torch.nan))
    before = torch.get_rng_state()
    found = model(given, lengths=lengths_B)
    assert torch.equal(torch.get_rng_state(), before)
    means_BHC = model.output.mean(found)
    taught, _ = model.teacher_forced_horizon(given, means_BHC.detach(), lengths=lengths_B)
    assert_close(found.raw, taught.raw, rtol=1e-4, atol=1e-5)
    found.raw.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_channels_of_a_segment_forecaster_trade_places_with_their_embeddings() -> None:
    model = build(SegmentForecaster, LSTMCell)
    given = inputs()
    first = model(given).raw
    with torch.no_grad():
        model.channel_embedding.copy_(model.channel_embedding.flip(0).clone())  # type: ignore[operator, union-attr]
    second = model(given._replace(past=given.past.flip(2))).raw
    assert_close(second.flip(2), first)


def test_a_segment_forecaster_is_a_torch_gru_over_segments() -> None:
    """The same weights in torch.nn.GRU, one channel at a time, each segment of the horizon by itself."""
    model = build(SegmentForecaster, GRUCell, output=Point(), horizon=7)
    gru = model.rnn.to_torch()  # type: ignore[operator, union-attr]
    past_BTC = torch.randn(3, 12, 2)
    found = model(ForecastInputs.of(past_BTC, horizon=7))
    for c in range(2):
        z_BT = past_BTC[..., c] - past_BTC[:, -1:, c]
        _, h = gru(torch.relu(model.embedding(z_BT.view(3, 3, 4))))
        parts = []
        for m in range(2):
            query = torch.cat([model.positions[m], model.channel_embedding[c]])  # type: ignore[index]
            y, _ = gru(query.expand(3, 1, -1), h)
            parts.append(model.decoding(y[:, 0]))
        assert_close(found.raw[:, :, c, 0], torch.cat(parts, 1)[:, :7])
        assert torch.equal(found.location[:, c], past_BTC[:, -1, c])


def test_a_time_gap_reaches_the_cell_that_reads_it() -> None:
    from functools import partial

    for kind in (DirectForecaster, AutoregressiveForecaster):
        model = build(kind, partial(CfCCell, elapsed_time=True, backbone_size=8), num_layers=1)
        given, targets = inputs(), torch.randn(3, 5, 2)
        slower = given._replace(time_deltas=3 * given.time_deltas)
        gaps = [of_horizon(model, each, targets, None).raw for each in (given, slower)]
        assert not torch.allclose(*gaps)
        weights = model.rnn.cell_at(0).weight_ih  # type: ignore[union-attr, operator]
        assert weights.shape[1] == model.rnn.cell_at(0).input_size - 1  # type: ignore[union-attr, operator]


REFUSED = [
    (DirectForecaster, {"linear": 13}, r"model.linear: expected 0 to 12.*got 13"),
    (DirectForecaster, {"hidden_size": 0}, "model.hidden_size: expected 1 or more"),
    (DirectForecaster, {"dropout": 1.0}, "model.dropout"),
    (DirectForecaster, {"scaling": "max"}, "model.scaling"),
    (AutoregressiveForecaster, {"lags": [2]}, r"model.lags: .*got \[2\]"),
    (AutoregressiveForecaster, {"lags": [1, 12]}, r"below data.context=12"),
    (
        AutoregressiveForecaster,
        {"past_covariates": 1},
        "covariates that are known for .*1 known for the past",
    ),
    (AutoregressiveForecaster, {"output": Quantiles()}, "output=student_t"),
    (SegmentForecaster, {"hidden_size": 9}, "model.hidden_size: expected an even number"),
    (SegmentForecaster, {"past_covariates": 2, "future_covariates": 2}, "model=direct_forecaster"),
    (SegmentForecaster, {"segment": 0}, "model.segment"),
]


@pytest.mark.parametrize(("kind", "options", "message"), REFUSED)
def test_what_makes_no_sense_is_refused(kind: type[Forecaster], options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(kind, **options)  # type: ignore[arg-type]
