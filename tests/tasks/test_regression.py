"""The task of numbers and curves: its loss and figures by hand, and one run through the command line."""

import functools
import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from rnnkit.batch import SequenceBatch
from rnnkit.cli import run
from rnnkit.errors import UserError
from rnnkit.predictions import CurvePrediction, NumberPrediction
from rnnkit.tasks import Regression
from rnnkit.training import Run

SGD = functools.partial(torch.optim.SGD, lr=0.5)
NAN = math.nan


class Given(nn.Module):
    """A model that answers what it is given: a number a sequence [B, 1], or a curve [B, T, 1]."""

    def __init__(self, curves: bool) -> None:
        super().__init__()
        self.curves = curves

    def forward(self, inputs: torch.Tensor, *, lengths: torch.Tensor | None = None) -> torch.Tensor:
        return inputs if self.curves else inputs[:, 0]


def task(*, curves: bool = False, **options: object) -> Regression:
    return Regression(Given(curves), SGD, location=10.0, scale=4.0, **options)  # type: ignore[arg-type]


def numbers(outputs: list[float], targets: list[float]) -> SequenceBatch:
    return SequenceBatch(torch.tensor(outputs)[:, None, None], torch.tensor(targets), None)


CURVES = SequenceBatch(
    torch.tensor([[[0.0], [0.5], [1.0]], [[-1.0], [2.0], [99.0]]]),  # 10 12 14, and 6 18
    torch.tensor([[10.0, NAN, 16.0], [8.0, 17.0, NAN]]),
    torch.tensor([3, 2]),
)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("mse", (0.25 + 4.0) / 2),
        ("mae", (0.5 + 2.0) / 2),
        ("huber", (0.125 + 1.5) / 2),
    ],
)
def test_the_loss_is_between_standardized_values(error: str, expected: float) -> None:
    batch = numbers([0.5, -1.0, 7.0], [10.0, 14.0, NAN])  # predictions 12, 6; off by 0.5 and 2 deviations
    loss = task(error=error).loss(batch.inputs[:, 0], batch)
    assert float(loss) == pytest.approx(expected)


def test_of_a_curve_every_known_step_counts_alike() -> None:
    outputs = CURVES.inputs.clone().requires_grad_()
    loss = task(curves=True).loss(outputs, CURVES)
    off = torch.tensor([0.0, -2.0, -2.0, 1.0]) / 4  # steps 0 and 2 of the first, both of the second
    assert_close(loss, off.square().mean())
    loss.backward()
    assert outputs.grad is not None
    assert outputs.grad[..., 0].ne(0).tolist() == [[False, False, True], [True, True, False]]


def test_figures_of_numbers() -> None:
    judged = task()
    judged.update_metrics(numbers([0.5, -1.0], [10.0, 14.0]), "val")
    judged.update_metrics(numbers([0.0], [12.0]), "val")
    figures = judged.compute_metrics("val")  # off by 2, -8, -2
    assert figures == pytest.approx(
        {"loss": (0.25 + 4 + 0.25) / 3, "rmse": math.sqrt(72 / 3), "mae": 4.0, "r2": 1 - 72 / 8}
    )
    judged.update_metrics(numbers([1.0, 2.0], [14.0, 18.0]), "val")
    assert judged.compute_metrics("val") == pytest.approx({"loss": 0, "rmse": 0, "mae": 0, "r2": 1})


def test_figures_of_curves_at_the_last_step_and_at_all() -> None:
    judged = task(curves=True, phm_score=True)
    judged.update_metrics(CURVES, "test")
    figures = judged.compute_metrics("test")  # off by 0 and -2, and by -2 and 1
    assert figures == pytest.approx(
        {
            "loss": (0 + 4 + 4 + 1) / 16 / 4,
            "rmse": math.sqrt((4 + 1) / 2),
            "mae": 1.5,
            "r2": 1 - 5 / (2 * 0.25),
            "rmse_all": math.sqrt(9 / 4),
            "mae_all": 5 / 4,
            "r2_all": 1 - 9 / sum((y - 12.75) ** 2 for y in (10, 16, 8, 17)),
            "phm_score": math.expm1(2 / 13) + math.expm1(1 / 10),
        }
    )


def test_details_have_intervals_and_the_baseline() -> None:
    judged = task(curves=True)
    assert judged.report() == ""
    judged.update_metrics(CURVES, "test")
    figures = judged.compute_metrics("test")
    lines = judged.report().splitlines()
    (rmse,) = [line.split() for line in lines if line.startswith("rmse_all")]
    value, low, high = map(float, rmse[1:])
    assert value == pytest.approx(figures["rmse_all"], abs=1e-4)
    assert low < value < high
    # the mean, 10, is off by 0 and 6, and by 2 and 7
    ends, steps = math.sqrt((36 + 49) / 2), math.sqrt((36 + 4 + 49) / 4)
    baseline = f"rmse {ends:.4f}, mae 6.5000, rmse_all {steps:.4f}, mae_all 3.7500"
    assert lines[-1] == f"baseline: always 10.0000, the mean in training: {baseline}"


def test_predictions_are_plain_values_of_the_valid_steps() -> None:
    predicted = task(curves=True).predict(CURVES)
    assert predicted == [CurvePrediction([10.0, 12.0, 14.0]), CurvePrediction([6.0, 18.0])]
    assert task().predict(numbers([0.5], [NAN])) == [NumberPrediction(12.0)]
    json.dumps(predicted)


def test_a_model_that_does_not_fit_the_targets_is_told_how_to() -> None:
    with pytest.raises(UserError, match=r"model\.pooling: expected null, for curves.*model\.pooling=null"):
        task(curves=False).loss(CURVES.inputs[:, 0], CURVES)
    with pytest.raises(UserError, match=r"model\.pooling: expected a pooling method.*model\.pooling=last"):
        task(curves=True).loss(torch.zeros(2, 3, 1), numbers([0.0, 0.0], [1.0, 2.0]))


def test_bad_options_are_refused() -> None:
    with pytest.raises(UserError, match=r"task\.error: expected one of mse, huber, mae; got 'rmse'"):
        task(error="rmse")
    with pytest.raises(UserError, match=r"training targets: expected numbers that differ"):
        Regression(Given(curves=False), SGD, location=1.0, scale=0.0)


SMALL = ["model.hidden_size=12", "trainer.max_epochs=2", "trainer.limit_train_batches=8", "data.batch_size=16"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "regression"
    assert run(["train", "task=regression", *SMALL, f"run_dir={folder}"]) == 0
    return folder


def test_a_run_is_evaluated_and_predicts_a_file(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = json.loads((trained / "summary.json").read_text())
    assert summary["best_val/rmse"] > 0
    assert run(["evaluate", str(trained)]) == 0
    assert "baseline: always" in capsys.readouterr().out
    (tmp_path / "series.csv").write_text("value\n0.1\n0.3\n6.0\n6.1\n5.9\n0.2\n")
    files = ["--input", str(tmp_path / "series.csv"), "--output", str(tmp_path / "said.jsonl")]
    assert run(["predict", str(trained), *files]) == 0
    (said,) = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]
    assert said["id"] == "series.csv"
    assert math.isfinite(said["value"])


def test_the_task_comes_back_with_the_scale_of_its_targets(trained: Path) -> None:
    task = Run.open(trained).task()
    assert isinstance(task, Regression)
    assert task.location > 10
    assert task.scale > 1
