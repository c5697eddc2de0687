"""Value and gradient of a small GPT: the same model, weights and tokens in every library.

Pre-norm decoder blocks (Radford et al. 2019): x + attention(norm(x)), then x + mlp(norm(x)), learned
positions, tanh-gelu, causal attention, mean cross-entropy of the next token.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.libraries import JaxLibrary, Library, Unavailable
from benchmarks.workload import Bar, Program, Workload, generator
from benchmarks.workloads.elementwise import gelu
from benchmarks.workloads.reductions import layer_norm_mx, layer_norm_numpy, layer_norm_torch

BLOCK_PARAMETERS = 12
RATE = 1e-3


class Sizes:
    """Of the model and its batch."""

    def __init__(self, quick: bool) -> None:
        self.layers = 2 if quick else 4
        self.width = 32 if quick else 256
        self.heads = 4 if quick else 8
        self.batch = 2 if quick else 8
        self.length = 12 if quick else 128
        self.vocabulary = 24 if quick else 256


def initial_parameters(sizes: Sizes) -> list[np.ndarray]:
    """Token and position tables; per block norm, qkv, projection, norm, two layers; final norm; head."""
    random = generator("gpt")
    width = sizes.width

    def normal(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) / math.sqrt(shape[-1])).astype(np.float32)

    def linear(inputs: int, outputs: int) -> list[np.ndarray]:
        return [normal(outputs, inputs), np.zeros(outputs, np.float32)]

    def norm() -> list[np.ndarray]:
        return [np.ones(width, np.float32), np.zeros(width, np.float32)]

    parameters = [normal(sizes.vocabulary, width), normal(sizes.length, width)]
    for _ in range(sizes.layers):
        parameters += norm() + linear(width, 3 * width) + linear(width, width)
        parameters += norm() + linear(width, 4 * width) + linear(4 * width, width)
    return parameters + norm() + [normal(sizes.vocabulary, width)]


def tokens(sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
    """Tokens (batch, length) and the tokens that follow each of them."""
    drawn = generator("tokens").integers(0, sizes.vocabulary, (sizes.batch, sizes.length + 1))
    return drawn[:, :-1], drawn[:, 1:]


class Operations:
    """What the libraries spell differently; everything else is operators and `reshape`."""

    def __init__(
        self,
        layer_norm: Callable[..., Any],
        gelu: Callable[..., Any],
        linear: Callable[..., Any],
        attention: Callable[..., Any],
        cross_entropy: Callable[..., Any],
    ) -> None:
        self.layer_norm = layer_norm
        self.gelu = gelu
        self.linear = linear
        self.attention = attention
        self.cross_entropy = cross_entropy


def loss_function(operations: Operations, sizes: Sizes) -> Callable[..., Any]:
    """`loss(parameters, tokens, targets)`, the mean cross-entropy in nats."""
    op = operations
    shape = (sizes.batch, sizes.length, sizes.heads, sizes.width // sizes.heads)

    def loss(parameters: Sequence[Any], sources: Any, targets: Any) -> Any:
        x = parameters[0][sources] + parameters[1]
        for layer in range(sizes.layers):
            start = 2 + layer * BLOCK_PARAMETERS
            p = parameters[start : start + BLOCK_PARAMETERS]
            qkv = op.linear(op.layer_norm(x, p[0], p[1]), p[2], p[3])
            parts = [qkv[..., n * sizes.width : (n + 1) * sizes.width].reshape(shape) for n in range(3)]
            mixed = op.attention(*[part.swapaxes(1, 2) for part in parts])
            mixed = mixed.swapaxes(1, 2).reshape((sizes.batch, sizes.length, sizes.width))
            x = x + op.linear(mixed, p[4], p[5])
            hidden = op.gelu(op.linear(op.layer_norm(x, p[6], p[7]), p[8], p[9]))
            x = x + op.linear(hidden, p[10], p[11])
        x = op.layer_norm(x, parameters[-3], parameters[-2])
        logits = (x @ parameters[-1].T).reshape((-1, sizes.vocabulary))
        return op.cross_entropy(logits, targets.reshape((-1,)))

    return loss


def mlx_operations(mx: Any, sizes: Sizes) -> Operations:
    """Plain formulas, and the fused functions of `mx.fast` where a library has them."""
    mask = mx.array(np.triu(np.full((sizes.length, sizes.length), -1e9, np.float32), 1))
    scale = 1 / math.sqrt(sizes.width // sizes.heads)
    fused = getattr(getattr(mx, "fast", None), "scaled_dot_product_attention", None)

    def attention(q: Any, k: Any, v: Any) -> Any:
        if fused is not None:
            return fused(q, k, v, scale=scale, mask="causal")
        scores = (q * scale) @ k.swapaxes(-1, -2) + mask
        return mx.softmax(scores, axis=-1) @ v

    def cross_entropy(logits: Any, targets: Any) -> Any:
        chosen = mx.squeeze(mx.take_along_axis(logits, targets[:, None], axis=-1), -1)
        return mx.mean(mx.logsumexp(logits, axis=-1) - chosen)

    return Operations(
        layer_norm_mx(mx), gelu(mx), lambda x, weight, bias: x @ weight.T + bias, attention, cross_entropy
    )


def torch_operations(torch: Any) -> Operations:
    functional = torch.nn.functional
    return Operations(
        layer_norm_torch(torch),
        lambda x: functional.gelu(x, approximate="tanh"),
        functional.linear,
        lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, is_causal=True),
        functional.cross_entropy,
    )


def jax_operations(library: JaxLibrary, sizes: Sizes) -> Operations:
    jax, jnp = library.jax, library.module
    mask = jnp.triu(jnp.full((sizes.length, sizes.length), -1e9, jnp.float32), 1)
    scale = 1 / math.sqrt(sizes.width // sizes.heads)

    def attention(q: Any, k: Any, v: Any) -> Any:
        return jax.nn.softmax((q * scale) @ k.swapaxes(-1, -2) + mask, axis=-1) @ v

    def cross_entropy(logits: Any, targets: Any) -> Any:
        chosen = jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
        return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - chosen)

    return Operations(
        layer_norm_numpy(jnp),
        gelu(jnp),
        lambda x, weight, bias: x @ weight.T + bias,
        attention,
        cross_entropy,
    )


def operations_of(library: Library, sizes: Sizes) -> Operations:
    if library.family == "mx":
        return mlx_operations(library.module, sizes)
    if library.family == "torch":
        return torch_operations(library.module)
    if isinstance(library, JaxLibrary):
        return jax_operations(library, sizes)
    raise Unavailable(f"the GPT is not written for {library.name}: it has no gradients")


class Transformer(Workload):
    """Loss and the gradient of every parameter; with `updates`, also the parameters after a step of SGD."""

    libraries = ("tarry", "torch", "torch.compile", "jax", "mlx")
    updates = False

    def flops(self) -> float | None:
        """Six operations per weight and token, and the four products of attention's two, three times."""
        sizes = Sizes(False)
        count = sizes.batch * sizes.length
        weights = sum(p.size for p in initial_parameters(sizes)[2:] if p.ndim == 2)
        attention = 4 * sizes.layers * sizes.length * sizes.width
        return float(count * (6 * weights + 3 * attention))

    def program(self, library: Library, quick: bool) -> Program:
        sizes = Sizes(quick)
        loss = loss_function(operations_of(library, sizes), sizes)
        sources, targets = tokens(sizes)
        # torch's cross-entropy takes 64-bit targets only.
        kind = np.int64 if library.family == "torch" else np.int32
        data = [library.array(sources.astype(kind)), library.array(targets.astype(kind))]
        parameters = [library.array(values) for values in initial_parameters(sizes)]
        if library.family == "torch":
            parameters = [parameter.requires_grad_() for parameter in parameters]
        if self.updates:
            return Program(sgd_step(library, loss, parameters, data))
        function = library.value_and_gradients(loss)
        return Program(lambda: function(parameters, data))


