"""The matrix multiplication kernels against NumPy in double precision."""

import ctypes
import mmap
import re
import sys

import ml_dtypes
import numpy as np
import pytest

from tarry.codegen.assemble import Target, assembler
from tarry.codegen.gemm import PACK_DEPTH, GemmCode, GemmProblem, GemmSpec, choose_variant, module_symbols
from tarry.codegen.gemm_builder import KernelBuilder
from tarry.codegen.gemm_module import emit_gemm

DTYPES = {
    "float32": np.float32,
    "float64": np.float64,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "complex64": np.complex64,
}
TOLERANCE = {"float32": 2e-6, "float64": 1e-14, "float16": 1e-3, "bfloat16": 8e-3, "complex64": 3e-6}
DEPTH = 1024  # the longest block of k in single precision
TILED = ["float32", "float64"]  # dtypes that have every variant
GUARD = 32  # elements around C that must stay untouched

Kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


class Loaded:
    """A variant, compiled for this machine."""

    def __init__(self, dtype: str, target: Target, variant: str) -> None:
        spec = GemmSpec(dtype)
        if (dtype, target.name) not in _modules:
            prefix = f"gemm{len(_modules)}"
            text, symbols = emit_gemm(spec, target, prefix), module_symbols(spec, prefix)
            _modules[dtype, target.name] = prefix, assembler.load(assembler.assemble(text, target), symbols)
        prefix, addresses = _modules[dtype, target.name]
        self.code = GemmCode(spec, target, variant, prefix)
        self.functions = [Kernel(addresses[step.symbol]) for step in self.code.steps]

    def run(
        self, problem: GemmProblem, a: np.ndarray, b: np.ndarray, c: int, chunks: int | None = None
    ) -> None:
        scratch = [np.full(size + 64, 0xFF, np.uint8) for size in self.code.scratch_bytes(problem)]
        partial = scratch[1].ctypes.data if scratch[1].size > 64 else 0
        slots = problem.slots(
            self.code.blocks(problem), a.ctypes.data, b.ctypes.data, c, scratch[0].ctypes.data, partial
        )
        table = (ctypes.c_int64 * len(slots))(*slots)
        for step, function in zip(self.code.steps, self.functions):
            count = chunks or step.chunks(problem)
            for chunk in reversed(range(count)):
                function(table, chunk, count)


_modules: dict[tuple[str, str], tuple[str, dict[str, int]]] = {}
_loaded: dict[tuple[object, ...], Loaded] = {}


def loaded(dtype: str, variant: str, target_name: str = "host") -> Loaded:
    key = (dtype, variant, target_name)
    if key not in _loaded:
        _loaded[key] = Loaded(dtype, named_target(target_name), variant)
    return _loaded[key]


def named_target(name: str) -> Target:
    return Target.host() if name == "host" else Target.named(name)


def random_matrix(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    values = generator.standard_normal(shape)
    if dtype == "complex64":
        return (values + 1j * generator.standard_normal(shape)).astype(np.complex64)
    return values.astype(DTYPES[dtype])


def element_strides(array: np.ndarray) -> tuple[int, ...]:
    return tuple(stride // array.itemsize for stride in array.strides)


def make_problem(a: np.ndarray, b: np.ndarray, c_row: int | None = None) -> GemmProblem:
    """The problem of NumPy operands of any strides; batch dimensions broadcast."""
    extents = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a_strides = element_strides(np.broadcast_to(a, extents + a.shape[-2:]))
    b_strides = element_strides(np.broadcast_to(b, extents + b.shape[-2:]))
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    return GemmProblem(
        m,
        n,
        k,
        a_strides[-2:],
        b_strides[-2:],
        n if c_row is None else c_row,
        extents,
        a_strides[:-2],
        b_strides[:-2],
    )


def fits_tile(dtype: str, m: int, n: int) -> bool:
    tile = loaded(dtype, "direct").code.tile
    return m >= tile.height and n >= tile.columns


def wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.complex128 if array.dtype == np.complex64 else np.float64)


def check(
    dtype: str,
    a: np.ndarray,
    b: np.ndarray,
    variant: str | None = None,
    target: str = "host",
    padding: int = 0,
) -> np.ndarray:
    """Multiply with a variant (or the chosen one) and compare; returns C."""
    problem = make_problem(a, b, b.shape[-1] + padding)
    if variant is None:
        variant, problem = choose_variant(problem, GemmSpec(dtype), named_target(target))
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1] + padding)
    results = []
    for chunks in (None, 1, 7):
        whole = np.full(int(np.prod(shape)) + 2 * GUARD, 77, DTYPES[dtype])
        c = whole[GUARD : whole.size - GUARD]
        loaded(dtype, variant, target).run(problem, a, b, c.ctypes.data, chunks)
        results.append(whole)
    for other in results[1:]:
        assert results[0].tobytes() == other.tobytes(), "the bits depend on the number of chunks"
    whole = results[0]
    assert np.all(wide(whole[:GUARD]) == 77) and np.all(wide(whole[whole.size - GUARD :]) == 77)
    result = whole[GUARD : whole.size - GUARD].reshape(shape)
    assert np.all(wide(result[..., b.shape[-1] :]) == 77), "wrote between the rows"
    result = result[..., : b.shape[-1]]
    expected = wide(a) @ wide(b)
    scale = np.abs(wide(a)) @ np.abs(wide(b))
    tiny = 6e-8 if dtype == "float16" else 1e-30  # half of a subnormal half is lost
    assert np.all(np.abs(wide(result) - expected) <= TOLERANCE[dtype] * scale + tiny), (
        variant,
        a.shape,
        b.shape,
    )
    return result


