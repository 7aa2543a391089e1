"""Steps with frozen weights for live sequences, whose states are records of bytes.

`freeze` compiles the step of a cell; where that is impossible, the step runs as calls of the cell.
"""

from rnnkit.engines.live.freezing import freeze
from rnnkit.engines.live.frozen import Frozen
from rnnkit.engines.live.layout import Layout

__all__ = ["Frozen", "Layout", "freeze"]
