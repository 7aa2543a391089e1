"""Batches whose float64 stays float64 whatever the precision of the run."""

from typing import Any

import torch
from lightning.pytorch.plugins.precision import Precision
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor


def keep_double(precision: Precision) -> None:
    """Lets a precision convert only the tensors of a batch that are not float64.

    What a model reads is float32 and converted. Values far above their spread, their scales and targets are float64,
    because fewer digits would lose them; models and tasks scale them before they compute in the precision of the run.
    """
    if precision.precision in ("32-true", "64-true"):
        return  # they leave float64 alone, and a step need not look through its batch
    convert = precision.convert_input

    def convert_others(data: Any) -> Any:
        return apply_to_collection(data, Tensor, lambda x: x if x.dtype == torch.float64 else convert(x))

    precision.convert_input = convert_others  # type: ignore[method-assign]
