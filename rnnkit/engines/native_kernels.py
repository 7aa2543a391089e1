"""Calls of torch's kernels: whole sequences, both directions at once, and single steps of an LSTM."""

from typing import Any, cast

import torch
from torch import Tensor

from rnnkit.cells.base import Cell, State
from rnnkit.cells.elman import ElmanCell
from rnnkit.cells.gru import GRUCell
from rnnkit.cells.lstm import LSTMCell, LSTMState
from rnnkit.compat.torch import (
    are_transforms_active,
    forward_hooks,
    forward_pre_hooks,
    has_any_global_hook,
    is_forward_mode,
    own_parameters,
)

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

_kernels: Any = torch  # without types


def quick_step(cell: Cell[State], x_B1I: Tensor, state: State) -> tuple[Tensor, State] | None:
    """Run one step of a live stream by torch's LSTM cell; None if the general path is needed."""
    if type(cell) is not LSTMCell or not isinstance(state, LSTMState):
        return None
    weights = own_parameters(cell)  # attribute access of a module takes a microsecond
    weight_ih, weight_hh = cast(Tensor, weights["weight_ih"]), cast(Tensor, weights["weight_hh"])
    h_BH, c_BH = cast(LSTMState, state)
    B, hidden_size = h_BH.shape[0], weight_hh.shape[1]
    if (
        x_B1I.shape != (B, 1, weight_ih.shape[1])
        or not h_BH.shape == c_BH.shape == (B, hidden_size)
        or not x_B1I.dtype == h_BH.dtype == c_BH.dtype == weight_hh.dtype
        or not (x_B1I.is_cpu and weight_hh.is_cpu)
        or forward_hooks(cell)
        or forward_pre_hooks(cell)
        or "forward" in cell.__dict__
        or are_transforms_active()
        or is_forward_mode()
        or torch.is_autocast_enabled("cpu")
        or has_any_global_hook()
    ):
        return None
    hc = (h_BH, c_BH)
    h_BH, c_BH = _kernels.lstm_cell(x_B1I[:, 0], hc, weight_ih, weight_hh, weights["bias_ih"], weights["bias_hh"])
    # the output may be modified in place, so the state must not share its memory
    return torch.stack((h_BH,), 1), LSTMState(h_BH, c_BH)  # type: ignore[return-value]


def _lstm_steps(cell: LSTMCell, x_BTI: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
    """Run the cell step by step."""
    weights = (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    outputs = []
    for x_BI in x_BTI.unbind(1):
        state = LSTMState(*_kernels.lstm_cell(x_BI, tuple(state), *weights))
        outputs.append(state.hidden)
    return torch.stack(outputs, dim=1), state


def run_both(cells: tuple[Any, Any], x_BTI: Tensor, states: list[Any]) -> tuple[Tensor, tuple[Any, Any]]:
    """Run a pair over sequences of full length in one call of the kernel; return concatenated outputs and both
    states.
    """
    has_bias = cells[0].bias_ih is not None
    weights = [getattr(cell, name) for cell in cells for name in WEIGHTS[: 4 if has_bias else 2]]
    options = (has_bias, 1, 0.0, torch.is_grad_enabled(), True, True)
    if isinstance(cells[0], LSTMCell):
        hx = tuple(torch.stack(parts) for parts in zip(*states, strict=True))
        y_BTH, h_2BH, c_2BH = _kernels.lstm(x_BTI, hx, weights, *options)
        return y_BTH, (LSTMState(h_2BH[0], c_2BH[0]), LSTMState(h_2BH[1], c_2BH[1]))
    kernel = _kernel_of(cells[0])
    y_BTH, h_2BH = kernel(x_BTI, torch.stack(states), weights, *options)
    return y_BTH, (h_2BH[0], h_2BH[1])


def run_kernel(cell: Any, x_BTI: Tensor, state: Any, weight_ih: Tensor) -> tuple[Tensor, Any]:
    """Call the kernel once."""
    has_bias = cell.bias_ih is not None
    weights = [weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh] if has_bias else [weight_ih, cell.weight_hh]
    if x_BTI.is_cuda:
        weights = _in_one_buffer(weights)
    # cuDNN's backward pass requires its training mode, which is unrelated to that of the module: without dropout both
    # modes compute the same values
    options = (has_bias, 1, 0.0, torch.is_grad_enabled(), False, True)
    if isinstance(cell, LSTMCell):
        if x_BTI.device.type == "cpu" and x_BTI.shape[1] <= 2 and weight_ih is cell.weight_ih:
            # oneDNN repacks the weights at every call, which does not pay off for one or two steps
            return _lstm_steps(cell, x_BTI, state)
        # cuDNN requires contiguous states
        hx = (state.hidden.contiguous()[None], state.cell.contiguous()[None])
        y_BTH, h_1BH, c_1BH = _kernels.lstm(x_BTI, hx, weights, *options)
        return y_BTH, LSTMState(hidden=h_1BH[0], cell=c_1BH[0])
    y_BTH, h_1BH = _kernel_of(cell)(x_BTI, state.contiguous()[None], weights, *options)
    return y_BTH, h_1BH[0]


def _kernel_of(cell: GRUCell | ElmanCell) -> Any:
    return _kernels.gru if isinstance(cell, GRUCell) else getattr(_kernels, f"rnn_{cell.nonlinearity}")


def _in_one_buffer(weights: list[Tensor]) -> list[Tensor]:
    """Return the weights as views of one buffer in cuDNN's order; it copies others at every call, with a warning."""
    buffer = torch.cat([weight.flatten() for weight in weights])
    parts = buffer.split([weight.numel() for weight in weights])
    return [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]
