"""Checkpointing changes how much is kept for the backward pass, and not a single number."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parametrizations
from torch.profiler import ProfilerActivity, profile

from rnnkit.cells import (
    Cell,
    ElmanCell,
    GRUCell,
    LearnedInitialState,
    LSTMCell,
    MinGRUCell,
    VariationalDropout,
    WeightDrop,
    Zoneout,
    map_state,
    state_leaves,
)
from rnnkit.engines import ENGINES, scan
from rnnkit.engines.policy import refusal
from rnnkit.engines.request import Request
from rnnkit.errors import UserError
from rnnkit.models import LanguageModel


class Noisy(GRUCell):
    """Random within a step, and says so nowhere."""

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x_BI * torch.rand_like(x_BI), state)


CELLS: dict[str, Callable[[], Cell[Any]]] = {
    "lstm": lambda: LSTMCell(3, 4),
    "gru-before": lambda: GRUCell(3, 4, reset_after=False),
    "relu": lambda: ElmanCell(3, 4, nonlinearity="relu"),
    "parallel": lambda: MinGRUCell(3, 4),
    "noisy": lambda: Noisy(3, 4),
    "zoneout": lambda: Zoneout(LearnedInitialState(LSTMCell(3, 4)), p=0.3),
    "variational": lambda: VariationalDropout(LSTMCell(3, 4), input=0.3, state=0.3, output=0.3),
    "weight drop": lambda: WeightDrop(LSTMCell(3, 4), p=0.5),
    "spectral": lambda: parametrizations.spectral_norm(ElmanCell(3, 4), "weight_hh"),
}
RANDOM = ["noisy", "zoneout", "variational", "weight drop"]
FORMS = {
    "plain": {},
    "reversed": {"reverse": True},
    "padded": {"lengths": torch.tensor([8, 3, 0])},
    "reset": {"reset": torch.rand(3, 8, generator=torch.Generator().manual_seed(0)) < 0.3},
    "all": {
        "lengths": torch.tensor([8, 3, 5]),
        "reset": torch.rand(3, 8, generator=torch.Generator().manual_seed(0)) < 0.3,
        "reverse": True,
    },
}


def results(cell: Cell[Any], engine: str, options: dict[str, Any], checkpoint_every: int | None) -> list[Tensor]:
    """Outputs, state and every gradient, with the same noise at each call."""
    x_BTI = torch.randn(3, 8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    state = map_state(lambda leaf: leaf.detach() + 0.1 if leaf.is_floating_point() else leaf, cell.initial_state(3))
    given = map_state(lambda leaf: leaf.requires_grad_(leaf.is_floating_point()), state)
    torch.manual_seed(2)
    y_BTO, end = scan(cell, x_BTI, given, engine=engine, checkpoint_every=checkpoint_every, **options)
    torch.rand(7)  # what happens before the backward pass must not change it
    values = [y_BTO, *(leaf for leaf in state_leaves(end) if leaf.is_floating_point())]
    sources = [x_BTI, *(leaf for leaf in state_leaves(given) if leaf.requires_grad), *cell.parameters()]
    total = torch.stack([(value * value.cos()).sum() for value in values]).sum()
    return [*values, *torch.autograd.grad(total, sources, allow_unused=True, materialize_grads=True)]


def engines_for(cell: Cell[Any]) -> list[str]:
    x_BTI = torch.zeros(3, 8, 3, dtype=torch.float64)
    return [name for name in ENGINES if refusal(name, Request(cell, x_BTI, cell.initial_state(3))) is None]


@pytest.mark.parametrize("checkpoint_every", [1, 3, 100])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CELLS)
def test_values_and_gradients_are_the_same_on_every_engine(name: str, form: str, checkpoint_every: int) -> None:
    cell = CELLS[name]().double()
    if name == "spectral":
        cell.eval()  # in training, each scan takes its power iteration a step further
    # Where steps are random, only the loop is bound to draw for them one after the other.
    for engine in ["reference"] if name in RANDOM else engines_for(cell):
        kept = results(cell, engine, FORMS[form], None)
        again = results(cell, engine, FORMS[form], checkpoint_every)
        torch.testing.assert_close(again, kept, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", RANDOM)
def test_the_second_computation_has_the_noise_of_the_first(name: str) -> None:
    """Else backpropagation would not be the slope of what the forward pass with that noise computes."""
    cell = CELLS[name]().double()
    x_BTI, direction_BTI = torch.randn(2, 3, 8, 3, dtype=torch.float64)
    assert not torch.equal(scan(cell, x_BTI)[0], scan(cell, x_BTI)[0])

    def total(x_BTI: Tensor, engine: str) -> Tensor:
        torch.manual_seed(2)
        return scan(cell, x_BTI, engine=engine, checkpoint_every=3, **FORMS["all"])[0].sin().sum()

    for engine in engines_for(cell):
        # All three ask for gradients: otherwise nothing would run in chunks, whose order of drawing is their own.
        here, up, down = (x_BTI + nudge * direction_BTI for nudge in (0, 1e-6, -1e-6))
        total(here.requires_grad_(), engine)  # a first call may have to compile, and that must not count
        (found,) = torch.autograd.grad(total(here, engine), here)
        slope = (total(up.requires_grad_(), engine) - total(down.requires_grad_(), engine)) / 2e-6
        torch.testing.assert_close((found * direction_BTI).sum(), slope.detach(), rtol=1e-6, atol=1e-8)


def test_two_windows_may_be_open_at_once() -> None:
    """The second draws another mask for the weight before the first goes backward."""
    cell = WeightDrop(ElmanCell(3, 4), p=0.5).double()
    x_BTI = torch.randn(3, 8, 3, dtype=torch.float64)
    gradients = []
    for checkpoint_every in (None, 3):
        torch.manual_seed(0)
        outputs = [scan(cell, x_BTI, checkpoint_every=checkpoint_every)[0] for _ in range(2)]
        total = sum(y_BTO.square().sum() for y_BTO in outputs)
        gradients.append(torch.autograd.grad(total, list(cell.parameters())))
    torch.testing.assert_close(gradients[0], gradients[1])


def bytes_kept(run: Callable[[], Any]) -> int:
    """What is alive after a forward pass and was not before: outputs, and what their graph keeps."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiled:
        kept_alive = run()
    del kept_alive
    return sum(event.self_cpu_memory_usage for event in profiled.key_averages())


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_less_is_kept_for_the_backward_pass(engine: str) -> None:
    cell = LSTMCell(16, 16)
    x_BTI = torch.randn(8, 256, 16)
    run = partial(scan, cell, x_BTI, engine=engine)
    outputs = 8 * 256 * 16 * 4
    assert bytes_kept(run) > 6 * outputs  # four gates, two states
    assert bytes_kept(partial(run, checkpoint_every=16)) < 2 * outputs


