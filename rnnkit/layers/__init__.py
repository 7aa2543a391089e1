"""Layers: depth, direction, dropout and pooling for any `Cell`."""

from rnnkit.layers.characters import CharCNN, CharRNN
from rnnkit.layers.crf import CRF
from rnnkit.layers.dropout import LockedDropout
from rnnkit.layers.named import GRU, LSTM
from rnnkit.layers.pooling import AttentionPooling, LastPooling, MaxPooling, MeanPooling
from rnnkit.layers.rnn import RNN
from rnnkit.layers.states import BothDirections
from rnnkit.layers.subsample import Subsample
from rnnkit.layers.window_scaling import WindowScaling
from rnnkit.layers.word_dropout import WordDropout
from rnnkit.tags import LegalTags, legal_tags

__all__ = [
    "CRF",
    "GRU",
    "LSTM",
    "RNN",
    "AttentionPooling",
    "BothDirections",
    "CharCNN",
    "CharRNN",
    "LastPooling",
    "LegalTags",
    "LockedDropout",
    "MaxPooling",
    "MeanPooling",
    "Subsample",
    "WindowScaling",
    "WordDropout",
    "legal_tags",
]
