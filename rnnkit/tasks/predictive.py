"""The loss and the predictive distribution of a forecaster, from its parameters or from sample paths."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rnnkit.batch import SequenceBatch
from rnnkit.models.forecasting.distributions.paths import crps_of_samples, quantiles_of_samples
from rnnkit.models.forecasting.parameters import Parameters


class PredictiveSummary:
    """A forecast in the units of the batch: mean, median, quantiles and score.

    Args:
        mean: [B, H, C].
        quantiles: [Q, B, H, C], those of `levels`, or None without quantiles. The median is the mean if 0.5 is not
            among the levels.
        crps: maps targets [B, H, C] to scores [B, H, C].
        levels: the levels of the quantiles.
    """

    def __init__(
        self, mean: Tensor, quantiles: Tensor | None, crps: Callable[[Tensor], Tensor], levels: Sequence[float]
    ) -> None:
        self.mean, self.quantiles, self.crps = mean, quantiles, crps
        self.median = mean if quantiles is None or 0.5 not in levels else quantiles[list(levels).index(0.5)]


def predictive(
    model: Any,
    batch: SequenceBatch,
    levels: Sequence[float],
    *,
    samples: int,
    seed: int,
    parameters: Parameters | None = None,
) -> PredictiveSummary:
    """Return the predictive distribution of a `rnnkit.models.forecasting.Forecaster` over the horizon.

    Args:
        model: the forecaster.
        batch: windows.
        levels: the levels of the quantiles. There are none if the output does not provide all of them.
        samples: the number of sample paths of a model that samples step by step.
        seed: the seed of all that is drawn.
        parameters: those of the horizon if they are known; a model without sample paths computes them otherwise.
    """
    output = model.output
    generator = torch.Generator(batch.inputs.past.device).manual_seed(seed)
    is_provided = len(levels) > 0 and output.provides(levels)
    count = samples if output.samples > 1 else 1
    paths_SBHC = model.sample_paths(batch.inputs, count, lengths=batch.lengths, generator=generator)
    if paths_SBHC is not None:
        quantiles = quantiles_of_samples(paths_SBHC, levels) if is_provided else None
        return PredictiveSummary(paths_SBHC.mean(0), quantiles, lambda x: crps_of_samples(paths_SBHC, x), levels)
    if parameters is None:
        parameters, _ = model.teacher_forced_horizon(batch.inputs, batch.targets, lengths=batch.lengths)
    mean_BHC = output.mean(parameters)
    quantiles = output.quantiles(parameters, levels, generator) if is_provided else None
    return PredictiveSummary(mean_BHC, quantiles, lambda x: output.crps(parameters, x, generator), levels)


def mean_loss(output: Any, parameters: Parameters, targets_BNC: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean loss of an output distribution over the known targets, and their number."""
    known_BNC = ~targets_BNC.isnan()
    # NaN targets are replaced: their gradient would be NaN even though the loss masks them
    filled_BNC = torch.where(known_BNC, targets_BNC, parameters.location[:, None].detach())
    total = output.loss(parameters, filled_BNC).masked_fill(~known_BNC, 0).sum()
    count = known_BNC.sum()
    return total / count.clamp(min=1), count
