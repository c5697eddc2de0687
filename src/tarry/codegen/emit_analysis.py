"""What the emitter finds out before it writes a line: live statements, fused products, lane counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tarry.codegen.assemble import Target
from tarry.loops.ir import (
    Access,
    Accumulator,
    Check,
    Declare,
    Instr,
    Linear,
    Loop,
    LoopVar,
    Statement,
    Store,
    Update,
)
from tarry.loops.operations import cost_of

# A vector body up to this cost (in additions) is emitted four, or two, vectors wide.
LIGHT_COST = 12
MEDIUM_COST = 120
# Vectors in flight in a body that only reduces.
REDUCED_VECTORS = 8
LINE_BYTES = 64  # of a cache
# A loop known to be this short stays in cache whatever it walks along.
MOST_SHORT = 64


def operands_of(statement: Statement) -> list[Instr]:
    """The values a statement uses, not counting those of its body."""
    if isinstance(statement, Instr):
        return [*statement.args, *_position_values(statement.attribute)]
    if isinstance(statement, Update):
        return list(statement.values)
    if isinstance(statement, Store):
        guard = [] if statement.guard is None else [statement.guard]
        return [statement.value, *guard, *statement.access.position.values()]
    if isinstance(statement, Check):
        return [statement.good, statement.index, statement.extent]
    if isinstance(statement, Loop) and isinstance(statement.extent, Instr):
        return [statement.extent]
    return []


def _position_values(attribute: object) -> list[Instr]:
    position = attribute.position if isinstance(attribute, Access) else attribute
    return position.values() if isinstance(position, Linear) else []


def walk(statements: Sequence[Statement]) -> Iterator[Statement]:
    """Every statement in order, bodies after their loops' heads."""
    stack: list[Iterator[Statement]] = [iter(statements)]
    while stack:
        statement = next(stack[-1], None)
        if statement is None:
            stack.pop()
            continue
        yield statement
        if isinstance(statement, Loop):
            stack.append(iter(statement.body))


class Liveness:
    """Marks backwards the statements that stores, checks and wanted accumulators need."""

    def __init__(self) -> None:
        self.needed: set[int] = set()  # ids of values and accumulators
        self.live: set[int] = set()  # ids of statements

    def mark(self, statements: Sequence[Statement], effects: bool = True) -> bool:
        """Marks what is live in one body; without `effects` stores and checks do not count by themselves."""
        acts = False
        for statement in reversed(statements):
            if isinstance(statement, Instr):
                alive = id(statement) in self.needed
                if alive and statement.op == "read":
                    self.needed.add(id(read_of(statement)[0]))
            elif isinstance(statement, Loop):
                alive = self.mark(statement.body, effects)
                acts |= alive
            elif isinstance(statement, Declare):
                alive = id(statement.accumulator) in self.needed
            elif isinstance(statement, Update):
                alive = id(statement.accumulator) in self.needed
                acts |= alive
            else:
                alive = effects or (
                    isinstance(statement, Store) and statement.access.buffer.mode == "scratch"
                )
                acts |= alive
            if alive:
                self.live.add(id(statement))
                self.needed.update(map(id, operands_of(statement)))
        return acts


def read_of(instr: Instr) -> tuple[Accumulator, int]:
    """The accumulator and component of a `read`."""
    attribute = instr.attribute
    assert isinstance(attribute, tuple)
    return attribute[0], attribute[1]


def declared(statements: Sequence[Statement]) -> list[Accumulator]:
    """The accumulators declared directly in a body."""
    return [s.accumulator for s in statements if isinstance(s, Declare)]


def carried_by(loop: Loop, live: set[int]) -> list[Accumulator]:
    """The accumulators from outside that live updates in the loop change, in order of appearance."""
    own: set[int] = set()
    found: dict[int, Accumulator] = {}
    for statement in walk(loop.body):
        if isinstance(statement, Declare):
            own.add(id(statement.accumulator))
        elif isinstance(statement, Update) and id(statement) in live and id(statement.accumulator) not in own:
            found.setdefault(id(statement.accumulator), statement.accumulator)
    return list(found.values())


def fused_products(statements: Sequence[Statement]) -> set[int]:
    """Ids of the float products whose only use is to be added to a sum: they become one fma."""
    uses: dict[int, int] = {}
    candidates: list[Instr] = []
    for statement in walk(statements):
        for value in operands_of(statement):
            uses[id(value)] = uses.get(id(value), 0) + 1
        if isinstance(statement, Update) and statement.accumulator.combiner == "sum":
            value = statement.values[0]
            if value.op == "mul" and value.dtype.kind == "f" and value.dtype.size >= 4:
                candidates.append(value)
    return {id(value) for value in candidates if uses[id(value)] == 1}


