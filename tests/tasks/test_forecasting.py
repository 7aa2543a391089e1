"""The forecasting task: figures against torchmetrics, hand-worked and published numbers; whole runs."""

import csv
import functools
import json
import math
import os
import re
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
import torchmetrics.functional as reference
from torch import Tensor, nn
from torch.testing import assert_close

from rnnkit.batch import ForecastExtra, ForecastInputs, SequenceBatch
from rnnkit.cells import GRUCell
from rnnkit.cli import run
from rnnkit.data import ForecastData
from rnnkit.errors import UserError
from rnnkit.models import AutoregressiveForecaster, DirectForecaster
from rnnkit.models.forecasting import Forecaster, Parameters
from rnnkit.models.forecasting.distributions import Gaussian, Output, Point
from rnnkit.tasks import Forecasting
from rnnkit.training import ForecastFigure, Run

SGD = functools.partial(torch.optim.SGD, lr=0.1)
needs_data = pytest.mark.skipif(
    "RNNKIT_DATA" not in os.environ, reason="set RNNKIT_DATA to a folder that holds the data sets"
)


class Given(Forecaster):
    """Says what it was told to say, batch after batch."""

    def __init__(self, output: Output, said: Sequence[Tensor]) -> None:
        super().__init__(output, said[0].shape[2], said[0].shape[1], "none")
        self.said, self.batch = list(said), 0
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, inputs: ForecastInputs, *, lengths: Tensor | None = None) -> Parameters:
        raw_BHCP = self.weight * self.said[self.batch]
        self.batch += 1
        return Parameters(raw_BHCP, *self.scaling(inputs.past))


class LastValue(Forecaster):
    """The last value of a channel, as `last` scaling makes it."""

    def __init__(self, channels: int, horizon: int) -> None:
        super().__init__(Point(), channels, horizon, "last")

    def forward(self, inputs: ForecastInputs, *, lengths: Tensor | None = None) -> Parameters:
        location_BC, scale_BC = self.scaling(inputs.past)
        raw_BHCP = location_BC.new_zeros(len(location_BC), self.horizon, self.channels, 1)
        return Parameters(raw_BHCP, location_BC, scale_BC)


def windows(lanes: int, horizon: int = 4, channels: int = 2) -> SequenceBatch:
    """Values whose file units are 10 + 3 x in one channel and -5 + 0.5 x in the other; a tenth is missing."""
    inputs = ForecastInputs.of(torch.randn(lanes, 9, channels), horizon=horizon)
    extra = ForecastExtra(
        location=torch.tensor([10.0, -5.0]).expand(lanes, -1)[:, :channels],
        scale=torch.tensor([3.0, 0.5]).expand(lanes, -1)[:, :channels],
        origin=torch.full((lanes,), 9),
        seasonal_error=torch.rand(lanes, channels) + 0.1,
    )
    targets = torch.randn(lanes, horizon, channels)
    return SequenceBatch(inputs, targets.masked_fill(torch.rand_like(targets) < 0.1, torch.nan), extra=extra)


def in_file(values_BHC: Tensor, batch: SequenceBatch) -> Tensor:
    return batch.extra.location[:, None] + batch.extra.scale[:, None] * values_BHC


