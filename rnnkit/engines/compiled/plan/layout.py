"""Layout of values at all steps: the batch axis of a trace has T * B rows."""

import torch
from torch import Tensor, fx

from rnnkit.engines.compiled.trace.graphs import batch_axis, value
from rnnkit.engines.window import Window
from rnnkit.masks import valid_steps


def by_row(buffer: Tensor, node: fx.Node) -> Tensor:
    """Return [T * B, F...] with the rows at the batch axis of the trace."""
    return buffer.movedim(0, batch_axis(node) or 0)


def rows_first(tensor: Tensor, node: fx.Node) -> Tensor:
    """Return the inverse of `by_row`, contiguous in memory."""
    return tensor.movedim(batch_axis(node) or 0, 0).contiguous()


def wide(node: fx.Node) -> torch.dtype:
    """Return the dtype in which a value is summed."""
    return torch.float32 if value(node).dtype in (torch.bfloat16, torch.float16) else value(node).dtype


def masks(window: Window, T: int, B: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return masks of the valid steps and of the reset steps, [B, T] each."""
    none_BT = torch.zeros(B, T, dtype=torch.bool, device=device)
    valid_BT = ~none_BT if window.lengths is None else valid_steps(window.lengths, T)
    fresh_BT = none_BT if window.fresh is None else window.fresh
    return valid_BT, fresh_BT
