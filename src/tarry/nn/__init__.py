"""Neural networks: modules, layers, activations, losses, initializers and gradients by parameters.

>>> import tarry.core as mx, tarry.nn as nn
>>> model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
>>> loss_and_gradients = nn.value_and_grad(model, lambda x, y: nn.losses.mse_loss(model(x), y))
"""

from tarry.nn import init as init
from tarry.nn import losses as losses
from tarry.nn.layers import *  # noqa: F403
from tarry.nn.utils import value_and_grad as value_and_grad
