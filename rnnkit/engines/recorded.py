"""Backward passes that autograd records (second derivatives) or batches (many gradients at once)."""

import functools
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from rnnkit.compat.torch import are_transforms_active, is_legacy_batchedtensor, version_of


def more_than_numbers(tangents: Iterable[Tensor | None]) -> bool:
    """Whether the current backward pass is itself recorded (`create_graph`), or batched over many tangents (`vmap`)."""
    if torch.is_grad_enabled() or are_transforms_active():
        return True
    return any(tangent is not None and is_legacy_batchedtensor(tangent) for tangent in tangents)


def gradients_of(
    function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor | None], tangents: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Return the gradients of a function of torch operations for each of its inputs, as in a backward pass.

    Args:
        function: a function of `inputs`.
        inputs: the saved inputs; in a recorded pass, the gradients depend on what they were computed from.
        tangents: the gradients of the function's results; None if the loss does not depend on one.

    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> (slope,) = gradients_of(lambda x: [x**3], [x], [torch.tensor(1.0)])
    >>> slope, torch.autograd.grad(slope, x)
    (tensor(27., grad_fn=...), (tensor(18.),))
    """
    recorded = torch.is_grad_enabled()
    with torch.enable_grad():
        # not the inputs themselves: one of them may have been computed from another
        given = [_beginning(tensor, recorded) for tensor in inputs]
        results = function(*given)
        pairs = [pair for pair in zip(results, tangents, strict=True) if pair[0].requires_grad and pair[1] is not None]
        asked = [tensor for tensor in given if tensor is not None and tensor.requires_grad]
    if not pairs or not asked:
        return [None] * len(given)
    ends, slopes = zip(*pairs, strict=True)
    found = iter(torch.autograd.grad(ends, asked, slopes, create_graph=recorded, allow_unused=True))
    return [next(found) if tensor is not None and tensor.requires_grad else None for tensor in given]


def _beginning(tensor: Tensor | None, recorded: bool) -> Tensor | None:
    """Return the same values, detached, or connected to the graph if the pass is recorded."""
    if tensor is None or not tensor.requires_grad:
        return tensor
    return tensor.view_as(tensor) if recorded else tensor.detach().requires_grad_()


@functools.cache
def _nothing(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.empty(0, dtype=dtype, device=device)


class Watch:
    """Detects whether a tensor has been modified in place, without keeping its memory."""

    def __init__(self, tensor: Tensor) -> None:
        # a detached tensor shares the version counter of the original, and keeps it when the memory is replaced
        self._counter = tensor.detach()
        self._counter.data = _nothing(tensor.dtype, tensor.device)
        self._version = version_of(self._counter)

    @property
    def overwritten(self) -> bool:
        """Whether the tensor has been modified."""
        return bool(version_of(self._counter) != self._version)
