"""The compiled engine on a GPU: CUDA graphs of fused steps. Warnings are errors: nothing falls back unnoticed."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

import rnnkit
from rnnkit import scan
from rnnkit.cells import Cell, ElmanCell, GRUCell, LayerNormLSTMCell, LSTMCell, MinGRUCell, PeepholeLSTMCell, Zoneout
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.engines import explain
from rnnkit.engines.compiled.gpu import capture, chunk
from rnnkit.engines.compiled.trace.once import warn_once

pytestmark = pytest.mark.gpu

YAMLS = sorted((Path(__file__).parents[3] / "configs" / "model" / "cell").glob("*.yaml"))
DEVICE, H = "cuda", 16


@pytest.fixture(autouse=True)
def exact_float32() -> None:
    """No TF32: what is compared must differ by rounding alone."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list with one entry for each CUDA graph that is made."""
    made: list[int] = []
    record = capture.CudaGraphs.record

    def counted(self: Any, work: Any) -> Any:
        made.append(1)
        return record(self, work)

    monkeypatch.setattr(capture.CudaGraphs, "record", counted)
    return made


def results(cell: Cell[Any], engine: str, x_BTI: Tensor, state: Any, **form: Any) -> dict[str, Tensor]:
    """Outputs, the final state, and the gradients of a fixed random sum of both."""
    x_BTI = x_BTI.detach().clone().requires_grad_()
    given = map_state(lambda leaf: leaf.detach().clone().requires_grad_(leaf.is_floating_point()), state)
    y_BTO, end = scan(cell, x_BTI, given, engine=engine, **form)
    values = {"y": y_BTO} | {f"end {n}": leaf for n, leaf in enumerate(state_leaves(end))}
    generator = torch.Generator().manual_seed(5)
    probes = [torch.randn(leaf.shape, generator=generator).to(leaf.device) for leaf in values.values()]
    total = torch.stack([(leaf * probe).sum().double() for leaf, probe in zip(values.values(), probes, strict=True)])
    sources = {"x": x_BTI} | {f"state {n}": leaf for n, leaf in enumerate(state_leaves(given))}
    sources = {name: leaf for name, leaf in {**sources, **dict(cell.named_parameters())}.items() if leaf.requires_grad}
    found = torch.autograd.grad(total.sum(), list(sources.values()), allow_unused=True, materialize_grads=True)
    return values | {f"gradient of {name}": leaf for name, leaf in zip(sources, found, strict=True)}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-9) -> None:
    for name, leaf in expected.items():
        scale = max(1.0, leaf.double().abs().max().item()) if leaf.numel() else 1.0
        torch.testing.assert_close(
            found[name].double(), leaf.double(), rtol=0, atol=tolerance * scale, msg=lambda m, n=name: f"{n}: {m}"
        )  # type: ignore[misc]


def reached(cell: Cell[Any], rows: int) -> Any:
    """A state that the cell can be in, not zero."""
    dtype = next(cell.parameters()).dtype
    x_BTI = torch.randn(rows, 2, cell.input_size, dtype=dtype, device=DEVICE)
    return map_state(Tensor.detach, scan(cell, x_BTI, engine="reference")[1])


def draws(cell: Cell[Any]) -> bool:
    """Whether a cell is random in its present mode."""
    x_BTI, state = torch.ones(2, 2, cell.input_size, dtype=torch.float64, device=DEVICE), cell.initial_state(2)
    return not torch.equal(*(scan(cell, x_BTI, state, engine="reference")[0] for _ in range(2)))


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_every_cell_agrees_with_its_loop(path: Path, recorded: list[int]) -> None:
    cell = instantiate(OmegaConf.load(path), _convert_="all")(3, H).double().to(DEVICE)
    cell.train(not draws(cell))
    x_BTI, state = torch.randn(5, 7, 3, dtype=torch.float64, device=DEVICE), reached(cell, 5)
    if any(leaf.is_complex() for leaf in state_leaves(state)):
        pytest.skip("complex numbers are left to the parallel engine")
    lengths = torch.tensor([7, 0, 3, 7, 1], device=DEVICE)
    reset_BT = torch.zeros(5, 7, dtype=torch.bool, device=DEVICE)
    reset_BT[[0, 0, 1, 3], [0, 5, 2, 6]] = True
    forms: list[dict[str, Any]] = [{}, {"reverse": True}, {"lengths": lengths}]
    for form in [*forms, {"lengths": lengths, "reset": reset_BT, "reverse": True}]:
        for _ in range(2):
            found = results(cell, "compiled", x_BTI, state, **form)
        assert_same(found, results(cell, "reference", x_BTI, state, **form))
    assert recorded


