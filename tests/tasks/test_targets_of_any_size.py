"""Regression and classification where numbers are large, small, rare or all the same."""

import csv
import functools
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rnnkit.batch import IGNORED, SequenceBatch
from rnnkit.cli import run
from rnnkit.cli.evaluate import _reason
from rnnkit.errors import UserError
from rnnkit.predictions import NumberPrediction
from rnnkit.tasks import Classification, LanguageModeling, Regression
from rnnkit.tasks.metrics.bootstrap import intervals
from rnnkit.tasks.metrics.calibration import expected_calibration_error
from rnnkit.tasks.metrics.classes import class_metrics
from rnnkit.tasks.metrics.errors import error_metrics, error_sums, phm_penalty

SGD = functools.partial(torch.optim.SGD, lr=0.5)


class Given(nn.Module):
    """Answers with its inputs [B, 1, C], without the axis of time."""

    def forward(self, inputs: torch.Tensor, *, lengths: torch.Tensor | None = None) -> torch.Tensor:
        return inputs[:, 0]


def strictly(text: str) -> dict[str, float | None]:
    found: dict[str, float | None] = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return found


@settings(deadline=None, max_examples=60)
@given(
    level=st.sampled_from([0.0, 1e8, -1e12, 1e15]),
    exponent=st.integers(-30, 30),
    said=st.lists(st.tuples(st.floats(-3, 3, width=32), st.floats(-3, 3)), min_size=2, max_size=9),
)
def test_errors_of_regression_are_those_of_exact_fractions(
    level: float, exponent: int, said: list[tuple[float, float]]
) -> None:
    unit = 10.0**exponent
    location, scale = level * unit, 8 * unit
    outputs = torch.tensor([o for o, _ in said], dtype=torch.float32)
    targets = torch.tensor([location + scale * z for _, z in said], dtype=torch.float64)
    task = Regression(Given(), SGD, location=location, scale=scale)
    for part in (slice(0, 1), slice(1, None)):  # as two batches
        task.update_metrics(SequenceBatch(outputs[part, None, None], targets[part], None), "val")
    found = task.compute_metrics("val")
    truth = [Fraction(y) - Fraction(location) for y in targets.tolist()]
    errors = [Fraction(scale) * Fraction(o) - y for o, y in zip(outputs.tolist(), truth, strict=True)]
    mean = sum(truth) / len(truth)
    squared, spread = sum(e * e for e in errors), sum((y - mean) ** 2 for y in truth)
    size = max(map(abs, [*errors, Fraction(scale)]))
    assert found["rmse"] == pytest.approx(math.sqrt(squared / size**2 / len(said)) * float(size), rel=1e-6)
    assert found["mae"] == pytest.approx(float(sum(map(abs, errors)) / len(said)), rel=1e-6)
    assert found["loss"] == pytest.approx(float(squared / Fraction(scale) ** 2 / len(said)), rel=1e-6)
    if spread == 0:
        assert math.isnan(found["r2"])
    elif spread > Fraction(scale) ** 2 / 10**6:
        assert found["r2"] == pytest.approx(1 - float(squared / spread), rel=1e-6, abs=1e-6)


def test_predictions_of_regression_are_float64() -> None:
    task = Regression(Given(), SGD, location=1e8, scale=0.5)
    (predicted,) = task.predict(SequenceBatch(torch.tensor([[[0.25]]]), torch.tensor([math.nan]), None))
    assert predicted == NumberPrediction(100000000.125)


def test_r2_of_resamples_of_targets_at_a_high_level() -> None:
    """Every resample beside its own values, drawn out."""
    truth = 1e15 + 4 * torch.randn(30, 1, dtype=torch.float64)
    predicted = truth + torch.randn(30, 1, dtype=torch.float64).mul(8).round() / 8
    weights = torch.randint(0, 3, (20, 30))
    found = error_metrics(error_sums(predicted, truth), weights)
    for r in range(20):
        y, p = (x[:, 0].repeat_interleave(weights[r]) - 1e15 for x in (truth, predicted))
        expected = 1 - float((p - y).square().sum() / (y - y.mean()).square().sum())
        assert float(found["r2"][r]) == pytest.approx(expected, rel=1e-9)


