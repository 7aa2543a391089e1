"""What loader workers gain or cost: training through the command line with 0, 1 and 2 of them.

    python scripts/bench_workers.py [--rounds 5] [--steps 142] task=tagging [KEY=VALUE ...]

One after the other in one process, so that a machine whose speed drifts treats them alike. Printed are, for each number
of workers, the median of valid steps a second, the median of its ratio to that of the same round without workers, and
the processor time that the training process itself takes for a batch when it does nothing but ask for the next.
"""

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

from rnnkit.cli import run
from rnnkit.training import Run
from rnnkit.training.configuration.construct import construct

COUNTS = (0, 1, 2)


def trained(overrides: list[str], steps: int, folder: Path) -> float:
    """Valid steps a second that the run reports."""
    limits = ["trainer.max_epochs=-1", f"trainer.max_steps={steps}", "trainer.limit_val_batches=1", "schedule=constant"]
    with contextlib.redirect_stdout(io.StringIO()):
        assert run(["train", *overrides, *limits, f"run_dir={folder}"]) == 0
    return float(json.loads((folder / "summary.json").read_text())["time_steps_per_second"])


def asked(folder: Path) -> float:
    """Milliseconds of processor time for a batch of the data of a run, in this process."""
    data = construct(Run.open(folder).config(), "data")
    data.setup("fit")
    batches = data.train_dataloader()
    for _ in batches:  # an epoch to warm up
        pass
    started = time.process_time()
    count = sum(1 for _ in batches)
    return 1000 * (time.process_time() - started) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=142)
    given, overrides = parser.parse_known_args()
    speeds: dict[int, list[float]] = {count: [] for count in COUNTS}
    times = {}
    with tempfile.TemporaryDirectory() as place:
        for number in range(given.rounds + 1):
            for count in COUNTS:
                folder = Path(place, f"{number}-{count}")
                speed = trained([*overrides, f"data.workers={count}"], given.steps, folder)
                if number:  # the first round warms up
                    speeds[count].append(speed)
                else:
                    times[count] = asked(folder)
    print(
        f"{torch.get_num_threads()} threads, {given.steps} steps a round, {given.rounds} rounds, {' '.join(overrides)}"
    )
    for count in COUNTS:
        ratio = statistics.median(one / none for one, none in zip(speeds[count], speeds[0], strict=True))
        speed = statistics.median(speeds[count])
        print(f"{count} workers: {speed:,.0f} steps/s, ratio {ratio:.2f}, {times[count]:.2f} ms a batch")


if __name__ == "__main__":
    main()
