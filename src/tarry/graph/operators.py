"""The one late binding in the house: array's methods reach `ops`, and evaluation the engine, through here.

`ops/__init__` fills the operations, `engine` fills `evaluate`. The attributes are the whole list of what an
array can be asked to do that its own file does not define.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tarry.graph.array import array
    from tarry.graph.node import Node

    Operation = Callable[..., array]


class Unbound:
    """What stands in an operation's place until its module is imported."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *_: object, **__: object) -> Any:
        raise RuntimeError(f"[{self.name}] The operation is not loaded: import tarry.core first.")


class Operators:
    """A table of operations by name, each the public function of the same name.

    `evaluate` computes nodes; `from_numpy(op, value, dtype)` makes an array of NumPy values, with errors
    named after `op`; `get_item(a, index)` and `set_item(a, index, value)` are Python indexing, the latter
    without changing `a`; `at(a)` is what `a.at` gives; `wrap(node)` is an array on a node.
    """

    __slots__ = (
        "abs",
        "add",
        "all",
        "any",
        "arange",
        "argmax",
        "argmin",
        "as_strided",
        "astype",
        "at",
        "bitwise_and",
        "bitwise_invert",
        "bitwise_or",
        "bitwise_xor",
        "concatenate",
        "conjugate",
        "cos",
        "cummax",
        "cummin",
        "cumprod",
        "cumsum",
        "diag",
        "diagonal",
        "divide",
        "equal",
        "evaluate",
        "exp",
        "flatten",
        "floor_divide",
        "from_numpy",
        "get_item",
        "greater",
        "greater_equal",
        "imag",
        "left_shift",
        "less",
        "less_equal",
        "log",
        "log1p",
        "log2",
        "log10",
        "logaddexp",
        "logcumsumexp",
        "logical_and",
        "logical_not",
        "logical_or",
        "logsumexp",
        "matmul",
        "max",
        "maximum",
        "mean",
        "min",
        "minimum",
        "moveaxis",
        "multiply",
        "negative",
        "not_equal",
        "power",
        "prod",
        "real",
        "reciprocal",
        "remainder",
        "reshape",
        "right_shift",
        "round",
        "rsqrt",
        "set_item",
        "sigmoid",
        "sign",
        "sin",
        "split",
        "sqrt",
        "square",
        "squeeze",
        "stack",
        "std",
        "stop_gradient",
        "subtract",
        "sum",
        "swapaxes",
        "take",
        "tanh",
        "transpose",
        "var",
        "view",
        "where",
        "wrap",
    )

    evaluate: Callable[[Sequence[Node]], None]
    at: Callable[[array], Any]
    from_numpy: Callable[..., array]
    split: Callable[..., list[array]]
    abs: Operation
    add: Operation
    all: Operation
    any: Operation
    arange: Operation
    argmax: Operation
    argmin: Operation
    as_strided: Operation
    astype: Operation
    bitwise_and: Operation
    bitwise_invert: Operation
    bitwise_or: Operation
    bitwise_xor: Operation
    concatenate: Operation
    conjugate: Operation
    cos: Operation
    cummax: Operation
    cummin: Operation
    cumprod: Operation
    cumsum: Operation
    diag: Operation
    diagonal: Operation
    divide: Operation
    equal: Operation
    exp: Operation
    flatten: Operation
    floor_divide: Operation
    get_item: Operation
    greater: Operation
    greater_equal: Operation
    imag: Operation
    left_shift: Operation
    less: Operation
    less_equal: Operation
    log: Operation
    log10: Operation
    log1p: Operation
    log2: Operation
    logaddexp: Operation
    logcumsumexp: Operation
    logical_and: Operation
    logical_not: Operation
    logical_or: Operation
    logsumexp: Operation
    matmul: Operation
    max: Operation
    maximum: Operation
    mean: Operation
    min: Operation
    minimum: Operation
    moveaxis: Operation
    multiply: Operation
    negative: Operation
    not_equal: Operation
    power: Operation
    prod: Operation
    real: Operation
    reciprocal: Operation
    remainder: Operation
    reshape: Operation
    right_shift: Operation
    round: Operation
    rsqrt: Operation
    set_item: Operation
    sigmoid: Operation
    sign: Operation
    sin: Operation
    sqrt: Operation
    square: Operation
    squeeze: Operation
    stack: Operation
    std: Operation
    stop_gradient: Operation
    subtract: Operation
    sum: Operation
    swapaxes: Operation
    take: Operation
    tanh: Operation
    transpose: Operation
    var: Operation
    view: Operation
    where: Operation
    wrap: Callable[[Node], array]

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, Unbound(name))

    def bind(self, **functions: Callable[..., Any]) -> None:
        """Fill places of the table."""
        for name, function in functions.items():
            if name not in self.__slots__:
                raise AttributeError(f"[operators] The table has no place named {name!r}.")
            setattr(self, name, function)

    def names(self) -> tuple[str, ...]:
        """The places of the table."""
        return self.__slots__


operators = Operators()