@pytest.mark.parametrize("units", ["file", "scaled"])
def test_the_figures_are_those_of_torchmetrics_over_all_known_values(units: str) -> None:
    batches = [windows(5), windows(3)]
    said = [torch.randn(len(batch.targets), 4, 2, 1) for batch in batches]
    task = Forecasting(Given(Point("mae"), said), SGD, units=units)
    for batch in batches:
        task.update_metrics(batch, "val")
    figures = task.compute_metrics("val")

    known = torch.cat([~batch.targets.isnan() for batch in batches])
    plain = [torch.cat([x[..., 0] for x in said])[known], torch.cat([b.targets for b in batches])[known]]
    filed = [torch.cat([in_file(x[..., 0], b) for x, b in zip(said, batches, strict=True)])[known]]
    filed.append(torch.cat([in_file(b.targets, b) for b in batches])[known])
    forecast, truth = plain if units == "scaled" else filed
    assert figures["mse"] == pytest.approx(reference.mean_squared_error(forecast, truth).item(), rel=1e-5)
    assert figures["mae"] == pytest.approx(reference.mean_absolute_error(forecast, truth).item(), rel=1e-5)
    smape = reference.symmetric_mean_absolute_percentage_error(*filed)
    assert figures["smape"] == pytest.approx(100 * smape.item(), rel=1e-5)
    rse = reference.relative_squared_error(forecast, truth, squared=False)
    assert figures["rse"] == pytest.approx(rse.item(), rel=1e-4)
    blank = torch.full(known.shape, math.nan)
    last, last_truth = (blank.masked_scatter(known, x)[:, -1][known[:, -1]] for x in (forecast, truth))
    rse = reference.relative_squared_error(last, last_truth, squared=False)
    assert figures["nrmse4"] == pytest.approx(rse.item(), rel=1e-4)
    seasonal = torch.cat([b.extra.seasonal_error for b in batches])[:, None].expand(-1, 4, -1)[known]
    assert figures["mase"] == pytest.approx(((plain[0] - plain[1]).abs() / seasonal).mean().item(), rel=1e-5)
    assert figures["loss"] == pytest.approx((plain[0] - plain[1]).abs().mean().item(), rel=1e-5)
    assert "crps" not in figures


def test_mase_smape_and_owa_by_hand() -> None:
    """Training values 1, 2, 4: they differ by 1.5 on average. Forecast 5, 5 for 4, 10."""
    inputs = ForecastInputs.of(torch.tensor([1.0, 2.0, 4.0]).view(1, 3, 1), horizon=2)
    extra = ForecastExtra.of(inputs.past)._replace(seasonal_error=torch.tensor([[1.5]]))
    batch = SequenceBatch(inputs, torch.tensor([4.0, 10.0]).view(1, 2, 1), extra=extra)
    said = torch.full((1, 2, 1, 1), 5.0)
    task = Forecasting(Given(Point(), [said]), SGD, naive2={"smape": 50.0, "mase": 4.0})
    task.update_metrics(batch, "val")
    figures = task.compute_metrics("val")
    assert figures["mase"] == pytest.approx((1 / 1.5 + 5 / 1.5) / 2)  # 2
    assert figures["smape"] == pytest.approx((200 * 1 / 9 + 200 * 5 / 15) / 2)
    assert figures["owa"] == pytest.approx((figures["smape"] / 50 + 2 / 4) / 2)
    assert figures["mse"] == 13
    assert figures["rse"] == pytest.approx(math.sqrt(26 / 18))


def test_a_constant_series_does_not_count_for_mase_and_zeros_cost_no_percentage() -> None:
    inputs = ForecastInputs.of(torch.zeros(2, 3, 1), horizon=1)
    extra = ForecastExtra.of(inputs.past)._replace(seasonal_error=torch.tensor([[0.0], [2.0]]))
    task = Forecasting(Given(Point(), [torch.tensor([0.0, 3.0]).view(2, 1, 1, 1)]), SGD)
    task.update_metrics(SequenceBatch(inputs, torch.tensor([0.0, 2.0]).view(2, 1, 1), extra=extra), "val")
    figures = task.compute_metrics("val")
    assert figures["mase"] == 0.5
    assert figures["smape"] == pytest.approx(20)