def test_nothing_is_run_in_chunks_without_a_backward_pass() -> None:
    cell = LSTMCell(3, 4)
    steps: list[int] = []

    class Counting:
        def run(self, request: Request) -> Any:
            steps.append(request.x.shape[1])
            return ENGINES["reference"].run(request)

        def unsupported(self, *arguments: Any) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENGINES, "counting", Counting())
        scan(cell, torch.randn(2, 7, 3), engine="counting", checkpoint_every=3)
        with torch.no_grad():
            scan(cell, torch.randn(2, 7, 3), engine="counting", checkpoint_every=3)
    assert steps == [3, 3, 1, 7]


def test_autocast_is_the_same_in_the_second_computation() -> None:
    cell, x_BTI = GRUCell(3, 4), torch.randn(2, 9, 3)
    gradients = []
    for checkpoint_every in (None, 4):
        with torch.autocast("cpu", torch.bfloat16):
            y_BTO, _ = scan(cell, x_BTI, engine="reference", checkpoint_every=checkpoint_every)
        gradients.append(torch.autograd.grad(y_BTO.float().square().sum(), list(cell.parameters())))
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_layer_and_a_language_model_pass_it_on() -> None:
    ids_BT = torch.zeros(4, 64, dtype=torch.long)
    model = LanguageModel(7, LSTMCell, hidden_size=16, num_layers=1)
    x_BTI = model.embedding(ids_BT).detach()
    whole = bytes_kept(lambda: model.rnn(x_BTI))
    assert bytes_kept(lambda: model.rnn(x_BTI, checkpoint_every=16)) < whole / 2
    whole = bytes_kept(lambda: model.features(ids_BT))
    frugal = LanguageModel(7, LSTMCell, hidden_size=16, num_layers=1, checkpoint_every=16)
    assert bytes_kept(lambda: frugal.features(ids_BT)) < whole / 2


@pytest.mark.parametrize("checkpoint_every", [0, -3])
def test_chunks_without_steps_are_refused(checkpoint_every: int) -> None:
    message = rf"checkpoint_every: .*1 or more, or None; got {checkpoint_every}\. Try: model.checkpoint_every=4"
    with pytest.raises(UserError, match=message):
        scan(LSTMCell(3, 4), torch.zeros(2, 16, 3), checkpoint_every=checkpoint_every)
