"""Gradients of gradients, and many gradients side by side: those of the Python loop, or an error that names it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from rnnkit import RNN
from rnnkit.cells import (
    Cell,
    ElmanCell,
    GRUCell,
    LayerNormLSTMCell,
    LearnedInitialState,
    LinearCell,
    LRUCell,
    LSTMCell,
    MinGRUCell,
    MinLSTMCell,
    SRUCell,
    VariationalDropout,
    WeightDrop,
    Zoneout,
    map_state,
    state_leaves,
)
from rnnkit.engines import ENGINES, scan
from rnnkit.engines.both import scan_both
from rnnkit.engines.policy import refusal
from rnnkit.engines.request import Request
from rnnkit.errors import UserError

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "model" / "cell").glob("*.yaml"))
LENGTHS, RESET = torch.tensor([5, 3, 0]), torch.tensor([[0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]).bool()
FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "padded, reset, reversed": {"lengths": LENGTHS, "reset": RESET, "reverse": True},
    "checkpointed": {"checkpoint_every": 2},
}


class Leaky(Cell[Tensor]):
    """A step that nobody has seen before."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.a, self.b = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size, bias=False)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.a.weight.new_zeros(batch_size, self.output_size)

    def forward(self, x_BI: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = 0.7 * h + 0.3 * torch.tanh(self.a(x_BI) + self.b(h))
        return h, h


def random_like(tensors: list[Tensor]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(tensor.dtype) for tensor in tensors]


def twice(run: Callable[..., tuple[Tensor, Any]], cell: nn.Module, state: Any = None, steps: int = 5) -> list[Tensor]:
    """Gradients, and the gradients of those in a random direction, with the same noise at each call."""
    dtype = next(cell.parameters()).dtype
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, steps, 3, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    given = [x, *(leaf for leaf in state_leaves(state) if leaf.requires_grad)] if state is not None else [x]
    sources = [*given, *cell.parameters()]
    torch.manual_seed(2)
    y, end = run(cell, x, *([] if state is None else [state]))
    values = [y, *(leaf for leaf in state_leaves(end) if leaf.is_floating_point())]
    total = torch.stack([(value * value.cos()).sum() for value in values]).sum()
    first = torch.autograd.grad(total, sources, create_graph=True, allow_unused=True, materialize_grads=True)
    torch.rand(3)
    slope = sum((a * b).sum() for a, b in zip(first, random_like(list(first)), strict=True))
    return [*first, *torch.autograd.grad(slope, sources, allow_unused=True, materialize_grads=True)]  # type: ignore[arg-type]


def agree(cell: Cell[Any], engine: str, **form: Any) -> None:
    state = map_state(
        lambda leaf: (leaf.detach() + 0.1).requires_grad_() if leaf.is_floating_point() else leaf,
        cell.initial_state(3),
    )
    run = partial(scan, **form)
    found = twice(partial(run, engine=engine), cell, state)
    torch.testing.assert_close(found, twice(partial(run, engine="reference"), cell, state), rtol=1e-8, atol=1e-9)


CELLS: dict[str, Callable[[], Cell[Any]]] = {
    "own": lambda: Leaky(3, 4),
    "layer norm": lambda: LayerNormLSTMCell(3, 4),
    "GRU": lambda: GRUCell(3, 4),
    "minGRU": lambda: MinGRUCell(3, 4),
    "learned initial state": lambda: LearnedInitialState(LSTMCell(3, 4)),
    "masks of a window": lambda: VariationalDropout(LSTMCell(3, 4), input=0.3, state=0.3, output=0.3),
    "weights dropped": lambda: WeightDrop(ElmanCell(3, 4), p=0.5),
    "weight norm": lambda: parametrizations.weight_norm(ElmanCell(3, 4), "weight_hh"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CELLS)
def test_compiled_is_the_loop(name: str, form: str) -> None:
    options = dict(FORMS[form])
    if name == "masks of a window":
        options.pop("reset", None)  # the loop draws new ones at every step, and each engine in its own order
    agree(CELLS[name]().double(), "compiled", **options)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cell", [MinGRUCell, MinLSTMCell, SRUCell])
def test_parallel_is_the_loop(cell: type[LinearCell], form: str) -> None:
    agree(cell(3, 4).double(), "parallel", **FORMS[form])


def test_parallel_is_the_loop_for_complex_states() -> None:
    cell = LRUCell(3, 4).double()
    found, wanted = (twice(partial(scan, engine=engine), cell) for engine in ("parallel", "reference"))
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("cell", [LSTMCell, GRUCell, ElmanCell])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_native_is_the_loop(cell: Any, dtype: torch.dtype) -> None:
    cell = cell(3, 4).to(dtype)
    found, wanted = (twice(partial(scan, engine=engine), cell) for engine in ("native", "reference"))
    tolerance = 1e-4 if dtype == torch.float32 else 1e-9
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_cell_on_every_engine_in_both_directions(path: Path) -> None:
    cell = instantiate(OmegaConf.load(path), _convert_="all")(3, 4).double()
    noisy = isinstance(cell, Zoneout)
    for mode in (True, False):
        cell.train(mode)
        for name in ENGINES:
            if refusal(name, Request(cell, torch.zeros(3, 5, 3, dtype=torch.float64), cell.initial_state(3))) is None:
                for reverse in (False, True):
                    if noisy and mode and name == "compiled":
                        with pytest.raises(UserError, match='engine="reference"'):
                            agree(cell, name, reverse=reverse)
                    elif name != "reference":
                        agree(cell, name, reverse=reverse)


@pytest.mark.parametrize("cell", [LSTMCell, LayerNormLSTMCell, MinGRUCell])
def test_auto_and_both_directions(cell: Any) -> None:
    cells = nn.ModuleList([cell(3, 4).double(), cell(3, 4).double()])

    def run(cells: Any, x: Tensor, engine: str) -> Any:
        y, (forward, backward) = scan_both(tuple(cells), x, engine=engine)
        return y, (forward, backward)

    found, wanted = (twice(partial(run, engine=engine), cells, steps=20) for engine in ("auto", "reference"))
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-9)


def test_noise_in_every_step_is_an_error_that_names_the_loop() -> None:
    cell, x = Zoneout(LSTMCell(3, 4), 0.5), torch.randn(2, 20, 3)
    with pytest.raises(UserError, match=r'Zoneout draws random numbers.*Try: engine="reference"'):
        torch.autograd.grad(scan(cell, x)[0].sum(), list(cell.parameters()), create_graph=True)
    assert torch.autograd.grad(scan(cell, x)[0].sum(), cell.cell.weight_hh)[0].isfinite().all()


def test_third_derivatives() -> None:
    cell, x = Leaky(2, 3).double(), torch.randn(1, 3, 2, dtype=torch.float64)

    def third(engine: str) -> Tensor:
        slope = scan(cell, x, engine=engine)[0].sin().sum()
        for _ in range(3):
            (found,) = torch.autograd.grad(slope, cell.b.weight, create_graph=True)
            slope = found.pow(2).sum()
        return found

    torch.testing.assert_close(third("compiled"), third("reference"))


@pytest.mark.parametrize("engine", ["compiled", "parallel"])
def test_finite_differences_of_finite_differences(engine: str) -> None:
    cell = MinGRUCell(2, 3).double()
    x = torch.randn(1, 4, 2, dtype=torch.float64, requires_grad=True)
    h = torch.randn(1, 3, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradgradcheck(lambda x, h: scan(cell, x, h, engine=engine), (x, h), fast_mode=True)


X = torch.randn(2, 16, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def summed(cell: Cell[Any], engine: str = "auto") -> Callable[[Tensor], Tensor]:
    return lambda x: scan(cell, x, engine=engine)[0][:, -1].sin().sum()


def last(cell: Cell[Any], engine: str = "auto") -> Callable[[Tensor], Tensor]:
    return lambda x: scan(cell, x, engine=engine)[0][:, -1]


TRANSFORMS: dict[str, Callable[..., Any]] = {
    "hvp": lambda cell, engine: torch.autograd.functional.hvp(summed(cell, engine), X, torch.ones_like(X)),
    "vhp": lambda cell, engine: torch.autograd.functional.vhp(summed(cell, engine), X, torch.ones_like(X)),
    "jvp": lambda cell, engine: torch.autograd.functional.jvp(last(cell, engine), X, torch.ones_like(X)),
    "jacobian": lambda cell, engine: torch.autograd.functional.jacobian(last(cell, engine), X, vectorize=True),
    "recorded jacobian": lambda cell, engine: torch.autograd.functional.jacobian(
        last(cell, engine), X, create_graph=True, vectorize=True
    ).detach(),
    "forward jacobian": lambda cell, engine: torch.autograd.functional.jacobian(
        last(cell, engine), X, vectorize=True, strategy="forward-mode"
    ),
    "hessian": lambda cell, engine: torch.autograd.functional.hessian(summed(cell, engine), X[:1, :16], vectorize=True),
    "func grad": lambda cell, engine: torch.func.grad(summed(cell, engine))(X),
    "func jvp": lambda cell, engine: torch.func.jvp(last(cell, engine), (X,), (torch.ones_like(X),)),
    "func vmap": lambda cell, engine: torch.func.vmap(last(cell, engine))(torch.stack([X, 2 * X])),
    "func jacrev": lambda cell, engine: torch.func.jacrev(last(cell, engine))(X),
    "func hessian": lambda cell, engine: torch.func.hessian(summed(cell, engine))(X[:1, :2]),
}


@pytest.mark.parametrize("cell", [Leaky, MinGRUCell, GRUCell])
@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_of_torch(name: str, cell: Any) -> None:
    cell = cell(3, 4).double()
    found, wanted = (TRANSFORMS[name](cell, engine) for engine in ("auto", "reference"))
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-10)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
def test_dual_numbers_without_a_transform() -> None:
    cell = Leaky(3, 4).double()
    wanted = TRANSFORMS["func jvp"](cell, "reference")[1]
    with torch.autograd.forward_ad.dual_level():
        for engine in ("auto", "reference"):
            y, _ = scan(cell, torch.autograd.forward_ad.make_dual(X, torch.ones_like(X)), engine=engine)
            tangent = torch.autograd.forward_ad.unpack_dual(y).tangent
            assert tangent is not None
            torch.testing.assert_close(tangent[:, -1], wanted)


def test_a_global_that_changes_before_the_second_pass(written: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "scale", 0.5, raising=False)

    def step(c: Any, x: Tensor, h: Tensor) -> Any:
        h = torch.tanh(c.mix(x, h) * type(c).scale)
        return h, h

    cell, x = written(step), torch.randn(2, 20, 3)
    (slope,) = torch.autograd.grad(scan(cell, x)[0].square().sum(), cell.u, create_graph=True)
    y = scan(cell, x)[0]
    monkeypatch.setattr(written, "scale", 0.7)
    assert torch.autograd.grad(slope.sum(), cell.u)[0].isfinite().all()
    with pytest.raises(UserError, match=r'globals that have changed.*engine="reference"'):
        torch.autograd.grad(y.square().sum(), cell.u, create_graph=True)


def test_a_mode_that_changes_before_the_second_pass() -> None:
    """What is computed again is what was computed, in the mode of then."""
    cell, x = Zoneout(LSTMCell(3, 4), 0.5).double().eval(), torch.randn(2, 20, 3, dtype=torch.float64)
    gradients = []
    for engine in ("auto", "reference"):
        y = scan(cell.eval(), x, engine=engine)[0]
        cell.train()
        (slope,) = torch.autograd.grad(y.square().sum(), cell.cell.weight_hh, create_graph=True)
        gradients.append(torch.autograd.grad(slope.sin().sum(), cell.cell.weight_hh))
    torch.testing.assert_close(*gradients)


def test_a_gradient_penalty_trains_a_stack() -> None:
    torch.manual_seed(0)
    rnn, x = RNN(LayerNormLSTMCell, 3, 4, num_layers=2).double(), torch.randn(2, 16, 3, dtype=torch.float64)

    def penalty(engine: str) -> list[Tensor]:
        x.requires_grad_()
        (slope,) = torch.autograd.grad(rnn(x, engine=engine)[0].sum(), x, create_graph=True)
        return list(torch.autograd.grad(slope.square().sum(), list(rnn.parameters()), allow_unused=True))

    torch.testing.assert_close(penalty("auto"), penalty("reference"), rtol=1e-8, atol=1e-10)
