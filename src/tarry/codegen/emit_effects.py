"""Failed checks and C library calls: rare paths, kept out of the main code."""

from __future__ import annotations

from tarry.codegen.emit_writer import FALSE, Operand, Writer, integer

# The first failure of a run wins; the exchange makes one thread the writer.
_REPORT = """define internal void @NAME(ptr %status, i64 %slot, i64 %index, i64 %extent) noinline nounwind {
  %exchange = cmpxchg ptr %status, i64 0, i64 1 monotonic monotonic
  %first = extractvalue { i64, i1 } %exchange, 1
  br i1 %first, label %write, label %done
write:
  %slot_address = getelementptr i64, ptr %status, i64 1
  store i64 %slot, ptr %slot_address
  %index_address = getelementptr i64, ptr %status, i64 2
  store i64 %index, ptr %index_address
  %extent_address = getelementptr i64, ptr %status, i64 3
  store i64 %extent, ptr %extent_address
  br label %done
done:
  ret void
}
"""

_LIBM = """define internal void @NAME(ptr %guards, ptr %results{parameters}, i64 %lanes) {attributes} {{
entry:
  br label %loop
loop:
  %lane = phi i64 [ 0, %entry ], [ %following, %next ]
  %guard_address = getelementptr i8, ptr %guards, i64 %lane
  %guard = load i8, ptr %guard_address
  %wanted = icmp ne i8 %guard, 0
  br i1 %wanted, label %call, label %next
call:
{loads}  %result = call double @{function}({arguments})
  %result_address = getelementptr double, ptr %results, i64 %lane
  store double %result, ptr %result_address
  br label %next
next:
  %following = add i64 %lane, 1
  %again = icmp slt i64 %following, %lanes
  br i1 %again, label %loop, label %done
done:
  ret void
}}
"""


class Effects:
    """Emits the branch to a rare path; the main path pays a test."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def any_lane(self, condition: Operand) -> Operand:
        """A scalar: whether a lane holds."""
        if not condition.lanes:
            return condition
        bits = self._bits(condition)
        return self.writer.value("i1", 0, f"icmp ne {bits.typed}, 0")

    def _bits(self, condition: Operand) -> Operand:
        type = f"i{condition.lanes}"
        return self.writer.value(type, 0, f"bitcast {condition.typed} to {type}")

    def check(
        self, status: Operand, bad: Operand, index: Operand, extent: Operand, slot: Operand, lanes: int
    ) -> None:
        """Reports the first lane where `bad` holds."""
        writer = self.writer
        if lanes:
            bad, index, extent = (writer.splat(value, lanes) for value in (bad, index, extent))
        failed, passed = writer.new_block("failed"), writer.new_block("passed")
        writer.branch_if(self.any_lane(bad), failed, passed)
        writer.enter(failed)
        if lanes:
            bits = self._bits(bad)
            symbol = f"@llvm.cttz.{bits.type}"
            writer.module.declare(f"{bits.type} {symbol}({bits.type}, i1)")
            lane = writer.value(bits.type, 0, f"call {bits.type} {symbol}({bits.typed}, i1 true)")
            if lanes != 64:
                conversion = "zext" if lanes < 64 else "trunc"
                lane = writer.value("i64", 0, f"{conversion} {lane.typed} to i64")
            index = writer.value("i64", 0, f"extractelement {index.typed}, {lane.typed}")
            extent = writer.value("i64", 0, f"extractelement {extent.typed}, {lane.typed}")
        report = writer.module.helper("report", _REPORT)
        writer.line(f"call void @{report}({status.typed}, {slot.typed}, {index.typed}, {extent.typed})")
        writer.branch(passed)
        writer.enter(passed)

    def libm(self, function: str, guard: Operand, values: list[Operand], stack: list[Operand]) -> Operand:
        """The C function of the lanes where the guard holds, 0 elsewhere; `stack` is room for all vectors."""
        writer = self.writer
        lanes = max(operand.lanes for operand in [guard, *values])
        guard = writer.splat(guard, lanes)
        values = [writer.splat(value, lanes) for value in values]
        call, after = writer.new_block("rare"), writer.new_block("common")
        before = writer.here
        writer.branch_if(self.any_lane(guard), call, after)
        writer.enter(call)
        kind = f"<{lanes} x i8>" if lanes else "i8"
        flags = writer.value("i8", lanes, f"zext {guard.typed} to {kind}")
        zero = writer.splat(Operand("0.0", "double", constant=True), lanes)
        for room, value in zip(stack, [flags, zero, *values]):
            writer.line(f"store {value.typed}, {room.typed}, align 8")
        arguments = ", ".join(room.typed for room in stack)
        helper = self._libm_helper(function, len(values))
        writer.line(f"call void @{helper}({arguments}, {integer(max(lanes, 1)).typed})")
        result = writer.value("double", lanes, f"load {zero.full_type}, {stack[1].typed}, align 8")
        writer.branch(after)
        writer.enter(after)
        phi = writer.phi(after, "double", lanes, writer.level)
        phi.add(zero, before)
        phi.add(result, call)
        return phi.operand

    def _libm_helper(self, function: str, arity: int) -> str:
        parameters = "".join(f", ptr %values{number}" for number in range(arity))
        loads = "".join(
            f"  %address{n} = getelementptr double, ptr %values{n}, i64 %lane\n"
            f"  %value{n} = load double, ptr %address{n}\n"
            for n in range(arity)
        )
        arguments = ", ".join(f"double %value{number}" for number in range(arity))
        self.writer.module.declare(f"double @{function}({', '.join(['double'] * arity)})")
        text = _LIBM.format(
            attributes="noinline nounwind",
            function=function,
            parameters=parameters,
            loads=loads,
            arguments=arguments,
        )
        return self.writer.module.helper(function, text)


def negated(writer: Writer, condition: Operand, mask: Operand | None) -> Operand:
    """not condition, in active lanes."""
    if condition.constant and condition.text == "true":
        return FALSE
    bad = writer.binary("xor", condition, Operand("true", "i1", constant=True))
    return bad if mask is None else writer.binary("and", bad, mask)
