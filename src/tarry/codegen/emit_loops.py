"""Counted loops with carried accumulators, and combining of accumulators -> LLVM text.

Floating sums that a loop carries are summed in blocks: a block of SUM_BLOCK iterations adds plainly, and full
blocks are folded into a compensated total (Knuth's TwoSum), so long sums keep nearly full accuracy while
short ones pay a few additions. In a vector loop a block's many lanes are first added up to those of one
register: the total is then two registers, and the block has the others. The order of additions depends on
sizes alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.codegen.emit_arithmetic import Arithmetic
from tarry.codegen.emit_writer import Block, Operand, Phi, Writer, integer, literal, real, register_type
from tarry.loops.builder import Builder
from tarry.loops.combiners import COMBINERS
from tarry.loops.ir import Accumulator, Instr

SUM_BLOCK = 16

Components = list[Operand]


class Combination:
    """A combiner's `combine` as a straight list of operations on left and right components."""

    __slots__ = ("body", "left", "results", "right")

    def __init__(self, accumulator: Accumulator) -> None:
        builder = Builder("combine")
        left = builder.declare(accumulator.combiner, accumulator.dtypes)
        right = builder.declare(accumulator.combiner, accumulator.dtypes)
        numbers = range(len(accumulator.dtypes))
        self.left = [builder.read(left, number) for number in numbers]
        self.right = [builder.read(right, number) for number in numbers]
        self.results = COMBINERS[accumulator.combiner].combine(builder, self.left, self.right)
        statements = builder.finish().body
        self.body = [s for s in statements if isinstance(s, Instr) and s.op != "read"]


class LoopFrame:
    """An open counted loop: what `close_loop` needs to wire its phis."""

    __slots__ = (
        "accumulators", "before", "block_lanes", "block_start", "end", "exit", "initial", "inner", "limit",
        "low", "once", "outer", "phis", "step", "totals", "variable",
    )  # fmt: skip

    def __init__(
        self,
        before: Block,
        inner: Block,
        exit: Block,
        end: Operand,
        step: int,
        accumulators: list[Accumulator],
    ) -> None:
        self.before = before
        self.inner = inner
        self.exit = exit
        self.end = end
        self.step = step
        self.accumulators = accumulators
        self.once = False
        self.block_lanes = 0
        self.outer: Block | None = None
        self.variable: Operand = end
        self.limit: Operand = end
        self.block_start: Phi | None = None
        self.initial: list[Components] = []
        self.phis: list[list[Phi]] = []
        self.totals: list[list[Phi]] = []
        self.low: list[Phi | None] = []


