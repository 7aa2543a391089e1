"""TensorBoard: the scalars of a measurement, the arrangement of the page, and the flow over training as a picture."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.files import replacing

CIVIDIS = np.array([[0, 32, 76], [87, 92, 109], [124, 123, 120], [188, 174, 108], [255, 234, 70]])
"""Five colors of the map that the color-blind see as others do; brightness rises evenly."""
DARKEST = 1e-3
"""The relative gradient that is drawn darkest."""
LAYER = "insight/{}/"


def scalars(row: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the scalars of a measurement with their tags."""
    for label, figures in row["layers"].items():
        at = LAYER.format(label)
        for lag, value in figures.get("flow", {}).items():
            yield f"{at}flow/lag_{lag}", value
        for gate, (above, below, stuck) in figures.get("gates", {}).items():
            yield f"{at}saturated/{gate.replace(' ', '_')}", above + below
            yield f"{at}stuck/{gate.replace(' ', '_')}", stuck
        exponents = figures.get("lyapunov")
        if exponents:
            yield f"{at}lyapunov", sum(exponents) / len(exponents)
        for name in ("memory_length", "input_length", "tanh", "relu", "dead", "state_norm", "gradient_norm"):
            if figures.get(name) is not None:
                yield at + name, figures[name]
        for name in ("clipped_gradient_norm", "update_ratio", "spectral_radius"):
            if figures.get(name) is not None:
                yield at + name, figures[name]
    if row.get("is_fresh"):
        for name in ("context", "carry_gain"):
            if row.get(name) is not None:
                yield f"insight/{name}_used" if name == "context" else f"insight/{name}", row[name]
    yield "insight/share_of_time", row["share_of_time"]


def save(folder: Path, figures: dict[str, Any]) -> None:
    """Write figures to `insight.json` in the run folder."""
    with replacing(folder / "insight.json") as part:
        part.write_text(json.dumps(figures, allow_nan=False) + "\n")


def layout(labels: Sequence[str], monitor: str) -> dict[str, dict[str, list[Any]]]:
    """Return the arrangement of the page `Custom Scalars`."""
    layers = {label: f"insight/{label}/" for label in labels}
    return {
        "Learning": {
            "loss": ["Multiline", sorted({"train/loss", "val/loss", monitor})],
            "learning rate": ["Multiline", ["train/learning_rate"]],
            "gradient norm": ["Multiline", ["train/gradient_norm", "train/clipped_share"]],
            "update of the weights": ["Multiline", [f"{at}update_ratio" for at in layers.values()]],
        },
        "Gradients in time": {f"{label}, by lag": ["Multiline", [f"{at}flow/.*"]] for label, at in layers.items()},
        "Memory": {
            "steps that the gradient reaches": ["Multiline", [f"{at}memory_length" for at in layers.values()]],
            "steps of context used": ["Multiline", ["insight/context_used"]],
            "Lyapunov exponent": ["Multiline", [f"{at}lyapunov" for at in layers.values()]],
        },
        "Gates": {f"{label}, saturated": ["Multiline", [f"{at}saturated/.*"]] for label, at in layers.items()},
        "Speed": {
            "steps of the data per second": ["Multiline", ["train/tokens_per_second"]],
            "share of insight": ["Multiline", ["insight/share_of_time"]],
        },
    }


def flow_picture(rows: Sequence[dict[str, Any]], label: str, most: int = 64) -> NDArray[np.uint8] | None:
    """Return the flow of a layer as pixels [height, width, 3]: to the right the measurements, down the lags 1, 2, 4.

    Bright is 1, the gradient at lag 1; dark is 0.001 or less. matplotlib would take longer than a measurement.
    """
    flows = [row["layers"][label]["flow"] for row in rows if row["layers"].get(label, {}).get("flow")][-most:]
    if len(flows) < 2:
        return None
    lags = max(flows, key=len)
    values = np.array([[flow.get(lag, math.nan) for flow in flows] for lag in lags], dtype=float)
    return colored(np.log(np.clip(np.nan_to_num(values), DARKEST, 1)) / -math.log(DARKEST) + 1)


def colored(shares: NDArray[np.float64], scale: int = 12) -> NDArray[np.uint8]:
    """Return numbers from 0 to 1 as pixels, each a square."""
    place = np.clip(shares, 0, 1) * (len(CIVIDIS) - 1)
    low = np.minimum(place.astype(int), len(CIVIDIS) - 2)
    weight = (place - low)[..., None]
    colors = (1 - weight) * CIVIDIS[low] + weight * CIVIDIS[low + 1]
    return np.ascontiguousarray(colors.round().astype(np.uint8).repeat(scale, 0).repeat(scale, 1))
