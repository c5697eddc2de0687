"""The argument table of a matrix multiplication inside a kernel, and the call of its epilogue."""

from tarry.codegen.gemm_builder import KernelBuilder, Values
from tarry.codegen.gemm_problem import POINTER_SLOTS, SLOTS


class GemmSlots:
    """The argument table inside a kernel: each use of a slot loads it, so that no register waits with it."""

    def __init__(self, builder: KernelBuilder) -> None:
        self.builder = builder

    def __getitem__(self, name: str) -> str:
        kind = "ptr" if name in POINTER_SLOTS or name == "epilogue" else "i64"
        address = self.builder.value(f"getelementptr i64, ptr %args, i64 {SLOTS.index(name)}")
        return self.builder.value(f"load {kind}, ptr {address}, align 8")

    def batch(self) -> str:
        build = self.builder
        return build.multiply(build.multiply(self["extent0"], self["extent1"]), self["extent2"])

    def item_range(self, items: str) -> tuple[str, str]:
        """This chunk's share [low, high) of the work items."""
        build = self.builder
        low = build.integer("udiv", build.multiply("%chunk", items), "%chunks")
        after = build.multiply(build.add("%chunk", 1), items)
        return low, build.integer("udiv", after, "%chunks")

    def packed_extents(self, operand: str) -> Values:
        """The batch extents of an operand's own matrices: 1 where it is repeated (empty stays empty)."""
        build = self.builder
        result = []
        for dimension in range(3):
            extent = self[f"extent{dimension}"]
            repeated = build.compare("eq", self[f"{operand}_batch{dimension}"], 0)
            result.append(build.select(repeated, build.minimum(extent, 1), extent))
        return result

    def indices(self, item: str, extents: Values) -> Values:
        """The three batch indices of a linear batch index."""
        build = self.builder
        outer = build.integer("udiv", item, extents[2])
        return [
            build.integer("udiv", outer, extents[1]),
            build.integer("urem", outer, extents[1]),
            build.integer("urem", item, extents[2]),
        ]

    def offset(self, operand: str, indices: Values) -> str:
        """The element offset of an operand's matrix in the batch."""
        build = self.builder
        terms = [build.multiply(index, self[f"{operand}_batch{d}"]) for d, index in enumerate(indices)]
        return build.add(build.add(terms[0], terms[1]), terms[2])

    def batch_indices(self, item: str) -> Values:
        return self.indices(item, [self["extent0"], self["extent1"], self["extent2"]])


class EpilogueCall:
    """Calls the epilogue, a function of the same signature, on rectangles of C.

    Its argument table starts with rows, columns, row, column: the rectangle, with rows counted through the
    whole batch. The caller's table holds the rest behind its own slots; each chunk copies it, because chunks
    run at the same time.
    """

    def __init__(self, builder: KernelBuilder, slots: GemmSlots) -> None:
        self.builder = builder
        self.slots = slots
        count = slots["epilogue_slots"]
        self.table = builder.value(f"alloca i64, i64 {count}, align 64")
        given = builder.value(f"getelementptr i64, ptr %args, i64 {len(SLOTS)}")

        def copy(index: str) -> None:
            source = builder.value(f"getelementptr i64, ptr {given}, i64 {index}")
            value = builder.value(f"load i64, ptr {source}, align 8")
            builder.statement(f"store i64 {value}, ptr {self.entry(index)}, align 8")

        builder.repeat(0, count, 1, copy)
        self.wanted = builder.value(f"icmp ne ptr {slots['epilogue']}, null")

    def entry(self, index: str | int) -> str:
        return self.builder.value(f"getelementptr i64, ptr {self.table}, i64 {index}")

    def run(self, batch: str, rows: tuple[str, str], columns: tuple[str, str]) -> None:
        """Call it, if there is one, on rows[0]..rows[1] and columns[0]..columns[1] of one C in the batch."""
        build = self.builder

        def call() -> None:
            first = build.add(build.multiply(batch, self.slots["m"]), rows[0])
            extents = build.subtract(rows[1], rows[0]), build.subtract(columns[1], columns[0])
            for position, value in enumerate((*extents, first, columns[0])):
                build.statement(f"store i64 {value}, ptr {self.entry(position)}, align 8")
            build.statement(f"call void {self.slots['epilogue']}(ptr {self.table}, i64 0, i64 1)")

        build.choose(self.wanted, call, lambda: None)
