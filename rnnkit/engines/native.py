"""torch's kernels (oneDNN, cuDNN, MPS) for cells that compute exactly the same function.

The kernels support neither padding nor resets nor reversed time, and packed sequences are slow on CPUs and synchronize
on GPUs. Therefore everything is reduced to plain forward runs: the valid part is flipped for `reverse`, the sequence is
split where a row is reset, and padding runs through the kernel as zeros and is masked in the result.
"""

from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor
from torch.compiler import is_compiling

from rnnkit.cells.base import Cell, State
from rnnkit.cells.elman import ElmanCell
from rnnkit.cells.gru import GRUCell
from rnnkit.cells.lstm import LSTMCell, LSTMState
from rnnkit.cells.state import state_leaves
from rnnkit.compat.torch import (
    has_onednn_bfloat16,
    has_onednn_float16,
    own_modules,
    own_parameters,
)
from rnnkit.engines import reference
from rnnkit.engines.hooks import transformed, watched
from rnnkit.engines.native_kernels import WEIGHTS, run_kernel
from rnnkit.engines.request import Request, Result
from rnnkit.engines.window import FULL, select_rows
from rnnkit.masks import flip_valid, last_valid, valid_steps

FREEZE = 32768.0
"""A pre-activation at which a sigmoid is exactly 0 or 1 and a ReLU exactly 0; all floating dtypes can represent it."""

AUTOCAST = {torch.float32, torch.bfloat16, torch.float16}
"""The dtypes between which autocast converts."""


def unsupported(request: Request) -> str | None:
    """Return why the kernels cannot compute the cell; None if they can."""
    cell = request.cell
    if type(cell) not in (LSTMCell, GRUCell, ElmanCell):
        return f"torch has kernels for LSTMCell, GRUCell and ElmanCell, not for {type(cell).__name__}"
    if isinstance(cell, GRUCell) and not cell.reset_after:
        return "torch's GRU resets after the recurrent product; this cell has reset_after=False"
    if request.plain is not None:
        return f"{request.plain}, which torch's kernels do not support"
    if request.states and isinstance(cell, LSTMCell):
        return "torch's LSTM does not return the states of single steps"
    if not _has_kernel(cell, request.first):
        dtype = str(torch.get_autocast_dtype("cpu")).removeprefix("torch.")
        return f"torch's LSTM raises an error under autocast to {dtype} on a processor that does not multiply {dtype}"
    if (watcher := watched(cell)) is not None:
        return watcher
    return transformed([request.x, *state_leaves(request.state), *own_parameters(cell).values()])


def run(request: Request) -> Result:
    """Run the kernel, once if no row is reset inside the window."""
    cell, x_BTI, state, window, _, wanted, _ = request
    if not _one_dtype(cell, x_BTI, state):
        # raises torch's own error, whatever a kernel would do
        return reference.run(request)
    lengths_B, fresh_BT, reverse = window
    if reverse:
        x_BTI = flip_valid(x_BTI, lengths_B)
        fresh_BT = None if fresh_BT is None else flip_valid(fresh_BT, lengths_B)
    if fresh_BT is None:
        y_BTO, end = _forward(cell, x_BTI, state, lengths_B)
    else:
        y_BTO, end = _in_segments(cell, x_BTI, state, request.fresh_state(), lengths_B, fresh_BT)
    if isinstance(cell, LSTMCell) and x_BTI.is_cpu and window == FULL and not is_compiling():
        # The caller may modify the output, which oneDNN's backward pass needs and otherwise returns as a view. In other
        # windows it has been copied. A trace is compared with a second one, without gradients.
        y_BTO = y_BTO.clone() if y_BTO.requires_grad or torch.jit.is_tracing() else y_BTO.data  # type: ignore[attr-defined]
    y_BTO = flip_valid(y_BTO, lengths_B) if reverse else y_BTO
    return Result(y_BTO, end, _states(y_BTO, state if reverse else end, lengths_B) if wanted else None)


