"""Optimizer: what all optimizers share.

The state is one tree: ``step``, the hyperparameters that may change (``learning_rate``), and beside them the
tree of the parameters, with a dictionary of arrays in the place of each parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tarry.core as mx
from tarry.nn.layers.base import Module
from tarry.optimizers.whole_step import record_step
from tarry.utils import tree_flatten, tree_map, tree_merge, tree_unflatten

__all__ = ["MultiOptimizer", "Optimizer"]

Scalar = Any  # float, int, scalar array, or a schedule: a function of the step


class Optimizer:
    """Base class. A subclass defines :meth:`init_single` and :meth:`apply_single` for one parameter.

    ``schedulers`` maps the names of hyperparameters to functions of the step (a uint64 scalar array).
    """

    def __init__(self, schedulers: dict[str, Callable[[mx.array], mx.array]] | None = None) -> None:
        self._initialized = False
        self._state: dict[str, Any] = {"step": mx.array(0, mx.uint64)}
        self._schedulers = dict(schedulers or {})

    def update(self, model: Module, gradients: Any) -> None:
        """Change the model's parameters by one step along ``gradients``, a tree like (part of) them."""
        if type(self).apply_gradients is Optimizer.apply_gradients and type(model).update is Module.update:
            self._prepare(gradients)
            if record_step(self, gradients, model, inside=True) is None:
                model.update(self._apply_each(gradients, model))
            return
        model.update(self.apply_gradients(gradients, model))

    def init(self, parameters: Any) -> None:
        """Make the state for all parameters that have none yet.

        The first update does this by itself; do it before when the state goes into ``mx.compile``.
        """
        for name in parameters if isinstance(parameters, dict) else ():
            if isinstance(self._state.get(name), mx.array):
                raise ValueError(
                    f"[{type(self).__name__}] the optimizer's own state has an entry {name!r}; no parameter "
                    "can have that name."
                )
        _complete_state(parameters, self._state)
        tree_map(self._init_leaf, parameters, self._state)
        self._initialized = True

    def _init_leaf(self, parameter: mx.array, state: Any) -> None:
        # Loaded state stays. A bare parameter shares its dictionary with the optimizer's own entries.
        if not state or state is self._state:
            self.init_single(parameter, state)

    def init_single(self, parameter: mx.array, state: dict[str, Any]) -> None:
        """Fill the state of one parameter."""
        raise NotImplementedError(f"[{type(self).__name__}] init_single is not defined.")

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict[str, Any]) -> mx.array:
        """The new value of one parameter; updates its state."""
        raise NotImplementedError(f"[{type(self).__name__}] apply_single is not defined.")

    def apply_gradients(self, gradients: Any, parameters: Any) -> Any:
        """One step: the tree of new parameters, in the form of ``gradients``. ``parameters`` may hold more.

        Raises KeyError when a gradient has no parameter or no state of its name.
        """
        self._prepare(gradients)
        recorded = record_step(self, gradients, parameters, inside=False)
        return self._apply_each(gradients, parameters) if recorded is None else recorded

    def _prepare(self, gradients: Any) -> None:
        """State for all gradients, and the hyperparameters of this step."""
        # A compiled step that failed in its first call has had its state put back to what it was.
        if not self._initialized or not _has_entries(gradients, self._state):
            self.init(gradients)
        for name, schedule in self._schedulers.items():
            self._state[name] = _as_array(schedule(self.step))

    def _apply_each(self, gradients: Any, parameters: Any) -> Any:
        self._state["step"] = self.step + 1
        return tree_map(self.apply_single, gradients, parameters, self._state)

    @property
    def state(self) -> dict[str, Any]:
        """The tree of all that changes with the steps: save it, give it to ``mx.eval``."""
        return self._state

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._initialized = False
        self._state = state

    @property
    def step(self) -> mx.array:
        """Number of steps done, a uint64 scalar."""
        return self.state["step"]

    @property
    def learning_rate(self) -> mx.array:
        """The learning rate, a scalar array. A schedule overwrites what is set here."""
        return self.state["learning_rate"]

    @learning_rate.setter
    def learning_rate(self, learning_rate: Scalar) -> None:
        self.state["learning_rate"] = mx.array(learning_rate)

    def _maybe_schedule(self, name: str, parameter: Scalar) -> None:
        """Keep a hyperparameter in the state, and its schedule if it is a function of the step."""
        if callable(parameter):
            self._schedulers[name] = parameter
            parameter = parameter(self.step)
        self._state[name] = mx.array(parameter)


