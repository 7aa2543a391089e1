"""A cell over time: one interface, several engines that agree."""

from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from rnnkit.cells.base import Cell, State
from rnnkit.cells.state import map_state
from rnnkit.engines import compiled, native, parallel, reference
from rnnkit.engines.checkpointing import run_in_chunks
from rnnkit.engines.checks import check_checkpoint_every, check_input, check_state
from rnnkit.engines.weights import computed_weights, held
from rnnkit.engines.window import Window, select_rows, valid_steps
from rnnkit.errors import UserError
from rnnkit.masks import Lengths, Resets, as_lengths, as_reset


class Engine(Protocol):
    """What a module of this folder offers to be an engine."""

    def unsuitable(self, cell: Cell[State], x_BTI: Tensor, state: State) -> str | None:
        """The reason why this engine may not run; None where it computes exactly what the cell says."""

    def unprofitable(self, cell: Cell[State], x_BTI: Tensor, state: State) -> str | None:
        """The reason why an engine further down is faster for this work, which `auto` heeds; None where it is not."""

    def run(self, cell: Cell[State], x_BTI: Tensor, state: State, window: Window) -> tuple[Tensor, State]:
        """Take one step or more: outputs in time order, zero at padding, and the state after each lane's last step."""


ENGINES: dict[str, Engine] = {"compiled": compiled, "parallel": parallel, "native": native, "reference": reference}
"""Fastest first; the last one runs everything."""

_QUICK = {"auto": native.quick_step, "compiled": compiled.quick_step}


class Explanation(NamedTuple):
    """Which engine runs, and for each of the others what ruled it out."""

    engine: str
    ruled_out: dict[str, str]


def scan(
    cell: Cell[State],
    x_BTI: Tensor,
    state: State | None = None,
    *,
    lengths: Lengths | None = None,
    reset: Resets | None = None,
    reverse: bool = False,
    engine: str = "auto",
    checkpoint_every: int | None = None,
) -> tuple[Tensor, State]:
    """Take a cell over a batch of sequences: the outputs [B, T, O] and the state after the last step.

    Shapes: B sequences (lanes), T time steps, I input, O output features. Both B and T may be 0.

    * `state`: the state before the first step, of the cell's own type; None for `cell.initial_state(B)`.
    * `lengths` [B]: the valid steps of each lane, from 0 to T, as a tensor of any integer dtype, a list, a tuple or a
      NumPy array; None where all are. Outputs beyond are zero, the
      returned state is the one after the last valid step, and nothing that stands in the padding, NaN included,
      reaches an output, a state or a gradient.
    * `reset` [B] booleans: lanes whose given state is ignored for the cell's initial one. [B, T] booleans: a new
      sequence begins at that step, so that no state passes between it and the step before, in either direction.
    * `reverse`: time runs backwards: the state enters at a lane's last valid step and is returned after its first step.
      The output of step t still stands at t.
    * `engine`: `auto` for the fastest one that is exact for this cell, or a name from `rnnkit.engines.ENGINES`.
    * `checkpoint_every`: keep the state after every so many steps for the backward pass and compute what lies between
      again there (Chen et al., 2016, arXiv:1604.06174): the same numbers with less memory and more time. None keeps
      everything.

    What is random for a whole window, and every computed weight (`torch.nn.utils.parametrize`), is drawn once a call.
    Values and gradients are the same with every engine, to rounding. The state keeps its type and, under autocast too,
    its dtype, so that it can be carried into the next window.

    Raises `UserError` for arguments that do not fit each other, for a `PackedSequence`, for an unknown engine, for one
    that cannot run this cell, and for a `checkpoint_every` below 1.

    >>> import torch
    >>> from rnnkit.cells import LSTMCell
    >>> cell = LSTMCell(3, 5)
    >>> y_BTO, state = scan(cell, torch.randn(2, 4, 3), lengths=torch.tensor([4, 1]))
    >>> y_BTO.shape, bool(y_BTO[1, 1:].any())
    (torch.Size([2, 4, 5]), False)
    >>> torch.equal(state.hidden[1], y_BTO[1, 0])
    True
    """
    if (
        engine in _QUICK
        and state is not None
        and lengths is None
        and reset is None
        and not torch.is_grad_enabled()
        and isinstance(x_BTI, Tensor)
    ):
        # A live stream has no time for what follows.
        done = _QUICK[engine](cell, x_BTI, state)
        if done is not None:
            return done
    check_input(cell, x_BTI)
    B, T = x_BTI.shape[:2]
    lengths_B = None if lengths is None else as_lengths(lengths, x_BTI)
    reset_BT = None if reset is None else as_reset(reset, x_BTI)
    if checkpoint_every is not None:
        check_checkpoint_every(checkpoint_every, T)
    weights = computed_weights(cell)
    with held(weights) if weights else nullcontext():
        if state is None:
            state = cell.initial_state(B)
        else:
            check_state("state", state, cell.initial_state(1), B)
            if reset_BT is not None and reset_BT.dim() == 1:
                state = select_rows(reset_BT, cell.initial_state(B), state)
            state = cell.begin(state)
        window = Window(lengths_B, _fresh_steps(reset_BT, lengths_B, reverse), reverse)
        run = ENGINES[choose(cell, x_BTI, state, engine)].run
        if T == 0:
            return x_BTI.new_zeros(B, 0, cell.output_size), state
        if checkpoint_every is None or not torch.is_grad_enabled():
            y_BTO, after = run(cell, x_BTI, state, window)
        else:
            y_BTO, after = run_in_chunks(run, cell, x_BTI, state, window, weights, checkpoint_every)
    # Under autocast some cells come out in lower precision; the carry keeps the one it had.
    return y_BTO, map_state(as_given, after, state)


