"""The figures of a run, as tests compare them."""

import csv
from pathlib import Path


def figures(folder: Path) -> list[dict[str, str]]:
    """All of metrics.csv but what a clock says."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    clocks = ("seconds", "train/time_steps_per_second", "insight/share_of_time")
    return [{name: value for name, value in row.items() if name not in clocks} for row in rows]
