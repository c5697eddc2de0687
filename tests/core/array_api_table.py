"""The Python array API standard 2024.12 as tables: signatures, and calls with the dtypes they give."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from typing import Any

# What the standard says each function takes, "/" and "*" included.
SIGNATURES = """
arange(start, /, stop=None, step=1, *, dtype=None, device=None)
asarray(obj, /, *, dtype=None, device=None, copy=None)
empty(shape, *, dtype=None, device=None)
empty_like(x, /, *, dtype=None, device=None)
eye(n_rows, n_cols=None, /, *, k=0, dtype=None, device=None)
from_dlpack(x, /, *, device=None, copy=None)
full(shape, fill_value, *, dtype=None, device=None)
full_like(x, /, fill_value, *, dtype=None, device=None)
linspace(start, stop, /, num, *, dtype=None, device=None, endpoint=True)
meshgrid(*arrays, indexing="xy")
ones(shape, *, dtype=None, device=None)
ones_like(x, /, *, dtype=None, device=None)
tril(x, /, *, k=0)
triu(x, /, *, k=0)
zeros(shape, *, dtype=None, device=None)
zeros_like(x, /, *, dtype=None, device=None)

astype(x, dtype, /, *, copy=True, device=None)
can_cast(from_, to, /)
finfo(type, /)
iinfo(type, /)
isdtype(dtype, kind)
result_type(*arrays_and_dtypes)

take(x, indices, /, *, axis=None)
take_along_axis(x, indices, /, *, axis=-1)
__array_namespace_info__()

matmul(x1, x2, /)
matrix_transpose(x, /)
tensordot(x1, x2, /, *, axes=2)
vecdot(x1, x2, /, *, axis=-1)

broadcast_arrays(*arrays)
broadcast_to(x, /, shape)
concat(arrays, /, *, axis=0)
expand_dims(x, /, *, axis=0)
flip(x, /, *, axis=None)
moveaxis(x, source, destination, /)
permute_dims(x, /, axes)
repeat(x, repeats, /, *, axis=None)
reshape(x, /, shape, *, copy=None)
roll(x, /, shift, *, axis=None)
squeeze(x, /, axis)
stack(arrays, /, *, axis=0)
tile(x, repetitions, /)
unstack(x, /, *, axis=0)

argmax(x, /, *, axis=None, keepdims=False)
argmin(x, /, *, axis=None, keepdims=False)
count_nonzero(x, /, *, axis=None, keepdims=False)
nonzero(x, /)
searchsorted(x1, x2, /, *, side="left", sorter=None)
where(condition, x1, x2, /)
unique_all(x, /)
unique_counts(x, /)
unique_inverse(x, /)
unique_values(x, /)
argsort(x, /, *, axis=-1, descending=False, stable=True)
sort(x, /, *, axis=-1, descending=False, stable=True)

cumulative_prod(x, /, *, axis=None, dtype=None, include_initial=False)
cumulative_sum(x, /, *, axis=None, dtype=None, include_initial=False)
max(x, /, *, axis=None, keepdims=False)
mean(x, /, *, axis=None, keepdims=False)
min(x, /, *, axis=None, keepdims=False)
prod(x, /, *, axis=None, dtype=None, keepdims=False)
std(x, /, *, axis=None, correction=0.0, keepdims=False)
sum(x, /, *, axis=None, dtype=None, keepdims=False)
var(x, /, *, axis=None, correction=0.0, keepdims=False)
all(x, /, *, axis=None, keepdims=False)
any(x, /, *, axis=None, keepdims=False)
diff(x, /, *, axis=-1, n=1, prepend=None, append=None)
clip(x, /, min=None, max=None)

linalg.cholesky(x, /, *, upper=False)
linalg.cross(x1, x2, /, *, axis=-1)
linalg.det(x, /)
linalg.diagonal(x, /, *, offset=0)
linalg.eigh(x, /)
linalg.eigvalsh(x, /)
linalg.inv(x, /)
linalg.matmul(x1, x2, /)
linalg.matrix_norm(x, /, *, keepdims=False, ord="fro")
linalg.matrix_power(x, n, /)
linalg.matrix_rank(x, /, *, rtol=None)
linalg.matrix_transpose(x, /)
linalg.outer(x1, x2, /)
linalg.pinv(x, /, *, rtol=None)
linalg.qr(x, /, *, mode="reduced")
linalg.slogdet(x, /)
linalg.solve(x1, x2, /)
linalg.svd(x, /, *, full_matrices=True)
linalg.svdvals(x, /)
linalg.tensordot(x1, x2, /, *, axes=2)
linalg.trace(x, /, *, offset=0, dtype=None)
linalg.vecdot(x1, x2, /, *, axis=-1)
linalg.vector_norm(x, /, *, axis=None, keepdims=False, ord=2)

