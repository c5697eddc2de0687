"""Bad calls: the type of the exception (MLX's, or a better one), and a message that names the op and the
values.

Each row is (op, call, exception, text): the message must start with "[op]" and `text`, a regular expression,
must be found in it: the offending shapes, axes or dtypes as the caller gave them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import tarry.core as mx

Row = tuple[str, Callable[[], Any], type[Exception], str]


def zeros(*shape: int) -> mx.array:
    return mx.zeros(shape)


Z23 = zeros(2, 3)
Z2 = zeros(2)
Z3 = zeros(3)
COMPLEX = mx.array(1j)
TRUTHS = mx.zeros((2, 3), dtype=mx.bool_)

SHAPES: list[Row] = [
    ("reshape", lambda: mx.reshape(Z23, (4, 2)), ValueError, r"4, ?2"),
    ("reshape", lambda: mx.reshape(Z23, (-1, -1)), ValueError, r"-1|infer|one"),
    ("reshape", lambda: mx.reshape(Z23, (-1, 4)), ValueError, r"4"),
    ("reshape", lambda: Z23.reshape(), (ValueError, TypeError), r"shape"),
    ("transpose", lambda: mx.transpose(Z23, (0,)), ValueError, r"1|\(0,\)"),
    ("transpose", lambda: mx.transpose(Z23, (0, 0)), ValueError, r"0"),
    ("transpose", lambda: mx.transpose(Z23, (0, 2)), IndexError, r"2"),
    ("swapaxes", lambda: mx.swapaxes(Z23, 0, 2), IndexError, r"2"),
    ("moveaxis", lambda: mx.moveaxis(Z23, 0, 2), IndexError, r"2"),
    ("squeeze", lambda: mx.squeeze(Z23, 0), ValueError, r"0.*2|2.*0"),
    ("squeeze", lambda: mx.squeeze(Z23, 5), IndexError, r"5"),
    ("expand_dims", lambda: mx.expand_dims(Z23, 4), IndexError, r"4"),
    ("expand_dims", lambda: mx.expand_dims(Z23, (0, 0)), ValueError, r"0"),
    ("flatten", lambda: mx.flatten(zeros(2, 3, 4), 2, 1), ValueError, r"2.*1"),
    ("broadcast_to", lambda: mx.broadcast_to(Z23, (2, 4)), ValueError, r"\(2, ?3\).*\(2, ?4\)"),
    ("flip", lambda: mx.flip(Z23, 2), IndexError, r"2"),
    ("stack", lambda: mx.stack([Z2, Z3]), ValueError, r"\(2,?\).*\(3,?\)"),
    ("stack", lambda: mx.stack([]), ValueError, r"[Nn]o|least"),
    ("stack", lambda: mx.stack([Z2], axis=3), IndexError, r"3"),
    ("concatenate", lambda: mx.concatenate([]), ValueError, r"[Nn]o|least"),
    ("concatenate", lambda: mx.concatenate([Z23, zeros(2, 2)], axis=0), ValueError, r"\(2, ?3\).*\(2, ?2\)"),
    ("concatenate", lambda: mx.concatenate([Z23, Z2], axis=0), ValueError, r"2.*1|\(2,?\)"),
    ("split", lambda: mx.split(zeros(5), 2), ValueError, r"5"),
    ("split", lambda: mx.split(zeros(5), 5, axis=1), IndexError, r"1"),
    ("pad", lambda: mx.pad(Z23, -1), ValueError, r"-1"),
    ("pad", lambda: mx.pad(Z23, ((1, 1), (1, 1), (1, 1))), ValueError, r"2|3"),
    ("repeat", lambda: mx.repeat(Z23, -1, axis=0), ValueError, r"-1|negative"),
    ("repeat", lambda: mx.repeat(Z23, 2, axis=3), IndexError, r"3"),
    ("tile", lambda: mx.tile(Z2, -1), ValueError, r"-1|-2|[Nn]egative"),
    ("roll", lambda: mx.roll(Z23, 1, 3), IndexError, r"3"),
    ("diag", lambda: mx.diag(zeros(2, 3, 4)), ValueError, r"3"),
    ("diagonal", lambda: mx.diagonal(Z3), ValueError, r"1|\(3,\)"),
    ("diagonal", lambda: mx.diagonal(zeros(3, 3), 0, 0, 0), ValueError, r"0|same"),
    ("tril", lambda: mx.tril(Z3), ValueError, r"2|\(3,\)"),
]

VALUES: list[Row] = [
    ("add", lambda: mx.add(Z2, Z3), ValueError, r"\(2,?\).*\(3,?\)"),
    ("multiply", lambda: Z2 * Z3, ValueError, r"\(2,?\).*\(3,?\)"),
    ("where", lambda: mx.where(mx.array([True]), Z2, Z3), ValueError, r"\(2,?\).*\(3,?\)"),
    ("negative", lambda: mx.negative(mx.array([True])), ValueError, r"[Bb]ool"),
    ("bitwise_and", lambda: mx.bitwise_and(Z2, Z2), RuntimeError, r"float32"),
    ("bitwise_invert", lambda: mx.bitwise_invert(Z2), ValueError, r"float32|integer"),
    ("left_shift", lambda: mx.left_shift(Z2, 1), RuntimeError, r"float32"),
    ("erf", lambda: mx.erf(COMPLEX), ValueError, r"complex64"),
    ("floor", lambda: mx.floor(COMPLEX), ValueError, r"complex64"),
    ("sigmoid", lambda: mx.sigmoid(COMPLEX), ValueError, r"complex64"),
    ("remainder", lambda: mx.remainder(COMPLEX, COMPLEX), ValueError, r"[Cc]omplex"),
    ("arctan2", lambda: mx.arctan2(COMPLEX, COMPLEX), ValueError, r"[Cc]omplex"),
    ("clip", lambda: mx.clip(Z2, None, None), ValueError, r"None"),
    ("add", lambda: mx.array([1], dtype=mx.uint8) + 256, ValueError, r"256.*uint8"),
    ("add", lambda: mx.array([1], dtype=mx.uint8) + (-1), ValueError, r"-1.*uint8"),
    ("add", lambda: mx.array([1]) + [1], ValueError, r"list"),
    ("sum", lambda: mx.sum(Z23, axis=2), IndexError, r"2"),
    ("sum", lambda: mx.sum(Z23, axis=(0, 0)), ValueError, r"0"),
    ("sum", lambda: mx.sum(2.0), TypeError, r"float"),
    ("max", lambda: mx.max(zeros(0, 3), axis=0), ValueError, r"0"),
    ("min", lambda: mx.min(zeros(0)), ValueError, r"0"),
    ("argmax", lambda: mx.argmax(zeros(0)), ValueError, r"0|no elements|[Ee]mpty"),
    ("argmax", lambda: mx.argmax(Z2, axis=1), IndexError, r"1"),
    ("softmax", lambda: mx.softmax(Z2, axis=1), IndexError, r"1"),
    ("logsumexp", lambda: mx.logsumexp(Z2, axis=1), IndexError, r"1"),
    ("var", lambda: mx.var(Z2, axis=3), IndexError, r"3"),
    ("exp", lambda: mx.exp([1.0]), ValueError, r"list"),
]

PRODUCTS: list[Row] = [
    ("matmul", lambda: mx.matmul(Z23, zeros(4, 5)), ValueError, r"\(2, ?3\).*\(4, ?5\)"),
    ("matmul", lambda: mx.matmul(TRUTHS, TRUTHS.T), ValueError, r"bool"),
    ("matmul", lambda: mx.matmul(mx.array(1.0), Z2), ValueError, r"\(\)|0"),
    ("matmul", lambda: mx.matmul(zeros(2, 2, 3), zeros(3, 3, 4)), ValueError, r"\(2,.*\(3,"),
    ("addmm", lambda: mx.addmm(zeros(4), Z23, zeros(3, 2)), ValueError, r"\(4,?\).*\(2, ?2\)"),
    ("inner", lambda: mx.inner(Z23, Z2), ValueError, r"\(2, ?3\).*\(2,?\)"),
    ("tensordot", lambda: mx.tensordot(Z23, zeros(4, 3), 1), ValueError, r"\(2, ?3\).*\(4, ?3\)"),
    ("tensordot", lambda: mx.tensordot(Z23, zeros(4, 3), 3), ValueError, r"3"),
    ("tensordot", lambda: mx.tensordot(Z23, zeros(4, 3), [[0], [0, 1]]), ValueError, r"0"),
]

INDEXING: list[Row] = [
    ("take", lambda: mx.take(Z23, mx.array([0]), axis=2), IndexError, r"2"),
    ("take", lambda: mx.take(Z23, mx.array([0.5]), axis=0), ValueError, r"float32"),
    ("take", lambda: mx.take(zeros(0, 3), mx.array([0]), axis=0), (ValueError, IndexError), r"0|empty"),
    ("take", lambda: mx.eval(mx.take(Z23, mx.array([0, 2]), axis=0)), IndexError, r"2"),
    ("take", lambda: mx.eval(mx.take(Z23, mx.array([-3]), axis=0)), IndexError, r"-3"),
    ("take", lambda: mx.take(Z23, 2, axis=0), IndexError, r"2"),
    ("take_along_axis", lambda: mx.take_along_axis(Z23, mx.array([0]), axis=0), ValueError, r"1.*2|\(1,\)"),
    ("take_along_axis", lambda: mx.take_along_axis(Z23, mx.array([[0]]), axis=2), IndexError, r"2"),
    (
        "take_along_axis",
        lambda: mx.eval(mx.take_along_axis(Z23, mx.array([[7]]), axis=1)),
        IndexError,
        r"7",
    ),
    ("index", lambda: Z23[0, 0, 0], ValueError, r"2|\(2, ?3\)"),
    ("index", lambda: Z23[..., ...], ValueError, r"ellipsis"),
    ("index", lambda: Z23[1.5], ValueError, r"float"),
    ("index", lambda: Z23["a"], ValueError, r"str"),
    ("index", lambda: mx.array(1.0)[0], ValueError, r"0"),
    ("index", lambda: Z23[2], IndexError, r"2"),
    ("index", lambda: Z23[-3], IndexError, r"-3"),
    ("index", lambda: Z23[0, 5], IndexError, r"5"),
    ("index", lambda: Z23[::0], ValueError, r"0|step"),
    ("index", lambda: mx.eval(Z23[mx.array([0, 9])]), IndexError, r"9"),
    ("index", lambda: mx.eval(Z23[mx.array([0]), mx.array([-4])]), IndexError, r"-4"),
    ("index", lambda: Z23[...].__setitem__((0, 0, 0), 5), ValueError, r"2|\(2, ?3\)"),
    ("index", lambda: Z23[...].__setitem__(0, Z2), ValueError, r"\(2,?\)"),
    ("index", lambda: Z23[...].__setitem__(7, 1.0), IndexError, r"7"),
]

CREATION: list[Row] = [
    ("arange", lambda: mx.arange(1, 5, 0), ValueError, r"step|0"),
    ("arange", lambda: mx.arange(float("nan")), ValueError, r"nan|length"),
    ("arange", lambda: mx.arange(True), ValueError, r"[Bb]ool"),
    ("zeros", lambda: mx.zeros((-1,)), ValueError, r"-1"),
    ("linspace", lambda: mx.linspace(0, 1, -1), ValueError, r"-1"),
    ("full", lambda: mx.full((2,), Z3), ValueError, r"\(3,?\).*\(2,?\)"),
    ("eye", lambda: mx.eye(-1), ValueError, r"-1"),
    ("array", lambda: mx.array([[1, 2], [3]]), ValueError, r"non-uniform"),
    ("array", lambda: mx.array("a"), ValueError, r"str"),
    ("array", lambda: mx.array([None]), ValueError, r"None"),
    ("array", lambda: mx.array(None), TypeError, r"None"),
    ("convert", lambda: mx.array([1, 2]).item(), ValueError, r"2|length-1"),
    ("convert", lambda: bool(mx.array([1, 2])), ValueError, r"2|length-1"),
]

EVAL = "eval"
TRANSFORMS: list[Row] = [
    ("grad", lambda: mx.grad(lambda x: x)(Z2), ValueError, r"\(2,?\)|scalar"),
    ("grad", lambda: mx.grad(lambda x: mx.sum(x))(1.0), ValueError, r"float|arrays"),
    ("grad", lambda: mx.grad(lambda x: mx.sum(x[0]))([Z2, 3]), ValueError, r"int|arrays"),
    ("grad", lambda: mx.grad(lambda x: mx.sum(x), argnums=1)(Z2), ValueError, r"1"),
    ("grad", lambda: mx.grad(lambda x: mx.sum(x), argnums=-1)(Z2), ValueError, r"-1"),
    ("grad", lambda: mx.grad(lambda x: (x, x))(mx.array(1.0)), ValueError, r"tuple"),
    ("grad", lambda: mx.grad(lambda x: 3.0)(mx.array(1.0)), ValueError, r"float"),
    ("value_and_grad", lambda: mx.value_and_grad(lambda x: [mx.sum(x)])(Z2), ValueError, r"list"),
    ("vjp", lambda: mx.vjp(lambda x: x, [Z2], []), ValueError, r"1.*0|0.*1"),
    ("vjp", lambda: mx.vjp(lambda x: x, [Z2], [Z3]), ValueError, r"\(2,?\).*\(3,?\)|\(3,?\).*\(2,?\)"),
    ("jvp", lambda: mx.jvp(lambda x: x, [Z2], []), ValueError, r"1|0|number"),
    ("jvp", lambda: mx.jvp(lambda x: x, [Z2], [Z3]), ValueError, r"\(2,?\)|\(3,?\)"),
    ("vmap", lambda: mx.vmap(lambda x: x, in_axes=2)(Z2), IndexError, r"2"),
    ("vmap", lambda: mx.vmap(lambda x: x)(mx.array(1.0)), IndexError, r"0"),
    ("vmap", lambda: mx.vmap(lambda x, y: x + y)(Z2, Z3), ValueError, r"2.*3"),
    (
        "vmap",
        lambda: mx.vmap(lambda x, y: x + y, in_axes=(None, None))(Z2, Z2),
        ValueError,
        r"None|axis|axes",
    ),
    ("vmap", lambda: mx.vmap(lambda x: x)(2.0), ValueError, r"float|arrays"),
    ("vmap", lambda: mx.vmap(lambda x: 3.0)(Z2), ValueError, r"float|arrays"),
    (EVAL, lambda: mx.vmap(lambda x: mx.eval(x))(Z2), ValueError, r"vmap"),
    (EVAL, lambda: mx.vmap(lambda x: x.item())(Z2), ValueError, r"vmap"),
    (EVAL, lambda: mx.vmap(lambda x: x if x > 0 else -x)(Z2), ValueError, r"vmap"),
]

ROWS = SHAPES + VALUES + PRODUCTS + INDEXING + CREATION + TRANSFORMS


@pytest.mark.parametrize(
    ("op", "call", "exception", "text"),
    ROWS,
    ids=[f"{row[0]}-{position}" for position, row in enumerate(ROWS)],
)
def test_bad_calls(op: str, call: Callable[[], Any], exception: type[Exception], text: str) -> None:
    with pytest.raises(exception) as caught:
        call()
    message = str(caught.value)
    names = [f"[{name}]" for name in op.split("|")]
    assert message.startswith(tuple(names)), f"the message does not start with {names}: {message}"
    assert re.search(text, message, re.DOTALL), f"{text!r} is not in the message: {message}"


def test_an_operand_of_none_is_left_to_python() -> None:
    with pytest.raises(TypeError, match="None"):
        mx.array([1]) + None


def test_an_index_error_at_evaluation_names_the_line() -> None:
    bad = mx.take(mx.arange(5), mx.array([1, 5]), axis=0)
    with pytest.raises(IndexError, match=r"test_errors\.py"):
        mx.eval(bad)


def test_evaluation_still_works_after_an_error() -> None:
    bad = mx.take(mx.arange(5), mx.array([17]), axis=0)
    with pytest.raises(IndexError):
        mx.eval(bad + 1)
    assert mx.sum(mx.arange(5)).item() == 10


def test_good_indices_next_to_the_bounds() -> None:
    assert mx.take(mx.arange(5), mx.array([-5, 4]), axis=0).tolist() == [0, 4]
    assert mx.arange(5)[-5].item() == 0