def layouts(dtype: str, rows: int, columns: int, seed: int) -> dict[str, np.ndarray]:
    """The same matrix in every layout a kernel may meet."""
    plain = random_matrix(dtype, (rows, columns), seed)
    spaced = np.zeros((rows, 2 * columns + 1), plain.dtype)[:, 1::2][:, :columns]
    spaced[...] = plain
    reverse = np.ascontiguousarray(plain[::-1])[::-1]
    mirrored = np.ascontiguousarray(plain[:, ::-1])[:, ::-1]
    return {
        "plain": plain,
        "transposed": np.ascontiguousarray(plain.T).T,
        "spaced": spaced,
        "reversed": reverse,
        "mirrored": mirrored,
    }


EDGE_SIZES = [
    (1, 1, 1), (1, 1, 300), (2, 3, 5), (5, 7, 0), (0, 4, 3), (4, 0, 3), (6, 16, 8), (7, 17, 9), (12, 31, 257),
    (13, 33, 255), (5, 16, 256), (3, 100, 2), (100, 3, 40), (97, 1, 50), (1, 97, 513), (64, 32, 64),
    (19, 8, 12), (96, 40, 1), (8, 200, 64), (4, 530, 21), (101, 67, 300),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_chosen_variant_on_edge_sizes(dtype: str) -> None:
    for seed, (m, n, k) in enumerate(EDGE_SIZES):
        check(dtype, random_matrix(dtype, (m, k), seed), random_matrix(dtype, (k, n), seed + 100))


@pytest.mark.parametrize("dtype", DTYPES)
def test_packed_on_edge_sizes(dtype: str) -> None:
    for seed, (m, n, k) in enumerate(EDGE_SIZES):
        a, b = random_matrix(dtype, (m, k), seed), random_matrix(dtype, (k, n), seed + 100)
        check(dtype, a, b, "packed", padding=3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(13, 35, 270), (64, 20, 30), (5, 64, 70), (1, 40, 33), (40, 1, 33)])
def test_layouts(dtype: str, sizes: tuple[int, int, int]) -> None:
    m, n, k = sizes
    for a in layouts(dtype, m, k, 1).values():
        for b in layouts(dtype, k, n, 2).values():
            results = [check(dtype, a, b, variant) for variant in (None, "packed")]
            assert results[0].shape == (m, n)


@pytest.mark.parametrize("dtype", TILED)
def test_direct_on_every_small_size(dtype: str) -> None:
    lanes = loaded(dtype, "direct").code.tile.lanes
    for m in range(6, 20):
        for n in (2 * lanes, 2 * lanes + 1, 3 * lanes, 4 * lanes - 1, 5 * lanes - 1):
            k = (m * n) % 11
            check(
                dtype,
                random_matrix(dtype, (m, k), m),
                random_matrix(dtype, (k, n), n),
                "direct",
                padding=m % 2,
            )


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != "complex64"])
def test_rows_and_columns_on_every_small_size(dtype: str) -> None:
    for m in range(1, 9):
        for n in (1, 2, 3, 4, 5, 17, 70):
            for k in (0, 1, 7, 8, 33):
                a, b = random_matrix(dtype, (m, k), m), random_matrix(dtype, (k, n), n)
                check(dtype, a, np.ascontiguousarray(b.T).T, "rows", padding=1)
                check(dtype, a, b, "columns", padding=1)
    check(dtype, random_matrix(dtype, (3, 9), 1), random_matrix(dtype, (9, 1100), 2), "columns")


