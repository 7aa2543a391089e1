"""When torch's kernels may run, and that they then do no more work than torch itself would."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.profiler import ProfilerActivity, profile

from rnnkit.cells import ElmanCell, GRUCell, LSTMCell, LSTMState
from rnnkit.engines import explain, native, scan
from rnnkit.errors import UserError

TWINS: dict[str, tuple[Any, Any]] = {
    "lstm": (LSTMCell, nn.LSTM),
    "gru": (GRUCell, nn.GRU),
    "tanh": (ElmanCell, nn.RNN),
    "relu": (partial(ElmanCell, nonlinearity="relu"), partial(nn.RNN, nonlinearity="relu")),
}
X = torch.zeros(2, 4, 3)


def twins(name: str, dtype: torch.dtype = torch.float32, bias: bool = True) -> tuple[Any, Any]:
    ours, theirs = (build(3, 5, bias=bias).to(dtype) for build in TWINS[name])
    theirs.batch_first = True
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(std=0.5)
    theirs.load_state_dict({f"{key}_l0": value for key, value in ours.state_dict().items()})
    return ours, theirs


def stacked(state: Any) -> Tensor:
    return torch.stack(state) if isinstance(state, tuple) else state[None]


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_padded_rows_are_what_packed_sequences_are(name: str, bias: bool, dtype: torch.dtype, tolerance: float) -> None:
    ours, theirs = twins(name, dtype, bias)
    lengths = torch.tensor([4, 6, 1])
    x_BTI = torch.randn(3, 6, 3, dtype=dtype, requires_grad=True)
    first = torch.randn(2, 3, 5, dtype=dtype)
    h0 = LSTMState(*first) if name == "lstm" else first[0]
    y_BTO, state = scan(ours, x_BTI, h0, lengths=lengths, engine="native")

    packed = pack_padded_sequence(x_BTI, lengths, batch_first=True, enforce_sorted=False)
    torch_h0 = (first[:1], first[1:]) if name == "lstm" else first[:1]
    packed_y, torch_state = theirs(packed, torch_h0)
    wanted_BTO, _ = pad_packed_sequence(packed_y, batch_first=True)
    wanted_state = torch.cat(torch_state) if name == "lstm" else torch_state
    torch.testing.assert_close(y_BTO, wanted_BTO, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(stacked(state), wanted_state, rtol=tolerance, atol=tolerance)

    probe, state_probe = torch.randn_like(y_BTO), torch.randn_like(wanted_state)
    sources = [x_BTI, *ours.parameters()]
    found = torch.autograd.grad((y_BTO * probe).sum() + (stacked(state) * state_probe).sum(), sources)
    sources = [x_BTI, *theirs.parameters()]
    wanted = torch.autograd.grad((wanted_BTO * probe).sum() + (wanted_state * state_probe).sum(), sources)
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_an_lstm_stands_exactly_still_over_long_padding(dtype: torch.dtype) -> None:
    cell = LSTMCell(3, 5).to(dtype)
    with torch.no_grad():
        cell.weight_hh.mul_(20)
    x_BTI = torch.randn(2, 300, 3).to(dtype)
    _, short = scan(cell, x_BTI[:, :3])
    _, padded = scan(cell, x_BTI, lengths=torch.tensor([3, 3]))
    torch.testing.assert_close(padded.cell, short.cell, rtol=1e-6 if dtype != torch.bfloat16 else 2e-2, atol=1e-12)
    _, longer = scan(cell, x_BTI[:, :50], lengths=torch.tensor([3, 3]))
    assert torch.equal(padded.cell, longer.cell)


def test_a_rectified_state_does_not_blow_up_over_padding() -> None:
    cell = ElmanCell(3, 5, nonlinearity="relu")
    with torch.no_grad():
        cell.weight_hh.copy_(8 * torch.eye(5))
    x_BTI = torch.rand(2, 200, 3, requires_grad=True)
    y_BTO, _ = scan(cell, x_BTI, lengths=torch.tensor([2, 2]), engine="native")
    y_BTO.sum().backward()
    assert cell.weight_hh.grad is not None
    assert cell.weight_hh.grad.isfinite().all()


def test_gradients_do_not_need_training_mode() -> None:
    cell = LSTMCell(3, 5).eval()
    x_BTI = torch.randn(2, 4, 3, requires_grad=True)
    scan(cell, x_BTI, engine="native")[0].sum().backward()
    assert x_BTI.grad is not None
    assert x_BTI.grad.any()


def operations(run: Any) -> set[str]:
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiled, torch.no_grad():
        run()
    return {event.name for event in profiled.events()}


@pytest.mark.parametrize("name", TWINS)
def test_without_masks_the_kernel_is_all_that_runs(name: str) -> None:
    ours, theirs = twins(name)
    state = ours.initial_state(2)
    torch_state = tuple(part[None] for part in state) if name == "lstm" else state[None]
    extra = operations(lambda: scan(ours, X, state)) - operations(lambda: theirs(X, torch_state))
    # Views, and the one-row initial state that the given one is checked against.
    assert extra <= {
        "aten::unsqueeze",
        "aten::slice",
        "aten::select",
        "aten::new_zeros",
        "aten::new_empty",
        "aten::zero_",
    }


def test_onednn_runs_in_training_and_in_inference() -> None:
    cell = LSTMCell(3, 5)
    y_BTO, _ = scan(cell, X)
    names, pending = set(), [y_BTO.grad_fn]
    while pending:
        node = pending.pop()
        if node is not None:
            names.add(node.name())
            pending += [parent for parent, _ in node.next_functions]
    assert any("MkldnnRnnLayer" in name for name in names)
    assert "aten::mkldnn_rnn_layer" in operations(lambda: scan(cell, X))


@pytest.mark.parametrize("name", TWINS)
def test_autocast_gives_torchs_numbers_and_dtype(name: str) -> None:
    ours, theirs = twins(name)
    x_BTI = torch.randn(2, 4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        reason = explain(ours, x_BTI).ruled_out.get("native", "")
        if "does not multiply" in reason:
            pytest.skip(reason)
        found, wanted = scan(ours, x_BTI, engine="native")[0], theirs(x_BTI)[0]
    assert found.dtype == wanted.dtype
    assert torch.equal(found, wanted)


@pytest.mark.filterwarnings("ignore:LSTMCell runs as a Python loop")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_an_lstm_under_autocast_needs_a_processor_that_multiplies_the_dtype(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("has_onednn_bfloat16", "has_onednn_float16"):
        monkeypatch.setattr(native, name, lambda: False)
    ours, _ = twins("lstm")
    x_BTI = torch.randn(2, 20, 3)
    with torch.autocast("cpu", dtype):
        assert "does not multiply" in explain(ours, x_BTI).ruled_out["native"]
        assert not native.are_a_pair((ours, ours), x_BTI)
        found = scan(ours, x_BTI)[0]
    torch.testing.assert_close(found.float(), scan(ours, x_BTI, engine="reference")[0], rtol=0.05, atol=0.05)
    assert native.are_a_pair((ours, ours), x_BTI)


class Subclass(LSTMCell):
    pass


def with_hook() -> LSTMCell:
    cell = LSTMCell(3, 5)
    cell.register_forward_hook(lambda *_: None)
    return cell


def with_pre_hook() -> LSTMCell:
    cell = LSTMCell(3, 5)
    cell.register_forward_pre_hook(lambda *_: None)
    return cell


def with_backward_hook() -> LSTMCell:
    cell = LSTMCell(3, 5)
    cell.register_full_backward_hook(lambda *_: None)
    return cell


def with_replaced_forward() -> LSTMCell:
    cell = LSTMCell(3, 5)
    cell.forward = cell.forward  # type: ignore[method-assign]
    return cell


def with_parametrization() -> LSTMCell:
    cell = LSTMCell(3, 5)
    parametrize.register_parametrization(cell, "weight_hh", nn.Dropout(0.5))
    return cell


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: Subclass(3, 5), "not for Subclass"),
        (lambda: GRUCell(3, 5, reset_after=False), "reset_after=False"),
        (with_hook, "hook"),
        (with_pre_hook, "hook"),
        (with_backward_hook, "hook"),
        (with_replaced_forward, "replaced forward"),
        (with_parametrization, "not for ParametrizedLSTMCell"),
    ],
)
def test_what_the_kernels_would_get_wrong_is_left_to_the_loop(build: Any, reason: str) -> None:
    explanation = explain(build(), X)
    assert explanation.engine == "reference"
    assert reason in explanation.ruled_out["native"]


def test_a_global_hook_is_respected() -> None:
    seen = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(module))
    try:
        scan(LSTMCell(3, 5), X)
    finally:
        handle.remove()
    assert len(seen) == X.shape[1]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("steps", [1, 2])
def test_a_live_stream_does_not_pay_for_packing_weights(
    steps: int, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = LSTMCell(3, 5, bias=bias)
    state = LSTMState(torch.randn(2, 5), torch.randn(2, 5))
    wanted, end = scan(cell, X[:, :steps], state, engine="reference")
    assert explain(cell, X[:, :steps]).engine == "native"
    monkeypatch.setattr(torch, "lstm", None)
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            y_BTO, after = scan(cell, X[:, :steps], state)
        torch.testing.assert_close(y_BTO, wanted)
        torch.testing.assert_close(after, end)
        assert type(after) is LSTMState
        assert y_BTO.requires_grad is grad


@pytest.mark.parametrize("wrong", ["x", "state", "batch", "dtype"])
def test_a_live_stream_is_checked_like_any_input(wrong: str) -> None:
    cell = LSTMCell(3, 5)
    x_B1I = torch.zeros(2, 1, 4 if wrong == "x" else 3, dtype=torch.float64 if wrong == "dtype" else torch.float32)
    state = cell.initial_state(1 if wrong == "batch" else 2)
    state = LSTMState(state.hidden, state.cell[:, :4]) if wrong == "state" else state
    with torch.no_grad(), pytest.raises((UserError, RuntimeError)):
        scan(cell, x_B1I, state)


def test_a_watched_stream_calls_the_cell() -> None:
    cell = LSTMCell(3, 5)
    seen = []
    cell.register_forward_hook(lambda *_: seen.append(1))
    with torch.no_grad():
        scan(cell, X[:, :1], cell.initial_state(2))
    assert seen == [1]


def test_a_state_of_another_dtype_ends_in_the_error_of_the_loop() -> None:
    cell, state = ElmanCell(3, 5), torch.zeros(2, 5, dtype=torch.float64)
    messages = []
    for engine in ("native", "reference"):
        with pytest.raises(RuntimeError, match="same dtype") as caught:
            scan(cell, X, state, engine=engine)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_a_torch_func_transform_is_left_to_the_loop() -> None:
    cell = GRUCell(3, 5)
    x_NBTI = torch.randn(6, 2, 4, 3)
    mapped = torch.func.vmap(lambda x_BTI: scan(cell, x_BTI)[0])(x_NBTI)
    torch.testing.assert_close(mapped, torch.stack([scan(cell, x_BTI)[0] for x_BTI in x_NBTI]))