class MultiOptimizer(Optimizer):
    """Several optimizers, each for its part of the parameters.

    ``filters`` are functions of a dotted path and a gradient, one for each optimizer but the last, which
    takes what no filter wants; the first filter that wants a parameter decides. Raises ValueError for another
    number of filters.

        >>> from tarry.optimizers import SGD, Adam
        >>> optimizer = MultiOptimizer([SGD(0.1), Adam(0.01)], [lambda path, gradient: "bias" in path])
    """

    def __init__(
        self, optimizers: list[Optimizer], filters: list[Callable[[str, Any], bool]] | tuple[()] = ()
    ) -> None:
        super().__init__()
        if len(filters) != len(optimizers) - 1:
            raise ValueError(
                f"[MultiOptimizer] Given {len(filters)} filters but {len(optimizers) - 1} needed."
            )
        self._state = {}
        self.optimizers = list(optimizers)
        self.filters = [*filters, _accept_all]

    def _split(self, tree: Any) -> list[Any]:
        """One tree for each optimizer; None where it has nothing to do."""
        parts: list[list[tuple[str, Any]]] = [[] for _ in self.optimizers]
        for path, leaf in tree_flatten(tree):
            for part, wants in zip(parts, self.filters):
                if wants(path, leaf):
                    part.append((path, leaf))
                    break
        return [tree_unflatten(part) if part else None for part in parts]

    def init(self, parameters: Any) -> None:
        """Make the states of all optimizers for their parts of the parameters."""
        for optimizer, part in zip(self.optimizers, self._split(parameters)):
            if part is not None:
                optimizer.init(part)
        self._initialized = True

    def apply_gradients(self, gradients: Any, parameters: Any) -> Any:
        """One step of each optimizer, on its part of the gradients."""
        merged: Any = None
        for optimizer, part in zip(self.optimizers, self._split(gradients)):
            if part is not None:
                merged = tree_merge(merged, optimizer.apply_gradients(part, parameters))
        return merged if merged is not None else {}

    @property
    def state(self) -> dict[str, Any]:
        """``{"states": [state of each optimizer]}``."""
        return {"states": [optimizer.state for optimizer in self.optimizers]}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        states = state.get("states") if isinstance(state, dict) else None
        if not isinstance(states, list) or len(states) != len(self.optimizers):
            raise ValueError(
                "[MultiOptimizer] Invalid state provided: expected {'states': [...]} with "
                f"{len(self.optimizers)} states."
            )
        for optimizer, its_state in zip(self.optimizers, states):
            optimizer.state = its_state

    @property
    def learning_rate(self) -> mx.array:
        """The learning rate of the first optimizer; setting it sets that of all."""
        return self.optimizers[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Scalar) -> None:
        for optimizer in self.optimizers:
            optimizer.learning_rate = learning_rate


def _accept_all(path: str, gradient: Any) -> bool:
    return True


def _as_array(value: Any) -> mx.array:
    return value if isinstance(value, mx.array) else mx.array(value)


def _complete_state(parameters: Any, state: Any) -> None:
    """Give every leaf of ``parameters`` a place in ``state``, and leave what is there already."""
    if isinstance(parameters, dict):
        for key, child in parameters.items():
            if key not in state:
                state[key] = _empty_state(child)
            else:
                _complete_state(child, state[key])
    elif isinstance(parameters, (list, tuple)):
        for index, child in enumerate(parameters):
            if index < len(state):
                _complete_state(child, state[index])
            else:
                state.append(_empty_state(child))


def _has_entries(parameters: Any, state: Any) -> bool:
    """Whether any of the outermost names of ``parameters`` is in ``state``."""
    if not isinstance(parameters, dict) or not parameters:
        return True
    return any(name in state for name in parameters)


def _empty_state(parameters: Any) -> Any:
    if isinstance(parameters, dict):
        return {key: _empty_state(child) for key, child in parameters.items()}
    if isinstance(parameters, (list, tuple)):
        return [_empty_state(child) for child in parameters]
    return {}
