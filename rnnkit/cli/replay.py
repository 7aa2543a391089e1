"""The `rnnkit replay` command."""

import contextlib

from rnnkit.cli.arguments import Parser
from rnnkit.cli.quiet import quiet
from rnnkit.errors import UserError


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser(
        "replay",
        "Run the batch with a non-finite gradient again, with the same weights, carried state and random numbers, and "
        "print the first non-finite value.",
    )
    parser.add_argument("run", help="the run folder")
    given = parser.parse(arguments)
    quiet()
    import hydra

    from rnnkit.training import Run
    from rnnkit.training.checks.bad_batch import check_case, read_batch
    from rnnkit.training.checks.nonfinite import replay
    from rnnkit.training.run import storage
    from rnnkit.training.run.build import build_task, without_clipping
    from rnnkit.training.run.model_size import check_fits

    run = Run.open(given.run)
    path = run.folder / "bad_batch.pt"
    if not path.is_file():
        raise UserError(
            "run", "a run with a non-finite batch", f"no {path}", fix="rnnkit evaluate, if the training succeeded"
        )
    try:
        case = storage.read(path)
    except storage.DamagedFileError as error:
        raise UserError(
            "run", "an undamaged bad_batch.pt", f"'{path}' ({error})", fix="an undamaged copy of the run folder"
        ) from error
    check_case(case, path)
    config = run.config()
    with contextlib.suppress(Exception):  # an input type that it does not import is reported below
        hydra.utils.get_object(config.data._target_)
    try:
        case["state_dict"] = without_clipping(case["state_dict"])
        check_fits(lambda: build_task(config), case, path)
        task = build_task(config)
        batch = read_batch(case["batch"], path)
        rows, steps = batch.shape
        found = replay(task, case, batch)
    except UserError:
        raise
    except Exception as error:  # whatever a step raises for values that are not those of a batch
        got = f"'{path}' ({type(error).__name__}: {error})"
        raise UserError(
            "run", "a bad_batch.pt of this run's model", got, fix="an undamaged copy of the run folder"
        ) from error
    print(f"step {case['step']}, {rows} rows x {steps} steps: non-finite gradient. First non-finite value:")
    print(f"  {found}")
    return 0