fft.fft(x, /, *, n=None, axis=-1, norm="backward")
fft.ifft(x, /, *, n=None, axis=-1, norm="backward")
fft.fftn(x, /, *, s=None, axes=None, norm="backward")
fft.ifftn(x, /, *, s=None, axes=None, norm="backward")
fft.rfft(x, /, *, n=None, axis=-1, norm="backward")
fft.irfft(x, /, *, n=None, axis=-1, norm="backward")
fft.rfftn(x, /, *, s=None, axes=None, norm="backward")
fft.irfftn(x, /, *, s=None, axes=None, norm="backward")
fft.hfft(x, /, *, n=None, axis=-1, norm="backward")
fft.ihfft(x, /, *, n=None, axis=-1, norm="backward")
fft.fftfreq(n, /, *, d=1.0, dtype=None, device=None)
fft.rfftfreq(n, /, *, d=1.0, dtype=None, device=None)
fft.fftshift(x, /, *, axes=None)
fft.ifftshift(x, /, *, axes=None)
"""

# Functions of each element: name, the dtypes of operands (b, i, u, f, c), and the dtype of the result.
UNARY = """
abs iufc real; acos fc same; acosh fc same; asin fc same; asinh fc same; atan fc same; atanh fc same
bitwise_invert biu same; ceil iuf same; conj iufc same; cos fc same; cosh fc same; exp fc same
expm1 fc same; floor iuf same; imag c real; isfinite iufc bool; isinf iufc bool; isnan iufc bool
log fc same; log1p fc same; log2 fc same; log10 fc same; logical_not b bool; negative iufc same
positive iufc same; real iufc real; reciprocal fc same; round iufc same; sign iufc same; signbit f bool
sin fc same; sinh fc same; square iufc same; sqrt fc same; tan fc same; tanh fc same; trunc iuf same
"""
BINARY = """
add iufc same; atan2 f same; bitwise_and biu same; bitwise_left_shift iu same; bitwise_or biu same
bitwise_right_shift iu same; bitwise_xor biu same; copysign f same; divide fc same; equal biufc bool
floor_divide iuf same; greater iuf bool; greater_equal iuf bool; hypot f same; less iuf bool
less_equal iuf bool; logaddexp f same; logical_and b bool; logical_or b bool; logical_xor b bool
maximum iuf same; minimum iuf same; multiply iufc same; nextafter f same; not_equal biufc bool
pow iufc same; remainder iuf same; subtract iufc same
"""
# The operators of arrays: a method, its reflected and its in-place form for one, and the dtypes of operands.
OPERATORS = """
+ iufc same; - iufc same; * iufc same; / fc same; // iuf same; % iuf same; ** iufc same
& biu same; | biu same; ^ biu same; << iu same; >> iu same
"""
COMPARISONS = "< iuf; <= iuf; > iuf; >= iuf; == biufc; != biufc"

# The dunders and attributes of arrays that no table of operators contains.
ATTRIBUTES = """
dtype device mT ndim shape size T to_device __abs__ __array_namespace__ __bool__ __complex__ __dlpack__
__dlpack_device__ __float__ __getitem__ __index__ __int__ __invert__ __neg__ __pos__ __setitem__
__matmul__ __rmatmul__ __imatmul__
"""
CONSTANTS = {"e": 2.718281828459045, "pi": 3.141592653589793, "inf": float("inf"), "nan": float("nan")}
DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128"


def parsed(table: str) -> Iterator[tuple[str, ...]]:
    """The words of each entry of a table of entries separated by semicolons and lines."""
    for entry in table.replace("\n", ";").split(";"):
        if entry.strip():
            yield tuple(entry.split())


def signatures() -> dict[str, inspect.Signature]:
    """The standard's signature of every function, the ones of each element included."""
    lines = [line for line in SIGNATURES.splitlines() if line]
    lines += [f"{name}(x, /)" for name, *_ in parsed(UNARY)]
    lines += [f"{name}(x1, x2, /)" for name, *_ in parsed(BINARY)]
    found = {}
    for line in lines:
        name, _, parameters = line.partition("(")
        space: dict[str, Any] = {}
        exec(f"def function({parameters}: ...", space)
        found[name] = inspect.signature(space["function"])
    return found


def calls_of(expression: str) -> Iterator[tuple[str, tuple[ast.expr, ...], dict[str, ast.expr]]]:
    """The functions of `xp` that an expression calls, with their arguments."""
    for node in ast.walk(ast.parse(expression)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if re.fullmatch(r"xp(\.\w+)+", name):
                keywords = {word.arg: word.value for word in node.keywords if word.arg is not None}
                yield name.removeprefix("xp."), tuple(node.args), keywords
