"""Comparison of all forms of a sequence, with every engine, with rows that are stepped by hand."""

from functools import partial
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnnkit.cells.state import map_state, state_leaves
from rnnkit.engines import policy, scan
from rnnkit.engines.request import Request
from rnnkit.engines.window import Window, cut, expanded
from rnnkit.testing.comparison import Run, compare, results
from rnnkit.testing.subject import BATCH, STEPS, Subject

CUT = 3
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 1e-1, torch.float16: 2e-2}
"""The allowed difference, relative to the largest value of a tensor or to 1."""


class Form(NamedTuple):
    """A form in which the same sequence is passed to a cell."""

    lengths: Tensor | None
    reset: Tensor | None
    reverse: bool

    def __str__(self) -> str:
        words = {"padded": self.lengths is not None, "reset": self.reset is not None, "reversed": self.reverse}
        return " and ".join(word for word, holds in words.items() if holds) or "plain"


def check_forms(subject: Subject, dtype: torch.dtype) -> None:
    """Compare all forms of a sequence with each row stepped by hand."""
    state = subject.state()
    lengths_B = torch.tensor([STEPS, CUT + 1, 0])
    reset_BT = torch.zeros(BATCH, STEPS, dtype=torch.bool)
    reset_BT[[0, 0, 1, 1, 2], [0, CUT + 1, CUT - 1, STEPS - 1, CUT]] = True
    for lengths, reset, reverse in product((None, lengths_B), (None, reset_BT), (False, True)):
        form = Form(lengths, reset, reverse)
        x = subject.x() if lengths is None else map_state(partial(_spoiled, lengths), subject.x())
        by_hand = results(subject, x, state, _by_hand(subject, form))
        request = Request(subject.cell, x, state, Window(*form), subject.context())
        for name in policy.ENGINES:
            if policy.refusal(name, request) is not None:
                continue
            runs = {"the whole sequence": _whole(subject, form, name)}
            if not reverse:
                runs["two chunks with the carry"] = _in_chunks(subject, form, name)
            for title, run in runs.items():
                compare(
                    subject.cell,
                    f"{title} ({form}, engine {name}, {dtype})",
                    results(subject, x, state, run),
                    "each row stepped by hand",
                    by_hand,
                    TOLERANCE[dtype],
                )


def _spoiled(lengths_B: Tensor, leaf: Tensor) -> Tensor:
    """Write NaN to the padding if the dtype has NaN."""
    if not leaf.is_floating_point():
        return leaf
    padding_BT = torch.arange(STEPS) >= lengths_B[:, None]
    return leaf.masked_fill(expanded(padding_BT, leaf), torch.nan)


def _by_hand(subject: Subject, form: Form) -> Run:
    """Run one row at a time, one step at a time, without any code of rnnkit."""
    cell = subject.cell

    def stepped(x: Any, state: Any, context: Any, b: int) -> tuple[Tensor, Any]:
        length = STEPS if form.lengths is None else int(form.lengths[b])
        floating = next(leaf for leaf in state_leaves((x, state)) if leaf.is_floating_point())
        outputs = [floating.new_zeros(1, cell.output_size)] * STEPS
        for t in reversed(range(length)) if form.reverse else range(length):
            first_of_its_sequence = t + 1 if form.reverse else t
            if form.reset is not None and first_of_its_sequence < length and form.reset[b, first_of_its_sequence]:
                state = cell.initial_state(1)
            at_t = map_state(lambda leaf, t=t: leaf[:, t], x)
            outputs[t], state = subject.step(at_t, state, context)
        return torch.stack(outputs, dim=1), state

    def run(x: Any, state: Any, context: Any) -> tuple[Tensor, Any]:
        def row(b: int) -> tuple[Tensor, Any]:
            def of_b(leaf: Tensor) -> Tensor:
                return leaf[b : b + 1]

            return stepped(map_state(of_b, x), map_state(of_b, state), subject.of_rows(of_b, context), b)

        rows = [row(b) for b in range(BATCH)]
        end = map_state(lambda *leaves: torch.cat(leaves), *(state for _, state in rows))
        return torch.cat([y_1TO for y_1TO, _ in rows]), end

    return run


def _whole(subject: Subject, form: Form, engine: str) -> Run:
    return lambda x, state, context: scan(
        subject.cell,
        x,
        state,
        context=context,
        lengths=form.lengths,
        reset=form.reset,
        reverse=form.reverse,
        engine=engine,
    )


def _in_chunks(subject: Subject, form: Form, engine: str) -> Run:
    def run(x: Any, state: Any, context: Any) -> tuple[Tensor, Any]:
        outputs = []
        for start, stop in ((0, CUT), (CUT, STEPS)):
            lengths, reset, _ = cut(Window(*form), start, stop)
            chunk = map_state(lambda leaf, at=slice(start, stop): leaf[:, at], x)
            given = {"context": context, "lengths": lengths, "reset": reset, "engine": engine}
            y_BTO, state = scan(subject.cell, chunk, state, **given)
            outputs.append(y_BTO)
        return torch.cat(outputs, dim=1), state

    return run
