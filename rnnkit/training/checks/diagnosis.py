"""Localization of the first non-finite value: module, layer, time step and row."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from rnnkit.cells import Cell
from rnnkit.engines import ScanEvent, observe
from rnnkit.layers import RNN


class _Output(NamedTuple):
    """An output of a module, in the order of computation."""

    name: str
    values: Tensor


def locate(model: nn.Module, loss: Any) -> str:
    """Describe where `loss()`, which runs `model` on a batch, or its gradient first is not finite.

    The forward pass is searched from the input on, the backward pass from the loss back. For a layer of a recurrent
    stack, the description has the time step and the first of the affected rows.

    >>> import torch
    >>> from rnnkit import RNN
    >>> from rnnkit.cells import GRUCell
    >>> rnn = RNN(GRUCell, 3, 4, num_layers=2)
    >>> x_BTI = torch.zeros(2, 5, 3)
    >>> x_BTI[1, 3] = torch.inf
    >>> locate(rnn, lambda: rnn(x_BTI)[0].sum())
    'the output of rnn, layer 1, time step 3, row 1'
    """
    with _recorded(model) as outputs:
        total = loss()
        for output in outputs:
            if not bool(output.values.isfinite().all()):
                return f"the output of {output.name}{_place(output.values, first=True)}"
        if not bool(total.isfinite().all()):
            return "the loss, from finite outputs"
        for output in outputs:
            if output.values.requires_grad:
                output.values.retain_grad()
        model.zero_grad()
        total.backward()
    for output in reversed(outputs):
        gradient = output.values.grad
        if gradient is not None and not bool(gradient.isfinite().all()):
            return f"the gradient that reaches {output.name}{_place(gradient, first=False)}"
    names = [name for name, p in model.named_parameters() if p.grad is not None and not bool(p.grad.isfinite().all())]
    if names:
        return f"the gradient of {', '.join(names)}"
    norm = get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    return "none, all values are finite this time" if bool(norm.isfinite()) else "the norm of finite gradients"


def cell_names(model: nn.Module) -> dict[nn.Module, str]:
    """Return the name of every cell: in recurrent stacks by layer and direction, elsewhere by its path."""
    stacked: dict[nn.Module, str] = {
        cell: f"{name or 'rnn'}, {place}"
        for name, module in model.named_modules()
        if isinstance(module, RNN)
        for place, cell in module.named_cells()
    }
    cells = {module: name for name, module in model.named_modules() if isinstance(module, Cell)}
    within = {part for cell in cells for part in cell.modules() if part is not cell}
    return {cell: stacked.get(cell, name) for cell, name in cells.items() if cell not in within}


@contextmanager
def _recorded(model: nn.Module) -> Iterator[list[_Output]]:
    """Record the outputs of the modules of a model within the block; for cells, those of each scan.

    Modules inside a cell are not hooked: its engine would run single steps, and the results would differ from the run.
    """
    outputs: list[_Output] = []
    names = {module: name or "rnn" for name, module in model.named_modules()}
    cells = cell_names(model)

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.is_floating_point():
            outputs.append(_Output(names[module], output))

    inside = {part for cell in cells for part in cell.modules()}
    leaves = [m for m in model.modules() if not any(m.children()) and m not in inside]
    hooks = [module.register_forward_hook(note) for module in leaves]

    def note_scan(event: ScanEvent) -> None:
        assert event.y is not None
        outputs.append(_Output(cells.get(event.cell, event.name), event.y))

    try:
        with observe(note_scan, module=model):
            yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _place(values: Tensor, *, first: bool) -> str:
    """Describe the time step and row of [B, T, ...] values, the first or (backward) the last that is not finite."""
    if values.dim() < 3:
        return ""
    bad_BT = ~values.detach().isfinite().flatten(2).all(dim=2)
    steps = bad_BT.any(dim=0).nonzero().flatten().tolist()
    step = steps[0] if first else steps[-1]
    return f", time step {step}, row {int(bad_BT[:, step].nonzero()[0])}"
