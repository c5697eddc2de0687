"""Matrix multiplication kernels as LLVM text: C[batch, m, n] = A[batch, m, k] @ B[batch, k, n].

No size or stride is in the code: a kernel is emitted once for a dtype and a processor. There are four
variants, each good for a structure; `choose_variant` picks one from the sizes and strides.

    packed    any strides, any size: B is packed first, then blocks of C are computed in register tiles
    direct    small matrices with unit column stride in B: register tiles straight from memory
    rows      few rows in A, unit stride along k in A and B: dot products
    columns   few rows in A, unit column stride in B: sums of rows of B

    problem = GemmProblem(64, 32, 64, (64, 1), (32, 1), 32)
    variant, problem = choose_variant(problem, spec, target)
    code = emit_gemm(spec, target, variant)
    # assemble code.text; for each step call symbol(table of problem.slots(...), chunk, step.chunks(problem))

"packed" and "direct" can call an epilogue on pieces of C as they are finished (`EpilogueCall`).
Every result has the same bits for any number of chunks. After the blocking of Goto and van de Geijn,
"Anatomy of high-performance matrix multiplication" (2008), and Van Zee and van de Geijn, "BLIS" (2015).
"""

from tarry.codegen.gemm_builder import ELEMENTS, KernelBuilder, VectorTarget
from tarry.codegen.gemm_pack import DEPTH, MOST_BLOCK_ROWS, SliverPacker
from tarry.codegen.gemm_problem import GemmProblem
from tarry.codegen.gemm_strip import MOST_ROWS, STRIP_BYTES, ColumnSums, PartialSums, RowDots
from tarry.codegen.gemm_tile import DirectMultiply, PackedMultiply

__all__ = ["VARIANTS", "GemmCode", "GemmProblem", "GemmSpec", "GemmStep", "choose_variant", "emit_gemm"]

VARIANTS = ("packed", "direct", "rows", "columns")

CHUNK_PRODUCTS = 1 << 16  # multiplications worth a chunk: about one microsecond
MOST_CHUNKS = 256
LEAST_ITEMS = 8  # where there are fewer strips of C, k is cut into parts
SMALL_B = 1 << 15  # elements of B that stay in the cache, so that packing them does not pay


class GemmSpec:
    """What a kernel computes: the dtype. Raises ValueError for a dtype without a kernel."""

    def __init__(self, dtype: str) -> None:
        if dtype not in ELEMENTS:
            raise ValueError(f"[matmul] Expected a dtype of {', '.join(ELEMENTS)}, got {dtype}.")
        self.dtype = dtype
        self.element = ELEMENTS[dtype]