@pytest.mark.parametrize("dtype", DTYPES)
def test_batches(dtype: str) -> None:
    for shape in [(9, 10, 20), (1, 40, 40), (40, 1, 24), (6, 3, 300)]:
        m, n, k = shape
        for a_batch, b_batch in [
            ((3,), (3,)), ((3,), ()), ((), (4,)), ((2, 3), (3,)), ((2, 1, 2), (1, 3, 1)), ((2, 3, 1), (1,)),
            ((0,), ()),
        ]:  # fmt: skip
            a, b = random_matrix(dtype, (*a_batch, m, k), 1), random_matrix(dtype, (*b_batch, k, n), 2)
            check(dtype, a, b)
            check(dtype, a, b, "packed")
            check(dtype, a[..., ::-1, :], b.swapaxes(-1, -2).copy().swapaxes(-1, -2))
            if dtype in TILED and fits_tile(dtype, m, n):
                check(dtype, a, b, "direct")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64"])
def test_several_blocks(dtype: str) -> None:
    """Blocks of rows, columns and k, with A in every layout; in place where that is possible, too."""
    m, n, k = 205, 530, 2 * DEPTH + 5
    b = random_matrix(dtype, (k, n), 2)
    for a in layouts(dtype, m, k, 1).values():
        check(dtype, a, b, "packed")
        if dtype in TILED:
            check(dtype, a, b, "direct", padding=1)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "complex64"])
def test_packed_in_squares_and_runs(dtype: str) -> None:
    """Every remainder of rows, columns and k where a matrix is transposed, or copied in long runs."""
    sizes = [(48 + rest, 40 + rest, 700 + rest) for rest in range(9)]
    short_pieces = [(197, 20, PACK_DEPTH + rest) for rest in (1, 7, 9, 17)]
    for m, n, k in [*sizes, *short_pieces, (5000, 21, 4), (7, 9, 5000), (13, 1000, 17), (14, 7, 1500)]:
        a, b = random_matrix(dtype, (m, k), 1), random_matrix(dtype, (k, n), 2)
        check(dtype, np.ascontiguousarray(a.T).T, np.ascontiguousarray(b.T).T, "packed")
        check(dtype, a, b, "packed")
    # Rows a multiple of 4096 bytes apart are copied to where they fall into different cache sets.
    a, b = random_matrix(dtype, (14, 1024), 1), random_matrix(dtype, (1024, 800), 2)
    problem = make_problem(a, b)
    assert GemmCode(GemmSpec(dtype), Target.host(), "packed", "gemm").packs_a(problem)
    check(dtype, a, b, "packed")
    for k in (PACK_DEPTH + 3, 1019):
        check(dtype, a[:, :k], b[:k], "packed")


@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transposed_squares(dtype: str, bits: int) -> None:
    """The shuffles that transpose a square of vectors, of every width, carried out on names of cells."""
    build = KernelBuilder("squares", GemmSpec(dtype).element, Target.host())
    lanes = build.lanes = bits // (8 * build.element.accumulator_bytes)
    names = build.transpose([f"%row{row}" for row in range(lanes)])
    vectors = {f"%row{row}": [(row, column) for column in range(lanes)] for row in range(lanes)}
    shuffle = re.compile(r"(%\w+) = shufflevector <.*?> (%\w+), <.*?> (%\w+), <.*?> <(.*)>")
    for line in build.lines:
        [(name, left, right, order)] = shuffle.findall(line)
        both = vectors[left] + vectors[right]
        vectors[name] = [both[int(lane)] for lane in re.findall(r"i32 (\d+)", order)]
    assert len(build.lines) == lanes * (lanes.bit_length() - 1)
    for column, name in enumerate(names):
        assert vectors[name] == [(row, column) for row in range(lanes)]


