"""A copy of a model that shares its weights, to be measured in eval mode while the model is trained."""

import copy
from typing import TypeVar

from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def shared_twin(model: Model) -> Model:
    """Return a copy in eval mode whose weights and buffers are those of the model, without gradients of their own.

    An optimizer step of the model is a step of its twin. The mode of the model is not touched, so that its engines stay
    compiled for it. `is_shared` tells whether the weights were replaced since.

    Raises:
        Exception: whatever an attribute that cannot be copied raises.

    >>> model = nn.Linear(2, 2)
    >>> twin = shared_twin(model)
    >>> nn.init.zeros_(model.weight).sum() == twin.weight.sum(), twin.weight.requires_grad
    (tensor(True), False)
    """
    memo: dict[int, object] = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in model.parameters()}
    memo |= {id(buffer): buffer for buffer in model.buffers()}
    return copy.deepcopy(model, memo).eval()


def is_shared(model: nn.Module, twin: nn.Module) -> bool:
    """Whether the weights of a twin are still those of the model."""
    pairs = zip(model.parameters(), twin.parameters(), strict=True)
    return all(one.data_ptr() == other.data_ptr() for one, other in pairs)
