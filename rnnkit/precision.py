"""Conversions to wider floating-point dtypes."""

import torch
from torch import Tensor


def widened(values: Tensor) -> Tensor:
    """Cast to float64 if the device supports it (Apple's GPUs do not), else to float32."""
    return values.float() if values.device.type == "mps" else values.double()


def at_least_single(values: Tensor) -> Tensor:
    """Cast to float32 unless the values are float64; complex numbers exist in these precisions only."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
