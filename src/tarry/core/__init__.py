"""`mlx.core` by another name: every public name of arrays, their operations and their transforms."""

from typing import TYPE_CHECKING

from tarry import __version__ as __version__
from tarry.base.dtypes import (
    Dtype,
    DtypeCategory,
    bfloat16,
    bool_,
    complex64,
    complexfloating,
    float16,
    float32,
    float64,
    floating,
    generic,
    inexact,
    int8,
    int16,
    int32,
    int64,
    integer,
    number,
    signedinteger,
    uint8,
    uint16,
    uint32,
    uint64,
    unsignedinteger,
)
from tarry.core._later import find_later as _find_later
from tarry.engine.background import (
    async_eval,
)
from tarry.engine.compile import (
    compile,
    disable_compile,
    enable_compile,
)
from tarry.engine.evaluate import (
    eval,
)
from tarry.graph.array import (
    array,
)
from tarry.graph.printing import (
    PrintOptions,
    get_printoptions,
    printoptions,
    set_printoptions,
)
from tarry.ops.arithmetic import (
    add,
    divide,
    divmod,
    floor_divide,
    multiply,
    negative,
    reciprocal,
    remainder,
    square,
    subtract,
)
from tarry.ops.bitwise import (
    bitwise_and,
    bitwise_invert,
    bitwise_or,
    bitwise_xor,
    left_shift,
    right_shift,
)
from tarry.ops.bitwise import (
    left_shift as bitwise_left_shift,
)
from tarry.ops.bitwise import (
    right_shift as bitwise_right_shift,
)
from tarry.ops.comparison import (
    equal,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    isneginf,
    isposinf,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
)
from tarry.ops.complex_numbers import (
    abs,
    conj,
    conjugate,
    imag,
    real,
    sign,
)
from tarry.ops.constants import (
    e,
    euler_gamma,
    inf,
    nan,
    newaxis,
    pi,
)
from tarry.ops.conversion import (
    asarray,
    from_dlpack,
)
from tarry.ops.equality import (
    allclose,
    array_equal,
    isclose,
)
from tarry.ops.exponential import (
    erf,
    erfinv,
    exp,
    expm1,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    power,
    rsqrt,
    sigmoid,
    sqrt,
)
from tarry.ops.exponential import (
    power as pow,
)
from tarry.ops.generators import (
    arange,
    eye,
    full,
    full_like,
    identity,
    linspace,
    ones,
    ones_like,
    tri,
    tril,
    triu,
    zeros,
    zeros_like,
)
from tarry.ops.generators import (
    zeros as empty,
)
from tarry.ops.generators import (
    zeros_like as empty_like,
)
from tarry.ops.indexing import ArrayAt
from tarry.ops.joining import (
    concat,
    concatenate,
    meshgrid,
    pad,
    roll,
    split,
    stack,
    tile,
    unstack,
)
from tarry.ops.layout import (
    as_strided,
    astype,
    contiguous,
    diag,
    diagonal,
    view,
)
from tarry.ops.masks import (
    argwhere,
    flatnonzero,
    nonzero,
    where,
)
from tarry.ops.namespace_info import (
    __array_namespace_info__ as __array_namespace_info__,
)
from tarry.ops.products import (
    addmm,
    inner,
    matmul,
    outer,
    tensordot,
    vecdot,
)
from tarry.ops.reductions import (
    all,
    any,
    argmax,
    argmin,
    count_nonzero,
    max,
    min,
    minmax,
    prod,
    sum,
)
from tarry.ops.repetition import (
    repeat,
)
from tarry.ops.rounding import (
    ceil,
    floor,
    round,
    trunc,
)
from tarry.ops.scans import (
    cummax,
    cummin,
    cumprod,
    cumsum,
    cumulative_prod,
    cumulative_sum,
    logcumsumexp,
)
from tarry.ops.selection import (
    clip,
    maximum,
    minimum,
    nan_to_num,
    stop_gradient,
)
from tarry.ops.statistics import (
    logsumexp,
    mean,
    softmax,
    std,
    var,
)
from tarry.ops.taking import (
    put_along_axis,
    slice,
    slice_update,
    take,
    take_along_axis,
)
from tarry.ops.trigonometry import (
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctan2,
    arctanh,
    cos,
    cosh,
    degrees,
    radians,
    sin,
    sinh,
    tan,
    tanh,
)
from tarry.ops.trigonometry import (
    arccos as acos,
)
from tarry.ops.trigonometry import (
    arccosh as acosh,
)
from tarry.ops.trigonometry import (
    arcsin as asin,
)
from tarry.ops.trigonometry import (
    arcsinh as asinh,
)
from tarry.ops.trigonometry import (
    arctan as atan,
)
from tarry.ops.trigonometry import (
    arctan2 as atan2,
)
from tarry.ops.trigonometry import (
    arctanh as atanh,
)
from tarry.ops.type_info import (
    can_cast,
    finfo,
    iinfo,
    isdtype,
    issubdtype,
    result_type,
)
from tarry.ops.views import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    broadcast_arrays,
    broadcast_shapes,
    broadcast_to,
    expand_dims,
    flatten,
    flip,
    matrix_transpose,
    moveaxis,
    permute_dims,
    positive,
    reshape,
    squeeze,
    swapaxes,
    transpose,
    unflatten,
)
from tarry.runtime.counters import (
    read_counters as counters,
)
from tarry.runtime.devices import (
    Device,
    DeviceType,
    Stream,
    StreamContext,
    ThreadLocalStream,
    clear_streams,
    cpu,
    default_device,
    default_stream,
    device_count,
    device_info,
    gpu,
    is_available,
    new_stream,
    new_thread_local_stream,
    new_thread_unsafe_stream,
    set_default_device,
    set_default_stream,
    stream,
    synchronize,
)
from tarry.runtime.memory import (
    clear_cache,
    get_active_memory,
    get_cache_memory,
    get_memory_limit,
    get_peak_memory,
    reset_peak_memory,
    set_cache_limit,
    set_memory_limit,
)
from tarry.transforms import (
    checkpoint,
    custom_function,
    grad,
    jvp,
    value_and_grad,
    vjp,
    vmap,
)

