"""`rnnkit replay runs/RUN`."""

from rnnkit.cli.arguments import Parser
from rnnkit.cli.quiet import quiet
from rnnkit.errors import UserError


def run(arguments: list[str]) -> int:
    """The command; its exit code."""
    parser = Parser(
        "replay",
        "Run the batch again at which a gradient was not finite, with its weights, carry and random numbers, and say "
        "where it goes wrong.",
    )
    parser.add_argument("run", help="the folder of the run")
    given = parser.parse(arguments)
    quiet()
    from rnnkit.training import Run, storage
    from rnnkit.training.bad_numbers import replay
    from rnnkit.training.runs import build_task

    run = Run.open(given.run)
    path = run.folder / "bad_batch.pt"
    if not path.is_file():
        raise UserError("run", "a run that met a bad batch", f"no {path}", fix="rnnkit evaluate, if it trained well")
    try:
        case = storage.read(path)
    except storage.DamagedFileError as error:
        raise UserError("run", "a whole bad_batch.pt", f"'{path}' ({error})", fix="another run") from error
    lanes, steps = case["batch"]["fields"][0].shape[:2] if hasattr(case["batch"]["fields"][0], "shape") else (0, 0)
    print(f"step {case['step']}{f', {lanes} lanes x {steps} steps' if lanes else ''}: not finite; it begins in")
    print(f"  {replay(build_task(run.config()), case)}")
    return 0
