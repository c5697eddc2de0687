"""The public names that are imported when somebody first asks for them: most programs need few of them.

A name of `tarry.core` that comes from one of these modules is in this table and, for type checkers, among the
imports that `core/__init__` makes for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["find_later"]

MODULES = {name: f"tarry.core.{name}" for name in ("cuda", "fast", "fft", "linalg", "metal", "random")}
# As in an import statement, "name as other" gives a name of the module another one here.
NAMES = {
    "tarry.core.metal": "set_wired_limit",
    "tarry.ops.buffers": "get_array_buffer_size",
    "tarry.ops.convolution": (
        "conv1d, conv2d, conv3d, conv_general, conv_transpose1d, conv_transpose2d, conv_transpose3d, convolve"
    ),
    "tarry.ops.einsum": "einsum, einsum_path",
    "tarry.ops.float_parts": "copysign, frexp, hypot, ldexp, nextafter, signbit",
    "tarry.ops.fp8": "from_fp8, to_fp8",
    "tarry.ops.graphs": "depends, export_to_dot, simplify",
    "tarry.ops.hadamard": "hadamard_transform",
    "tarry.ops.linalg": "cross",
    "tarry.ops.linalg_measures": "norm as matrix_norm",
    "tarry.ops.lookup": "interp, isin, unravel_index",
    "tarry.ops.masked_products": "block_masked_mm, gather_mm, segmented_mm",
    "tarry.ops.matrices": "diff, kron, trace",
    "tarry.ops.nan_reductions": (
        "nanargmax, nanargmin, nanmax, nanmean, nanmin, nanprod, nanstd, nansum, nanvar"
    ),
    "tarry.ops.quantized": "dequantize, gather_qmm, gather_qqmm, qqmm, quantize, quantized_matmul",
    "tarry.ops.samples": "average, bincount, corrcoef, cov, histogram, histogram_bin_edges",
    "tarry.ops.sets": "unique, unique_all, unique_counts, unique_inverse, unique_values",
    "tarry.ops.sorting": (
        "argpartition, argsort, lexsort, median, partition, percentile, quantile, searchsorted, sort, topk"
    ),
    "tarry.ops.special": "digamma, erfc, lgamma",
    "tarry.ops.windows": "bartlett, blackman, hamming, hanning",
}


def _places() -> dict[str, tuple[str, str]]:
    """Where each name comes from: the module, and its name there."""
    found = {}
    for module, names in NAMES.items():
        for entry in names.split(", "):
            name, _, other = entry.partition(" as ")
            found[other or name] = module, name
    return found


_PLACES = _places()


def find_later(name: str) -> Any:
    """The value of a public name that is not imported yet; AttributeError if there is none.

    >>> find_later("argsort").__name__
    'argsort'
    """
    if name in MODULES:
        return import_module(MODULES[name])
    if name not in _PLACES:
        raise AttributeError(f"module 'tarry.core' has no attribute {name!r}")
    module, there = _PLACES[name]
    return getattr(import_module(module), there)
