"""The two kinds of random programs: exact ones over all dtypes, smooth ones that have gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from program_maker import LARGEST_EXACT, LARGEST_SMOOTH, Interval, Maker

import tarry.core as mx
from oracle import COMPLEX, FLOATS, INTEGERS, dtype_name, from_numpy


class ExactMaker(Maker):
    """Integers in dtypes of all kinds."""

    dtypes = ("int32", "int32", "float32", "float32", "bool", "uint8", "int64", "float16", "int8", "uint32",
              "bfloat16", "float64", "uint64", "int16", "uint16")  # fmt: skip

    def add_leaf(self) -> None:
        name = self.random.choice(self.dtypes)
        values = np.random.default_rng(self.random.randrange(1 << 16)).integers(-5, 6, self.shape())
        if name == "bool":
            self.leaf(values > 0, name)
        else:
            self.leaf(np.abs(values) if name.startswith("u") else values, name)

    def fits(self, value: mx.array, interval: Interval) -> bool:
        name = dtype_name(value)
        if name in INTEGERS or name == "bool":
            # Wrapping around is exact; only beyond int64 does the interval mean nothing.
            return max(-interval[0], interval[1]) < 2.0**62
        return name in LARGEST_EXACT and max(-interval[0], interval[1]) <= LARGEST_EXACT[name]

    def unary(self, x: int) -> tuple[str, Interval] | None:
        name, (low, high) = self.name(x), self.intervals[x]
        if name == "bool":
            return "mx.logical_not(a)", (0.0, 1.0)
        reach = max(-low, high)
        signed = not name.startswith("u")
        least = 0.0 if not signed else -reach
        found = [
            ("mx.maximum(a, 2)", (low, max(high, 2.0))),
            ("mx.square(a)", (0.0, reach * reach)),
            ("a * 3 + 1", (3 * low + 1, 3 * high + 1)),
            ("a % 7", (0.0, 7.0)),
            ("a // 3", (least - 1 if signed else 0.0, high)),
            ("a > 2", (0.0, 1.0)),
            ("mx.clip(a, 0, 3)", (0.0, 3.0)),
        ]
        if signed:
            found += [("mx.abs(a)", (0.0, reach)), ("-a", (-high, -low)), ("mx.sign(a)", (-1.0, 1.0))]
        if name in FLOATS:
            found += [("mx.floor(a * 0.5)", (low - 1, high)), ("mx.isnan(a)", (0.0, 1.0))]
        else:
            found += [("a & 6", (0.0, 6.0)), ("a >> 1", (low, high)), ("a ^ 5", (low - 8, high + 8))]
        return self.random.choice(found)

    def binary_names(self, x: int, y: int) -> Sequence[str]:
        names = ["less", "greater_equal", "equal", "not_equal"]
        names += ["maximum", "minimum", "logical_and", "logical_or"]
        kinds = {self.name(x), self.name(y)}
        if not self.may_meet(x, y):
            return ()
        if "bool" not in kinds:
            names += ["add", "multiply"]
            # Below zero an unsigned type wraps around, and that is no float any more.
            names += ["subtract", "add", "multiply"]
        if not kinds & set(FLOATS) and "uint64" not in kinds:
            names += ["bitwise_and", "bitwise_xor"]
        return names

    def may_meet(self, x: int, y: int) -> bool:
        """Whether both are exact in their common dtype."""
        common = dtype_name(mx.result_type(self.values[x].dtype, self.values[y].dtype))
        return self.may_cast(x, common) and self.may_cast(y, common)

    def may_cast(self, x: int, name: str) -> bool:
        if name == "bool":
            return True
        if name in FLOATS:
            return self.magnitude(x) <= LARGEST_EXACT[name]
        if self.name(x) in FLOATS:
            return self.holds(name, self.intervals[x])
        return True

    def cast_targets(self) -> Sequence[str]:
        return self.dtypes

    def reductions(self, x: int) -> Sequence[str]:
        if self.name(x) == "bool" or self.values[x].size == 0:
            return ("any", "all", "sum")
        return ("sum", "sum", "max", "min", "argmax", "argmin", "any", "all", "count_nonzero")

    def scans(self, x: int) -> Sequence[str]:
        if self.name(x) == "bool" or self.values[x].size == 0:
            return ()
        return ("cumsum", "cummax", "cummin")

    def sorts(self) -> Sequence[str]:
        return ("sort", "argsort", "topk")

    def make_spread(self, x: int) -> None:
        if not self.name(x).startswith("u") and self.values[x].size:
            super().make_spread(x)

    def keep(self, text: str, *operands: int) -> None:
        arrays = operands[1:] if text.startswith("mx.where") else operands
        if len(arrays) == 1 or "written" in text or self.may_meet(arrays[0], arrays[1]):
            super().keep(text, *operands)


class SmoothMaker(Maker):
    """Floating-point numbers, and conditions that do not depend on them."""

    dtypes: tuple[str, ...] = ("float32",) * 6 + ("float16", "bfloat16", "complex64", "float64", "bool")
    unaries = (
        ("mx.tanh(a)", 1.0), ("mx.sin(a)", 1.0), ("mx.cos(a)", 1.0), ("mx.exp(-mx.square(mx.tanh(a)))", 1.0),
        ("a * 0.5 - 0.25", None), ("-a", None), ("1 / (mx.square(mx.tanh(a)) + 1)", 1.0), ("a / 3", None),
    )  # fmt: skip
    real_unaries = (
        ("mx.sigmoid(a)", 1.0), ("mx.log1p(mx.abs(a) + 0.5)", 4.0), ("mx.sqrt(mx.square(a) + 1)", None),
        ("mx.erf(a)", 1.0), ("mx.abs(a)", None), ("mx.maximum(a, 0.1)", None), ("mx.clip(a, -1.3, 1.7)", 2.0),
        ("mx.logaddexp(a, 0.0)", None), ("mx.arctan(a)", 2.0), ("mx.softmax(a, axis=-1)", 1.0),
        ("mx.softmax(a)", 1.0), ("mx.stop_gradient(a)", None),
    )  # fmt: skip

    def add_leaf(self) -> None:
        name = "float32" if not self.leaves else self.random.choice(self.dtypes)
        generator = np.random.default_rng(self.random.randrange(1 << 16))
        shape = self.shape()
        values = generator.standard_normal(shape).clip(-3, 3)
        if name == "complex64":
            values = values + 1j * generator.standard_normal(shape).clip(-3, 3)
        self.leaf(values > 0 if name == "bool" else values, name)

    def fits(self, value: mx.array, interval: Interval) -> bool:
        return max(-interval[0], interval[1]) <= LARGEST_SMOOTH and value.size > 0

    def unary(self, x: int) -> tuple[str, Interval] | None:
        name, reach = self.name(x), self.magnitude(x)
        if name == "bool":
            return "mx.logical_not(a)", (0.0, 1.0)
        texts = self.unaries + (self.real_unaries if name not in COMPLEX else ())
        text, bound = self.random.choice(texts)
        if text.startswith("mx.softmax(a") and self.values[x].ndim == 0:
            return None
        # Functions of complex numbers grow; what is bounded is bounded on the real line.
        if name in COMPLEX and bound is not None:
            text, bound = "a * 0.5", None
        limit = reach + 1.3 if bound is None else bound
        return text, (-limit, limit)

    def binary_names(self, x: int, y: int) -> Sequence[str]:
        kinds = {self.name(x), self.name(y)}
        if "bool" in kinds:
            return ("multiply", "add") if len(kinds) > 1 else ("logical_and", "logical_or")
        names = ["add", "subtract", "multiply"]
        return names if kinds & set(COMPLEX) else [*names, "maximum", "minimum", "logaddexp"]

    def may_cast(self, x: int, name: str) -> bool:
        return self.name(x) != "bool" and (self.name(x) not in COMPLEX or name in COMPLEX)

    def cast_targets(self) -> Sequence[str]:
        return [name for name in self.dtypes if name != "bool"]

    def reductions(self, x: int) -> Sequence[str]:
        if self.name(x) == "bool":
            return ("any", "all")
        if self.name(x) in COMPLEX:
            return ("sum", "mean")
        return ("sum", "mean", "mean", "max", "min", "logsumexp", "var")

    def scans(self, x: int) -> Sequence[str]:
        if self.name(x) in (*COMPLEX, "bool"):
            return ()
        return ("cumsum", "cummax", "logcumsumexp")

    def sorts(self) -> Sequence[str]:
        return ("sort", "sort", "topk")

    def make_spread(self, x: int) -> None:
        if self.name(x) not in COMPLEX:
            super().make_spread(x)


class DoubleMaker(SmoothMaker):
    """Smooth programs in float64 alone, for finite differences."""

    dtypes = ("float64", "float64", "float64", "bool")

    def add_leaf(self) -> None:
        super().add_leaf()
        values, name = self.leaves[-1]
        if name == "float32":
            self.leaves[-1] = (values, "float64")
            self.values[-1] = from_numpy(mx, values, "float64")
