"""What is compared: torch's modules and rnnkit's cells, each under a name such as "LSTM auto" or "nn.LSTM"."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from bench.decoders import AdditiveDecoder, DotDecoder, Memory, memory
from torch import Tensor, nn
from torch.nn.functional import linear

import rnnkit
from rnnkit import cells
from rnnkit.cells import Cell, LSTMState
from rnnkit.engines import ENGINES, explain
from rnnkit.engines.policy import refusal
from rnnkit.engines.request import Request


class Size(NamedTuple):
    """T time steps, B sequences, I input and H hidden features."""

    T: int
    B: int
    I: int  # noqa: E741
    H: int

    def __str__(self) -> str:
        return ", ".join(map(str, self))


class MultiplicativeMemoryCell(Cell[LSTMState]):
    """A cell that rnnkit has never seen: an LSTM whose candidate reads its memory, scaled by the input.

    i, f, o = sigmoid(W x + U h), g = tanh(W_g x + V (W_m x * tanh(c))), c' = f c + i g, h' = o tanh(c')

    Two tensors of state, two recurrent products, as many multiplications in them as an LSTM has.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.input_map = nn.Linear(input_size, 5 * hidden_size)
        self.gate_map = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.memory_map = nn.Linear(hidden_size, hidden_size, bias=False)

    def initial_state(self, batch_size: int) -> LSTMState:
        zeros_BH = self.gate_map.weight.new_zeros(batch_size, self.output_size)
        return LSTMState(zeros_BH, zeros_BH)

    def forward(self, x_BI: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        H = self.output_size
        gates_B3H, g_BH, m_BH = linear(x_BI, self.input_map.weight, self.input_map.bias).split([3 * H, H, H], dim=-1)
        i_BH, f_BH, o_BH = torch.sigmoid(gates_B3H + self.gate_map(state.hidden)).chunk(3, dim=-1)
        g_BH = torch.tanh(g_BH + self.memory_map(m_BH * torch.tanh(state.cell)))
        c_BH = f_BH * state.cell + i_BH * g_BH
        h_BH = o_BH * torch.tanh(c_BH)
        return h_BH, LSTMState(h_BH, c_BH)


TORCH: dict[str, Any] = {"nn.LSTM": nn.LSTM, "nn.GRU": nn.GRU}
CELLS: dict[str, Callable[[int, int], Cell[Any]]] = {
    "LSTM": cells.LSTMCell,
    "GRU": cells.GRUCell,
    "LayerNormLSTM": cells.LayerNormLSTMCell,
    "unseen": MultiplicativeMemoryCell,
    "minGRU": cells.MinGRUCell,
    "sLSTM": cells.SLSTMCell,
    "CfC": cells.CfCCell,
    "AdditiveDecoder": AdditiveDecoder,
    "DotDecoder": DotDecoder,
}


class Candidate:
    """One of them at one size, with its input and the fixed projection of its outputs that is its loss."""

    def __init__(
        self, name: str, size: Size, device: str = "cpu", autocast: bool = False, checkpoint_every: int | None = None
    ) -> None:
        torch.manual_seed(0)
        self.name, self.device, self.autocast = name, device, autocast
        self.x_BTI = torch.randn(size.B, size.T, size.I, device=device, requires_grad=True)
        self.probe_BTH = torch.randn(size.B, size.T, size.H, device=device)
        self.context: Memory | None = None
        if name in TORCH:
            # batch_first, because that is the work that scan does: [B, T, I] in, [B, T, H] out.
            self.module = TORCH[name](size.I, size.H, batch_first=True).to(device)
            self.forward = lambda: self.module(self.x_BTI)[0]
            return
        family, _, self._engine = name.partition(" ")
        self.module = CELLS[family](size.I, size.H).to(device)
        # An option that is not asked for is not passed either.
        options: dict[str, Any] = {} if checkpoint_every is None else {"checkpoint_every": checkpoint_every}
        if self.module.takes_context:
            self.context = memory(size.B, size.H)
            options["context"] = self.context
        self.forward = lambda: rnnkit.scan(self.module, self.x_BTI, engine=self._engine, **options)[0]

    def step(self) -> None:
        """Forward and backward: the gradients to the input and to every parameter."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.autocast):
            loss = (self.forward() * self.probe_BTH).sum()
        read = [] if self.context is None else [self.context.values]
        torch.autograd.grad(loss, [self.x_BTI, *read, *self.module.parameters()])

    def engine(self) -> str:
        """What runs: for `auto`, what it has chosen by now."""
        if self.name in TORCH:
            return ""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.autocast):
            return explain(self.module, self.x_BTI, context=self.context, engine=self._engine).engine


def with_every_engine(family: str, size: Size, device: str = "cpu") -> list[str]:
    """The names of a cell with `auto` and with each engine that can run it."""
    cell = CELLS[family](size.I, size.H).to(device)
    arguments = (cell, torch.zeros(size.B, size.T, size.I, device=device, requires_grad=True))
    state = cell.initial_state(size.B)
    able = [name for name in ENGINES if refusal(name, Request(*arguments, state)) is None]
    return [f"{family} {engine}" for engine in ("auto", *able)]