class Loops:
    """Opens and closes loops, and holds the present value of every accumulator."""

    def __init__(self, writer: Writer, arithmetic: Arithmetic) -> None:
        self.writer = writer
        self.arithmetic = arithmetic
        self.current: dict[int, Components] = {}
        self._combinations: dict[tuple[object, ...], Combination] = {}
        self._variable_phi: dict[int, Phi] = {}

    # accumulators

    def identity(self, accumulator: Accumulator, lanes: int) -> Components:
        """The components of the identity, in every lane."""
        combiner = COMBINERS[accumulator.combiner]
        return [
            self.writer.splat(literal(combiner.identity(dtype, number), dtype), lanes)
            for number, dtype in enumerate(accumulator.dtypes)
        ]

    def combine(
        self, accumulator: Accumulator, left: Sequence[Operand], right: Sequence[Operand]
    ) -> Components:
        """`left` and `right` combined, in whatever lanes they have."""
        key = (accumulator.combiner, *accumulator.dtypes)
        combination = self._combinations.get(key)
        if combination is None:
            combination = self._combinations[key] = Combination(accumulator)
        values = dict(zip(map(id, combination.left), left))
        values.update(zip(map(id, combination.right), right))
        for instr in combination.body:
            operands = [values[id(arg)] for arg in instr.args]
            values[id(instr)] = self.arithmetic.apply(instr.op, instr.dtype, instr.args[-1].dtype, operands)
        return [values[id(result)] for result in combination.results]

    def combine_later(
        self, accumulator: Accumulator, left: Sequence[Operand], right: Sequence[Operand]
    ) -> Components:
        """An argmax or argmin with a value from a later position: ties change nothing."""
        writer = self.writer
        (a, i), (b, j) = left, right
        dtype, is_max = accumulator.dtypes[0], accumulator.combiner == "argmax"
        order = "lt" if is_max else "gt"
        # Chains of selects: logic on wide vectors of conditions is slow before AVX-512.
        if dtype.kind == "f":
            better = writer.binary(f"fcmp u{order}", a, b, "i1")  # true when b is NaN
            is_nan = writer.binary("fcmp uno", a, a, "i1")
            value = writer.select(is_nan, a, writer.select(better, b, a))
            position = writer.select(is_nan, i, writer.select(better, j, i))
        else:
            sign = "s" if dtype.kind == "i" else "u"
            better = writer.binary(f"icmp {sign}{order}", a, b, "i1")
            value = writer.select(better, b, a)
            position = writer.select(better, j, i)
        # The identity loses even to a value that equals it.
        nothing_yet = writer.binary("icmp eq", i, integer(-1, i.type), "i1")
        return [value, writer.select(nothing_yet, j, position)]

    def fold_lanes(self, accumulator: Accumulator, components: Sequence[Operand], lanes: int) -> Components:
        """Halves the lanes until `lanes` are left; 0 means a scalar."""
        writer = self.writer
        values = list(components)
        while values[0].lanes > max(lanes, 2):
            half = values[0].lanes // 2
            low = [self.part(value, 0, half) for value in values]
            high = [self.part(value, half, half) for value in values]
            values = self.combine(accumulator, low, high)
        if lanes == 0:
            halves = [
                [writer.pure(v.type, 0, f"extractelement {v.typed}, i64 {lane}", v) for v in values]
                for lane in (0, 1)
            ]
            values = self.combine(accumulator, halves[0], halves[1])
        return values

    def part(self, value: Operand, start: int, count: int) -> Operand:
        """Some consecutive lanes."""
        order = ", ".join(f"i32 {lane}" for lane in range(start, start + count))
        text = f"shufflevector {value.typed}, {value.full_type} poison, <{count} x i32> <{order}>"
        return self.writer.pure(value.type, count, text, value)

    # loops

    def open_loop(
        self,
        start: Operand,
        end: Operand,
        step: int,
        accumulators: list[Accumulator],
        once: bool = False,
        short: bool = False,
        block_lanes: int = 0,
    ) -> LoopFrame:
        """Enters `for variable in start, start+step, ... while < end`.

        At most one iteration if `once`, at most SUM_BLOCK if `short`: sums then need no blocks. With
        `block_lanes`, floating sums have that many lanes within a block, and those they came with in totals.
        """
        writer = self.writer
        before, inner, exit_block = writer.here, writer.new_block("loop"), writer.new_block("done")
        frame = LoopFrame(before, inner, exit_block, end, step, accumulators)
        frame.once, frame.block_lanes = once, block_lanes
        frame.initial = [self.current[id(accumulator)] for accumulator in accumulators]
        any_iteration = writer.binary("icmp slt", start, end, "i1")
        blocked = not once and not short and any(is_float_sum(accumulator) for accumulator in accumulators)
        frame.outer = writer.new_block("block") if blocked else None
        writer.branch_if(any_iteration, frame.outer or inner, exit_block)
        writer.push(frame.outer or inner)
        if frame.outer is not None:
            self._open_block(frame, start, frame.outer)
            writer.branch(inner)
            writer.enter(inner)
        level = writer.level
        entry = frame.outer or before
        if once:
            frame.variable = Operand(start.text, start.type, 0, max(start.level, 0), start.constant)
        else:
            first = frame.block_start.operand if frame.block_start is not None else start
            phi = writer.phi(inner, "i64", 0, level)
            phi.add(first, entry)
            frame.variable = phi.operand
            self._variable_phi[id(frame)] = phi
        self._open_phis(frame, entry)
        return frame

    def _open_block(self, frame: LoopFrame, start: Operand, outer: Block) -> None:
        """The head of a block of iterations: totals so far, and where the block ends."""
        writer = self.writer
        level = writer.level
        frame.block_start = writer.phi(outer, "i64", 0, level)
        frame.block_start.add(start, frame.before)
        ahead = writer.binary("add", frame.block_start.operand, integer(SUM_BLOCK * frame.step))
        frame.limit = writer.intrinsic("smin", ahead, frame.end)
        for accumulator, initial in zip(frame.accumulators, frame.initial):
            phis = []
            for value in initial:
                phi = writer.phi(outer, value.type, value.lanes, level)
                phi.add(value, frame.before)
                phis.append(phi)
            frame.totals.append(phis)
            low = None
            if is_float_sum(accumulator):
                low = writer.phi(outer, initial[0].type, initial[0].lanes, level)
                low.add(writer.splat(real(0.0, initial[0].type), initial[0].lanes), frame.before)
            frame.low.append(low)

    def _open_phis(self, frame: LoopFrame, entry: Block) -> None:
        writer = self.writer
        for number, (accumulator, initial) in enumerate(zip(frame.accumulators, frame.initial)):
            if frame.once:
                frame.phis.append([])
                continue
            phis = []
            blocked = frame.outer is not None and is_float_sum(accumulator)
            lanes = (frame.block_lanes if blocked else 0) or initial[0].lanes
            for component, value in enumerate(initial):
                phi = writer.phi(frame.inner, value.type, lanes, writer.level)
                if frame.outer is None:
                    phi.add(value, entry)
                elif is_float_sum(accumulator):
                    phi.add(writer.splat(real(0.0, value.type), lanes), entry)
                else:
                    phi.add(frame.totals[number][component].operand, entry)
                phis.append(phi)
            frame.phis.append(phis)
            self.current[id(accumulator)] = [phi.operand for phi in phis]

    def close_loop(self, frame: LoopFrame) -> None:
        """Leaves the loop; the accumulators hold their values after it."""
        writer = self.writer
        finals = [self.current[id(accumulator)] for accumulator in frame.accumulators]
        if frame.once:
            writer.branch(frame.exit)
        else:
            latch = writer.here
            following = writer.value("i64", 0, f"add nsw {frame.variable.typed}, {frame.step}")
            self._variable_phi.pop(id(frame)).add(following, latch)
            for phis, values in zip(frame.phis, finals):
                for phi, value in zip(phis, values):
                    phi.add(value, latch)
            text = f"icmp slt {following.typed}, {frame.limit.text}"
            again = writer.value("i1", 0, text)
            if frame.outer is None:
                writer.branch_if(again, frame.inner, frame.exit)
            else:
                finals = self._close_block(frame, again, following, finals)
        last = writer.here
        writer.pop()
        writer.enter(frame.exit)
        for accumulator, initial, values in zip(frame.accumulators, frame.initial, finals):
            self.current[id(accumulator)] = self._exit_phis(frame, initial, values, last)

    def _exit_phis(
        self, frame: LoopFrame, initial: Components, finals: Components, last: Block
    ) -> Components:
        results = []
        for value, final in zip(initial, finals):
            phi = self.writer.phi(frame.exit, value.type, value.lanes, self.writer.level)
            phi.add(value, frame.before)
            phi.add(final, last)
            results.append(phi.operand)
        return results

    def _close_block(
        self, frame: LoopFrame, again: Operand, following: Operand, finals: list[Components]
    ) -> list[Components]:
        """Folds the block's sums into the totals, exactly but for the lost bits' own rounding."""
        writer = self.writer
        assert frame.outer is not None and frame.block_start is not None
        done, fold, last = writer.new_block("blockdone"), writer.new_block("fold"), writer.new_block("last")
        writer.branch_if(again, frame.inner, done)
        writer.enter(done)
        more = writer.value("i1", 0, f"icmp slt {following.typed}, {frame.end.text}")
        sums: list[Operand | None] = []
        if frame.block_lanes:
            finals = [
                values if low is None else [self._halved(values[0], totals[0].operand.lanes)]
                for low, totals, values in zip(frame.low, frame.totals, finals)
            ]
        for low, totals, values in zip(frame.low, frame.totals, finals):
            sums.append(None if low is None else self._here("fadd", totals[0].operand, values[0]))
        writer.branch_if(more, fold, last)
        writer.enter(fold)
        frame.block_start.add(following, fold)
        for low, totals, values, total in zip(frame.low, frame.totals, finals, sums):
            if low is None or total is None:
                for phi, value in zip(totals, values):
                    phi.add(value, fold)
                continue
            totals[0].add(total, fold)
            low.add(self._lost_bits(totals[0].operand, values[0], total, low.operand), fold)
        writer.branch(frame.outer)
        writer.enter(last)
        results = []
        for low, values, total in zip(frame.low, finals, sums):
            if low is None or total is None:
                results.append(values)
                continue
            # After an overflow the lost bits are NaN; the total alone is right then.
            finite = self._here("fcmp ord", low.operand, low.operand, "i1")
            zero = writer.splat(real(0.0, total.type), total.lanes)
            text = f"select {finite.typed}, {low.operand.typed}, {zero.typed}"
            rest = writer.value(total.type, total.lanes, text)
            results.append([self._here("fadd", total, rest)])
        writer.branch(frame.exit)
        return results

    def _halved(self, value: Operand, lanes: int) -> Operand:
        """A vector's halves added up until `lanes` are left."""
        while value.lanes > lanes:
            half = value.lanes // 2
            value = self._here("fadd", self.part(value, 0, half), self.part(value, half, half))
        return value

    def _lost_bits(self, a: Operand, b: Operand, total: Operand, low: Operand) -> Operand:
        """low + (a + b - total), exact for the parenthesis."""
        b_part = self._here("fsub", total, a)
        a_part = self._here("fsub", total, b_part)
        a_error = self._here("fsub", a, a_part)
        b_error = self._here("fsub", b, b_part)
        return self._here("fadd", low, self._here("fadd", a_error, b_error))

    def _here(self, instruction: str, a: Operand, b: Operand, type: str | None = None) -> Operand:
        """A binary instruction in this very block: what `pure` knows elsewhere may not dominate it."""
        return self.writer.value(type or a.type, a.lanes, f"{instruction} {a.typed}, {b.text}")


def is_float_sum(accumulator: Accumulator) -> bool:
    """Whether blocks keep this accumulator accurate."""
    return accumulator.combiner == "sum" and accumulator.dtypes[0].kind == "f"


def component_types(accumulator: Accumulator) -> list[str]:
    """The register types of the components."""
    return [register_type(dtype) for dtype in accumulator.dtypes]
