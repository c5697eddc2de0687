"""One interface over the libraries that are measured: how to make an array, compile, wait for a result."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

# In the order of the tables.
LIBRARY_NAMES = ("tarry", "tarry.compile", "torch", "torch.compile", "jax", "numpy", "mlx")


class Unavailable(Exception):
    """A library is not installed, or cannot do what a workload needs; the message says why."""


class Library:
    """A way to run programs. `family` says whose interface it has, `module` is its array module.

    >>> library = open_library("numpy")
    >>> library.compile(library.module.sum)(library.array(np.ones(3)))
    np.float64(3.0)
    """

    def __init__(self, name: str, family: str, module: Any, version: str) -> None:
        self.name = name
        self.family = family
        self.module = module
        self.version = version

    def array(self, values: np.ndarray) -> Any:
        """The library's array with these values."""
        return values

    def numpy(self, value: Any) -> np.ndarray:
        """A result as a NumPy array."""
        return np.asarray(value)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function as this library runs it best."""
        return function

    def wait(self, value: Any) -> Any:
        """Return when the value is computed."""
        return value

    def value_and_gradients(self, loss: Callable[..., Any]) -> Callable[[Sequence[Any], Sequence[Any]], Any]:
        """From `loss(parameters, *data)` a function `(parameters, data) -> (value, gradients)`."""
        raise Unavailable(f"{self.name} has no gradients")

    def compilations(self) -> int | None:
        """Kernels compiled or loaded and plans made so far, where the library counts them."""
        return None


class MlxLibrary(Library):
    """Tarry and MLX: the same programs in both. `compiled` puts functions through `mx.compile`."""

    def __init__(self, name: str, package: str, compiled: bool) -> None:
        module = _import(f"{package}.core")
        super().__init__(name, "mx", module, _version(package))
        if compiled and not hasattr(module, "compile"):
            raise Unavailable(f"{package}.core has no compile")
        self.compiled = compiled
        self.nn: ModuleType = _import(f"{package}.nn")
        self.optimizers: ModuleType = _import(f"{package}.optimizers")
        self.utils: ModuleType = _import(f"{package}.utils")

    def array(self, values: np.ndarray) -> Any:
        made = self.module.array(values)
        self.module.eval(made)
        return made

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self.module.compile(function) if self.compiled else function

    def wait(self, value: Any) -> Any:
        self.module.eval(value)
        return value

    def value_and_gradients(self, loss: Callable[..., Any]) -> Callable[[Sequence[Any], Sequence[Any]], Any]:
        function = self.compile(self.module.value_and_grad(loss))
        return lambda parameters, data: self.wait(function(parameters, *data))

    def compilations(self) -> int | None:
        if not hasattr(self.module, "counters"):
            return None
        counts = self.module.counters()
        return int(counts["kernels_compiled"] + counts["kernels_loaded"] + counts["plans_built"])


class TorchLibrary(Library):
    """PyTorch, eager or through `torch.compile`."""

    def __init__(self, name: str, compiled: bool, threads: int) -> None:
        module = _import("torch")
        super().__init__(name, "torch", module, module.__version__)
        module.set_num_threads(threads)
        self.compiled = compiled

    def array(self, values: np.ndarray) -> Any:
        return self.module.from_numpy(np.array(values))

    def numpy(self, value: Any) -> np.ndarray:
        return np.asarray(value.detach())

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self.module.compile(function) if self.compiled else function

    def value_and_gradients(self, loss: Callable[..., Any]) -> Callable[[Sequence[Any], Sequence[Any]], Any]:
        function = self.compile(loss)
        differentiate = self.module.autograd.grad

        def run(parameters: Sequence[Any], data: Sequence[Any]) -> Any:
            value = function(parameters, *data)
            return value.detach(), differentiate(value, parameters)

        return run


class JaxLibrary(Library):
    """JAX with every function through `jax.jit`."""

    def __init__(self, name: str) -> None:
        self.jax = _import("jax")
        super().__init__(name, "jax", _import("jax.numpy"), self.jax.__version__)

    def array(self, values: np.ndarray) -> Any:
        return self.jax.block_until_ready(self.module.asarray(values))

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        compiled: Callable[..., Any] = self.jax.jit(function)
        return compiled

    def wait(self, value: Any) -> Any:
        return self.jax.block_until_ready(value)

    def value_and_gradients(self, loss: Callable[..., Any]) -> Callable[[Sequence[Any], Sequence[Any]], Any]:
        function = self.compile(self.jax.value_and_grad(loss))
        return lambda parameters, data: self.wait(function(parameters, *data))


def open_library(name: str, threads: int = 2) -> Library:
    """The library of that name. Raises `Unavailable` when it is not installed, ValueError when unknown."""
    if name == "tarry" or name == "tarry.compile":
        return MlxLibrary(name, "tarry", name == "tarry.compile")
    if name == "mlx":
        return MlxLibrary(name, "mlx", False)
    if name == "torch" or name == "torch.compile":
        return TorchLibrary(name, name == "torch.compile", threads)
    if name == "jax":
        return JaxLibrary(name)
    if name == "numpy":
        return Library(name, "numpy", np, np.__version__)
    raise ValueError(f"[open_library] expected one of {', '.join(LIBRARY_NAMES)}, got {name!r}")


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unavailable(f"{name} cannot be imported: {error}") from None


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
