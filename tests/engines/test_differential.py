"""Random calls of every engine against the Python loop; `scripts/soak.py --differential` looks at more."""

import logging
import re
from collections import Counter

import pytest
from differential import FINE, REFUSED, SAME, compared, smallest
from differential_cases import Case, cases
from hypothesis import HealthCheck, Phase, given, settings

from rnnkit.compat.torch import FakeTensorMode
from rnnkit.engines import ENGINES as MODULES
from rnnkit.engines import reference
from rnnkit.engines.request import Request, Result

FEW = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize(
    ("cell", "dtype", "engines"),
    [
        # Few cells for the compiler, which takes seconds for each in each of its conditions.
        ("leaky", "float64", ("auto", "compiled")),
        ("counting", "float32", ("auto", "compiled")),
        pytest.param("attending", "float64", ("compiled",), marks=pytest.mark.slow),
        pytest.param("attending", "float32", ("auto", "compiled"), marks=pytest.mark.slow),
        ("timed", "float64", ("auto", "compiled")),
        ("lstm", "float32", ("auto", "native")),
        ("gru", "float64", ("auto", "native")),
        ("elman relu", "float32", ("native",)),
        ("min_gru", "float32", ("parallel",)),
        ("lru", "float64", ("parallel",)),
        ("qrnn", "bfloat16", ("parallel",)),
        ("zoneout_lstm", "float16", ("auto",)),
    ],
)
def test_every_engine_gives_what_the_loop_gives(cell: str, dtype: str, engines: tuple[str, ...]) -> None:
    verdicts: Counter[tuple[str, str]] = Counter()

    @FEW
    @given(case=cases([cell], [(3, 4)], [dtype]))
    def look(case: Case) -> None:
        found = compared(case, engines)
        verdicts.update(found.items())
        wrong = {engine: verdict for engine, verdict in found.items() if verdict not in FINE}
        assert not wrong, f"{wrong}\n{case.words()}"

    look()
    for engine in engines:
        assert verdicts[engine, SAME] > 20, verdicts


class Broken:
    """The Python loop with one mistake."""

    def __init__(self, mistake: str) -> None:
        self.mistake = mistake

    def unsupported(self, _: Request) -> None:
        return None

    def run(self, request: Request) -> Result:
        cell, x_BTI, state, window, *_ = request
        if self.mistake == "lengths" and window.lengths is not None:
            window = window._replace(lengths=window.lengths.clamp(min=1))
        if self.mistake == "reset" and window.fresh is not None and x_BTI.shape[1] > 3:
            window = window._replace(fresh=window.fresh.roll(1, dims=1))
        if self.mistake == "dtype" and x_BTI.shape[1] > 3:
            x_BTI = x_BTI.to(next(cell.parameters()).dtype)
        y_BTO, end, states = reference.run(Request(cell, x_BTI, state, window, request.context, request.states))
        if self.mistake == "gradient" and window.reverse:
            y_BTO = y_BTO.detach() if not x_BTI.requires_grad else y_BTO
        return Result(y_BTO, end, states)


@pytest.mark.parametrize(
    ("mistake", "complaint"),
    [
        ("lengths", "is off by"),
        ("reset", "is off by"),
        ("dtype", "answers where the reference raises"),
        ("gradient", "gradient of .* is off by"),
    ],
)
def test_a_mistake_is_found_and_made_small(mistake: str, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODULES, "broken", Broken(mistake))
    wrong: list[Case] = []

    def fails(case: Case) -> bool:
        return compared(case, ("broken",))["broken"] not in FINE

    @FEW
    @given(case=cases(["leaky"], [(3, 4)], ["float64"]))
    def look(case: Case) -> None:
        if fails(case):
            wrong.append(case)

    look()
    assert wrong
    least = smallest(wrong[0], fails)
    assert re.search(complaint, compared(least, ("broken",))["broken"])
    assert len(least.words()) < len(wrong[0].words())
    assert least.steps <= wrong[0].steps


def test_traces_that_fail_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Rows of float16 cannot be compiled, and are then tried as a context of no row, which does not fit."""
    log = logging.getLogger(FakeTensorMode.__module__)  # its records do not reach the handlers of the root
    log.addHandler(caplog.handler)
    case = Case(cell="timed", weights="float16", x="float16", context="float16", lanes=2, steps=3)
    assert compared(case, ("compiled",))["compiled"] == REFUSED
    log.removeHandler(caplog.handler)
    assert [record.message for record in caplog.records if record.name == log.name] == []
