"""Engines that run a cell over time. Each is one module, and all compute the same values and gradients."""

from rnnkit.engines.observe import ScanEvent, observe
from rnnkit.engines.policy import ENGINES
from rnnkit.engines.scanning import Explanation, explain, scan

__all__ = ["ENGINES", "Explanation", "ScanEvent", "explain", "observe", "scan"]
