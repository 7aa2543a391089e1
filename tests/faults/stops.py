"""Stops a run at given moments by signals, resumes it, and compares it with one left in peace.

    python tests/faults/stops.py CORPUS [CASE ...]

Every command is a process of its own. It sends itself the signals when a method of rnnkit is called for the n-th time;
so the moment is exact. Prints one JSON object for each case of `CASES`.
"""

import json
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from kills import differing_bytes, differing_points

SMALL = [
    *("model.hidden_size=16", "model.num_layers=1", "model.dropout=0.2", "data.lanes=4", "data.bptt_steps=16"),
    *("trainer.max_epochs=3", "trainer.limit_train_batches=20", "trainer.limit_val_batches=3"),
    *("trainer.log_every_n_steps=3", "callbacks.sample.length=0", "data.path={corpus}"),
]
SERIES = [
    *("task=classification", "data=cylinder_bell_funnel", "data.train_size=160", "data.valid_size=30"),
    *("data.batch_size=8", "data.workers=2", "model.hidden_size=8"),
    *("trainer.max_epochs=3", "trainer.limit_val_batches=2", "trainer.log_every_n_steps=3"),
]
PLATEAU = ["schedule=reduce_on_plateau", "schedule.patience=1", "patience=3", "optimizer.lr=0.02"]
"""What a validation that is left out, or comes twice, changes the weights by."""


class Case(NamedTuple):
    """At the `nth` call of a method of some class, `signals`.

    `to_worker`: a loader worker gets them. `resumed`: what the run goes on with.
    """

    overrides: list[str]
    method: str = "Monitor.on_train_batch_end"
    nth: int = 0
    signals: tuple[int, ...] = ()
    to_worker: bool = False
    resumed: tuple[str, ...] = ()


TERM, INT, USR1 = signal.SIGTERM, signal.SIGINT, signal.SIGUSR1
CASES = {
    "in mid-epoch": Case([*SMALL, *PLATEAU], nth=27, signals=(TERM,)),
    "while accumulating": Case([*SMALL, "trainer.accumulate_grad_batches=3"], nth=28, signals=(USR1,)),
    "while averaging": Case([*SMALL, "averaging=ema"], nth=28, signals=(INT,)),
    "at the last step of an epoch": Case([*SMALL, *PLATEAU], nth=20, signals=(TERM,)),
    "at the last step of an epoch without validation": Case(
        [*SMALL, "trainer.check_val_every_n_epoch=3", "schedule=constant"], nth=20, signals=(TERM,)
    ),
    "at a step before a validation in mid-epoch": Case(
        [*SMALL, *PLATEAU, "trainer.val_check_interval=8"], nth=28, signals=(TERM,)
    ),
    "in a validation": Case([*SMALL, *PLATEAU], "Task.validation_step", 5, (USR1,)),
    "at the last step": Case(SMALL, nth=60, signals=(INT,)),
    "twice by SIGTERM": Case(SMALL, nth=27, signals=(TERM, TERM)),
    "twice by Ctrl-C": Case(SMALL, nth=27, signals=(INT, INT)),
    "twice by Ctrl-C before a checkpoint": Case(SMALL, nth=2, signals=(INT, INT)),
    "while data are read": Case(SMALL, "TextData.setup", 1, (TERM,)),
    "before the first step": Case(SMALL, "SaveAndStop.on_train_start", 1, (USR1,)),
    "with workers": Case(SERIES, nth=27, signals=(TERM,), resumed=("data.workers=1",)),
    "a worker is killed": Case(SERIES, nth=27, signals=(signal.SIGKILL,), to_worker=True, resumed=("data.workers=0",)),
}


def command(arguments: list[str], case: Case, said: Path) -> int:
    """Exit code of one `rnnkit` command in a process of its own; what it prints is added to `said`."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    handle = os.open(said, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if case.signals:
        _send(case)
    from rnnkit.cli import run

    try:
        code = run(arguments)
    except SystemExit as stop:
        code = int(str(stop.code))
    sys.stdout.flush()
    os._exit(code)


def _send(case: Case) -> None:
    from rnnkit.data import TextData
    from rnnkit.tasks.base import Task
    from rnnkit.training import Monitor
    from rnnkit.training.resume.stopping import SaveAndStop

    classes = {"Monitor": Monitor, "SaveAndStop": SaveAndStop, "TextData": TextData, "Task": Task}
    class_, _, name = case.method.partition(".")
    original: Callable[..., Any] = getattr(classes[class_], name)
    left = case.nth

    def sending(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            for number in case.signals:
                os.kill(multiprocessing.active_children()[0].pid or 0 if case.to_worker else os.getpid(), number)
        return original(*arguments)

    setattr(classes[class_], name, sending)


def stopped(case: Case, corpus: str, folder: Path) -> dict[str, Any]:
    """What became of a run that was stopped, and how the run that went on with it differs from one left in peace."""
    overrides = [item.replace("{corpus}", corpus) for item in case.overrides]
    run, said = folder / "stopped", folder / "said"
    peace = Case([])
    codes = [command(["train", *overrides, f"run_dir={run}"], case, said)]
    found: dict[str, Any] = {
        "left": sorted(path.name for path in run.iterdir()) if run.exists() else None,
        "said": said.read_text(),
        "codes": codes,
    }
    if not (run / "checkpoints" / "last.ckpt").exists():
        return found
    if codes[-1]:
        codes.append(command(["resume", str(run), *case.resumed], peace, said))
    whole = [item for item in overrides if not item.startswith("data.workers")]
    assert command(["train", *whole, f"run_dir={folder / 'whole'}"], peace, said) == 0, said.read_text()
    found["bytes_differing"] = differing_bytes(folder / "whole", run)
    found["points_differing"] = differing_points(folder / "whole", run)
    return found


def main() -> None:
    import torch

    import rnnkit.training  # noqa: F401  imported once, not by every process

    torch.set_num_threads(1)
    for name in sys.argv[2:] or CASES:
        with tempfile.TemporaryDirectory() as place:
            print(json.dumps({"case": name, **stopped(CASES[name], sys.argv[1], Path(place))}), flush=True)


if __name__ == "__main__":
    main()