@pytest.mark.parametrize("steps", [1, 2, 7, 33, 200])
def test_windows_of_any_length_and_batches_of_any_size(steps: int) -> None:
    cell = LayerNormLSTMCell(3, H).double().to(DEVICE)
    for rows in (3, 17, 1, 16, 3):
        x_BTI = torch.randn(rows, steps, 3, dtype=torch.float64, device=DEVICE)
        lengths = torch.arange(rows, device=DEVICE) % (steps + 1)
        state = reached(cell, rows)
        for form in ({}, {"lengths": lengths, "reverse": True}):
            found = results(cell, "compiled", x_BTI, state, **form)  # type: ignore[arg-type]
            assert_same(found, results(cell, "reference", x_BTI, state, **form))  # type: ignore[arg-type]


@pytest.mark.parametrize("cell_type", [LSTMCell, GRUCell, ElmanCell])
def test_it_agrees_with_cudnn(cell_type: Callable[[int, int], Cell[Any]]) -> None:
    cell = cell_type(24, 40).to(DEVICE)
    x_BTI, state = torch.randn(20, 70, 24, device=DEVICE), reached(cell, 20)
    assert_same(results(cell, "compiled", x_BTI, state), results(cell, "native", x_BTI, state), 1e-4)


@pytest.mark.parametrize("cell_type", [LayerNormLSTMCell, PeepholeLSTMCell])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(cell_type: Callable[[int, int], Cell[Any]], dtype: torch.dtype) -> None:
    cell = cell_type(24, 40).to(DEVICE)
    x_BTI, state = torch.randn(20, 70, 24, device=DEVICE), reached(cell, 20)
    with torch.autocast(DEVICE, dtype):
        found, expected = (results(cell, engine, x_BTI, state) for engine in ("compiled", "reference"))
    assert {name: leaf.dtype for name, leaf in found.items()} == {name: leaf.dtype for name, leaf in expected.items()}
    assert_same(found, expected, 6e-2)


def test_layers_and_micro_batches_before_their_gradients() -> None:
    """Two layers of one size, both directions, three forward passes and then three backward."""
    rnn = rnnkit.RNN(PeepholeLSTMCell, 3, H, num_layers=3, bidirectional=True).double().to(DEVICE)
    windows = [torch.randn(4, 20, 3, dtype=torch.float64, device=DEVICE) for _ in range(3)]

    def gradients(engine: str) -> list[Tensor]:
        rnn.zero_grad()
        losses = [rnn(x_BTI, engine=engine)[0].square().sum() for x_BTI in windows]
        for loss in losses:
            loss.backward()
        return [parameter.grad.clone() for parameter in rnn.parameters()]  # type: ignore[union-attr]

    expected = gradients("reference")
    for _ in range(2):
        torch.testing.assert_close(gradients("compiled"), expected)


def test_training_follows_the_loop() -> None:
    """Weights change in place, where the graphs read them: twenty steps of Adam with each engine."""
    x_BTI = torch.randn(8, 40, 3, dtype=torch.float64, device=DEVICE)
    target_BTI = x_BTI.roll(2, 1)
    losses = []
    for engine in ("compiled", "reference"):
        torch.manual_seed(1)
        cell = LayerNormLSTMCell(3, H).double().to(DEVICE)
        readout = nn.Linear(H, 3).double().to(DEVICE)
        optimizer = torch.optim.Adam([*cell.parameters(), *readout.parameters()], 1e-2)
        found = []
        for _ in range(20):
            loss = (readout(scan(cell, x_BTI, engine=engine)[0]) - target_BTI).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.detach())
        losses.append(torch.stack(found))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-6, atol=1e-9)
    assert losses[0][-1] < 0.9 * losses[0][0]


def test_a_live_stream_goes_on_as_one_window(recorded: list[int]) -> None:
    cell, x_BTI = LayerNormLSTMCell(3, H).to(DEVICE), torch.randn(2, 12, 3, device=DEVICE)
    whole_BTO, _ = scan(cell, x_BTI, engine="reference")
    state, outputs = cell.initial_state(2), []
    with torch.inference_mode():
        for x_BI in x_BTI.unbind(1):
            y_B1O, state = scan(cell, x_BI[:, None], state, engine="compiled")
            outputs.append(y_B1O)
    torch.testing.assert_close(torch.cat(outputs, 1), whole_BTO, rtol=1e-4, atol=1e-5)
    assert len(recorded) == 1


def test_noise_differs_between_replays_and_comes_again_with_the_seed() -> None:
    cell, x_BTI = Zoneout(PeepholeLSTMCell(3, H), 0.5).to(DEVICE), torch.randn(4, 20, 3, device=DEVICE)

    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return scan(cell, x_BTI, engine="compiled")[0]

    one, two = drawn(1), drawn(2)
    assert torch.equal(drawn(1), one)
    assert not torch.equal(one, two)


