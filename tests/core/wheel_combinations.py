"""Random calls of unary, binary and reducing ops in Tarry and the MLX wheel, and where they may differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import tarry.core as mx
from oracle import (
    ALL_DTYPES,
    COMPLEX,
    EPSILON,
    FLOATS,
    INEXACT,
    as_list,
    dtype_name,
    from_numpy,
    mlx,
    to_numpy,
)

NAMES: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "shape" / "mlx_names.json").read_text(encoding="utf-8")
)["mlx.core"]
# They take something else than one or two arrays, or give other things than arrays of numbers.
OTHERS = {"broadcast_arrays", "to_fp8", "tile"}
UNARY = sorted(name for name, given in NAMES.items() if given == ["_", "*", "stream"] and name not in OTHERS)
BINARY = sorted(
    name for name, given in NAMES.items() if given == ["_", "_", "*", "stream"] and name not in OTHERS
)
REDUCTIONS = sorted(
    name for name, given in NAMES.items() if given and "axis" in given and "keepdims" in given
)
# A shift by a negative number of bits is undefined.
SHIFTS = {"bitwise_left_shift", "bitwise_right_shift", "left_shift", "right_shift"}
DIVISIONS = {"divmod", "floor_divide", "remainder"}
EXTENTS = (0, 1, 1, 2, 3, 7)


class Call:
    """An op with its operands, as values and dtypes, and its other arguments."""

    def __init__(
        self, name: str, operands: Sequence[tuple[np.ndarray, str]], options: dict[str, Any]
    ) -> None:
        self.name = name
        self.operands = list(operands)
        self.options = options

    @property
    def dtypes(self) -> tuple[str, ...]:
        return tuple(name for _, name in self.operands)

    @property
    def empty(self) -> bool:
        return any(values.size == 0 for values, _ in self.operands)

    def outcome(self, module: Any) -> list[Any] | str:
        """The results, or the name of the exception."""
        arrays = [from_numpy(module, values, name) for values, name in self.operands]
        try:
            found = as_list(getattr(module, self.name)(*arrays, **self.options))
            module.eval(found)
        except Exception as error:
            return type(error).__name__
        return found

    def __repr__(self) -> str:
        texts = [f"{name}{values.shape} {values.ravel()[:6].tolist()}" for values, name in self.operands]
        return f"{self.name}({', '.join(texts)}, {self.options})"


def draw_values(random: Random, shape: Sequence[int], name: str) -> np.ndarray:
    generator = np.random.default_rng(random.randrange(1 << 30))
    values = generator.integers(-6, 7, shape) * random.choice((0.5, 0.125, 1.0))
    if name == "bool":
        return values > 0
    if name in COMPLEX:
        return values + 1j * generator.integers(-4, 5, shape) * 0.5
    if name in FLOATS:
        return values
    return np.abs(np.trunc(values)) if name.startswith("u") else np.trunc(values)


def draw_shape(random: Random) -> list[int]:
    return [random.choice(EXTENTS) for _ in range(random.randrange(4))]


def draw_unary(random: Random) -> Call:
    name = random.choice(ALL_DTYPES)
    return Call(random.choice(UNARY), [(draw_values(random, draw_shape(random), name), name)], {})


def draw_binary(random: Random) -> Call:
    shape, operands = draw_shape(random), []
    names = [random.choice(ALL_DTYPES) for _ in range(2)]
    for name in names:
        own = [1 if random.random() < 0.2 else extent for extent in shape]
        own = own[random.randrange(len(own) + 1) :] if random.random() < 0.3 else own
        # Shapes that do not fit, where nothing else is wrong.
        if own and names[0] == names[1] and random.random() < 0.2:
            own[0] += 1
        operands.append((draw_values(random, own, name), name))
    op = random.choice(BINARY)
    if op in DIVISIONS:
        # The wheel ends the process when divmod divides integers by 0.
        values, name = operands[1]
        operands[1] = (np.where(values == 0, values + 1, values).astype(values.dtype), name)
    if op in SHIFTS:
        operands[1] = (np.abs(operands[1][0]), names[1])
    return Call(op, operands, {})


def draw_reduction(random: Random) -> Call:
    op, shape, name = random.choice(REDUCTIONS), draw_shape(random), random.choice(ALL_DTYPES)
    options: dict[str, Any] = {}
    if random.random() < 0.8:
        options["axis"] = random.randrange(-len(shape) - 1, len(shape) + 1) if random.random() < 0.6 else None
        if random.random() < 0.3 and shape and not op.startswith("arg"):
            options["axis"] = tuple(random.sample(range(len(shape)), random.randrange(1, len(shape) + 1)))
    if random.random() < 0.5:
        options["keepdims"] = random.random() < 0.7
    if "ddof" in NAMES[op] and random.random() < 0.3:
        options["ddof"] = random.randrange(3)
    return Call(op, [(draw_values(random, shape, name), name)], options)


DRAWS: dict[str, Callable[[Random], Call]] = {
    "unary": draw_unary,
    "binary": draw_binary,
    "reductions": draw_reduction,
}


def known_difference(call: Call) -> str | None:
    """The reason for which Tarry and the wheel differ in a call, if they are meant to.

    All stand in docs/beyond-mlx.md.
    """
    integers = not set(call.dtypes) & set(INEXACT)
    if call.name in ("inner", "matmul") and integers and set(call.dtypes) != {"bool"}:
        return "products of integers, which the wheel refuses"
    if call.name in REDUCTIONS and call.empty:
        return "the wheel sometimes never returns from std of an empty array; NumPy decides (op table)"
    if call.name == "expm1" and call.dtypes == ("complex64",):
        return "complex numbers, which the wheel refuses"
    if call.name in ("floor_divide", "divmod") and "complex64" in call.dtypes:
        return "the wheel takes complex numbers, of which there is no floor"
    if call.name.startswith("arg") and not call.operands[0][0].shape and call.options.get("keepdims"):
        return "the wheel fails: cannot create std::vector larger than max_size()"
    return None


def difference(call: Call) -> str | None:
    """What differs between Tarry and the wheel."""
    ours, theirs = call.outcome(mx), call.outcome(mlx)
    if isinstance(ours, str) or isinstance(theirs, str):
        said = [found if isinstance(found, str) else "a result" for found in (ours, theirs)]
        return None if said[0] == said[1] else f"{said[0]}, the wheel: {said[1]}"
    for mine, other in zip(ours, theirs, strict=True):
        if dtype_name(mine) != dtype_name(other):
            return f"dtype {dtype_name(mine)}, the wheel: {dtype_name(other)}"
        if tuple(mine.shape) != tuple(other.shape):
            return f"shape {tuple(mine.shape)}, the wheel: {tuple(other.shape)}"
        if not values_agree(to_numpy(mx, mine), to_numpy(mlx, other), dtype_name(mine)):
            return f"values {to_numpy(mx, mine)}, the wheel: {to_numpy(mlx, other)}"
    return None


def values_agree(mine: np.ndarray, other: np.ndarray, name: str) -> bool:
    if name not in INEXACT:
        return np.array_equal(mine, other)
    # Some of the wheel's elementary functions are off by 1e-5 even in float64; half types add up in half.
    tolerance = 16 * max(EPSILON[name], 2.0**-20)
    with np.errstate(all="ignore"):
        return bool(np.allclose(mine, other, rtol=tolerance, atol=tolerance, equal_nan=True))
