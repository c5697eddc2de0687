"""What is known about dtypes and devices, as MLX knows it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import tarry.core as mx
from oracle import ALL_DTYPES, dtype_name, dtype_of, mlx, requires_oracle

CATEGORIES = ["generic", "number", "integer", "signedinteger", "unsignedinteger", "inexact", "floating",
              "complexfloating"]  # fmt: skip


def outcome(call: Any) -> Any:
    try:
        return call()
    except Exception as error:
        return type(error).__name__


@requires_oracle
@pytest.mark.parametrize("name", ALL_DTYPES)
def test_limits(name: str) -> None:
    for kind, attributes in (("iinfo", "min max"), ("finfo", "min max eps smallest_normal bits")):
        ours = outcome(lambda kind=kind: getattr(mx, kind)(dtype_of(mx, name)))
        theirs = outcome(lambda kind=kind: getattr(mlx, kind)(dtype_of(mlx, name)))
        if isinstance(theirs, str):
            assert ours == theirs
            continue
        assert repr(ours) == repr(theirs) and dtype_name(ours) == dtype_name(theirs)
        for attribute in attributes.split():
            assert getattr(ours, attribute) == getattr(theirs, attribute)


@requires_oracle
def test_categories_promotion_and_casts() -> None:
    for a, b in itertools.product(ALL_DTYPES, ALL_DTYPES):
        pairs = [(dtype_of(module, a), dtype_of(module, b)) for module in (mx, mlx)]
        assert dtype_name(mx.result_type(*pairs[0])) == dtype_name(mlx.result_type(*pairs[1]))
        assert mx.can_cast(*pairs[0]) == mlx.can_cast(*pairs[1])
    for name, category in itertools.product(ALL_DTYPES + tuple(CATEGORIES), CATEGORIES):
        found = [
            module.issubdtype(dtype_of(module, name), getattr(module, category)) for module in (mx, mlx)
        ]
        assert found[0] == found[1]
    for name in ALL_DTYPES:
        for kind in ("bool", "signed integer", "unsigned integer", "integral", "real floating",
                     "complex floating", "numeric", ("bool", "integral")):  # fmt: skip
            assert mx.isdtype(dtype_of(mx, name), kind) == mlx.isdtype(dtype_of(mlx, name), kind)
    with pytest.raises(ValueError):
        mx.isdtype(mx.int8, "whole")
    with pytest.raises(ValueError):
        mx.result_type(1, 2)  # type: ignore[arg-type]


def test_devices_and_streams() -> None:
    assert repr(mx.cpu) == "DeviceType.cpu" and repr(mx.default_device()) == "Device(cpu, 0)"
    assert mx.Device(mx.cpu) == mx.cpu and mx.cpu == mx.Device(mx.cpu) and mx.Device(mx.cpu, 1) != mx.cpu
    assert repr(mx.default_stream(mx.cpu)) == "Stream(Device(cpu, 0), 0)"
    other = mx.new_stream(mx.cpu)
    with mx.stream(other) as inside:
        assert inside is None and mx.default_stream(mx.cpu) == other
    assert mx.default_stream(mx.cpu) != other
    assert repr(mx.new_thread_local_stream(mx.cpu)).startswith("ThreadLocalStream(Device(cpu, 0), ")
    assert mx.is_available(mx.cpu) and not mx.is_available(mx.gpu)
    assert mx.device_count(mx.cpu) == 1 and mx.device_count(mx.gpu) == 0
    assert "architecture" in mx.device_info() and mx.device_info(mx.gpu) == {}
    mx.synchronize()
    mx.synchronize(mx.cpu)
    for refused in (mx.set_default_device, mx.new_stream, mx.default_stream, mx.stream):
        with pytest.raises(ValueError, match="gpu"):
            refused(mx.gpu)
    with pytest.raises(TypeError):
        mx.Stream()
