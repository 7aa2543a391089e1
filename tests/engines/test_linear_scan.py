"""h_t = a_t h_{t-1} + b_t: every implementation against numpy loops, finite differences and the others."""

import importlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from rnnkit.engines import linear_scan as module
from rnnkit.engines import toolchain
from rnnkit.engines.kernels import linear_scan_cpp, linear_scan_torch
from rnnkit.engines.linear_scan import linear_scan

Array = np.ndarray[Any, Any]
DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]
needs_compiler = pytest.mark.skipif(toolchain.missing() is not None, reason="no C++ compiler")


@pytest.fixture(params=[pytest.param(linear_scan_cpp, marks=needs_compiler), linear_scan_torch], ids=["cpp", "torch"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(module, "_kernels", lambda device: request.param)
    chosen: ModuleType = request.param
    return chosen


def in_numpy(a: Tensor, b: Tensor, h: Tensor, fresh: Tensor | None = None, reverse: bool = False) -> Array:
    """Step by step, in double precision."""
    double = np.complex128 if b.is_complex() else np.float64
    a_BTH, b_BTH, h_BH = (part.detach().resolve_conj().numpy().astype(double) for part in (a.expand_as(b), b, h))
    states = np.empty_like(b_BTH)
    T = b.shape[1]
    for t in reversed(range(T)) if reverse else range(T):
        kept_BH = a_BTH[:, t] * h_BH
        if fresh is not None:
            kept_BH[fresh[:, t].numpy()] = 0
        h_BH = states[:, t] = kept_BH + b_BTH[:, t]
    return states


def operands(B: int, T: int, H: int, dtype: torch.dtype, size: float = 0.9) -> tuple[Tensor, Tensor, Tensor]:
    a, b, h = (torch.randn(*shape, dtype=dtype) for shape in ((B, T, H), (B, T, H), (B, H)))
    return size * a / a.abs().clamp(min=1), b, h


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_are_those_of_the_loop(kernels: ModuleType, dtype: torch.dtype, resets: bool, reverse: bool) -> None:
    tolerance = 1e-5 if dtype in (torch.float32, torch.complex64) else 1e-12
    for T in (1, 31, 32, 33, 100):
        a, b, h = operands(3, T, 70, dtype)
        fresh = torch.rand(3, T) < 0.1 if resets else None
        states, last = linear_scan(a, b, h, fresh_BT=fresh, reverse=reverse)
        wanted = in_numpy(a, b, h, fresh, reverse)
        assert states.dtype == last.dtype == dtype
        np.testing.assert_allclose(states.numpy(), wanted, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(last.numpy(), wanted[:, 0 if reverse else -1], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_gradients_are_finite_differences(
    kernels: ModuleType, dtype: torch.dtype, constant: bool, resets: bool, reverse: bool
) -> None:
    a, b, h = operands(2, 35, 2, dtype)
    a = a[0, 0].clone() if constant else a
    fresh = torch.zeros(2, 35, dtype=torch.bool)
    fresh[[0, 0, 1, 1], [0, 20, 34, 5]] = True
    sources = tuple(source.requires_grad_() for source in (a, b, h))
    options: dict[str, Any] = {"fresh_BT": fresh if resets else None, "reverse": reverse}
    torch.autograd.gradcheck(lambda *sources: linear_scan(*sources, **options), sources, fast_mode=True)


@pytest.mark.parametrize("output", [0, 1])
def test_a_loss_may_look_at_the_states_or_at_the_last_one_only(kernels: ModuleType, output: int) -> None:
    sources = tuple(source.requires_grad_() for source in operands(2, 5, 3, torch.float64))
    torch.autograd.gradcheck(lambda *sources: linear_scan(*sources)[output], sources)


COEFFICIENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "near one": lambda u: 1 - 1e-4 * u,
    "zeros": lambda u: (u < 0.5) * u,
    "negative": lambda u: -u,
    "minute": lambda u: 1e-30 * u,
    "one": torch.ones_like,
    "complex": lambda u: torch.polar(1 - 1e-3 * u, 6 * u),
}


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_a_hundred_thousand_steps(kernels: ModuleType, name: str) -> None:
    T, H = 100_000, 2
    a = COEFFICIENTS[name](torch.rand(1, T, H)).requires_grad_()
    b = torch.randn(1, T, H, dtype=a.dtype).requires_grad_()
    h = torch.randn(1, H, dtype=a.dtype).requires_grad_()
    states, _ = linear_scan(a, b, h)
    wanted = in_numpy(a, b, h)
    np.testing.assert_allclose(states.detach().numpy(), wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())

    # The gradients are a recurrence too, backwards, with the conjugate of a at the step after.
    g = torch.randn_like(states)
    da, db, dh = torch.autograd.grad(states, (a, b, h), g)
    after = torch.cat([a[:, 1:], torch.ones_like(a[:, :1])], dim=1).conj()
    wanted_db = in_numpy(after, g, torch.zeros_like(h), reverse=True)
    before = np.concatenate([h.detach().numpy()[:, None], wanted[:, :-1]], axis=1)
    wanted_da, wanted_dh = wanted_db * before.conj(), wanted_db[:, 0] * a[:, 0].detach().numpy().conj()
    for found, loop in ((db, wanted_db), (da, wanted_da), (dh, wanted_dh)):
        np.testing.assert_allclose(found.resolve_conj().numpy(), loop, rtol=1e-4, atol=1e-4 * np.abs(loop).max())


def test_growth_is_no_reason_to_fail(kernels: ModuleType) -> None:
    a, b, h = torch.full((1, 120, 1), -2.0), torch.ones(1, 120, 1), torch.ones(1, 1)
    np.testing.assert_allclose(linear_scan(a, b, h)[0].numpy(), in_numpy(a, b, h), rtol=1e-5)
    nothing, _ = linear_scan(torch.full((1, 1000, 1), 10.0), torch.zeros(1, 1000, 1), torch.zeros(1, 1))
    assert not nothing.any()


@pytest.mark.parametrize("reverse", [False, True])
def test_what_was_before_a_fresh_step_reaches_nothing(kernels: ModuleType, reverse: bool) -> None:
    a, b, _ = operands(1, 60, 3, torch.float64)
    sources = [a.requires_grad_(), b.requires_grad_(), torch.full((1, 3), torch.nan, dtype=a.dtype).requires_grad_()]
    fresh = torch.zeros(1, 60, dtype=torch.bool)
    fresh[0, 40] = True
    states, _ = linear_scan(*sources, fresh_BT=fresh, reverse=reverse)
    after = slice(0, 41) if reverse else slice(40, 60)
    da, db, dh = torch.autograd.grad(states[:, after].sum(), sources)
    assert states[:, after].isfinite().all()
    assert not dh.any()
    preserving_state = [t for t in range(60) if not after.start <= t < after.stop]
    assert not db[:, preserving_state].any()
    assert not da[:, 40].any()


def test_memory_order_does_not_matter(kernels: ModuleType) -> None:
    B, T, H = 3, 40, 5
    a_HBT, b, h_HB = (torch.randn(*s, dtype=torch.complex128) for s in ((H, B, T), (B, T, 2 * H), (H, B)))
    a, b, h = 0.5 * a_HBT.permute(1, 2, 0).conj(), b[..., :H], h_HB.t()
    sources = [source.detach().requires_grad_() for source in (a, b, h)]
    plain = [source.detach().resolve_conj().clone(memory_format=torch.contiguous_format) for source in sources]
    states, last = linear_scan(*sources)
    wanted, wanted_last = linear_scan(*(source.requires_grad_() for source in plain))
    torch.testing.assert_close((states, last), (wanted, wanted_last))
    for g in (torch.randn(H, B, T, dtype=states.dtype).permute(1, 2, 0), torch.ones((), dtype=h.dtype).expand(B, T, H)):
        found = torch.autograd.grad(states, sources, g, retain_graph=True)
        torch.testing.assert_close(found, torch.autograd.grad(wanted, plain, g.contiguous(), retain_graph=True))


@needs_compiler
@pytest.mark.parametrize("rows", [1, 3])
def test_threads_share_the_work_without_changing_it(rows: int) -> None:
    sources = [source.requires_grad_() for source in operands(rows, 50, 300, torch.complex64)]

    g = torch.randn(rows, 50, 300, dtype=torch.complex64)

    def run() -> tuple[Tensor, ...]:
        states, last = linear_scan(*sources)
        return states, last, *torch.autograd.grad(states, sources, g)

    one = run()
    torch.set_num_threads(4)
    try:
        four = run()
    finally:
        torch.set_num_threads(1)
    assert all(map(torch.equal, one, four))


def test_memory_grows_with_time_and_no_faster(kernels: ModuleType) -> None:
    def allocated(T: int) -> int:
        sources = [source.requires_grad_() for source in operands(2, T, 8, torch.float32)]
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiled:
            linear_scan(*sources)[0].sum().backward()
        return sum(max(event.self_cpu_memory_usage, 0) for event in profiled.events())

    short, long = allocated(2048), allocated(8192)
    assert 2 * 8 * 8192 * 4 < long < 4.1 * short


def test_without_a_compiler_plain_torch_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    choose = module._kernels.__wrapped__
    assert choose("cpu") is (linear_scan_torch if toolchain.missing() else linear_scan_cpp)
    monkeypatch.setattr(toolchain, "missing", lambda: "there is none")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose("cpu") is linear_scan_torch


def test_a_compiler_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise toolchain.CompilerError("no such instruction")

    monkeypatch.setattr(toolchain, "missing", lambda: None)
    monkeypatch.setattr(linear_scan_cpp, "library", refuse)
    with pytest.warns(UserWarning, match="plain torch, several times slower: no such instruction"):
        assert module._kernels.__wrapped__("cpu") is linear_scan_torch


IN_TRITON = """
import itertools, torch
from rnnkit.engines.kernels import linear_scan_torch, linear_scan_triton

torch.manual_seed(0)
for dtype, reverse in itertools.product((torch.float32, torch.complex64), (False, True)):
    a, b, g = (torch.randn(2, 33, 3, dtype=dtype) for _ in range(3))
    h0, last = torch.randn(2, 3, dtype=dtype), torch.randn(2, 3, dtype=dtype)
    fresh = torch.rand(2, 33) < 0.1 if reverse else None
    a = a[:1, :1] if reverse else a / 2
    h = linear_scan_torch.forward(a, b, h0, fresh, reverse)
    found = linear_scan_triton.forward(a, b, h0, fresh, reverse)
    torch.testing.assert_close(found, h, rtol=1e-4, atol=1e-4 * h.abs().max().item())
    found = linear_scan_triton.backward(a, h, h0, fresh, g, last, reverse)
    wanted = linear_scan_torch.backward(a, h, h0, fresh, g, last, reverse)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4 * theirs.abs().max().item())
"""


def test_the_triton_kernel_under_its_interpreter() -> None:
    pytest.importorskip("triton")
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, "-c", IN_TRITON], check=True, env=environment, cwd=Path(__file__).parents[2])


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_triton_kernel_on_a_gpu(dtype: torch.dtype) -> None:
    kernel = importlib.import_module("rnnkit.engines.kernels.linear_scan_triton")
    tolerance = 1e-4 if dtype in (torch.float32, torch.complex64) else 1e-10
    for T, H, reverse, resets in ((1, 3, False, False), (1000, 70, False, True), (333, 256, True, True)):
        a, b, h0 = (part.cuda() for part in operands(3, T, H, dtype))
        fresh = torch.rand(3, T, device="cuda") < 0.05 if resets else None
        h = kernel.forward(a, b, h0, fresh, reverse)
        wanted = linear_scan_torch.forward(a, b, h0, fresh, reverse)
        torch.testing.assert_close(h, wanted, rtol=tolerance, atol=tolerance)
        arguments = (a, wanted, h0, fresh, torch.randn_like(b), torch.randn_like(h0), reverse)
        for mine, theirs in zip(kernel.backward(*arguments), linear_scan_torch.backward(*arguments), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance * 10)
