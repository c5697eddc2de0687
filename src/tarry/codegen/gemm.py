"""Matrix multiplication: C[batch, m, n] = A[batch, m, k] @ B[batch, k, n].

No size or stride is in the code: a module is compiled once for a dtype and a processor. It holds four
variants, each good for a structure; `choose_variant` picks one from the sizes and strides.

    packed    any strides, any size: B, and A if need be, are packed, then C is computed in register tiles
    direct    B with unit column stride that stays in the cache: register tiles straight from memory
    rows      few rows in A, unit stride along k in A and B: dot products
    columns   few rows in A, unit column stride in B: sums of rows of B

    problem = GemmProblem(64, 32, 64, (64, 1), (32, 1), 32)
    variant, problem = choose_variant(problem, spec, target)
    code = GemmCode(spec, target, variant, "gemm")
    # assemble emit_gemm(spec, target, "gemm"), with `module_symbols(spec, "gemm")`; for each step of `code`
    # call symbol(table of problem.slots(code.blocks(problem), ...), chunk, step.chunks(problem))

"packed" and "direct" can call an epilogue on pieces of C as they are finished (`gemm_slots.EpilogueCall`).
Every result has the same bits for any number of chunks. This module has the rules and writes no text: that
is `gemm_module`. After the blocking of Goto and van de Geijn, "Anatomy of high-performance matrix
multiplication" (2008), and Van Zee and van de Geijn, "BLIS" (2015).
"""

import math

from tarry.codegen.gemm_element import ELEMENTS, VectorTarget
from tarry.codegen.gemm_problem import Blocks, GemmProblem

__all__ = ["VARIANTS", "GemmCode", "GemmProblem", "GemmSpec", "GemmStep", "choose_variant", "module_symbols"]

VARIANTS = ("packed", "direct", "rows", "columns")

CHUNK_PRODUCTS = 1 << 16  # multiplications worth a chunk: about one microsecond
MOST_CHUNKS = 256
LEAST_ITEMS = 8  # where there are fewer strips of C, k is cut into parts
STRIP_BYTES = 16384  # of sums in variant "columns": half of a 32 KiB cache
MOST_ROWS = 8  # of A in variants "rows" and "columns"
TILE_BYTES = 24576  # of A's rows under a tile in one block of k: they stay in a 32 KiB cache
DIRECT_BYTES = 2048  # of a row of A in one block of k where B, too, has to stay there
GROUP_SLIVERS = 4  # of B packed side by side: whole rows of cache lines
GROUP_TILES = 32  # of A packed side by side, each over a piece of k: few pages are touched at a time
PACK_DEPTH = 512  # of such a piece
ROW_PADDING = 16  # elements between packed rows of A: they fall into different cache sets
BLOCK_ROWS = 48  # of C in one item: they and what they read stay in the second cache
BLOCK_SLIVERS = 16  # of B in one item
LEAST_BLOCKS = 16  # items for the threads, if there is enough to do
SMALL_A = 1 << 14  # elements that stay in the cache, so that packing them does not pay
SMALL_B = 1 << 15
WIDE_COLUMNS = 768  # of C, that pay for packing a copy of A's rows
FEW_ROWS = 36  # of C, for which packing B does not pay


class GemmSpec:
    """What a kernel computes: the dtype. Raises ValueError for a dtype without a kernel."""

    def __init__(self, dtype: str) -> None:
        if dtype not in ELEMENTS:
            raise ValueError(f"[matmul] Expected a dtype of {', '.join(ELEMENTS)}, got {dtype}.")
        self.dtype = dtype
        self.element = ELEMENTS[dtype]

    @property
    def variants(self) -> tuple[str, ...]:
        """Those that this dtype has: tiles read in place only what they need not convert."""
        if self.element.components == 2:
            return ("packed",)
        return tuple(v for v in VARIANTS if v != "direct" or not self.element.narrow)


