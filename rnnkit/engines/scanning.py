"""Running a cell over time: one interface, several engines with the same results."""

from contextlib import nullcontext
from functools import partial
from typing import Any, Literal, NamedTuple, overload

import torch
from torch import Tensor

from rnnkit.cells.base import Cell, State
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.engines import policy
from rnnkit.engines.arguments import request_of
from rnnkit.engines.checkpointing import run_in_chunks
from rnnkit.engines.checks import check_checkpoint_every
from rnnkit.engines.observe import observers, run_observed
from rnnkit.engines.request import Request, Result
from rnnkit.engines.weights import ComputedWeight, computed_weights, fixed_weights
from rnnkit.masks import Lengths, Resets


class Explanation(NamedTuple):
    """The engine that runs, and for each of the others the reason against it."""

    engine: str
    ruled_out: dict[str, str]


@overload
def scan(
    cell: Cell[State],
    x: Any,
    state: State | None = None,
    *,
    context: Any = None,
    lengths: Lengths | None = None,
    reset: Resets | None = None,
    reverse: bool = False,
    return_states: Literal[False] = False,
    engine: str = "auto",
    checkpoint_every: int | None = None,
) -> tuple[Tensor, State]: ...
@overload
def scan(
    cell: Cell[State],
    x: Any,
    state: State | None = None,
    *,
    context: Any = None,
    lengths: Lengths | None = None,
    reset: Resets | None = None,
    reverse: bool = False,
    return_states: Literal[True],
    engine: str = "auto",
    checkpoint_every: int | None = None,
) -> tuple[Tensor, State, State]: ...
def scan(
    cell: Cell[State],
    x: Any,
    state: State | None = None,
    *,
    context: Any = None,
    lengths: Lengths | None = None,
    reset: Resets | None = None,
    reverse: bool = False,
    return_states: bool = False,
    engine: str = "auto",
    checkpoint_every: int | None = None,
) -> tuple[Tensor, State] | tuple[Tensor, State, State]:
    """Run a cell over a batch of sequences; return the outputs [B, T, O] and the state after the last step.

    Shapes: B rows, T time steps, I input features, O output features. Both B and T may be 0.

    Args:
        cell: the cell.
        x: a tensor [B, T, I] or, for a cell that reads one, a NamedTuple of tensors [B, T, ...].
        state: the state before the first step, of the cell's own type; None for `cell.initial_state(B)`.
        context: constant over the call, for a cell whose `forward` has a parameter of this name: a tensor, None, or a
            tuple or NamedTuple of these, of any shape. Tensors that belong to the rows of the batch have B as their
            first axis. Gradients flow into it.
        lengths: [B], the number of valid steps of each row, from 0 to T, as a tensor of any integer dtype, a list, a
            tuple or a NumPy array; None if there is no padding. Outputs at padding are zero, the returned state is the
            one after the last valid step, and values in the padding, NaN included, affect no output, state or gradient.
        reset: [B] booleans: rows whose given state is replaced by the cell's initial state. [B, T] booleans: a new
            sequence begins at that step, so that no state passes between it and the step before, in either direction.
        reverse: run backward in time: the given state enters at a row's last valid step, and the state after its first
            step is returned. The output of step t remains at t.
        return_states: return `(y, state, states)`, where each leaf of `states` is [B, T, ...]: the state after every
            step. At a padded step it is the last valid state or, in reverse, the given state.
        engine: `auto` for the fastest one that is exact for this cell, or a name from `rnnkit.engines.ENGINES`.
        checkpoint_every: store the state after every `checkpoint_every` steps for the backward pass, which recomputes
            the steps between (Chen et al., 2016, arXiv:1604.06174): the same values with less memory and more time.
            None stores everything.

    Random numbers for a whole window, and computed weights (`torch.nn.utils.parametrize`), are computed once for each
    call. Values and gradients are the same with every engine, up to rounding. The state keeps its type and, even under
    autocast, its dtype, so that it can be carried into the next window.

    Raises:
        UserError: if arguments do not fit each other, x is a `PackedSequence`, the cell takes no context, the engine is
            unknown or cannot run the cell, or `checkpoint_every` is below 1.

    >>> import torch
    >>> from rnnkit.cells import LSTMCell
    >>> cell = LSTMCell(3, 5)
    >>> y_BTO, state = scan(cell, torch.randn(2, 4, 3), lengths=torch.tensor([4, 1]))
    >>> y_BTO.shape, bool(y_BTO[1, 1:].any())
    (torch.Size([2, 4, 5]), False)
    >>> torch.equal(state.hidden[1], y_BTO[1, 0])
    True
    """
    watched = observers()
    if (
        engine in policy.LIVE_STEPS
        and state is not None
        and context is None
        and lengths is None
        and reset is None
        and not (watched or return_states or torch.is_grad_enabled())
        and isinstance(x, Tensor)
    ):
        # the fast path of a live stream, without the checks below
        done = policy.LIVE_STEPS[engine](cell, x, state)
        if done is not None:
            return done  # type: ignore[no-any-return]
    weights = computed_weights(cell)
    with fixed_weights(weights) if weights else nullcontext():
        request = request_of(cell, x, state, context, lengths, reset, reverse=reverse, states=return_states)
        if checkpoint_every is not None:
            check_checkpoint_every(checkpoint_every, request.first.shape[1])
        chosen = policy.choose(request, engine)
        if watched:
            run = partial(_run, request, chosen, weights, checkpoint_every)
            y_BTO, end, states = run_observed(request, chosen, run)
        else:
            y_BTO, end, states = _run(request, chosen, weights, checkpoint_every)
    return (y_BTO, end, states) if return_states else (y_BTO, end)


