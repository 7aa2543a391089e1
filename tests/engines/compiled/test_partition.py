"""What the compiler promises of its cuts: what runs once, what runs in the loop, what is kept."""

import re
from functools import partial
from typing import Any

import pytest
import torch

from rnnkit.cells import Cell, GRUCell, LayerNormLSTMCell, LSTMCell
from rnnkit.engines.compiled import kernels
from rnnkit.engines.compiled.cpu.index import Index, Split, flat, unflat
from rnnkit.engines.compiled.trace.graphs import features
from rnnkit.engines.request import Request
from rnnkit.engines.window import Window

H = 8


def kernel_of(cell: Cell[Any], *, masked: bool = False) -> Any:
    x = torch.randn(2, 3, cell.input_size, requires_grad=True)
    lengths = torch.tensor([3, 2]) if masked else None
    kernel = kernels.kernel_of(Request(cell, x, cell.initial_state(2), Window(lengths, None, False)))[0]
    assert not isinstance(kernel, str), kernel
    return kernel


def products(eager: Any) -> int:
    """How many products a part that runs once has."""
    if not eager.outputs:
        return 0
    return sum(node.name.startswith(("mm", "bmm")) for node in eager.function.__self__.graph.nodes)


def products_in_loops(kernel: Any) -> list[int]:
    """How many products the text of each direction calls in every step."""
    loops = kernel.source.split('extern "C" void ')[1:]
    return [len(re.findall(r"\) product<", loop.partition("for (long n = 0; n < T; ++n)")[2])) for loop in loops[:2]]


def kept(kernel: Any) -> int:
    """How many numbers of a row and step are written down, besides the output and the states."""
    stored = [node for node in kernel.partition.forward.stored if node is not kernel.step.y]
    return sum(torch.Size(features(node)).numel() for node in stored)


CELLS = {
    "lstm": (partial(LSTMCell), 1, 4 * H),
    "gru": (partial(GRUCell), 1, 4 * H),
    "gru, reset before": (partial(GRUCell, reset_after=False), 2, 4 * H),
    "layer-norm lstm": (partial(LayerNormLSTMCell), 1, None),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_only_products_with_the_state_stand_in_the_loop(name: str, masked: bool) -> None:
    factory, recurrent, _ = CELLS[name]
    kernel = kernel_of(factory(5, H), masked=masked)
    assert products_in_loops(kernel) == [recurrent, recurrent]
    assert products(kernel.partition.forward.before) == 1
    # The gradients of the weights, recurrent and input, and that of x.
    backward = kernel.partition.backward
    assert products(backward.before) == 0
    assert products(backward.after) == recurrent + 2


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", [name for name, case in CELLS.items() if case[2] is not None])
def test_no_more_is_kept_of_a_step_than_its_gates(name: str, masked: bool) -> None:
    factory, _, most = CELLS[name]
    kernel = kernel_of(factory(5, H), masked=masked)
    assert kept(kernel) <= most


def test_what_a_product_reads_again_comes_from_the_loop() -> None:
    """r * h, which the gradient of U_n needs: not kept for every step, and not computed by torch afterwards."""
    kernel = kernel_of(GRUCell(5, H, reset_after=False))
    after = kernel.partition.backward.after
    assert not [node for node in after.function.__self__.graph.nodes if node.name.startswith(("mul", "sigmoid"))]
    assert kept(kernel) <= 4 * H


def test_an_lstm_keeps_four_gates() -> None:
    kernel = kernel_of(LSTMCell(5, H))
    assert kept(kernel) == 4 * H


def test_a_layer_norm_lstm_keeps_no_more_than_pre_activations_and_moments() -> None:
    kernel = kernel_of(LayerNormLSTMCell(5, H))
    assert kept(kernel) <= 4 * H + 3 * 2


def test_without_gradients_nothing_is_kept() -> None:
    with torch.no_grad():
        kernel = kernel_of(LSTMCell(5, H))
    assert kernel.partition.backward is None
    assert kernel.partition.forward.stored == []
    assert kernel.saved == []


def test_an_input_that_asks_for_no_gradient_costs_none() -> None:
    cell = LSTMCell(5, H)
    x = torch.randn(2, 3, 5)
    kernel = kernels.kernel_of(Request(cell, x, cell.initial_state(2)))[0]
    assert products(kernel.partition.backward.after) == 2


def test_frozen_weights_cost_no_products() -> None:
    cell = LSTMCell(5, H)
    cell.weight_hh.requires_grad_(False)
    assert products(kernel_of(cell).partition.backward.after) == 2


@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 3), (1, 7), (6, 1, 2), (5,)])
def test_every_element_is_found_again(shape: tuple[int, ...]) -> None:
    ranges = {f"i{n}": size for n, size in enumerate(shape)}
    index = [Index({name: 1}) if size > 1 else Index() for name, size in zip(ranges, shape, strict=True)]
    assert unflat(flat(index, shape), shape, ranges) == index


@pytest.mark.parametrize("inner", [2, 3, 4, 6, 12])
@pytest.mark.parametrize("loose", [False, True])
def test_a_quotient_and_a_remainder_are_those_of_whole_numbers(inner: int, loose: bool) -> None:
    ranges = {"i": 3, "j": 4}
    place = Index({"i": 8, "j": 2}, 1)
    if not loose and inner != 2:
        with pytest.raises(Split) as caught:
            place.divided(inner, ranges)
        assert caught.value.variable in ranges
        assert caught.value.inner == inner
        return
    parts = place.divided(inner, ranges, loose)
    for i in range(3):
        for j in range(4):
            values = [eval(str(part).replace("/", "//"), {}, {"i": i, "j": j}) for part in parts]
            assert values == list(divmod(8 * i + 2 * j + 1, inner))


def test_indices_add_and_multiply() -> None:
    index = Index({"i": 2}) + Index({"i": 1, "j": 1}, 3)
    assert index == Index({"i": 3, "j": 1}, 3)
    assert str(index * 2) == "6 * i + 2 * j + 6"
    assert str(Index()) == "0"
    assert len({index, Index({"j": 1, "i": 3}, 3)}) == 1
