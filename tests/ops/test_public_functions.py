"""The op table covers the public functions: each is called by some row, or listed here with the reason.

Which functions a row calls is found out by running it with a module that notes what is asked of it.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from oracle import as_list, to_numpy

from .harness import apply, make_inputs
from .op_case import OpCase
from .op_cases import OP_CASES

TESTS = Path(__file__).parent.parent
SPACES = ("", "fast", "fft", "linalg", "random")

# Functions without a row: why, their names, and the file that tests them.
DRAWS = (
    "their results are random; samples, keys and derivatives are compared with distributions and the wheel",
    "random.bernoulli random.beta random.bits random.categorical random.choice random.exponential "
    "random.gamma random.gumbel random.key random.laplace random.multivariate_normal random.normal "
    "random.permutation random.poisson random.randint random.seed random.split random.truncated_normal "
    "random.uniform",
    "ops/test_random.py",
)
VALUES = (
    "the shape of the result depends on the values, so that they evaluate and nothing can be recorded",
    "argwhere flatnonzero nonzero unique_all unique_counts unique_inverse unique_values",
    "core/test_array_api.py",
)
PACKED = (
    "their results are packed words, compared bit by bit with the wheel's",
    "quantize qqmm gather_qqmm",
    "ops/test_quantized.py",
)
TRANSFORMS = (
    "they take functions",
    "checkpoint compile disable_compile enable_compile grad jvp value_and_grad vjp vmap",
    "transforms",
)
EVALUATION = (
    "they evaluate, or look at graphs",
    "async_eval eval export_to_dot simplify einsum_path counters",
    "core",
)
SHAPES_AND_TYPES = (
    "they take and give shapes and dtypes",
    "broadcast_shapes can_cast isdtype issubdtype result_type",
    "core",
)
PRINTING = ("they concern printed text", "get_printoptions printoptions set_printoptions", "core")
EXCHANGE = ("it takes the arrays of other libraries", "from_dlpack", "core")
DEVICES = (
    "they concern devices, streams and memory",
    "clear_cache clear_streams default_device default_stream device_count device_info get_active_memory "
    "get_array_buffer_size get_cache_memory get_memory_limit get_peak_memory is_available new_stream "
    "new_thread_local_stream new_thread_unsafe_stream reset_peak_memory set_cache_limit set_default_device "
    "set_default_stream set_memory_limit set_wired_limit stream synchronize",
    "core",
)
FOREIGN = (
    "they raise: their source is for other devices",
    "fast.cuda_kernel fast.metal_kernel fast.precompiled_cuda_kernel",
    "core/test_fast.py",
)
EXCEPTIONS = (
    DRAWS, VALUES, PACKED, TRANSFORMS, EVALUATION, SHAPES_AND_TYPES, PRINTING, EXCHANGE, DEVICES, FOREIGN,
)  # fmt: skip
WITHOUT_ROW = {name: reason for reason, names, _ in EXCEPTIONS for name in names.split()}

# Functions whose rows have no derivative: why, and their names.
NO_SLOPE = {
    "their results are integers, booleans or places": (
        "all allclose any argmax argmin argsort array_equal bitwise_and bitwise_invert bitwise_left_shift "
        "bitwise_or bitwise_right_shift bitwise_xor count_nonzero equal greater greater_equal isclose "
        "isfinite isin isinf isnan isneginf isposinf left_shift less less_equal lexsort linalg.matrix_rank "
        "logical_and logical_not logical_or logical_xor nanargmax nanargmin not_equal right_shift "
        "searchsorted signbit unravel_index"
    ),
    "no array goes in": (
        "bartlett blackman empty fft.fftfreq fft.rfftfreq hamming hanning identity linspace ones tri zeros"
    ),
    "the values of the array that goes in do not matter": "empty_like full_like ones_like zeros_like",
    "the values are counted, compared, or taken as bits": (
        "from_fp8 histogram histogram_bin_edges to_fp8 unique view"
    ),
    "only complex numbers have one, and finite differences are real": "imag",
    "there is none on purpose": "stop_gradient",
}
# Functions whose derivatives have the right dtypes and shapes in the rows, and are compared elsewhere,
# because finite differences need float64, in which they do not compute.
SINGLE_PRECISION = {
    "ops/test_side_by_side.py": "fast.cross_entropy fast.gated_delta_update",
    "core/test_fft.py": (
        "fft.fft fft.fft2 fft.fftn fft.hfft fft.ifft fft.ifft2 fft.ifftn fft.ihfft fft.irfft fft.irfft2 "
        "fft.irfftn fft.istft fft.rfft fft.rfft2 fft.rfftn fft.stft"
    ),
    "core/test_linalg.py": "linalg.eig linalg.eigvals",
}
NOT_SMOOTH = {"cummax", "cummin", "nextafter"}
# Functions whose rows are not mapped, besides those that no array goes into.
NOT_MAPPED = {
    "the first array is sorted by the row, which is not what is mapped": "searchsorted",
    "too many combinations of axes; here a few": "fast.gated_delta_update",
    "it joins arrays that have nothing to do with each other": "depends",
    "it has a size only if it is given one": "unique",
}


class Recorder:
    """The framework's module, noting which functions are asked of it."""

    def __init__(self, module: Any, asked: set[int]) -> None:
        self._module = module
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if isinstance(value, ModuleType):
            return Recorder(value, self._asked)
        self._asked.add(id(value))
        return value


