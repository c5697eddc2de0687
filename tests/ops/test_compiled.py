"""Every row of the op table under mx.compile gives what it gives without."""

from __future__ import annotations

import numpy as np
import pytest

import tarry.core as mx
from oracle import EPSILON, INEXACT, dtype_name, to_numpy

from .harness import apply, make_inputs, variant_parameters
from .op_case import OpCase, Variant


@pytest.mark.parametrize(("case", "dtype", "variant"), variant_parameters(("float32",), most=1))
def test_compiled_as_uncompiled(case: OpCase, dtype: str, variant: Variant) -> None:
    arrays = make_inputs(mx, case, case.sample(variant, dtype), dtype)

    def run(*inputs: mx.array) -> list[mx.array]:
        return apply(mx, case, inputs, variant.options, dtype)

    expected = run(*arrays)
    compiled = mx.compile(run)
    for found in (compiled(*arrays), compiled(*arrays)):
        assert len(found) == len(expected)
        for result, reference in zip(found, expected):
            assert dtype_name(result) == dtype_name(reference)
            values, wanted = to_numpy(mx, result), to_numpy(mx, reference)
            name = dtype_name(result)
            if name in INEXACT:
                tolerance = 32 * EPSILON[name]
                np.testing.assert_allclose(values, wanted, rtol=tolerance, atol=tolerance)
            else:
                assert np.array_equal(values, wanted)
