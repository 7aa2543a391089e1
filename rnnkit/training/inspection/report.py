"""The files of an inspection: PNG, CSV, inspect.json and one HTML report."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rnnkit.files import replacing
from rnnkit.insight.flow import memory_length
from rnnkit.insight.plots import plot_attribution, plot_flow, plot_gates, plot_memory, plot_units
from rnnkit.strict_json import dumps
from rnnkit.training.inspection.findings import Findings
from rnnkit.training.inspection.material import Material
from rnnkit.training.inspection.page import colored_text, figure, heading, page, table
from rnnkit.training.inspection.tables import as_json, matched, tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 100
"""The number of steps in pictures."""
COLORED = 1000
"""The number of characters of a colored text."""

EXPLAINED = {
    "flow": "The gradient of one step's loss with respect to the state k steps before, relative to k = 1. Where it "
    "falls below 1 %, what was before can hardly be learned.",
    "memory": "A linear map, fitted on other sequences, reads the input of k steps before from the state. This is what "
    "the state holds; the gradient shows what could be learned.",
    "gates": "Gates above 0.95 or below 0.05 pass almost no gradient. A unit is stuck if it is on one side in more "
    "than 99 % of the steps.",
    "units": "Each unit relative to its mean, in standard deviations.",
    "gate_values": "The gates over the sequence, each relative to its mean.",
    "attribution": "Integrated gradients of the output at the last step: what each step adds to the score.",
}


def write(folder: Path, runs: Mapping[str, tuple[Findings, Material]]) -> list[Path]:
    """Write the report of one run or of several beside each other, and return the files.

    Args:
        folder: the folder of the report; made if it does not exist.
        runs: what was found, and in what, by the name of the run.

    Raises:
        UserError: if matplotlib is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = dict(_pictures(runs))
    files = []
    for name, drawn in pictures.items():
        with replacing(folder / f"{name}.png") as part:
            drawn.savefig(part, format="png", dpi=120)
        files.append(folder / f"{name}.png")
    for name, rows in tables(runs).items():
        if rows:
            with replacing(folder / f"{name}.csv") as part, part.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
                writer.writeheader()
                writer.writerows(rows)
            files.append(folder / f"{name}.csv")
    values = {name: as_json(found, given) for name, (found, given) in runs.items()}
    with replacing(folder / "inspect.json") as part:
        part.write_text(json.dumps(json.loads(dumps(values)), indent=2) + "\n", encoding="utf-8")
    with replacing(folder / "report.html") as part:
        part.write_text(page(f"Inspection of {', '.join(runs)}", _parts(runs, pictures)), encoding="utf-8")
    return [*files, folder / "inspect.json", folder / "report.html"]


def _pictures(runs: Mapping[str, tuple[Findings, Material]]) -> Iterator[tuple[str, "Figure"]]:
    many = len(runs) > 1

    def labeled(kind: str) -> dict[str, Any]:
        return {
            f"{run} {label}" if many else label: value
            for run, (found, _) in runs.items()
            for label, value in getattr(found, kind).items()
        }

    yield "flow", plot_flow(labeled("flows"))
    if labeled("memories"):
        yield "memory", plot_memory(labeled("memories"), _unit(runs))
    yield "gates", plot_gates(labeled("saturations"))
    for run, (found, given) in runs.items():
        end = f"_{_file_name(run)}" if many else ""
        ticks = None if given.ticks is None else given.ticks[:SHOWN]
        for label, values_TS in found.units.items():
            options: dict[str, Any] = {"curve": None if given.curve is None else given.curve[:SHOWN]}
            title = f"{run} {label}: units that explain most of the variance"
            yield (
                f"units_{label}{end}",
                plot_units(values_TS[:SHOWN], found.unit_names[label], ticks, title=title, **options),
            )
            gates = found.gates[label].gates
            if gates:
                names = [f"{gate} {unit}" for gate, one in gates.items() for unit in range(one.shape[1])]
                joined = torch.cat(list(gates.values()), dim=1)[:SHOWN].cpu()
                yield (
                    f"gate_values_{label}{end}",
                    plot_units(joined, names, ticks, title=f"{run} {label}: gates", **options),
                )
        if found.attribution is not None:
            count = found.attribution.values.shape[1]
            yield (
                f"attribution{end}",
                plot_attribution(found.attribution, 0, None if given.ticks is None else given.ticks[:count]),
            )


