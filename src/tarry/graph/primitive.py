"""What an operation is: its name, its parameters, and its rules for the three transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from tarry.base.digest import text_number

if TYPE_CHECKING:
    from tarry.graph.array import array


Scalar = bool | int | float | complex

_numbers: dict[tuple[object, ...], int] = {}
_keys: dict[int, tuple[object, ...]] = {}
# What stands for the same operation in every process is not less than this.
_PORTABLE = 1 << 59


def intern_key(key: tuple[object, ...], portable: bool = True) -> int:
    """The number of an operation with its structural parameters: what plan keys are made of.

    Of operations of Tarry with plain parameters it is the same in every process, so that plans can be kept
    on disk, unless it is not to be `portable`.
    """
    number = _numbers.get(key)
    if number is None:
        number = len(_keys)
        text = _portable_text(key) if portable else None
        if text is not None and _keys.setdefault(text_number(text), key) is key:
            number = text_number(text)
        # Another thread may have been faster.
        number = _numbers.setdefault(key, number)
        _keys[number] = key
    return number


def is_portable(number: int) -> bool:
    """Whether another process has the same number for this operation."""
    return number >= _PORTABLE


def _portable_text(item: object) -> str | None:
    """A text that says what a part of a key is; None for what may be something else in another process."""
    if isinstance(item, tuple):
        texts = [_portable_text(part) for part in item]
        return None if None in texts else f"({','.join([text for text in texts if text is not None])})"
    if isinstance(item, type):
        return f"{item.__module__}.{item.__qualname__}" if item.__module__.startswith("tarry.") else None
    if item is None or type(item) in (bool, int, float, complex, str):
        return repr(item)
    return None


class Primitive:
    """One class per operation.

    Parameters come in two kinds. Structural ones (`params()`: axes, a mode, a dtype) are part of the plan key
    and may shape the code. `arguments` are integers that only enter the argument vector of a plan (a slice's
    start): changing them compiles nothing.

    The rules work on arrays. `vjp` and `jvp` receive the arrays the operation was applied to.
    """

    name: ClassVar[str] = ""
    # True when shape and dtype of the output or the number of inputs do not follow from the structural
    # parameters and the inputs' shapes and dtypes.
    shaped: ClassVar[bool] = True
    # True when the op changes a copy of its first input, or that input itself when nobody else needs it. Its
    # loops are the dimensions of the second input.
    updates: ClassVar[bool] = False

    # What fusion asks (compiler.fuse, compiler.group).
    # True when the op has a kernel, or several, of its own: its result is stored, and joins no other kernel.
    barrier: ClassVar[bool] = True
    # True when that kernel reads its inputs as strides over memory: what they are views of is stored for it.
    # Inputs of other such ops are computed in their kernels.
    reads_strides: ClassVar[bool] = False
    # True when elementwise work on the result may join that kernel.
    takes_epilogue: ClassVar[bool] = False
    # True when the op computes nothing, but says where in its first input the values stand.
    moves: ClassVar[bool] = False
    # True when every element of the only input is found in the result.
    shows_all: ClassVar[bool] = False

    __slots__ = ("arguments", "key")

    def __init__(self, arguments: tuple[int, ...] = ()) -> None:
        self.arguments = arguments
        self.key = intern_key((type(self), *self.params()))

    @property
    def scalars(self) -> tuple[Scalar, ...]:
        """Python numbers that only enter the argument vector of a plan: the number of a constant."""
        return ()

    def params(self) -> tuple[object, ...]:
        """The structural parameters, hashable."""
        return ()

    def operand_axes(self, number: int) -> Sequence[int] | None:
        """The loops of the op's own kernel that are the dimensions of an input; None for all of them."""
        return None

    def result_of(self) -> int | None:
        """What is equal for all results of one run with the same inputs; None for an op with one result."""
        return None

    def vjp(
        self, inputs: Sequence[array], output: array, cotangent: array, wanted: Sequence[int]
    ) -> list[array | None]:
        """The cotangents of the inputs numbered in `wanted`; None stands for zero."""
        raise ValueError(f"[{self.name}] has no gradient.")

    def jvp(self, inputs: Sequence[array], output: array, tangents: Sequence[array | None]) -> array | None:
        """The tangent of the output; a tangent of None stands for zero."""
        raise ValueError(f"[{self.name}] has no forward derivative.")

    def vmap(
        self, inputs: Sequence[array], axes: Sequence[int | None], size: int, output: array
    ) -> tuple[array, int]:
        """The operation on inputs with a batch axis each (None: not batched), at least one of them batched.

        `size` is the extent of the batch; `output` is the unbatched result, of which shape and dtype may be
        read. Gives the batched result and the place of its batch axis.
        """
        raise ValueError(f"[{self.name}] cannot be vectorised by vmap.")

    def __repr__(self) -> str:
        listed = ", ".join(str(item) for item in (*self.params(), *self.arguments))
        return f"{self.name}({listed})" if listed else self.name
