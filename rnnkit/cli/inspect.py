"""The `rnnkit inspect` command."""

import csv
from pathlib import Path
from typing import Any

from rnnkit.cli.arguments import Parser
from rnnkit.cli.quiet import quiet
from rnnkit.errors import UserError


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser(
        "inspect",
        "Look inside trained models: gradients through time, memory, gates, units, attribution and errors, as "
        "pictures, CSV files and one HTML report. With several runs, they are beside each other.",
    )
    parser.add_argument("runs", nargs="+", metavar="run", help="the run folders")
    parser.add_argument("--input", metavar="FILE", help="a text or a file of the task (default: a split of the run)")
    parser.add_argument("--features", metavar="FILE", help="a CSV with your own features, a row for each step")
    parser.add_argument("--output", metavar="FOLDER", help="where to write (default: inspect in the first run folder)")
    parser.add_argument("--split", help="train, valid or test (default: test if the run has a test split, else valid)")
    parser.add_argument("--checkpoint", default="best", help="best or last (default: best)")
    parser.add_device()
    given = parser.parse(arguments)
    for name in ("input", "features"):
        path = getattr(given, name)
        if path is not None and not Path(path).is_file():
            raise UserError(f"--{name}", "a file", f"'{path}'", fix=f"--{name} an_existing_file")
    output = Path(given.output) if given.output else Path(given.runs[0]) / "inspect"
    if output.exists() and not output.is_dir():
        raise UserError("--output", "a folder", f"'{output}', a file", fix="--output inspected")
    if len(set(given.runs)) < len(given.runs):
        raise UserError("run", "each run once", " ".join(given.runs), fix=f"rnnkit inspect {given.runs[0]}")
    quiet()
    from rnnkit.training import load
    from rnnkit.training.inspection.findings import inspect_task
    from rnnkit.training.inspection.material import material
    from rnnkit.training.inspection.report import lines, write

    source = None if given.input is None else Path(given.input)
    found: dict[str, Any] = {}
    for place in given.runs:
        trained = load(place, checkpoint=given.checkpoint, device=given.device)
        shown = material(trained, given.split, source)
        if given.features is not None:
            shown = _with_features(shown, Path(given.features))
        findings = inspect_task(trained.task, shown)
        found[str(place).rstrip("/")] = (findings, shown)
        print(f"{place}, {given.checkpoint}.ckpt:")
        for line in lines(findings):
            print(f"  {line}")
    try:
        files = write(output, found)
    except OSError as error:
        got = f"'{output}' ({error.strerror})"
        raise UserError("--output", "a folder that can be written", got, fix="--output inspected") from error
    print(f"The report is in {files[-1]}, with {len(files) - 1} files beside it.")
    return 0


def _with_features(shown: Any, path: Path) -> Any:
    """Add the columns of a file to the features of the shown sequence."""
    import dataclasses

    import torch

    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names, values = shown.features
    steps = len(values)
    if len(rows) < steps:
        got = f"{len(rows)} in '{path}'"
        raise UserError("--features", f"a row for each of the {steps} steps of the input", got, fix="--input its_text")
    try:
        own = torch.tensor([[float(cell) for cell in row.values()] for row in rows[:steps]], dtype=torch.double)
    except (TypeError, ValueError) as error:
        raise UserError("--features", "a CSV of numbers with a header", f"'{path}' ({error})", fix="0 and 1") from error
    features = ([*names, *rows[0]], torch.cat([values, own], dim=1))
    return dataclasses.replace(shown, features=features)
