"""A user's program, for type checkers. `test_user_program.py` compares what mypy reveals with the comments.

It is checked and never run.
"""

from functools import partial
from typing import Any, NamedTuple, reveal_type

import numpy as np

import tarry.core as mx
import tarry.nn as nn
import tarry.optimizers as optim
from tarry.core import linalg

x = mx.array([[1.0, 2.0], [3.0, 4.0]], dtype=mx.float32)

# arrays and their operators
reveal_type(x)  # array
reveal_type(x + 1)  # array
reveal_type(2.0 / x)  # array
reveal_type(x @ x.T)  # array
reveal_type(x > 0)  # array
reveal_type(x == 1.0)  # array
reveal_type(x != x)  # array
reveal_type(x == np.float32(1))  # array
reveal_type(x[0, ..., None])  # array
reveal_type(x.at[0].add(1.0))  # array
reveal_type(x.shape)  # tuple[int, ...]
reveal_type(x.dtype)  # Dtype
reveal_type(x.sum(axis=(0, 1), keepdims=True))  # array
reveal_type(x.cumsum(0, reverse=True))  # array
reveal_type(x.split(2))  # list[array]
reveal_type(len(x))  # int
reveal_type(float(x[0, 0]))  # float
reveal_type(list(x))  # list[array]
x[0] = 3
x += 1

# functions, also those that are imported when they are asked for
reveal_type(mx.where(x > 0, x, 0.0))  # array
reveal_type(mx.where(x > 0))  # tuple[array, ...]
reveal_type(mx.sort(x))  # array
reveal_type(mx.einsum("ij,jk->ik", x, x))  # array
reveal_type(mx.topk(x, 1))  # array
reveal_type(mx.average(x, axis=0))  # array
reveal_type(mx.random.normal((2, 3), dtype=mx.float16))  # array
reveal_type(mx.random.state[0])  # array
reveal_type(mx.fft.rfft(x))  # array
reveal_type(mx.linalg.svd(x, False))  # array
reveal_type(linalg.svd(x).S)  # array
reveal_type(linalg.svd(x)[0])  # array
reveal_type(linalg.qr(x))  # tuple[array, array]
reveal_type(mx.float32)  # Dtype
reveal_type(mx.finfo(mx.float32).eps)  # float
reveal_type(mx.get_peak_memory())  # int


# transforms keep the types of the functions they are given
def loss(weight: mx.array, batch: mx.array, scale: float = 1.0) -> mx.array:
    return mx.mean(mx.square(batch @ weight)) * scale


reveal_type(mx.value_and_grad(loss)(x, x)[0])  # array
reveal_type(mx.compile(loss)(x, x, scale=2.0))  # array
reveal_type(mx.vmap(loss)(x, x))  # array
reveal_type(mx.checkpoint(loss)(x, x))  # array
gradient: mx.array = mx.grad(loss)(x, x)


@mx.compile
def normalised(values: mx.array) -> tuple[mx.array, mx.array]:
    return values / mx.max(values), mx.mean(values)


reveal_type(normalised(x))  # tuple[array, array]


# a model and its training
class Network(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = [nn.Linear(2, width), nn.Linear(width, 2)]

    def __call__(self, values: mx.array) -> mx.array:
        return mx.softmax(self.layers[1](nn.relu(self.layers[0](values))), axis=-1)


class Batch(NamedTuple):
    values: mx.array
    labels: mx.array


network = Network(8)
optimizer = optim.Adam(learning_rate=1e-3)
state: list[Any] = [network.state, optimizer.state, mx.random.state]


def network_loss(batch: Batch) -> mx.array:
    return mx.mean(nn.losses.cross_entropy(network(batch.values), batch.labels))


@partial(mx.compile, inputs=state, outputs=state)
def train(batch: Batch) -> mx.array:
    value, gradients = nn.value_and_grad(network, network_loss)(batch)
    optimizer.update(network, gradients)
    return value


reveal_type(network(x))  # array
mx.eval(train(Batch(x, mx.array([0, 1]))), state)
mx.exp(x, stream=mx.cpu)
x.sum(stream=mx.default_stream(mx.cpu))
mx.zeros(2, device=mx.Device(mx.cpu))

# what a checker should refuse
mx.zeros("2")  # error: arg-type
mx.exp()  # error: call-arg
mx.sum(x, axes=0)  # error: call-arg
mx.sorted(x)  # error: attr-defined
mx.compile(loss)("x", x)  # error: arg-type
x.reshapes(4)  # error: attr-defined
mx.array([1], dtype="int8")  # error: arg-type
mx.exp(x, stream="cpu")  # error: arg-type
x.sum(stream=5)  # error: arg-type
mx.zeros(2, device="cpu")  # error: arg-type
