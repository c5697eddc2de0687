"""The methods of an array that are public functions with the array as first argument: see those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tarry.base.dtypes import Dtype
from tarry.graph.arithmetic import Arithmetic
from tarry.graph.operators import operators
from tarry.runtime.devices import (
    Device,
    DeviceType,
    StreamLike,
    default_device,
    require_device,
    require_stream,
)

if TYPE_CHECKING:
    from tarry.graph.array import array

Axes = int | Sequence[int] | None
_EXTENT = 1 << 63


class Methods(Arithmetic):
    """See the top of this file."""

    __slots__ = ()

    # one element at a time

    def abs(self, *, stream: StreamLike = None) -> array:
        """Absolute values of each element. See `mx.abs`."""
        if stream is not None:
            require_stream("abs", stream)
        return operators.abs(self)

    def cos(self, *, stream: StreamLike = None) -> array:
        """Cosine of each element. See `mx.cos`."""
        if stream is not None:
            require_stream("cos", stream)
        return operators.cos(self)

    def exp(self, *, stream: StreamLike = None) -> array:
        """Exponential of each element. See `mx.exp`."""
        if stream is not None:
            require_stream("exp", stream)
        return operators.exp(self)

    def log(self, *, stream: StreamLike = None) -> array:
        """Natural logarithm of each element. See `mx.log`."""
        if stream is not None:
            require_stream("log", stream)
        return operators.log(self)

    def log10(self, *, stream: StreamLike = None) -> array:
        """Logarithm to base 10 of each element. See `mx.log10`."""
        if stream is not None:
            require_stream("log10", stream)
        return operators.log10(self)

    def log1p(self, *, stream: StreamLike = None) -> array:
        """Logarithm of 1 + x of each element. See `mx.log1p`."""
        if stream is not None:
            require_stream("log1p", stream)
        return operators.log1p(self)

    def log2(self, *, stream: StreamLike = None) -> array:
        """Logarithm to base 2 of each element. See `mx.log2`."""
        if stream is not None:
            require_stream("log2", stream)
        return operators.log2(self)

    def reciprocal(self, *, stream: StreamLike = None) -> array:
        """1 / x of each element. See `mx.reciprocal`."""
        if stream is not None:
            require_stream("reciprocal", stream)
        return operators.reciprocal(self)

    def rsqrt(self, *, stream: StreamLike = None) -> array:
        """1 / sqrt(x) of each element. See `mx.rsqrt`."""
        if stream is not None:
            require_stream("rsqrt", stream)
        return operators.rsqrt(self)

    def sin(self, *, stream: StreamLike = None) -> array:
        """Sine of each element. See `mx.sin`."""
        if stream is not None:
            require_stream("sin", stream)
        return operators.sin(self)

    def sqrt(self, *, stream: StreamLike = None) -> array:
        """Square root of each element. See `mx.sqrt`."""
        if stream is not None:
            require_stream("sqrt", stream)
        return operators.sqrt(self)

    def square(self, *, stream: StreamLike = None) -> array:
        """X * x of each element. See `mx.square`."""
        if stream is not None:
            require_stream("square", stream)
        return operators.square(self)

    def conj(self, *, stream: StreamLike = None) -> array:
        """Complex conjugate of each element. See `mx.conj`."""
        if stream is not None:
            require_stream("conj", stream)
        return operators.conjugate(self)

    def round(self, decimals: int = 0, *, stream: StreamLike = None) -> array:
        """Each element rounded to `decimals` places, halves to even. See `mx.round`."""
        if stream is not None:
            require_stream("round", stream)
        return operators.round(self, decimals)

    def astype(self, dtype: Dtype, stream: StreamLike = None) -> array:
        """The elements in another dtype. See `mx.astype`."""
        if stream is not None:
            require_stream("astype", stream)
        return operators.astype(self, dtype)

    @property
    def real(self) -> array:
        """The real parts. See `mx.real`."""
        return operators.real(self)

    @property
    def imag(self) -> array:
        """The imaginary parts. See `mx.imag`."""
        return operators.imag(self)

    # devices

    @property
    def device(self) -> Device:
        """The device the array is on: the CPU.

        Example:
            >>> mx.zeros(3).device
            Device(cpu, 0)
        """
        return default_device()

    def to_device(self, device: Device | DeviceType, /, *, stream: StreamLike = None) -> array:
        """The array on a device, which can only be where it is.

        Errors: TypeError for what is no device, ValueError for a GPU.

        Example:
            >>> mx.zeros(3).to_device(mx.cpu)
            array([0, 0, 0], dtype=float32)
        """
        if stream is not None:
            require_stream("to_device", stream)
        if device is None:
            raise TypeError("[to_device] Expected a Device or DeviceType, but got None.")
        require_device("to_device", device)
        return self.__copy__()

    # along axes

    def all(self, axis: Axes = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
        """Whether all elements along the axes are true. See `mx.all`."""
        if stream is not None:
            require_stream("all", stream)
        return operators.all(self, axis, keepdims)

    def any(self, axis: Axes = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
        """Whether an element along the axes is true. See `mx.any`."""
        if stream is not None:
            require_stream("any", stream)
        return operators.any(self, axis, keepdims)

    def logsumexp(self, axis: Axes = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
        """Logarithm of the sum of exponentials. See `mx.logsumexp`."""
        if stream is not None:
            require_stream("logsumexp", stream)
        return operators.logsumexp(self, axis, keepdims)

    def max(self, axis: Axes = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
        """The largest elements. See `mx.max`."""
        if stream is not None:
            require_stream("max", stream)
        return operators.max(self, axis, keepdims)

    def mean(self, axis: Axes = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
        """The means. See `mx.mean`."""
        if stream is not None:
            require_stream("mean", stream)
        return operators.mean(self, axis, keepdims)

    def min(self, axis: Axes = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
        """The smallest elements. See `mx.min`."""
        if stream is not None:
            require_stream("min", stream)
        return operators.min(self, axis, keepdims)

    def prod(self, axis: Axes = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
        """The products. See `mx.prod`."""
        if stream is not None:
            require_stream("prod", stream)
        return operators.prod(self, axis, keepdims)

    def sum(self, axis: Axes = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
        """The sums. See `mx.sum`."""
        if stream is not None:
            require_stream("sum", stream)
        return operators.sum(self, axis, keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
        """The positions of the largest elements. See `mx.argmax`."""
        if stream is not None:
            require_stream("argmax", stream)
        return operators.argmax(self, axis, keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False, *, stream: StreamLike = None) -> array:
        """The positions of the smallest elements. See `mx.argmin`."""
        if stream is not None:
            require_stream("argmin", stream)
        return operators.argmin(self, axis, keepdims)

    def std(
        self,
        axis: Axes = None,
        keepdims: bool = False,
        ddof: int = 0,
        *,
        correction: int | None = None,
        stream: StreamLike = None,
    ) -> array:
        """The standard deviations. See `mx.std`."""
        if stream is not None:
            require_stream("std", stream)
        return operators.std(self, axis, keepdims, ddof if correction is None else correction)

    def var(
        self,
        axis: Axes = None,
        keepdims: bool = False,
        ddof: int = 0,
        *,
        correction: int | None = None,
        stream: StreamLike = None,
    ) -> array:
        """The variances. See `mx.var`."""
        if stream is not None:
            require_stream("var", stream)
        return operators.var(self, axis, keepdims, ddof if correction is None else correction)

    def cumsum(
        self,
        axis: int | None = None,
        *,
        reverse: bool = False,
        inclusive: bool = True,
        stream: StreamLike = None,
    ) -> array:
        """The running sums along an axis. See `mx.cumsum`."""
        if stream is not None:
            require_stream("cumsum", stream)
        return operators.cumsum(self, axis, reverse=reverse, inclusive=inclusive)

    def cumprod(
        self,
        axis: int | None = None,
        *,
        reverse: bool = False,
        inclusive: bool = True,
        stream: StreamLike = None,
    ) -> array:
        """The running products along an axis. See `mx.cumprod`."""
        if stream is not None:
            require_stream("cumprod", stream)
        return operators.cumprod(self, axis, reverse=reverse, inclusive=inclusive)

    def cummax(
        self,
        axis: int | None = None,
        *,
        reverse: bool = False,
        inclusive: bool = True,
        stream: StreamLike = None,
    ) -> array:
        """The running maxima along an axis. See `mx.cummax`."""
        if stream is not None:
            require_stream("cummax", stream)
        return operators.cummax(self, axis, reverse=reverse, inclusive=inclusive)

    def cummin(
        self,
        axis: int | None = None,
        *,
        reverse: bool = False,
        inclusive: bool = True,
        stream: StreamLike = None,
    ) -> array:
        """The running minima along an axis. See `mx.cummin`."""
        if stream is not None:
            require_stream("cummin", stream)
        return operators.cummin(self, axis, reverse=reverse, inclusive=inclusive)

    def logcumsumexp(
        self,
        axis: int | None = None,
        *,
        reverse: bool = False,
        inclusive: bool = True,
        stream: StreamLike = None,
    ) -> array:
        """Logarithms of the running sums of exponentials. See `mx.logcumsumexp`."""
        if stream is not None:
            require_stream("logcumsumexp", stream)
        return operators.logcumsumexp(self, axis, reverse=reverse, inclusive=inclusive)

    # shape

    @property
    def T(self) -> array:
        """The array with its axes in reverse order: a view of the same dtype.

        Example:
            >>> mx.zeros((2, 3, 4)).T.shape
            (4, 3, 2)
        """
        return operators.transpose(self)

    @property
    def mT(self) -> array:
        """The array with its last two axes exchanged: (..., m, n) gives (..., n, m).

        Errors: ValueError for fewer than two dimensions.

        Example:
            >>> mx.zeros((2, 3, 4)).mT.shape
            (2, 4, 3)
        """
        if self.ndim < 2:
            raise ValueError(f"[mT] Expected at least 2 dimensions, but the array has {self.ndim}.")
        return operators.swapaxes(self, -1, -2)

    def reshape(self, *shape: Any, stream: StreamLike = None) -> array:
        """The elements in another shape, given as integers or one sequence. See `mx.reshape`.

        One extent may be -1 and follows from the others. Errors: ValueError for a shape of another size or
        none at all, RuntimeError for extents that are no integers.

        Example:
            >>> mx.arange(6).reshape(2, -1).shape, mx.arange(6).reshape([3, 2]).shape
            ((2, 3), (3, 2))
        """
        if stream is not None:
            require_stream("reshape", stream)
        if not shape:
            raise ValueError("[reshape] Expected a shape, but none was given.")
        return operators.reshape(self, _listed("reshape", shape))

    def transpose(self, *axes: Any, stream: StreamLike = None) -> array:
        """The array with its axes in another order, given as integers or one sequence. See `mx.transpose`.

        Without arguments their order is reversed. Errors: ValueError unless every axis occurs once,
        RuntimeError for axes that are no integers.

        Example:
            >>> mx.zeros((2, 3, 4)).transpose(1, 2, 0).shape
            (3, 4, 2)
        """
        if stream is not None:
            require_stream("transpose", stream)
        return operators.transpose(self, _listed("transpose", axes) if axes else None)

    def flatten(self, start_axis: int = 0, end_axis: int = -1, *, stream: StreamLike = None) -> array:
        """The axes from `start_axis` to `end_axis` as one. See `mx.flatten`."""
        if stream is not None:
            require_stream("flatten", stream)
        return operators.flatten(self, start_axis, end_axis)

    def squeeze(self, axis: Axes = None, *, stream: StreamLike = None) -> array:
        """The array without dimensions of extent 1. See `mx.squeeze`."""
        if stream is not None:
            require_stream("squeeze", stream)
        return operators.squeeze(self, axis)

    def swapaxes(self, axis1: int, axis2: int, *, stream: StreamLike = None) -> array:
        """The array with two axes exchanged. See `mx.swapaxes`."""
        if stream is not None:
            require_stream("swapaxes", stream)
        return operators.swapaxes(self, axis1, axis2)

    def moveaxis(self, source: int, destination: int, *, stream: StreamLike = None) -> array:
        """The array with one axis moved elsewhere. See `mx.moveaxis`."""
        if stream is not None:
            require_stream("moveaxis", stream)
        return operators.moveaxis(self, source, destination)

    def split(
        self, indices_or_sections: int | Sequence[int], axis: int = 0, *, stream: StreamLike = None
    ) -> list[array]:
        """The array cut into parts along an axis. See `mx.split`."""
        if stream is not None:
            require_stream("split", stream)
        return operators.split(self, indices_or_sections, axis)

    def diag(self, k: int = 0, *, stream: StreamLike = None) -> array:
        """The diagonal of a matrix, or the matrix of a diagonal. See `mx.diag`."""
        if stream is not None:
            require_stream("diag", stream)
        return operators.diag(self, k)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1, stream: StreamLike = None) -> array:
        """The diagonals over two axes. See `mx.diagonal`."""
        if stream is not None:
            require_stream("diagonal", stream)
        return operators.diagonal(self, offset, axis1, axis2)

    def view(self, dtype: Dtype, *, stream: StreamLike = None) -> array:
        """The bits of the elements read as another dtype. See `mx.view`."""
        if stream is not None:
            require_stream("view", stream)
        return operators.view(self, dtype)


def _listed(op: str, arguments: tuple[Any, ...]) -> Any:
    """The sequence given as the only argument, or all arguments. RuntimeError unless they are integers."""
    if len(arguments) == 1 and not isinstance(arguments[0], int):
        arguments = _items(arguments[0])
    for argument in arguments:
        if type(argument) is int and -_EXTENT <= argument < _EXTENT:
            continue
        if isinstance(argument, bool) or not isinstance(argument, (int, np.integer)):
            raise RuntimeError(f"[{op}] Expected integers, but got {argument!r} (std::bad_cast).")
        if not -_EXTENT <= argument < _EXTENT:
            raise RuntimeError(f"[{op}] The integer {argument} does not fit in 64 bits (std::bad_cast).")
    return arguments


def _items(sequence: Any) -> tuple[Any, ...]:
    """The items of a list, a tuple, a range or an array of one dimension; anything else is an item itself."""
    if isinstance(sequence, (list, tuple, range)):
        return tuple(sequence)
    values: Any = sequence
    if isinstance(sequence, (np.ndarray, Arithmetic)) and values.ndim == 1:
        return tuple(values.tolist())
    return (sequence,)