def test_intervals_of_the_true_distribution_cover_what_they_say_and_score_what_they_must() -> None:
    """Values drawn from the distribution that is said: CRPS is then sigma / sqrt(pi), in the units of the file."""
    batch = windows(4000, horizon=3)
    mean, deviation = torch.randn(4000, 3, 2), 0.5 + torch.rand(4000, 3, 2)
    batch = batch._replace(targets=mean + deviation * torch.randn(4000, 3, 2))
    raw = torch.stack([mean, (deviation - 1e-3).expm1().log()], -1)
    task = Forecasting(Given(Gaussian(), [raw]), SGD)
    task.update_metrics(batch, "val")
    figures = task.compute_metrics("val")
    assert figures["coverage80"] == pytest.approx(0.8, abs=0.01)
    assert figures["coverage95"] == pytest.approx(0.95, abs=0.006)
    expected = (deviation * torch.tensor([3.0, 0.5])).mean().item() / math.sqrt(math.pi)
    assert figures["crps"] == pytest.approx(expected, rel=0.03)


def test_missing_targets_cost_nothing_and_spoil_no_gradient() -> None:
    model = DirectForecaster(GRUCell, Gaussian(), channels=2, horizon=4, context=9, hidden_size=4)
    task = Forecasting(model, SGD)
    batch = windows(6)
    task.training_step(batch, 0).backward()
    first = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    known = ~batch.targets.isnan()
    by_hand = Gaussian().loss(model(batch.inputs), batch.targets.nan_to_num())[known].mean()
    assert_close(task.training_step(batch, 0), by_hand)
    assert all(gradient.isfinite().all() for gradient in first)
    nothing = batch._replace(targets=torch.full_like(batch.targets, torch.nan))
    assert task.training_step(nothing, 0).item() == 0


def test_an_autoregressive_model_is_measured_by_its_paths_and_by_its_likelihood() -> None:
    model = AutoregressiveForecaster(GRUCell, Gaussian(), channels=2, horizon=4, context=9, hidden_size=4).eval()
    task = Forecasting(model, SGD, samples=50, seed=3)
    batch = windows(6)
    with torch.no_grad():
        task.update_metrics(batch, "val")
        figures = task.compute_metrics("val")
        paths = model.sample_paths(batch.inputs, 50, generator=torch.Generator().manual_seed(3))
        parameters, _ = model.teacher_forced_horizon(batch.inputs, batch.targets)
    known = ~batch.targets.isnan()
    loss = Gaussian().loss(parameters, batch.targets.nan_to_num())[known].mean()
    assert figures["loss"] == pytest.approx(loss.item(), rel=1e-5)
    error = in_file(paths.mean(0), batch) - in_file(batch.targets, batch)
    assert figures["mse"] == pytest.approx(error[known].square().mean().item(), rel=1e-4)
    within = (paths.quantile(0.1, 0) <= batch.targets) & (batch.targets <= paths.quantile(0.9, 0))
    assert figures["coverage80"] == pytest.approx(within[known].float().mean().item())