def explain(
    cell: Cell[Any],
    x: Any,
    state: Any = None,
    *,
    context: Any = None,
    lengths: Lengths | None = None,
    reset: Resets | None = None,
    reverse: bool = False,
    return_states: bool = False,
    engine: str = "auto",
) -> Explanation:
    """Return which engine `scan` chooses for these arguments, and the reason against each of the others.

    Raises:
        UserError: as `scan`.

    >>> import torch
    >>> from rnnkit.cells import GRUCell
    >>> explain(GRUCell(3, 5, reset_after=False), torch.zeros(1, 1, 3)).ruled_out["native"]
    "torch's GRU resets after the recurrent product; this cell has reset_after=False"
    """
    request = request_of(cell, x, state, context, lengths, reset, reverse=reverse, states=return_states)
    chosen = policy.choose(request, engine)
    not_taken = f"`{chosen}` is faster" if engine == "auto" else f"`{chosen}` was requested"
    reasons = {n: policy.slower(n, request) or policy.refusal(n, request) for n in policy.ENGINES if n != chosen}
    return Explanation(chosen, {name: reason or not_taken for name, reason in reasons.items()})


def as_given(new: Tensor, given: Tensor) -> Tensor:
    """Cast a part of a state to the dtype that it had before."""
    return new if new.dtype == given.dtype else new.to(given.dtype)


def _run(request: Request, engine: str, weights: list[ComputedWeight], checkpoint_every: int | None) -> Result:
    """Run an engine, on the whole window or in chunks."""
    run = policy.ENGINES[engine].run
    if request.first.shape[1] == 0:
        result = _no_steps(request)
    elif checkpoint_every is None or not torch.is_grad_enabled():
        result = run(request)
    else:
        result = run_in_chunks(run, request, weights, checkpoint_every)
    # under autocast some cells return a lower precision; the carry keeps its own
    y_BTO, end, states = result
    states = map_state(as_given, states, request.state) if request.states else None
    return Result(y_BTO, map_state(as_given, end, request.state), states)


def _no_steps(request: Request) -> Result:
    """Return the result for a window without steps."""
    B = request.first.shape[0]

    def none(leaf: Tensor) -> Tensor:
        return leaf.new_zeros(B, 0, *leaf.shape[1:])

    leaves = [*state_leaves(request.x), *state_leaves(request.state)]
    like = next((leaf for leaf in leaves if leaf.is_floating_point()), request.first)
    y_BTO = like.new_zeros(B, 0, request.cell.output_size)
    return Result(y_BTO, request.state, map_state(none, request.state) if request.states else None)