def is_short(loop: Loop, most: int) -> bool:
    """Whether a loop never has more iterations than that: its extent is a minimum with a number."""
    extent = loop.extent
    if not isinstance(extent, Instr) or extent.op != "min":
        return False
    bounds = [arg.attribute for arg in extent.args if arg.op == "const"]
    return any(isinstance(bound, int) and bound <= most for bound in bounds)


def is_light(loop: Loop, live: set[int]) -> bool:
    """Whether a body is a few operations, which its loop would cost as much as."""
    statements = [s for s in loop.body if id(s) in live and not _is_free(s)]
    if any(isinstance(s, (Loop, Check)) for s in statements):
        return False
    return sum(cost_of(s.op) if isinstance(s, Instr) else 1 for s in statements) <= LIGHT_COST // 2


def is_ascending(update: Update) -> bool:
    """Whether an argmax or argmin sees positions in ascending order: a sum of loop variables with positive
    coefficients (parameters in positions are sizes)."""
    if update.accumulator.combiner not in ("argmax", "argmin"):
        return False
    position = update.values[1]
    while position.op == "cast":
        position = position.args[0]
    linear = position.attribute
    if position.op != "index" or not isinstance(linear, Linear):
        return False
    return _is_increasing(linear)


def _is_increasing(linear: Linear) -> bool:
    for factor, coefficient in linear.terms:
        if coefficient.multiplier <= 0:
            return False
        if isinstance(factor, Instr):
            if factor.op != "index" or not isinstance(factor.attribute, Linear):
                return False
            if not _is_increasing(factor.attribute):
                return False
    return True


class LaneChoice:
    """How wide a vector loop runs: `lanes` values at once in the tail, `unroll * lanes` in the main loop."""

    __slots__ = ("lanes", "mask_type", "unroll")

    def __init__(self, lanes: int, unroll: int, mask_type: str) -> None:
        self.lanes = lanes
        self.unroll = unroll
        self.mask_type = mask_type


