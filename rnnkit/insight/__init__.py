"""What a recurrent network does through time: gradients, memory, gates, dynamics and attribution.

Functions from tensors to tensors, without Lightning. They read any model that runs `rnnkit.scan` through
`rnnkit.observe` and change nothing. A `torch.nn.LSTM`, `GRU` or `RNN` is accepted in place of an `rnnkit.RNN`.

>>> import torch
>>> from rnnkit.insight import gradient_flow, memory_length
>>> flow = gradient_flow(torch.nn.GRU(3, 8, batch_first=True), torch.randn(4, 64, 3))
>>> memory_length(flow["cells.0"]).steps < 64
True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rnnkit.insight.attribution import Attribution, attribute
from rnnkit.insight.context import ContextUsed, context_used
from rnnkit.insight.exponents import lyapunov
from rnnkit.insight.flow import Flow, Length, gradient_flow, input_sensitivity, memory_length
from rnnkit.insight.jacobian import JacobianSpectrum, jacobian_spectrum, recurrent_radii
from rnnkit.insight.memory import Memory, memory_probe, probe_states
from rnnkit.insight.saturation import Gate, Saturation, saturation
from rnnkit.insight.units import Match, match_units

if TYPE_CHECKING:
    from rnnkit.insight.plots import plot_attribution as plot_attribution
    from rnnkit.insight.plots import plot_flow as plot_flow
    from rnnkit.insight.plots import plot_gates as plot_gates
    from rnnkit.insight.plots import plot_memory as plot_memory
    from rnnkit.insight.plots import plot_spectrum as plot_spectrum
    from rnnkit.insight.plots import plot_units as plot_units

PLOTS = ("plot_attribution", "plot_flow", "plot_gates", "plot_memory", "plot_spectrum", "plot_units")
__all__ = [
    "Attribution",
    "ContextUsed",
    "Flow",
    "Gate",
    "JacobianSpectrum",
    "Length",
    "Match",
    "Memory",
    "Saturation",
    "attribute",
    "context_used",
    "gradient_flow",
    "input_sensitivity",
    "jacobian_spectrum",
    "lyapunov",
    "match_units",
    "memory_length",
    "memory_probe",
    "plot_attribution",
    "plot_flow",
    "plot_gates",
    "plot_memory",
    "plot_spectrum",
    "plot_units",
    "probe_states",
    "recurrent_radii",
    "saturation",
]


def __getattr__(name: str) -> Any:
    if name in PLOTS:  # matplotlib is imported when something is drawn
        return getattr(import_module("rnnkit.insight.plots"), name)
    raise AttributeError(f"module 'rnnkit.insight' has no attribute {name!r}")
