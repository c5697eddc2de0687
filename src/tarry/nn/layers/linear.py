"""Layers that are (almost) nothing but a linear map."""

from __future__ import annotations

import math
from typing import Any

import tarry.core as mx
from tarry.core._libraries import recorded_once
from tarry.nn.layers.base import Module

__all__ = ["Bilinear", "Identity", "Linear"]


class Identity(Module):
    """Gives its input back. All constructor arguments are ignored, so it can stand in for any layer.

    >>> Identity(3, bias=False)("anything")
    'anything'
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def __call__(self, x: mx.array) -> mx.array:
        return x


class Linear(Module):
    """Affine map of the last axis: ``y = x W^T + b``, from shape (..., input_dims) to (..., output_dims).

    ``weight`` has shape (output_dims, input_dims) and ``bias`` (output_dims,). Both are drawn, in this order,
    from the uniform distribution between -s and s with s = 1 / sqrt(input_dims). Raises ValueError for an
    input whose last axis is not ``input_dims``.

        >>> Linear(3, 2)(mx.ones((4, 3))).shape
        (4, 2)
    """

    def __init__(self, input_dims: int, output_dims: int, bias: bool = True) -> None:
        super().__init__()
        _check_dimensions("Linear", input_dims=input_dims)
        limit = math.sqrt(1.0 / input_dims)
        self.weight = mx.random.uniform(low=-limit, high=limit, shape=(output_dims, input_dims))
        if bias:
            self.bias = mx.random.uniform(low=-limit, high=limit, shape=(output_dims,))

    def _extra_repr(self) -> str:
        output_dims, input_dims = self.weight.shape
        return f"input_dims={input_dims}, output_dims={output_dims}, bias={'bias' in self}"

    def __call__(self, x: mx.array) -> mx.array:
        return _affine(x, self["weight"], self["bias"]) if "bias" in self else _linear(x, self["weight"])


@recorded_once
def _linear(x: mx.array, weight: mx.array) -> mx.array:
    return x @ weight.T


@recorded_once
def _affine(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
    return x @ weight.T + bias


class Bilinear(Module):
    """Bilinear map of two inputs: ``y_o = x1^T W_o x2 + b_o``.

    The inputs have shapes (..., input1_dims) and (..., input2_dims) with the same leading axes; ``weight``
    has shape (output_dims, input2_dims, input1_dims). Drawn like :class:`Linear`, with s = 1 /
    sqrt(input1_dims).

        >>> Bilinear(3, 4, 2)(mx.ones((5, 3)), mx.ones((5, 4))).shape
        (5, 2)
    """

    def __init__(self, input1_dims: int, input2_dims: int, output_dims: int, bias: bool = True) -> None:
        super().__init__()
        _check_dimensions("Bilinear", input1_dims=input1_dims)
        limit = math.sqrt(1.0 / input1_dims)
        shape = (output_dims, input2_dims, input1_dims)
        self.weight = mx.random.uniform(low=-limit, high=limit, shape=shape)
        if bias:
            self.bias = mx.random.uniform(low=-limit, high=limit, shape=(output_dims,))

    def _extra_repr(self) -> str:
        output_dims, input2_dims, input1_dims = self.weight.shape
        return (
            f"input1_dims={input1_dims}, input2_dims={input2_dims}, output_dims={output_dims}, "
            f"bias={'bias' in self}"
        )

    def __call__(self, x1: mx.array, x2: mx.array) -> mx.array:
        output_dims, input2_dims, input1_dims = self.weight.shape
        leading = x1.shape[:-1]
        rows1 = x1.reshape(-1, input1_dims)
        rows2 = x2.reshape(-1, 1, input2_dims)
        projected = (rows1 @ self.weight.reshape(output_dims * input2_dims, input1_dims).T).reshape(
            -1, output_dims, input2_dims
        )
        y = (projected * rows2).sum(axis=-1).reshape(*leading, output_dims)
        return y + self["bias"] if "bias" in self else y


def _check_dimensions(layer: str, **dimensions: int) -> None:
    for name, value in dimensions.items():
        if value < 1:
            raise ValueError(f"[{layer}] {name} must be at least 1, got {value}.")
