"""Pictures of what the functions of this package return; they need matplotlib, the extra `viz`.

Each returns a `matplotlib.figure.Figure` that no window shows: `figure.savefig("flow.png")`. Lines differ in their
dashes as well as in their color, and maps are read in black and white too.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from rnnkit.errors import UserError
from rnnkit.insight.attribution import Attribution
from rnnkit.insight.flow import Flow
from rnnkit.insight.jacobian import JacobianSpectrum
from rnnkit.insight.memory import Memory
from rnnkit.insight.saturation import Saturation
from rnnkit.insight.units import ranked_units

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""The palette of Okabe and Ito, which the color-blind can tell apart."""
DASHES = ("-", "--", "-.", ":")


def plot_flow(flows: Mapping[str, Flow]) -> "Figure":
    """Draw the gradient by lag, relative to lag 1, of each layer; a line marks 1 %.

    >>> import torch
    >>> plot_flow({"layer 1": Flow(0.9 ** torch.arange(30.0)[None], reverse=False)}).axes[0].get_xlabel()
    'lag k (steps)'
    """
    figure, axes = _figure("Gradient flow through time")
    for (name, flow), style in zip(flows.items(), _styles(), strict=False):
        relative = flow.relative.clamp(min=1e-12).cpu().numpy()
        axes.plot(range(1, len(relative) + 1), relative, label=name, **style)
    axes.axhline(0.01, color="0.5", linewidth=1)
    axes.annotate("1 %", (1, 0.01), textcoords="offset points", xytext=(2, 3), color="0.3", fontsize=8)
    axes.set(xlabel="lag k (steps)", ylabel="gradient relative to lag 1", yscale="log", xscale="log")
    _legend(axes, len(flows))
    return figure


def plot_memory(memories: Mapping[str, Memory], unit: str = "R²") -> "Figure":
    """Draw how well earlier inputs are read from the state of each layer, and from the present input alone.

    >>> import torch
    >>> memory = Memory(torch.linspace(1, 0, 11), torch.zeros(11))
    >>> plot_memory({"layer 1": memory}).axes[0].get_xlabel()
    'lag k (steps)'
    """
    figure, axes = _figure("Inputs that can be read from the state")
    for (name, memory), style in zip(memories.items(), _styles(), strict=False):
        axes.plot(memory.state.cpu().numpy(), label=name, **style)
    if memories:
        current = next(iter(memories.values())).current.cpu().numpy()
        axes.plot(current, label="present input alone", color="0.6", linewidth=1)
    axes.axhline(0, color="0.8", linewidth=1)
    axes.set(xlabel="lag k (steps)", ylabel=f"{unit} on held-out rows", ylim=(-0.1, 1.05))
    _legend(axes, len(memories) + 1)
    return figure


def plot_spectrum(spectrum: JacobianSpectrum) -> "Figure":
    """Draw the eigenvalues of the Jacobians of a layer in the complex plane, with the unit circle.

    >>> import torch
    >>> spectrum = JacobianSpectrum(*torch.zeros(2, 1), torch.ones(1, 2), torch.tensor([[0.5 + 0.5j, 0.5 - 0.5j]]))
    >>> plot_spectrum(spectrum).axes[0].get_ylabel()
    'imaginary part'
    """
    figure, axes = _figure("Eigenvalues of the Jacobian of a step", width=4.5, height=4.2)
    values = spectrum.eigenvalues.flatten().cpu().numpy()
    angle = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(angle), np.sin(angle), color="0.6", linewidth=1, label="radius 1")
    axes.scatter(values.real, values.imag, s=10, color=COLORS[1], alpha=0.6, label=f"{len(spectrum.time)} steps")
    axes.set(xlabel="real part", ylabel="imaginary part", aspect="equal")
    _legend(axes, 2)
    return figure


def plot_gates(saturations: Mapping[str, Saturation]) -> "Figure":
    """Draw the shares of open, closed and stuck gates.

    >>> from rnnkit.insight.saturation import Gate
    >>> plot_gates({"layer 1": Saturation({"forget": Gate(0.2, 0.1, 0.0)}, 0.1, 0.0, 0.0, 1.0)}).axes[0].get_xlabel()
    'share of units and steps'
    """
    rows = [(f"{name} {gate}", shares) for name, one in saturations.items() for gate, shares in one.gates.items()]
    figure, axes = _figure("Saturated gates", height=1.4 + 0.4 * max(1, len(rows)))
    for offset, (label, field, hatch, color) in enumerate(
        [
            ("above 0.95", "open", "", COLORS[1]),
            ("below 0.05", "closed", "//", COLORS[5]),
            ("stuck units", "stuck", "xx", COLORS[2]),
        ]
    ):
        places = [index + 0.27 * (offset - 1) for index in range(len(rows))]
        shares = [getattr(gate, field) for _, gate in rows]
        axes.barh(places, shares, 0.25, label=label, hatch=hatch, color=color, edgecolor="white", linewidth=0)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    axes.set(xlabel="share of units and steps", xlim=(0, 1))
    _legend(axes, 3)
    return figure