def sgd_step(
    library: Library, loss: Callable[..., Any], parameters: list[Any], data: list[Any]
) -> Callable[[], Any]:
    """One step of plain gradient descent that replaces the parameters; returns the loss before it."""
    if library.family == "torch":
        function = library.value_and_gradients(loss)
        torch = library.module

        def run_in_place() -> Any:
            value, gradients = function(parameters, data)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients):
                    parameter.sub_(gradient, alpha=RATE)
            return value

        return run_in_place
    differentiate = library.jax.value_and_grad if isinstance(library, JaxLibrary) else None
    if differentiate is None:
        differentiate = library.module.value_and_grad
    value_and_gradients = differentiate(loss)

    def step(parameters: Any, sources: Any, targets: Any) -> Any:
        value, gradients = value_and_gradients(parameters, sources, targets)
        return value, [p - RATE * g for p, g in zip(parameters, gradients)]

    compiled = library.compile(step)

    def run() -> Any:
        nonlocal parameters
        value, parameters = library.wait(compiled(parameters, *data))
        return value

    return run


def training_step() -> Workload:
    """The step whose compile time and memory are measured; not listed by itself."""
    step = Transformer("gpt_step", "GPT, one step of SGD", "the same step", [])
    step.updates = True
    return step


def workloads() -> list[Workload]:
    sizes = Sizes(False)
    title = (
        f"value and gradient of a GPT, {sizes.layers} layers, width {sizes.width}, {sizes.heads} heads, "
        f"{sizes.batch} x {sizes.length} tokens"
    )
    against = "the same model in torch.compile (scaled_dot_product_attention) and jax.jit"
    return [Transformer("gpt", title, against, [Bar("ratio", 0.9, ("torch.compile",)), Bar("ratio", 1.0)])]
