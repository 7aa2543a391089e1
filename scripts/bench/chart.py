"""The chart: speed relative to nn.LSTM at each size, the floors as lines."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

BARS = {
    "LSTM auto": "#1b6ca8",
    "GRU auto": "#5aa9d6",
    "nn.GRU": "#c9c9c9",
    "LayerNormLSTM auto": "#d98032",
    "unseen auto": "#f0b878",
    "LayerNormLSTM reference": "#8a8a8a",
    "unseen reference": "#b0b0b0",
}
"""What is drawn, in this order; the Python loops in gray."""


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """One panel for each number of threads."""
    results = [result for result in results if result["section"] == "engines"]
    panels = sorted({result["threads"] for result in results})
    figure, all_axes = plt.subplots(
        len(panels), 1, figsize=(9, 0.6 + 2.8 * len(panels)), dpi=150, squeeze=False, layout="constrained"
    )
    width = 0.8 / len(BARS)
    for axes, threads in zip(all_axes[:, 0], panels, strict=True):
        shown = [result for result in results if result["threads"] == threads]
        for group, result in enumerate(shown):
            seconds = {name: row["median"] for name, row in result["seconds"].items()}
            # A floor against nn.GRU stands as far from that bar.
            floors = {
                ratio["name"]: ratio["floor"] * seconds["nn.LSTM"] / seconds[ratio["against"]]
                for ratio in result["ratios"]
                if ratio["against"] in ("nn.LSTM", "nn.GRU")
            }
            for place, (name, color) in enumerate(BARS.items()):
                if name not in seconds:
                    continue
                left = group - 0.4 + place * width
                label = name if group == 0 else None
                axes.bar(left, seconds["nn.LSTM"] / seconds[name], width, align="edge", color=color, label=label)
                if name in floors:
                    axes.hlines(floors[name], left, left + width, color="black", linewidth=1.5)
        axes.axhline(1, color="0.6", linewidth=0.8, linestyle="--", zorder=0)
        axes.set_xticks(range(len(shown)), [f"T, B, I, H\n{result['size']}" for result in shown])
        axes.set_ylabel("speed / nn.LSTM")
        axes.set_title(f"forward + backward, float32, {threads} thread{'s' * (threads > 1)}", loc="left", fontsize=10)
        axes.tick_params(axis="x", labelsize=8)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.legend(
        *all_axes[0, 0].get_legend_handles_labels(), frameon=False, fontsize=8, ncols=4, loc="outside lower left"
    )
    figure.savefig(path)
