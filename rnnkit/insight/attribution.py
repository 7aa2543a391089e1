"""Which inputs an output depends on: gradient x input, integrated gradients and occlusion."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from rnnkit.batch import SequenceBatch
from rnnkit.cells.state import map_state
from rnnkit.errors import UserError
from rnnkit.insight.record import as_batch, as_module, call, evaluating
from rnnkit.layers.rnn import RNN
from rnnkit.masks import as_lengths

Method = Literal["integrated_gradients", "gradient_x_input", "occlusion"]
METHODS = ("integrated_gradients", "gradient_x_input", "occlusion")
Score = Callable[[Any, SequenceBatch], Tensor]
"""Maps the outputs of a model and a batch to the number of each row [B] that is to be explained."""
FEWEST_POINTS, MOST_POINTS = 64, 1024
COMPLETE = 0.01
"""The error of the sum of integrated gradients, as a share of the change of the output, that is accepted."""
ROWS = 256
"""The largest number of rows that are computed at once."""


class Attribution(NamedTuple):
    """The contribution of each input to a score of each row.

    Args:
        values: [B, T, I]; for occlusion [B, T, 1].
        score: [B], the score that is explained.
        baseline_score: [B], the same for the baseline. Where both are equal, there is nothing to attribute.
        error: the completeness: the distance of the sum of values from the difference of the two scores, summed over
            the rows and divided by the sum of these differences. Only integrated gradients promise that it is small;
            NaN for other methods.
        points: the number of points of the integral; 0 for other methods.
    """

    values: Tensor
    score: Tensor
    baseline_score: Tensor
    error: float
    points: int

    @property
    def by_step(self) -> Tensor:
        """The sum over the features [B, T]."""
        return self.values.sum(-1)


def attribute(
    model: Any,
    batch: Any,
    state: Any = None,
    *,
    method: Method = "integrated_gradients",
    score: Score | None = None,
    baseline: Tensor | None = None,
    window: int = 1,
) -> Attribution:
    r"""Return which inputs a score depends on, for each step and feature.

    .. math::
        \text{gradient x input: } x_{ti} \frac{\partial f}{\partial x_{ti}}, \qquad
        \text{integrated gradients: } (x_{ti} - b_{ti}) \int_0^1
        \frac{\partial f}{\partial x_{ti}}\bigl(b + \alpha (x - b)\bigr) \, d\alpha

    (Sundararajan et al., 2017, arXiv:1703.01365, by the midpoint rule, with twice as many points until the sum is
    complete to 1 %) and, for occlusion, the change of f if a window of steps is replaced by the baseline, shared evenly
    by its steps. The model runs in eval mode, with any engine, on any device.

    Inputs that are one floating-point tensor are attributed as they are. For ids and for inputs of several tensors, x
    is the input [B, T, I] of the first `rnnkit.RNN` of the model, such as embeddings.

    Args:
        model: see `gradient_flow`.
        batch: see `gradient_flow`.
        state: see `gradient_flow`. From a zero state, the first steps get what belongs to the transient
            after the start; a state after other input avoids that.
        method: integrated_gradients, gradient_x_input or occlusion.
        score: maps outputs and batch to numbers [B]; None for the largest output at the last valid step.
        baseline: b, a tensor that expands to x; None for the mean input of the valid steps of the batch.
        window: the number of steps of an occlusion.

    Raises:
        UserError: if the method is unknown, the model has no `RNN` to read ids, or as `gradient_flow`.

    >>> from rnnkit import RNN
    >>> from rnnkit.cells import GRUCell
    >>> found = attribute(RNN(GRUCell, 3, 5), torch.randn(2, 7, 3))
    >>> found.by_step.shape, found.error < 0.01
    (torch.Size([2, 7]), True)
    """
    if method not in METHODS:
        raise UserError("method", f"one of {', '.join(METHODS)}", repr(method), fix="method='integrated_gradients'")
    if window < 1:
        raise UserError("window", "1 step or more", str(window), fix="window=1")
    module, batch = as_module(model), as_batch(batch)
    with evaluating(module):
        x = _input(module, batch, state)
        function = _function(module, batch, state, largest_output(module, batch, state) if score is None else score)
        base = _mean(x, batch.lengths) if baseline is None else baseline.to(x)
        base = base.expand_as(x)
        every = torch.arange(len(x), device=x.device)
        with torch.no_grad():
            at_x, at_base = function(x, every), function(base, every)
        if method == "occlusion":
            return Attribution(_occluded(function, x, base, at_x, window), at_x, at_base, torch.nan, 0)
        if method == "gradient_x_input":
            return Attribution(x * _gradient(function, x, every), at_x, at_base, torch.nan, 0)
        points = FEWEST_POINTS
        while True:
            values = (x - base) * _mean_gradient(function, x, base, points)
            error = _incomplete(values, at_x, at_base)
            if error < COMPLETE or points == MOST_POINTS:
                return Attribution(values, at_x, at_base, error, points)
            points *= 2


def largest_output(model: nn.Module, batch: SequenceBatch, state: Any = None) -> Score:
    """Return a score: the output at the last valid step that is the largest one for the given batch."""
    with torch.no_grad():
        chosen_B = last_output(call(model, batch, state), batch).argmax(-1)

    def score(outputs: Any, part: SequenceBatch) -> Tensor:
        last_BO = last_output(outputs, part)
        return last_BO.gather(1, chosen_B.repeat_interleave(len(last_BO) // len(chosen_B))[:, None])[:, 0]

    return score


def last_output(outputs: Any, batch: SequenceBatch) -> Tensor:
    """Return the outputs [B, O] of the last valid step, or of the sequences."""
    y = outputs if isinstance(outputs, Tensor) else outputs[0]
    if not isinstance(y, Tensor) or y.dim() not in (2, 3):
        raise UserError("score", "outputs [B, T, O] or [B, O]", type(y).__name__, fix="score=my_score(outputs, batch)")
    if y.dim() == 2:
        return y
    lengths = batch.lengths
    at_B = torch.full((len(y),), y.shape[1] - 1, device=y.device)
    if lengths is not None:
        at_B = (as_lengths(lengths, y) - 1).clamp(min=0)
    return y[torch.arange(len(y), device=y.device), at_B]


Function = Callable[[Tensor, Tensor], Tensor]
"""Maps inputs [N, T, I] and the row of the batch that each belongs to [N] to scores [N]."""


def _function(module: nn.Module, batch: SequenceBatch, state: Any, score: Score) -> Function:
    given = batch if batch.targets.numel() else batch._replace(targets=torch.zeros(batch.shape[0]))

    def function(x: Tensor, row: Tensor) -> Tensor:
        part = given.take(row)
        own = None if state is None else map_state(lambda leaf: leaf[row], state)
        if _is_plain(batch.inputs):
            outputs = call(module, part._replace(inputs=x), own)
        else:
            with _replaced(module, x):
                outputs = call(module, part, own)
        return score(outputs, part)

    return function


def _is_plain(inputs: Any) -> bool:
    return isinstance(inputs, Tensor) and inputs.is_floating_point()


def _input(module: nn.Module, batch: SequenceBatch, state: Any) -> Tensor:
    """Return what is attributed: the inputs, or the input of the first `RNN`."""
    if _is_plain(batch.inputs):
        inputs: Tensor = batch.inputs.detach()
        return inputs
    seen: list[Tensor] = []
    handle = _first_rnn(module).register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    try:
        with torch.no_grad():
            call(module, batch, state)
    finally:
        handle.remove()
    return seen[0]


@contextmanager
def _replaced(module: nn.Module, x: Tensor) -> Iterator[None]:
    """Give the first `RNN` another input within the block; no cell is hooked, so engines stay as they are."""
    handle = _first_rnn(module).register_forward_pre_hook(lambda _, args: (x, *args[1:]))
    try:
        yield
    finally:
        handle.remove()


def _first_rnn(module: nn.Module) -> RNN:
    found = next((part for part in module.modules() if isinstance(part, RNN)), None)
    if found is None:
        raise UserError(
            "model", "floating-point inputs, or an rnnkit.RNN that reads the embedding", "neither", fix="RNN"
        )
    return found


def _gradient(function: Function, x: Tensor, row: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(function(leaf, row).sum(), leaf)
    return gradient


def _mean_gradient(function: Function, x: Tensor, base: Tensor, points: int) -> Tensor:
    """Return the mean gradient over the line from the baseline to x, at the middle of `points` parts."""
    total = torch.zeros_like(x)
    B = len(x)
    each = max(1, ROWS // B)
    alphas = (torch.arange(points, device=x.device, dtype=x.dtype) + 0.5) / points
    for alpha_P in alphas.split(each):
        row = torch.arange(B, device=x.device).repeat_interleave(len(alpha_P))
        alpha_N11 = alpha_P.repeat(B)[:, None, None]
        gradient = _gradient(function, base[row] + alpha_N11 * (x - base)[row], row)
        total += gradient.view(B, len(alpha_P), *x.shape[1:]).sum(1)
    return total / points


def _incomplete(values: Tensor, at_x: Tensor, at_base: Tensor) -> float:
    change_B = at_x - at_base
    error = (values.flatten(1).sum(1) - change_B).abs().sum() / change_B.abs().sum()
    return float(error.nan_to_num(0.0))


@torch.no_grad()
def _occluded(function: Function, x: Tensor, base: Tensor, at_x: Tensor, window: int) -> Tensor:
    B, T = x.shape[:2]
    values = x.new_zeros(B, T, 1)
    every = torch.arange(B, device=x.device)
    for start in range(0, T, window):
        hidden = x.clone()
        hidden[:, start : start + window] = base[:, start : start + window]
        count = min(window, T - start)
        values[:, start : start + window, 0] = ((at_x - function(hidden, every)) / count)[:, None]
    return values


def _mean(x: Tensor, lengths: Any) -> Tensor:
    if lengths is None:
        return x.mean((0, 1))
    valid_BT = torch.arange(x.shape[1], device=x.device) < as_lengths(lengths, x)[:, None]
    return x[valid_BT].mean(0)
