"""The sizes of a matrix multiplication, and the table in which a kernel gets them.

`GemmProblem` holds what is known when a kernel is called; `gemm_slots.GemmSlots` reads the same facts inside
a kernel. The order of the table is `SLOTS`; every slot is 8 bytes, strides count elements.

    a, b, c             the matrices (A is m x k, B is k x n, C is m x n)
    packed              scratch for packed B and A, of `scratch_bytes` (variant "packed")
    partial             sums in accumulator precision: between blocks of k (variant "packed": narrow dtypes,
                        else the same as c), or of each part of k (variants "rows" and "columns")
    m, n, k             the sizes
    a_row ... c_column  element strides; c_column must be 1, except in variant "rows"
    c_batch             stride from one C to the next
    row_block, column_block, depth_block    how the work is cut into items (from `GemmCode.blocks`)
    packs_a, packs_b    1 if tiles read A, or B, from packed memory, 0 if from where it lies (from there, too)
    extent0..2          the batch dimensions, outermost first (1 where there is none)
    a_batch0..2, b_batch0..2   their strides (0 where an operand is broadcast)
    epilogue            address of a function to call on finished pieces of C, or 0
    epilogue_slots      how many slots of its own argument table follow this one (`gemm_slots.EpilogueCall`)
"""

SLOTS = (
    "a", "b", "c", "packed", "partial",
    "m", "n", "k",
    "a_row", "a_column", "b_row", "b_column", "c_row", "c_column", "c_batch",
    "row_block", "column_block", "depth_block", "packs_a", "packs_b",
    "extent0", "extent1", "extent2",
    "a_batch0", "a_batch1", "a_batch2",
    "b_batch0", "b_batch1", "b_batch2",
    "epilogue", "epilogue_slots",
)  # fmt: skip

POINTER_SLOTS = ("a", "b", "c", "packed", "partial")
EPILOGUE_SLOTS = ("epilogue", "epilogue_slots")

Blocks = tuple[int, int, int, int, int]


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
    def a_matrices(self) -> int:
        """How many different A matrices there are."""
        return own_matrices(self.extents, self.a_batch)

    @property
    def b_matrices(self) -> int:
        """How many different B matrices there are."""
        return own_matrices(self.extents, self.b_batch)

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

    def slots(self, blocks: Blocks, a: int, b: int, c: int, packed: int = 0, partial: int = 0) -> list[int]:
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


def own_matrices(extents: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """How many matrices of a batch are not repetitions."""
    count = 1
    for extent, stride in zip(extents, strides):
        count *= 1 if stride == 0 and extent > 0 else extent
    return count
