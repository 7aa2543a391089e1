"""Illnesses of recurrent training in words, each with the override that may help.

An alarm is about a layer or the whole model. Its condition must hold in `IN_A_ROW` measurements in a row, after the
first 5 % of the run.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

Row = dict[str, Any]
"""The figures of one measurement, as `rnnkit.training.insight.act` writes them."""

IN_A_ROW = 3
EARLIEST = 0.05


class Alarm(NamedTuple):
    """An illness: its `kind`, the `layer` (empty for the model), what is seen, and what to try."""

    kind: str
    layer: str
    seen: str
    advice: str

    def __str__(self) -> str:
        return f"{self.layer + ': ' if self.layer else ''}{self.seen}. Try {self.advice}"


Condition = Callable[[Row, Row], Alarm | None]
"""Judges the figures of one layer, or of the model, and the whole row."""


def alarms(rows: Sequence[Row], steps: float) -> list[Alarm]:
    """Return the alarms that hold at the last of some rows, for a run of so many steps."""
    if len(rows) < IN_A_ROW or rows[-1]["step"] < EARLIEST * steps:
        return []
    found = [alarm for label in rows[-1]["layers"] for alarm in _of_layer(rows, label)]
    measured = [row for row in rows if row.get("carry_gain") is not None and row.get("is_fresh")][-IN_A_ROW:]
    if len(measured) == IN_A_ROW:
        found += [alarm for alarm in [_lasting(carry_unused, [(row, row) for row in measured])] if alarm is not None]
    clipped = _always_clipped(rows)
    return found + ([] if clipped is None else [clipped])


def changed(rows: Sequence[Row], sounding: dict[str, str], steps: float) -> tuple[list[str], dict[str, str]]:
    """Return the lines to print after the last of some rows, and the alarms that hold now, by layer and kind.

    An alarm of a layer that was not measured this time still holds.
    """
    found = {f"{alarm.layer} {alarm.kind}": str(alarm) for alarm in alarms(rows, steps)}
    news = [text for key, text in found.items() if key not in sounding]
    now = {}
    for key, text in sounding.items():
        layer = key.split(" ")[0]
        if key in found or (layer and layer not in rows[-1]["layers"]):
            now[key] = text
        else:
            news.append(f"over: {text}")
    return news, {**found, **now}


def _of_layer(rows: Sequence[Row], label: str) -> Iterator[Alarm]:
    own = [(row["layers"][label], row) for row in rows if label in row["layers"]][-IN_A_ROW:]
    if len(own) < IN_A_ROW:
        return
    for condition in (vanishing, exploding, window_too_short, stuck_gates, dead_units, small_updates, large_updates):
        alarm = _lasting(condition, own)
        if alarm is not None:
            yield alarm._replace(layer=label)


def _lasting(condition: Condition, pairs: list[tuple[Row, Row]]) -> Alarm | None:
    found = [condition(layer, row) for layer, row in pairs]
    return found[-1] if all(found) else None


def vanishing(layer: Row, row: Row) -> Alarm | None:
    """The gradient reaches less than an eighth of the window, and so does the context, or nothing is learned."""
    T, reach, context = row["window"], layer.get("memory_length"), row.get("context")
    if reach is None or layer.get("is_censored") or not reach < T / 8:
        return None
    is_short = context is not None and not row["context_is_censored"] and context < T / 8
    is_stalled = row["first_loss"] is not None and row["loss"] >= 0.95 * row["first_loss"]
    if not (is_short or is_stalled):
        return None
    used = f", of which the loss uses {context}" if context is not None else ""
    seen = f"gradients vanish: they fall to 1 % after {reach} steps; your windows have {T}{used}"
    shorter = f"shorter windows (data.bptt_steps={max(8, T // 4)})" if row["is_stream"] else "shorter sequences"
    advice = f"model.cell.forget_bias=1, a gated or linear cell (model/cell=lstm, model/cell=lru); or {shorter}"
    return Alarm("vanishing", "", seen, advice)


def exploding(layer: Row, row: Row) -> Alarm | None:
    """Differences grow along the trajectory, or gradients grow with the lag."""
    exponents, middle = layer.get("lyapunov") or [], layer.get("flow_middle")
    is_chaotic = len(exponents) > 0 and sum(value > 0.01 for value in exponents) >= 2 / 3 * len(exponents)
    grows = middle is not None and middle > 10
    if not (is_chaotic or grows):
        return None
    if grows:
        seen = f"gradients grow with the lag: {middle:.0f} times over half of the window"
    else:
        growth = math.expm1(sum(exponents) / len(exponents))
        seen = f"the state is chaotic: differences grow by {growth:.1%} a step"
    advice = "clipping=norm clipping.max_norm=1, a smaller optimizer.lr, or model/cell=layer_norm_lstm"
    return Alarm("exploding", "", seen, advice)


def window_too_short(layer: Row, row: Row) -> Alarm | None:
    """The gradient is still large at the start of the window, and what was before it helps."""
    end, gain = layer.get("flow_end"), row.get("carry_gain")
    if end is None or gain is None or not (end >= 0.1 and gain > 0.01):
        return None
    T = row["window"]
    seen = (
        f"the windows of {T} steps are shorter than the dependence: the gradient at the start is {end:.0%} of the last"
    )
    return Alarm(
        "window", "", f"{seen}, and the carried state lowers the loss by {gain:.1%}", f"data.bptt_steps={2 * T}"
    )


def stuck_gates(layer: Row, row: Row) -> Alarm | None:
    """Most units of a gate are on one side in almost all steps."""
    for name, (_, _, stuck) in layer.get("gates", {}).items():
        if stuck > 0.5:
            seen = f"{stuck:.0%} of the units of the gate `{name}` are stuck"
            return Alarm(f"stuck {name}", "", seen, "a smaller optimizer.lr, another initialization, or a layer norm")
    return None


def dead_units(layer: Row, row: Row) -> Alarm | None:
    """Many units never change."""
    share = layer.get("dead")
    if share is None or not share > 0.3:
        return None
    advice = "a smaller optimizer.lr, another initialization, or a smaller model.hidden_size"
    return Alarm("dead", "", f"{share:.0%} of the units never change", advice)


def small_updates(layer: Row, row: Row) -> Alarm | None:
    """The weights hardly change, although the learning rate is not at its beginning or end."""
    ratio = layer.get("update_ratio")
    if ratio is None or not ratio < 1e-5 or row["lr"] < 0.5 * row["largest_lr"]:
        return None
    return Alarm(
        "small updates", "", f"a step changes the weights by {ratio:.1e} of their norm", "a larger optimizer.lr"
    )


def large_updates(layer: Row, row: Row) -> Alarm | None:
    """The weights change by more than 3 % in a step."""
    ratio = layer.get("update_ratio")
    if ratio is None or not ratio > 3e-2:
        return None
    return Alarm(
        "large updates", "", f"a step changes the weights by {ratio:.1%} of their norm", "a smaller optimizer.lr"
    )


def carry_unused(row: Row, _: Row) -> Alarm | None:
    """The state that is carried from window to window makes no difference."""
    gain = row.get("carry_gain")
    if gain is None or not abs(gain) < 1e-3:
        return None
    seen = f"the state carried between windows is not used: it changes the loss by {gain:.2%}"
    return Alarm("carry", "", seen, "shorter windows, or model/cell=lstm with model.cell.forget_bias=1")


def _always_clipped(rows: Sequence[Row]) -> Alarm | None:
    """More than nine of ten steps are clipped, for 500 steps."""
    last = rows[-1]["step"]
    recent = [row for row in rows if row["step"] > last - 500]
    if rows[0]["step"] > last - 500 or any(not row.get("clipped_share", 0) > 0.9 for row in recent):
        return None
    seen = f"{rows[-1]['clipped_share']:.0%} of the steps are clipped"
    return Alarm("clipping", "", seen, "a larger clipping.max_norm, or a smaller optimizer.lr")
