"""mx.fast: kernels run, transforms, errors; and the modules for hardware that is not there.

Values, gradients and vmap of every function are rows of the op table (tests/ops/op_cases_fast.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from oracle import assert_same_as_oracle, requires_oracle

RANDOM = np.random.default_rng(3)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def kernels(function: Callable[..., Any], *values: np.ndarray) -> int:
    arrays = [mx.array(value) for value in values]
    mx.eval(arrays)
    result = function(*arrays)
    before = mx.counters()["kernels_run"]
    mx.eval(result)
    return mx.counters()["kernels_run"] - before


def test_a_norm_is_one_kernel() -> None:
    x, w, b = normal(8, 64), normal(64), normal(64)
    assert kernels(lambda x, w: mx.fast.rms_norm(x, w, 1e-5), x, w) == 1
    assert kernels(lambda x, w, b: mx.fast.layer_norm(x, w, b, 1e-5), x, w, b) == 1
    assert kernels(lambda x, w: mx.fast.rms_norm(x.astype(mx.float16), w, 1e-5) * 2, x, w) == 1
    targets = np.arange(8)
    assert kernels(lambda x, t: mx.mean(mx.fast.cross_entropy(x, t)), x, targets) == 1


def test_attention_reads_the_keys_of_a_group_once() -> None:
    """Queries of a group are rows of one product: no copies of the keys, and no more kernels than without."""

    def causal(q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        return attend(q, k, v, mask="causal")

    grouped = kernels(causal, normal(1, 8, 4, 16), normal(1, 2, 9, 16), normal(1, 2, 9, 16))
    single = kernels(causal, normal(1, 2, 4, 16), normal(1, 2, 9, 16), normal(1, 2, 9, 16))
    assert grouped <= single


@requires_oracle
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_masks_as_mlx(dtype: str) -> None:
    q, k, v = [(values, dtype) for values in (normal(2, 4, 3, 8), normal(2, 2, 5, 8), normal(2, 2, 5, 8))]
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == "float32" else {"rtol": 5e-3, "atol": 5e-3}
    for shape in ((3, 5), (4, 3, 5), (2, 1, 3, 5), (2, 4, 3, 5)):
        mask = RANDOM.random(shape) < 0.6
        assert_same_as_oracle(
            lambda m, q, k, v, mask: m.fast.scaled_dot_product_attention(q, k, v, scale=0.3, mask=mask),
            [q, k, v, (mask, "bool")],
            **tolerance,
        )
    # Queries that see no key at all: all keys weigh the same.
    assert_same_as_oracle(
        lambda m, q, *rest: m.fast.scaled_dot_product_attention(
            q, *[part[:, :, :2] for part in rest], scale=1, mask="causal"
        ),
        [q, k, v],
        **tolerance,
    )


@requires_oracle
def test_gated_delta_update_as_mlx() -> None:
    shapes = [(2, 5, 2, 4), (2, 5, 2, 4), (2, 5, 4, 3)]
    inputs: list[tuple[Any, str]] = [(0.5 * normal(*shape), "float32") for shape in shapes]
    inputs += [(RANDOM.random((2, 5, 4)), "float32") for _ in range(2)]
    inputs += [(normal(2, 4, 3, 4), "float32"), (RANDOM.random((2, 5)) < 0.7, "bool")]
    update = lambda m, *parts: list(m.fast.gated_delta_update(*parts))  # noqa: E731
    assert_same_as_oracle(update, inputs)
    halves = [(value, "float16") for value, _ in inputs[:5]]
    assert_same_as_oracle(update, halves, rtol=1e-2, atol=1e-3)


def test_transforms_of_gated_delta_update() -> None:
    q, k, v = [mx.array(0.4 * normal(1, 3, 1, 2)) for _ in range(3)]
    gates = mx.full((1, 3, 1), 0.7)

    def loss(k: mx.array) -> mx.array:
        return mx.sum(mx.fast.gated_delta_update(q, k, v, gates, gates)[0] ** 2)

    gradient = mx.grad(loss)(k)
    step = 1e-2
    nudge = mx.zeros((1, 3, 1, 2))
    nudge[0, 1, 0, 1] = step
    slope = (loss(k + nudge) - loss(k - nudge)).item() / (2 * step)
    assert gradient[0, 1, 0, 1].item() == pytest.approx(slope, rel=2e-2)
    many = mx.stack([k, 2 * k])
    mapped = mx.vmap(loss)(many)
    np.testing.assert_allclose(np.array(mapped), [loss(k).item(), loss(2 * k).item()], rtol=1e-6)


def test_attention_under_vmap() -> None:
    q, k, v = mx.array(normal(2, 1, 4, 3, 8)), mx.array(normal(1, 2, 5, 8)), mx.array(normal(2, 1, 2, 5, 8))
    mask, sinks = mx.array(normal(2, 3, 5)), mx.array(normal(2, 4))

    def one(q: mx.array, v: mx.array, mask: mx.array, sinks: mx.array) -> mx.array:
        return attend(q, k, v, mask=mask, sinks=sinks, scale=0.3)

    expected = [np.array(one(q[i], v[i], mask[i], sinks[i])) for i in range(2)]
    mapped = np.array(mx.vmap(one)(q, v, mask, sinks))
    np.testing.assert_allclose(mapped, np.stack(expected), rtol=1e-5, atol=1e-6)


def test_positions_of_vmap_and_compile() -> None:
    x = mx.array(normal(2, 3, 8))

    def turn(x: mx.array, offset: mx.array) -> mx.array:
        return mx.fast.rope(x, 8, traditional=False, base=1e4, scale=1.0, offset=offset)

    offsets = mx.array([3, 7])
    expected = np.array(turn(x, offsets))
    np.testing.assert_allclose(np.array(mx.compile(turn)(x, offsets)), expected, rtol=1e-6)
    mapped = mx.vmap(turn)(x[:, None], offsets)
    np.testing.assert_allclose(np.array(mapped)[:, 0], expected, rtol=1e-6)


def test_a_new_offset_compiles_nothing() -> None:
    x = mx.array(normal(1, 2, 8))
    results = []
    for offset in (1, 2):
        before = mx.counters()["kernels_compiled"] + mx.counters()["plans_built"]
        result = mx.fast.rope(x, 8, traditional=True, base=1e4, scale=1.0, offset=offset)
        mx.eval(result)
        results.append(mx.counters()["kernels_compiled"] + mx.counters()["plans_built"] - before)
    assert results[1] == 0


def ones(*shape: int, dtype: Any = mx.float32) -> mx.array:
    return mx.ones(shape, dtype)


def half(*shape: int) -> mx.array:
    return ones(*shape, dtype=mx.float16)


def rope(x: mx.array, dims: Any = 4, **changes: Any) -> mx.array:
    options = {"traditional": False, "base": 1e4, "scale": 1.0, "offset": 0}
    return mx.fast.rope(x, dims, **{**options, **changes})


def attend(q: mx.array, k: mx.array, v: mx.array, **options: Any) -> mx.array:
    return mx.fast.scaled_dot_product_attention(q, k, v, **{"scale": 1.0, **options})


Q = (1, 4, 3, 8)
K = (1, 2, 5, 8)
ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: mx.fast.rms_norm(mx.array(1.0), None, 1e-5), ValueError, r"\[rms_norm\] .*one dimension"),
    (lambda: mx.fast.rms_norm(ones(2, 4), ones(3), 1e-5), ValueError, r"\[rms_norm\] .*4.*3"),
    (lambda: mx.fast.rms_norm(ones(2, 4), ones(1, 4), 1e-5), ValueError, r"\[rms_norm\] .*\(1, 4\)"),
    (lambda: mx.fast.rms_norm(ones(4, dtype=mx.int32), None, 1e-5), ValueError, r"\[rms_norm\] .*int32"),
    (lambda: mx.fast.rms_norm([1.0], None, 1e-5), TypeError, r"\[rms_norm\] .*list"),
    (lambda: mx.fast.rms_norm(ones(2), None, "a"), TypeError, r"\[rms_norm\] .*eps"),
    (lambda: mx.fast.layer_norm(ones(2, 4), None, ones(3), 1e-5), ValueError, r"\[layer_norm\] .*bias"),
    (lambda: mx.fast.layer_norm(ones(4, dtype=mx.complex64), None, None, 0), ValueError, "complex64"),
    (lambda: rope(ones(2, 4)), ValueError, r"\[rope\] .*\(2, 4\)"),
    (lambda: rope(ones(1, 2, 4), 3), ValueError, r"\[rope\] .*even.*3"),
    (lambda: rope(ones(1, 2, 4), 6), ValueError, r"\[rope\] .*4.*6"),
    (lambda: rope(ones(1, 2, 4), "4"), TypeError, r"\[rope\] .*'4'"),
    (lambda: rope(ones(1, 2, 4), base=None), ValueError, r"\[rope\] .*base"),
    (lambda: rope(ones(1, 2, 4), freqs=ones(2)), ValueError, r"\[rope\] .*base"),
    (lambda: rope(ones(1, 2, 4), base=None, freqs=ones(3)), ValueError, r"\[rope\] .*2.*\(3,\)"),
    (lambda: rope(ones(1, 2, 4), offset=1.5), ValueError, r"\[rope\] .*1\.5"),
    (lambda: rope(ones(1, 2, 4), offset=mx.array(1.5)), ValueError, r"\[rope\] .*float32"),
    (lambda: rope(ones(1, 2, 4), offset=mx.array([1, 2])), ValueError, r"\[rope\] .*\(2,\)"),
    (lambda: rope(ones(1, 2, 4), offset=None), TypeError, r"\[rope\] .*None"),
    (lambda: rope(ones(1, 2, 4, dtype=mx.int32)), ValueError, r"\[rope\] .*int32"),
    (lambda: attend(ones(3, 8), ones(*K), ones(*K)), ValueError, r"rank 4.*\(3, 8\)"),
    (lambda: attend(ones(2, 4, 3, 8), ones(*K), ones(*K)), ValueError, r"batch"),
    (lambda: attend(ones(1, 4, 3, 7), ones(*K), ones(*K)), ValueError, r"last dimensions"),
    (lambda: attend(ones(1, 3, 3, 8), ones(*K), ones(*K)), ValueError, r"3.*multiple.*2"),
    (lambda: attend(ones(*Q), ones(*K), ones(1, 4, 5, 8)), ValueError, r"matching heads"),
    (lambda: attend(ones(*Q), ones(*K), ones(*K), mask="full"), ValueError, r"'full'"),
    (lambda: attend(ones(*Q), ones(*K), ones(*K), mask=3), TypeError, r"mask"),
    (lambda: attend(ones(*Q), ones(*K), ones(*K), mask=ones(4, 5)), ValueError, r"\(4, 5\)"),
    (lambda: attend(ones(*Q), ones(*K), ones(*K), mask=ones(1, 1, 1, 3, 5)), ValueError, r"4 dimensions"),
    (lambda: attend(*[half(*s) for s in (Q, K, K)], mask=ones(3, 5)), ValueError, "float16"),
    (lambda: attend(ones(*Q), ones(*K), ones(*K), sinks=ones(3)), ValueError, r"4 heads.*\(3,\)"),
    (lambda: attend(ones(*Q), ones(*K), ones(*K), force_fused=True), ValueError, r"force_fused"),
    (lambda: attend(*[ones(*s, dtype=mx.int32) for s in (Q, K, K)]), ValueError, "int32"),
    (lambda: mx.fast.cross_entropy(ones(2, 3), mx.array([0])), ValueError, r"\(1,\).*\(2, 3\)"),
    (lambda: mx.fast.cross_entropy(ones(2, 3), ones(2)), ValueError, r"float32"),
    (lambda: mx.eval(mx.fast.cross_entropy(ones(2, 3), mx.array([0, 3]))), IndexError, r"3"),
    (lambda: mx.fast.cross_entropy(mx.array(1.0), mx.array(0)), ValueError, r"scalar"),
    (
        lambda: mx.fast.gated_delta_update(*[ones(1, 2, 1, 3)] * 3, ones(1, 2), ones(1, 2, 1)),
        ValueError,
        r"\[gated_delta_update\] .*\(1, 2\)",
    ),
    (
        lambda: mx.fast.gated_delta_update(*[ones(1, 2, 1, 3)] * 3, ones(1, 2, 1), ones(1, 2, 1), ones(3)),
        ValueError,
        r"initial state.*\(3,\)",
    ),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_errors(number: int) -> None:
    call, kind, text = ERRORS[number]
    with pytest.raises(kind, match=text):
        call()


# hardware that is not there


def launch(kernel: Callable[..., Any]) -> Any:
    return kernel(
        inputs=[ones(2)],
        output_shapes=[(2,)],
        output_dtypes=[mx.float32],
        grid=(2, 1, 1),
        threadgroup=(1, 1, 1),
    )


@pytest.mark.parametrize("make", [mx.fast.metal_kernel, mx.fast.cuda_kernel])
def test_foreign_kernels_cannot_run(make: Callable[..., Any]) -> None:
    kernel = make(name="double", input_names=["x"], output_names=["y"], source="y[0] = 2 * x[0];")
    with pytest.raises(RuntimeError, match=r"_kernel\] The kernel 'double' needs"):
        launch(kernel)
    with pytest.raises(TypeError, match="sequence of names"):
        make("double", "x", ["y"], "")
    with pytest.raises(TypeError, match="a string"):
        make(1, ["x"], ["y"], "")


def test_precompiled_kernels_cannot_run() -> None:
    with pytest.raises(RuntimeError, match="CUDA"):
        mx.fast.precompiled_cuda_kernel(
            name="double",
            compiled_source=b"",
            inputs=[ones(2)],
            output_shapes=[(2,)],
            output_dtypes=[mx.float32],
            scalars=[],
            grid=(1, 1, 1),
            threadgroup=(1, 1, 1),
        )


def test_metal_and_cuda_say_that_they_are_not_there() -> None:
    assert mx.metal.is_available() is False and mx.cuda.is_available() is False
    assert mx.metal.device_info() == {} and mx.metal.set_wired_limit(5) == 0
    assert mx.metal.get_active_memory() == mx.get_active_memory()
    assert mx.metal.start_capture("x") is None and mx.metal.stop_capture() is None
