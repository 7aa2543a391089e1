"""One step without gradients, as in a live stream: the same numbers, whatever has changed since the last one."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnnkit import scan
from rnnkit.cells import GRUCell, LSTMCell, Zoneout
from rnnkit.errors import UserError

run = partial(scan, engine="compiled")
loop = partial(scan, engine="reference")


def same_stream(cell: Any, dtype: torch.dtype = torch.float32, rows: int = 1) -> None:
    """Three steps, each from the state of the one before."""
    x_BTI = torch.randn(rows, 3, 3, generator=torch.Generator().manual_seed(1)).to(dtype)
    expected, _ = loop(cell, x_BTI)
    # A state that is given, from the first step on, spares scan its checks.
    state, outputs = cell.initial_state(rows), []
    with torch.no_grad():
        for t in range(3):
            y, state = run(cell, x_BTI[:, t : t + 1], state)
            outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs, 1), expected, rtol=1e-5, atol=1e-5, check_dtype=True)


def plain(c: Any, x: Tensor, h: Tensor) -> Any:
    h = c.function(c.mix(x, h) * c.options["scale"][0] * c._gain)
    return h, h


def prepared(c: Any) -> None:
    c.options, c._gain, c.function = {"scale": [0.5]}, 1.0, nn.Tanh()
    c.register_buffer("spare", torch.ones(2))


CHANGES: dict[str, Any] = {
    "an option": lambda c: setattr(c, "_gain", 2.0),
    "an inner option": lambda c: c.options["scale"].insert(0, 2.0),
    "a module": lambda c: setattr(c, "function", nn.Sigmoid()),
    "a step": lambda c: setattr(c, "step", lambda c, x, h: (h, h + x.repeat(1, 2))),
    "a method": lambda c: setattr(c, "forward", lambda x, h: (h, h + x.repeat(1, 2))),
    "a weight in place": lambda c: c.u.data.mul_(2),
    "a weight's memory": lambda c: setattr(c.u, "data", torch.randn(6, 6).t()),
    "a weight": lambda c: setattr(c, "u", nn.Parameter(torch.randn(6, 6))),
    "loaded weights": lambda c: c.load_state_dict({name: 2 * value for name, value in c.state_dict().items()}),
    "an optimizer's step": lambda c: (setattr(c.u, "grad", torch.ones(6, 6)), torch.optim.SGD([c.u], 0.1).step()),
    "a hook": lambda c: c.register_forward_hook(lambda _, __, out: (out[0] * 2, out[1])),
    "a hook inside": lambda c: c.function.register_forward_hook(lambda _, __, out: out * 2),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_between_two_steps_is_noticed(name: str, written: Any) -> None:
    cell = written(plain, setup=prepared)
    same_stream(cell)
    CHANGES[name](cell)
    if "hook" in name or name == "a method":
        with pytest.raises(UserError, match="needs every step"):
            same_stream(cell)
    else:
        same_stream(cell)


def test_other_rows_other_precision_other_modes(written: Any) -> None:
    cell = written(plain, setup=prepared)
    for rows in (1, 3, 1, 0):
        same_stream(cell, rows=rows)
    same_stream(cell.double(), torch.float64)
    same_stream(cell.float())
    same_stream(copy.deepcopy(cell))
    zoneout = Zoneout(GRUCell(3, 6), 0.5)
    with torch.no_grad():
        one, two = (run(zoneout, torch.ones(8, 1, 3))[0] for _ in range(2))
    assert not torch.equal(one, two)
    same_stream(zoneout.eval())


def test_an_input_and_a_state_as_they_lie(written: Any) -> None:
    cell = LSTMCell(3, 6)
    x = torch.randn(3, 4).t()[:, None]
    state = type(cell.initial_state(4))(torch.randn(1, 6).expand(4, -1), torch.randn(6, 4).t())
    with torch.no_grad():
        for _ in range(2):
            (found, after), (expected, expected_after) = run(cell, x, state), loop(cell, x, state)
            torch.testing.assert_close(found, expected)
            torch.testing.assert_close(after, expected_after)


def test_what_a_step_gave_stays_as_it_was() -> None:
    cell, x = GRUCell(3, 6), torch.randn(2, 1, 3)
    with torch.no_grad():
        first, state = run(cell, x)
        kept = first.clone(), state.clone()
        for _ in range(3):
            _, state = run(cell, x, state)
    assert torch.equal(first, kept[0])


def test_a_gradient_is_there_as_soon_as_it_is_asked_for() -> None:
    cell, x = GRUCell(3, 6), torch.randn(2, 1, 3)
    with torch.no_grad():
        run(cell, x)
    found, expected = (torch.autograd.grad(engine(cell, x)[0].sum(), cell.weight_hh) for engine in (run, loop))
    torch.testing.assert_close(found, expected)