# Of the Python array API standard: docs/array-api.md. Its name of the dtype is not in `__all__`, because the
# builtin is used everywhere.
__array_api_version__ = "2024.12"
bool = bool_

# At run time these are imported when somebody asks for them, see `core/_later.py`.
if TYPE_CHECKING:
    from tarry.core import cuda as cuda
    from tarry.core import fast as fast
    from tarry.core import fft as fft
    from tarry.core import linalg as linalg
    from tarry.core import metal as metal
    from tarry.core import random as random
    from tarry.core.metal import (
        set_wired_limit,
    )
    from tarry.ops.buffers import (
        get_array_buffer_size,
    )
    from tarry.ops.convolution import (
        conv1d,
        conv2d,
        conv3d,
        conv_general,
        conv_transpose1d,
        conv_transpose2d,
        conv_transpose3d,
        convolve,
    )
    from tarry.ops.einsum import (
        einsum,
        einsum_path,
    )
    from tarry.ops.float_parts import (
        copysign,
        frexp,
        hypot,
        ldexp,
        nextafter,
        signbit,
    )
    from tarry.ops.fp8 import (
        from_fp8,
        to_fp8,
    )
    from tarry.ops.graphs import (
        depends,
        export_to_dot,
        simplify,
    )
    from tarry.ops.hadamard import (
        hadamard_transform,
    )
    from tarry.ops.linalg import (
        cross,
    )
    from tarry.ops.linalg_measures import (
        norm as matrix_norm,
    )
    from tarry.ops.lookup import (
        interp,
        isin,
        unravel_index,
    )
    from tarry.ops.masked_products import (
        block_masked_mm,
        gather_mm,
        segmented_mm,
    )
    from tarry.ops.matrices import (
        diff,
        kron,
        trace,
    )
    from tarry.ops.nan_reductions import (
        nanargmax,
        nanargmin,
        nanmax,
        nanmean,
        nanmin,
        nanprod,
        nanstd,
        nansum,
        nanvar,
    )
    from tarry.ops.quantized import (
        dequantize,
        gather_qmm,
        gather_qqmm,
        qqmm,
        quantize,
        quantized_matmul,
    )
    from tarry.ops.samples import (
        average,
        bincount,
        corrcoef,
        cov,
        histogram,
        histogram_bin_edges,
    )
    from tarry.ops.sets import (
        unique,
        unique_all,
        unique_counts,
        unique_inverse,
        unique_values,
    )
    from tarry.ops.sorting import (
        argpartition,
        argsort,
        lexsort,
        median,
        partition,
        percentile,
        quantile,
        searchsorted,
        sort,
        topk,
    )
    from tarry.ops.special import (
        digamma,
        erfc,
        lgamma,
    )
    from tarry.ops.windows import (
        bartlett,
        blackman,
        hamming,
        hanning,
    )
else:

    def __getattr__(name):
        value = globals()[name] = _find_later(name)
        return value

    def __dir__():
        return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


