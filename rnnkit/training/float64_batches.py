"""Batches whose float64 tensors keep their precision in any run."""

from typing import Any

import torch
from lightning.pytorch.plugins.precision import Precision
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor


def keep_double(precision: Precision) -> None:
    """Make a precision plugin convert only the tensors of a batch that are not float64.

    Model inputs are float32 and are converted. Values far above their spread, their scales and targets are float64,
    because they need the digits. Models and tasks scale them before they compute in the precision of the run.
    """
    if precision.precision in ("32-true", "64-true"):
        return  # these precisions do not convert float64
    convert = precision.convert_input

    def convert_others(data: Any) -> Any:
        return apply_to_collection(data, Tensor, lambda x: x if x.dtype == torch.float64 else convert(x))

    precision.convert_input = convert_others  # type: ignore[method-assign]
