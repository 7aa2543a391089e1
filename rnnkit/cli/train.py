"""The `rnnkit train` command."""

import math
import os
import shlex
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from rnnkit.cli.configuration import as_user_error, check_choices, config_folder, groups, without_null
from rnnkit.cli.folders import remove_empty, run_folder
from rnnkit.cli.foreign import check_options, checked_compositions
from rnnkit.cli.quoted import quoted
from rnnkit.cli.replaced import options_of_typed_classes
from rnnkit.cli.run_names import register
from rnnkit.cli.typed import typed_values
from rnnkit.errors import UserError
from rnnkit.notices import notice
from rnnkit.ranks import is_first_of_machine
from rnnkit.renamed import renewed_overrides

HELP = """Usage: rnnkit train [--multirun] [--config-dir FOLDER] [GROUP=CHOICE ...] [KEY=VALUE ...]

Train a model and write a run folder. The default is a character-level LSTM on the Python standard library.

  rnnkit train model/cell=gru model.num_layers=3 optimizer.lr=2e-3 data.path=my_corpus.txt
  rnnkit train experiment=tiny_shakespeare
  rnnkit train task=tagging                           another task, with its own default data
  rnnkit train --multirun model/cell=elman,lstm,gru seed=1,2,3
  rnnkit train model.cell._target_=my_lab.cells.MyCell        your own class, from the working directory
  RNNKIT_ALLOW=my_lab rnnkit train --config-dir my_lab/conf model/cell=mine   your own configuration files
  rnnkit train --cfg job                                      print the whole configuration and exit

Choices:
{choices}

Every key: rnnkit train --cfg job
"""


class FinishedRun(NamedTuple):
    """One finished run."""

    folder: Path
    overrides: list[str]
    monitor: str
    best: float  # value of the monitor; NaN where it was never computed
    largest_first: bool  # whether larger is better


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    if "-h" in arguments or "--help" in arguments:
        choices = "\n".join(f"  {group + '=':<12} {', '.join(names)}" for group, names in groups().items())
        print(HELP.format(choices=choices), end="")
        return 0
    for folder in _config_dirs(arguments):
        if not Path(folder).is_dir():
            raise UserError(
                "--config-dir", "a folder with configuration files", f"'{folder}'", fix="an existing folder"
            )
    arguments = renewed_overrides(quoted(without_null(arguments)), groups()["data"])
    check_options(arguments)
    check_choices(arguments)
    return _train(arguments)


def _train(arguments: list[str]) -> int:
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import DictConfig
    from omegaconf.errors import OmegaConfBaseException

    register()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises errors instead of printing them
    command = list(sys.argv)
    results: list[FinishedRun] = []
    failures: list[Exception] = []
    empty_folders: list[Path] = []

    @hydra.main(config_path=str(config_folder()), config_name="train", version_base="1.3")
    def task(config: DictConfig) -> float:
        """Train, and return the best value of the monitor for a sweeper; NaN if the run failed."""
        sys.argv = command  # Lightning runs this command for each further process of a distributed run
        settings = HydraConfig.get()
        is_one_of_many = settings.mode == RunMode.MULTIRUN
        overrides = list(settings.overrides.task)
        try:
            folder = Path(settings.runtime.output_dir) if is_one_of_many else run_folder(config)
            if folder.is_relative_to(Path.cwd()):  # short to print and to type
                folder = folder.relative_to(Path.cwd())
            metrics = _run_one(config, overrides, folder)
            found = metrics[f"best_{config.monitor}"]
            best = math.nan if found is None else found
            results.append(FinishedRun(folder, overrides, config.monitor, best, config.monitor_mode == "max"))
            return best
        except Exception as error:  # otherwise Hydra would print it in its own format
            failures.append(error)
            if is_one_of_many:
                notice(f"rnnkit: {' '.join(overrides)}: {error}")
            if is_one_of_many and not results:
                empty_folders.append(Path(settings.runtime.output_dir))
            return math.nan

    sys.argv = [command[0], *options_of_typed_classes(arguments)]
    try:
        with checked_compositions():
            task()
    except UserError:
        raise
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # all raised by Hydra
        raise as_user_error(error, [item for item in arguments if not item.startswith("-")]) from error
    except OSError as error:  # Hydra creates the folder of a sweep itself
        from rnnkit.training.run.lock import no_folder

        raise no_folder(error.filename, error) from error
    finally:
        sys.argv = command
    remove_empty(empty_folders, is_all=not results)
    if len(results) > 1:
        _print_table(results)
    if failures:
        raise failures[0]
    return 0


def _run_one(config: Any, overrides: list[str], folder: Path) -> dict[str, Any]:
    from rnnkit.cli.quiet import quiet

    quiet()
    from rnnkit.cli.checking import check
    from rnnkit.training.configuration.own_code import remember

    check(config, overrides)
    remember(typed_values(overrides))
    return fit_and_report(config, folder)


def fit_and_report(config: Any, folder: Path, *, resume: bool = False) -> dict[str, Any]:
    """Train and print the result. Exit with code 130 if training was interrupted."""
    from lightning.pytorch.utilities import rank_zero_only

    from rnnkit.training import fit
    from rnnkit.training.resume.stopping import Interrupted

    try:
        metrics = fit(config, folder, resume=resume)
    except Interrupted as stop:
        if is_first_of_machine():  # only one process of a distributed run prints it
            print(stop)
        sys.exit(130)
    rank_zero_only(_report)(folder, metrics)  # only one process prints
    return metrics


def _report(folder: Path, metrics: dict[str, Any]) -> None:
    """Print the result of a run and the next commands."""
    best = {name: value for name, value in metrics.items() if name.startswith("best_") and value is not None}
    shown = "  ".join(f"{name.replace('_', ' ', 1)} {value:.4f}" for name, value in best.items())
    minutes, seconds = divmod(round(metrics["seconds"]), 60)
    speed = f"{metrics['time_steps_per_second']:,.0f} time steps/s"
    print(f"\n{shown}  after {metrics['steps']} steps, {minutes} min {seconds:02} s of training at {speed}")
    name = _typed(folder)
    print(f"The run is in {folder}. Next:")
    print(f"  rnnkit evaluate {name}")
    if (folder / "vocabulary.json").exists():
        print(f"  rnnkit generate {name} --length 400 --temperature 0.8")
    else:
        print(f"  rnnkit predict {name} --input FILE --output FILE")
    print("  rnnkit board" if folder.parts[0] == "runs" else f"  rnnkit board {name}")


def _typed(folder: Path) -> str:
    """A folder as a quoted argument of a shell command. A leading dash would start an option."""
    return shlex.quote(f"./{folder}" if str(folder).startswith("-") else str(folder))


def _print_table(results: list[FinishedRun]) -> None:
    shared = set.intersection(*(set(result.overrides) for result in results))
    print("\nAll runs, best first:")
    for monitor in dict.fromkeys(result.monitor for result in results):  # several if the tasks differ
        for result in sorted((one for one in results if one.monitor == monitor), key=_rank):
            own = " ".join(override for override in result.overrides if override not in shared)
            best = "-" if math.isnan(result.best) else f"{result.best:.4f}"
            print(f"  {monitor} {best}  {own}  {result.folder}")


def _rank(result: FinishedRun) -> tuple[bool, float]:
    """Sort key: best first, runs without a value last."""
    return math.isnan(result.best), -result.best if result.largest_first else result.best


def _config_dirs(arguments: list[str]) -> list[str]:
    after = [b for a, b in pairwise(arguments) if a in ("--config-dir", "-cd")]
    return after + [item.split("=", 1)[1] for item in arguments if item.startswith("--config-dir=")]
