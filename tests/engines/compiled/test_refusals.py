"""What the compiled engine cannot compute it refuses with a sentence, and the run goes on as a Python loop."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnnkit import scan
from rnnkit.engines import compiled, explain
from rnnkit.engines.policy import refusal
from rnnkit.engines.request import Request
from rnnkit.errors import UserError

BATCH = "mixes the (rows of a batch|batch into another axis)"


def recurrent(change: Any) -> Any:
    """An ordinary step with something done to its pre-activation, or to its state."""

    def step(c: Any, x: Tensor, h: Tensor) -> Any:
        h = torch.tanh(change(c, x, h, c.mix(x, h)))
        return h, h

    return step


REFUSED: dict[str, tuple[Any, str]] = {
    "a decision": (lambda c, x, h, a: a if h.sum() > 0 else -a, "depends on values"),
    "a number": (lambda c, x, h, a: a * float(x.max()), "depends on values"),
    "a shape": (lambda c, x, h, a: a + h[h > 0].sum(), "depends on values"),
    "numpy": (lambda c, x, h, a: a + torch.from_numpy(x.detach().numpy().sum(1, keepdims=True)), "cannot be traced"),
    "a mean over rows": (lambda c, x, h, a: a - h.mean(0), BATCH),
    "a mean of inputs": (lambda c, x, h, a: a - x.mean(0) @ c.w.T, BATCH),
    "a sum over all": (lambda c, x, h, a: a - h.sum(), BATCH),
    "softmax over rows": (lambda c, x, h, a: a.softmax(0), BATCH),
    "the first row": (lambda c, x, h, a: a - h[0], BATCH),
    "other rows": (lambda c, x, h, a: a - h.roll(1, 0), BATCH),
    "rows backwards": (lambda c, x, h, a: a - h.flip(0), "flip"),
    "rows added up": (lambda c, x, h, a: a - x.cumsum(0) @ c.w.T, "cumsum"),
    "rows against rows": (lambda c, x, h, a: a - h @ h.T @ h, BATCH),
    "rows times rows": (lambda c, x, h, a: a - h @ (h.T @ h), BATCH),
    "rows as features": (lambda c, x, h, a: a - h.reshape(6, -1).T, BATCH),
    "batch norm": (lambda c, x, h, a: nn.functional.batch_norm(a, None, None, training=True), "mixes|batch_norm"),
    "the batch size": (lambda c, x, h, a: a * len(x), "computes with the batch size"),
    "complex numbers": (lambda c, x, h, a: torch.view_as_real(torch.exp(1j * a)).sum(-1), "complex|view_as_real"),
    "half precision": (lambda c, x, h, a: a.half().to(a.dtype), "float16"),
    "an index": (lambda c, x, h, a: a.gather(1, (a > 0).long()), "gather"),
    "a sort": (lambda c, x, h, a: a.sort(1).values, "sort"),
    "a convolution": (
        lambda c, x, h, a: nn.functional.conv1d(a[:, None], c.b[None, None, :3], padding=1)[:, 0],
        "conv",
    ),
    "decimals": (lambda c, x, h, a: a + torch.round(a, decimals=1), "round"),
    "noise on weights": (lambda c, x, h, a: a + h @ torch.randn_like(c.u), "the same for all rows"),
    "noise of all rows": (lambda c, x, h, a: a + torch.rand(6), "the same for all rows"),
    "a kept tensor": (lambda c, x, h, a: (setattr(c, "last", a), a)[1], "changes Written.last"),
    "a kept list": (lambda c, x, h, a: (c.log.append(a), a)[1], "changes Written.log"),
    "a count": (lambda c, x, h, a: (setattr(c, "count", c.count + 1), a / c.count)[1], "changes Written.count"),
    "a counting buffer": (lambda c, x, h, a: a / c.steps.add_(1), "modifies a weight"),
    "a state written into": (lambda c, x, h, a: a + h.mul_(0.5), "modifies a weight"),
    "a made tensor": (lambda c, x, h, a: a + torch.tensor([1.0, 2, 3, 4, 5, 6]), "should be a buffer"),
}


def prepared(c: Any) -> None:
    c.log, c.count = [], 0
    c.register_buffer("steps", torch.zeros(()))


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:.*as a Python loop")
def test_the_reason_is_a_sentence(name: str, written: Any) -> None:
    change, sentence = REFUSED[name]
    cell = written(recurrent(change), setup=prepared)
    with torch.no_grad(), pytest.raises(UserError, match=f"compiled \\(.*({sentence})"):
        scan(cell, torch.randn(4, 3, 3), engine="compiled")
    assert cell.log == []
    assert cell.count == 0
    assert not hasattr(cell, "last")


def test_a_state_that_changes_its_shape_is_refused(written: Any) -> None:
    cell = written(lambda c, x, h: (h, h[:, :3]))
    with pytest.warns(UserWarning, match="its state changes its type or shape"), pytest.raises(UserError):
        scan(cell, torch.randn(2, 3, 3), engine="compiled")


def test_the_run_goes_on_with_one_warning_for_each_reason(written: Any) -> None:
    compiled._warn.cache_clear()
    x = torch.randn(4, 30, 3)
    change, _ = REFUSED["a sort"]
    cells = [written(recurrent(change)), written(recurrent(change))]
    with pytest.warns(UserWarning, match="Written runs as a Python loop: it uses sort") as caught:
        found = [scan(cell, x)[0] for cell in cells]
    assert len(caught) == 1
    assert all(torch.equal(y, scan(cell, x, engine="reference")[0]) for cell, y in zip(cells, found, strict=True))
    with pytest.warns(UserWarning, match="gather") as caught:
        scan(written(recurrent(REFUSED["an index"][0])), x)
    assert len(caught) == 1


def test_explain_has_the_reason(written: Any) -> None:
    compiled._warn.cache_clear()
    cell = written(recurrent(REFUSED["a decision"][0]))
    with pytest.warns(UserWarning, match="Python loop"):
        explanation = explain(cell, torch.randn(4, 30, 3))
    assert explanation.engine == "reference"
    assert "depends on values" in explanation.ruled_out["compiled"]


def test_a_watched_cell_is_left_to_the_loop(written: Any) -> None:
    cell = written(recurrent(lambda c, x, h, a: a))
    handle = cell.register_forward_hook(lambda *_: None)
    assert "hook" in str(refusal("compiled", Request(cell, torch.randn(2, 3, 3), cell.initial_state(2))))
    handle.remove()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refusal("compiled", Request(cell, torch.randn(2, 3, 3), cell.initial_state(2))) is None
