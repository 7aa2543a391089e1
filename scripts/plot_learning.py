"""Draws the validation loss of runs over the time they trained.

python scripts/plot_learning.py runs/RUN [runs/RUN ...] --output curve.png [--line 1.4697 "nanoGPT on a GPU"]
"""

import argparse
import csv
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--line", nargs=2, action="append", default=[], metavar=("LOSS", "LABEL"))
    parser.add_argument("--point", nargs=3, action="append", default=[], metavar=("SECONDS", "LOSS", "LABEL"))
    parser.add_argument("--title", default="")
    given = parser.parse_args()

    figure, axes = plt.subplots(figsize=(7.2, 3.6), dpi=150)
    for folder in given.runs:
        with (folder / "metrics.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["val/loss"]]
        seconds = [float(row["seconds"]) for row in rows]
        axes.plot(seconds, [float(row["val/loss"]) for row in rows], marker="o", markersize=3, label=folder.name)
    for loss, label in given.line:
        axes.axhline(float(loss), color="0.6", linewidth=1, linestyle="--")
        axes.annotate(label, (1, float(loss)), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="0.4")
    for at, loss, label in given.point:
        axes.plot(float(at), float(loss), "x", color="0.4")
        axes.annotate(
            label, (float(at), float(loss)), xytext=(6, 0), textcoords="offset points", color="0.4", va="center"
        )
    axes.set_xlabel("seconds of training")
    axes.set_ylabel("validation loss, nats per character")
    axes.set_title(given.title, loc="left", fontsize=10)
    axes.grid(alpha=0.3)
    if len(given.runs) > 1:
        axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(given.output)


if __name__ == "__main__":
    main()
