"""Results do not depend on the number of threads, bit for bit."""

from __future__ import annotations

from program_runner import run_for_json

PROGRAM = """
    import hashlib, json
    import numpy as np
    import tarry.core as mx

    generator = np.random.default_rng(5)
    def array(*shape):
        return mx.array(generator.standard_normal(shape, dtype=np.float32))

    x, w = array(700, 1025), array(1025, 513)
    index = mx.array(generator.integers(-700, 700, 5000, dtype=np.int32))
    results = {
        "sum": mx.sum(x), "mean-columns": mx.mean(x, axis=0), "var-rows": mx.var(x, axis=1),
        "prod": mx.prod(1 + x * 1e-3), "argmax": mx.argmax(mx.reshape(x, (-1,))),
        "softmax": mx.softmax(x, axis=-1), "softmax-columns": mx.softmax(x, axis=0),
        "logsumexp": mx.logsumexp(x), "matmul": x @ w, "matmul-transposed": w.T @ x.T,
        "narrow": x[:3] @ w, "vector": x @ w[:, 0],
        "batched": mx.reshape(x[:, :1024], (7, 100, 1024)) @ w[:1024],
        "gather": mx.sum(mx.take(x, index, axis=0), axis=0),
        "scatter": mx.zeros((700, 1025)).at[index].add(mx.take(x, index, axis=0)),
        "uniform": mx.random.uniform(shape=(333, 777), key=mx.random.key(1)),
        "normal": mx.sum(mx.random.normal((500, 700), key=mx.random.key(2))),
        "half": mx.sum(x.astype(mx.float16) * 0.5), "integers": mx.sum(mx.arange(1 << 20)),
        "gradient": mx.grad(lambda v: mx.sum(mx.logsumexp(mx.tanh(v) @ w, axis=-1)))(x),
    }
    mx.eval(results)
    print(json.dumps({name: hashlib.sha256(np.array(found).tobytes()).hexdigest()
                      for name, found in results.items()}))
"""


def test_bits_do_not_depend_on_threads() -> None:
    expected = run_for_json(PROGRAM, TARRY_THREADS="1")
    assert len(expected) == 20
    for threads in ("2", "3", "5"):
        found = run_for_json(PROGRAM, TARRY_THREADS=threads)
        different = [name for name in expected if found[name] != expected[name]]
        assert not different, f"{threads} threads differ from one in {different}"


def test_bits_do_not_depend_on_the_run() -> None:
    """Which thread takes which chunk changes from run to run."""
    assert run_for_json(PROGRAM, TARRY_THREADS="4") == run_for_json(PROGRAM, TARRY_THREADS="4")
