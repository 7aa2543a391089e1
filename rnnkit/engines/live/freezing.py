"""Makes a frozen step of a cell."""

import copy
import warnings
from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.cells.evaluation import in_evaluation
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.engines import compiled, toolchain
from rnnkit.engines.hooks import watched
from rnnkit.engines.live.frozen import Called, Frozen, first

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6, torch.bfloat16: 0.1}
"""The largest difference of generated code from the cell in one step that is still rounding."""


def freeze(cell: Cell[Any], x: Any = None) -> Frozen:
    """Return one step of a cell in evaluation mode with copies of its present weights.

    Args:
        cell: the cell. It is not changed, and later changes of it have no effect.
        x: an input of one step with one row, for a cell whose input is not a tensor [B, I] of numbers or ids.

    >>> import torch
    >>> from rnnkit.cells import LSTMCell
    >>> frozen = freeze(LSTMCell(3, 5))
    >>> frozen.y_shape, frozen.layout.bytes
    ((5,), 48)
    """
    with torch.inference_mode(False), torch.no_grad():
        own = copy.deepcopy(in_evaluation(cell)).requires_grad_(False)
        x = example(own) if x is None else map_state(Tensor.detach, x)
        y_BO, _ = own(x, own.initial_state(1))
        reason = _unsupported(own)
        if reason is None:
            try:
                return _compiled(own, x, y_BO)
            except (toolchain.CompilerError, compiled.Uncompilable) as error:
                reason = str(error)
    text = f"the steps of {type(cell).__name__} are single calls of the cell, which is slower: {reason}"
    warnings.warn(text, stacklevel=3)
    return Called(own, x, y_BO)


def example(cell: Cell[Any]) -> Any:
    """Return an input of one step with one row: zeros, or what the first cell's method `example()` returns."""
    innermost = first(cell)
    if hasattr(innermost, "example"):
        return innermost.example()
    if hasattr(innermost, "vocabulary_size"):
        return torch.zeros(1, 1, dtype=torch.int64)
    like = next((tensor for tensor in (*cell.parameters(), *cell.buffers()) if tensor.is_floating_point()), None)
    dtype = torch.get_default_dtype() if like is None else like.dtype
    return torch.zeros(1, cell.input_size, dtype=dtype, device=None if like is None else like.device)


def _unsupported(cell: Cell[Any]) -> str | None:
    if any(not tensor.is_cpu for tensor in (*cell.parameters(), *cell.buffers())):
        return "its weights are not in the memory of the CPU"
    return watched(cell) or toolchain.missing()


def _compiled(cell: Cell[Any], x: Any, y_BO: Tensor) -> Frozen:
    from rnnkit.engines.live.compiled import Compiled

    frozen = Compiled(cell, x, y_BO, compiled.step_program(cell, x, y_BO.dtype))
    _check(frozen)
    return frozen


def _check(frozen: Frozen) -> None:
    """Compare two steps of generated code with the cell.

    Raises:
        Uncompilable: if they differ by more than rounding.
    """
    generator = torch.Generator().manual_seed(0)
    records, state = frozen.initial.clone()[None], frozen.cell.initial_state(1)
    for _ in range(2):

        def drawn(leaf: Tensor) -> Tensor:
            return torch.randn(leaf.shape, generator=generator).to(leaf.dtype) if leaf.is_floating_point() else leaf

        x = map_state(drawn, frozen.x)
        wanted, state = frozen.cell(x, state)
        found = torch.empty_like(wanted, memory_format=torch.contiguous_format)
        frozen.push(records, [0], [1], [0], [leaf.contiguous() for leaf in state_leaves(x)], found)
        after = state_leaves(frozen.layout.state(records[0]))
        for one, other in zip([found, *after], [wanted, *state_leaves(state)], strict=True):
            bound = TOLERANCE.get(other.dtype, 1e-3)
            if not torch.allclose(one, other, rtol=bound, atol=bound, equal_nan=True):
                raise compiled.Uncompilable("generated code and the cell disagree, which is a bug of rnnkit")
