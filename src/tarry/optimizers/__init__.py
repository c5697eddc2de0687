"""Optimizers, learning rate schedules and gradient clipping.

>>> import tarry.optimizers as optim
>>> optimizer = optim.Adam(learning_rate=optim.cosine_decay(1e-3, 1000))
"""

from tarry.optimizers.base import MultiOptimizer as MultiOptimizer
from tarry.optimizers.base import Optimizer as Optimizer
from tarry.optimizers.optimizers import SGD as SGD
from tarry.optimizers.optimizers import AdaDelta as AdaDelta
from tarry.optimizers.optimizers import Adagrad as Adagrad
from tarry.optimizers.optimizers import Adam as Adam
from tarry.optimizers.optimizers import Adamax as Adamax
from tarry.optimizers.optimizers import AdamW as AdamW
from tarry.optimizers.optimizers import Lion as Lion
from tarry.optimizers.optimizers import RMSprop as RMSprop
from tarry.optimizers.optimizers import clip_grad_norm as clip_grad_norm
from tarry.optimizers.schedulers import cosine_decay as cosine_decay
from tarry.optimizers.schedulers import exponential_decay as exponential_decay
from tarry.optimizers.schedulers import join_schedules as join_schedules
from tarry.optimizers.schedulers import linear_schedule as linear_schedule
from tarry.optimizers.schedulers import step_decay as step_decay