__all__ = [
    "ArrayAt", "Device", "DeviceType", "Dtype", "DtypeCategory", "PrintOptions", "Stream", "StreamContext",
    "ThreadLocalStream", "abs", "acos", "acosh", "add", "addmm", "all", "allclose", "any", "arange", "arccos",
    "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "argmax", "argmin", "argpartition",
    "argsort", "argwhere", "array", "array_equal", "as_strided", "asarray", "asin", "asinh", "astype",
    "async_eval", "atan", "atan2", "atanh", "atleast_1d", "atleast_2d", "atleast_3d", "average", "bartlett",
    "bfloat16", "bincount", "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "blackman", "block_masked_mm", "bool_", "broadcast_arrays",
    "broadcast_shapes", "broadcast_to", "can_cast", "ceil", "checkpoint", "clear_cache", "clear_streams",
    "clip", "compile", "complex64", "complexfloating", "concat", "concatenate", "conj", "conjugate",
    "contiguous", "conv1d", "conv2d", "conv3d", "conv_general", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "convolve", "copysign", "corrcoef", "cos", "cosh", "count_nonzero", "counters", "cov",
    "cpu", "cross", "cuda", "cummax", "cummin", "cumprod", "cumsum", "cumulative_prod", "cumulative_sum",
    "custom_function", "default_device", "default_stream", "degrees", "depends", "dequantize", "device_count",
    "device_info", "diag", "diagonal", "diff", "digamma", "disable_compile", "divide", "divmod", "e",
    "einsum", "einsum_path", "empty", "empty_like", "enable_compile", "equal", "erf", "erfc", "erfinv",
    "euler_gamma", "eval", "exp", "expand_dims", "expm1", "export_to_dot", "eye", "fast", "fft", "finfo",
    "flatnonzero", "flatten", "flip", "float16", "float32", "float64", "floating", "floor", "floor_divide",
    "frexp", "from_dlpack", "from_fp8", "full", "full_like", "gather_mm", "gather_qmm", "gather_qqmm",
    "generic", "get_active_memory", "get_array_buffer_size", "get_cache_memory", "get_memory_limit",
    "get_peak_memory", "get_printoptions", "gpu", "grad", "greater", "greater_equal", "hadamard_transform",
    "hamming", "hanning", "histogram", "histogram_bin_edges", "hypot", "identity", "iinfo", "imag", "inexact",
    "inf", "inner", "int8", "int16", "int32", "int64", "integer", "interp", "is_available", "isclose",
    "isdtype", "isfinite", "isin", "isinf", "isnan", "isneginf", "isposinf", "issubdtype", "jvp", "kron",
    "ldexp", "left_shift", "less", "less_equal", "lexsort", "lgamma", "linalg", "linspace", "log", "log1p",
    "log2", "log10", "logaddexp", "logcumsumexp", "logical_and", "logical_not", "logical_or", "logical_xor",
    "logsumexp", "matmul", "matrix_norm", "matrix_transpose", "max", "maximum", "mean", "median", "meshgrid",
    "metal", "min", "minimum", "minmax", "moveaxis", "multiply", "nan", "nan_to_num", "nanargmax",
    "nanargmin", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum", "nanvar", "negative",
    "new_stream", "new_thread_local_stream", "new_thread_unsafe_stream", "newaxis", "nextafter", "nonzero",
    "not_equal", "number", "ones", "ones_like", "outer", "pad", "partition", "percentile", "permute_dims",
    "pi", "positive", "pow", "power", "printoptions", "prod", "put_along_axis", "qqmm", "quantile",
    "quantize", "quantized_matmul", "radians", "random", "real", "reciprocal", "remainder", "repeat",
    "reset_peak_memory", "reshape", "result_type", "right_shift", "roll", "round", "rsqrt", "searchsorted",
    "segmented_mm", "set_cache_limit", "set_default_device", "set_default_stream", "set_memory_limit",
    "set_printoptions", "set_wired_limit", "sigmoid", "sign", "signbit", "signedinteger", "simplify", "sin",
    "sinh", "slice", "slice_update", "softmax", "sort", "split", "sqrt", "square", "squeeze", "stack", "std",
    "stop_gradient", "stream", "subtract", "sum", "swapaxes", "synchronize", "take", "take_along_axis", "tan",
    "tanh", "tensordot", "tile", "to_fp8", "topk", "trace", "transpose", "tri", "tril", "triu", "trunc",
    "uint8", "uint16", "uint32", "uint64", "unflatten", "unique", "unique_all", "unique_counts",
    "unique_inverse", "unique_values", "unravel_index", "unsignedinteger", "unstack", "value_and_grad", "var",
    "vecdot", "view", "vjp", "vmap", "where", "zeros", "zeros_like",
]  # fmt: skip
