"""Jointly normal numbers."""

from __future__ import annotations

from collections.abc import Sequence

from tarry.base.dtypes import Dtype, float32
from tarry.base.shapes import broadcast_shapes
from tarry.graph.array import array
from tarry.ops.arithmetic import add, multiply
from tarry.ops.elementwise import cast, constant, require_array
from tarry.ops.exponential import sqrt
from tarry.ops.generators import checked_dtype
from tarry.ops.linalg import svd
from tarry.ops.products import matmul
from tarry.ops.random_state import drawn_words
from tarry.ops.random_uniform import SQRT2, sample_shape, standard_normal
from tarry.ops.structure import reshaped
from tarry.ops.views import expand_dims
from tarry.runtime.devices import StreamLike, require_stream


def multivariate_normal(
    mean: array,
    cov: array,
    shape: Sequence[int] = (),
    dtype: Dtype | None = float32,
    key: array | None = None,
    stream: StreamLike = None,
) -> array:
    """Normal vectors with means (..., n) and covariance matrices (..., n, n), along the last axis.

    The other dimensions of both broadcast with `shape`. The matrices must be symmetric without negative
    eigenvalues; the draws are undefined for others. ValueError for another dtype than float32, a mean
    without and a covariance with less than two dimensions, and extents that do not fit.

    >>> cov = mx.array([[2.0, 0.5], [0.5, 1.0]])
    >>> mx.random.multivariate_normal(mx.zeros(2), cov, (5,), key=mx.random.key(3)).shape
    (5, 2)
    """
    if stream is not None:
        require_stream("multivariate_normal", stream)
    name = "multivariate_normal"
    center, spread = require_array(name, mean), require_array(name, cov)
    extents = sample_shape(name, shape)
    if checked_dtype(name, dtype, float32) is not float32:
        raise ValueError(f"[{name}] The dtype must be float32, but it is {dtype!r}.")
    if center.ndim < 1 or spread.ndim < 2:
        raise ValueError(
            f"[{name}] Expected a mean of shape (..., n) and a covariance of shape (..., n, n), but their "
            f"shapes are {center.shape} and {spread.shape}."
        )
    count = center.shape[-1]
    if spread.shape[-2:] != (count, count):
        raise ValueError(
            f"[{name}] A mean of {count} numbers needs a covariance of shape (..., {count}, {count}), but "
            f"its shape is {spread.shape}."
        )
    batch = broadcast_shapes(name, center.shape[:-1], spread.shape[:-2])
    extents = broadcast_shapes(name, extents, batch)
    words = drawn_words(name, key)
    normal = multiply(standard_normal(words, (*extents, count)), constant(SQRT2, float32))
    left, sizes, right = svd(cast(spread, float32))
    root = matmul(multiply(left, expand_dims(sqrt(sizes), -2)), right)
    # One vector times one matrix each where the matrices differ, else one product for all vectors.
    if spread.ndim > 2:
        drawn = reshaped(matmul(expand_dims(normal, -2), root), (*extents, count))
    else:
        drawn = matmul(normal, root)
    return add(drawn, cast(center, float32))
