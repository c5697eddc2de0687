"""SciPy and scikit-learn take arrays of Tarry, and give such, once they are told to follow the standard."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# SciPy reads the variable when it is imported, so each program runs in a process of its own.
BEGINNING = """
import warnings
warnings.simplefilter("ignore")
import numpy as np
import tarry.core as mx

generator = np.random.default_rng(7)
x = generator.standard_normal((20, 3)).astype(np.float32)
a = mx.array(x)

def check(function, *operands, array=True):
    found = function(*[mx.array(value) for value in operands])
    expected = function(*operands)
    assert isinstance(found, mx.array) == array, (function, type(found))
    np.testing.assert_allclose(np.array(found), expected, rtol=2e-3, atol=2e-4)
"""
SCIPY = """
import scipy.cluster.vq, scipy.fft, scipy.integrate, scipy.signal, scipy.special, scipy.stats

check(lambda v: scipy.special.logsumexp(v, axis=0), x)
check(lambda v: scipy.special.softmax(v, axis=0), x)
check(lambda v: scipy.stats.zscore(v, axis=0), x)
check(lambda v: scipy.stats.skew(v, axis=0), x)
check(lambda v: scipy.stats.pearsonr(v[:, 0], v[:, 1]).statistic, x)
check(lambda v: scipy.stats.ttest_1samp(v, 0, axis=0).statistic, x)
check(lambda v: scipy.integrate.trapezoid(v, axis=0), x)
check(scipy.cluster.vq.whiten, x)
check(lambda v: scipy.signal.detrend(v, axis=0), x)
check(scipy.fft.fft, x)
"""
SKLEARN = """
import sklearn
import sklearn.decomposition, sklearn.linear_model, sklearn.metrics, sklearn.preprocessing

sklearn.set_config(array_api_dispatch=True)
y = generator.random(20).astype(np.float32)
check(lambda v, w: sklearn.metrics.mean_squared_error(v, w), y, y[::-1].copy(), array=False)
check(lambda v: sklearn.preprocessing.MinMaxScaler().fit_transform(v), x)
check(lambda v: abs(sklearn.decomposition.PCA(2, svd_solver="full").fit_transform(v)), x)
check(lambda v, w: sklearn.linear_model.Ridge(solver="svd").fit(v, w).coef_, x, y)
"""


@pytest.mark.parametrize("library, oldest, program", [("scipy", "1.17", SCIPY), ("sklearn", "1.9", SKLEARN)])
def test_library(library: str, oldest: str, program: str) -> None:
    pytest.importorskip(library, minversion=oldest)
    done = subprocess.run(
        [sys.executable, "-c", BEGINNING + program],
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
