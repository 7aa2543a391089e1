"""What the tests of the compiled engine share: a cell around any step, and the comparison with the Python loop."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnnkit import scan
from rnnkit.cells import Cell
from rnnkit.cells.state import map_state, state_leaves

ROWS, STEPS, INPUTS, H = 4, 5, 3, 6
Step = Callable[[Any, Tensor, Any], tuple[Tensor, Any]]
Results = dict[str, Tensor]


class Written(Cell[Any]):
    """A cell whose step is a function of it, x and the state; the parameters are there for whatever it does."""

    def __init__(
        self,
        step: Step,
        initial: Callable[[Any, int], Any] | None = None,
        output_size: int = H,
        setup: Callable[[Any], object] = lambda _: None,
    ) -> None:
        super().__init__()
        self.input_size, self.output_size = INPUTS, output_size
        self.step, self.initial = step, initial
        self.w = nn.Parameter(torch.randn(H, INPUTS) / 2)
        self.u = nn.Parameter(torch.randn(H, H) / 2.5)
        self.b = nn.Parameter(torch.randn(H) / 2)
        self.s = nn.Parameter(torch.tensor(0.7))
        setup(self)

    def initial_state(self, batch_size: int) -> Any:
        return self.u.new_zeros(batch_size, H) if self.initial is None else self.initial(self, batch_size)

    def forward(self, x_BI: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self.step(self, x_BI, state)

    def mix(self, x_BI: Tensor, h_BH: Tensor) -> Tensor:
        return x_BI @ self.w.T + h_BH @ self.u.T + self.b


def _results(cell: Cell[Any], x_BTI: Tensor, state: Any, engine: str, asked: bool, **form: Any) -> Results:
    """What a scan gives, and the gradients of a fixed random sum of it; parameters that are not used have zeros."""
    x_BTI = x_BTI.detach().clone().requires_grad_(asked)
    given = map_state(lambda leaf: leaf.detach().clone().requires_grad_(leaf.is_floating_point()), state)
    y_BTO, end = scan(cell, x_BTI, given, engine=engine, **form)
    values = {"y": y_BTO} | {f"end {n}": leaf for n, leaf in enumerate(state_leaves(end))}
    generator = torch.Generator().manual_seed(3)
    weighed = [(value * torch.randn(value.shape, generator=generator)).sum().double() for value in values.values()]
    sources = {"x": x_BTI} | {f"state {n}": leaf for n, leaf in enumerate(state_leaves(given))}
    sources = {name: leaf for name, leaf in {**sources, **dict(cell.named_parameters())}.items() if leaf.requires_grad}
    found = torch.autograd.grad(sum(weighed), list(sources.values()), allow_unused=True, materialize_grads=True)  # type: ignore[arg-type]
    values |= {f"gradient of {name}": gradient for name, gradient in zip(sources, found, strict=True)}
    return {name: value.detach() for name, value in values.items()}


def _agree(cell: Cell[Any], dtype: torch.dtype = torch.float64, *, padded: bool = False, x_grad: bool = True) -> None:
    """Values and all gradients as the Python loop has them, from a random state; `padded`: and reset, and reversed."""
    cell = cell.to(dtype)
    generator = torch.Generator().manual_seed(1)
    x_BTI = torch.randn(ROWS, STEPS, INPUTS, generator=generator, dtype=dtype)
    state = map_state(
        lambda leaf: leaf + torch.randn(leaf.shape, generator=generator) / 2 if leaf.is_floating_point() else leaf,
        cell.initial_state(ROWS),
    )
    form: dict[str, Any] = {}
    if padded:
        reset_BT = torch.zeros(ROWS, STEPS, dtype=torch.bool)
        reset_BT[[0, 1], [2, 1]] = True
        form = {"lengths": torch.tensor([STEPS, 3, 0, 4]), "reset": reset_BT, "reverse": True}
    expected = _results(cell, x_BTI, state, "reference", x_grad, **form)
    found = _results(cell, x_BTI, state, "compiled", x_grad, **form)
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )  # type: ignore[misc]


@pytest.fixture(scope="session")
def written() -> type[Written]:
    """A cell around any step."""
    return Written


@pytest.fixture(scope="session")
def agree() -> Callable[..., None]:
    """Raises where the compiled engine and the Python loop disagree."""
    return _agree