class TileShape:
    """The register tile of a processor: rows of the tiles, tallest first, and vectors across."""

    def __init__(self, spec: GemmSpec, target: VectorTarget) -> None:
        self.lanes = target.vector_bits // (8 * spec.element.accumulator_bytes)
        complex_numbers = spec.element.components == 2
        self.width = 1 if complex_numbers else 2
        if target.vector_bits == 512:
            self.heights: tuple[int, ...] = (8, 4) if complex_numbers else (12, 6)
        elif target.vector_bits == 128 and target.has_fma:  # 32 registers
            self.heights = (8, 4)
        else:
            self.heights = (4, 2) if complex_numbers else (6, 3)
        # "direct" keeps one pointer for each row: eight at most.
        self.direct_heights = (8 if self.heights[0] >= 8 else self.heights[0], 4)

    @property
    def columns(self) -> int:
        return self.width * self.lanes


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def even_block(size: int, block: int, multiple: int) -> int:
    """A block of about `block`, a multiple of `multiple`, that cuts `size` into equal parts."""
    parts = max(1, -(-size // block))
    return max(multiple, round_up(-(-size // parts), multiple))


class GemmStep:
    """One kernel of a multiplication; steps run one after the other, the chunks of a step in any order."""

    def __init__(self, code: "GemmCode", symbol: str) -> None:
        self.code = code
        self.symbol = symbol

    def chunks(self, problem: GemmProblem) -> int:
        """Into how many chunks to cut the step: a rule on the sizes alone."""
        return self.code.step_chunks(self.symbol, problem)


class GemmCode:
    """The text of a module with one variant, its steps and the rules that go with them."""

    def __init__(self, spec: GemmSpec, target: VectorTarget, variant: str, prefix: str) -> None:
        self.spec = spec
        self.variant = variant
        self.tile = TileShape(spec, target)
        self.pack_symbol = f"{prefix}_pack"
        self.multiply_symbol = f"{prefix}_{variant}"
        self.combine_symbol = f"{prefix}_{variant}_combine"
        self.splits_depth = variant in ("rows", "columns")
        self.sums_in_result = variant == "packed" and not spec.element.narrow  # `partial` is the same as `c`
        symbols = [self.multiply_symbol]
        if variant == "packed":
            symbols.insert(0, self.pack_symbol)
        elif self.splits_depth:
            symbols.append(self.combine_symbol)
        self.steps = [GemmStep(self, symbol) for symbol in symbols]
        self.calls_epilogue = variant in ("packed", "direct")
        self.text = ""

    @property
    def symbols(self) -> list[str]:
        return [step.symbol for step in self.steps]

    def blocks(self, problem: GemmProblem) -> tuple[int, int, int]:
        """The slots row_block, column_block and depth_block for these sizes."""
        if self.variant == "packed":
            return (*self.packed_blocks(problem), DEPTH)
        columns, depth = max(1, problem.n), max(1, problem.k)
        if self.variant == "direct":
            row_products = max(1, problem.n * problem.k)
            return max(self.tile.direct_heights[0], -(-CHUNK_PRODUCTS // row_products)), columns, depth
        if self.variant == "columns":
            # Whole rows of B stream from memory faster than pieces; threads share k instead.
            most = STRIP_BYTES // self.spec.element.accumulator_bytes // max(1, problem.m)
            strip = round_up(min(most, columns), self.tile.lanes)
            strip = min(strip, most // self.tile.lanes * self.tile.lanes)
        else:
            column_products = max(1, problem.m * problem.k)
            strip = round_up(max(48, CHUNK_PRODUCTS // 2 // column_products), 48)
        items = problem.batch * -(-columns // strip)
        products = problem.batch * problem.m * problem.n * problem.k
        parts = 1
        if 0 < items < LEAST_ITEMS:
            parts = max(1, min(-(-LEAST_ITEMS // items), products // (2 * CHUNK_PRODUCTS), depth // 256))
        return max(1, problem.m), strip, even_block(depth, -(-depth // parts), 64) if parts > 1 else depth

    def packed_blocks(self, problem: GemmProblem) -> tuple[int, int]:
        height, columns = self.tile.heights[0], self.tile.columns
        most_columns = 64 * columns
        row_block = even_block(problem.m, MOST_BLOCK_ROWS, height)
        column_block = even_block(problem.n, most_columns, columns)
        while True:
            items = problem.batch * -(-problem.m // row_block) * -(-problem.n // column_block)
            products = problem.batch * problem.m * problem.n * problem.k
            if items >= 16 or products < 8 * CHUNK_PRODUCTS * max(1, items):
                return row_block, column_block
            # Wide blocks pack A less often, and low ones cost little: B comes from the second cache.
            if row_block >= 6 * height:
                row_block = even_block(problem.m, row_block // 2, height)
            elif column_block >= 8 * columns:
                column_block = even_block(problem.n, column_block // 2, columns)
            else:
                return row_block, column_block

    def step_chunks(self, symbol: str, problem: GemmProblem) -> int:
        row_block, column_block, depth_block = self.blocks(problem)
        if symbol == self.combine_symbol:
            return max(1, min(problem.batch * problem.m, problem.m * problem.n // CHUNK_PRODUCTS))
        if symbol == self.pack_symbol:
            items = problem.b_matrices * -(-problem.n // self.tile.columns)
            work = (
                4 * problem.b_matrices * problem.n * problem.k
            )  # a packed element costs about four products
        else:
            row_blocks = -(-problem.m // row_block)
            if self.variant == "direct":
                row_blocks = max(1, problem.m // row_block)
            items = problem.batch * row_blocks * -(-problem.n // column_block)
            if self.splits_depth:
                items *= -(-problem.k // depth_block)
            work = problem.batch * problem.m * problem.n * problem.k
        return max(1, min(items, work // CHUNK_PRODUCTS, MOST_CHUNKS))

    def scratch_bytes(self, problem: GemmProblem) -> tuple[int, int]:
        """Bytes behind the slots `packed` and `partial` (0 where the slot is not used)."""
        element = self.spec.element
        if self.splits_depth:
            parts = -(-problem.k // self.blocks(problem)[2])
            size = parts * problem.batch * problem.m * problem.n * element.cell_bytes
            return 0, size if parts > 1 else 0
        if self.variant != "packed":
            return 0, 0
        slivers = round_up(problem.n, self.tile.columns)
        packed = problem.b_matrices * slivers * problem.k * element.cell_bytes
        blocked = element.narrow and problem.k > DEPTH
        return packed, problem.batch * problem.m * problem.n * element.cell_bytes if blocked else 0


def emit_gemm(
    spec: GemmSpec, target: VectorTarget, variant: str = "packed", prefix: str = "gemm"
) -> GemmCode:
    """Write the module of one variant; symbols start with `prefix`.

    Raises ValueError for an unknown variant, or one that complex64 does not have (it has only "packed").
    """
    if variant not in VARIANTS:
        raise ValueError(f"[matmul] Expected a variant of {', '.join(VARIANTS)}, got {variant}.")
    if spec.element.components == 2 and variant != "packed":
        raise ValueError(f"[matmul] complex64 has only the variant packed, got {variant}.")
    code = GemmCode(spec, target, variant, prefix)
    builders = [KernelBuilder(symbol, spec.element, target) for symbol in code.symbols]
    build = builders[code.symbols.index(code.multiply_symbol)]
    tile = code.tile
    if variant == "packed":
        SliverPacker(builders[0], tile.columns).emit()
        PackedMultiply(build, tile.heights, tile.width).emit()
    elif variant == "direct":
        DirectMultiply(build, tile.direct_heights, tile.width).emit()
    elif variant == "rows":
        RowDots(build).emit()
    else:
        ColumnSums(build).emit()
    if code.splits_depth:
        PartialSums(builders[1], build.lanes if variant == "columns" else 1).emit()
    declarations = sorted(set().union(*(builder.declarations for builder in builders)))
    code.text = "\n".join([builder.finish() for builder in builders] + declarations) + "\n"
    return code


def choose_variant(problem: GemmProblem, spec: GemmSpec, target: VectorTarget) -> tuple[str, GemmProblem]:
    """The variant for these sizes and strides, and the problem for it: batch folded, or operands swapped."""
    problem = problem.folded()
    if spec.element.components == 2:
        return "packed", problem
    tile = TileShape(spec, target)
    lanes = tile.lanes
    candidates = [problem, problem.swapped()]
    for candidate in candidates:
        if candidate.m > MOST_ROWS or candidate.m > candidate.n:
            continue
        if candidate.a_strides[1] == 1 and candidate.b_strides[0] == 1 and candidate.k >= lanes:
            return "rows", candidate
    size = problem.k * problem.n
    small = size <= SMALL_B or (problem.m <= MOST_ROWS and size <= 2 * SMALL_B)
    fits = problem.m >= 4 and problem.n >= tile.columns and problem.b_strides[1] == 1
    if fits and small and (problem.a_strides[1] == 1 or problem.m * problem.k <= SMALL_B):
        return "direct", problem
    for candidate in candidates:
        if candidate.m > MOST_ROWS or candidate.b_strides[1] != 1:
            continue
        if candidate.c_strides[1] == 1 and candidate.n >= lanes:
            return "columns", candidate
    return "packed", problem
