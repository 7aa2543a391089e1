"""Forecasts and their metrics for values of any size and level, against exact fractions of the values of the file."""

import functools
import json
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from rnnkit.batch import ForecastInputs
from rnnkit.cells import GRUCell
from rnnkit.cli import run
from rnnkit.data import ForecastData
from rnnkit.errors import UserError
from rnnkit.models import DirectForecaster
from rnnkit.models.forecasting import Forecaster, Parameters
from rnnkit.models.forecasting.distributions import Gaussian, NegativeBinomial, Output, Point, Quantiles, StudentT
from rnnkit.tasks import Forecasting
from rnnkit.tasks.baselines import seasonal_naive
from rnnkit.tasks.metrics.forecasts import ForecastMetrics, error_terms
from rnnkit.tasks.metrics.mean import Mean
from rnnkit.tasks.metrics.table import shown
from rnnkit.training.report.forecasts import ForecastFigure

SGD = functools.partial(torch.optim.SGD, lr=0.1)
HORIZON, SEASON = 3, 5


class LastValue(Forecaster):
    """The last value of a channel, with whatever spread the output makes of zeros."""

    def __init__(self, output: Output, scaling: str = "last") -> None:
        super().__init__(output, 1, HORIZON, scaling)

    def forward(self, inputs: ForecastInputs, *, lengths: Tensor | None = None) -> Parameters:
        location_BC, scale_BC = self.scaling(inputs.past)
        raw_BHCP = torch.zeros(len(location_BC), self.horizon, 1, self.output.size)
        return Parameters(raw_BHCP, location_BC, scale_BC)


def prepared(x: NDArray[np.float64], **options: object) -> ForecastData:
    data = ForecastData(
        generator=lambda: {"x": x[:, None]},
        context=8,
        horizon=HORIZON,
        times={"season": SEASON},
        eval_batch_size=7,
        **options,
    )  # type: ignore[arg-type]
    data.setup()
    return data


def figures_of(data: ForecastData, output: Output, scaling: str = "last", **options: object) -> dict[str, float]:
    task = Forecasting(LastValue(output, scaling), SGD, **{**data.task_kwargs, **options})  # type: ignore[arg-type]
    for batch in data.loader("test"):
        task.update_metrics(batch, "test")
    return task.compute_metrics("test")


def by_fractions(
    x: Sequence[float], origins: Sequence[int], before: int, forecast: Callable[[int, int], float]
) -> dict[str, float]:
    """The metrics of point forecasts, from their definitions, without rounding."""
    exact = [Fraction(value) for value in x]
    apart = [abs(exact[t] - exact[t - SEASON]) for t in range(SEASON, before)]
    seasonal = sum(apart) / len(apart)
    pairs = [(exact[o + h], Fraction(forecast(o, h))) for o in origins for h in range(HORIZON)]
    errors = [forecast - truth for truth, forecast in pairs]
    mean = sum(truth for truth, _ in pairs) / len(pairs)
    squared, spread = sum(e * e for e in errors), sum((truth - mean) ** 2 for truth, _ in pairs)
    sizes = [abs(truth) + abs(forecast) for truth, forecast in pairs]
    n = len(pairs)
    return {
        "mse": float(squared / n),
        "mae": float(sum(map(abs, errors)) / n),
        "smape": float(sum(200 * abs(e) / size if size else 0 for e, size in zip(errors, sizes, strict=True)) / n),
        "mase": float(sum(map(abs, errors)) / n / seasonal) if seasonal else math.nan,
        "rse": math.sqrt(squared / spread) if spread else math.nan,
    }


SHAPES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "sine": np.sin,
    "walk": lambda t: np.random.default_rng(0).normal(size=len(t)).cumsum(),
    "outlier in training": lambda t: np.where(t == 30, 1e9, np.sin(t)),
    "outlier in the test split": lambda t: np.where(t == 95, 1e20, np.sin(t)),
    "zeros and values": lambda t: np.where(t % 7 < 3, 0.0, np.sin(t)),
    "a step up": lambda t: np.sin(t) + np.where(t > 50, 1e7, 0),
}


