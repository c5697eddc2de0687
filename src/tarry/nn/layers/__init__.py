"""Layers: see :mod:`tarry.nn`."""

from tarry.nn.layers.activations import *  # noqa: F403
from tarry.nn.layers.base import Module as Module
from tarry.nn.layers.containers import Sequential as Sequential
from tarry.nn.layers.dropout import Dropout as Dropout
from tarry.nn.layers.embedding import Embedding as Embedding
from tarry.nn.layers.linear import Bilinear as Bilinear
from tarry.nn.layers.linear import Identity as Identity
from tarry.nn.layers.linear import Linear as Linear
from tarry.nn.layers.normalization import LayerNorm as LayerNorm
from tarry.nn.layers.normalization import RMSNorm as RMSNorm
