"""Nothing that can be typed ends the interpreter: what crashes the wheel is a result or a clear error here.

Each group of cases runs in one subprocess, which says before each case which one it is about to run. A case
is (expression, what comes of it): a result as text, or an exception with the beginning of its message.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SETUP = """
import json, os, sys
import numpy as np
import tarry.core as mx

def setitem(a, index, value):
    a[index] = value
    return a

def own_list():
    items = []
    items.append(items)
    return items

def bad_vjp():
    double = mx.custom_function(lambda a: a * 2)
    double.vjp(lambda *arguments: 5)
    return mx.grad(lambda a: mx.sum(double(a)))(x)

def run(expression):
    try:
        result = eval(expression)
        arrays = [part for part in (result if isinstance(result, tuple) else (result,))
                  if isinstance(part, mx.array)]
        mx.eval(arrays)
        return str([part.tolist() for part in arrays]) if arrays else str(result)
    except Exception as error:
        return f"{type(error).__name__}: {error}"

for expression in json.load(sys.stdin):
    x = mx.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    print("case", expression, flush=True)
    print("gives", json.dumps(run(expression)), flush=True)
print("end", flush=True)
"""

LOWEST = "[[-2147483648]]"
ARITHMETIC = [
    ("mx.array([-2**31]) // mx.array([-1])", LOWEST),
    ("mx.array([-2**31]) % mx.array([-1])", "[[0]]"),
    ("mx.array([-2**63], dtype=mx.int64) // mx.array([-1], dtype=mx.int64)", "[[-9223372036854775808]]"),
    ("mx.array([-128], dtype=mx.int8) // mx.array([-1], dtype=mx.int8)", "[[-128]]"),
    ("mx.divmod(mx.array([-2**31]), mx.array([-1]))[0]", LOWEST),
    ("mx.array([7]) // mx.array([0])", "[[0]]"),
    ("mx.left_shift(mx.array([1]), 99) is not None", "True"),
    ("format(mx.array(1.5), 'd')", "ValueError: Unknown format code"),
    ("format(mx.array(1), 'q')", "ValueError: Unknown format code"),
]

INDICES = [
    ("x[::0]", "ValueError: [index] The step"),
    ("setitem(x, slice(None, None, 0), 1.0)", "ValueError: [index] The step"),
    ("x.at[::0].add(1.0)", "ValueError: [index] The step"),
    ("x[-99]", "IndexError: [index] Index -99"),
    ("x[mx.array([2**30])]", "IndexError: [index] Index 1073741824"),
    ("x.at[mx.array([-9])].add(1.0)", "IndexError: [add] Index -9"),
    ("setitem(x, mx.array([99]), 5.0)", "IndexError: [index] Index 99"),
    ("mx.take(x, mx.array([-10**9]), axis=0)", "IndexError: [take] Index -1000000000"),
    ("mx.take_along_axis(x, mx.array([[99]]), 1)", "IndexError: [take_along_axis] Index 99"),
    ("mx.put_along_axis(x, mx.array([[9]]), mx.array(1.0), 1)", "IndexError: [put_along_axis] Index 9"),
    ("mx.slice(x, mx.array([99]), (0,), (1, 3))", "IndexError: [slice] Index 99"),
    ("mx.slice_update(x, mx.zeros((2, 3, 2, 3)), mx.array([0, 0]), (0, 1))", "ValueError: [slice_update]"),
    ("mx.put_along_axis(x, mx.array([[0]]), x, 2**40)", "TypeError: [put_along_axis]"),
    ("mx.gather_mm(mx.ones((2, 3)), mx.ones((1, 3, 2)), rhs_indices=mx.array([9]))", "IndexError: [gather_"),
    ("mx.segmented_mm(mx.ones((1, 3)), mx.ones((3, 1)), mx.array([[0, 99]]))", "[[[[3.0]]]]"),
]

SHAPES = [
    ("x.reshape()", "ValueError: [reshape] Expected a shape"),
    ("mx.unflatten(x, 1, (0, -1))", "ValueError: [unflatten]"),
    ("mx.as_strided(x, (2, 2), (2**40, 2**40))", "ValueError: [as_strided] Positions"),
    ("mx.as_strided(x, (2**31, 2**31), (1, 1))", "ValueError: [as_strided] Positions"),
    ("mx.as_strided(x, (2, 2), (1, 1), 2**30)", "ValueError: [as_strided] Positions"),
    ("mx.broadcast_shapes((2, 3), (2**40, 2**40))", "ValueError: [broadcast_shapes]"),
    ("mx.roll(x, (2**40, 2**40), 0)", "TypeError: [roll]"),
    ("mx.roll(x, 1, (0,) * 12)", "[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]"),
    ("len(mx.split(x, (2**40, 2**40)))", "3"),
    ("mx.depends([], [x])", "[]"),
    ("mx.conv1d(mx.zeros((2, 5, 3)), mx.zeros((4, 2, 3)), groups=0)", "ValueError: [conv1d]"),
    ("mx.conv_transpose1d(mx.zeros((2, 5, 3)), mx.zeros((4, 2, 3)), groups=0)", "ValueError: [conv_trans"),
    ("mx.conv1d(mx.zeros((1, 2, 0)), mx.zeros((1, 2, 0)))", "[[[[0.0]]]]"),
    ("mx.quantize(mx.zeros((64, 64)), group_size=0)", "ValueError: [quantize]"),
    ("mx.quantize(mx.zeros((64, 64)), bits=0)", "ValueError: [quantize]"),
    ("mx.segmented_mm(mx.zeros((0, 3)), mx.zeros((3, 2)), mx.array([[0, 1]]))", "[[[]]]"),
    ("mx.linalg.lu_factor(mx.zeros((0, 3)))[0].shape", "(0, 3)"),
    ("mx.linalg.lu(mx.zeros((0, 3)))[2].shape", "(0, 3)"),
    ("mx.linalg.inv(mx.zeros((0, 0)))", "[[]]"),
    ("mx.linalg.eig(mx.array([[float('nan')] * 2] * 2))[0]", "RuntimeError: [eig]"),
    ("mx.fast.scaled_dot_product_attention(*[mx.zeros((1, 0, 2, 4))] * 3, scale=1.0)", "ValueError: [scaled"),
    ("mx.array(own_list())", "ValueError: [array] Lists must not be nested"),
    ("mx.eval(own_list())", "ValueError: [eval] A tree"),
    ("mx.grad(lambda tree: x)(own_list())", "ValueError: [tree_flatten] A tree"),
    ("mx.zeros((1,) * 65).tolist()", "ValueError: [convert] NumPy has at most 64"),
    ("mx.arange(-1e308, 1e308, 1.0)", "ValueError: [arange] Cannot compute the length"),
    ("mx.set_printoptions(10**9) or str(mx.array([1.5]))[:10]", "array([1.5"),
]

SIZES = [
    ("mx.zeros((2**20, 2**24)) + 1", "MemoryError: "),
    ("mx.zeros((2**30, 2**30)) + 1", "MemoryError: "),
    ("mx.zeros((2**40, 2**40))", "OverflowError: [zeros]"),
    ("mx.sum(mx.broadcast_to(mx.zeros(1), (2**30,) * 4))", "OverflowError: [eval]"),
    ("mx.eye(2**30)", "MemoryError: "),
    ("mx.arange(2**31)", "ValueError: [arange] 2.14748e+09 elements"),
    ("mx.outer(mx.zeros(2**20), mx.zeros(2**20))", "MemoryError: "),
    ("mx.matmul(mx.zeros((2**20, 1)), mx.zeros((1, 2**20)))", "MemoryError: "),
    ("mx.where(mx.array([True]), mx.zeros((2**30, 2**30)), 0) + 1", "MemoryError: "),
    ("mx.fft.fft2(x, (2**40, 2**40))", "MemoryError: "),
    ("mx.random.bernoulli(0.5, (2**40, 2**40))", "OverflowError: [bernoulli]"),
    ("mx.random.uniform(shape=(2**30, 2**30))", "MemoryError: "),
    ("mx.random.categorical(x, shape=(2**40, 2**40))", "OverflowError: [categorical]"),
    ("mx.random.truncated_normal(-1.0, 1.0, (2**40, 2**40))", "OverflowError: [truncated_normal]"),
    ("mx.sum(x)", "[21.0]"),
]

PROTOCOLS = [
    ("setattr(mx.float32, 'size', 5)", "AttributeError: [Dtype]"),
    ("setattr(mx.float32, 'name', 'int8')", "AttributeError: [Dtype]"),
    ("delattr(mx.float32, 'kind')", "AttributeError: [Dtype]"),
    ("setattr(mx.floating, 'parent', None)", "AttributeError: [DtypeCategory]"),
    ("mx.zeros((2,)) + 1", "[[1.0, 1.0]]"),
    ("x.__setstate__((np.ones(3, np.int8), 13))", "TypeError: [array]"),
    ("x.__setstate__((np.array([x]), 13))", "TypeError: [array]"),
    ("mx.eval(mx.array.__new__(mx.array))", "AttributeError: "),
    ("mx.ArrayAt.__new__(mx.ArrayAt).add(1)", "AttributeError: "),
    ("mx.add(mx.array.__new__(mx.array), x)", "AttributeError: "),
    ("mx.array(np.datetime64('2020'))", "RuntimeError: [array] NumPy dtype datetime64"),
    ("x.astype(mx.Dtype.__new__(mx.Dtype))", "AttributeError: "),
    ("memoryview(x)[5]", "NotImplementedError: "),
]

TRANSFORMS = [
    ("mx.checkpoint(lambda a: a)(2.0)", "2.0"),
    ("mx.checkpoint(lambda a: 3)(x)", "3"),
    ("mx.grad(lambda d: d.update(b=d['a'] * 2) or mx.sum(d['a']))({'a': x})['a']", "[[[1.0, 1.0, 1.0], "),
    ("mx.grad(lambda l: l.append(l[0]) or mx.sum(l[0]))([x])[0]", "[[[1.0, 1.0, 1.0], "),
    ("mx.grad(lambda l: l.clear() or mx.array(1.0))([x])[0]", "[[[0.0, 0.0, 0.0], "),
    ("mx.compile(lambda d: d.update(b=d['a'] * 2) or d['a'])({'a': x})", "[[[1.0, 2.0, 3.0], "),
    ("bad_vjp()", "ValueError: [custom_function]"),
]


def results_of(expressions: list[str]) -> list[str]:
    """What becomes of each expression in one interpreter."""
    finished = subprocess.run(
        [sys.executable, "-c", SETUP],
        input=json.dumps(expressions),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    lines = finished.stdout.splitlines()
    assert finished.returncode == 0 and lines[-1:] == ["end"], f"{lines[-1:]} {finished.stderr[-2000:]}"
    answers = [line.removeprefix("gives ") for line in lines if line.startswith("gives ")]
    return [str(json.loads(answer)) for answer in answers]


@pytest.mark.parametrize(
    "cases",
    [ARITHMETIC + INDICES, SHAPES, SIZES + TRANSFORMS, PROTOCOLS],
    ids=["arithmetic and indices", "shapes", "sizes and transforms", "protocols"],
)
def test_nothing_ends_the_interpreter(cases: list[tuple[str, str]]) -> None:
    found = results_of([expression for expression, _ in cases])
    wrong = [
        f"{expression}: {result}, not {expected}"
        for (expression, expected), result in zip(cases, found, strict=True)
        if not result.startswith(expected)
    ]
    assert not wrong, "\n".join(wrong)
