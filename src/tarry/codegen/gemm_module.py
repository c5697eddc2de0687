"""The text of a module of matrix multiplications: all variants of a dtype."""

from tarry.codegen.gemm import GemmSpec, TileShape
from tarry.codegen.gemm_builder import KernelBuilder, Parameters
from tarry.codegen.gemm_element import VectorTarget
from tarry.codegen.gemm_multiply import TileMultiply
from tarry.codegen.gemm_pack import (
    ELEMENT_PARAMETERS,
    RUN_PARAMETERS,
    SQUARE_PARAMETERS,
    ElementFunction,
    Packer,
    PackFunctions,
    RunFunction,
    SquareFunction,
)
from tarry.codegen.gemm_strip import (
    ADD_PARAMETERS,
    DOT_PARAMETERS,
    DOT_TILES,
    ROW_GROUP,
    AddFunction,
    ColumnSums,
    DotFunction,
    PartialSums,
    RowDots,
)
from tarry.codegen.gemm_tile import TILE_PARAMETERS, TileFunction


def emit_gemm(spec: GemmSpec, target: VectorTarget, prefix: str) -> str:
    """Write the module of a dtype, with all its variants; symbols start with `prefix`.

    What runs for each tile or row is in inner functions. The kernels around them are not worth optimizing:
    that would be half of the time to compile a module.
    """
    builders: list[KernelBuilder] = []

    def kernel(name: str) -> KernelBuilder:
        builders.append(KernelBuilder(f"{prefix}_{name}", spec.element, target, cold=True))
        return builders[-1]

    def inner(name: str, parameters: Parameters) -> KernelBuilder:
        builders.append(KernelBuilder(f"{prefix}_{name}", spec.element, target, parameters))
        return builders[-1]

    tile = TileShape(spec, target)
    runs, elements = inner("runs", RUN_PARAMETERS), inner("elements", ELEMENT_PARAMETERS)
    RunFunction(runs, tile.columns, False).emit()
    ElementFunction(elements).emit()
    if spec.element.components == 2:
        split = inner("split_runs", RUN_PARAMETERS)
        RunFunction(split, tile.columns, True).emit()
        functions = PackFunctions(runs.name, split.name, "", elements.name)
    else:
        squares = inner("squares", SQUARE_PARAMETERS)
        SquareFunction(squares).emit()
        functions = PackFunctions(runs.name, runs.name, squares.name, elements.name)
    Packer(kernel("pack"), tile.height, tile.columns, functions).emit()
    tiles = inner("tiles", TILE_PARAMETERS)
    TileFunction(tiles, tile.height, tile.width).emit()
    TileMultiply(kernel("multiply"), tiles.name, tile.height, tile.width).emit()
    if "rows" in spec.variants:
        dots = [inner(f"dots{height}", DOT_PARAMETERS) for height, _ in DOT_TILES]
        for build, (height, width) in zip(dots, DOT_TILES):
            DotFunction(build, height, width).emit()
        RowDots(kernel("rows"), [build.name for build in dots]).emit()
        row, pair = inner("add_to_row", ADD_PARAMETERS), inner("add_to_pair", ADD_PARAMETERS)
        AddFunction(row, 1, ROW_GROUP).emit()
        AddFunction(pair, 2, ROW_GROUP).emit()
        ColumnSums(kernel("columns"), row.name, pair.name).emit()
        PartialSums(kernel("combine")).emit()
    declarations = sorted(set().union(*(builder.declarations for builder in builders)))
    return "\n".join([builder.finish() for builder in builders] + declarations) + "\n"
