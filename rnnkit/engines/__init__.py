"""A cell over time. Each engine is one module; all of them agree, in values and in gradients."""

from rnnkit.engines.observe import ScanEvent, observe
from rnnkit.engines.policy import ENGINES
from rnnkit.engines.scanning import Explanation, explain, scan

__all__ = ["ENGINES", "Explanation", "ScanEvent", "explain", "observe", "scan"]
