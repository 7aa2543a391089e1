"""The `rnnkit export` command."""

from typing import Any

from rnnkit.cli.arguments import Parser
from rnnkit.cli.quiet import quiet
from rnnkit.errors import UserError
from rnnkit.notices import notice

STEPS = 300
"""The number of steps of the run's own data with which an export is checked."""


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser(
        "export",
        "Write one step of a trained model as a program or a file that runs without PyTorch. It is compared with the "
        "model on data of the run, and nothing is written if it computes something else.",
    )
    parser.add_argument("run", help="the run folder")
    parser.add_argument(
        "--format",
        required=True,
        help="cpp or c: source code without dependencies; onnx: a step with states as inputs and outputs; "
        "onnx-sequence: whole sequences",
    )
    parser.add_argument("--output", required=True, help="the new folder")
    parser.add_argument("--name", default="model", help="the prefix of files and functions (default: model)")
    parser.add_argument("--weights", default="arrays", help="cpp and c: arrays or file (default: arrays)")
    parser.add_argument("--checkpoint", default="best", help="best or last (default: best)")
    given = parser.parse(arguments)
    quiet()
    from pathlib import Path

    from rnnkit.deploy import export
    from rnnkit.training import load

    folder = Path(given.output)
    trained = load(given.run, checkpoint=given.checkpoint)
    is_file = given.format.startswith("onnx")
    if is_file and folder.is_dir() and any(folder.iterdir()):
        got, fix = f"'{folder}', which is in use", f"--output {folder}-2"
        raise UserError("--output", "a new or an empty folder", got, fix=fix)
    path = folder / f"{given.name}.onnx" if is_file else folder
    step = trained.step()  # refused before any data are read
    inputs = _real_inputs(trained)
    report = export(step, path, format=given.format, inputs=inputs, name=given.name, weights=given.weights)
    print(report)
    return 0


def _real_inputs(trained: Any) -> Any:
    """Return the inputs of one sequence of the run's data, [T, I] or ids [T]; None if the data are not there."""
    try:
        batch = next(iter(trained.data.loader(trained.split())))
    except (UserError, StopIteration) as error:
        notice(f"the export is checked with random inputs: {error}")
        return None
    row = batch.inputs[0]
    return row[: min(STEPS, len(row) if batch.lengths is None else int(batch.lengths[0]))]