def test_a_training_step_waits_for_nothing_and_leaves_nothing(recorded: list[int]) -> None:
    cell = LayerNormLSTMCell(3, H).to(DEVICE)
    x_BTI = torch.randn(5, 70, 3, device=DEVICE, requires_grad=True)

    def step() -> None:
        y_BTO, _ = scan(cell, x_BTI, engine="compiled")
        y_BTO.sum().backward()

    step()
    made = len(recorded)
    before = torch.cuda.memory_allocated()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(10):
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(recorded) == made
    assert torch.cuda.memory_allocated() == before


def test_on_a_stream_of_its_own_beside_another() -> None:
    cell = PeepholeLSTMCell(3, H).double().to(DEVICE)
    x_BTI, state = torch.randn(4, 70, 3, dtype=torch.float64, device=DEVICE), reached(cell, 4)
    expected = results(cell, "reference", x_BTI, state)
    streams = [torch.cuda.Stream() for _ in range(2)]
    torch.cuda.synchronize()
    found = []
    for _ in range(3):
        for stream in streams:
            with torch.cuda.stream(stream):
                found.append(results(cell, "compiled", x_BTI, state))
    torch.cuda.synchronize()
    for each in found:
        assert_same(each, expected)


def test_a_thread_that_pins_memory_meanwhile_does_no_harm() -> None:
    done = threading.Event()

    def pin() -> None:
        while not done.is_set():
            torch.randn(1000).pin_memory().to(DEVICE, non_blocking=True)

    thread = threading.Thread(target=pin)
    thread.start()
    try:
        cell = PeepholeLSTMCell(3, H).double().to(DEVICE)
        x_BTI, state = torch.randn(4, 70, 3, dtype=torch.float64, device=DEVICE), reached(cell, 4)
        found = results(cell, "compiled", x_BTI, state)
    finally:
        done.set()
        thread.join()
    assert_same(found, results(cell, "reference", x_BTI, state))


def test_within_a_graph_of_the_callers_own() -> None:
    cell, x_BTI = PeepholeLSTMCell(3, H).to(DEVICE), torch.randn(4, 20, 3, device=DEVICE)
    with torch.no_grad():
        scan(cell, x_BTI, engine="compiled")
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            scan(cell, x_BTI, engine="compiled")
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y_BTO, _ = scan(cell, x_BTI, engine="compiled")
        x_BTI.copy_(torch.randn_like(x_BTI))
        graph.replay()
        torch.testing.assert_close(y_BTO, scan(cell, x_BTI, engine="reference")[0], rtol=1e-4, atol=1e-5)


def test_a_capture_that_fails_is_told_and_later_ones_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    warn_once.cache_clear()
    steps = chunk.Chunk._run

    def waiting(self: Any, count: int) -> None:
        steps(self, count)
        torch.cuda.synchronize()

    monkeypatch.setattr(chunk.Chunk, "_run", waiting)
    x_BTI = torch.randn(4, 20, 3, dtype=torch.float64, device=DEVICE)
    cell = PeepholeLSTMCell(3, H).double().to(DEVICE)
    state, stream = reached(cell, 4), torch.cuda.current_stream()
    with pytest.warns(UserWarning, match="without CUDA graphs, because the capture failed"):
        found = results(cell, "compiled", x_BTI, state)
    assert_same(found, results(cell, "reference", x_BTI, state))
    assert torch.cuda.current_stream() == stream
    monkeypatch.undo()
    twin = PeepholeLSTMCell(3, H).double().to(DEVICE)
    assert_same(results(twin, "compiled", x_BTI, state), results(twin, "reference", x_BTI, state))


class Around(Cell[Tensor]):
    """A cell around torch's own, which is one fused kernel there."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.inner = nn.GRUCell(input_size, hidden_size)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.inner.weight_hh.new_zeros(batch_size, self.output_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        h_BH = self.inner(x_BI, state)
        return h_BH.sin(), h_BH


def test_a_cell_made_of_torchs_own(recorded: list[int]) -> None:
    cell = Around(3, H).double().to(DEVICE)
    x_BTI, state = torch.randn(4, 20, 3, dtype=torch.float64, device=DEVICE), reached(cell, 4)
    assert_same(results(cell, "compiled", x_BTI, state), results(cell, "reference", x_BTI, state))
    assert recorded


def test_auto_takes_the_engine_that_is_fast_there() -> None:
    x_BTI = torch.randn(4, 32, 3, device=DEVICE)
    cells = [LSTMCell(3, H), GRUCell(3, H), GRUCell(3, H, reset_after=False), MinGRUCell(3, H), LayerNormLSTMCell(3, H)]
    found = [explain(cell.to(DEVICE), x_BTI).engine for cell in cells]
    assert found == ["native", "native", "compiled", "parallel", "compiled"]