def test_a_penalty_beyond_single_precision_and_one_beyond_double() -> None:
    assert float(phm_penalty(torch.tensor([1000.0]), torch.tensor([0.0]))) == pytest.approx(math.expm1(100), rel=1e-12)
    task = Regression(Given(), SGD, phm_score=True)
    task.update_metrics(SequenceBatch(torch.tensor([[[8000.0]], [[1.0]]]), torch.tensor([0.0, 0.0]), None), "test")
    found = task.compute_metrics("test")
    assert found["phm_score"] == math.inf
    assert "too late" in _reason(task, "phm_score", found)


def test_bootstrap_intervals_keep_float64() -> None:
    values = 1e50 + torch.zeros(10, dtype=torch.float64)
    low, high = intervals(lambda weights_RN: {"mean": weights_RN.double() @ values / 10}, 10)["mean"]
    assert low == pytest.approx(1e50)
    assert high == pytest.approx(1e50)


def ranks(log_odds: list[Fraction], truth: list[int]) -> float:
    """The area as the share of pairs in the right order."""
    pairs = [
        (a, b) for a, x in zip(log_odds, truth, strict=True) if x for b, y in zip(log_odds, truth, strict=True) if not y
    ]
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)


@pytest.mark.parametrize("size", [1.0, 60.0, 2000.0])
def test_confident_answers_are_ranked_though_their_probabilities_round_to_0_and_1(size: float) -> None:
    truth_N = torch.randint(0, 2, (60,))
    logits_NC = size * (torch.randn(60, 2) + 0.5 * F.one_hot(truth_N, 2))
    odds = [Fraction(float(b)) - Fraction(float(a)) for a, b in logits_NC]
    found = class_metrics(logits_NC.double().log_softmax(dim=1), truth_N)(torch.ones(1, 60))
    assert float(found["auroc"]) == pytest.approx(ranks(odds, truth_N.tolist()), abs=1e-12)


def test_of_many_classes_the_likeliest_is_ranked_by_what_is_left_to_the_others() -> None:
    """One class against the rest, by the odds in exact arithmetic of exponentials of whole numbers."""
    truth_N = torch.randint(0, 3, (40,))
    logits_NC = torch.randint(-90, 90, (40, 3)).double()
    big = [[Fraction(3) ** int(x) for x in row] for row in logits_NC]
    expected = np.mean(
        [ranks([row[c] / (sum(row) - row[c]) for row in big], (truth_N == c).tolist()) for c in range(3)]
    )
    found = class_metrics((logits_NC * math.log(3)).log_softmax(dim=1), truth_N)(torch.ones(1, 40))
    assert float(found["auroc"]) == pytest.approx(float(expected), abs=1e-12)


def test_ties_count_half_and_one_class_alone_has_no_area() -> None:
    logits = torch.tensor([[0.0, 1.0], [0.0, 1.0], [3.0, 4.0]])  # all the same odds
    found = class_metrics(logits.log_softmax(dim=1), torch.tensor([0, 1, 1]))(torch.ones(1, 3))
    assert float(found["auroc"]) == 0.5
    task = Classification(Given(), SGD, classes=["a", "b"], counts=[2, 1])
    task.update_metrics(SequenceBatch(logits[:, None], torch.tensor([1, 1, 1]), None), "test")
    figures = task.compute_metrics("test")
    assert math.isnan(figures["auroc"])
    assert math.isnan(figures["auprc"])
    assert "one class only" in _reason(task, "auroc", figures)
    assert "auroc" in task.report()


def test_confidence_of_exactly_0_and_1_is_calibrated_where_it_is_right() -> None:
    confidence_N, correct_N = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([True, True, False, True])
    assert float(expected_calibration_error(confidence_N, correct_N, torch.ones(1, 4))) == 0.25


def test_f1_leaves_out_a_class_that_is_neither_there_nor_chosen() -> None:
    log_p = torch.tensor([[5.0, 0.0, -5.0], [0.0, 5.0, -5.0], [5.0, 0.0, -5.0]]).log_softmax(dim=1)
    found = class_metrics(log_p, torch.tensor([0, 1, 1]), in_full=False)(torch.ones(1, 3))
    assert float(found["macro_f1"]) == pytest.approx(2 / 3)


