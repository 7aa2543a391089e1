"""Values and gradients of the loops for GPUs are those of the Python loop: every cell, all forms, sizes and types."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from rnnkit import scan
from rnnkit.cells import Cell, LayerNormLSTMCell, LSTMCell, PeepholeLSTMCell, Zoneout
from rnnkit.cells.state import state_leaves
from rnnkit.engines.compiled import kernels
from rnnkit.engines.policy import refusal
from rnnkit.engines.request import Request

YAMLS = sorted((Path(__file__).parents[3] / "configs" / "model" / "cell").glob("*.yaml"))
H = 6


def draws(cell: Cell[Any]) -> bool:
    """Whether a cell is random in its present mode."""
    x_BTI, state = torch.ones(2, 2, cell.input_size, dtype=torch.float64), cell.initial_state(2)
    return not torch.equal(*(scan(cell, x_BTI, state, engine="reference")[0] for _ in range(2)))


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_every_cell(path: Path, as_its_loop: Any, reached: Any, taped: Any) -> None:
    cell = instantiate(OmegaConf.load(path), _convert_="all")(3, H).double()
    cell.train(not draws(cell))
    x_BTI, state = torch.randn(5, 7, 3, dtype=torch.float64), reached(cell, 5)
    if any(leaf.is_complex() for leaf in state_leaves(state)):
        pytest.skip("complex numbers are left to the parallel engine")
    lengths, reset_BT = torch.tensor([7, 0, 3, 7, 1]), torch.zeros(5, 7, dtype=torch.bool)
    reset_BT[[0, 0, 1, 3], [0, 5, 2, 6]] = True
    forms: list[dict[str, Any]] = [{}, {"reverse": True}, {"lengths": lengths}]
    for form in [*forms, {"lengths": lengths, "reset": reset_BT, "reverse": True}]:
        # Twice: the second time all tapes are played from the beginning.
        for _ in range(2):
            as_its_loop(cell, x_BTI, state, **form)
    assert taped.replays > taped.made > 0


@pytest.mark.parametrize("steps", [1, 2, 7, 33])
def test_windows_of_any_length_and_batches_of_any_size(steps: int, as_its_loop: Any, reached: Any, taped: Any) -> None:
    cell = LayerNormLSTMCell(3, H).double()
    for rows in (3, 17, 1, 16, 3):
        x_BTI, state = torch.randn(rows, steps, 3, dtype=torch.float64), reached(cell, rows)
        as_its_loop(cell, x_BTI, state)
        as_its_loop(cell, x_BTI, state, lengths=torch.arange(rows) % (steps + 1), reverse=True)
    # For 16 and 32 rows, forward and backward, with masks and without: pieces of 4, 2 and 1 steps, as they are needed.
    assert taped.made == 2 * 2 * 2 * {1: 1, 2: 1, 7: 3, 33: 2}[steps]


def test_a_batch_of_no_rows() -> None:
    y_BTO, end = scan(LSTMCell(3, H), torch.zeros(0, 9, 3, requires_grad=True), engine="compiled")
    assert y_BTO.shape == (0, 9, H)
    assert end.cell.shape == (0, H)
    y_BTO.sum().backward()


def test_a_live_stream_goes_on_as_one_window(taped: Any) -> None:
    cell, x_BTI = LayerNormLSTMCell(3, H), torch.randn(2, 12, 3)
    whole_BTO, whole_end = scan(cell, x_BTI, engine="reference")
    state, outputs = cell.initial_state(2), []
    with torch.no_grad():
        for x_BI in x_BTI.unbind(1):
            y_B1O, state = scan(cell, x_BI[:, None], state, engine="compiled")
            outputs.append(y_B1O)
    torch.testing.assert_close(torch.cat(outputs, 1), whole_BTO)
    torch.testing.assert_close(state.cell, whole_end.cell)
    assert (taped.made, taped.replays) == (1, 12)


def test_noise_differs_between_replays_and_comes_again_with_the_seed(taped: Any) -> None:
    cell, x_BTI = Zoneout(LSTMCell(3, H), 0.5), torch.randn(4, 9, 3)

    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return scan(cell, x_BTI, engine="compiled")[0]

    one, two = drawn(1), drawn(2)
    assert torch.equal(drawn(1), one)
    assert not torch.equal(one, two)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.usefixtures("taped")
def test_autocast_and_half_precision(dtype: torch.dtype, as_its_loop: Any) -> None:
    cell, x_BTI = PeepholeLSTMCell(3, H), torch.randn(4, 9, 3)
    with torch.autocast("cpu", dtype):
        as_its_loop(cell, x_BTI, cell.initial_state(4), 6e-2)
    cell = cell.to(dtype)
    as_its_loop(cell, x_BTI.to(dtype), cell.initial_state(4), 1e-1)


class Odd(NamedTuple):
    count: Tensor
    memory: Tensor
    number: Tensor


@pytest.mark.usefixtures("taped")
def test_an_odd_state(written: Any, as_its_loop: Any) -> None:
    """A counter, a matrix, and one number for each row."""

    def step(c: Any, x: Tensor, state: Any) -> Any:
        a = torch.tanh(c.mix(x, state.memory.sum(2)) + state.number[:, None]) / (1 + state.count[:, None])
        memory = 0.9 * state.memory + a.unsqueeze(2) * a[:, None, :4]
        return a, Odd(state.count + 1, memory, state.number / 2 + a.mean(1))

    def initial(c: Any, n: int) -> Any:
        return Odd(torch.zeros(n, dtype=torch.int64), c.u.new_zeros(n, H, 4), c.s.expand(n))

    cell = written(step, initial=initial).double()
    x_BTI, reset = torch.randn(5, 7, 3, dtype=torch.float64), torch.rand(5, 7) < 0.3
    as_its_loop(cell, x_BTI, cell.initial_state(5))
    lengths = torch.tensor([7, 0, 3, 6, 1])
    as_its_loop(cell, x_BTI, cell.initial_state(5), lengths=lengths, reset=reset, reverse=True)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_state_of_whole_numbers_alone(
    device: str, written: Any, as_its_loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No gradient passes through it: on a GPU there is no loop backwards, the compiler for CPUs refuses."""
    monkeypatch.setitem(kernels.KINDS, "cpu", getattr(kernels, f"_{device}_kernel"))
    monkeypatch.setattr(kernels, "_shared", {})
    cell = written(lambda c, x, k: (x @ c.w.T, k + 1), initial=lambda c, n: torch.zeros(n, 2, dtype=torch.int64))
    if device == "cuda":
        as_its_loop(cell, torch.randn(4, 5, 3), cell.initial_state(4), 1e-6)
        return
    with pytest.warns(UserWarning, match="runs as a Python loop: no gradient flows through its state"):
        assert refusal("compiled", Request(cell, torch.zeros(4, 5, 3), cell.initial_state(4))) is not None


ACCEPTED: dict[str, Any] = {
    "rounded to decimals": lambda h: torch.round(h, decimals=1),
    "matrices of a row": lambda h: torch.bmm(h.view(-1, 2, 3), h.view(-1, 3, 2)).flatten(1).repeat(1, 2)[:, :H],
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_operations_that_only_the_compiler_for_cpus_refuses(name: str, written: Any, agree: Any) -> None:
    def step(c: Any, x: Tensor, h: Tensor) -> Any:
        h = torch.tanh(ACCEPTED[name](h) + c.mix(x, h))
        return h, h

    agree(written(step), padded=True)


def test_random_numbers_that_depend_on_the_state_are_refused(written: Any) -> None:
    def step(c: Any, x: Tensor, h: Tensor) -> Any:
        h = torch.tanh(c.mix(x, h)) * torch.poisson(h.exp())
        return h, h

    with pytest.warns(UserWarning, match="runs as a Python loop: it uses poisson"):
        assert refusal("compiled", Request(written(step), torch.zeros(2, 3, 3), torch.zeros(2, H))) is not None
