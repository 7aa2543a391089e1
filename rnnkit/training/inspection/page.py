"""The report as one HTML file: figures as inline SVG, a text whose characters show the units, no script, no network."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from rnnkit.training.insight.board import CIVIDIS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #111; }
table { border-collapse: collapse; margin: 0.5rem 0; } th, td { padding: 0.2rem 0.7rem; border: 1px solid #bbb; }
td { text-align: right; } td:first-child, th { text-align: left; } figure { margin: 1rem 0; }
.text { font-family: ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.7; }
.text span:hover { outline: 2px solid #000; } svg { max-width: 100%; height: auto; } .note { color: #444; }
h2 { border-bottom: 1px solid #bbb; margin-top: 2rem; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """Return an HTML page of some parts."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    body = "\n".join(parts)
    top = f"<h1>{escape(title)}</h1>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{top}\n{body}\n</body></html>\n'


def heading(text: str, explanation: str = "") -> str:
    """Return a heading with an explanation."""
    note = f'<p class="note">{escape(explanation)}</p>' if explanation else ""
    return f"<h2>{escape(text)}</h2>{note}"


def figure(drawn: "Figure") -> str:
    """Return a figure as inline SVG, with its text as text."""
    import matplotlib as mpl

    file = StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "rnnkit"}):
        drawn.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return f"<figure>{text[text.index('<svg') :]}</figure>"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a table."""
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th>{escape(str(name))}</th>" for name in rows[0])
    lines = ("".join(f"<td>{escape(shown(value))}</td>" for value in row.values()) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def shown(value: Any) -> str:
    """Return a value as it is printed in a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def colored_text(ticks: Sequence[str], values_T: Tensor, name: str) -> str:
    """Return a text whose background is the value of a unit; a tooltip names the step and the value."""
    values = values_T.double().numpy()
    low, high = np.quantile(values, [0.02, 0.98])
    places = np.clip((values - low) / max(1e-12, high - low), 0, 1) * (len(CIVIDIS) - 1)
    spans = []
    for step, (tick, value, place) in enumerate(zip(ticks, values, places, strict=False)):
        below = min(int(place), len(CIVIDIS) - 2)
        red, green, blue = (
            ((1 - place + below) * CIVIDIS[below] + (place - below) * CIVIDIS[below + 1]).round().astype(int)
        )
        ink = "#fff" if place < 0.5 * (len(CIVIDIS) - 1) else "#000"
        style = f"background:#{red:02x}{green:02x}{blue:02x};color:{ink}"
        text = escape(tick).replace("\n", "↵\n")
        spans.append(f'<span style="{style}" title="step {step}: {escape(name)} = {value:.3g}">{text}</span>')
    return f'<p class="text" aria-label="{escape(name)}">{"".join(spans)}</p>'
