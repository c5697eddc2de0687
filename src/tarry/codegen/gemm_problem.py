"""The sizes of a matrix multiplication, seen from Python and from a kernel.

`GemmProblem` holds what is known when a kernel is called; `GemmSlots` reads the same facts inside a kernel
from the argument table. The order of the table is `SLOTS`; every slot is 8 bytes, strides count elements.

    a, b, c             the matrices (A is m x k, B is k x n, C is m x n)
    packed              scratch for B in slivers, of `scratch_bytes` (variant "packed")
    partial             sums in accumulator precision: between blocks of k (variant "packed": narrow dtypes,
                        else the same as c), or of each part of k (variants "rows" and "columns")
    m, n, k             the sizes
    a_row ... c_column  element strides; c_column must be 1, except in variant "rows"
    c_batch             stride from one C to the next
    row_block, column_block, depth_block    how the work is cut into items (from `GemmCode.blocks`)
    extent0..2          the batch dimensions, outermost first (1 where there is none)
    a_batch0..2, b_batch0..2   their strides (0 where an operand is broadcast)
    epilogue            address of a function to call on finished pieces of C, or 0
    epilogue_slots      how many slots of its own argument table follow this one (see `EpilogueCall`)
"""

from tarry.codegen.gemm_builder import KernelBuilder, Values

SLOTS = (
    "a", "b", "c", "packed", "partial",
    "m", "n", "k",
    "a_row", "a_column", "b_row", "b_column", "c_row", "c_column", "c_batch",
    "row_block", "column_block", "depth_block",
    "extent0", "extent1", "extent2",
    "a_batch0", "a_batch1", "a_batch2",
    "b_batch0", "b_batch1", "b_batch2",
    "epilogue", "epilogue_slots",
)  # fmt: skip

POINTER_SLOTS = ("a", "b", "c", "packed", "partial")
EPILOGUE_SLOTS = ("epilogue", "epilogue_slots")

Triple = tuple[int, int, int]


class GemmProblem:
    """C[batch, m, n] = A[batch, m, k] @ B[batch, k, n] with run-time strides, in elements.

    `a_strides` and `b_strides` are (row, column); `c_row` is C's row stride (columns are neighbours).
    `extents` are up to three batch dimensions, `a_batch` and `b_batch` their strides in A and B (0 repeats
    the matrix); C's batch is dense. Raises ValueError for negative sizes or more than three batch
    dimensions.

        GemmProblem(2, 5, 3, (3, 1), (5, 1), 5)      # dense (2, 3) @ (3, 5)
    """

    def __init__(
        self,
        m: int,
        n: int,
        k: int,
        a_strides: tuple[int, int],
        b_strides: tuple[int, int],
        c_row: int,
        extents: tuple[int, ...] = (),
        a_batch: tuple[int, ...] = (),
        b_batch: tuple[int, ...] = (),
    ) -> None:
        if min(m, n, k, *extents, 0) < 0:
            raise ValueError(
                f"[matmul] Sizes must not be negative, got m={m}, n={n}, k={k}, batch {extents}."
            )
        if len(extents) > 3 or len(a_batch) != len(extents) or len(b_batch) != len(extents):
            raise ValueError(
                "[matmul] Expected at most three batch dimensions with one stride per operand, got extents "
                f"{extents}, strides {a_batch} and {b_batch}."
            )
        self.m, self.n, self.k = m, n, k
        self.is_swapped = False
        self.a_strides, self.b_strides = a_strides, b_strides
        self.c_strides = (c_row, 1)
        self.c_batch = m * c_row
        missing = 3 - len(extents)
        self.extents = (1,) * missing + extents
        self.a_batch = (0,) * missing + a_batch
        self.b_batch = (0,) * missing + b_batch

    @property
    def batch(self) -> int:
        """How many products there are."""
        return self.extents[0] * self.extents[1] * self.extents[2]

    @property
    def b_matrices(self) -> int:
        """How many different B matrices there are."""
        count = 1
        for extent, stride in zip(self.extents, self.b_batch):
            count *= 1 if stride == 0 and extent > 0 else extent
        return count

    def swapped(self) -> "GemmProblem":
        """The same product read as C^T = B^T @ A^T: the operands change places."""
        other = GemmProblem(self.n, self.m, self.k, self.b_strides[::-1], self.a_strides[::-1], 1)
        other.c_strides = self.c_strides[::-1]
        other.c_batch = self.c_batch
        other.is_swapped = not self.is_swapped
        other.extents, other.a_batch, other.b_batch = self.extents, self.b_batch, self.a_batch
        return other

    def folded(self) -> "GemmProblem":
        """Batch dimensions over which B is repeated and A and C are dense become rows of one product."""
        if any(self.b_batch) or self.batch == 0 or self.c_batch != self.m * self.c_strides[0]:
            return self
        rows = self.m
        for extent, stride in zip(reversed(self.extents), reversed(self.a_batch)):
            if extent == 1:
                continue
            if stride != rows * self.a_strides[0]:
                return self
            rows *= extent
        return GemmProblem(rows, self.n, self.k, self.a_strides, self.b_strides, self.c_strides[0])

    def slots(
        self, blocks: Triple, a: int, b: int, c: int, packed: int = 0, partial: int = 0
    ) -> list[int]:
        """The argument table, in the order of `SLOTS`, from the operands' addresses as the caller knows them.

        A swapped problem exchanges a and b here.
        """
        left, right = (b, a) if self.is_swapped else (a, b)
        return [
            left, right, c, packed, partial or c,
            self.m, self.n, self.k,
            *self.a_strides, *self.b_strides, *self.c_strides, self.c_batch,
            *blocks, *self.extents, *self.a_batch, *self.b_batch, 0, 0,
        ]  # fmt: skip


class GemmSlots:
    """The argument table inside a kernel: one SSA name for each slot."""

    def __init__(self, builder: KernelBuilder) -> None:
        self.builder = builder
        self.names: dict[str, str] = {}
        for position, name in enumerate(SLOTS):
            kind = "ptr" if name in POINTER_SLOTS or name == "epilogue" else "i64"
            address = builder.value(f"getelementptr i64, ptr %args, i64 {position}")
            self.names[name] = builder.value(f"load {kind}, ptr {address}, align 8")

    def __getitem__(self, name: str) -> str:
        return self.names[name]

    def batch(self) -> str:
        build = self.builder
        return build.multiply(build.multiply(self["extent0"], self["extent1"]), self["extent2"])

    def item_range(self, items: str) -> tuple[str, str]:
        """This chunk's share [low, high) of the work items."""
        build = self.builder
        low = build.integer("udiv", build.multiply("%chunk", items), "%chunks")
        after = build.multiply(build.add("%chunk", 1), items)
        return low, build.integer("udiv", after, "%chunks")

    def packed_extents(self) -> Values:
        """The batch extents of B's own matrices: 1 where B is repeated (an empty batch stays empty)."""
        build = self.builder
        result = []
        for dimension in range(3):
            extent = self[f"extent{dimension}"]
            repeated = build.compare("eq", self[f"b_batch{dimension}"], 0)
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
