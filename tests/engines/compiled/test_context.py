"""A context in the compiled loop: one copy for all steps, and one sum of its gradients over them."""

from typing import Any

import pytest
import torch
from context_cells import CELLS, AdditiveAttention, FastWeights, Memory, memory, plain, timed, vector
from torch import Tensor

from rnnkit import scan
from rnnkit.cells import Cell
from rnnkit.engines import compiled
from rnnkit.engines.compiled import kernels
from rnnkit.engines.compiled.trace.graphs import features, value
from rnnkit.engines.request import Request

B, T, H = 5, 20, 4


def made(name: str) -> tuple[Cell[Any], Any, Any]:
    torch.manual_seed(0)
    kind, inputs, context = CELLS[name]
    return kind(3, H).double(), inputs(B, T), None if context is None else context(B)


def kernel_of(cell: Cell[Any], x: Any, context: Any, **form: Any) -> Any:
    kernel = kernels.kernel_of(Request(cell, x, cell.initial_state(B), context=context, **form))[0]
    assert not isinstance(kernel, str), kernel
    return kernel


@pytest.mark.parametrize("name", CELLS)
def test_what_reads_a_context_or_a_tree_is_compiled(name: str) -> None:
    cell, x, context = made(name)
    assert compiled.prepare(Request(cell, x, cell.initial_state(B), context=context)) is None


def test_keys_are_made_once_and_their_gradients_are_summed_before_the_product() -> None:
    cell, x, context = made("additive attention")
    context = Memory(context.values.requires_grad_(), context.lengths)
    kernel = kernel_of(cell, x, context)
    part = kernel.partition
    # The keys and the mask, for each row; no step has a copy of anything as large as the memory.
    assert sorted(features(node) for node in part.context.outputs) == [(4,), (4, H)]
    steps = [*part.forward.stored, *part.backward.stored, *part.forward.before.outputs, *part.backward.after.inputs]
    own = [node for node in steps if node not in part.per_row and features(node)[:1] == (4,)]
    assert all(len(features(node)) == 1 for node in own)
    # Sums over steps of what reaches the memory and of what reaches the keys; then one product with the weights.
    assert sorted(features(node) for node in part.late_sums) == [(4, 3), (4, H)]
    targets = [str(node.target) for node in part.late.function.__self__.graph.nodes]
    assert sum("mm" in target or "matmul" in target for target in targets) == 2
    assert len(part.late.outputs) == 2


@pytest.mark.parametrize("name", ["dot attention", "additive attention", "fast weights"])
def test_gradients_of_a_context_against_finite_differences(name: str) -> None:
    cell, x, context = made(name)
    leaf = context.requires_grad_() if isinstance(context, Tensor) else context.values[:, :, :].requires_grad_()

    def scanned(leaf: Tensor) -> Any:
        given = leaf if isinstance(context, Tensor) else Memory(leaf, context.lengths)
        y, _, states = scan(cell, x, context=given, return_states=True, engine="compiled")
        return y, *(states if isinstance(states, tuple) else [states])

    assert torch.autograd.gradcheck(scanned, [leaf], fast_mode=True)
    assert torch.autograd.gradgradcheck(scanned, [leaf], fast_mode=True)


@pytest.mark.parametrize("rows", [1, 3, 4, 6])
def test_a_vector_of_all_rows_may_have_as_many_elements_as_there_are_rows(rows: int) -> None:
    """D is 3: with three rows it could be one number for each."""
    torch.manual_seed(0)
    cell, x, context = FastWeights(3, H).double(), timed(rows, T), vector(rows).requires_grad_()
    answers = []
    for engine in ("compiled", "reference"):
        y = scan(cell, x, context=context, engine=engine)[0]
        answers.append([y, *torch.autograd.grad(y.square().sum(), [context, *cell.parameters()])])
    torch.testing.assert_close(*answers)


def test_one_kernel_for_any_number_of_rows_and_steps() -> None:
    cell = AdditiveAttention(3, H).double()
    with torch.no_grad():
        for rows, steps in ((2, 16), (7, 30), (1, 5)):
            found, expected = (
                scan(cell, plain(rows, steps), context=memory(rows), engine=engine)[0]
                for engine in ("compiled", "reference")
            )
            torch.testing.assert_close(found, expected)
    assert len(kernels._kernels[cell]) == 1


class Static(Cell[Tensor]):
    """Features of a row beside each input, a state that begins as they are, and an output that is one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.input_size = self.output_size = 3
        self.map, self.back = torch.nn.Linear(6, 3), torch.nn.Linear(3, 3)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.map.weight.new_zeros(batch_size, 3)

    def forward(self, x: Tensor, state: Tensor, context: tuple[Tensor, None, Tensor]) -> tuple[Tensor, Tensor]:
        static, _, kept = context
        h = torch.tanh(self.map(torch.cat([x, static], 1)) + self.back(state))
        return torch.where(kept[:, None], static.detach() * h, h), torch.where(kept[:, None], h, static)


def test_static_features_beside_each_input() -> None:
    torch.manual_seed(0)
    cell, x = Static().double(), plain(B, T).requires_grad_()
    static, kept = torch.randn(B, 3).double().requires_grad_(), torch.arange(B) % 2 == 0
    answers = []
    for engine in ("compiled", "reference"):
        y, end, states = scan(cell, x, context=(static, None, kept), return_states=True, engine=engine)
        total = y.square().sum() + end.sum() + states.sin().sum()
        answers.append([y, end, states, *torch.autograd.grad(total, [x, static, *cell.parameters()])])
    torch.testing.assert_close(*answers)


class Passing(Cell[Tensor]):
    """What comes out, and what the state becomes, is the context itself."""

    input_size = output_size = 3

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, 3).double()

    def forward(self, x: Tensor, state: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        return context, context


def test_a_context_as_output_and_state() -> None:
    context = torch.randn(B, 3).double()
    y, end, states = scan(Passing(), plain(B, T), context=context, return_states=True, engine="compiled")
    torch.testing.assert_close(end, context)
    torch.testing.assert_close(y, context[:, None].expand(B, T, 3), check_stride=False)
    torch.testing.assert_close(states, y)


def test_states_may_be_written_into() -> None:
    cell, x, context = made("dot attention")
    answers = []
    for engine in ("compiled", "reference"):
        y, _, states = scan(cell, x, context=context, return_states=True, engine=engine)
        total = y.sum() + states.hidden.mul_(2).sum() + states.read.relu_().sum()
        answers.append(torch.autograd.grad(total, list(cell.parameters())))
    torch.testing.assert_close(*answers)
    assert value(kernel_of(cell, x, context).step.y).dtype == torch.float64
