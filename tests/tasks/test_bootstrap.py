"""Metrics under weights against metrics of copies, and intervals against statistics."""

import math

import pytest
import torch
from torch.testing import assert_close
from torchmetrics.functional import classification as reference

from rnnkit.tasks.metrics.bootstrap import intervals
from rnnkit.tasks.metrics.calibration import expected_calibration_error
from rnnkit.tasks.metrics.classes import class_metrics
from rnnkit.tasks.metrics.errors import error_metrics, error_sums, phm_penalty
from rnnkit.tasks.metrics.ranking import Ranking


def answers(classes: int, count: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities, many of them the same, that are right about half of the time."""
    truth_N = torch.randint(0, classes, (count,))
    logits_NC = torch.randn(count, classes) + 1.5 * torch.nn.functional.one_hot(truth_N, classes)
    return (logits_NC * 2).round().log_softmax(dim=1), truth_N


def measured(log_p_NC: torch.Tensor, truth_N: torch.Tensor) -> dict[str, float]:
    found = class_metrics(log_p_NC, truth_N)(torch.ones(1, len(truth_N)))
    return {name: float(values_R) for name, values_R in found.items()}


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_figures_are_those_of_torchmetrics(classes: int) -> None:
    log_p_NC, truth_N = answers(classes)
    p_NC = log_p_NC.exp()
    if classes == 2:
        areas = (reference.binary_auroc(p_NC[:, 1], truth_N), reference.binary_average_precision(p_NC[:, 1], truth_N))
    else:
        areas = (
            reference.multiclass_auroc(p_NC, truth_N, classes),
            reference.multiclass_average_precision(p_NC, truth_N, classes),
        )
    expected = {
        "loss": -log_p_NC[range(len(truth_N)), truth_N].mean(),
        "accuracy": reference.multiclass_accuracy(p_NC, truth_N, classes, average="micro"),
        "macro_f1": reference.multiclass_f1_score(p_NC, truth_N, classes, average="macro"),
        "auroc": areas[0],
        "auprc": areas[1],
        "calibration_error": reference.multiclass_calibration_error(p_NC, truth_N, classes, n_bins=15),
    }
    found = measured(log_p_NC, truth_N)
    assert found == pytest.approx({name: float(value) for name, value in expected.items()}, abs=1e-5)
    assert 0.5 < found["auroc"] < 0.99  # a case in which figures can be wrong


@pytest.mark.parametrize("classes", [2, 4])
def test_a_sequence_of_weight_three_counts_as_three_copies(classes: int) -> None:
    log_p_NC, truth_N = answers(classes, 60)
    weights_RN = torch.randint(0, 4, (5, 60)).float()
    found = class_metrics(log_p_NC, truth_N)(weights_RN)
    for row, weights_N in enumerate(weights_RN.long()):
        copies = torch.repeat_interleave(torch.arange(60), weights_N)
        again = measured(log_p_NC[copies], truth_N[copies])
        assert {name: float(values_R[row]) for name, values_R in found.items()} == pytest.approx(again)


def test_areas_worked_by_hand() -> None:
    """Scores 3 2 2 1, members + - + -: of four pairs 3 are in order and one is tied."""
    ranking = Ranking(torch.tensor([3.0, 2.0, 2.0, 1.0]), torch.tensor([True, False, True, False]))
    auroc, auprc = ranking.areas(torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]))
    assert float(auroc[0]) == 3.5 / 4
    assert float(auprc[0]) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert auroc[1:].isnan().all()
    assert auprc[1:].isnan().all()


def test_a_class_that_is_nowhere_takes_no_part_in_the_means() -> None:
    log_p_NC, truth_N = answers(3)
    with_fourth_NC = torch.cat([log_p_NC, torch.full((200, 1), -50.0)], dim=1)
    three, four = measured(log_p_NC, truth_N), measured(with_fourth_NC, truth_N)
    assert four == pytest.approx(three)


def test_calibration_worked_by_hand() -> None:
    """Two bins: 0.9 twice, right once: gap 0.4; 0.6 once, right: gap 0.4."""
    confidence_N, correct_N = torch.tensor([0.9, 0.9, 0.6]), torch.tensor([True, False, True])
    error_R = expected_calibration_error(confidence_N, correct_N, torch.tensor([[1.0, 1.0, 1.0], [0.0, 3.0, 0.0]]))
    assert_close(error_R.float(), torch.tensor([2 / 3 * 0.4 + 1 / 3 * 0.4, 0.9]))


def test_intervals_of_an_accuracy_are_those_of_the_binomial_distribution() -> None:
    """320 of 400 right: 0.8 plus or minus 1.96 deviations of 0.02."""
    correct_N = (torch.arange(400) < 320).float()
    found = intervals(lambda w_RN: {"accuracy": w_RN @ correct_N / 400}, 400, resamples=4000)
    assert found["accuracy"] == pytest.approx((0.8 - 0.0392, 0.8 + 0.0392), abs=0.004)


def test_a_seed_repeats_and_many_sequences_come_in_several_chunks() -> None:
    values_N = torch.arange(3000.0)
    calls = []

    def mean(weights_RN: torch.Tensor) -> dict[str, torch.Tensor]:
        calls.append(len(weights_RN))
        assert_close(weights_RN.sum(dim=1), torch.full((len(weights_RN),), 3000.0))
        return {"mean": weights_RN @ values_N / 3000}

    first, second = intervals(mean, 3000), intervals(mean, 3000)
    assert first == second != intervals(mean, 3000, seed=1)
    assert len(calls) > 3
    assert sum(calls) == 3000
    assert first["mean"][0] < 1499.5 < first["mean"][1]


def test_a_resample_without_a_figure_is_left_out() -> None:
    """With one of the other class among ten, a third of the resamples has none, and no AUROC."""
    log_p_NC = torch.tensor([[0.2, 0.8]] * 9 + [[0.7, 0.3]]).log()
    found = intervals(class_metrics(log_p_NC, torch.tensor([1] * 9 + [0])), 10)
    assert found["auroc"] == (1.0, 1.0)


def test_errors_are_those_of_the_definitions() -> None:
    predicted_NT, truth_NT = torch.randn(50, 4), torch.randn(50, 4)
    truth_NT[3, 2:] = math.nan
    known = ~truth_NT.isnan()
    error, truth = (predicted_NT - truth_NT)[known], truth_NT[known]
    found = error_metrics(error_sums(predicted_NT, truth_NT), torch.ones(1, 50))
    assert float(found["rmse"]) == pytest.approx(float(error.square().mean().sqrt()))
    assert float(found["mae"]) == pytest.approx(float(error.abs().mean()))
    spread = (truth - truth.mean()).square().sum()
    assert float(found["r2"]) == pytest.approx(float(1 - error.square().sum() / spread), rel=1e-5)


def test_late_costs_more_than_early() -> None:
    late, early = phm_penalty(torch.tensor([20.0, 0.0]), torch.tensor([0.0, 20.0])).tolist()
    assert late == pytest.approx(math.exp(2) - 1)
    assert early == pytest.approx(math.exp(20 / 13) - 1)
