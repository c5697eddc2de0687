"""The methods of an array that are public functions with the array as first argument: see those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tarry.base.dtypes import Dtype
from tarry.graph.arithmetic import Arithmetic
from tarry.graph.operators import operators
from tarry.runtime.devices import Device, default_device, require_device

if TYPE_CHECKING:
    from tarry.graph.array import array

Axes = int | Sequence[int] | None


class Methods(Arithmetic):
    """See the top of this file."""

    __slots__ = ()

    # one element at a time

    def abs(self, *, stream: object = None) -> array:
        """Absolute values of each element."""
        return operators.abs(self)

    def cos(self, *, stream: object = None) -> array:
        """Cosine of each element."""
        return operators.cos(self)

    def exp(self, *, stream: object = None) -> array:
        """Exponential of each element."""
        return operators.exp(self)

    def log(self, *, stream: object = None) -> array:
        """Natural logarithm of each element."""
        return operators.log(self)

    def log10(self, *, stream: object = None) -> array:
        """Logarithm to base 10 of each element."""
        return operators.log10(self)

    def log1p(self, *, stream: object = None) -> array:
        """Logarithm of 1 + x of each element."""
        return operators.log1p(self)

    def log2(self, *, stream: object = None) -> array:
        """Logarithm to base 2 of each element."""
        return operators.log2(self)

    def reciprocal(self, *, stream: object = None) -> array:
        """1 / x of each element."""
        return operators.reciprocal(self)

    def rsqrt(self, *, stream: object = None) -> array:
        """1 / sqrt(x) of each element."""
        return operators.rsqrt(self)

    def sin(self, *, stream: object = None) -> array:
        """Sine of each element."""
        return operators.sin(self)

    def sqrt(self, *, stream: object = None) -> array:
        """Square root of each element."""
        return operators.sqrt(self)

    def square(self, *, stream: object = None) -> array:
        """X * x of each element."""
        return operators.square(self)

    def conj(self, *, stream: object = None) -> array:
        """Complex conjugate of each element."""
        return operators.conjugate(self)

    def round(self, decimals: int = 0, *, stream: object = None) -> array:
        """Each element rounded to `decimals` places, halves to even."""
        return operators.round(self, decimals)

    def astype(self, dtype: Dtype, stream: object = None) -> array:
        """The elements in another dtype."""
        return operators.astype(self, dtype)

    @property
    def real(self) -> array:
        """The real parts."""
        return operators.real(self)

    @property
    def imag(self) -> array:
        """The imaginary parts."""
        return operators.imag(self)

    # devices

    @property
    def device(self) -> Device:
        """The device the array is on: the CPU."""
        return default_device()

    def to_device(self, device: object, /, *, stream: object = None) -> array:
        """The array on a device, which can only be where it is. ValueError for a GPU."""
        if device is None:
            raise TypeError("[to_device] Expected a Device or DeviceType, but got None.")
        require_device("to_device", device)
        return self.__copy__()

    # along axes

    def all(self, axis: Axes = None, keepdims: bool = False, *, stream: object = None) -> array:
        """Whether all elements along the axes are true."""
        return operators.all(self, axis, keepdims)

    def any(self, axis: Axes = None, keepdims: bool = False, *, stream: object = None) -> array:
        """Whether an element along the axes is true."""
        return operators.any(self, axis, keepdims)

    def logsumexp(self, axis: Axes = None, keepdims: bool = False, *, stream: object = None) -> array:
        """Logarithm of the sum of exponentials."""
        return operators.logsumexp(self, axis, keepdims)

    def max(self, axis: Axes = None, keepdims: bool = False, *, stream: object = None) -> array:
        """The largest elements."""
        return operators.max(self, axis, keepdims)

    def mean(self, axis: Axes = None, keepdims: bool = False, *, stream: object = None) -> array:
        """The means."""
        return operators.mean(self, axis, keepdims)

    def min(self, axis: Axes = None, keepdims: bool = False, *, stream: object = None) -> array:
        """The smallest elements."""
        return operators.min(self, axis, keepdims)

    def prod(self, axis: Axes = None, keepdims: bool = False, *, stream: object = None) -> array:
        """The products."""
        return operators.prod(self, axis, keepdims)

    def sum(self, axis: Axes = None, keepdims: bool = False, *, stream: object = None) -> array:
        """The sums."""
        return operators.sum(self, axis, keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False, *, stream: object = None) -> array:
        """The positions of the largest elements."""
        return operators.argmax(self, axis, keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False, *, stream: object = None) -> array:
        """The positions of the smallest elements."""
        return operators.argmin(self, axis, keepdims)

    def std(
        self,
        axis: Axes = None,
        keepdims: bool = False,
        ddof: int = 0,
        *,
        correction: int | None = None,
        stream: object = None,
    ) -> array:
        """The standard deviations."""
        return operators.std(self, axis, keepdims, ddof if correction is None else correction)

    def var(
        self,
        axis: Axes = None,
        keepdims: bool = False,
        ddof: int = 0,
        *,
        correction: int | None = None,
        stream: object = None,
    ) -> array:
        """The variances."""
        return operators.var(self, axis, keepdims, ddof if correction is None else correction)

    def cumsum(
        self, axis: int | None = None, *, reverse: bool = False, inclusive: bool = True, stream: object = None
    ) -> array:
        """The running sums along an axis."""
        return operators.cumsum(self, axis, reverse=reverse, inclusive=inclusive)

    def cumprod(
        self, axis: int | None = None, *, reverse: bool = False, inclusive: bool = True, stream: object = None
    ) -> array:
        """The running products along an axis."""
        return operators.cumprod(self, axis, reverse=reverse, inclusive=inclusive)

    def cummax(
        self, axis: int | None = None, *, reverse: bool = False, inclusive: bool = True, stream: object = None
    ) -> array:
        """The running maxima along an axis."""
        return operators.cummax(self, axis, reverse=reverse, inclusive=inclusive)

    def cummin(
        self, axis: int | None = None, *, reverse: bool = False, inclusive: bool = True, stream: object = None
    ) -> array:
        """The running minima along an axis."""
        return operators.cummin(self, axis, reverse=reverse, inclusive=inclusive)

    def logcumsumexp(
        self, axis: int | None = None, *, reverse: bool = False, inclusive: bool = True, stream: object = None
    ) -> array:
        """Logarithms of the running sums of exponentials."""
        return operators.logcumsumexp(self, axis, reverse=reverse, inclusive=inclusive)

    # shape

    @property
    def T(self) -> array:
        """The array with its axes in reverse order."""
        return operators.transpose(self)

    @property
    def mT(self) -> array:
        """The array with its last two axes exchanged; ValueError for fewer than two dimensions."""
        if self.ndim < 2:
            raise ValueError(f"[mT] Expected at least 2 dimensions, but the array has {self.ndim}.")
        return operators.swapaxes(self, -1, -2)

    def reshape(self, *shape: Any, stream: object = None) -> array:
        """The elements in another shape, given as integers or one sequence."""
        if not shape:
            raise ValueError("[reshape] Expected a shape, but none was given.")
        return operators.reshape(self, _listed("reshape", shape))

    def transpose(self, *axes: Any, stream: object = None) -> array:
        """The array with its axes in another order, given as integers or one sequence; none reverses."""
        return operators.transpose(self, _listed("transpose", axes) if axes else None)

    def flatten(self, start_axis: int = 0, end_axis: int = -1, *, stream: object = None) -> array:
        """The axes from `start_axis` to `end_axis` as one."""
        return operators.flatten(self, start_axis, end_axis)

    def squeeze(self, axis: Axes = None, *, stream: object = None) -> array:
        """The array without dimensions of extent 1."""
        return operators.squeeze(self, axis)

    def swapaxes(self, axis1: int, axis2: int, *, stream: object = None) -> array:
        """The array with two axes exchanged."""
        return operators.swapaxes(self, axis1, axis2)

    def moveaxis(self, source: int, destination: int, *, stream: object = None) -> array:
        """The array with one axis moved elsewhere."""
        return operators.moveaxis(self, source, destination)

    def split(
        self, indices_or_sections: int | Sequence[int], axis: int = 0, *, stream: object = None
    ) -> list[array]:
        """The array cut into parts along an axis."""
        return operators.split(self, indices_or_sections, axis)

    def diag(self, k: int = 0, *, stream: object = None) -> array:
        """The diagonal of a matrix, or the matrix of a diagonal."""
        return operators.diag(self, k)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1, stream: object = None) -> array:
        """The diagonals over two axes."""
        return operators.diagonal(self, offset, axis1, axis2)

    def view(self, dtype: Dtype, *, stream: object = None) -> array:
        """The bits of the elements read as another dtype."""
        return operators.view(self, dtype)


def _listed(op: str, arguments: tuple[Any, ...]) -> Any:
    """The sequence given as the only argument, or all arguments. RuntimeError unless they are integers."""
    if len(arguments) == 1 and isinstance(arguments[0], (list, tuple)):
        arguments = tuple(arguments[0])
    for argument in arguments:
        if isinstance(argument, bool) or not isinstance(argument, (int, np.integer)):
            raise RuntimeError(f"[{op}] Expected integers, but got {argument!r} (std::bad_cast).")
    return arguments
