"""Optimizers, schedules and clipping: state, formulas, errors, and MLX where installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarry.core as mx
import tarry.nn as nn
import tarry.optimizers as optim
from tarry.utils import tree_flatten, tree_map, tree_unflatten

PARAMETERS = {"w": [1.0, -2.0, 3.0], "l": [[0.5]]}
GRADIENTS = {"w": [0.1, -0.2, 0.0], "l": [[2.0]]}
MAKERS: dict[str, tuple[Callable[[Any], Any], set[str]]] = {
    "sgd": (lambda o: o.SGD(0.1), {"v"}),
    "momentum": (lambda o: o.SGD(0.1, momentum=0.9), {"v"}),
    "dampening": (lambda o: o.SGD(0.1, momentum=0.9, dampening=0.1), {"v"}),
    "nesterov": (lambda o: o.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1), {"v"}),
    "adam": (lambda o: o.Adam(0.1), {"m", "v"}),
    "adam corrected": (lambda o: o.Adam(0.1, bias_correction=True), {"m", "v"}),
    "adamw": (lambda o: o.AdamW(0.1, betas=[0.8, 0.99], eps=1e-6), {"m", "v"}),
    "adamw corrected": (lambda o: o.AdamW(0.1, weight_decay=0.1, bias_correction=True), {"m", "v"}),
    "adamax": (lambda o: o.Adamax(0.1), {"m", "v"}),
    "rmsprop": (lambda o: o.RMSprop(0.1), {"v"}),
    "adagrad": (lambda o: o.Adagrad(0.1), {"v"}),
    "adadelta": (lambda o: o.AdaDelta(0.1), {"v", "u"}),
    "lion": (lambda o: o.Lion(0.1, weight_decay=0.1), {"m"}),
    "schedule": (lambda o: o.Adam(o.linear_schedule(0.0, 0.1, 2)), {"m", "v"}),
}


def arrays(tree: Any, dtype: Any = None, library: Any = mx) -> dict[str, Any]:
    """The two-leaf tree {"w": (3,), "l": [(1,)]} as arrays."""
    dtype = dtype or library.float32
    return {"w": library.array(tree["w"], dtype), "l": [library.array(tree["l"][0], dtype)]}


def run(optimizer: Any, library: Any = mx, steps: int = 4) -> dict[str, Any]:
    parameters = arrays(PARAMETERS, library=library)
    for _ in range(steps):
        parameters = optimizer.apply_gradients(arrays(GRADIENTS, library=library), parameters)
    flat = dict(tree_flatten({"parameters": parameters, "state": optimizer.state}))
    return {path: np.array(array) for path, array in flat.items()}


@pytest.mark.parametrize("name", MAKERS)
def test_state(name: str) -> None:
    make, leaves = MAKERS[name]
    optimizer = make(optim)
    assert set(optimizer.state) == {"step", "learning_rate"}
    assert optimizer.step.dtype == mx.uint64
    run(optimizer)
    assert optimizer.step.item() == 4
    assert set(optimizer.state) == {"step", "learning_rate", "w", "l"}
    assert set(optimizer.state["w"]) == set(optimizer.state["l"][0]) == leaves


@pytest.mark.parametrize("name", MAKERS)
def test_side_by_side_with_mlx(name: str) -> None:
    core, oracle = pytest.importorskip("mlx.core"), pytest.importorskip("mlx.optimizers")
    make, _ = MAKERS[name]
    ours, theirs = run(make(optim)), run(make(oracle), core)
    assert set(ours) == set(theirs)
    for path, expected in theirs.items():
        assert ours[path].dtype == expected.dtype
        np.testing.assert_allclose(ours[path], expected, rtol=2e-6, atol=1e-7, err_msg=path)


def test_adam_formula() -> None:
    beta1, beta2, eps, rate = 0.9, 0.999, 1e-8, 0.1
    w, g = np.array(PARAMETERS["w"]), np.array(GRADIENTS["w"])
    m, v = np.zeros(3), np.zeros(3)
    for _ in range(4):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        w = w - rate * m / (np.sqrt(v) + eps)
    np.testing.assert_allclose(run(optim.Adam(rate))["parameters.w"], w, rtol=1e-5)


@pytest.mark.parametrize("name", MAKERS)
def test_half_precision_stays(name: str) -> None:
    optimizer = MAKERS[name][0](optim)
    result = optimizer.apply_gradients(arrays(GRADIENTS, mx.float16), arrays(PARAMETERS, mx.float16))
    assert result["w"].dtype == mx.float16
    assert all(array.dtype == mx.float16 for array in optimizer.state["w"].values())


def test_state_follows_the_gradients() -> None:
    optimizer = optim.Adam(0.1)
    result = optimizer.apply_gradients(arrays(GRADIENTS), arrays(PARAMETERS, mx.float16))
    assert result["w"].dtype == optimizer.state["w"]["m"].dtype == mx.float32


def test_update_of_a_model() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    weight = np.array(model.layers[0].weight)
    gradients = tree_map(mx.ones_like, model.trainable_parameters())
    optimizer = optim.SGD(0.5)
    assert optimizer.update(model, gradients) is None
    np.testing.assert_allclose(np.array(model.layers[0].weight), weight - 0.5, rtol=1e-6)
    optimizer.update(model, {"layers": [{"bias": mx.ones(2)}]})
    assert optimizer.step.item() == 2
    with pytest.raises(KeyError, match="absent"):
        optimizer.update(model, {"absent": mx.ones(2)})


def test_init_completes_the_state() -> None:
    optimizer = optim.Adam(0.1)
    parameters, gradients = arrays(PARAMETERS), arrays(GRADIENTS)
    optimizer.apply_gradients({"w": gradients["w"]}, parameters)
    with pytest.raises(KeyError, match="'l' is in the first tree"):
        optimizer.apply_gradients(gradients, parameters)
    momentum = np.array(optimizer.state["w"]["m"])
    optimizer.init(parameters)
    assert np.array(optimizer.state["w"]["m"]).tolist() == momentum.tolist()
    assert np.array(optimizer.state["l"][0]["m"]).tolist() == [0]
    optimizer.apply_gradients(gradients, parameters)


def test_saved_state_continues() -> None:
    optimizer, other = optim.Adam(0.1), optim.Adam(0.5)
    run(optimizer, steps=2)
    other.state = tree_unflatten(tree_flatten(optimizer.state))
    assert np.array(other.learning_rate) == np.float32(0.1)
    first, second = run(optimizer), run(other)
    for path, array in first.items():
        np.testing.assert_array_equal(second[path], array, err_msg=path)


def test_bare_arrays() -> None:
    for name, (make, _) in MAKERS.items():
        optimizer = make(optim)
        x = mx.array([1.0, 2.0])
        for _ in range(3):
            x = optimizer.apply_gradients(mx.ones(2), x)
        assert np.all(np.array(x) < [1, 2]), name
        assert optimizer.step.item() == 3


def test_learning_rate() -> None:
    assert optim.SGD(0.1).learning_rate.dtype == mx.float32
    assert optim.SGD(1).learning_rate.dtype == mx.int32
    assert optim.SGD(mx.array(0.1, mx.float16)).learning_rate.dtype == mx.float16
    optimizer = optim.SGD(0.1)
    optimizer.learning_rate = 0.5
    np.testing.assert_allclose(run(optimizer, steps=1)["parameters.l.0"], [-0.5])
    with pytest.raises(AttributeError):
        optimizer.step = 3  # type: ignore[misc]


def test_scheduled_learning_rate() -> None:
    optimizer = optim.SGD(lambda step: 0.5 * step)
    rates = [optimizer.learning_rate.item()]
    for _ in range(3):
        run(optimizer, steps=1)
        rates.append(optimizer.learning_rate.item())
    assert rates == [0, 0, 0.5, 1]
    optimizer.learning_rate = 7.0
    run(optimizer, steps=1)
    assert optimizer.learning_rate.item() == 1.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.SGD(0.1, nesterov=True), r"\[SGD\] Nesterov momentum requires a momentum"),
        (lambda: optim.SGD(0.1, 0.9, dampening=0.1, nesterov=True), r"\[SGD\] Nesterov"),
        (lambda: optim.Adam(0.1, betas=[1.0, 0.9]), r"\[Adam\] beta1 should be in \[0, 1\), 1.0 was"),
        (lambda: optim.AdamW(0.1, betas=[0.9, -1.0]), r"\[Adam\] beta2 should be in \[0, 1\), -1.0 was"),
        (lambda: optim.Adam(0.1, betas=[0.9]), r"\[Adam\] expected two betas"),
        (lambda: optim.Adamax(0.1, eps=-1.0), r"\[Adam\] epsilon should be >=0, -1.0 was provided"),
        (lambda: optim.RMSprop(0.1, alpha=-1.0), r"\[RMSprop\] alpha should be >=0"),
        (lambda: optim.RMSprop(0.1, eps=-1.0), r"\[RMSprop\] epsilon"),
        (lambda: optim.Adagrad(0.1, eps=-1.0), r"\[Adagrad\] epsilon"),
        (lambda: optim.AdaDelta(0.1, rho=-1.0), r"\[AdaDelta\] rho"),
        (lambda: optim.AdaDelta(0.1, eps=-1.0), r"\[AdaDelta\] epsilon"),
        (lambda: optim.Lion(0.1, betas=[2.0, 0.9]), r"\[Lion\] beta1"),
        (lambda: optim.SGD("fast"), "str"),
    ],
)
def test_constructor_errors(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_other_errors() -> None:
    with pytest.raises(TypeError, match="learning_rate"):
        optim.Adam()  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"\[Adam\] the optimizer's own state has an entry 'step'"):
        optim.Adam(0.1).init({"step": mx.ones(1)})
    with pytest.raises(NotImplementedError, match="init_single"):
        optim.Optimizer().apply_gradients(mx.ones(1), mx.ones(1))


def test_own_optimizer() -> None:
    class Counting(optim.Optimizer):
        def __init__(self) -> None:
            super().__init__()
            self._maybe_schedule("rate", lambda step: step * 2)

        def init_single(self, parameter: mx.array, state: dict[str, Any]) -> None:
            state["count"] = mx.zeros(1)

        def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict[str, Any]) -> mx.array:
            state["count"] = state["count"] + 1
            return parameter - gradient * self.state["rate"]

    optimizer = Counting()
    result = run(optimizer, steps=2)
    assert result["state.w.count"].tolist() == [2] and result["state.rate"] == 2
    np.testing.assert_allclose(result["parameters.l.0"], [-3.5])


def test_multi_optimizer() -> None:
    def make(library: Any) -> Any:
        return library.MultiOptimizer(
            [library.Adam(0.1), library.SGD(0.2)], [lambda path, gradient: "w" in path]
        )

    optimizer = make(optim)
    result = run(optimizer, steps=1)
    np.testing.assert_allclose(result["parameters.l.0"], [0.1], rtol=1e-5)
    assert set(optimizer.state) == {"states"} and set(optimizer.state["states"][1]) == {
        "step",
        "learning_rate",
        "l",
    }
    optimizer.learning_rate = 0.5
    assert [o.learning_rate.item() for o in optimizer.optimizers] == [0.5, 0.5]
    other = make(optim)
    other.init(arrays(PARAMETERS))
    other.state = optimizer.state
    assert other.learning_rate.item() == 0.5
    with pytest.raises(KeyError):
        optimizer.step  # noqa: B018
    with pytest.raises(ValueError, match=r"\[MultiOptimizer\] Given 1 filters but 0 needed"):
        optim.MultiOptimizer([optim.SGD(1.0)], [lambda path, gradient: True])
    with pytest.raises(ValueError, match=r"\[MultiOptimizer\] Invalid state provided"):
        other.state = {"states": [{}]}


def test_schedules() -> None:
    assert optim.exponential_decay(0.1, 0.9)(2) == pytest.approx(0.081)
    assert optim.step_decay(0.1, 0.5, 10)(25) == pytest.approx(0.025)
    cosine = optim.cosine_decay(0.1, 10, 0.01)
    assert [cosine(step).item() for step in (0, 5, 10, 99)] == pytest.approx([0.1, 0.055, 0.01, 0.01])
    line = optim.linear_schedule(0.0, 0.1, 10)
    assert [line(step).item() for step in (0, 3, 10, 99)] == pytest.approx([0, 0.03, 0.1, 0.1])
    joined = optim.join_schedules([line, optim.cosine_decay(0.1, 10)], [10])
    steps = range(0, 22, 3)
    expected = [0, 0.03, 0.06, 0.09, 0.090450846, 0.05, 0.00954915, 0]
    assert [float(joined(step).item()) for step in steps] == pytest.approx(expected, abs=1e-8)
    as_arrays = [joined(mx.array(step, mx.uint64)) for step in steps]
    assert [x.item() for x in as_arrays] == pytest.approx(expected, abs=1e-8)
    assert all(x.dtype == mx.float32 for x in as_arrays)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: optim.join_schedules([optim.linear_schedule(0, 1, 2)], [1]),
            "Received 1 boundaries but expected 0",
        ),
        (lambda: optim.join_schedules([], []), "Must provide at least 1 schedule to join"),
        (
            lambda: optim.linear_schedule(0, 1, 0),
            r"\[linear_schedule\] steps must be greater than 0, but got 0",
        ),
        (lambda: optim.step_decay(0.1, 0.1, 0), r"\[step_decay\] step_size must be greater than 0"),
        (lambda: optim.cosine_decay(0.1, 0), r"\[cosine_decay\] decay_steps must be greater than 0"),
    ],
)
def test_schedule_errors(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_clip_grad_norm() -> None:
    clipped, norm = optim.clip_grad_norm({"a": mx.array([3.0]), "b": [mx.array([4.0])]}, 1.0)
    assert norm.item() == pytest.approx(5.0)
    assert np.array(clipped["b"][0]).tolist() == pytest.approx([0.8])
    unchanged, _ = optim.clip_grad_norm({"a": mx.array([3.0])}, 10.0)
    assert np.array(unchanged["a"]).tolist() == [3]
    half, norm = optim.clip_grad_norm({"a": mx.array([300.0, 400.0], mx.float16)}, 1.0)
    assert norm.item() == pytest.approx(500) and norm.dtype == mx.float32 and half["a"].dtype == mx.float16
    whole, norm = optim.clip_grad_norm({"a": mx.array([3, 4])}, 1.0)
    assert norm.item() == pytest.approx(5) and whole["a"].dtype == mx.float32
    nothing, norm = optim.clip_grad_norm({}, 1.0)
    assert nothing == {} and norm.item() == 0
    with pytest.raises(ValueError, match=r"\[clip_grad_norm\] max_norm should be >=0, -1.0 was provided"):
        optim.clip_grad_norm({}, -1.0)


def test_training_learns_a_line() -> None:
    mx.random.seed(1)
    model = nn.Linear(1, 1)
    x = mx.random.uniform(-1.0, 1.0, (64, 1))
    y = 3 * x - 1
    optimizer = optim.Adam(0.1)
    loss_and_gradients = nn.value_and_grad(model, lambda x, y: nn.losses.mse_loss(model(x), y))
    for _ in range(150):
        loss, gradients = loss_and_gradients(x, y)
        optimizer.update(model, gradients)
        mx.eval(loss, model.parameters(), optimizer.state)
    np.testing.assert_allclose([model.weight.item(), model.bias.item()], [3, -1], atol=0.05)


def test_a_compiled_step_that_fails_in_its_first_call_leaves_a_usable_optimizer():
    model, optimizer = nn.Linear(3, 2), optim.Adam(1e-2)
    failing = True

    def step(x):
        loss, gradients = nn.value_and_grad(model, lambda x: model(x).sum())(x)
        optimizer.update(model, gradients)
        if failing:
            raise RuntimeError("not yet")
        return loss

    state = [model.state, optimizer.state]
    compiled = mx.compile(step, inputs=state, outputs=state)
    with pytest.raises(RuntimeError, match="not yet"):
        compiled(mx.ones((4, 3)))
    failing = False
    before = model.weight.tolist()
    compiled(mx.ones((4, 3)))
    assert optimizer.step.item() == 1
    assert model.weight.tolist() != before
