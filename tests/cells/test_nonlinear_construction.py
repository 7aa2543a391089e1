"""First values, refused arguments, and the shape of the work: what an engine can take out of the time loop."""

from functools import partial
from typing import Any

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from rnnkit import cells, scan
from rnnkit.cells import map_state, state_leaves
from rnnkit.errors import UserError

NAMES = "Antisymmetric CfC CoRNN CoupledLSTM IndRNN LEM LayerNormGRU LayerNormLSTM LiGRU MGU PeepholeLSTM SLSTM"
CELLS: dict[str, Any] = {name: getattr(cells, f"{name}Cell") for name in NAMES.split()}
each_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())


@each_cell
@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (3, -1)])
def test_a_size_below_one_is_refused(cell: Any, sizes: tuple[int, int]) -> None:
    wrong = min(sizes)
    with pytest.raises(UserError, match=rf"_size: expected .* at least 1; got {wrong}\. Try: model\..*_size="):
        cell(*sizes)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            partial(cells.SLSTMCell, num_heads=2),
            r"num_heads: expected a divisor of 3; got 2\. Try: model.cell.num_heads=1",
        ),
        (partial(cells.SLSTMCell, num_heads=0), r"num_heads: expected a divisor of 3; got 0"),
        (partial(cells.SLSTMCell, forget_gate="tanh"), r"forget_gate: expected sigmoid or exp; got 'tanh'"),
        (partial(cells.IndRNNCell, nonlinearity="gelu"), r"nonlinearity: expected relu or tanh; got 'gelu'"),
        (partial(cells.CoRNNCell, dt=0.0), r"dt: expected a positive number; got 0.0"),
        (partial(cells.CoRNNCell, gamma=-1.0), r"gamma: expected a positive number; got -1.0"),
        (partial(cells.CoRNNCell, epsilon=float("nan")), r"epsilon: expected a positive number; got nan"),
        (partial(cells.LEMCell, dt=1.5), r"dt: expected a number above 0 and at most 1; got 1.5"),
        (partial(cells.LEMCell, dt=0.0), r"dt: expected a number above 0 and at most 1; got 0.0"),
        (partial(cells.AntisymmetricCell, step_size=0.0), r"step_size: expected a positive number; got 0.0"),
        (partial(cells.AntisymmetricCell, diffusion=-0.1), r"diffusion: expected a number of at least 0; got -0.1"),
        (
            partial(cells.CfCCell, backbone_size=0),
            r"backbone_size: .* at least 1; got 0. Try: model.cell.backbone_size=",
        ),
        (
            lambda _, H: cells.CfCCell(1, H, elapsed_time=True),
            r"input_size: expected at least 2 with elapsed_time, .*; got 1",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(build: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(2, 3)


@pytest.mark.parametrize("name", sorted(CELLS.keys() - {"IndRNN", "CoRNN", "CfC"}))
def test_recurrent_blocks_start_orthogonal(name: str) -> None:
    for block_HH in CELLS[name](6, 8).weight_hh.detach().split(8):
        torch.testing.assert_close(block_HH @ block_HH.T, torch.eye(8))


def test_recurrent_matrices_that_are_not_square_start_orthogonal_too() -> None:
    own_HW = cells.CoRNNCell(6, 8).weight_hh.detach()
    torch.testing.assert_close(own_HW @ own_HW.T, torch.eye(8))
    backbone_UH = cells.CfCCell(6, 8).weight_hh.detach()
    torch.testing.assert_close(backbone_UH.T @ backbone_UH, torch.eye(8))
    heads_GW = cells.SLSTMCell(6, 8, num_heads=2).weight_hh.detach()
    assert heads_GW.shape == (32, 4)
    for square_WW in heads_GW.split(4):
        torch.testing.assert_close(square_WW @ square_WW.T, torch.eye(4))


@pytest.mark.parametrize(
    ("cell", "name", "forget"),
    [
        (cells.CoupledLSTMCell, "bias", slice(0, 8)),
        (cells.PeepholeLSTMCell, "bias", slice(8, 16)),
        (cells.LayerNormLSTMCell, "norm_ih.bias", slice(8, 16)),
    ],
)
def test_the_forget_bias_is_where_it_belongs_and_other_biases_are_zero(cell: Any, name: str, forget: slice) -> None:
    for built, wanted in ((cell(6, 8), 1.0), (cell(6, 8, 2.5), 2.5)):
        bias = built.state_dict()[name]
        assert (bias[forget] == wanted).all()
        assert bias.sum() == 8 * wanted


def test_the_forget_biases_of_an_slstm_are_spread_over_each_head() -> None:
    bias = cells.SLSTMCell(6, 8, num_heads=2).bias
    assert bias[8:16].tolist() == [5, 1, -3, -7] * 2
    assert not torch.cat([bias[:8], bias[16:]]).any()
    assert not cells.SLSTMCell(6, 8, forget_gate="exp").bias.any()


@each_cell
def test_a_fresh_state_shares_no_memory_between_its_parts(cell: Any) -> None:
    leaves = state_leaves(cell(3, 4).initial_state(2))
    assert len({leaf.data_ptr() for leaf in leaves}) == len(leaves)


@each_cell
def test_cells_can_be_built_in_half_precision_and_without_storage(cell: Any) -> None:
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert {p.dtype for p in cell(3, 5).parameters()} == {torch.bfloat16}
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"):
        assert all(p.is_meta for p in cell(3, 5).parameters())


@each_cell
def test_autocast_keeps_the_carry_and_stays_close(cell: Any) -> None:
    built = cell(3, 8)
    x_BTI = torch.randn(2, 12, 3)
    wanted, _ = scan(built, x_BTI, engine="reference")
    with torch.autocast("cpu", torch.bfloat16):
        found, end = scan(built, x_BTI, engine="reference")
    assert {leaf.dtype for leaf in state_leaves(end)} == {torch.float32}
    torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=0.05)


def test_states_need_no_memory_order() -> None:
    for build in (*CELLS.values(), partial(cells.SLSTMCell, num_heads=2)):
        cell = build(3, 4).double()
        _, state = cell(torch.randn(2, 3, dtype=torch.float64), cell.initial_state(2))
        scattered = map_state(lambda leaf: leaf.t().contiguous().t(), state)
        x_BI = torch.randn(2, 3, dtype=torch.float64)
        torch.testing.assert_close(cell(x_BI, scattered), cell(x_BI, state), rtol=0, atol=1e-15)


# A product of the input, and as few as the equation allows of the state.
PRODUCTS: dict[str, tuple[Any, int]] = {
    **{name: (cell, 2) for name, cell in CELLS.items()},
    "IndRNN": (cells.IndRNNCell, 1),
    "MGU": (cells.MGUCell, 3),
    "LEM": (cells.LEMCell, 3),
    "CfC": (cells.CfCCell, 3),
    "CfC-time-gap": (partial(cells.CfCCell, elapsed_time=True), 3),
    "Antisymmetric-gated": (partial(cells.AntisymmetricCell, gated=True), 2),
    "SLSTM-heads": (partial(cells.SLSTMCell, num_heads=2), 2),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_one_product_of_the_input_waits_for_no_state(name: str) -> None:
    build, products = PRODUCTS[name]
    cell = build(3, 4)
    x_BI, state = torch.randn(5, 3), cell.initial_state(5)

    def step(x_BI: torch.Tensor, state: Any, weights: dict[str, torch.Tensor]) -> Any:
        return torch.func.functional_call(cell, weights, (x_BI, state))

    graph = make_fx(step)(x_BI, state, dict(cell.named_parameters()))
    torch.testing.assert_close(graph(x_BI, state, dict(cell.named_parameters())), cell(x_BI, state))

    inputs = [node for node in graph.graph.nodes if node.op == "placeholder"]
    of_x, of_state = {inputs[0]}, set(inputs[1 : 1 + len(state_leaves(state))])
    found = []
    for node in graph.graph.nodes:
        of_x |= {node} if of_x & set(node.all_input_nodes) else set()
        of_state |= {node} if of_state & set(node.all_input_nodes) else set()
        if node.op == "call_function" and node.target.__name__.split(".")[0] in ("mm", "addmm", "bmm"):
            found.append((node in of_x, node in of_state))
    assert len(found) == products
    assert found.count((True, False)) == 1
    assert (False, False) not in found