@settings(deadline=None, max_examples=25)
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    level=st.sampled_from([0.0, 1e8, -1e8, 1e12, 1e15]),
    exponent=st.sampled_from([-30, -12, 0, 10, 14]),
    scaling=st.sampled_from(["standard", "robust"]),
)
def test_metrics_are_those_of_the_values_of_the_file(shape: str, level: float, exponent: int, scaling: str) -> None:
    x = (level + SHAPES[shape](np.arange(100.0))) * 10.0**exponent
    data = prepared(x, scaling=scaling)
    origins = data.splits["test"].origins.tolist()  # type: ignore[attr-defined]
    found = figures_of(data, Point("mae"))
    expected = by_fractions(x.tolist(), origins, 85, lambda origin, _: x[origin - 1])
    for name, value in expected.items():
        # a value of the file is a multiple of the last place of the largest one beside it
        assert found[name] == pytest.approx(value, rel=1e-5, nan_ok=True), name
    assert found["loss"] == pytest.approx(
        expected["mae"] / float(next(iter(data.loader("test"))).extra.scale[0, 0]), rel=1e-5
    )


@pytest.mark.parametrize(("level", "unit"), [(1e8, 1.0), (1e15, 4.0), (0.0, 1e-30), (0.0, 1e30), (1.0, 1e-9)])
def test_baselines_have_the_errors_of_the_values_of_the_file(level: float, unit: float) -> None:
    x = level + unit * np.random.default_rng(1).normal(size=100)
    data = prepared(x)
    task = Forecasting(LastValue(Point()), SGD, **data.task_kwargs)
    for batch in data.loader("test"):
        task.update_metrics(batch, "test")
        naive = seasonal_naive(batch.inputs, HORIZON, SEASON, batch.lengths)
        assert naive.dtype == torch.float64
    named = {name: figures.named() for name, figures in task.baselines.items()}
    origins = data.splits["test"].origins.tolist()  # type: ignore[attr-defined]
    for name, forecast in {
        "last value": lambda origin, _: x[origin - 1],
        "seasonal naive": lambda origin, ahead: x[origin + ahead - SEASON],
    }.items():
        expected = by_fractions(x.tolist(), origins, 85, forecast)
        for figure, value in expected.items():
            assert named[name][figure] == pytest.approx(value, rel=1e-6), (name, figure)


def test_a_value_beside_which_the_others_are_the_same_is_refused_with_a_scaling_that_works() -> None:
    x = np.where(np.arange(100) == 30, 1e30, np.sin(np.arange(100.0)))
    with pytest.raises(UserError, match=r"remain distinct.*got 1e\+30 of series x.*Try: data\.scaling=robust"):
        prepared(x)
    found = figures_of(prepared(x, scaling="robust"), Point())
    origins = list(range(85, 98))
    assert found["mae"] == pytest.approx(by_fractions(x.tolist(), origins, 85, lambda o, _: x[o - 1])["mae"], rel=1e-9)


def test_values_beyond_single_precision_after_scaling_are_refused() -> None:
    x = 1e-30 * np.sin(np.arange(100.0))
    x[95] = 1e15
    with pytest.raises(UserError, match=r"data\.scaling: .*got 1e\+15 at step 96 of series x"):
        prepared(x)


