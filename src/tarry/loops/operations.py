"""The closed set of scalar operations, with their typing and a reference meaning.

`PURE` maps a name to (number of arguments, rule). Rules: `same` - arguments and result have one dtype;
`compare` - arguments of one dtype, result bool; `select` - a condition and two values of one dtype;
`free` - the dtype is given (cast, bitcast). Kinds restrict the dtype: f floating, c complex, i signed
and u unsigned integers, b bool.

Integers wrap. floordiv and mod round towards minus infinity; x floordiv 0 = 0, x mod 0 = x. shl and shr take
the count modulo the width; shr of a signed integer keeps the sign. min and max give NaN when either is NaN.
cast float -> integer truncates; out of range gives the smallest integer of 32 or 64 bits, then wraps.
"""

from __future__ import annotations


class Operation:
    __slots__ = ("arity", "cost", "kinds", "name", "rule")

    def __init__(self, name: str, arity: int, rule: str, kinds: str, cost: int) -> None:
        self.name = name
        self.arity = arity
        self.rule = rule
        self.kinds = kinds
        self.cost = cost


_TABLE: tuple[tuple[str, int, str, str, int], ...] = (
    # name, arity, rule, kinds, cost in units of one addition
    ("add", 2, "same", "uifc", 1),
    ("sub", 2, "same", "uifc", 1),
    ("mul", 2, "same", "uifc", 1),
    ("div", 2, "same", "fc", 5),
    ("floordiv", 2, "same", "uif", 8),
    ("mod", 2, "same", "uif", 8),
    ("fma", 3, "same", "f", 1),
    ("neg", 1, "same", "uifc", 1),
    ("abs", 1, "same", "uif", 1),
    ("min", 2, "same", "uifb", 2),
    ("max", 2, "same", "uifb", 2),
    ("and", 2, "same", "uib", 1),
    ("or", 2, "same", "uib", 1),
    ("xor", 2, "same", "uib", 1),
    ("not", 1, "same", "uib", 1),
    ("shl", 2, "same", "ui", 1),
    ("shr", 2, "same", "ui", 1),
    ("eq", 2, "compare", "uifbc", 1),
    ("ne", 2, "compare", "uifbc", 1),
    ("lt", 2, "compare", "uifb", 1),
    ("le", 2, "compare", "uifb", 1),
    ("gt", 2, "compare", "uifb", 1),
    ("ge", 2, "compare", "uifb", 1),
    ("select", 3, "select", "uifbc", 1),
    ("cast", 1, "free", "uifbc", 1),
    ("bitcast", 1, "free", "uif", 0),
    ("sqrt", 1, "same", "fc", 6),
    ("floor", 1, "same", "f", 1),
    ("ceil", 1, "same", "f", 1),
    ("round", 1, "same", "f", 1),  # to nearest, ties to even
    ("trunc", 1, "same", "f", 1),
    ("complex", 2, "free", "f", 0),  # two float32 -> complex64
    ("real", 1, "free", "c", 0),
    ("imag", 1, "free", "c", 0),
)

# Elementary functions: codegen.expand rewrites them in terms of the operations above.
ELEMENTARY: dict[str, int] = {
    "exp": 10, "expm1": 14, "log": 12, "log1p": 16, "log2": 12, "log10": 12,
    "sin": 20, "cos": 20, "tan": 30, "sinh": 16, "cosh": 16, "tanh": 14,
    "asin": 16, "acos": 16, "atan": 16, "asinh": 20, "acosh": 20, "atanh": 18,
    "erf": 16, "erfinv": 24, "sigmoid": 14, "rsqrt": 8,
    "log_mlx": 60, "erfinv_mlx": 80,  # float32 with the bits of MLX's, for its random numbers
}  # fmt: skip
ELEMENTARY_BINARY: dict[str, int] = {"pow": 30, "atan2": 24, "logaddexp": 26}

PURE: dict[str, Operation] = {row[0]: Operation(*row) for row in _TABLE}
_REAL_ONLY = frozenset({"erf", "erfinv", "erfinv_mlx", "log_mlx", "atan2"})
for _name, _cost in ELEMENTARY.items():
    PURE[_name] = Operation(_name, 1, "same", "f" if _name in _REAL_ONLY else "fc", _cost)
for _name, _cost in ELEMENTARY_BINARY.items():
    PURE[_name] = Operation(_name, 2, "same", "f" if _name in _REAL_ONLY else "fc", _cost)

# Operations with an attribute instead of, or beside, arguments.
SPECIAL = frozenset({"const", "scalar", "size", "index", "load", "read", "libm"})


def cost_of(op: str) -> int:
    """The rough cost of one evaluation, in additions."""
    operation = PURE.get(op)
    if operation is not None:
        return operation.cost
    return 40 if op == "libm" else 1
