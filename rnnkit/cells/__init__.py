"""Cells: one step of a recurrence, one family per file, with the equation in its docstring. Cells depend on torch
only.
"""

from rnnkit.cells.antisymmetric import AntisymmetricCell
from rnnkit.cells.base import Cell
from rnnkit.cells.cfc import CfCCell
from rnnkit.cells.cornn import CoRNNCell, CoRNNState
from rnnkit.cells.coupled import CoupledLSTMCell
from rnnkit.cells.elman import ElmanCell
from rnnkit.cells.factory import wrapped
from rnnkit.cells.gru import GRUCell
from rnnkit.cells.indrnn import IndRNNCell
from rnnkit.cells.layer_norm import LayerNormGRUCell, LayerNormLSTMCell
from rnnkit.cells.learned_initial import LearnedInitialState
from rnnkit.cells.lem import LEMCell, LEMState
from rnnkit.cells.ligru import LiGRUCell
from rnnkit.cells.linear import LinearCell
from rnnkit.cells.lru import LRUCell
from rnnkit.cells.lstm import LSTMCell, LSTMState
from rnnkit.cells.mgu import MGUCell
from rnnkit.cells.min_rnn import MinGRUCell, MinLSTMCell
from rnnkit.cells.peephole import PeepholeLSTMCell
from rnnkit.cells.qrnn import QRNNCell
from rnnkit.cells.residual import Residual
from rnnkit.cells.rg_lru import RGLRUCell
from rnnkit.cells.slstm import SLSTMCell, SLSTMState
from rnnkit.cells.sru import SRUCell
from rnnkit.cells.stack import Stack
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.cells.variational import VariationalDropout, VariationalMasks
from rnnkit.cells.weight_drop import WeightDrop
from rnnkit.cells.wrapper import Wrapper
from rnnkit.cells.zoneout import Zoneout

__all__ = [
    "AntisymmetricCell",
    "Cell",
    "CfCCell",
    "CoRNNCell",
    "CoRNNState",
    "CoupledLSTMCell",
    "ElmanCell",
    "GRUCell",
    "IndRNNCell",
    "LEMCell",
    "LEMState",
    "LRUCell",
    "LSTMCell",
    "LSTMState",
    "LayerNormGRUCell",
    "LayerNormLSTMCell",
    "LearnedInitialState",
    "LiGRUCell",
    "LinearCell",
    "MGUCell",
    "MinGRUCell",
    "MinLSTMCell",
    "PeepholeLSTMCell",
    "QRNNCell",
    "RGLRUCell",
    "Residual",
    "SLSTMCell",
    "SLSTMState",
    "SRUCell",
    "Stack",
    "VariationalDropout",
    "VariationalMasks",
    "WeightDrop",
    "Wrapper",
    "Zoneout",
    "map_state",
    "state_leaves",
    "wrapped",
]