@pytest.mark.parametrize(("level", "unit"), [(1e8, 1.0), (1e15, 8.0), (0.0, 1e-30), (0.0, 1e30)])
@pytest.mark.parametrize("scaling", ["standard", "last", "robust", "reversible"])
def test_forecasts_and_intervals_are_float64_in_the_units_of_the_file(scaling: str, level: float, unit: float) -> None:
    """A trained network sees the same numbers at every level, so it says the same, moved and stretched."""
    x = np.sin(np.arange(100.0))
    torch.manual_seed(0)
    model = DirectForecaster(
        GRUCell, Gaussian(), channels=1, horizon=HORIZON, context=8, scaling=scaling, hidden_size=4
    )
    found = []
    for m, s in ((0.0, 1.0), (level, unit)):
        data = prepared(m + s * x)
        batch = next(iter(data.loader("test")))
        mean, quantiles = Forecasting(model, SGD, **data.task_kwargs).forecast(batch, [0.1, 0.9])
        assert quantiles is not None
        assert mean.dtype == quantiles.dtype == torch.float64
        assert (quantiles[0] < mean).all()
        assert (mean < quantiles[1]).all()
        found.append(torch.cat([mean[None], quantiles]))
        subplots = ForecastFigure()._subplots(Forecasting(model, SGD, **data.task_kwargs), batch)
        end = int(batch.extra.origin[0])
        np.testing.assert_allclose(subplots[0].past, (m + s * x)[end - len(subplots[0].past) : end], rtol=1e-15)
    plain, moved = found
    resolution = 1e-5 + np.spacing(level) / unit
    torch.testing.assert_close((moved - level) / unit, plain, rtol=0, atol=resolution)


def exact_z(location: float, scale: float, x: float) -> float:
    return float((Fraction(x) - Fraction(location)) / Fraction(scale))


@settings(deadline=None, max_examples=60)
@given(
    location=st.sampled_from([0.0, 1e8, -1e12, 1e15]),
    exponent=st.integers(-30, 30),
    r=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    away=st.floats(-1e3, 1e3),
)
def test_likelihoods_and_scores_in_any_unit(location: float, exponent: int, r: list[float], away: float) -> None:
    """The density of m + s z is that of z over s; scores are in units of s."""
    scale = 10.0**exponent
    x = location + scale * away
    z = exact_z(location, scale, x)
    if abs(z) > 1e15:
        return  # the level is all that there is
    given_ = [torch.tensor([[value]], dtype=torch.float64) for value in (location, scale)]
    target = torch.tensor([[[x]]], dtype=torch.float64)

    def loss(output: Output, dtype: torch.dtype) -> float:
        raw = torch.tensor(r[: output.size], dtype=torch.float64).to(dtype).view(1, 1, 1, -1)
        return float(output.loss(Parameters(raw, *given_), target))

    def spread(value: float) -> float:
        return float(softplus(torch.tensor(value, dtype=torch.float64))) + 1e-3

    distance, nu = (z - r[0]) / spread(r[1]), 2 + spread(r[2]) - 1e-3
    expected = {
        Gaussian(): 0.5 * distance**2 + math.log(spread(r[1])) + math.log(scale) + 0.5 * math.log(2 * math.pi),
        StudentT(): (nu + 1) / 2 * math.log1p(distance**2 / nu)
        + math.log(spread(r[1]))
        + math.log(scale)
        + 0.5 * math.log(nu * math.pi)
        + math.lgamma(nu / 2)
        - math.lgamma((nu + 1) / 2),
        Point("mae"): scale * abs(z - r[0]),
        Point("mse"): (scale * (z - r[0])) ** 2,
        Quantiles([0.1, 0.5, 0.9]): scale
        * 2
        / 3
        * sum(max(q * (z - value), (q - 1) * (z - value)) for q, value in zip((0.1, 0.5, 0.9), r, strict=True)),
    }
    for output, value in expected.items():
        least = 1e-7 * (scale**2 if isinstance(output, Point) and output.error == "mse" else scale)
        assert loss(output, torch.float64) == pytest.approx(value, rel=1e-7, abs=least), type(output)
    assert loss(Gaussian(), torch.float32) == pytest.approx(expected[next(iter(expected))], rel=1e-3, abs=1e-2)