def plot_units(
    values_TS: Tensor,
    names: Sequence[str],
    ticks: Sequence[str] | None = None,
    *,
    curve: Tensor | None = None,
    most: int = 20,
    title: str = "Units that explain most of the variance",
) -> "Figure":
    """Draw units over the steps of an input, as a map with a row for each; each is standardized.

    Args:
        values_TS: the values of S units over T steps.
        names: the names of the units.
        ticks: a label for each step, such as its character.
        curve: the input [T, C] of a series, drawn above.
        most: the number of units: those that explain most of the variance of all.
        title: the title.

    >>> import torch
    >>> plot_units(torch.randn(9, 4), ["a", "b", "c", "d"]).axes[0].get_xlabel()
    'step'
    """
    values_TS = values_TS.detach().cpu().double()
    chosen = ranked_units(values_TS, most)
    spread_S = values_TS.std(0, correction=0).clamp(min=1e-12)
    rows = ((values_TS - values_TS.mean(0)) / spread_S)[:, chosen].T.numpy()
    figure, axes = _figure(title, width=10, height=1.4 + 0.2 * len(chosen), above=curve is not None)
    image = axes.imshow(rows, aspect="auto", cmap="cividis", vmin=-2.5, vmax=2.5, interpolation="nearest")
    axes.set_yticks(range(len(chosen)), [names[index] for index in chosen], fontsize=7)
    _step_ticks(axes, ticks)
    figure.colorbar(image, ax=axes, label="standard deviations", pad=0.01)
    if curve is not None:
        above = figure.axes[0]
        above.plot(curve.cpu().numpy(), linewidth=1)
        above.set(xlim=(-0.5, len(rows[0]) - 0.5), ylabel="input")
    return figure


def plot_attribution(found: Attribution, row: int = 0, ticks: Sequence[str] | None = None) -> "Figure":
    """Draw the attribution of each step of a row, summed over the features.

    >>> import torch
    >>> found = Attribution(torch.randn(1, 9, 3), torch.ones(1), torch.zeros(1), 0.0, 64)
    >>> plot_attribution(found).axes[0].get_ylabel()
    'contribution to the score'
    """
    values = found.by_step[row].detach().cpu().numpy()
    figure, axes = _figure(
        f"Attribution: score {float(found.score[row]):.3g}, baseline {float(found.baseline_score[row]):.3g}",
        width=10,
        height=2.6,
    )
    above, below = values.clip(min=0), values.clip(max=0)
    axes.bar(range(len(values)), above, color=COLORS[1], label="raises the score")
    axes.bar(range(len(values)), below, color=COLORS[5], hatch="//", label="lowers it", edgecolor="white", linewidth=0)
    axes.axhline(0, color="0.6", linewidth=1)
    axes.set(ylabel="contribution to the score", xlim=(-0.5, len(values) - 0.5))
    _step_ticks(axes, ticks)
    _legend(axes, 2)
    return figure


def _figure(title: str, width: float = 6.4, height: float = 3.6, *, above: bool = False) -> tuple["Figure", "Axes"]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        fix = "pip install 'rnnkit[viz]'"
        raise UserError("matplotlib", "to be installed, for pictures", "no matplotlib", fix=fix) from error
    figure = Figure(figsize=(width, height + above), layout="constrained")
    if above:
        first, axes = figure.subplots(2, 1, height_ratios=[1, height])
        first.set_title(title, fontsize=10)
        return figure, axes
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    return figure, axes


def _styles() -> Any:
    return ({"color": color, "linestyle": dash} for color, dash in zip(cycle(COLORS), cycle(DASHES), strict=False))


def _legend(axes: "Axes", entries: int) -> None:
    if entries:
        axes.legend(fontsize=8, frameon=False)


def _step_ticks(axes: "Axes", ticks: Sequence[str] | None) -> None:
    axes.set_xlabel("step")
    if ticks is not None and len(ticks) <= 120:
        shown = [{"\n": "↵", " ": "·", "\t": "→"}.get(tick, tick) for tick in ticks]
        axes.set_xticks(range(len(ticks)), shown, fontsize=7, family="monospace")
