"""The array's operators, attributes and protocols, side by side with MLX where it is installed."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
from oracle import mlx, requires_oracle


def outcome(module: Any, program: str) -> Any:
    names = {
        "mx": module, "np": np, "a": module.array([1, 2, 3]), "b": module.array([[1.5], [2.5]]),
        "u": module.array([1, 2], module.uint8), "t": module.array([True, False]), "z": module.array(2),
        "h": module.array([1.0, 2.0], module.float16), "c": module.array([1 + 2j]), "o": object(),
    }  # fmt: skip
    try:
        found = eval(program, names)
    except Exception as error:
        return type(error).__name__
    return describe(found)


def describe(found: Any) -> Any:
    if type(found).__name__ == "array":
        return repr(found.dtype), found.shape, found.tolist()
    if isinstance(found, np.ndarray):
        return "ndarray", found.shape, found.tolist()
    if isinstance(found, (list, tuple)):
        return [describe(item) for item in found]
    return found


PROGRAMS = """
a + 1 ; 1 + a ; a + 1.5 ; a - b ; 2 - a ; a * a ; a / 2 ; 1 / a ; a // 2 ; 7 // a ; a % 2 ; 7 % a
a ** 2 ; 2 ** a ; b.T @ b ; a == 2 ; a != 2 ; a < 2 ; a >= 2 ; a == b ; 2 == a ; -a ; +a ; abs(-a) ; ~a
a & 1 ; a | 1 ; a ^ 3 ; a << 1 ; a >> 1 ; u + 1 ; u + 300 ; u + (-1) ; u == 300
t + t ; t * 2 ; t + 1.5 ; ~t ; h + 1e10 ; h * 2 ; a + 2**31 ; a + 1j ; c + 1 ; c == c ; a + None
None + a ; a == None ; a != None ; a < None ; a + [1] ; [1] + a ; a + "x" ; a == [1] ; a != [1]
a == "x" ; a == o ; a != o ; a < [1] ; a @ 2 ; a + np.array([1.5, 2.5, 3.5])
np.array([1.5, 2.5, 3.5]) + a ; np.float32(1.5) + a ; a + np.float32(1.7) ; a + np.float64(1.7)
u + np.int64(300) ; np.exp(h) ; divmod(a, 2) ; round(b) ; len(a) ; len(z) ; list(b) ; iter(z) ; 2 in a
5 in a ; a.T ; b.T ; b.mT ; a.mT ; a.size ; a.ndim ; a.nbytes ; h.itemsize ; a.shape ; b.shape ; c.real
c.imag ; a.real ; a.dtype == mx.int32 ; a.reshape(3, 1) ; a.reshape((1, 3)) ; a.reshape([-1])
b.transpose() ; b.transpose(1, 0) ; b.transpose((1, 0)) ; a.reshape(2.5, 2) ; b.flatten() ; b.squeeze()
b.squeeze(1) ; b.swapaxes(0, 1) ; b.moveaxis(0, 1) ; a.split(3) ; a.astype(mx.float32) ; a.sum()
a.sum(axis=0, keepdims=True) ; a.mean() ; a.max() ; a.min() ; a.prod() ; b.var() ; b.std() ; b.argmax()
b.any() ; b.all(1) ; b.logsumexp() ; a.square() ; a.sqrt() ; a.rsqrt() ; a.exp() ; a.log() ; a.log2()
a.log10() ; a.log1p() ; a.sin() ; a.cos() ; a.abs() ; a.reciprocal() ; b.round() ; b.round(1) ; c.conj()
a.diag() ; b.diagonal() ; a.view(mx.float32) ; a.view(mx.int16) ; a.item() ; a.foo
setattr(a, "shape", 3) ; setattr(a, "name", 3) ; a.reshape(shape=(3,)) ; a.sum(0.5) ; a.dot(a)
a.__div__(2) ; bool(a) ; a.at ; hash(a) == hash(a) ; a.__array_namespace__() is mx
a.__array_namespace__(api_version="2023") ; float(z) ; int(b) ; b @ b.T ; a.sum(stream=mx.cpu)
a.astype(mx.int8, mx.cpu) ; mx.add(a=a, b=a) ; mx.array(val=3) ; mx.array(1, dtype=mx.int8)
"""


@requires_oracle
@pytest.mark.parametrize("program", PROGRAMS.strip().replace("\n", " ; ").split(" ; "))
def test_same_as_mlx(program: str) -> None:
    if program in ("a.at",):
        return
    ours, theirs = outcome(mx, program), outcome(mlx, program)
    if isinstance(theirs, tuple) and "float" in str(theirs):
        assert str(ours).split("[")[0] == str(theirs).split("[")[0]
        tolerance = 2e-3 if "16" in str(theirs) else 1e-5
        np.testing.assert_allclose(np.array(ours[-1]), np.array(theirs[-1]), rtol=tolerance)
    else:
        assert ours == theirs


IN_PLACE = [
    "+= 1", "+= 1.5", "-= b", "*= a", "//= 2", "%= 2", "**= 2", "&= 1", "|= 1", "^= 1", "<<= 1", ">>= 1",
    "/= 2", "@= 2", "+= None", "+= [1]",
]  # fmt: skip


@requires_oracle
@pytest.mark.parametrize("statement", IN_PLACE)
def test_in_place_operators(statement: str) -> None:
    found = []
    for module in (mx, mlx):
        names: dict[str, Any] = {"a": module.array([1, 2, 3]), "b": module.array([[1.5], [2.5]])}
        names["alias"] = names["a"]
        try:
            exec(f"a {statement}", names)
        except Exception as error:
            found.append(type(error).__name__)
            continue
        assert names["a"] is names["alias"]
        found.append(describe(names["a"]))
    assert found[0] == found[1]


def test_in_place_matmul_of_floats() -> None:
    a = mx.array([[1.0, 2.0], [3.0, 4.0]])
    alias = a
    a @= a
    assert alias.tolist() == [[7, 10], [15, 22]]


def test_arrays_are_keys_by_identity_and_can_be_weakly_referenced() -> None:
    a, b = mx.array(1), mx.array(1)
    assert {a: 1, b: 2}[a] == 1
    assert weakref.ref(a)() is a


def test_iteration() -> None:
    rows = list(mx.array([[1, 2], [3, 4]]))
    assert [row.tolist() for row in rows] == [[1, 2], [3, 4]]
    assert all(isinstance(item, mx.array) and item.shape == () for item in mx.array([1, 2]))
    a, b = mx.array([1, 2])
    assert (a.item(), b.item()) == (1, 2)
    with pytest.raises(TypeError):
        iter(mx.array(1))
    with pytest.raises(AttributeError):
        del mx.array([1])[0]


def test_subclasses() -> None:
    class Special(mx.array):
        pass

    special = Special([1, 2])
    assert isinstance(special, mx.array) and (special + 1).tolist() == [2, 3]


def test_results_are_handles_of_their_own() -> None:
    a = mx.array([[1, 2], [3, 4]])
    for made in (
        a.reshape(2, 2), a.astype(mx.int32), mx.broadcast_to(a, (2, 2)), a.squeeze(), mx.flip(a, ()), +a,
        a[:], mx.contiguous(a), mx.pad(a, 0), mx.concatenate([a]), mx.tile(a, 1), mx.roll(a, 0, 0),
        mx.repeat(a, 1, 0), mx.transpose(a, (0, 1)), a.split(1)[0], a.real,
        mx.atleast_1d(a), mx.broadcast_arrays(a)[0],
    ):  # fmt: skip
        made += 1
        assert a.tolist() == [[1, 2], [3, 4]]


def test_evaluation_is_lazy_and_forbidden_in_vmap() -> None:
    with pytest.raises(ValueError, match="eval"):
        mx.vmap(lambda x: mx.array(x.item()))(mx.array([1.0, 2.0]))
    for ask in (str, bool, np.array, lambda x: x.tolist()):
        with pytest.raises(ValueError):
            mx.vmap(lambda x, ask=ask: (ask(x), x)[1])(mx.array([1.0, 2.0]))