def test_predictions_are_in_the_units_of_the_file() -> None:
    batch = windows(2)
    raw = torch.randn(2, 4, 2, 2)
    found = Forecasting(Given(Gaussian(), [raw]), SGD, quantiles=[0.2, 0.5]).predict(batch)
    assert_close(torch.tensor([one.mean for one in found]), in_file(raw[..., 0], batch))
    deviation = torch.nn.functional.softplus(raw[..., 1]) + 1e-3
    expected = in_file(raw[..., 0] - 0.8416212 * deviation, batch)
    assert_close(torch.tensor([one.quantiles[0.2] for one in found]), expected)
    assert list(found[0].quantiles) == [0.2, 0.5]
    assert Forecasting(Given(Point(), [raw[..., :1]]), SGD).predict(batch)[0].quantiles == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": "euro"}, "task.units: expected file or scaled; got 'euro'"),
        ({"quantiles": [0.5, 1.0]}, "task.quantiles"),
        ({"samples": 0}, "task.samples"),
        ({"naive2": {"smape": 1.0}}, "task.naive2: expected smape and mase"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Forecasting(Given(Point(), [torch.zeros(1, 1, 1, 1)]), SGD, **options)  # type: ignore[arg-type]


def over_the_test_split(data: ForecastData, **options: object) -> Forecasting:
    """A task with the last value for a model, measured over the test split."""
    data.setup("test")
    model = LastValue(data.model_kwargs["channels"], data.horizon)
    task = Forecasting(model, SGD, **{**data.task_kwargs, **options})  # type: ignore[arg-type]
    settings = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    L.Trainer(accelerator="cpu", devices=1, **settings).test(task, data.loader("test"), verbose=False)  # type: ignore[arg-type]
    return task


def rows(details: str) -> dict[str, dict[str, float]]:
    """The first table: from the forecast and the figure to the number."""
    head, *lines = details.split("\n\n")[0].splitlines()
    found = {}
    for line in lines:
        *name, numbers = re.split(r"  +", line, maxsplit=1)
        values = zip(head.split()[1:], numbers.replace(",", "").split(), strict=True)
        found[name[0]] = {key: float(value) for key, value in values if value != "-"}
    return found


@needs_data
def test_the_repeated_last_value_of_etth1_has_the_published_error() -> None:
    """Zeng et al. 2023 (arXiv:2205.13504), column Repeat, horizon 96: 1.295 and 0.713, to the rounding."""
    data = ForecastData(
        dataset="etth1",
        split={"train_steps": 8640, "valid_steps": 2880, "test_steps": 2880},
        context=96,
        horizon=96,
        windows={"eval_stride": 1},
    )
    found = rows(over_the_test_split(data, units="scaled").report())
    assert len(data.splits["test"]) == 2785
    for name in ("model", "last value"):
        assert found[name]["mse"] == pytest.approx(1.294, abs=0.0015)
        assert found[name]["mae"] == pytest.approx(0.713, abs=0.0015)


@needs_data
def test_the_seasonal_naive_forecast_of_m4_hourly_has_the_published_scores() -> None:
    """Makridakis et al. 2020, the submissions' scores: 13.912 and 1.193, and 0.628 with Naive2's 18.383 and 2.395."""
    data = ForecastData(
        dataset="m4_hourly",
        layout="rows",
        times={"frequency": "1h"},
        split={"valid_steps": 48},
        context=168,
        horizon=48,
        scaling="mean",
    )
    task = over_the_test_split(data, naive2={"smape": 18.383, "mase": 2.395})
    found = rows(task.report())["seasonal naive"]
    assert len(data.splits["test"]) == 414
    assert found["smape"] == pytest.approx(13.912, abs=0.0006)
    assert found["mase"] == pytest.approx(1.193, abs=0.0006)
    assert found["owa"] == pytest.approx((13.912 / 18.383 + 1.193 / 2.395) / 2, abs=0.0005)


def overrides(folder: Path, **settings: object) -> list[str]:
    """A short run on a sine with noise and gaps, in a file of two series with a covariate."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sales.csv"
    if not path.exists():
        generator = np.random.default_rng(0)
        lines = ["shop,day,sold,holiday"]
        for shop in ("north", "south"):
            level = np.sin(np.arange(200) * 2 * np.pi / 7) + generator.normal(0, 0.1, 200) + 5 * (shop == "south")
            start = np.datetime64("2024-01-01")
            for day, value in enumerate(level):
                shown = "" if day % 17 == 3 else f"{value:.3f}"
                lines.append(f"{shop},{start + day},{shown},{day % 7 == 0:d}")
        path.write_text("\n".join(lines) + "\n")
    values = {
        "task": "forecasting",
        "data": "series",
        "data.path": path,
        "data.id": "shop",
        "data.target": "sold",
        "data.covariates.known": "[holiday]",
        "data.context": 21,
        "data.horizon": 5,
        "data.batch_size": 16,
        "model.hidden_size": 8,
        "trainer.max_epochs": 2,
        "trainer.log_every_n_steps": 2,
        **settings,
    }
    return [f"{key}={value}" for key, value in values.items()]


KINDS = {
    "direct": {},
    "autoregressive": {
        "model": "autoregressive_forecaster",
        "model/cell": "gru",
        "model.dropout": 0.1,
        "task.samples": 8,
    },
    "segment": {
        "model": "segment_forecaster",
        "output": "point",
        "model.dropout": 0.1,
        "model.segment": 7,
        "data.covariates.known": "[]",
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_stopped_and_resumed_ends_with_the_weights_of_one_that_was_not(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = overrides(tmp_path, **{"callbacks.forecasts.windows": 0, **KINDS[kind]})
    assert run(["train", *command, f"run_dir={tmp_path / 'whole'}"]) == 0

    from rnnkit.training.report.monitor import Monitor

    original = Monitor.on_train_batch_end
    batches = 0
    whole = json.loads((tmp_path / "whole" / "summary.json").read_text())["steps"]

    def interrupting(self: Monitor, *arguments: object) -> None:
        nonlocal batches
        batches += 1
        if batches == whole // 2 + 3:  # in the middle of the second epoch
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Monitor, "on_train_batch_end", interrupting)
    with pytest.raises(SystemExit, match="130"):
        run(["train", *command, f"run_dir={tmp_path / 'stopped'}"])
    assert run(["resume", str(tmp_path / "stopped")]) == 0
    weights = [Run.open(tmp_path / name).checkpoint("last")["state_dict"] for name in ("whole", "stopped")]
    assert [name for name in weights[0] if not torch.equal(weights[0][name], weights[1][name])] == []


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forecasting")
    assert run(["train", *overrides(folder, output="student_t"), f"run_dir={folder / 'run'}"]) == 0
    return folder


def test_a_run_leaves_a_picture_and_its_figures(trained: Path) -> None:
    from matplotlib.image import imread

    picture = imread(trained / "run" / "forecasts.png")
    assert picture.shape[0] > 200
    assert picture.std() > 0.05
    summary = json.loads((trained / "run" / "summary.json").read_text())
    for name in ("loss", "mse", "mae", "smape", "mase", "rse", "nrmse5", "crps", "coverage80", "coverage95"):
        assert math.isfinite(summary[f"val/{name}"])


def test_evaluate_prints_the_baselines_beside_the_model(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(trained / "run")]) == 0
    shown = capsys.readouterr().out
    table = rows(shown.split("\n\n", 1)[1])
    assert list(table) == ["model", "last value", "seasonal naive"]
    assert {"mse", "mae", "smape", "mase", "rse"} <= table["seasonal naive"].keys()
    assert table["seasonal naive"]["mse"] < table["last value"]["mse"]
    assert "mse last value" in shown
    assert run(["evaluate", str(trained / "run"), "--data", str(trained / "sales.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["crps"] > 0


def test_predict_goes_on_behind_the_end_of_every_series(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (trained / "sales.csv").read_text().splitlines()
    future = [f"{shop},2024-07-{19 + day},,{day % 7 == 4:d}" for shop in ("north", "south") for day in range(5)]
    (trained / "now.csv").write_text("\n".join([*text, *future]) + "\n")
    files = ["--input", str(trained / "now.csv"), "--output", str(trained / "out.csv")]
    assert run(["predict", str(trained / "run"), *files]) == 0
    with (trained / "out.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["time"] for row in found] == [f"2024-07-{19 + day}" for day in range(5)] * 2
    assert {row["id"] for row in found} == {"north", "south"}
    assert all(float(row["q0.1"]) <= float(row["q0.5"]) <= float(row["q0.9"]) for row in found)
    levels = {shop: np.mean([float(row["mean"]) for row in found if row["id"] == shop]) for shop in ("north", "south")}
    assert levels["south"] - levels["north"] == pytest.approx(5, abs=1.5)


def test_without_matplotlib_there_is_one_warning_that_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert run(["train", *overrides(tmp_path), f"run_dir={tmp_path / 'run'}"]) == 0
    assert len([w for w in seen if "rnnkit[viz]" in str(w.message)]) == 1
    assert not (tmp_path / "run" / "forecasts.png").exists()
    assert ForecastFigure().windows > 0