def test_balanced_weights_of_one_in_a_billion() -> None:
    task = Classification(Given(), SGD, classes=["a", "b"], counts=[10**9, 1], class_weights="balanced")
    outputs = torch.tensor([[2.0, -1.0], [0.5, 0.0]])
    batch = SequenceBatch(outputs[:, None], torch.tensor([0, 1]), None)
    weights = [(10**9 + 1) / (2 * 10**9), (10**9 + 1) / 2]
    nll = [math.log1p(math.exp(-3)), math.log1p(math.exp(0.5))]
    expected = sum(w * x for w, x in zip(weights, nll, strict=True)) / sum(weights)
    assert float(task.loss(outputs, batch)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_weights_are_those_of_torch_and_a_batch_that_weighs_nothing_costs_nothing(smoothing: float) -> None:
    weights = [0.0, 2.0, 0.5]
    task = Classification(
        Given(), SGD, classes=["a", "b", "c"], counts=[1, 1, 1], class_weights=weights, label_smoothing=smoothing
    )
    outputs = torch.randn(5, 3, requires_grad=True)
    targets = torch.tensor([1, 0, 2, IGNORED, 1])
    loss = task.loss(outputs, SequenceBatch(outputs[:, None], targets, None))
    expected = F.cross_entropy(outputs, targets, torch.tensor(weights), label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected)
    if smoothing == 0:
        nothing = task.loss(outputs, SequenceBatch(outputs[:, None], torch.zeros(5, dtype=torch.long), None))
        nothing.backward()
        assert nothing.item() == 0
        assert outputs.grad is not None
        assert outputs.grad.isfinite().all()


@pytest.mark.parametrize("weights", [[1.0, math.nan], [1.0, math.inf], [1.0, -1.0], [0.0, 0.0]])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(UserError, match=r"task\.class_weights"):
        Classification(Given(), SGD, classes=["a", "b"], counts=[1, 1], class_weights=weights)


def test_a_perplexity_beyond_float64_is_infinite_and_not_cut_off() -> None:
    task = LanguageModeling(nn.Linear(1, 1), SGD, unit="char")
    assert task.metrics_from_loss(710.0)["perplexity"] == math.inf
    assert task.metrics_from_loss(705.0)["perplexity"] == pytest.approx(math.exp(705))
    assert task.metrics_from_loss(710.0)["bits_per_char"] == pytest.approx(710 / math.log(2))
    assert math.isnan(task.metrics_from_loss(math.nan)["perplexity"])


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("kind", ["text", "series"])
def test_a_run_on_targets_of_1e8_and_noise(
    kind: str, precision: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The target is 1e8 and a number that the inputs tell, itself 1e8 higher where they are values."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=120)
    file = tmp_path / f"{kind}.csv"
    if kind == "text":
        lines = ["text,price", *(f"{'good' if v > 0 else 'bad'} thing,{1e8 + 3 * float(v > 0)!r}" for v in x)]
        columns = ["data=labeled_text", "data.text_column=text", "data.target_column=price"]
        truth = 1e8 + 3 * (x > 0)
    else:
        header = "price," + ",".join(map(str, range(6)))
        lines = [header, *(f"{1e8 + v!r}," + ",".join(repr(1e8 + v) for _ in range(6)) for v in x.tolist())]
        columns = ["data=labeled_series", "data.layout=wide", "data.target_column=price"]
        truth = 1e8 + x
    file.write_text("\n".join(lines) + "\n")
    options = ["task=regression", *columns, "data.target=number", f"data.path={file}", "model.hidden_size=8"]
    options += ["trainer.max_epochs=12", "optimizer.lr=0.05", "data.batch_size=16", f"trainer.precision={precision}"]
    assert run(["train", *options, f"run_dir={tmp_path / 'run'}"]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(tmp_path / "run"), "--data", str(file), "--json"]) == 0
    figures = strictly(capsys.readouterr().out)
    assert run(["predict", str(tmp_path / "run"), "--input", str(file), "--output", str(tmp_path / "out.csv")]) == 0
    with (tmp_path / "out.csv").open(newline="") as opened:
        predicted = np.array([float(row["value"]) for row in csv.DictReader(opened)])
    error = predicted - truth
    assert figures["rmse"] == pytest.approx(np.sqrt(np.square(error).mean()), rel=1e-5)
    assert figures["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
    r2 = 1 - np.square(error).sum() / np.square(truth - truth.mean()).sum()
    assert figures["r2"] == pytest.approx(r2, abs=1e-6)
    assert r2 > 0.8
