"""Classification metrics of a split and of its resamples."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from rnnkit.tasks.metrics.calibration import expected_calibration_error
from rnnkit.tasks.metrics.ranking import Ranking


def class_metrics(log_p_NC: Tensor, truth_N: Tensor, *, in_full: bool = True) -> Callable[[Tensor], dict[str, Tensor]]:
    r"""Returns a function that computes the metrics [R], by name, from weights [R, N] of the sequences.

    The metrics are `loss` (negative log-likelihood in nats), `accuracy` and `macro_f1`; with `in_full` also `auroc`,
    `auprc` and `calibration_error`. With two classes, the areas are those of the second class. With more classes the
    areas, and in any case F1, are means over classes. A class that does not occur in a resample is left out (of F1:
    a class that is not predicted either).

    >>> log_p_NC = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]).log()
    >>> metrics = class_metrics(log_p_NC, torch.tensor([0, 1, 1]))(torch.ones(1, 3))
    >>> {name: round(float(value), 3) for name, value in metrics.items()}
    {'loss': 0.415, 'accuracy': 0.667, 'macro_f1': 0.667, 'auroc': 1.0, 'auprc': 1.0, 'calibration_error': 0.3}
    """
    C = log_p_NC.shape[1]
    log_p_NC = log_p_NC.double()
    p_NC = log_p_NC.exp()
    chosen_N = log_p_NC.argmax(dim=1)
    correct_N = chosen_N == truth_N
    nll_N = -log_p_NC.gather(1, truth_N[:, None])[:, 0]
    truth_NC, chosen_NC = F.one_hot(truth_N, C).double(), F.one_hot(chosen_N, C).double()
    scores_NC = log_odds(log_p_NC) if in_full else p_NC
    rankings = (
        [Ranking(scores_NC[:, c], truth_N == c) for c in (range(1, 2) if C == 2 else range(C))] if in_full else []
    )

    def metrics(weights_RN: Tensor) -> dict[str, Tensor]:
        weights_RN = weights_RN.double()
        total_R = weights_RN.sum(dim=1)
        hits_RC = weights_RN @ (truth_NC * correct_N[:, None])
        f1_RC = f1(hits_RC, weights_RN @ truth_NC, weights_RN @ chosen_NC)
        found = {
            "loss": weights_RN @ nll_N / total_R,
            "accuracy": hits_RC.sum(dim=1) / total_R,
            "macro_f1": f1_RC.nanmean(dim=1),
        }
        if in_full:
            areas_K2R = torch.stack([torch.stack(ranking.areas(weights_RN)) for ranking in rankings])
            found["auroc"], found["auprc"] = areas_K2R.nanmean(dim=0)
            found["calibration_error"] = expected_calibration_error(p_NC.amax(dim=1), correct_N, weights_RN)
        return found

    return metrics


def log_odds(log_p_NC: Tensor) -> Tensor:
    r"""Returns scores that order sequences as their probabilities do, without ties from rounding to 0 and 1.

    .. math:: \ln p_c - \ln (1 - p_c), \qquad 1 - p_c = \sum_{k \ne c} p_k

    >>> log_odds(torch.tensor([[0.0, 50.0], [0.0, 60.0]]).log_softmax(dim=1))[:, 1].tolist()
    [50.0, 60.0]
    """
    top_N1 = log_p_NC.argmax(dim=1, keepdim=True)
    others_N1 = log_p_NC.scatter(1, top_N1, -torch.inf).logsumexp(dim=1, keepdim=True)
    # if p is not close to 1, 1 - p is accurate enough, and equal probabilities keep equal scores
    rest_NC = torch.log(-torch.expm1(log_p_NC))
    return log_p_NC - torch.where(log_p_NC > -1e-6, others_N1, rest_NC)


def f1(hits: Tensor, truth: Tensor, chosen: Tensor) -> Tensor:
    r"""Returns F1 from counts of true positives, true members and predictions; NaN if a class has neither.

    .. math:: F_1 = \frac{2 TP}{2 TP + FP + FN}
    """
    return 2 * hits / (truth + chosen)
