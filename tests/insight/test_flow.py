"""Gradient flow is that of the definition, by an oracle that shares no code with it: products of step Jacobians."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from insight_cells import CELLS, INPUTS, Decay, H
from torch import Tensor, nn
from torch.autograd.functional import jacobian

from rnnkit import RNN, SequenceBatch, scan
from rnnkit.cells import Cell, GRUCell, LSTMCell
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.errors import UserError
from rnnkit.insight import gradient_flow, input_sensitivity, memory_length

T = 9
LENGTHS = torch.tensor([9, 6, 1, 7])
RESET = torch.zeros(4, T, dtype=torch.bool)
RESET[0, 3] = RESET[1, 0] = RESET[3, 5] = RESET[1, 8] = True


def _leaves(state: Any) -> list[Tensor]:
    return [leaf for leaf in state_leaves(state) if leaf.is_floating_point() or leaf.is_complex()]


def _flat(state: Any) -> Tensor:
    return torch.cat([torch.view_as_real(s).flatten() if s.is_complex() else s.flatten() for s in _leaves(state)])


def _shaped(flat: Tensor, like: Any) -> Any:
    rest = [flat]

    def take(leaf: Tensor) -> Tensor:
        if not (leaf.is_floating_point() or leaf.is_complex()):
            return leaf
        count = leaf.numel() * (2 if leaf.is_complex() else 1)
        part, rest[0] = rest[0][:count], rest[0][count:]
        return torch.view_as_complex(part.view(*leaf.shape, 2)) if leaf.is_complex() else part.view(leaf.shape)

    return map_state(take, like)


def _row(tree: Any, b: int) -> Any:
    return map_state(lambda leaf: leaf[b : b + 1], tree)


def oracle(
    cell: Cell[Any], x_TI: Tensor, state: Any, order: list[int], resets: set[int]
) -> tuple[list[float], list[float]]:
    """The norms for one row, from the last step of `order`, for states and inputs; its loss is half the squared
    output of that step."""
    steps: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    y = x_TI.new_zeros(0)
    for t in order:
        if t in resets:
            steps, state = [], cell.initial_state(1)

        def step(flat: Tensor, x: Tensor, like: Any = state) -> tuple[Tensor, Tensor]:
            y_1O, after = cell(x[None], _shaped(flat, like))
            return y_1O[0], _flat(after)

        (y_s, y_x), (s_s, s_x) = jacobian(step, (_flat(state), x_TI[t]))
        steps.append((y_s, y_x, s_s, s_x))
        with torch.no_grad():
            y_1O, state = cell(x_TI[t : t + 1], state)
        y = y_1O[0]
    y_s, y_x, _, _ = steps[-1]
    v, by_state, by_x = y @ y_s, [], [float((y @ y_x).norm())]
    by_state.append(float(v.norm()))
    for _, _, s_s, s_x in reversed(steps[:-1]):
        by_x.append(float((v @ s_x).norm()))
        v = v @ s_s
        by_state.append(float(v.norm()))
    return by_state, by_x


class Backward(nn.Module):
    """One layer in one direction, with everything that a scan takes."""

    def __init__(self, cell: Cell[Any], reverse: bool) -> None:
        super().__init__()
        self.cell, self.reverse = cell, reverse

    def forward(self, x: Tensor, state: Any = None, *, lengths: Any = None, reset: Any = None) -> Tensor:
        return scan(self.cell, x, state, lengths=lengths, reset=reset, reverse=self.reverse)[0]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", CELLS)
def test_flow_is_the_product_of_the_step_jacobians(kind: str, reverse: bool) -> None:
    cell = CELLS[kind](INPUTS, H).double()
    x = torch.randn(4, T, INPUTS, dtype=torch.double)
    x[1, 6:] = torch.nan  # padding
    carry = scan(cell, torch.randn(4, 5, INPUTS, dtype=torch.double))[1]
    carry = map_state(Tensor.detach, carry)
    batch = SequenceBatch(x, torch.empty(0), LENGTHS, reset=RESET)
    model = Backward(cell, reverse)
    before = {name: p.clone() for name, p in model.named_parameters()}
    flow = gradient_flow(model, batch, carry)["cell"]
    sensitivity = input_sensitivity(model, batch, carry)["cell"]
    for b, length in enumerate(LENGTHS.tolist()):
        resets = {t for t in range(T) if RESET[b, t]}
        order, fresh = list(range(length)), resets
        if reverse:  # the loss is that of the first step, the last one to be computed
            order, fresh = order[::-1], {t - 1 for t in resets if 0 < t < length}
        expected, expected_x = oracle(cell, x[b], _row(carry, b), order, fresh)
        for found, wanted in ((flow, expected), (sensitivity, expected_x)):
            row = found.norms[b]
            assert int((~row.isnan()).sum()) == len(wanted)
            assert torch.allclose(row[: len(wanted)], torch.tensor(wanted, dtype=torch.double), rtol=1e-12, atol=1e-14)
    assert all(torch.equal(p, before[name]) and p.grad is None for name, p in model.named_parameters())


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_all_layers_of_a_stack_follow_one_loss(engine: str) -> None:
    """The oracle is a loop over time with a zero added to each state, in which no scan occurs."""
    rnn = RNN([LSTMCell, GRUCell], INPUTS, H, num_layers=2, dropout=0.5).double()
    x = torch.randn(2, T, INPUTS, dtype=torch.double)
    cells, zeros = [rnn.cell_at(0), rnn.cell_at(1)], []
    states, y = [cell.initial_state(2) for cell in cells], x[:, 0]
    for t in range(T):
        y = x[:, t]
        for layer, cell in enumerate(cells):
            e = map_state(lambda leaf: torch.zeros_like(leaf).requires_grad_(), states[layer])
            zeros.append((layer, state_leaves(e)))
            y, states[layer] = cell(y, map_state(torch.add, states[layer], e))
    gradients = torch.autograd.grad(y.square().sum() / 2, [leaf for _, e in zeros for leaf in e])
    found = gradient_flow(rnn, x, engine=engine)
    taken = iter(gradients)
    expected: dict[int, list[Tensor]] = {0: [], 1: []}
    for layer, e in zeros:
        expected[layer].append(torch.cat([next(taken) for _ in e], dim=1).norm(dim=1))
    for layer in (0, 1):
        wanted = torch.stack(expected[layer][::-1], dim=1)
        assert torch.allclose(found[f"cells.{layer}"].norms, wanted, rtol=1e-12, atol=1e-15)


def test_a_loss_that_depends_on_the_last_state_is_followed_too() -> None:
    """As in an encoder, whose last state begins another scan; the same layer may also be read by its outputs."""

    class Encoder(nn.Module):
        def __init__(self, kind: Callable[[int, int], Cell[Any]]) -> None:
            super().__init__()
            self.encoder, self.decoder = kind(INPUTS, H), kind(INPUTS, H)

        def forward(self, x: Tensor) -> Tensor:
            y, state = scan(self.encoder, x)
            z, _ = scan(self.decoder, x[:, :3], state)
            return y.mean(1) + z[:, -1]

    for kind in (GRUCell, LSTMCell, CELLS["minGRU"]):
        model = Encoder(kind).double()
        x = torch.randn(2, T, INPUTS, dtype=torch.double)
        e = [
            map_state(lambda leaf: torch.zeros_like(leaf).requires_grad_(), model.encoder.initial_state(2))
            for _ in x[0]
        ]
        state, ys = model.encoder.initial_state(2), []
        for t in range(T):
            y, state = model.encoder(x[:, t], map_state(torch.add, state, e[t]))
            ys.append(y)
        for t in range(3):
            y, state = model.decoder(x[:, t], state)
        loss = (torch.stack(ys, 1).mean(1) + y).square().sum() / 2
        wanted = torch.autograd.grad(loss, [leaf for part in e for leaf in state_leaves(part)])
        per = len(state_leaves(e[0]))
        norms = [torch.cat(wanted[per * t : per * (t + 1)], dim=1).norm(dim=1) for t in range(T)]
        found = gradient_flow(model, x)["encoder"].norms
        assert torch.allclose(found, torch.stack(norms[::-1], dim=1), rtol=1e-12)


def test_a_linear_cell_forgets_at_its_rate() -> None:
    flow = gradient_flow(RNN(Decay, INPUTS, H).double(), torch.randn(3, 30, INPUTS, dtype=torch.double))["cells.0"]
    assert torch.allclose(flow.relative, 0.9 ** torch.arange(30, dtype=torch.double), rtol=1e-12)
    assert (memory_length(flow).steps, memory_length(flow).is_censored) == (30, True)
    assert str(memory_length(flow)) == "> 30"
    assert memory_length(flow, share=0.5).steps == 7  # 0.9 ** 6 = 0.53


def test_torch_modules_frozen_weights_and_targets() -> None:
    x, ids = torch.randn(2, 12, INPUTS), torch.randint(0, H, (2, 12))
    module = nn.LSTM(INPUTS, H, batch_first=True)
    own = RNN.from_torch(module)
    batch = SequenceBatch(x, ids)
    expected = gradient_flow(own, batch)["cells.0"].norms
    assert torch.allclose(gradient_flow(module, batch)["cells.0"].norms, expected)
    own.requires_grad_(False)
    assert torch.allclose(gradient_flow(own, batch)["cells.0"].norms, expected)
    squared = gradient_flow(own, SequenceBatch(x, torch.randn(2, 12, H)))["cells.0"].norms
    assert not torch.allclose(squared, expected)


def test_what_cannot_be_followed_is_refused() -> None:
    x = torch.randn(2, 4, INPUTS)
    with pytest.raises(UserError, match=r"runs rnnkit\.scan"):
        gradient_flow(nn.Linear(INPUTS, H), x)
    with pytest.raises(UserError, match="argument lengths"):
        gradient_flow(nn.Linear(INPUTS, H), SequenceBatch(x, x, torch.tensor([4, 2])))
    with pytest.raises(UserError, match=r"torch\.nn\.Module"):
        gradient_flow("model", x)
    with pytest.raises(UserError, match="one shape"):
        gradient_flow(RNN(GRUCell, INPUTS, H), SequenceBatch(x, torch.randn(2, 3)))
    with pytest.raises(UserError, match="no steps"):
        gradient_flow(RNN(GRUCell, INPUTS, H), x[:, :0])