class TileShape:
    """The register tile of a processor: rows, and vectors across."""

    def __init__(self, spec: GemmSpec, target: VectorTarget) -> None:
        self.lanes = target.vector_bits // (8 * spec.element.accumulator_bytes)
        complex_numbers = spec.element.components == 2
        self.width = 1 if complex_numbers else 2
        if target.vector_bits == 512:
            self.height = 12
        elif target.vector_bits == 128 and target.has_fma:  # 32 registers
            self.height = 8
        else:
            self.height = 6

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
    """One variant: its steps and the rules that go with them.

    Raises ValueError for an unknown variant, or one that the dtype does not have.
    """

    def __init__(self, spec: GemmSpec, target: VectorTarget, variant: str, prefix: str) -> None:
        if variant not in spec.variants:
            expected = ", ".join(spec.variants)
            raise ValueError(f"[matmul] Expected a variant of {expected} for {spec.dtype}, got {variant}.")
        self.spec = spec
        self.variant = variant
        self.tile = TileShape(spec, target)
        self.pack_symbol = f"{prefix}_pack"
        self.calls_epilogue = self.uses_tiles = variant in ("packed", "direct")
        self.splits_depth = not self.uses_tiles
        self.multiply_symbol = f"{prefix}_multiply" if self.uses_tiles else f"{prefix}_{variant}"
        self.combine_symbol = f"{prefix}_combine"
        # `partial` is then the same as `c`.
        self.sums_in_result = self.uses_tiles and not spec.element.narrow
        symbols = [self.multiply_symbol]
        if variant == "packed":
            symbols.insert(0, self.pack_symbol)
        elif self.splits_depth:
            symbols.append(self.combine_symbol)
        self.steps = [GemmStep(self, symbol) for symbol in symbols]

    @property
    def symbols(self) -> list[str]:
        return [step.symbol for step in self.steps]

    def blocks(self, problem: GemmProblem) -> Blocks:
        """The slots row_block, column_block, depth_block, packs_a and packs_b for these sizes."""
        if self.uses_tiles:
            packs_b = self.variant == "packed"
            row_bytes = TILE_BYTES // self.tile.height if packs_b else DIRECT_BYTES
            depth = even_block(problem.k, row_bytes // self.spec.element.cell_bytes, 8)
            packs_a = packs_b and self.packs_a(problem)
            return (*self.tile_blocks(problem), depth, int(packs_a), int(packs_b))
        columns, depth = max(1, problem.n), max(1, problem.k)
        if self.variant == "columns":
            # Whole rows of B stream from memory faster than pieces; threads share k instead.
            most = STRIP_BYTES // self.spec.element.accumulator_bytes // max(1, problem.m)
            strip = round_up(min(most, columns), self.tile.lanes)
            strip = min(strip, most // self.tile.lanes * self.tile.lanes)
        else:
            column_products = max(1, problem.m * problem.k)
            strip = round_up(max(48, CHUNK_PRODUCTS // 2 // column_products), 48)  # whole tiles of dots
        items = problem.batch * -(-columns // strip)
        products = problem.batch * problem.m * problem.n * problem.k
        parts = 1
        if 0 < items < LEAST_ITEMS:
            parts = max(1, min(-(-LEAST_ITEMS // items), products // (2 * CHUNK_PRODUCTS), depth // 256))
        if parts > 1:
            depth = even_block(depth, -(-depth // parts), 64)
        return max(1, problem.m), strip, depth, 0, 0

    def packs_a(self, problem: GemmProblem) -> bool:
        """Whether A is packed: where tiles cannot read it, or would read it from far apart.

        Rows a multiple of 4096 bytes apart push each other out of the first cache, and time after time if C
        is wide.
        """
        if self.spec.element.narrow or problem.m < self.tile.height:
            return True
        row_bytes = problem.a_strides[0] * self.spec.element.cell_bytes
        if problem.a_strides[1] == 1:
            return row_bytes % 4096 == 0 and problem.n >= WIDE_COLUMNS
        return problem.m * problem.k > SMALL_A

    def tile_blocks(self, problem: GemmProblem) -> tuple[int, int]:
        """Rows and columns of an item: enough items for the threads, each with enough to do."""
        height, columns = self.tile.height, self.tile.columns
        row_block = even_block(problem.m, BLOCK_ROWS, height)
        column_block = even_block(problem.n, BLOCK_SLIVERS * columns, columns)
        while True:
            items = problem.batch * -(-problem.m // row_block) * -(-problem.n // column_block)
            products = problem.batch * problem.m * problem.n * problem.k
            if items >= LEAST_BLOCKS or products < 8 * CHUNK_PRODUCTS * max(1, items):
                return row_block, column_block
            # Narrow blocks read A more often, low ones B.
            low = row_block < 4 * height or row_block >= problem.m
            if column_block >= 32 * columns or (low and column_block >= 4 * columns):
                column_block = even_block(problem.n, column_block // 2, columns)
            elif row_block >= 4 * height:
                row_block = even_block(problem.m, row_block // 2, height)
            else:
                return row_block, column_block

    def step_chunks(self, symbol: str, problem: GemmProblem) -> int:
        row_block, column_block, depth_block, _, _ = self.blocks(problem)
        if symbol == self.combine_symbol:
            return max(1, min(problem.batch * problem.m, problem.m * problem.n // CHUNK_PRODUCTS))
        if symbol == self.pack_symbol:
            _, _, _, packs_a, packs_b = self.blocks(problem)
            tiles, slivers = -(-problem.m // self.tile.height), -(-problem.n // self.tile.columns)
            pieces = -(-problem.k // PACK_DEPTH)
            items = packs_a * problem.a_matrices * -(-tiles // GROUP_TILES) * pieces
            items += packs_b * problem.b_matrices * -(-slivers // GROUP_SLIVERS)
            packed = packs_a * problem.a_matrices * problem.m + packs_b * problem.b_matrices * problem.n
            work = 4 * packed * problem.k  # a packed element costs about four products
        else:
            row_blocks = -(-problem.m // row_block)
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
        _, _, depth_block, packs_a, packs_b = self.blocks(problem)
        packed = packs_b * problem.b_matrices * round_up(problem.n, self.tile.columns) * problem.k
        rows = packs_a * problem.a_matrices * round_up(problem.m, self.tile.height)
        packed += rows * (problem.k + ROW_PADDING)
        blocked = element.narrow and problem.k > depth_block
        return (
            packed * element.cell_bytes,
            problem.batch * problem.m * problem.n * element.cell_bytes if blocked else 0,
        )


def module_symbols(spec: GemmSpec, prefix: str) -> list[str]:
    """The functions of a dtype's module that plans call."""
    names = ["pack", "multiply"]
    if "rows" in spec.variants:
        names += ["rows", "columns", "combine"]
    return [f"{prefix}_{name}" for name in names]


def fits_first_cache(lines: int, stride: int) -> bool:
    """Whether so many cache lines, `stride` bytes apart, stay in a first-level cache.

    Addresses a multiple of 4096 bytes apart share a set, in which a few are kept.
    """
    sets = min(64, 4096 // math.gcd(stride, 4096))
    return lines <= 5 * sets


def reads_in_place(problem: GemmProblem, spec: GemmSpec, tile: TileShape) -> bool:
    """Whether tiles read B where it lies: it is small, or read by few rows, and nothing pushes it out."""
    if problem.b_strides[1] != 1 or problem.m < tile.height or problem.n < tile.columns:
        return False
    if problem.k * problem.n > SMALL_B and problem.m > FEW_ROWS:
        return False
    if problem.a_strides[1] != 1 and problem.m * problem.k > SMALL_A:
        return False
    depth = min(problem.k, DIRECT_BYTES // spec.element.cell_bytes)
    return fits_first_cache(depth, problem.b_strides[0] * spec.element.cell_bytes)


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
    if "direct" in spec.variants and reads_in_place(problem, spec, tile):
        return "direct", problem
    for candidate in candidates:
        if candidate.m > MOST_ROWS or candidate.b_strides[1] != 1:
            continue
        if candidate.c_strides[1] == 1 and candidate.n >= lanes:
            return "columns", candidate
    return "packed", problem