def choose_lanes(loop: Loop, live: set[int], target: Target) -> LaneChoice:
    """Lanes fill one register of the widest element; the unroll keeps live values in registers."""
    statements = [s for s in walk(loop.body) if id(s) in live]
    widest = 1
    for statement in statements:
        widest = max(widest, _element_size(statement))
    lanes = max(2, target.vector_bits // (8 * widest))
    cost = sum(cost_of(s.op) if isinstance(s, Instr) else 1 for s in statements if not _is_free(s))
    registers = 32 if target.vector_bits >= 512 or target.architecture == "aarch64" else 16
    carried = carried_by(loop, live)
    accumulators = carried + [s.accumulator for s in statements if isinstance(s, Declare)]
    pressure = _pressure(statements) + sum(len(accumulator.dtypes) for accumulator in accumulators)
    unroll = 4 if cost <= LIGHT_COST else 2 if cost <= MEDIUM_COST else 1
    line = max(1, LINE_BYTES // (lanes * widest))
    if pressure <= 2 and any(isinstance(s, Loop) and not is_short(s, MOST_SHORT) for s in statements):
        unroll = 8  # a walk down columns should take whole cache lines on its way
    elif any(isinstance(s, Loop) and s.body and is_short(s, MOST_SHORT) for s in statements):
        unroll = min(unroll, line)  # rows a multiple of 4096 bytes apart share few places in the cache
    if unroll == 4 and unroll * pressure > registers - 2:
        unroll = 2
    # Two chains of operations side by side are worth some values kept in L1.
    if unroll == 2 and pressure > registers * 3 // 4:
        unroll = 1
    if unroll == 4 and cost <= LIGHT_COST // 2 and _only_reduces(statements, carried):
        unroll = REDUCED_VECTORS  # additions take three or four cycles, and two can start in each
    inside = [s.var for s in statements if isinstance(s, Loop)]
    if any(isinstance(s, Instr) and is_transposed(s, each, loop.var) for s in statements for each in inside):
        unroll = line  # what is transposed stays in registers
    if any(_is_irregular(s, loop.var, inside) for s in statements):
        unroll = 1  # lane by lane accesses: wider bodies are only longer
    return LaneChoice(lanes, unroll, f"i{8 * widest}")


def _only_reduces(statements: Sequence[Statement], carried: Sequence[Accumulator]) -> bool:
    """Whether a body does nothing but feed one accumulator of one component."""
    if len(carried) != 1 or len(carried[0].dtypes) != 1:
        return False
    return not any(isinstance(s, (Store, Loop, Declare)) for s in statements)


def _element_size(statement: Statement) -> int:
    """Bytes of the data a statement handles; index arithmetic in int64 does not count."""
    if isinstance(statement, Instr):
        if statement.dtype.kind in "iu" and statement.dtype.size == 8 and statement.op != "load":
            return 1
        return statement.dtype.size
    if isinstance(statement, Store):
        return statement.value.dtype.size
    if isinstance(statement, Update):
        return max(value.dtype.size for value in statement.values)
    return 1


def _pressure(statements: Sequence[Statement]) -> int:
    """The largest number of values alive at once, constants and addresses aside."""
    last: dict[int, int] = {}
    for number, statement in enumerate(statements):
        for value in operands_of(statement):
            last[id(value)] = number
    alive, most = 0, 0
    ends: dict[int, int] = {}
    for number, statement in enumerate(statements):
        if isinstance(statement, Instr) and statement.op not in ("const", "index", "size", "scalar"):
            alive += 1
            end = last.get(id(statement), number)
            ends[end] = ends.get(end, 0) + 1
        most = max(most, alive)
        alive -= ends.pop(number, 0)
    return most


def regular_step(position: Linear, variable: LoopVar) -> tuple[int, bool] | None:
    """How a position moves with a loop variable: a constant, and whether a parameter comes in as well.

    None when it moves in a way that is not linear: through a value computed from the variable.
    """
    step, has_param = 0, False
    for factor, coefficient in position.terms:
        if factor is variable:
            inner: tuple[int, bool] | None = (1, False)
        elif isinstance(factor, Instr):
            inner = _value_step(factor, variable)
        else:
            continue
        if inner is None:
            return None
        if coefficient.param is not None:
            has_param |= inner != (0, False)
        else:
            step += inner[0] * coefficient.multiplier
            has_param |= inner[1]
    return step, has_param


def _value_step(value: Instr, variable: LoopVar) -> tuple[int, bool] | None:
    if value.op == "index" and isinstance(value.attribute, Linear):
        return regular_step(value.attribute, variable)
    return None if _depends_on(value, variable) else (0, False)


def is_transposed(instr: Instr, variable: LoopVar, lane_variable: LoopVar) -> bool:
    """Whether an instruction is a plain load, contiguous along `variable` and strided along the lanes."""
    access = instr.attribute
    if instr.op != "load" or instr.args or not isinstance(access, Access):
        return False
    if access.buffer.mode != "in" or instr.dtype is not access.buffer.dtype or instr.dtype.kind == "c":
        return False
    along, across = regular_step(access.position, variable), regular_step(access.position, lane_variable)
    if along != (1, False) or across is None:
        return False
    return across[1] or abs(across[0]) > 1


def _is_free(statement: Statement) -> bool:
    """Whether a statement costs nothing of its own in a vector body."""
    return isinstance(statement, Instr) and statement.op in ("const", "index", "size", "scalar")


def _is_irregular(statement: Statement, variable: LoopVar, inside: Sequence[LoopVar]) -> bool:
    """Whether a statement accesses memory lane by lane; `inside` are the loops in the vector loop."""
    if isinstance(statement, Instr) and any(is_transposed(statement, loop, variable) for loop in inside):
        return False
    access = statement.access if isinstance(statement, Store) else None
    if isinstance(statement, Instr):
        access = statement.attribute if isinstance(statement.attribute, Access) else None
    if access is None:
        return False
    found = regular_step(access.position, variable)
    if found is None or found[1]:
        return True
    step = abs(found[0])
    return step > 1 and not (step == 2 and access.buffer.dtype.kind == "c")


def _depends_on(value: Instr, variable: LoopVar) -> bool:
    """Whether a value is, or is computed from, the variable."""
    stack, seen = [value], {id(value)}
    while stack:
        instr = stack.pop()
        attribute = instr.attribute
        position = attribute.position if isinstance(attribute, Access) else attribute
        if isinstance(position, Linear) and any(factor is variable for factor, _ in position.terms):
            return True
        for operand in operands_of(instr):
            if id(operand) not in seen:
                seen.add(id(operand))
                stack.append(operand)
    return False