def _unit(runs: Mapping[str, tuple[Findings, Material]]) -> str:
    return "R²" if any(given.curve is not None for _, given in runs.values()) else "accuracy above chance"


def _parts(runs: Mapping[str, tuple[Findings, Material]], pictures: Mapping[str, "Figure"]) -> Iterator[str]:
    figures: list[dict[str, Any]] = []
    for run, (found, _) in runs.items():
        for label, values in found.summary().items():
            figures.append({"run": run, "layer": label, **values})
    yield heading("Figures", "Beside each other; nothing here says which run is better, the losses do.")
    yield table(_turned(figures))
    for run, (found, given) in runs.items():
        if found.context is not None:
            used = found.context.length()
            yield f"<p>{run}: the loss of a step uses <b>{used}</b> steps of context (within 1 %).</p>"
        yield f"<p class='note'>{run}: shown is {given.source}.</p>"
        for note in found.notes:
            yield f"<p class='note'>{note}</p>"
    for name, drawn in pictures.items():
        kind = next(
            key for key in ("gate_values", "flow", "memory", "gates", "units", "attribution") if name.startswith(key)
        )
        yield heading(name.replace("_", " "), EXPLAINED[kind])
        yield figure(drawn)
    for run, (found, given) in runs.items():
        rows = matched(found)
        yield heading(
            f"Units that follow features: {run}",
            "The best unit of each layer, among all of its units; p-values by circular shifts of the feature.",
        )
        yield table(rows[:30])
        if given.ticks is not None:
            for row in rows[:3]:
                label, unit = row["layer"], found.unit_names[row["layer"]].index(row["unit"])
                what = f"{row['feature']}, r = {row['correlation']:.2f}"
                yield f"<p>{label}, {row['unit']}: {what}. Hover a character to see its value.</p>"
                yield colored_text(given.ticks[:COLORED], found.units[label][:COLORED, unit], f"{label} {row['unit']}")
        if found.attribution is not None:
            one = found.attribution
            yield (
                f"<p>{run}: the attribution of {float(one.score[0]):.4g} against "
                f"{float(one.baseline_score[0]):.4g} for the mean input, complete to {one.error:.1e} with "
                f"{one.points} points.</p>"
            )
        yield heading(f"Errors worth looking at: {run}")
        yield table(found.errors)


def _turned(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a table with a column for each run and layer."""
    names = list(dict.fromkeys(key for row in rows for key in row if key not in ("run", "layer")))
    return [{"figure": name, **{f"{row['run']} {row['layer']}": row.get(name) for row in rows}} for name in names]


def _file_name(run: str) -> str:
    return "".join(character if character.isalnum() or character in "-_." else "_" for character in run)


def lines(found: Findings) -> Iterator[str]:
    """Yield what to print of a run."""
    for label, flow in found.flows.items():
        exponent = float(found.exponents[label].mean())
        reach = memory_length(flow)
        yield f"{label}: the gradient reaches {reach} steps; Lyapunov exponent {exponent:+.3f} nats a step"
    if found.context is not None:
        yield f"the loss of a step uses {found.context.length()} steps of context"
    for row in matched(found):
        if row["follows it"]:
            yield f"{row['layer']}, unit {row['unit']} follows {row['feature']}: r = {row['correlation']:+.2f}"
    if found.attribution is not None:
        yield f"integrated gradients: complete to {found.attribution.error:.1e}"
    yield from found.notes
