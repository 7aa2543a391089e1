"""The widest floating-point dtype of a device."""

from torch import Tensor


def widened(values: Tensor) -> Tensor:
    """Cast to float64 if the device supports it (Apple's GPUs do not), else to float32."""
    return values.float() if values.device.type == "mps" else values.double()
