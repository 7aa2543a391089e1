"""What was found as tables and as JSON values."""

from collections.abc import Mapping
from typing import Any

from rnnkit.training.inspection.findings import STRONG, SURE, Findings
from rnnkit.training.inspection.material import Material


def tables(runs: Mapping[str, tuple[Findings, Material]]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each CSV file."""
    rows: dict[str, list[dict[str, Any]]] = {"flow": [], "memory": [], "units": [], "attribution": [], "errors": []}
    for run, (found, given) in runs.items():
        for label, flow in found.flows.items():
            for lag, value in enumerate(flow.relative.tolist(), 1):
                rows["flow"].append({"run": run, "layer": label, "lag": lag, "relative gradient": value})
        for label, memory in found.memories.items():
            for lag, pair in enumerate(zip(memory.state.tolist(), memory.current.tolist(), strict=True)):
                rows["memory"].append(
                    {"run": run, "layer": label, "lag": lag, "state": pair[0], "present input alone": pair[1]}
                )
        rows["units"] += [{"run": run, **row} for row in matched(found)]
        if found.attribution is not None:
            for step, values in enumerate(found.attribution.values[0].tolist()):
                tick = "" if given.ticks is None else given.ticks[step]
                one = {"run": run, "step": step, "token": tick, "sum": sum(values)}
                rows["attribution"].append(one | {f"feature {i}": value for i, value in enumerate(values[:64])})
        rows["errors"] += [{"run": run, **row} for row in found.errors]
    return rows


def matched(found: Findings) -> list[dict[str, Any]]:
    """Return the units that follow features, the surest first."""
    rows = [
        {
            "layer": label,
            "feature": match.feature,
            "unit": found.unit_names[label][match.unit],
            "correlation": match.correlation,
            "p-value": match.p_value,
            "follows it": abs(match.correlation) > STRONG and match.p_value < SURE,
        }
        for label, matches in found.matches.items()
        for match in matches
    ]
    return sorted(rows, key=lambda row: (not row["follows it"], -abs(row["correlation"])))


def as_json(found: Findings, given: Material) -> dict[str, Any]:
    """Return everything that was found in a run as JSON values."""
    attribution = found.attribution
    return {
        "shown": given.source,
        "layers": found.summary(),
        "flow": {label: flow.relative.tolist() for label, flow in found.flows.items()},
        "memory": {
            label: {"state": memory.state.tolist(), "present input": memory.current.tolist()}
            for label, memory in found.memories.items()
        },
        "context used": None
        if found.context is None
        else {
            "steps": found.context.length().steps,
            "is at least that": found.context.length().is_censored,
            "lags": found.context.lags,
            "loss by lag": found.context.losses.tolist(),
            "loss with everything": found.context.full,
        },
        "units": matched(found),
        "attribution": None
        if attribution is None
        else {
            "score": float(attribution.score[0]),
            "score of the baseline, the mean input": float(attribution.baseline_score[0]),
            "completeness error": attribution.error,
            "points": attribution.points,
            "by step": attribution.by_step[0].tolist(),
        },
        "errors": found.errors,
        "notes": found.notes,
    }
