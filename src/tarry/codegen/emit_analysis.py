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
MEDIUM_COST = 40


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
    return all(
        isinstance(factor, LoopVar) and coefficient.multiplier > 0 for factor, coefficient in linear.terms
    )


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
    cost = sum(cost_of(s.op) if isinstance(s, Instr) else 1 for s in statements)
    registers = 32 if target.vector_bits >= 512 or target.architecture == "aarch64" else 16
    accumulators = carried_by(loop, live) + [s.accumulator for s in statements if isinstance(s, Declare)]
    pressure = _pressure(statements) + sum(len(accumulator.dtypes) for accumulator in accumulators)
    unroll = 4 if cost <= LIGHT_COST else 2 if cost <= MEDIUM_COST else 1
    if pressure <= 2 and any(isinstance(s, Loop) for s in statements):
        unroll = 8  # a walk down columns should take whole cache lines on its way
    while 4 >= unroll > 1 and unroll * pressure > registers - 2:
        unroll //= 2
    if any(_is_irregular(s, loop.var) for s in statements):
        unroll = 1  # lane by lane accesses: wider bodies are only longer
    return LaneChoice(lanes, unroll, f"i{8 * widest}")


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


def _is_irregular(statement: Statement, variable: LoopVar) -> bool:
    """Whether a statement accesses memory lane by lane."""
    access = statement.access if isinstance(statement, Store) else None
    if isinstance(statement, Instr):
        if statement.op == "libm":
            return True
        if statement.op == "load":
            access = statement.attribute if isinstance(statement.attribute, Access) else None
    if access is None:
        return False
    step = 0
    for factor, coefficient in access.position.terms:
        if factor is variable:
            if coefficient.param is not None:
                return True
            step += coefficient.multiplier
        elif isinstance(factor, Instr) and _depends_on(factor, variable):
            return True
    if abs(step) == 2 and access.buffer.dtype.kind == "c":
        return False
    return abs(step) > 1


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
