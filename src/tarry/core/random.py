"""`mlx.core.random` by another name: random numbers, and the state they are drawn with."""

from tarry.ops.random import (
    bernoulli,
    beta,
    bits,
    categorical,
    choice,
    exponential,
    gamma,
    gumbel,
    key,
    laplace,
    multivariate_normal,
    normal,
    permutation,
    poisson,
    randint,
    seed,
    split,
    state,
    truncated_normal,
    uniform,
)

__all__ = [
    "bernoulli", "beta", "bits", "categorical", "choice", "exponential", "gamma", "gumbel", "key", "laplace",
    "multivariate_normal", "normal", "permutation", "poisson", "randint", "seed", "split", "state",
    "truncated_normal", "uniform",
]  # fmt: skip
