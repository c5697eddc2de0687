"""One step of stochastic gradient descent of a 784-32-32-10 multi-layer perceptron at batch 256."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.libraries import JaxLibrary, Library, MlxLibrary, Unavailable
from benchmarks.workload import Bar, Program, Workload, generator

WIDTHS = (784, 32, 32, 10)
BATCH = 256
# Small enough for the loss to stay far from zero over thousands of steps.
RATE = 1e-3
CHECKED_STEPS = 3


class Data:
    """Weights (outputs, inputs), biases, a batch of images and their labels: the same in every process."""

    def __init__(self, quick: bool) -> None:
        random = generator("mlp")
        batch = 16 if quick else BATCH
        self.weights: list[np.ndarray] = []
        self.biases: list[np.ndarray] = []
        for inputs, outputs in itertools.pairwise(WIDTHS):
            weight = random.standard_normal((outputs, inputs)) / np.sqrt(inputs)
            self.weights.append(weight.astype(np.float32))
            self.biases.append(np.zeros(outputs, np.float32))
        self.images = random.random((batch, WIDTHS[0]), dtype=np.float32)
        self.labels = random.integers(0, WIDTHS[-1], batch)


class Perceptron(Workload):
    """The step as users write it: modules and optimizers in MLX's and torch's way, functions in JAX."""

    def program(self, library: Library, quick: bool) -> Program:
        data = Data(quick)
        if isinstance(library, MlxLibrary):
            step = mlx_step(library, data)
        elif library.family == "torch":
            step = torch_step(library, data)
        elif isinstance(library, JaxLibrary):
            step = jax_step(library, data)
        elif library.family == "numpy":
            step = numpy_step(data)
        else:
            raise Unavailable(f"{self.name} is not written for {library.name}")
        return Program(step, check=lambda: [step() for _ in range(CHECKED_STEPS)])


def mlx_step(library: MlxLibrary, data: Data) -> Callable[[], Any]:
    mx = library.module
    nn: Any = library.nn

    class Network(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Linear(*pair) for pair in itertools.pairwise(WIDTHS)]

        def __call__(self, x: Any) -> Any:
            for layer in self.layers[:-1]:
                x = nn.relu(layer(x))
            return self.layers[-1](x)

    model = Network()
    for layer, weight, bias in zip(model.layers, data.weights, data.biases):
        layer.weight, layer.bias = mx.array(weight), mx.array(bias)
    optimizer = library.optimizers.SGD(learning_rate=RATE)
    optimizer.init(model.parameters())
    mx.eval(model.parameters(), optimizer.state)
    loss_and_gradients = nn.value_and_grad(
        model, lambda x, y: nn.losses.cross_entropy(model(x), y, reduction="mean")
    )

    def step(images: Any, labels: Any) -> Any:
        loss, gradients = loss_and_gradients(images, labels)
        optimizer.update(model, gradients)
        return loss

    state = [model.state, optimizer.state]
    if library.compiled:
        step = mx.compile(step, inputs=state, outputs=state)
    images, labels = library.array(data.images), library.array(data.labels.astype(np.int32))

    def run() -> Any:
        loss = step(images, labels)
        mx.eval(loss, state)
        return loss

    return run


def torch_step(library: Library, data: Data) -> Callable[[], Any]:
    torch = library.module
    layers: list[Any] = []
    for weight, bias in zip(data.weights, data.biases):
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))
        layers += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    cross_entropy = torch.nn.functional.cross_entropy
    forward = library.compile(lambda x, y: cross_entropy(model(x), y))
    update = library.compile(optimizer.step)
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)

    def run() -> Any:
        optimizer.zero_grad()
        loss = forward(images, labels)
        loss.backward()
        update()
        return loss

    return run


def jax_step(library: JaxLibrary, data: Data) -> Callable[[], Any]:
    jax, jnp = library.jax, library.module
    parameters = [
        (library.array(weight), library.array(bias)) for weight, bias in zip(data.weights, data.biases)
    ]

    def loss_of(parameters: Any, x: Any, y: Any) -> Any:
        for weight, bias in parameters[:-1]:
            x = jax.nn.relu(x @ weight.T + bias)
        weight, bias = parameters[-1]
        logits = x @ weight.T + bias
        chosen = jnp.take_along_axis(logits, y[:, None], axis=-1)[:, 0]
        return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - chosen)

    def step(parameters: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x, y)
        return loss, jax.tree.map(lambda p, g: p - RATE * g, parameters, gradients)

    compiled = jax.jit(step, donate_argnums=0)
    images, labels = library.array(data.images), library.array(data.labels.astype(np.int32))

    def run() -> Any:
        nonlocal parameters
        loss, parameters = jax.block_until_ready(compiled(parameters, images, labels))
        return loss

    return run


def numpy_step(data: Data) -> Callable[[], Any]:
    """Back propagation by hand."""
    rows = np.arange(len(data.labels))

    def run() -> Any:
        values: list[np.ndarray] = [data.images]
        for weight, bias in zip(data.weights[:-1], data.biases[:-1]):
            values.append(np.maximum(values[-1] @ weight.T + bias, 0))
        logits = values[-1] @ data.weights[-1].T + data.biases[-1]
        shifted = logits - logits.max(axis=-1, keepdims=True)
        exponentials = np.exp(shifted)
        sums = exponentials.sum(axis=-1)
        loss = np.mean(np.log(sums) - shifted[rows, data.labels])
        cotangent = exponentials / sums[:, None]
        cotangent[rows, data.labels] -= 1
        descend(data, values, cotangent / np.float32(len(rows)))
        return loss

    return run


def descend(data: Data, values: Sequence[np.ndarray], cotangent: np.ndarray) -> None:
    """Propagate the cotangent of the logits back and update weights and biases in place."""
    for number in reversed(range(len(data.weights))):
        weight_gradient = cotangent.T @ values[number]
        bias_gradient = cotangent.sum(axis=0)
        if number > 0:
            cotangent = (cotangent @ data.weights[number]) * (values[number] > 0)
        data.weights[number] -= RATE * weight_gradient
        data.biases[number] -= RATE * bias_gradient


def workloads() -> list[Workload]:
    shape = "-".join(map(str, WIDTHS))
    plain = Perceptron(
        "mlp_step",
        f"one SGD step of a {shape} MLP, batch {BATCH}, uncompiled",
        "the same step in torch eager (nn.Sequential, optim.SGD)",
        [Bar("ratio", 0.9, ("torch",))],
    )
    compiled = Perceptron(
        "mlp_step_compiled",
        f"one SGD step of a {shape} MLP, batch {BATCH}, mx.compile",
        "the same step in jax.jit with donated parameters",
        [Bar("ratio", 0.9, ("jax",))],
    )
    compiled.ours = "tarry.compile"
    compiled.libraries = ("tarry.compile", "torch.compile", "jax")
    return [plain, compiled]