@pytest.mark.parametrize("count", [0.0, 7.0, 1e4, 1e6, 1e9])
def test_the_likelihood_of_large_counts_is_computed_in_float64(count: float) -> None:
    """Against sums of logarithms, as far as they can be added up, else the gamma function in float64."""
    raw = torch.tensor([0.3, -0.2]).view(1, 1, 1, 2)
    one = torch.ones(1, 1, dtype=torch.float64)
    scale = max(count, 1.0)
    loss = float(NegativeBinomial().loss(Parameters(raw, 0 * one, scale * one), torch.tensor([[[count]]]).double()))
    mean, alpha = ((float(softplus(raw[..., i].double())) + 1e-4) for i in (0, 1))
    mean, shape = scale * mean, math.sqrt(scale) / alpha
    if count <= 1e6:
        choices = math.fsum(math.log((k + shape) / (k + 1)) for k in range(int(count)))
    else:
        choices = math.lgamma(count + shape) - math.lgamma(count + 1) - math.lgamma(shape)
    expected = -choices + shape * math.log1p(mean / shape) + count * math.log1p(shape / mean)
    assert loss == pytest.approx(expected, rel=1e-6, abs=1e-4)


def test_intervals_cover_at_a_level_that_single_precision_does_not_resolve() -> None:
    x = 1e8 + np.random.default_rng(2).normal(size=100)
    plain, high = (figures_of(prepared(values), Gaussian(), "standard") for values in (x - 1e8, x))
    assert 0.3 < plain["coverage80"] < 1
    for name in ("coverage80", "coverage95", "crps", "loss"):
        assert high[name] == pytest.approx(plain[name], rel=1e-5)


class NotANumber(LastValue):
    """Forecasts NaN for the first window."""

    def forward(self, inputs: ForecastInputs, *, lengths: Tensor | None = None) -> Parameters:
        parameters = super().forward(inputs, lengths=lengths)
        parameters.raw[0] = torch.nan
        return parameters


def test_forecasts_that_are_not_numbers_are_not_left_out_of_the_metrics() -> None:
    data = prepared(np.sin(np.arange(100.0)))
    task = Forecasting(NotANumber(Gaussian()), SGD, **data.task_kwargs)
    for batch in data.loader("test"):
        task.update_metrics(batch, "test")
    found = task.compute_metrics("test")
    assert all(math.isnan(found[name]) for name in ("loss", "mse", "mae", "smape", "mase", "rse", "crps"))


def test_what_a_constant_series_leaves_undefined_is_nan_and_the_rest_is_right() -> None:
    found = figures_of(prepared(np.full(100, 0.1)), Point())
    assert {name: found[name] for name in ("mse", "mae", "smape", "loss")} == dict.fromkeys(
        ("mse", "mae", "smape", "loss"), 0
    )
    assert all(math.isnan(found[name]) for name in ("mase", "rse", "nrmse3"))
    assert "crps" not in found  # a point has none


def test_the_moments_of_many_batches_are_those_of_all_values() -> None:
    """2 million values at a level of 1e8, in batches of many sizes."""
    generator = torch.Generator().manual_seed(0)
    figures = ForecastMetrics(horizon=2)
    zero, one = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    seen = []
    for size in (1, 500_000, 3, 250_000, 17, 250_000):
        truth = 1e8 + torch.randn(size, 2, 1, dtype=torch.float64, generator=generator)
        units = [x.expand(size, 1) for x in (zero, one, one)]
        figures.update(*error_terms(truth + 0.5, truth + 0.5, truth, *units))
        seen.append(truth)
    every = torch.cat(seen)
    assert figures.named()["rse"] == pytest.approx(0.5 / float(every.std(correction=0)), rel=1e-7)
    assert figures.named()["nrmse2"] == pytest.approx(0.5 / float(every[:, 1].std(correction=0)), rel=1e-7)


