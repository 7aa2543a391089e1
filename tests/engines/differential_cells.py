"""The cells of the differential test: those of the YAMLs, wrappers, and cells that nobody has thought of."""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from differential_inputs import Attending, Timed
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from rnnkit.cells import (
    AntisymmetricCell,
    Cell,
    CfCCell,
    ElmanCell,
    GRUCell,
    LearnedInitialState,
    LRUCell,
    LSTMCell,
    MGUCell,
    MinGRUCell,
    Residual,
    SLSTMCell,
    VariationalDropout,
    WeightDrop,
    wrapped,
)

Factory = Callable[[int, int], Cell[Any]]
CONFIGS = Path(__file__).parents[2] / "configs" / "model" / "cell"


class Leaky(Cell[Tensor]):
    """What a user writes first."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.a, self.b = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size, bias=False)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.a.weight.new_zeros(batch_size, self.output_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        h_BH = 0.7 * state + 0.3 * torch.tanh(self.a(x_BI) + self.b(state))
        return h_BH, h_BH


class Counted(NamedTuple):
    hidden: Tensor
    steps: Tensor


class Counting(Cell[Counted]):
    """A learned initial state, an integer in the state, a buffer, and an output of another width."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, 2 * hidden_size
        self.start = nn.Parameter(torch.randn(1, hidden_size))
        self.map = nn.Linear(input_size + hidden_size, hidden_size)
        self.register_buffer("scale", torch.linspace(0.5, 1.5, hidden_size))

    def initial_state(self, batch_size: int) -> Counted:
        steps = torch.zeros(batch_size, 1, dtype=torch.long, device=self.start.device)
        return Counted(self.start.expand(batch_size, -1), steps)

    def forward(self, x_BI: Tensor, state: Counted) -> tuple[Tensor, Counted]:
        h_BH = torch.tanh(self.map(torch.cat([x_BI, state.hidden], 1)) / (1 + state.steps)) * self.scale
        return torch.cat([h_BH, h_BH.square()], 1), Counted(h_BH, state.steps + 1)