def _states(y_BTO: Tensor, held_BH: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Return the state after every step of a cell whose output is its state; at padded steps the last valid one."""
    if lengths_B is None:
        return y_BTO.clone()
    return torch.where(valid_steps(lengths_B, y_BTO.shape[1])[..., None], y_BTO, held_BH[:, None])


def _has_kernel(cell: Cell[Any], x_BTI: Tensor) -> bool:
    """Whether torch's LSTM runs under the present autocast on this processor; under autocast it knows oneDNN only."""
    if not (isinstance(cell, LSTMCell) and x_BTI.is_cpu and torch.is_autocast_enabled("cpu")):
        return True
    is_bfloat16 = torch.get_autocast_dtype("cpu") == torch.bfloat16
    return bool(has_onednn_bfloat16() if is_bfloat16 else has_onednn_float16())


def _one_dtype(cell: Cell[Any], x_BTI: Tensor, state: Any) -> bool:
    """Whether all tensors have one dtype, or one that autocast converts them to on this device."""
    weights = [getattr(cell, name) for name in WEIGHTS] if own_modules(cell) else own_parameters(cell).values()
    dtypes = {tensor.dtype for tensor in (x_BTI, *state_leaves(state), *weights) if tensor is not None}
    if x_BTI.is_cpu and torch.float16 in dtypes and torch.is_autocast_enabled("cpu"):
        return False  # autocast cannot promote float16 on a CPU
    return len(dtypes) == 1 or (torch.is_autocast_enabled(x_BTI.device.type) and dtypes <= AUTOCAST)


def are_a_pair(cells: tuple[Cell[Any], Cell[Any]], x_BTI: Tensor) -> bool:
    """Whether the kernel can run two cells as the directions of one layer; on CPUs only, where this was tested."""
    one, other = cells
    if type(one) is not type(other) or not isinstance(one, LSTMCell | GRUCell | ElmanCell):
        return False
    alike = one.hidden_size == other.hidden_size and (one.bias_ih is None) == (other.bias_ih is None)
    if isinstance(one, ElmanCell):
        alike = alike and one.nonlinearity == cast(ElmanCell, other).nonlinearity
    alike = alike and _has_kernel(one, x_BTI)
    return alike and x_BTI.is_cpu and x_BTI.shape[1] > 2 and _one_dtype(one, x_BTI, ()) and _one_dtype(other, x_BTI, ())


def _in_segments(
    cell: Cell[State], x_BTI: Tensor, state: State, initial: State, lengths_B: Tensor | None, fresh_BT: Tensor
) -> tuple[Tensor, State]:
    """Run the kernel from each step at which some row is reset to the next such step."""
    steps = x_BTI.shape[1]
    # the only synchronization with a GPU: the places of resets must be known here
    starts = [0, *(t for t in fresh_BT.any(dim=0).nonzero().flatten().tolist() if t > 0)]
    outputs = []
    for start, end in pairwise([*starts, steps]):
        state = select_rows(fresh_BT[:, start], initial, state)
        left_B = None if lengths_B is None else (lengths_B - start).clamp(0, end - start)
        y_BTO, state = _forward(cell, x_BTI[:, start:end], state, left_B)
        outputs.append(y_BTO)
    return torch.cat(outputs, dim=1), state


def _forward(cell: Any, x_BTI: Tensor, state: Any, lengths_B: Tensor | None) -> tuple[Tensor, Any]:
    """Run the kernel once in time order, with padding masked."""
    if lengths_B is None:
        return run_kernel(cell, x_BTI, state, cell.weight_ih)
    padded_BT1 = ~valid_steps(lengths_B, x_BTI.shape[1])[..., None]
    x_BTI = x_BTI.masked_fill(padded_BT1, 0)
    weight_ih = cell.weight_ih
    column = _freezing_column(cell)
    if column is not None:
        x_BTI = torch.cat([x_BTI, padded_BT1.to(x_BTI.dtype)], dim=2)
        weight_ih = torch.cat([weight_ih, column], dim=1)
    y_BTO, end = run_kernel(cell, x_BTI, state, weight_ih)
    y_BTO = y_BTO.masked_fill(padded_BT1, 0)
    h_BH = last_valid(y_BTO, lengths_B)
    end = LSTMState(h_BH, end.cell) if isinstance(end, LSTMState) else h_BH
    return y_BTO, select_rows(lengths_B > 0, end, state)


def _freezing_column(cell: Any) -> Tensor | None:
    """Return input weights for a feature that is 1 at padded steps, which make the kernel keep its state there.

    The last c of an LSTM is not among its outputs, so c must pass the padding unchanged: input gate 0, forget gate 1.
    The state of a ReLU cell could grow without bound over long padding and reach the gradients of the weights as
    0 * inf, so it is set to 0. The states of other cells are bounded, and the last valid one is among the outputs.
    """
    column_G1: Tensor = cell.weight_ih.new_zeros(cell.weight_ih.shape[0], 1)
    if isinstance(cell, LSTMCell):
        column_G1[: cell.hidden_size] = -FREEZE
        column_G1[cell.hidden_size : 2 * cell.hidden_size] = FREEZE
        return column_G1
    if isinstance(cell, ElmanCell) and cell.nonlinearity == "relu":
        return column_G1.fill_(-FREEZE)
    return None