def test_a_mean_over_many_batches_is_summed_in_float64_and_hides_nothing() -> None:
    mean = Mean()
    values = np.random.default_rng(0).uniform(0.5, 1.5, 5_000).astype(np.float32)
    for value in values:
        mean.update(torch.tensor(value), 6144)
    assert float(mean.compute()) == pytest.approx(math.fsum(values.tolist()) / len(values), rel=1e-12)
    mean.update(torch.tensor(math.nan), 0)  # a batch without a known target
    assert math.isfinite(float(mean.compute()))
    mean.update(torch.tensor(math.nan), 1)
    assert math.isnan(float(mean.compute()))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (17_077_555_200.0, "1.70776e+10"),
        (123_456.7, "123,457"),
        (99_999.96, "100,000"),
        (1234.5678, "1,234.57"),
        (0.5, "0.5000"),
        (-12.3456789, "-12.3457"),
        (1e-30, "1.000e-30"),
        (0.0, "0.0000"),
        (math.nan, "-"),
        (math.inf, "inf"),
        (1_234_567, "1,234,567"),
    ],
)
def test_numbers_for_people_have_six_significant_digits(value: float, expected: str) -> None:
    assert shown(value) == expected


def trained(folder: Path, x: NDArray[np.float64], *overrides: str) -> Path:
    dates = np.datetime64("2024-01-01") + np.arange(len(x))
    file = folder / "x.csv"
    file.write_text("date,v\n" + "".join(f"{date},{value!r}\n" for date, value in zip(dates, x.tolist(), strict=True)))
    settings_ = ["task=forecasting", "data=series", f"data.path={file}", "data.context=14", "data.horizon=7"]
    settings_ += ["model.hidden_size=4", "trainer.max_epochs=1", "callbacks.forecasts.windows=0", *overrides]
    assert run(["train", *settings_, f"run_dir={folder / 'run'}"]) == 0
    return folder / "run"


def strictly(text: str) -> dict[str, float | None]:
    found: dict[str, float | None] = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return found


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_run_at_a_level_of_1e8_reports_the_errors_of_its_forecasts(
    precision: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = 1e8 + np.random.default_rng(3).normal(size=200)
    folder = trained(tmp_path, x, f"trainer.precision={precision}")
    validated = strictly((folder / "summary.json").read_text())["val/mae"]
    assert validated == pytest.approx(np.abs(x[140:170] - x.mean()).mean(), rel=0.3)
    capsys.readouterr()
    assert run(["evaluate", str(folder), "--json"]) == 0
    figures = strictly(capsys.readouterr().out)
    # what predict says after each origin of the test split, beside what came
    errors = []
    for origin in range(170, 194):
        lines = (tmp_path / "x.csv").read_text().splitlines()[: origin + 1]
        (tmp_path / "past.csv").write_text("\n".join(lines) + "\n")
        if origin in (170, 193):
            assert run(["predict", str(folder), "--input", str(tmp_path / "past.csv")]) == 0
            rows = [strictly(line) for line in capsys.readouterr().out.splitlines()]
            assert all(1e-3 < row["q0.9"] - row["q0.1"] < 10 for row in rows)  # type: ignore[operator]
            errors += [abs(row["mean"] - x[origin + ahead]) for ahead, row in enumerate(rows)]  # type: ignore[operator]
    assert figures["mae"] == pytest.approx(np.mean(errors), rel=0.8)
    assert figures["mse"] == pytest.approx(1, rel=0.5)


def test_evaluate_says_null_and_why_for_what_is_undefined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained(tmp_path, np.full(120, 5.0))
    strictly((folder / "summary.json").read_text())
    capsys.readouterr()
    assert run(["evaluate", str(folder), "--json"]) == 0
    shown_ = capsys.readouterr()
    figures = strictly(shown_.out)
    assert [name for name, value in figures.items() if value is None] == ["mase", "rse", "nrmse7"]
    assert "rnnkit: mase is null: no two training values a season apart differ" in shown_.err
    assert run(["evaluate", str(folder)]) == 0
    assert "-  (the targets do not differ" in capsys.readouterr().out
