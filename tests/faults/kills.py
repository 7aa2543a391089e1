"""Kills a run again and again, between any two of its writes, resumes it, and counts what was lost.

    python tests/faults/kills.py --kills 5 --seed 0 task overrides ...

A child process runs `rnnkit train`, later `rnnkit resume`, and kills itself with SIGKILL when it is about to do its
n-th operation on files, n drawn at random; so no handler, no flush and no clean-up runs. Once all kills are spent the
run goes on to its end. Its last weights are compared, byte for byte, with those of a run that was never killed, which
has no loader workers. Counted are also the steps that were lost: those that a process had taken after the checkpoint
that the next one goes on from.
"""

import argparse
import csv
import json
import mmap
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TIMES = ("step", "seconds", "train/time_steps_per_second", "insight/share_of_time")
OPERATIONS = ("open", "os.rename", "os.link", "os.remove", "os.truncate", "os.mkdir")
"""Audit events of what changes files; `open` for writing only."""


class Steps:
    """How far a child has come, in memory that it shares with this process: a kill cannot take it away."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)

    @property
    def taken(self) -> int:
        return int(struct.unpack("q", self._memory[:8])[0])

    @taken.setter
    def taken(self, number: int) -> None:
        self._memory[:8] = struct.pack("q", number)

    def watch(self) -> None:
        """Counts those of this process."""
        from rnnkit.training import Monitor

        original = Monitor.on_train_batch_end

        def counting(monitor: Any, trainer: Any, *rest: Any) -> None:
            self.taken = trainer.global_step
            original(monitor, trainer, *rest)

        Monitor.on_train_batch_end = counting  # type: ignore[method-assign]


def child(arguments: list[str], die_at: int, steps: Steps) -> int:
    """Exit code of one `rnnkit` command, -9 where it was killed."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    left = die_at

    def audit(event: str, details: tuple[object, ...]) -> None:
        nonlocal left
        if event not in OPERATIONS or (event == "open" and not str(details[1]).startswith(("w", "a", "x"))):
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    from rnnkit.cli import run

    steps.watch()
    code = run(arguments)
    os._exit(code)


def survive(folder: Path, overrides: list[str], kills: int, within: int, seed: int) -> dict[str, int]:
    """Train in `folder` under so many kills; what it took."""
    dice = random.Random(seed)
    counts = {"kills": 0, "restarts": 0, "resumes": 0, "steps_lost": 0}
    steps = Steps()
    while True:
        started = any((folder / "checkpoints").glob("*.ckpt"))
        saved = saved_steps(folder) if started else 0
        counts["steps_lost"] += steps.taken - saved
        steps.taken = saved  # the next process may be killed before its first step
        if not started and folder.exists():
            counts["restarts"] += 1  # killed before there was anything to go on from
            shutil.rmtree(folder)
        counts["resumes"] += started
        command = ["resume", str(folder)] if started else ["train", *overrides, f"run_dir={folder}"]
        code = child(command, dice.randint(1, within) if counts["kills"] < kills else -1, steps)
        if code == 0:
            return counts
        if code != -signal.SIGKILL:
            raise SystemExit(f"{' '.join(command)} ended with {code}")
        counts["kills"] += 1


def saved_steps(folder: Path) -> int:
    """Those of the checkpoint that `rnnkit resume` goes on from."""
    from rnnkit.training import Run

    return int(Run(folder).newest()[1]["global_step"])


def differing_bytes(one: Path, other: Path) -> int:
    """Bytes of the last weights that differ."""
    import torch

    from rnnkit.training import Run

    first, second = (Run.open(folder).checkpoint("last")["state_dict"] for folder in (one, other))
    assert first.keys() == second.keys()

    def flat(weight: torch.Tensor) -> torch.Tensor:
        return weight.reshape(-1).contiguous().view(torch.uint8)

    return sum(int((flat(first[name]) != flat(second[name])).sum()) for name in first)


def differing_points(one: Path, other: Path) -> int:
    """Points of the curves in metrics.csv and in TensorBoard that are in one run only, twice, or of another value."""
    curves, others = (Counter([*rows(folder), *events(folder)]) for folder in (one, other))
    return sum(((curves - others) + (others - curves)).values())


def rows(folder: Path) -> Iterator[tuple[str, str, int, str]]:
    """What metrics.csv has of each figure but the times."""
    with (folder / "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if value and name not in TIMES:
                    yield "metrics.csv", name, int(row["step"]), value


def events(folder: Path) -> Iterator[tuple[str, str, int, str]]:
    """What TensorBoard shows of each figure but the times."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    for name in board.Tags()["scalars"]:
        if name not in TIMES:
            for event in board.Scalars(name):
                yield "TensorBoard", name, event.step, str(event.value)  # as text, in which NaN equals NaN


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--within", type=int, default=100, help="operations on files, of which one is the last")
    parser.add_argument("--seed", type=int, default=0)
    given, overrides = parser.parse_known_args()
    import torch

    import rnnkit.training  # noqa: F401  imported once, not by every child

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        whole, killed = Path(place, "whole"), Path(place, "killed")
        alone = [item for item in overrides if not item.startswith("data.workers=")]
        if child(["train", *alone, f"run_dir={whole}"], -1, Steps()):
            raise SystemExit("the run does not even end without kills")
        counts = survive(killed, overrides, given.kills, given.within, given.seed)
        found = {
            **counts,
            "bytes_differing": differing_bytes(whole, killed),
            "points_differing": differing_points(whole, killed),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
