"""Depth, direction and dropout over any cell. Layers know `Cell`, never which one."""

from rnnkit.layers.dropout import LockedDropout
from rnnkit.layers.rnn import RNN, BothDirections
from rnnkit.layers.word_dropout import WordDropout

__all__ = ["RNN", "BothDirections", "LockedDropout", "WordDropout"]
