"""One step of a recurrence: one family per file, the equation in its docstring. Cells know torch and nothing else."""

from rnnkit.cells.base import Cell
from rnnkit.cells.elman import ElmanCell
from rnnkit.cells.gru import GRUCell
from rnnkit.cells.lstm import LSTMCell, LSTMState
from rnnkit.cells.state import map_state, state_leaves

__all__ = ["Cell", "ElmanCell", "GRUCell", "LSTMCell", "LSTMState", "map_state", "state_leaves"]
