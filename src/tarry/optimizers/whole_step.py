"""One step of an optimizer for all parameters, recorded as a single operation.

What an optimizer of this package records for a parameter depends on shapes, dtypes and hyperparameters alone.
So it is asked once for each set of them, and later steps cost little more than finding the arrays.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from math import copysign
from typing import TYPE_CHECKING, Any, TypeVar

import tarry.core as mx
from tarry.core._libraries import record_as_one

if TYPE_CHECKING:
    from tarry.optimizers.base import Optimizer

Kind = TypeVar("Kind", bound=type)

_alike: set[type] = set()
# Attributes of an optimizer that are no hyperparameters.
_OTHER_ATTRIBUTES = frozenset({"_state", "_initialized", "_schedulers"})
_NUMBERS = frozenset({bool, int, str, type(None)})

_array = mx.array

# Gradient, parameter, state, and where the new parameter goes: a container and a key.
Leaf = tuple[_array, _array, dict[str, _array], Any, Any]


def records_alike(kind: Kind) -> Kind:
    """Says of a class of optimizers that `apply_single` is pure: it depends on its arguments, the
    hyperparameters and the state, and changes nothing else. Subclasses have to say it for themselves."""
    _alike.add(kind)
    return kind


def record_step(optimizer: Optimizer, gradients: Any, parameters: Any, inside: bool) -> Any:
    """The tree of new parameters after a step of all; updates the state.

    `inside` puts the new ones into the containers of the parameters, and gives these back.

    None, with nothing changed, where that cannot be recorded as one operation: for other classes, for
    hyperparameters that are no numbers, and for trees that are not what they should be.
    """
    kind = type(optimizer)
    if kind not in _alike or not isinstance(gradients, dict):
        return None
    key: list[object] = [kind, kind.apply_single]
    shared = {name: value for name, value in optimizer._state.items() if not isinstance(value, (dict, list))}
    if "step" not in shared or not all(type(value) is _array for value in shared.values()):
        return None
    if not _add_hyperparameters(optimizer, key):
        return None
    leaves: list[Leaf] = []
    try:
        tree = _collect(gradients, parameters, optimizer._state, leaves, inside)
    except (LookupError, TypeError):
        return None
    if not leaves:
        return None
    names: list[tuple[str, ...]] = []
    arrays = [*shared.values()]
    for gradient, parameter, state, _, _ in leaves:
        arrays += (gradient, parameter, *state.values())
        names.append(tuple(state))
    key += (*shared, *names)

    def record(given: list[_array]) -> list[_array]:
        return _record(optimizer, tuple(shared), names, iter(given))

    made = iter(record_as_one(tuple(key), record, arrays))
    optimizer._state["step"] = next(made)
    for (_, _, state, branch, place), own in zip(leaves, names):
        branch[place] = next(made)
        for name in own:
            state[name] = next(made)
    return tree


def _record(
    optimizer: Optimizer,
    shared: tuple[str, ...],
    names: list[tuple[str, ...]],
    arrays: Iterator[_array],
) -> list[_array]:
    """The new step, and for each parameter its new value and state, in the order of the arrays."""
    replica = copy.copy(optimizer)
    replica._state = {name: next(arrays) for name in shared}
    replica._state["step"] = replica.step + 1
    made = [replica.step]
    for own in names:
        gradient, parameter = next(arrays), next(arrays)
        state = {name: next(arrays) for name in own}
        made.append(replica.apply_single(gradient, parameter, state))
        made += [state[name] for name in own]
    return made


def _add_hyperparameters(optimizer: Optimizer, key: list[object]) -> bool:
    """Add the hyperparameters to a key; False where one is no number, name or sequence of them."""
    for name, value in vars(optimizer).items():
        if name in _OTHER_ATTRIBUTES:
            continue
        key.append(name)
        if isinstance(value, (list, tuple)):
            key.append(len(value))
            if not all(_add_number(item, key) for item in value):
                return False
        elif not _add_number(value, key):
            return False
    return True


def _add_number(value: object, key: list[object]) -> bool:
    kind = type(value)
    if kind is float:
        # Zeros compare equal whatever their signs.
        key += (value, copysign(1.0, value))  # type: ignore[arg-type]
        return True
    key += (kind, value)
    return kind in _NUMBERS


def _collect(gradients: Any, parameters: Any, state: Any, leaves: list[Leaf], inside: bool) -> Any:
    """A tree of the form of `gradients` with room for the new parameters, or the parameters themselves; adds
    the leaves.

    LookupError for a gradient without a parameter or state, TypeError for other trees and leaves.
    """
    tree: Any
    if inside and not isinstance(parameters, (dict, list)):
        raise TypeError
    if isinstance(gradients, dict):
        tree = parameters if inside else {}
        items: Any = gradients.items()
    elif isinstance(gradients, list):
        tree = parameters if inside else [None] * len(gradients)
        items = enumerate(gradients)
    else:
        raise TypeError
    for key, gradient in items:
        parameter, own = parameters[key], state[key]
        if type(gradient) is not _array:
            found = _collect(gradient, parameter, own, leaves, inside)
            if not inside:
                tree[key] = found
            continue
        if type(parameter) is not _array or type(own) is not dict:
            raise TypeError
        for value in own.values():
            if type(value) is not _array:
                raise TypeError
        if not inside:
            tree[key] = None
        leaves.append((gradient, parameter, own, tree, key))
    return tree