class Matrix(Cell[Tensor]):
    """A state with two axes, written by outer products and read by a query."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.maps = nn.Linear(input_size, 3 * hidden_size)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.maps.weight.new_zeros(batch_size, self.output_size, self.output_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        q_BH, k_BH, v_BH = self.maps(x_BI).tanh().chunk(3, 1)
        state = 0.9 * state + v_BH[:, :, None] * k_BH[:, None]
        return (state * q_BH[:, None]).sum(2), state


class Pair(Cell[tuple[Tensor, Tensor]]):
    """A plain tuple of states, of which the step swaps the parts."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.map = nn.Linear(input_size, hidden_size)
        self.decay = nn.Parameter(torch.rand(hidden_size))

    def initial_state(self, batch_size: int) -> tuple[Tensor, Tensor]:
        return self.decay.new_zeros(batch_size, self.output_size), self.decay.new_ones(batch_size, self.output_size)

    def forward(self, x_BI: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        old_BH, new_BH = state
        next_BH = self.decay * old_BH + torch.sin(self.map(x_BI) + new_BH)
        return new_BH, (new_BH, next_BH)


ONE: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": nn.functional.softplus,
    "gelu": nn.functional.gelu,
    "softmax": lambda a: torch.softmax(a, 1),
    "centered": lambda a: a - a.mean(1, keepdim=True),
    "normed": lambda a: nn.functional.layer_norm(a, a.shape[1:]),
    "turned": lambda a: torch.roll(a, 1, 1),
    "flipped": lambda a: a.flip(1),
    "halved": lambda a: torch.cat([a[:, a.shape[1] // 2 :], a[:, : a.shape[1] // 2].cos()], 1),
    "clamped": lambda a: a.clamp(-1, 0.5),
    "root": lambda a: (a.square() + 0.1).sqrt(),
    "cumulated": lambda a: a / (1 + a.square().sum(1, keepdim=True)),
}
TWO: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": torch.add,
    "product": lambda a, b: a * b.tanh(),
    "ratio": lambda a, b: a / (1 + b.square()),
    "where": lambda a, b: torch.where(a > b, a, b / 2),
    "mixed": lambda a, b: torch.lerp(a, b, torch.sigmoid(a)),
    "larger": torch.maximum,
    "scores": lambda a, b: a * (a * b).sum(1, keepdim=True).tanh(),
    "read": lambda a, b: torch.bmm(torch.softmax(a[:, :, None] * b[:, None], 2), b[:, :, None]).squeeze(2),
}


class Composed(Cell[Tensor]):
    """A step composed at random, the same for the same number."""

    def __init__(self, input_size: int, hidden_size: int, number: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.w = nn.Parameter(torch.randn(hidden_size, input_size) / 2)
        self.u = nn.Parameter(torch.randn(hidden_size, hidden_size) / 2.5)
        self.b = nn.Parameter(torch.randn(hidden_size) / 2)
        draw = random.Random(number)
        self.new, self.output = _expression(draw, 3), _expression(draw, 1)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.u.new_zeros(batch_size, self.output_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        leaves = {"Wx": x_BI @ self.w.T, "Uh": state @ self.u.T, "h": state, "b": self.b.expand_as(state)}
        h_BH = torch.tanh(_evaluated(self.new, leaves) + leaves["Wx"] + state / 2)
        return _evaluated(self.output, leaves | {"h": h_BH}), h_BH


def _expression(draw: random.Random, depth: int) -> Any:
    if depth == 0:
        return draw.choice(["Wx", "Uh", "h", "b"])
    if draw.random() < 0.5:
        return draw.choice(sorted(ONE)), _expression(draw, depth - 1)
    return draw.choice(sorted(TWO)), _expression(draw, depth - 1), _expression(draw, 0)


def _evaluated(tree: Any, leaves: dict[str, Tensor]) -> Tensor:
    if isinstance(tree, str):
        return leaves[tree]
    name, *parts = tree
    values = [_evaluated(part, leaves) for part in parts]
    return (ONE[name] if name in ONE else TWO[name])(*values)  # type: ignore[operator]


def _parametrized(input_size: int, hidden_size: int) -> Cell[Any]:
    return weight_norm(LSTMCell(input_size, hidden_size), "weight_hh")  # type: ignore[no-any-return]


def _around(cell: Factory, *wrappers: Any) -> Factory:
    return partial(wrapped, cell=cell, wrappers=wrappers)


CELLS: dict[str, Factory] = {
    **{path.stem: instantiate(OmegaConf.load(path), _convert_="all") for path in sorted(CONFIGS.glob("*.yaml"))},
    "elman relu": partial(ElmanCell, nonlinearity="relu"),
    "elman without bias": partial(ElmanCell, bias=False),
    "lstm without bias": partial(LSTMCell, bias=False),
    "gru of the paper": partial(GRUCell, reset_after=False),
    "gru without bias": partial(GRUCell, bias=False),
    "antisymmetric gated": partial(AntisymmetricCell, gated=True),
    "slstm exp": partial(SLSTMCell, forget_gate="exp"),
    "cfc small": partial(CfCCell, backbone_size=4),
    "learned gru": _around(GRUCell, LearnedInitialState),
    "learned min_gru": _around(MinGRUCell, LearnedInitialState),
    "learned lru": _around(LRUCell, LearnedInitialState),
    "residual mgu": _around(MGUCell, Residual),
    "residual min_gru": _around(MinGRUCell, Residual),
    "variational gru": _around(GRUCell, partial(VariationalDropout, input=0.2, state=0.2, output=0.2)),
    "weight drop gru": _around(GRUCell, partial(WeightDrop, p=0.5), LearnedInitialState),
    "weight norm lstm": _parametrized,
    "leaky": Leaky,
    "counting": Counting,
    "matrix": Matrix,
    "attending": Attending,
    "timed": Timed,
    "pair": Pair,
}


def factory_of(name: str) -> Factory:
    """A cell of the table, or `composed 7` for a step composed at random."""
    kind, _, number = name.partition(" ")
    return partial(Composed, number=int(number)) if kind == "composed" else CELLS[name]


def is_random(name: str) -> bool:
    """Random for a whole window in training; zoneout draws at each step, and each engine in an order of its own."""
    return name.startswith(("variational", "weight drop", "weight_drop"))