def explain(cell: Cell[Any], x_BTI: Tensor, state: Any = None, *, engine: str = "auto") -> Explanation:
    """Which engine `scan` would take for these arguments, and why not the others.

    Raises `UserError` as `scan` does.

    >>> import torch
    >>> from rnnkit.cells import GRUCell
    >>> explain(GRUCell(3, 5, reset_after=False), torch.zeros(1, 1, 3)).ruled_out["native"]
    "torch's GRU resets after the recurrent product; this cell has reset_after=False"
    """
    check_input(cell, x_BTI)
    state = cell.initial_state(x_BTI.shape[0]) if state is None else state
    chosen = choose(cell, x_BTI, state, engine)
    not_taken = f"`{chosen}` is faster" if engine == "auto" else f"`{chosen}` was asked for"
    return Explanation(
        chosen,
        {
            name: module.unprofitable(cell, x_BTI, state) or module.unsuitable(cell, x_BTI, state) or not_taken
            for name, module in ENGINES.items()
            if name != chosen
        },
    )


def as_given(new: Tensor, given: Tensor) -> Tensor:
    """A part of a state in the precision that it had before."""
    return new if new.dtype == given.dtype else new.to(given.dtype)


def choose(cell: Cell[State], x_BTI: Tensor, state: State, engine: str) -> str:
    """The name of the engine that runs; UserError for an unknown one, and for one that cannot run this cell."""
    if engine == "auto":
        arguments = (cell, x_BTI, state)
        return next(
            name
            for name, module in ENGINES.items()
            # In this order: whether a cell can be compiled takes a trace to find out.
            if module.unprofitable(*arguments) is None and module.unsuitable(*arguments) is None
        )
    if engine not in ENGINES:
        raise UserError("engine", f"auto or one of {', '.join(ENGINES)}", repr(engine), fix='engine="auto"')
    reason = ENGINES[engine].unsuitable(cell, x_BTI, state)
    if reason is not None:
        raise UserError("engine", "one that can run this cell", f"{engine} ({reason})", fix='engine="auto"')
    return engine


def _fresh_steps(reset_BT: Tensor | None, lengths_B: Tensor | None, reverse: bool) -> Tensor | None:
    """Where a lane takes a step from the initial state, in the order in which steps are taken; None for nowhere."""
    if reset_BT is None or reset_BT.dim() == 1:
        return None
    if lengths_B is not None:
        reset_BT = reset_BT & valid_steps(lengths_B, reset_BT.shape[1])
    if not reverse:
        return reset_BT
    # Backwards, the step that is taken afresh is the last one of the sequence before: the one left of the reset.
    return torch.cat([reset_BT[:, 1:], torch.zeros_like(reset_BT[:, :1])], dim=1)
