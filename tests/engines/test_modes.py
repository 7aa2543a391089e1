"""torch's modes change no numbers and leave nothing behind: inference, anomaly detection, a default device."""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from rnnkit import scan
from rnnkit.cells import GRUCell, LayerNormLSTMCell, LSTMCell, MinGRUCell, Zoneout
from rnnkit.engines import ENGINES, explain
from rnnkit.engines.compiled.plan.products import BUFFERS
from rnnkit.engines.policy import refusal
from rnnkit.engines.request import Request

Mode = Callable[[], AbstractContextManager[Any]]


def gradients(cell: Any, x: Tensor, engine: str) -> list[Tensor]:
    total = scan(cell, x, engine=engine)[0].sin().sum()
    return list(torch.autograd.grad(total, list(cell.parameters()), allow_unused=True, materialize_grads=True))


def trains(cell: Any, engine: str, x: Tensor | None = None) -> None:
    """Gradients as the loop has them."""
    x = torch.linspace(-1, 1, 4 * 20 * 3).view(4, 20, 3).cos() if x is None else x
    cell = cell.double()
    found, wanted = (gradients(cell, x.double(), which) for which in (engine, "reference"))
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("engine", ["auto", *ENGINES])
@pytest.mark.parametrize("cell", [LSTMCell, GRUCell, LayerNormLSTMCell, MinGRUCell])
@pytest.mark.parametrize("T", [1, 20])
def test_a_cell_made_under_inference_mode(cell: Any, T: int, engine: str) -> None:
    with torch.inference_mode():
        made, x = cell(3, 4), torch.randn(2, T, 3)
    if engine != "auto" and refusal(engine, Request(made, x, made.initial_state(2))) is not None:
        pytest.skip(f"{engine} does not run it")
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            state = made.initial_state(2)
            for _ in range(3):
                y, after = scan(made, x, state, engine=engine)
                wanted, _ = scan(made, x, state, engine="reference")
                torch.testing.assert_close(y, wanted)
                state = after
    # Where the loop cannot save an inference tensor for the backward pass, no engine can.
    outcomes: list[Any] = []
    for which in (engine, "reference"):
        try:
            outcomes.append(gradients(made, torch.ones(2, T, 3), which))
        except RuntimeError as error:
            assert "nference" in str(error)  # noqa: PT017
            outcomes.append("an error")
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=1e-4, atol=1e-4) if outcomes[1] != "an error" else None
    assert (outcomes[0] == "an error") == (outcomes[1] == "an error")


def test_a_weight_that_changes_under_inference_mode() -> None:
    """Where nobody counts changes, nothing may be prepared."""
    with torch.inference_mode():
        cell, x = LSTMCell(3, 4), torch.ones(2, 1, 3)
        state = cell.initial_state(2)
        scan(cell, x, state, engine="compiled")
        cell.weight_ih.mul_(3)
        found, wanted = (scan(cell, x, state, engine=engine)[0] for engine in ("compiled", "reference"))
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("engine", ["auto", "compiled", "native", "parallel"])
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_training_after_a_scan_without_gradients(mode: Mode, engine: str) -> None:
    cell: Any = MinGRUCell(3, 4) if engine == "parallel" else LSTMCell(3, 4)
    with mode():
        scan(cell, torch.randn(4, 20, 3), engine=engine)
        scan(cell, torch.randn(4, 1, 3), engine=engine)
    trains(cell, engine)


def test_buffers_of_inference_mode_are_not_passed_on() -> None:
    BUFFERS.clear()
    cell, x = LayerNormLSTMCell(64, 64).double(), torch.randn(16, 32, 64, dtype=torch.float64)
    with torch.inference_mode():
        for _ in range(3):
            scan(cell, x, engine="compiled")
    trains(cell, "compiled", x)


def test_an_input_and_a_state_of_inference_mode() -> None:
    cell = LayerNormLSTMCell(3, 4)
    with torch.inference_mode():
        x = torch.randn(2, 20, 3)
        _, state = scan(cell, x)
    with torch.no_grad():
        found, wanted = (scan(cell, x, state, engine=engine)[0] for engine in ("compiled", "reference"))
    torch.testing.assert_close(found, wanted)
    trains(cell, "compiled", x.clone())


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("cell", [LSTMCell, LayerNormLSTMCell, MinGRUCell])
def test_anomaly_detection_changes_nothing_for_good(cell: Any, first: bool) -> None:
    made, x = cell(3, 4).double(), torch.randn(2, 20, 3, dtype=torch.float64)
    if not first:
        trains(made, "compiled")
    before = explain(cell(3, 4).double(), x).engine
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Anomaly Detection has been enabled")
        with torch.autograd.detect_anomaly():
            trains(made, "auto")
            trains(made, "compiled")
            assert explain(made, x).engine == before
            assert torch.is_anomaly_enabled()
    assert not torch.is_anomaly_enabled()
    assert explain(made, x).engine == before
    trains(made, "compiled")


def test_anomaly_detection_finds_what_is_not_a_number() -> None:
    cell, x = LayerNormLSTMCell(3, 4), torch.randn(2, 20, 3)
    with torch.no_grad():
        cell.weight_hh[0, 0] = torch.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="returned nan values"):
            scan(cell, x, engine="compiled")[0].sum().backward()


def test_a_default_device_is_part_of_the_condition(written: Any) -> None:
    def step(c: Any, x: Tensor, h: Tensor) -> Any:
        h = torch.tanh(c.mix(x, h) * torch.full((6,), 0.5))
        return h, h

    cell, x = written(step).double(), torch.randn(2, 20, 3, dtype=torch.float64)
    trains(cell, "compiled")
    # What torch has to say to such a step, by the Python loop.
    with torch.device("meta"), pytest.raises(RuntimeError, match="meta"):
        scan(cell, x)
    trains(cell, "compiled")


def test_stand_ins_for_tensors_are_left_to_the_loop() -> None:
    cell = LayerNormLSTMCell(3, 4)
    with FakeTensorMode(allow_non_fake_inputs=True):
        y, _ = scan(cell, torch.randn(2, 20, 3))
    assert type(y).__name__ == "FakeTensor"
    assert y.shape == (2, 20, 4)


def test_numbers_with_a_sign_that_torch_keeps_elsewhere() -> None:
    """An imaginary part of a conjugate is its negative, in memory not yet."""
    cell, z = LayerNormLSTMCell(3, 4), torch.randn(2, 20, 3, dtype=torch.complex64)
    x = z.conj().imag
    assert x.is_neg()
    for engine in ("auto", "reference"):
        torch.testing.assert_close(scan(cell, x, engine=engine)[0], scan(cell, x.clone(), engine="reference")[0])
    with torch.no_grad():
        found = scan(cell, x[:, :1], cell.initial_state(2))[0]
        torch.testing.assert_close(found, scan(cell, x[:, :1].clone(), engine="reference")[0])


def test_noise_after_inference_mode() -> None:
    cell, x = Zoneout(LSTMCell(3, 4), 0.5), torch.randn(2, 20, 3)
    with torch.inference_mode():
        scan(cell, x, engine="compiled")
    scan(cell, x, engine="compiled")[0].sum().backward()
