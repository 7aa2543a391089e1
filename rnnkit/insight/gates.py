"""The gates of any cell, found by what they are: outputs of a sigmoid that multiply."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

SIGMOIDS = {torch.sigmoid, Tensor.sigmoid, F.sigmoid, torch.special.expit, F.hardsigmoid}
PRODUCTS = {torch.mul, torch.multiply, Tensor.mul, Tensor.multiply, Tensor.__mul__, Tensor.__rmul__, torch.addcmul}
BLENDS = {torch.lerp, Tensor.lerp}
PARTS = {torch.chunk, Tensor.chunk, torch.split, Tensor.split, torch.unbind, Tensor.unbind, torch.tensor_split}
SAME = {
    *(Tensor.__getitem__, Tensor.view, Tensor.reshape, torch.reshape, Tensor.unflatten, torch.unflatten),
    *(Tensor.flatten, torch.flatten, Tensor.unsqueeze, torch.unsqueeze, Tensor.squeeze, Tensor.to, Tensor.float),
    *(torch.rsub, Tensor.__rsub__, torch.sub, Tensor.__sub__, Tensor.sub, Tensor.contiguous, Tensor.expand),
}
"""Operations whose result is the same gate: views, casts, and its complement `1 - g`."""


class Activations(TorchFunctionMode):
    """Collects the gates, the outputs of tanh and those of relu of the torch operations in a block.

    >>> from rnnkit.cells import LSTMCell
    >>> cell, found = LSTMCell(3, 5), Activations()
    >>> with found:
    ...     _ = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> len(found.gates), found.gates[0].shape, len(found.tanhs)
    (3, torch.Size([2, 5]), 2)
    """

    def __init__(self) -> None:
        super().__init__()
        self.tanhs: list[Tensor] = []
        self.relus: list[Tensor] = []
        self._values: list[Tensor] = []
        self._multiplies: set[int] = set()
        self._source: dict[int, int] = {}
        self._argument: dict[int, Any] = {}
        self._alive: list[Tensor] = []  # so that no other tensor gets the same id

    @property
    def gates(self) -> list[Tensor]:
        """The outputs of a sigmoid that multiply another tensor, in the order of their computation."""
        return [value for index, value in enumerate(self._values) if index in self._multiplies]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and note what it does to a gate."""
        result = func(*args, **(kwargs or {}))
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        sources = [self._source.get(id(tensor)) for tensor in tensors]
        known = next((source for source in sources if source is not None), None)
        if func in SIGMOIDS:
            self._add(result, id(args[0]))
            self._alive.append(args[0])
        elif func in (torch.tanh, Tensor.tanh, F.tanh):
            self.tanhs.append(result.detach())
        elif func in (torch.relu, Tensor.relu, F.relu):
            self.relus.append(result.detach())
        elif known is None:
            pass
        elif func in PRODUCTS or func in BLENDS:
            self._multiply(tensors, sources, result, only_last=func in BLENDS)
        elif func in PARTS:
            for part in result:
                self._add(part, self._argument[known])
        elif func in SAME and len([source for source in sources if source is not None]) == 1:
            self._follow(result, known)
        return result

    def _multiply(self, tensors: list[Tensor], sources: list[int | None], result: Tensor, *, only_last: bool) -> None:
        others = [tensor for tensor in tensors if tensor.dim() > 0]
        if len(others) == 1:  # a number times a gate
            self._follow(result, next(source for source in sources if source is not None))
            return
        for tensor, source in list(zip(tensors, sources, strict=True))[-1 if only_last else 0 :]:
            # x sigmoid(x) is an activation, no gate
            if source is not None and all(
                id(other) != self._argument[source] for other in others if other is not tensor
            ):
                self._multiplies.add(source)

    def _add(self, value: Tensor, argument: Any) -> None:
        self._values.append(value.detach())
        self._argument[len(self._values) - 1] = argument
        self._follow(value, len(self._values) - 1)

    def _follow(self, tensor: Tensor, source: int) -> None:
        self._source[id(tensor)] = source
        self._alive.append(tensor)
