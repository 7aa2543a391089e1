"""The cost of insight while training: `python scripts/bench_insight.py [light|full] [TASK ...]`.

Steps with and without insight alternate in blocks within one run. The time is that of the CPU, which other
processes disturb less. The cost is the median, over the pairs of neighboring blocks, of the additional time. The
interval is the nominal one; a run would double it where the cost exceeds the limit.
"""

import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import rnnkit.training.insight.callback as insight
from rnnkit.cli import run

RUNS = {
    "language_modeling": ["task=language_modeling"],
    "mackey_glass": ["experiment=mackey_glass"],
    "cylinder_bell_funnel": ["experiment=cylinder_bell_funnel"],
    "python_names": ["experiment=python_names"],
}
"""The defaults of each task, on data that need no download."""
FIRST, PAIRS = 200, 3

times: list[float] = []
"""The clock at the beginning of every step."""


class Paired(insight.Insight):
    """Insight in every other block of steps, and never less often."""

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        times.append(time.process_time())
        self.level = self.level._replace(share=1e9)
        # a measurement is due after the last step of a block
        self._is_off = self._acts > 0 and trainer.global_step // self.every % 2 == 1
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)


def cost(level: str, overrides: list[str]) -> tuple[list[float], float]:
    """Train for some blocks; return the additional share of each pair of blocks, and the milliseconds of a step."""
    times.clear()
    every = insight.LEVELS[level].every  # type: ignore[index]
    steps = FIRST + 2 * PAIRS * every + 1
    with tempfile.TemporaryDirectory() as folder:
        code = run(
            [
                "train",
                *overrides,
                "insight._target_=bench_insight.Paired",
                f"insight={level}",
                "trainer.max_epochs=-1",
                f"trainer.max_steps={steps}",
                "+trainer.limit_val_batches=0",
                "trainer.enable_progress_bar=false",
                "patience=null",
                f"run_dir={Path(folder) / 'run'}",
            ]
        )
    assert code == 0, overrides
    blocks = [times[start + every] - times[start] for start in range(FIRST, len(times) - every, every)]
    first_on = FIRST // every % 2 == 0
    on, off = blocks[0 if first_on else 1 :: 2], blocks[1 if first_on else 0 :: 2]
    shares = [(one - other) / other for one, other in zip(on, off, strict=False)]
    return shares, 1e3 * statistics.median(off) / every


def main(arguments: list[str]) -> None:
    level = arguments[0] if arguments else "light"
    print(f"| {level} | step (ms) | additional time, median | lowest pair | highest pair | peak memory (MB) |")
    print("|---|---|---|---|---|---|")
    for name in arguments[1:] or RUNS:
        shares, step = cost(level, RUNS[name])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        low, middle, high = min(shares), statistics.median(shares), max(shares)
        print(f"| `{name}` | {step:.1f} | {middle:.2%} | {low:.2%} | {high:.2%} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    sys.modules["bench_insight"] = sys.modules["__main__"]
    main(sys.argv[1:])
