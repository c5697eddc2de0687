"""What a row of the op table says. The rows are in `op_cases*.py`; `harness.py` and `test_*.py` run them.

A row holds the op as a function of the framework's module (so that the same row runs in Tarry and in MLX), a
NumPy reference that computes in float64, how to draw the inputs, the shapes and constant arguments to try,
the dtypes, the tolerance, and what is differentiable.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle import ALL_DTYPES, COMPLEX, FLOATS, INTEGERS, UNSIGNED, round_to

Shape = tuple[int, ...]

INFINITY = float("inf")
NAN = float("nan")
# Zeros of both signs, infinities, nan, the smallest subnormal and the largest magnitude of float32, and plain
# values.
FLOAT_SPECIALS = (
    0.0,
    -0.0,
    INFINITY,
    -INFINITY,
    NAN,
    1.0,
    -1.0,
    1.4e-45,
    -1.4e-45,
    3.0e38,
    -3.0e38,
    0.5,
    2.5,
    -2.5,
)
# For pairs of inputs: fewer values, since every pair of them is tried.
PAIR_SPECIALS = (0.0, -0.0, INFINITY, -INFINITY, NAN, 1.0, -1.0, 1.4e-45, 2.5, -2.5, 3.0e38)


class Draw:
    """How one input is drawn.

    Floats are uniform in [low, high), with a random sign if `signed`; integers uniform in `integers`
    (unsigned dtypes start no lower than 0). `distinct` spreads the values evenly and shuffles them: no ties;
    `whole` rounds them: ties and zeros. `dtype` fixes the dtype of an input that does not follow the row's (a
    condition, an index); such an input is not differentiated.
    """

    def __init__(
        self,
        low: float = -2.0,
        high: float = 2.0,
        *,
        signed: bool = False,
        integers: tuple[int, int] = (-4, 5),
        distinct: bool = False,
        whole: bool = False,
        dtype: str | None = None,
    ) -> None:
        self.low = low
        self.high = high
        self.signed = signed
        self.integers = integers
        self.distinct = distinct
        self.whole = whole
        self.dtype = dtype

    def sample(self, random: np.random.Generator, shape: Shape, dtype: str) -> np.ndarray:
        """Values of the given shape, representable in `dtype` (floats held in float64, complex in
        complex128).
        """
        if dtype == "bool":
            return np.asarray(random.random(shape) < 0.5)
        if dtype in INTEGERS:
            low, high = self.integers
            return np.asarray(random.integers(max(low, 0) if dtype in UNSIGNED else low, high, shape)).astype(
                dtype
            )
        values = self._reals(random, shape)
        if dtype in COMPLEX:
            values = values + 1j * self._reals(random, shape)
        return round_to(values, dtype)

    def _reals(self, random: np.random.Generator, shape: Shape) -> np.ndarray:
        if self.distinct:
            count = int(np.prod(shape))
            return np.linspace(self.low, self.high, count)[random.permutation(count)].reshape(shape)
        values = np.asarray(random.uniform(self.low, self.high, shape))
        if self.whole:
            # Adding zero turns -0.0 into 0.0: signs of zeros are for the special values.
            return np.round(values) + 0.0
        return values * random.choice([-1.0, 1.0], shape) if self.signed else values


ANY = Draw()
POSITIVE = Draw(0.3, 3.0, integers=(1, 6))
NONZERO = Draw(0.4, 2.5, signed=True, integers=(1, 5))
UNIT = Draw(-0.9, 0.9, integers=(0, 1))
DISTINCT = Draw(distinct=True)
WHOLE = Draw(whole=True, integers=(-1, 2))
CONDITION = Draw(dtype="bool")


def index(low: int, high: int, dtype: str = "int32") -> Draw:
    """Indices in [low, high)."""
    return Draw(integers=(low, high), dtype=dtype)


class Variant:
    """One set of input shapes with the constant arguments that go with them."""

    def __init__(self, *shapes: Shape, **options: Any) -> None:
        self.shapes = shapes
        self.options = options

    @property
    def empty(self) -> bool:
        """Whether some input has no elements."""
        return any(0 in shape for shape in self.shapes)

    def __repr__(self) -> str:
        parts = ["x".join(map(str, shape)) or "scalar" for shape in self.shapes]
        parts += [f"{name}={value}".replace(" ", "") for name, value in self.options.items()]
        return "-".join(parts) or "plain"


# The first shape of a list is the main one: 35 elements are four vectors of eight and a tail of three.
UNARY_VARIANTS = (Variant((5, 7)), Variant(()), Variant((0, 3)), Variant((2, 3, 4)))
BINARY_VARIANTS = (
    Variant((5, 7), (5, 7)),
    Variant((), ()),
    Variant((5, 7), (7,)),
    Variant((5, 1), (1, 7)),
    Variant((), (5, 7)),
    Variant((0, 3), (1, 3)),
    Variant((2, 1, 4), (3, 1)),
)


class OpCase:
    """A row of the op table.

    name: the row's name (the op's public name, with a suffix if an op has several rows).
    function(module, *arrays, **options): the op; `module` is tarry.core or mlx.core. One output or several.
    reference(*values, **options): the same in NumPy, on float64 / complex128 / exact integer arrays.
    integers: "float" if integers are converted to floating point first, "exact" if they stay integers.
    ulps, absolute: tolerances, see `oracle.assert_close`.
    differentiable: the positions of the inputs with a gradient; `smooth`: whether second derivatives exist.
    specials: values tried in every input (all pairs for two inputs), with the signs of zeros compared if
        `signed_zero`; integer_specials likewise with each dtype's least and greatest value.
    mapped: whether vmap applies (not so for ops that create arrays).
    creates: the function takes a keyword `dtype` (a dtype object) and no arrays.
    oracle_dtypes: the dtypes in which MLX gives a defined, sensible result; elsewhere Tarry stands alone.
    oracle_gradients: whether MLX's gradient is right (for a few ops it drops or mixes up terms).
    primitives: names of primitives whose presence in the row's graph is required.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        reference: Callable[..., Any],
        *,
        draws: Sequence[Draw] = (ANY,),
        variants: Sequence[Variant] = UNARY_VARIANTS,
        dtypes: Sequence[str] = ALL_DTYPES,
        integers: str = "exact",
        ulps: float = 2.0,
        absolute: float = 0.0,
        differentiable: Sequence[int] = (),
        smooth: bool = True,
        specials: Sequence[float] = (),
        integer_specials: bool = False,
        signed_zero: bool = True,
        mapped: bool = True,
        creates: bool = False,
        oracle_dtypes: Sequence[str] | None = None,
        oracle_gradients: bool = True,
        primitives: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.function = function
        self.reference = reference
        self.draws = tuple(draws)
        self.variants = tuple(variants)
        self.dtypes = tuple(dtypes)
        self.integers = integers
        self.ulps = ulps
        self.absolute = absolute
        self.differentiable = tuple(differentiable)
        self.smooth = smooth and bool(self.differentiable)
        self.specials = tuple(specials)
        self.integer_specials = integer_specials
        self.signed_zero = signed_zero
        self.mapped = mapped and bool(self.draws)
        self.creates = creates
        self.oracle_dtypes = self.dtypes if oracle_dtypes is None else tuple(oracle_dtypes)
        self.oracle_gradients = oracle_gradients
        self.primitives = tuple(primitives)

    def __repr__(self) -> str:
        return self.name

    def dtype_of_input(self, position: int, dtype: str) -> str:
        """The dtype of one input when the row runs in `dtype`."""
        return self.draws[position].dtype or dtype

    def sample(self, variant: Variant, dtype: str, purpose: str = "") -> list[np.ndarray]:
        """Inputs for one variant, the same in every run; `purpose` gives another draw (a tangent, another
        slice).
        """
        seed = zlib.crc32(f"{self.name} {variant!r} {dtype} {purpose}".encode())
        random = np.random.default_rng(seed)
        return [
            draw.sample(random, shape, draw.dtype or dtype)
            for draw, shape in zip(self.draws, variant.shapes, strict=True)
        ]

    def expected(self, values: Sequence[np.ndarray], options: dict[str, Any]) -> list[np.ndarray]:
        """The reference outputs for the given input values."""
        prepared = []
        for draw, value in zip(self.draws, values, strict=True):
            follows = draw.dtype is None and self.integers == "float"
            prepared.append(value.astype(np.float64) if follows and value.dtype.kind in "biu" else value)
        with np.errstate(all="ignore"):
            result = self.reference(*prepared, **options)
        outputs = list(result) if isinstance(result, (list, tuple)) else [result]
        return [np.asarray(output) for output in outputs]

    def floats(self) -> list[str]:
        """The row's real floating dtypes."""
        return [name for name in self.dtypes if name in FLOATS]
