"""The widest floating point type of a device."""

from torch import Tensor


def widened(values: Tensor) -> Tensor:
    """In float64 where the device has it: Apple's GPUs have not."""
    return values.float() if values.device.type == "mps" else values.double()