def test_tiles_agree_bit_for_bit() -> None:
    """Packed or in place, in one block of k or several: the sums take k in the same order."""
    for m, n, k in [(20, 40, 30), (6, 16, 3 * DEPTH), (49, 33, DEPTH + 1)]:
        a, b = random_matrix("float32", (m, k), 1), random_matrix("float32", (k, n), 2)
        transposed = np.ascontiguousarray(a.T).T
        results = {check("float32", x, b, v).tobytes() for x in (a, transposed) for v in ("packed", "direct")}
        assert len(results) == 1


def fenced(array: np.ndarray, at_end: bool) -> np.ndarray:
    """A copy of a matrix that ends, or begins, at a page nobody may read."""
    page = mmap.PAGESIZE
    pages = -(-array.nbytes // page)
    memory = mmap.mmap(-1, (pages + 2) * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for fence in (start, start + (pages + 1) * page):
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(fence), page, 0) == 0
    _fenced.append(memory)
    offset = page + (pages * page - array.nbytes if at_end else 0)
    copy = np.frombuffer(memory, np.uint8, array.nbytes, offset).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


_fenced: list[mmap.mmap] = []


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
@pytest.mark.parametrize("dtype", DTYPES)
def test_reads_stay_inside(dtype: str) -> None:
    for m, n, k in [(13, 35, 19), (9, 8, 3), (4, 17, 300), (2, 70, 33), (33, 1, 21), (1, 5, 8), (97, 3, 9)]:
        for transposed_a in (False, True):
            for transposed_b in (False, True):
                for at_end in (False, True):
                    a = fenced(random_matrix(dtype, (k, m) if transposed_a else (m, k), 1), at_end)
                    b = fenced(random_matrix(dtype, (n, k) if transposed_b else (k, n), 2), at_end)
                    left, right = a.T if transposed_a else a, b.T if transposed_b else b
                    check(dtype, left, right)
                    check(dtype, left, right, "packed")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_variants_agree_bit_for_bit(dtype: str) -> None:
    a, b = random_matrix(dtype, (8, 600), 1), random_matrix(dtype, (600, 50), 2)
    results = {check(dtype, a, b, variant).tobytes() for variant in ("packed", "direct", "columns")}
    assert len(results) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_nan_and_infinity_as_written(dtype: str) -> None:
    for m, n, k in [(5, 40, 10), (2, 40, 40), (70, 20, 300), (3, 5, 9)]:
        a, b = random_matrix(dtype, (m, k), 1), random_matrix(dtype, (k, n), 2)
        a[0, 0], b[0, 0], b[1, 2], a[1, 1] = 0, np.inf, np.nan, -np.inf
        for right in (b, np.ascontiguousarray(b.T).T):
            problem = make_problem(a, right)
            chosen, chosen_problem = choose_variant(problem, GemmSpec(dtype), Target.host())
            for variant, used in {chosen: chosen_problem, "packed": problem}.items():
                c = np.zeros((m, n), DTYPES[dtype])
                loaded(dtype, variant).run(used, a, right, c.ctypes.data)
                with np.errstate(all="ignore"):
                    expected = wide(a) @ wide(b)
                assert np.array_equal(np.isnan(wide(c)), np.isnan(expected))
                assert np.array_equal(np.isinf(wide(c)), np.isinf(expected))


@pytest.mark.parametrize("target", ["host", "sse2"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_conversions_are_exact(dtype: str, target: str) -> None:
    """Times one, every bit pattern comes back; other products round as in the dtype's cast."""
    if target == "sse2" and Target.host().architecture != "x86":
        pytest.skip("needs an x86 machine")
    every = np.arange(1 << 16, dtype=np.uint16).view(DTYPES[dtype]).reshape(-1, 1)
    factors = np.array([[1.0, 0.3, 3.0, 1 / 1024, -5.0]], np.float32).astype(DTYPES[dtype])
    factors = np.concatenate([factors] * 4, axis=1)
    problem = make_problem(every, factors)
    with np.errstate(all="ignore"):
        expected = (every.astype(np.float32) * factors.astype(np.float32)).astype(DTYPES[dtype])
    c = np.zeros(expected.shape, DTYPES[dtype])
    loaded(dtype, "packed", target).run(problem, every, factors, c.ctypes.data)
    nans = np.isnan(wide(expected))
    assert np.array_equal(np.isnan(wide(c)), nans)
    assert np.array_equal(wide(c)[~nans], wide(expected)[~nans])


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_fused_multiply_add(dtype: str) -> None:
    if Target.host().architecture != "x86":
        pytest.skip("needs an x86 machine")
    for m, n, k in [(13, 33, 270), (4, 40, 20), (1, 30, 40), (30, 1, 40), (5, 60, 300)]:
        a, b = random_matrix(dtype, (m, k), 1), random_matrix(dtype, (k, n), 2)
        for left in (a, np.ascontiguousarray(a.T).T):
            for right in (b, np.ascontiguousarray(b.T).T):
                check(dtype, left, right, target="sse2")
                check(dtype, left, right, "packed", target="sse2")


@pytest.mark.parametrize("target_name", ["avx512", "avx2", "sse2", "neon"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_text_for_every_target(dtype: str, target_name: str) -> None:
    target = Target.named(target_name)
    text = emit_gemm(GemmSpec(dtype), target, "gemm")
    assembler.verify(text)
    assert ("@llvm.fma" in text) == target.has_fma
    assert not re.search(r"nnan|ninf|llvm\.masked", text)
    assert emit_gemm(GemmSpec(dtype), target, "gemm") == text


@pytest.mark.parametrize("target_name", ["avx512", "neon"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64"])
def test_other_machines_assemble(dtype: str, target_name: str) -> None:
    target = Target.named(target_name)
    assert assembler.assemble(emit_gemm(GemmSpec(dtype), target, "gemm"), target)


@pytest.mark.parametrize("variant", ["packed", "direct"])
@pytest.mark.parametrize("chunks", [1, 5])
def test_epilogue(variant: str, chunks: int) -> None:
    """Every element of C is visited once, finished, at the right place, with the arguments that follow."""
    batch, m, n, k = 2, 13, 37, 2 * DEPTH + 3
    a, b = random_matrix("float32", (batch, m, k), 1), random_matrix("float32", (batch, k, n), 2)
    c = np.zeros((batch, m, n), np.float32)

    def double_plus_place(table: int, chunk: int, of: int) -> None:
        rows, columns, row, column, given = (ctypes.c_int64 * 5).from_address(table)
        assert (given, chunk, of) == (99, 0, 1)
        piece = c.reshape(batch * m, n)[row : row + rows, column : column + columns]
        places = 100 * np.arange(row, row + rows)[:, None] + np.arange(column, column + columns)
        piece[...] = 2 * piece + places

    function = Kernel(double_plus_place)
    kernel, problem = loaded("float32", variant), make_problem(a, b)
    scratch = np.zeros(kernel.code.scratch_bytes(problem)[0] + 64, np.uint8)
    slots = problem.slots(
        kernel.code.blocks(problem), a.ctypes.data, b.ctypes.data, c.ctypes.data, scratch.ctypes.data
    )
    slots[-2:] = [ctypes.cast(function, ctypes.c_void_p).value or 0, 5]
    table = (ctypes.c_int64 * (len(slots) + 5))(*slots, 0, 0, 0, 0, 99)
    for native in kernel.functions[:-1]:
        native(table, 0, 1)
    for chunk in range(chunks):
        kernel.functions[-1](table, chunk, chunks)
    places = 100 * np.arange(batch * m).reshape(batch, m, 1) + np.arange(n)
    assert np.allclose(c, 2 * (wide(a) @ wide(b)) + places, rtol=1e-5, atol=1e-3)


def test_blocks_are_even() -> None:
    """The blocks of C differ by one tile at most, so that threads get equal shares, and cover it once."""
    m, n, k = 1030, 1100, 40
    a, b = random_matrix("float32", (m, k), 1), random_matrix("float32", (k, n), 2)
    c, visits = np.zeros((m, n), np.float32), np.zeros((m, n), np.int64)
    extents: set[tuple[int, int]] = set()

    def note(table: int, chunk: int, of: int) -> None:
        rows, columns, row, column = (ctypes.c_int64 * 4).from_address(table)
        visits[row : row + rows, column : column + columns] += 1
        extents.add((rows, columns))

    function = Kernel(note)
    kernel, problem = loaded("float32", "packed"), make_problem(a, b)
    scratch = np.zeros(kernel.code.scratch_bytes(problem)[0] + 64, np.uint8)
    addresses = a.ctypes.data, b.ctypes.data, c.ctypes.data, scratch.ctypes.data
    slots = problem.slots(kernel.code.blocks(problem), *addresses)
    slots[-2:] = [ctypes.cast(function, ctypes.c_void_p).value or 0, 4]
    table = (ctypes.c_int64 * (len(slots) + 4))(*slots, 0, 0, 0, 0)
    for native in kernel.functions:
        native(table, 0, 1)
    assert (visits == 1).all()
    tile = kernel.code.tile
    for axis, size in ((0, tile.height), (1, tile.columns)):
        tiles = {-(-extent[axis] // size) for extent in extents}
        assert max(tiles) - min(tiles) <= 1


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != "complex64"])
def test_parts_of_k(dtype: str) -> None:
    """Few columns and a long k: the parts are added up in order, whatever the number of chunks."""
    for m, n, k in [(1, 40, 9000), (3, 21, 20000), (8, 70, 5000)]:
        a, b = random_matrix(dtype, (m, k), m), random_matrix(dtype, (k, n), n)
        transposed = np.ascontiguousarray(b.T).T
        for variant, right in (("columns", b), ("rows", transposed)):
            code = loaded(dtype, variant).code
            assert code.blocks(make_problem(a, right))[2] < k
            check(dtype, a, right, variant)
    pair = random_matrix(dtype, (2, 1, 30000), 1)
    check(dtype, pair, random_matrix(dtype, (2, 30000, 2), 2), "columns")


def test_rules_depend_on_sizes_alone() -> None:
    spec, target = GemmSpec("float32"), Target.host()
    folded = GemmProblem(4, 8, 16, (16, 1), (8, 1), 8, (10,), (64,), (0,)).folded()
    assert (folded.m, folded.batch) == (40, 1)
    assert choose_variant(GemmProblem(8, 4096, 1024, (1024, 1), (1, 1024), 4096), spec, target)[0] == "rows"
    variant, problem = choose_variant(GemmProblem(500, 1, 400, (400, 1), (1, 1), 1), spec, target)
    assert variant == "rows" and problem.is_swapped and problem.m == 1
    assert choose_variant(GemmProblem(64, 32, 64, (64, 1), (32, 1), 32), spec, target)[0] == "direct"
    assert choose_variant(GemmProblem(999, 999, 999, (999, 1), (999, 1), 999), spec, target)[0] == "packed"
    few = GemmProblem(24, 1000, 256, (256, 1), (1000, 1), 1000)
    assert choose_variant(few, spec, target)[0] == "direct"
    # Rows of B a multiple of 4096 bytes apart push each other out of the cache.
    far = GemmProblem(24, 1024, 256, (256, 1), (1024, 1), 1024)
    assert choose_variant(far, spec, target)[0] == "packed"
    code = GemmCode(spec, target, "packed", "gemm")
    assert [step.chunks(GemmProblem(0, 5, 5, (5, 1), (5, 1), 5)) for step in code.steps] == [1, 1]
    half = GemmCode(GemmSpec("float16"), target, "packed", "gemm")
    assert half.scratch_bytes(GemmProblem(2, 1, 1100, (1, 1), (1, 1), 1))[1] == 8
    assert half.scratch_bytes(GemmProblem(2, 1, 300, (1, 1), (1, 1), 1))[1] == 0


def test_errors_name_the_op() -> None:
    with pytest.raises(ValueError, match=r"^\[matmul\] Expected a dtype"):
        GemmSpec("int32")
    with pytest.raises(ValueError, match=r"^\[matmul\] Expected a variant"):
        GemmCode(GemmSpec("float32"), Target.host(), "fast", "gemm")
    with pytest.raises(ValueError, match=r"^\[matmul\] Expected a variant of packed for complex64"):
        GemmCode(GemmSpec("complex64"), Target.host(), "rows", "gemm")
    with pytest.raises(ValueError, match=r"^\[matmul\] Sizes must not be negative"):
        GemmProblem(-1, 1, 1, (1, 1), (1, 1), 1)
    with pytest.raises(ValueError, match=r"^\[matmul\] Expected at most three batch"):
        GemmProblem(1, 1, 1, (1, 1), (1, 1), 1, (2, 2, 2, 2), (0,) * 4, (0,) * 4)
