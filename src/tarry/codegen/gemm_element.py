"""What matrix multiplications ask of a processor, and how each dtype is stored and accumulated."""

from typing import Protocol


class VectorTarget(Protocol):
    """What the kernels ask of a processor: how wide its vectors are, and whether it has instructions for a
    fused multiply-add and for conversions between half and single precision."""

    @property
    def vector_bits(self) -> int: ...

    @property
    def has_fma(self) -> bool: ...

    @property
    def has_f16c(self) -> bool: ...


class Element:
    """How a dtype is stored in memory and how it is accumulated in registers."""

    def __init__(
        self, dtype: str, storage: str, storage_bytes: int, accumulator: str, components: int
    ) -> None:
        self.dtype = dtype
        self.storage = storage  # LLVM type of one stored scalar
        self.storage_bytes = storage_bytes  # of one scalar
        self.accumulator = accumulator  # LLVM type of one accumulated scalar
        self.accumulator_bytes = 8 if accumulator == "double" else 4
        self.components = components
        self.narrow = storage_bytes < self.accumulator_bytes

    @property
    def storage_cell(self) -> str:
        return f"[2 x {self.storage}]" if self.components == 2 else self.storage

    @property
    def accumulator_cell(self) -> str:
        return f"[2 x {self.accumulator}]" if self.components == 2 else self.accumulator

    @property
    def cell_bytes(self) -> int:
        """Bytes of one element in accumulator precision."""
        return self.accumulator_bytes * self.components


ELEMENTS = {
    "float32": Element("float32", "float", 4, "float", 1),
    "float64": Element("float64", "double", 8, "double", 1),
    "float16": Element("float16", "half", 2, "float", 1),
    "bfloat16": Element("bfloat16", "i16", 2, "float", 1),
    "complex64": Element("complex64", "float", 4, "float", 2),
}
