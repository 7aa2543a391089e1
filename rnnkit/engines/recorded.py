"""Backward passes of which autograd wants more than numbers: second derivatives, and many gradients side by side."""

import functools
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from rnnkit.compat.torch import are_transforms_active, is_legacy_batchedtensor, version_of


def more_than_numbers(tangents: Iterable[Tensor | None]) -> bool:
    """Whether the backward pass at work is itself recorded (`create_graph`), or one for many tangents (`vmap`)."""
    if torch.is_grad_enabled() or are_transforms_active():
        return True
    return any(tangent is not None and is_legacy_batchedtensor(tangent) for tangent in tangents)


def gradients_of(
    function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor | None], tangents: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The gradients of a function of torch's operations, for each of its inputs, as a backward pass gives them.

    * `inputs`: as they were saved, so that in a recorded pass the gradients depend on what they were computed from;
    * `tangents`: of the function's results; None where no loss looks at one.

    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> (slope,) = gradients_of(lambda x: [x**3], [x], [torch.tensor(1.0)])
    >>> slope, torch.autograd.grad(slope, x)
    (tensor(27., grad_fn=...), (tensor(18.),))
    """
    recorded = torch.is_grad_enabled()
    with torch.enable_grad():
        # Not the inputs themselves: one of them may have been computed from another.
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
    """The same numbers, from which a new graph begins, or goes on where it is recorded."""
    if tensor is None or not tensor.requires_grad:
        return tensor
    return tensor.view_as(tensor) if recorded else tensor.detach().requires_grad_()


@functools.cache
def _nothing(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.empty(0, dtype=dtype, device=device)


class Watch:
    """Tells whether a tensor was written into since, without keeping its memory."""

    def __init__(self, tensor: Tensor) -> None:
        # A detached tensor counts its changes together with the original, and goes on to when it is another's memory.
        self._counter = tensor.detach()
        self._counter.data = _nothing(tensor.dtype, tensor.device)
        self._version = version_of(self._counter)

    @property
    def overwritten(self) -> bool:
        """Whether it was."""
        return bool(version_of(self._counter) != self._version)
