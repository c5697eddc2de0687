"""Kernels written in Metal or CUDA: they can be described anywhere, but run on their hardware only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tarry.graph.array import array
from tarry.runtime.devices import StreamLike, require_stream


def _check_names(op: str, name: object, source: object, *lists: Any) -> None:
    """TypeError unless name and source are strings and the lists sequences of strings."""
    given = [name, source]
    for names in lists:
        if isinstance(names, str) or not isinstance(names, Sequence):
            raise TypeError(f"[{op}] incompatible function arguments: {names!r} is no sequence of names.")
        given.extend(names)
    for item in given:
        if not isinstance(item, str):
            raise TypeError(f"[{op}] incompatible function arguments: expected a string, not {item!r}.")


class ForeignKernel:
    """The description of a kernel for hardware this machine cannot reach: calling it is an error."""

    def __init__(self, op: str, platform: str, name: str, **description: Any) -> None:
        self.op = op
        self.platform = platform
        self.name = name
        self.description = description

    def __call__(
        self,
        *,
        inputs: Sequence[Any],
        output_shapes: Sequence[Sequence[int]],
        output_dtypes: Sequence[Any],
        grid: tuple[int, int, int],
        threadgroup: tuple[int, int, int],
        template: Sequence[tuple[str, Any]] | None = None,
        init_value: float | None = None,
        verbose: bool = False,
        stream: StreamLike = None,
    ) -> list[array]:
        """RuntimeError: there is no such hardware."""
        if stream is not None:
            require_stream(self.op, stream)
        raise RuntimeError(
            f"[{self.op}] The kernel {self.name!r} needs {self.platform}, but Tarry runs on the CPU: "
            f"there is no {self.platform} back-end."
        )

    def __repr__(self) -> str:
        return f"<{self.op} {self.name!r}>"


def metal_kernel(
    name: str,
    input_names: Sequence[str],
    output_names: Sequence[str],
    source: str,
    header: str = "",
    ensure_row_contiguous: bool = True,
    atomic_outputs: bool = False,
    compile_options: object | None = None,
) -> ForeignKernel:
    """A kernel written in Metal. It can be made, but calling it is a RuntimeError: Tarry runs on the CPU.

    >>> mx.fast.metal_kernel("double", ["x"], ["y"], "y[0] = 2 * x[0];")
    <metal_kernel 'double'>
    """
    _check_names("metal_kernel", name, source, input_names, output_names)
    return ForeignKernel(
        "metal_kernel",
        "Metal",
        name,
        input_names=tuple(input_names),
        output_names=tuple(output_names),
        source=source,
        header=header,
        ensure_row_contiguous=ensure_row_contiguous,
        atomic_outputs=atomic_outputs,
        compile_options=compile_options,
    )


def cuda_kernel(
    name: str,
    input_names: Sequence[str],
    output_names: Sequence[str],
    source: str,
    header: str = "",
    ensure_row_contiguous: bool = True,
    shared_memory: int = 0,
) -> ForeignKernel:
    """A kernel written in CUDA. It can be made, but calling it is a RuntimeError: Tarry runs on the CPU.

    >>> mx.fast.cuda_kernel("double", ["x"], ["y"], "y[0] = 2 * x[0];")
    <cuda_kernel 'double'>
    """
    _check_names("cuda_kernel", name, source, input_names, output_names)
    return ForeignKernel(
        "cuda_kernel",
        "CUDA",
        name,
        input_names=tuple(input_names),
        output_names=tuple(output_names),
        source=source,
        header=header,
        ensure_row_contiguous=ensure_row_contiguous,
        shared_memory=shared_memory,
    )


def precompiled_cuda_kernel(
    *,
    name: str,
    compiled_source: bytes,
    inputs: Sequence[Any],
    output_shapes: Sequence[tuple[int, ...]],
    output_dtypes: Sequence[Any],
    scalars: Sequence[object],
    grid: tuple[int, int, int],
    threadgroup: tuple[int, int, int],
    shared_memory: int = 0,
    init_value: float | None = None,
    ensure_row_contiguous: bool = False,
    stream: StreamLike = None,
) -> list[array]:
    """Runs a compiled CUDA kernel: always a RuntimeError, because Tarry runs on the CPU.

    >>> import inspect
    >>> "compiled_source" in inspect.signature(mx.fast.precompiled_cuda_kernel).parameters
    True
    """
    if stream is not None:
        require_stream("precompiled_cuda_kernel", stream)
    raise RuntimeError(
        f"[precompiled_cuda_kernel] The kernel {name!r} needs CUDA, but Tarry runs on the CPU: there is "
        "no CUDA back-end."
    )
