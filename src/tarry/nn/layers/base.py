"""Module: the base class of every layer and model.

A module is a dictionary: arrays and containers assigned to its attributes become entries, in the order of
their assignment, and everything else (numbers, names, functions) stays an ordinary attribute. Submodules are
entries too, because they are dictionaries. So a model is a tree of arrays that every transform accepts as it
is.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import tarry.core as mx
from tarry.utils import tree_flatten, tree_unflatten

__all__ = ["Module"]

EntryFilter = Callable[["Module", str, Any], bool]


class Module(dict):
    """Base class for layers and models. Subclasses call ``super().__init__()`` and define ``__call__``.

    Entries whose name starts with an underscore are no parameters, and arrays inside tuples are not looked
    at.

        >>> class Scale(Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.factor = mx.ones(3)
        ...     def __call__(self, x):
        ...         return x * self.factor
        >>> list(Scale().parameters())
        ['factor']
    """

    def __init__(self) -> None:
        self._no_grad: set[str] = set()
        self._training = True

    # Attributes and entries

    def __getattr__(self, key: str) -> Any:
        # Reached only when the ordinary lookup failed.
        value = self.get(key)
        if value is not None:
            return value
        hint = ""
        if key in ("_no_grad", "_training", "training"):
            hint = ": call super().__init__() at the start of its __init__"
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{key}'{hint}")

    def __setattr__(self, key: str, value: Any) -> None:
        if isinstance(value, (mx.array, dict, list, tuple)):
            if key not in self and hasattr(type(self), key):
                raise AttributeError(
                    f"'{type(self).__name__}' object has no attribute '{key}' that can hold an array or a "
                    "container: the name belongs to its class, choose another one"
                )
            self.__dict__.pop(key, None)
            self[key] = value
        else:
            super().__setattr__(key, value)
            self.pop(key, None)

    def __delattr__(self, key: str) -> None:
        if key in self:
            del self[key]
        else:
            super().__delattr__(key)

    def _extra_repr(self) -> str:
        """What the text form shows between the brackets after the name of the class."""
        return ""

    def __repr__(self) -> str:
        children = tree_flatten(self.children(), is_leaf=self.is_module)
        text = f"{type(self).__name__}({self._extra_repr()}"
        for path, child in children:
            text += "\n" + textwrap.indent(f"({path}): {child!r}", "  ")
        return text + ("\n)" if children else ")")

    @property
    def training(self) -> bool:
        """Whether the module is in training mode (it is when made)."""
        return self._training

    @property
    def state(self) -> Module:
        """The module itself, as the tree of all its entries, for the inputs and outputs of ``mx.compile``."""
        return self

    # Filters

    @staticmethod
    def is_module(value: Any) -> bool:
        """Whether ``value`` is a module."""
        return isinstance(value, Module)

    @staticmethod
    def valid_child_filter(module: Module, key: str, value: Any) -> bool:
        """Keeps modules and the containers that may hold some."""
        return isinstance(value, (dict, list))

    @staticmethod
    def valid_parameter_filter(module: Module, key: str, value: Any) -> bool:
        """Keeps arrays and containers, unless their name starts with an underscore."""
        return isinstance(value, (dict, list, mx.array)) and not key.startswith("_")

    @staticmethod
    def trainable_parameter_filter(module: Module, key: str, value: Any) -> bool:
        """Keeps what :meth:`valid_parameter_filter` keeps, less the frozen names."""
        return Module.valid_parameter_filter(module, key, value) and key not in module._no_grad

    # Trees of entries

    def filter_and_map(
        self,
        filter_fn: EntryFilter,
        map_fn: Callable[[Any], Any] | None = None,
        is_leaf_fn: EntryFilter | None = None,
    ) -> dict[str, Any]:
        """The tree of the entries that ``filter_fn(module, key, value)`` keeps, with ``map_fn`` applied to
        the leaves.

        Inside containers the key is dotted (``blocks.0``), and a dropped value leaves an empty dictionary in
        its place. A leaf is what is no module, dictionary or list, or what ``is_leaf_fn`` says.
        """
        keep_value = map_fn if map_fn is not None else _same
        is_leaf = is_leaf_fn if is_leaf_fn is not None else _is_plain_value
        return {
            key: _map_entry(self, key, value, filter_fn, keep_value, is_leaf)
            for key, value in self.items()
            if filter_fn(self, key, value)
        }

    def parameters(self) -> dict[str, Any]:
        """All arrays of the module and its submodules, as nested dictionaries and lists."""
        return self.filter_and_map(self.valid_parameter_filter)

    def trainable_parameters(self) -> dict[str, Any]:
        """Like :meth:`parameters`, without the frozen ones."""
        if _has_own_filter(self):
            return self.filter_and_map(self.trainable_parameter_filter)
        return _trainable_entries(self, [])

    def children(self) -> dict[str, Any]:
        """The direct submodules, in the containers that hold them."""
        return self.filter_and_map(self.valid_child_filter, is_leaf_fn=_is_module_entry)

    def leaf_modules(self) -> dict[str, Any]:
        """The tree of the submodules that have no submodules of their own."""
        return self.filter_and_map(self.valid_child_filter, is_leaf_fn=_is_leaf_module_entry)

    def named_modules(self) -> list[tuple[str, Module]]:
        """Dotted paths and modules: this module (path ``""``) and all below it, last added first."""
        found: list[tuple[str, Module]] = []
        pending: list[tuple[str, Module]] = [("", self)]
        while pending:
            path, module = pending.pop()
            found.append((path, module))
            prefix = f".{path}" if path else ""
            pending.extend(tree_flatten(module.children(), prefix=prefix, is_leaf=self.is_module))
        return found

    def modules(self) -> list[Module]:
        """The modules of :meth:`named_modules`."""
        return [module for _, module in self.named_modules()]

    def apply_to_modules(self, apply_fn: Callable[[str, Module], Any]) -> Module:
        """Call ``apply_fn(path, module)`` for this module and all below it. Returns the module."""
        for path, module in self.named_modules():
            apply_fn(path, module)
        return self

    # Updates

    def update(self, parameters: dict[str, Any], strict: bool = True) -> Module:  # type: ignore[override]
        """Replace arrays by those of the tree ``parameters``, which may be partial. Returns the module.

        Shapes and dtypes are not looked at. With ``strict`` a name that is not in the module, or a value that
        does not fit what it replaces, raises ValueError; without, unknown names are left out.
        """
        _update_entries(self, parameters, strict)
        return self

    def apply(self, map_fn: Callable[[Any], Any], filter_fn: EntryFilter | None = None) -> Module:
        """Replace every parameter (or every entry that ``filter_fn`` keeps) by ``map_fn(array)``. Returns the
        module.

            >>> model.apply(lambda x: x.astype(mx.float16))  # doctest: +SKIP
        """
        self.update(self.filter_and_map(filter_fn or self.valid_parameter_filter, map_fn))
        return self

    def update_modules(self, modules: dict[str, Any], strict: bool = True) -> Module:
        """Replace submodules by those of the tree ``modules``; empty dictionaries skip a place. Returns the
        module.

        With ``strict``, a module in a place where there is none, and any other value, raises ValueError.
        """
        _update_submodules(self, modules, strict)
        return self

    def set_dtype(self, dtype: mx.Dtype, predicate: Callable[[mx.Dtype], bool] | None = None) -> None:
        """Cast the parameters whose dtype satisfies ``predicate`` (floating ones by default) to ``dtype``."""
        chosen = predicate if predicate is not None else _is_floating
        self.apply(lambda x: x.astype(dtype) if chosen(x.dtype) else x)

    # Weights in files

    def load_weights(
        self, file_or_weights: str | list[tuple[str, mx.array]] | dict[str, mx.array], strict: bool = True
    ) -> Module:
        """Load parameters from a ``.npz`` or ``.safetensors`` file, or from pairs of path and array.

        With ``strict`` the names and shapes must be exactly those of the module: ValueError lists the extra
        or the missing names, or the shape that differs. Without, names that are not in the module are left
        out. Dtypes are those of the weights. Returns the module.

            >>> model.load_weights([("weight", mx.zeros((2, 3)))], strict=False)  # doctest: +SKIP
        """
        weights: Any = file_or_weights
        if isinstance(weights, str):
            weights = _file_function("load", "load_weights")(weights)
        if isinstance(weights, dict):
            weights = list(weights.items())
        if not isinstance(weights, (list, tuple)):
            raise TypeError(
                "[Module.load_weights] expected a file name (str), a list of (name, array) pairs or a "
                f"dictionary, got '{type(weights).__name__}' object."
            )
        if strict:
            _check_weights(dict(weights), dict(tree_flatten(self.parameters())))
        if len(weights) > 0:
            self.update(tree_unflatten(list(weights)), strict=strict)
        return self

    def save_weights(self, file: str) -> None:
        """Save all parameters under their dotted paths, in a ``.npz`` or ``.safetensors`` file."""
        if not isinstance(file, str):
            raise TypeError(f"[Module.save_weights] expected a file name (str), got {type(file).__name__}.")
        weights = tree_flatten(self.parameters(), destination={})
        if file.endswith(".npz"):
            _file_function("savez", "save_weights")(file, **weights)
        elif file.endswith(".safetensors"):
            _file_function("save_safetensors", "save_weights")(file, weights)
        else:
            raise ValueError(
                f"[Module.save_weights] Unsupported file extension for {file}. Use '.npz' or '.safetensors'."
            )

    # Modes

    def freeze(
        self, *, recurse: bool = True, keys: str | list[str] | None = None, strict: bool = False
    ) -> Module:
        """Take parameters out of :meth:`trainable_parameters`. Returns the module.

        ``keys`` names them (all, if None), in this module alone or (``recurse``) in all below it too. With
        ``strict`` a name that is found nowhere raises KeyError.
        """
        for module, names in self._select_parameters("freeze", recurse, keys, strict):
            module._no_grad.update(names)
        return self

    def unfreeze(
        self, *, recurse: bool = True, keys: str | list[str] | None = None, strict: bool = False
    ) -> Module:
        """Undo :meth:`freeze`; all parameters become trainable when ``keys`` is None. Returns the module."""
        for module, names in self._select_parameters("unfreeze", recurse, keys, strict):
            if keys is None:
                module._no_grad.clear()
            else:
                module._no_grad.difference_update(names)
        return self

    def _select_parameters(
        self, method: str, recurse: bool, keys: str | list[str] | None, strict: bool
    ) -> list[tuple[Module, list[str]]]:
        modules = self.modules() if recurse else [self]
        if keys is None:
            return [(module, _own_parameter_names(module)) for module in modules]
        names = [keys] if isinstance(keys, str) else list(keys)
        if strict:
            for name in names:
                if not any(name in module for module in modules):
                    raise KeyError(f"[Module.{method}] Module doesn't contain member {name}.")
        return [(module, names) for module in modules]

    def train(self, mode: bool = True) -> Module:
        """Put this module and all below it in training mode, or in evaluation mode. Returns the module."""
        for module in self.modules():
            module._set_training_mode(mode)
        return self

    def eval(self) -> Module:
        """Put this module and all below it in evaluation mode. Returns the module."""
        return self.train(False)

    def _set_training_mode(self, mode: bool) -> None:
        self._training = bool(mode)


# A parameter: the container in a module that holds it, its key there, and the container in the tree of them.
Place = tuple[Any, Any, Any]


def trainable_places(module: Module) -> tuple[dict[str, Any], list[Place]]:
    """The tree of ``module.trainable_parameters()``, and where each of its arrays comes from and stands."""
    places: list[Place] = []
    if type(module).trainable_parameters is Module.trainable_parameters and not _has_own_filter(module):
        return _trainable_entries(module, places), places
    tree = module.trainable_parameters()
    _find_places(module, tree, places)
    return tree, places


def _has_own_filter(module: Module) -> bool:
    """Whether the class says itself what is trainable; else one walk finds it."""
    kind = type(module)
    return (
        kind.filter_and_map is not Module.filter_and_map
        or kind.trainable_parameter_filter is not Module.trainable_parameter_filter
    )


def _trainable_entries(module: Module, places: list[Place]) -> dict[str, Any]:
    """The trainable parameters of a module; adds their places."""
    frozen = module._no_grad
    found: dict[str, Any] = {}
    for key, value in module.items():
        if key.startswith("_") or key in frozen:
            continue
        if isinstance(value, mx.array):
            found[key] = value
            places.append((module, key, found))
        elif isinstance(value, (dict, list)):
            found[key] = _trainable_value(module, key, value, places)
    return found


def _trainable_value(module: Module, name: str, value: Any, places: list[Place]) -> Any:
    """The trainable parameters in an entry of a module; what is no parameter leaves an empty dictionary."""
    if isinstance(value, Module):
        return _trainable_entries(value, places)
    frozen = module._no_grad
    found: Any = {} if isinstance(value, dict) else [None] * len(value)
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        path = f"{name}.{key}"
        if path in frozen:
            found[key] = {}
        elif isinstance(item, mx.array):
            found[key] = item
            places.append((value, key, found))
        elif isinstance(item, (dict, list)):
            found[key] = _trainable_value(module, path, item, places)
        else:
            found[key] = {}
    return found


def _find_places(current: Any, tree: Any, places: list[Place]) -> None:
    """The places of the arrays of a tree of parameters."""
    for key, entry in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(entry, mx.array):
            places.append((current, key, tree))
        else:
            _find_places(current[key], entry, places)


def _same(value: Any) -> Any:
    return value


def _is_plain_value(module: Module, key: str, value: Any) -> bool:
    return not isinstance(value, (dict, list))


def _is_module_entry(module: Module, key: str, value: Any) -> bool:
    return isinstance(value, Module)


def _is_leaf_module_entry(module: Module, key: str, value: Any) -> bool:
    return isinstance(value, Module) and not tree_flatten(value.children(), is_leaf=Module.is_module)


def _is_floating(dtype: mx.Dtype) -> bool:
    return bool(mx.issubdtype(dtype, mx.floating))


def _own_parameter_names(module: Module) -> list[str]:
    """Dotted names of the parameters that belong to no submodule."""

    def is_own(owner: Module, key: str, value: Any) -> bool:
        return not isinstance(value, Module) and Module.valid_parameter_filter(owner, key, value)

    return [path for path, _ in tree_flatten(module.filter_and_map(is_own))]


def _map_entry(
    module: Module,
    key: str,
    value: Any,
    keep: EntryFilter,
    map_fn: Callable[[Any], Any],
    is_leaf: EntryFilter,
) -> Any:
    if is_leaf(module, key, value):
        return map_fn(value)
    if isinstance(value, Module):
        return {
            name: _map_entry(value, name, child, keep, map_fn, is_leaf)
            for name, child in value.items()
            if keep(value, name, child)
        }
    if isinstance(value, dict):
        return {
            name: _map_item(module, f"{key}.{name}", child, keep, map_fn, is_leaf)
            for name, child in value.items()
        }
    if isinstance(value, list):
        return [
            _map_item(module, f"{key}.{index}", child, keep, map_fn, is_leaf)
            for index, child in enumerate(value)
        ]
    raise RuntimeError(
        f"[Module.filter_and_map] {key!r} holds a {type(value).__name__}, which is no module, dictionary or "
        "list, and no leaf for is_leaf_fn."
    )


def _map_item(
    module: Module,
    key: str,
    value: Any,
    keep: EntryFilter,
    map_fn: Callable[[Any], Any],
    is_leaf: EntryFilter,
) -> Any:
    # Lists keep their length and dictionaries their keys, so that the tree still fits the module.
    return _map_entry(module, key, value, keep, map_fn, is_leaf) if keep(module, key, value) else {}


def _update_entries(destination: Any, parameters: Any, strict: bool) -> None:
    for key, new in _matching_items(destination, parameters, "update", "parameter", strict):
        current = destination[key]
        if isinstance(current, mx.array):
            if strict and not isinstance(new, mx.array):
                raise ValueError(
                    f"[Module.update] Received invalid type: {type(new).__name__}. "
                    f"The parameter {key!r} can only be replaced by an array."
                )
            destination[key] = new
        else:
            _update_entries(current, new, strict)


def _update_submodules(destination: Any, modules: Any, strict: bool) -> None:
    for key, new in _matching_items(destination, modules, "update_modules", "sub-module", strict):
        current = destination[key]
        if isinstance(current, Module) and isinstance(new, Module):
            destination[key] = new
        elif isinstance(current, (dict, list)) and not isinstance(new, Module):
            _update_submodules(current, new, strict)
        elif strict and (isinstance(new, Module) or new != {}):
            raise ValueError(
                f"[Module.update_modules] Received invalid type: {type(new).__name__}. "
                f"{key!r} holds a {type(current).__name__}, and only a module can be replaced by a module."
            )


def _matching_items(
    destination: Any, tree: Any, method: str, noun: str, strict: bool
) -> list[tuple[Any, Any]]:
    """The items of one level of ``tree`` that have a place in ``destination``."""
    if isinstance(tree, (dict, list)) and not tree:
        return []
    if isinstance(tree, dict):
        places = destination if isinstance(destination, dict) else {}
        if tree.keys() <= places.keys():
            return list(tree.items())
        known = [(key, new) for key, new in tree.items() if key in places]
        if strict and len(known) < len(tree):
            unknown = next(key for key in tree if key not in places)
            raise ValueError(f'[Module.{method}] Module does not have {noun} named "{unknown}".')
        return known
    if isinstance(tree, list) and isinstance(destination, list):
        if strict and len(tree) > len(destination):
            raise ValueError(
                f"[Module.{method}] List index {len(destination)} is out of bounds for destination of length "
                f"{len(destination)}."
            )
        return list(enumerate(tree[: len(destination)]))
    if strict:
        raise ValueError(
            f"[Module.{method}] Received invalid type: {type(tree).__name__}. "
            f"It cannot stand for a {type(destination).__name__}."
        )
    return []


def _check_weights(weights: dict[str, Any], expected: dict[str, Any]) -> None:
    extras = sorted(name for name in weights if name not in expected)
    if extras:
        names = ",\n".join(extras)
        raise ValueError(f"[Module.load_weights] Received {len(extras)} parameters not in model: \n{names}.")
    missing = sorted(name for name in expected if name not in weights)
    if missing:
        names = ",\n".join(missing)
        raise ValueError(f"[Module.load_weights] Missing {len(missing)} parameters: \n{names}.")
    for name, current in expected.items():
        new = weights[name]
        if not isinstance(new, mx.array):
            raise ValueError(
                f"[Module.load_weights] Expected mx.array but received {type(new)} for parameter {name}"
            )
        if new.shape != current.shape:
            raise ValueError(
                f"[Module.load_weights] Expected shape {current.shape} but received shape {new.shape} "
                f"for parameter {name}"
            )


def _file_function(name: str, method: str) -> Callable[..., Any]:
    """``mx.<name>``: which file formats can be read and written depends on what ``tarry.core`` offers."""
    function: Callable[..., Any] | None = getattr(mx, name, None)
    if function is None:
        raise RuntimeError(
            f"[Module.{method}] files need mx.{name}, which this version of tarry.core does not have; "
            "use load_weights with the arrays themselves, or save tree_flatten(module.parameters()) alone."
        )
    return function
