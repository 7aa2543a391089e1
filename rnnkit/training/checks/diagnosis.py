"""Where a number that is not finite comes from: module, layer, time step and lane."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from rnnkit.layers import RNN
from rnnkit.training.checks.scans import each_scan


class _Output(NamedTuple):
    """What one part of a model gave for a batch, in the order in which it was computed."""

    name: str
    values: Tensor


def locate(model: nn.Module, loss: Any) -> str:
    """Says in one sentence where `loss()`, which runs `model` on a batch, or its gradient first is not finite.

    The forward pass is followed from the input on, the backward pass from the loss back. A layer of a recurrent stack
    is told with the time step and the lane; of several lanes, the first.

    >>> import torch
    >>> from rnnkit import RNN
    >>> from rnnkit.cells import GRUCell
    >>> rnn = RNN(GRUCell, 3, 4, num_layers=2)
    >>> x_BTI = torch.zeros(2, 5, 3)
    >>> x_BTI[1, 3] = torch.inf
    >>> locate(rnn, lambda: rnn(x_BTI)[0].sum())
    'the output of rnn, layer 1, time step 3, lane 1'
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
    return "nowhere: all is finite this time" if bool(norm.isfinite()) else "the norm of a gradient of finite parts"


def cell_names(model: nn.Module) -> dict[nn.Module, str]:
    """Every cell of a model's recurrent stacks, by its layer and direction."""
    return {
        cell: f"{name or 'rnn'}, layer {place // (2 if module.bidirectional else 1) + 1}"
        + (", backward" if module.bidirectional and place % 2 else "")
        for name, module in model.named_modules()
        if isinstance(module, RNN)
        for place, cell in enumerate(module.cells)
    }


@contextmanager
def _recorded(model: nn.Module) -> Iterator[list[_Output]]:
    """What the parts of a model give while the block runs; of recurrent stacks, every layer and direction."""
    outputs: list[_Output] = []
    names = {module: name or "rnn" for name, module in model.named_modules()}
    cells = cell_names(model)

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.is_floating_point():
            outputs.append(_Output(names[module], output))

    inside = {part for cell in cells for part in cell.modules()}
    leaves = [m for m in model.modules() if not any(m.children()) and m not in inside]
    hooks = [module.register_forward_hook(note) for module in leaves]

    def noted(scan: Callable[..., Any]) -> Callable[..., Any]:
        def noting(cell: Any, *arguments: Any, **options: Any) -> Any:
            y_BTO, state = scan(cell, *arguments, **options)
            outputs.append(_Output(cells.get(cell, type(cell).__name__), y_BTO))
            return y_BTO, state

        return noting

    try:
        with each_scan(noted):
            yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _place(values: Tensor, *, first: bool) -> str:
    """The time step and lane of [B, T, ...] values, the first or, backwards in time, the last that is not finite."""
    if values.dim() < 3:
        return ""
    bad_BT = ~values.detach().isfinite().flatten(2).all(dim=2)
    steps = bad_BT.any(dim=0).nonzero().flatten().tolist()
    step = steps[0] if first else steps[-1]
    return f", time step {step}, lane {int(bad_BT[:, step].nonzero()[0])}"
