"""mx.fft: values against NumPy and the MLX wheel, derivatives against finite differences and adjoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from oracle import assert_same_as_oracle, requires_oracle

F = mx.fft
ONE_AXIS = ("fft", "ifft", "rfft", "irfft")
TWO_AXES = ("fft2", "ifft2", "rfft2", "irfft2")
SEVERAL_AXES = ("fftn", "ifftn", "rfftn", "irfftn")
NORMS = ("backward", "ortho", "forward")
ROWS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    *[(name, (3, 8), {}) for name in ONE_AXIS + TWO_AXES + SEVERAL_AXES],
    *[(name, (3, 7), {"norm": norm}) for name in ONE_AXIS + SEVERAL_AXES for norm in NORMS],
    *[(name, (6, 3), {"n": n, "axis": 0}) for name in ONE_AXIS for n in (1, 4, 5, 6, 9, 12)],
    *[(name, (4, 6), {"s": s}) for name in TWO_AXES for s in ((3, 5), (5, 9), (4, 6))],
    *[
        (name, (2, 5, 4), {"axes": axes})
        for name in SEVERAL_AXES
        for axes in ((0,), (2, 0), (-1, 1), (0, 1, 2))
    ],
    *[(name, (2, 5, 4), {"axes": (1, 0), "s": (4, 3)}) for name in SEVERAL_AXES],
]
NAMES = [f"{name}-{shape}-{options}".replace(" ", "") for name, shape, options in ROWS]
every_row = pytest.mark.parametrize("name, shape, options", ROWS, ids=NAMES)


def draw(generator: np.random.Generator, shape: tuple[int, ...], name: str) -> np.ndarray:
    values = generator.normal(size=shape)
    if "rfft" not in name or name.startswith("i"):
        values = values + 1j * generator.normal(size=shape)
    return values.astype(np.complex64 if values.dtype.kind == "c" else np.float32)


def make(name: str, options: dict[str, Any]) -> Callable[[mx.array], mx.array]:
    return lambda a: getattr(F, name)(a, **options)


def expected_of(name: str, values: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    wide = values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)
    result: np.ndarray = getattr(np.fft, name)(wide, **options)
    return result


def assert_close(found: Any, expected: np.ndarray) -> None:
    scale = max(float(np.abs(expected).max(initial=0)), 1.0)
    np.testing.assert_allclose(np.array(found), expected, rtol=0, atol=2e-6 * scale)


@every_row
def test_values(
    name: str, shape: tuple[int, ...], options: dict[str, Any], generator: np.random.Generator
) -> None:
    values = draw(generator, shape, name)
    found = make(name, options)(mx.array(values))
    assert found.dtype == (mx.float32 if name.startswith("irfft") else mx.complex64)
    assert_close(found, expected_of(name, values, options))


@every_row
def test_derivatives(
    name: str, shape: tuple[int, ...], options: dict[str, Any], generator: np.random.Generator
) -> None:
    """The transform is its own derivative, and the gradient is its adjoint: <c, F t> = <F^T c, t>."""
    values, tangent = draw(generator, shape, name), draw(generator, shape, name)
    function = make(name, options)
    _, tangents = mx.jvp(function, [mx.array(values)], [mx.array(tangent)])
    expected = expected_of(name, tangent, options)
    assert_close(tangents[0], expected)
    cotangent = draw(generator, expected.shape, "irfft" if expected.dtype.kind == "c" else "rfft")
    cotangent = cotangent.astype(np.complex64 if expected.dtype.kind == "c" else np.float32)
    gradient = mx.vjp(function, [mx.array(values)], [mx.array(cotangent)])[1][0]
    left, right = np.vdot(cotangent, expected).real, np.vdot(np.array(gradient), tangent).real
    assert abs(left - right) < 1e-5 * (1 + np.abs(cotangent).sum() * np.abs(expected).max())


@every_row
def test_vmap(
    name: str, shape: tuple[int, ...], options: dict[str, Any], generator: np.random.Generator
) -> None:
    batch = np.stack([draw(generator, shape, name) for _ in range(3)], axis=1)
    found = mx.vmap(make(name, options), in_axes=1)(mx.array(batch))
    for place in range(3):
        assert_close(found[place], expected_of(name, batch[:, place], options))


@pytest.mark.parametrize("name", ["fft", "rfft", "irfft"])
def test_gradients_against_finite_differences(name: str, generator: np.random.Generator) -> None:
    values = generator.normal(size=(3, 6))
    weights = generator.normal(size=(3, 12))

    def loss(module: Any, transforms: Any, a: Any) -> Any:
        b = getattr(transforms, name)(a, 9)
        weight = module.array(weights[:, : b.shape[-1]])
        return module.sum(weight * module.abs(b) ** 2 + 2 * module.real(b))

    gradient = np.array(mx.grad(lambda a: loss(mx, F, a))(mx.array(values)))
    step = 1e-5
    for place in np.ndindex(values.shape):
        moved = [values.copy(), values.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        high, low = (loss(np, np.fft, value) for value in moved)
        assert abs((high - low) / (2 * step) - gradient[place]) < 1e-3


def test_transforms_of_views_fuse_with_what_is_around_them(generator: np.random.Generator) -> None:
    values = generator.normal(size=(5, 6)).astype("f")
    x = mx.array(values)
    found = mx.abs(F.fft((x * 2).T[1:, ::2])) ** 2
    np.testing.assert_allclose(
        np.array(found), np.abs(np.fft.fft((values * 2).T[1:, ::2])) ** 2, rtol=1e-4, atol=1e-4
    )
    assert_close(
        F.fft(mx.broadcast_to(x[0], (4, 6)), axis=0), np.fft.fft(np.broadcast_to(values[0], (4, 6)), axis=0)
    )


@pytest.mark.parametrize("dtype", ["bool_", "int32", "float16", "float64"])
def test_other_dtypes(dtype: str) -> None:
    values = np.array([1, 0, 1, 1])
    x = mx.array(values).astype(getattr(mx, dtype))
    assert_close(F.fft(x), np.fft.fft(values))
    assert_close(F.rfft(x), np.fft.rfft(values))
    assert_close(F.irfft(x), np.fft.irfft(values))


def test_empty_batches() -> None:
    assert F.fft(mx.zeros((0, 4))).shape == (0, 4)
    assert np.array(F.rfft(mx.zeros((2, 0, 4)))).shape == (2, 0, 3)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_frequencies(n: int) -> None:
    np.testing.assert_allclose(np.array(F.fftfreq(n, 0.5)), np.fft.fftfreq(n, 0.5), rtol=1e-6)
    np.testing.assert_allclose(np.array(F.rfftfreq(n)), np.fft.rfftfreq(n), rtol=1e-6)


@pytest.mark.parametrize("axes", [None, 0, -1, (0, 1), [1, 1]])
def test_shifts(axes: Any) -> None:
    values = np.arange(15).reshape(3, 5)
    assert np.array_equal(np.array(F.fftshift(mx.array(values), axes)), np.fft.fftshift(values, axes))
    assert np.array_equal(np.array(F.ifftshift(F.fftshift(mx.array(values), axes), axes)), values)


# short-time transforms


def test_stft_is_the_transform_of_windows(generator: np.random.Generator) -> None:
    x, window = generator.normal(size=(2, 50)), generator.uniform(0.5, 1, 12)
    found = F.stft(mx.array(x), 16, 5, window=mx.array(window), center=False)
    padded = np.zeros(16)
    padded[2:14] = window
    expected = np.stack([np.fft.rfft(padded * x[:, k : k + 16]) for k in range(0, 50 - 15, 5)], -1)
    assert_close(found, expected)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("onesided", [True, False])
def test_istft_inverts_stft(center: bool, onesided: bool, generator: np.random.Generator) -> None:
    x = generator.normal(size=(2, 3, 48)).astype("f")
    window = mx.array(generator.uniform(0.5, 1, 8))
    options: dict[str, Any] = {"hop_length": 3, "window": window, "center": center, "onesided": onesided}
    for norm in NORMS:
        spectrum = F.stft(mx.array(x), 8, norm=norm, **options)
        back = F.istft(spectrum, 8, norm=norm, length=44, **options)
        np.testing.assert_allclose(np.array(back), x[..., :44], atol=1e-5)


def test_gradient_of_spectrograms(generator: np.random.Generator) -> None:
    x, t = generator.normal(size=(20,)), generator.normal(size=(20,))
    weights = generator.normal(size=(5, 11))

    def loss(a: mx.array) -> mx.array:
        spectrum = F.stft(a, 8)
        power = mx.square(mx.abs(spectrum))
        return mx.sum(power * mx.array(weights)) + mx.sum(F.istft(spectrum * (1 + 1j)) ** 3)

    step = 1e-2
    high, low = loss(mx.array(x + step * t)).item(), loss(mx.array(x - step * t)).item()
    along = mx.sum(mx.grad(loss)(mx.array(x)) * mx.array(t)).item()
    assert abs((high - low) / (2 * step) - along) < 5e-3 * abs(along) + 5e-2
    assert mx.vmap(lambda a: F.stft(a, 8))(mx.array(np.stack([x, t]))).shape == (2, 5, 11)


@requires_oracle
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hop_length": 3},
        {"win_length": 6},
        {"center": False},
        {"onesided": False},
        {"norm": "ortho"},
        {"pad_mode": "edge"},
        {"pad_mode": "constant", "norm": "forward"},
    ],
    ids=str,
)
def test_short_time_transforms_like_mlx(options: dict[str, Any], generator: np.random.Generator) -> None:
    x = generator.normal(size=(2, 40))

    def program(module: Any, a: Any) -> list[Any]:
        spectrum = module.fft.stft(a, 8, **options)
        rest = {name: value for name, value in options.items() if name != "pad_mode"}
        return [spectrum, module.fft.istft(spectrum, **rest), module.fft.istft(spectrum, length=50, **rest)]

    assert_same_as_oracle(program, [(x, "float32")], rtol=1e-4, atol=1e-4)


@requires_oracle
@every_row
def test_like_mlx(
    name: str, shape: tuple[int, ...], options: dict[str, Any], generator: np.random.Generator
) -> None:
    values = draw(generator, shape, name)
    inputs = [(values, str(values.dtype))]
    assert_same_as_oracle(
        lambda module, a: getattr(module.fft, name)(a, **options), inputs, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    "function, error",
    [
        (lambda x: F.fft(x, norm="other"), ValueError),
        (lambda x: F.fft(x, n=0), ValueError),
        (lambda x: F.fft(x, n=1.5), TypeError),
        (lambda x: F.fft(x, axis=2), IndexError),
        (lambda x: F.fft([1.0]), TypeError),
        (lambda x: F.fft2(x[0]), IndexError),
        (lambda x: F.fftn(x, s=(3,)), ValueError),
        (lambda x: F.fftn(x, s=(3, 3), axes=(0,)), ValueError),
        (lambda x: F.fftn(x, axes=(0, 0)), ValueError),
        (lambda x: F.rfftn(x, axes=()), ValueError),
        (lambda x: F.irfft(x[:, :1]), ValueError),
        (lambda x: F.fftn(mx.array(1.0)), ValueError),
        (lambda x: F.fftshift(x, 2), IndexError),
        (lambda x: F.fftfreq(0), ValueError),
        (lambda x: F.fftfreq(4, 0.0), ValueError),
        (lambda x: F.rfftfreq(2.5), TypeError),
        (lambda x: F.rfftfreq(2, "d"), TypeError),
        (lambda x: F.stft(x, 8, center=False), ValueError),
        (lambda x: F.stft(mx.ones((9,)), 8, 0), ValueError),
        (lambda x: F.stft(mx.ones((9,)), 8, window=mx.ones((9,))), ValueError),
        (lambda x: F.stft(mx.ones((9,)), 8, window=mx.ones((2, 2))), ValueError),
        (lambda x: F.stft(mx.ones((9,)), 8, pad_mode="other"), ValueError),
        (lambda x: F.istft(mx.ones((9,))), ValueError),
        (lambda x: F.istft(mx.ones((5, 4)), length=-1), ValueError),
    ],
)
def test_errors(function: Callable[[mx.array], Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        function(mx.ones((2, 3)))
