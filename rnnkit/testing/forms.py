"""All forms of one sequence, with every engine, against each lane stepped by hand."""

from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.cells.state import map_state
from rnnkit.engines import policy, scan
from rnnkit.engines.request import Request
from rnnkit.testing.comparison import BATCH, CUT, STEPS, Run, compare, reached_state, results, sequence

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 1e-1, torch.float16: 2e-2}
"""Allowed difference, relative to the largest value of a tensor or to 1."""


class Form(NamedTuple):
    """How one and the same sequence is presented."""

    lengths: Tensor | None
    reset: Tensor | None
    reverse: bool

    def __str__(self) -> str:
        words = {"padded": self.lengths is not None, "reset": self.reset is not None, "reversed": self.reverse}
        return " and ".join(word for word, holds in words.items() if holds) or "plain"


def check_forms(cell: Cell[Any], dtype: torch.dtype) -> None:
    """All forms of one sequence against each lane stepped by hand."""
    state = reached_state(cell)
    lengths_B = torch.tensor([STEPS, CUT + 1, 0])
    reset_BT = torch.zeros(BATCH, STEPS, dtype=torch.bool)
    reset_BT[[0, 0, 1, 1, 2], [0, CUT + 1, CUT - 1, STEPS - 1, CUT]] = True
    for lengths, reset, reverse in product((None, lengths_B), (None, reset_BT), (False, True)):
        form = Form(lengths, reset, reverse)
        x_BTI = sequence(cell)
        if lengths is not None:
            x_BTI[torch.arange(STEPS) >= lengths[:, None]] = torch.nan
        by_hand = results(cell, x_BTI, state, _by_hand(form))
        for name in policy.ENGINES:
            if policy.refusal(name, Request(cell, x_BTI, state)) is not None:
                continue
            runs = {"the whole sequence": _whole(form, name)}
            if not reverse:
                runs["two chunks with the carry"] = _in_chunks(form, name)
            for title, run in runs.items():
                compare(
                    cell,
                    f"{title} ({form}, engine {name}, {dtype})",
                    results(cell, x_BTI, state, run),
                    "each lane stepped by hand",
                    by_hand,
                    TOLERANCE[dtype],
                )


def _by_hand(form: Form) -> Run:
    """One lane at a time, one step at a time, without any of rnnkit's machinery."""

    def lane(cell: Cell[Any], x_TI: Tensor, state: Any, b: int) -> tuple[Tensor, Any]:
        length = STEPS if form.lengths is None else int(form.lengths[b])
        outputs = [x_TI.new_zeros(1, cell.output_size)] * STEPS
        for t in reversed(range(length)) if form.reverse else range(length):
            first_of_its_sequence = t + 1 if form.reverse else t
            if form.reset is not None and first_of_its_sequence < length and form.reset[b, first_of_its_sequence]:
                state = cell.initial_state(1)
            outputs[t], state = cell(x_TI[t : t + 1], state)
        return torch.stack(outputs, dim=1), state

    def run(cell: Cell[Any], x_BTI: Tensor, state: Any) -> tuple[Tensor, Any]:
        lanes = [lane(cell, x_BTI[b], map_state(lambda leaf, b=b: leaf[b : b + 1], state), b) for b in range(BATCH)]
        end = map_state(lambda *leaves: torch.cat(leaves), *(state for _, state in lanes))
        return torch.cat([y_1TO for y_1TO, _ in lanes]), end

    return run


def _whole(form: Form, engine: str) -> Run:
    return lambda cell, x_BTI, state: scan(cell, x_BTI, state, **form._asdict(), engine=engine)


def _in_chunks(form: Form, engine: str) -> Run:
    def run(cell: Cell[Any], x_BTI: Tensor, state: Any) -> tuple[Tensor, Any]:
        outputs = []
        for start, stop in ((0, CUT), (CUT, STEPS)):
            lengths = None if form.lengths is None else (form.lengths - start).clamp(0, stop - start)
            reset = None if form.reset is None else form.reset[:, start:stop]
            y_BTO, state = scan(cell, x_BTI[:, start:stop], state, lengths=lengths, reset=reset, engine=engine)
            outputs.append(y_BTO)
        return torch.cat(outputs, dim=1), state

    return run