def functions_of(case: OpCase) -> set[int]:
    """The identities of the functions that a row asks for, over its variants and a few kinds of dtypes."""
    asked: set[int] = set()
    dtypes = [name for name in ("float32", "int32", "bool", "complex64") if name in case.dtypes]
    for dtype in dtypes or case.dtypes[:1]:
        for variant in case.variants:
            inputs = make_inputs(mx, case, case.sample(variant, dtype), dtype)
            apply(Recorder(mx, asked), case, inputs, variant.options, dtype)
    return asked


def public_functions() -> dict[str, Any]:
    """All public functions by their names, of `mx` and of its modules; classes are no functions."""
    found = {}
    for space in SPACES:
        module = getattr(mx, space) if space else mx
        for name in module.__all__:
            value = getattr(module, name)
            if (
                callable(value)
                and not inspect.isclass(value)
                and not isinstance(value, (mx.Dtype, ModuleType))
            ):
                found[f"{space}.{name}".lstrip(".")] = value
    return found


@pytest.fixture(scope="module")
def asked_by() -> dict[int, list[OpCase]]:
    """For each function the rows that ask for it."""
    found: dict[int, list[OpCase]] = {}
    for case in OP_CASES:
        for function in functions_of(case):
            found.setdefault(function, []).append(case)
    return found


def test_every_public_function_has_a_row(asked_by: dict[int, list[OpCase]]) -> None:
    functions = public_functions()
    missing = [
        name for name, value in functions.items() if id(value) not in asked_by and name not in WITHOUT_ROW
    ]
    assert not missing, f"these functions have no row in tests/ops/op_cases*.py: {', '.join(missing)}"


def test_exceptions_are_needed(asked_by: dict[int, list[OpCase]]) -> None:
    functions = public_functions()
    for name in WITHOUT_ROW:
        assert name in functions, f"{name} is no public function: remove it from the exceptions"
        assert id(functions[name]) not in asked_by, f"{name} has a row: remove it from the exceptions"
    for _, names, place in EXCEPTIONS:
        assert (TESTS / place).exists(), f"{names} should be tested in {place}, which does not exist"


def names_in(table: dict[str, str]) -> set[str]:
    return {name for names in table.values() for name in names.split()}


def test_what_is_differentiable_has_derivatives(asked_by: dict[int, list[OpCase]]) -> None:
    functions = {name: value for name, value in public_functions().items() if name not in WITHOUT_ROW}
    rows = {name: asked_by[id(value)] for name, value in functions.items()}
    without = {name for name, cases in rows.items() if not any(case.differentiable for case in cases)}
    assert without == names_in(NO_SLOPE)
    compared = {
        name for name, cases in rows.items() if any(c.differentiable and "float64" in c.dtypes for c in cases)
    }
    assert set(rows) - without - compared == names_in(SINGLE_PRECISION)
    twice = {name for name, cases in rows.items() if any(c.smooth and "float64" in c.dtypes for c in cases)}
    assert compared - twice == NOT_SMOOTH
    for place in SINGLE_PRECISION:
        assert (TESTS / place).exists()


def test_what_takes_arrays_can_be_mapped(asked_by: dict[int, list[OpCase]]) -> None:
    functions = {name: value for name, value in public_functions().items() if name not in WITHOUT_ROW}
    without = {name for name, value in functions.items() if not any(c.mapped for c in asked_by[id(value)])}
    assert without - set(NO_SLOPE["no array goes in"].split()) == names_in(NOT_MAPPED)


def same_for_slices(function: Any, in_axes: tuple[int | None, ...], arrays: list[mx.array]) -> None:
    """vmap gives what the function gives for each slice."""
    size = next(a.shape[axis] for a, axis in zip(arrays, in_axes, strict=True) if axis is not None)
    mapped = mx.vmap(function, in_axes=in_axes)(*arrays)
    for place in range(size):
        slices = [
            a if axis is None else mx.take(a, place, axis) for a, axis in zip(arrays, in_axes, strict=True)
        ]
        for result, expected in zip(as_list(mapped), as_list(function(*slices)), strict=True):
            np.testing.assert_allclose(
                to_numpy(mx, result[place]), to_numpy(mx, expected), rtol=1e-5, atol=1e-5
            )


def test_rows_that_are_not_mapped_can_be() -> None:
    random = np.random.default_rng(3)

    def draw(*shape: int) -> mx.array:
        return mx.array(random.uniform(0.2, 0.9, shape).astype(np.float32))

    shapes = [(3, 1, 2, 1, 3), (3, 1, 2, 1, 3), (3, 1, 2, 2, 5), (3, 1, 2, 2), (3, 1, 2, 2)]
    arrays = [draw(*shape) for shape in shapes]
    same_for_slices(lambda *parts: list(mx.fast.gated_delta_update(*parts)), (0, 0, 0, 0, 0), arrays)
    same_for_slices(
        lambda *parts: list(mx.fast.gated_delta_update(*parts)), (0, None, 0, None, 0),
        [arrays[0], arrays[1][0], arrays[2], arrays[3][0], arrays[4]],
    )  # fmt: skip
    ordered = mx.sort(draw(3, 9), axis=-1)
    same_for_slices(mx.searchsorted, (0, 0), [ordered, draw(3, 4)])
    same_for_slices(mx.searchsorted, (None, 0), [ordered[0], draw(3, 4)])
    same_for_slices(lambda a, b: mx.depends(a, mx.exp(b)), (0, 0), [draw(3, 2), draw(3, 4)])
    same_for_slices(lambda a: mx.unique(a, size=4), (0,), [mx.array([[1, 2, 1], [5, 5, 5], [3, 2, 1]])])
