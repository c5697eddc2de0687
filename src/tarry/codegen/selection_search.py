"""Finding the element of a given rank, as LLVM text: the inner functions of selection.

Floyd and Rivest's way (Expected time bounds for selection, Communications of the ACM 18, 1975): a sample of
the elements gives two keys, the *window*, between which the one that is looked for probably lies; one pass
counts what is below the window and collects what is inside; so on with these, until few are left. If the
window was missed, the next one is all that is still possible; if it held most elements, it is halved instead
of sampled. So the sample decides about time alone, and the time is bounded: each two passes halve the range.

Lists of keys may be written, and read, up to `SLACK` elements beyond their end.
"""

from __future__ import annotations

from collections.abc import Callable

from tarry.codegen.gemm_builder import KernelBuilder, Values
from tarry.codegen.selection_keys import LANES, TRUTHS, Keys, count_bits, mask_of

CONVERT, RANK, NARROW_NUMBERS, NARROW_KEYS, FIND = (
    "make_keys", "rank_few", "narrow_numbers", "narrow_keys", "find"
)  # fmt: skip
# Lists up to this length are ranked by comparing all with all.
FEW = 32
SAMPLE = 32
CONVERT_PARAMETERS = (("ptr", "from"), ("ptr", "to"), ("i64", "length"))
# Of two ranks the keys, and for the first how many elements are less, and equal, go to `found`.
RANK_PARAMETERS = (("ptr", "keys"), ("i64", "length"), ("i64", "first"), ("i64", "second"), ("ptr", "found"))
# The window in two cells of 8 bytes; four counts, as `sort_layout` says.
NARROW_PARAMETERS = (
    ("ptr", "from"), ("i64", "length"), ("ptr", "window"), ("ptr", "to"), ("ptr", "counts"),
)  # fmt: skip
# A list of numbers (`raw` is 1) or keys, and two lists to work in; keys are used up where they are the first
# of these. Key, elements less and elements equal go to `found`.
FIND_PARAMETERS = (
    ("ptr", "source"), ("ptr", "first"), ("ptr", "second"), ("i64", "raw"), ("i64", "length"),
    ("i64", "rank"), ("ptr", "found"),
)  # fmt: skip


def fold_blocks(
    b: KernelBuilder,
    keys: Keys,
    source: str,
    length: str,
    carried: list[tuple[str, str]],
    body: Callable[[str, str, str, Values], Values],
) -> Values:
    """Fold a list, eight at a time: `body` of their vector, the place of the first, the lanes that are there
    (all, where that is empty), and the carried values. Nothing is read beyond the end."""
    block = b.stack_array(keys.type, LANES)
    whole = b.round_down(length, LANES)
    values = b.loop(
        0, whole, LANES, carried,
        lambda place, values: body(keys.load_vector(b, source, place), place, "", values),
    )  # fmt: skip
    rest = b.subtract(length, whole)

    def last() -> Values:
        keys.store_vector(b, "zeroinitializer", block, 0)
        start = b.address(source, whole, keys.type)
        b.repeat(0, rest, 1, lambda place: keys.store(b, keys.load(b, start, place), block, place))
        return body(keys.load_vector(b, block, 0), whole, keys.first_lanes(b, rest), values)

    kinds = [kind for kind, _ in carried]
    return b.branch(b.compare("sgt", rest, 0), last, lambda: values, kinds)


def write_convert(b: KernelBuilder, keys: Keys) -> None:
    """A list of keys from numbers; it may be the same memory."""
    b.start()

    def convert(raw: str, place: str, there: str, _: Values) -> Values:
        keys.store_vector(b, keys.keys_of(b, raw), "%to", place)
        return []

    fold_blocks(b, keys, "%from", "%length", [], convert)


def write_rank(b: KernelBuilder, keys: Keys) -> None:
    """The elements of two ranks in a short list: the greatest before which there are not too many others."""
    b.start()
    kind = keys.vector
    most = f"splat ({keys.type} {keys.most})"
    for number in range(FEW // LANES):
        keys.store_vector(b, most, "%keys", b.add("%length", LANES * number))
    lists = [keys.load_vector(b, "%keys", LANES * number) for number in range(FEW // LANES)]

    def count(place: str, less: Values) -> Values:
        other = keys.splat(b, keys.load(b, "%keys", place))
        found = []
        for block, counts in zip(lists, less):
            before = b.value(f"sext {TRUTHS} {keys.lanes_where(b, 'slt', other, block)} to {kind}")
            found.append(b.value(f"sub {kind} {counts}, {before}"))
        return found

    less = b.loop(0, "%length", 1, [(kind, "zeroinitializer")] * len(lists), count)

    def of_rank(rank: str) -> str:
        limit = keys.splat(b, rank if keys.bits == 64 else b.value(f"trunc i64 {rank} to {keys.type}"))
        greatest = f"splat ({keys.type} {keys.least})"
        for block, counts in zip(lists, less):
            enough = keys.lanes_where(b, "sle", counts, limit)
            candidate = b.value(f"select {TRUTHS} {enough}, {kind} {block}, {kind} {greatest}")
            greatest = keys.greater(b, candidate, greatest)
        return keys.greatest_lane(b, greatest)

    # A rank of -1 has no element.
    key = of_rank("%first")
    keys.store(b, key, "%found")
    keys.store(b, of_rank("%second"), b.address("%found", 3, "i64"))
    bound = keys.splat(b, key)
    totals = ["0", "0"]
    for block in lists:
        for number, predicate in enumerate(("slt", "eq")):
            lanes = keys.lanes_where(b, predicate, block, bound)
            totals[number] = b.add(totals[number], count_bits(b, mask_of(b, lanes)))
    b.statement(f"store i64 {totals[0]}, ptr {b.address('%found', 1, 'i64')}")
    # The keys behind the end are the greatest.
    there = b.minimum(totals[1], b.subtract("%length", totals[0]))
    b.statement(f"store i64 {there}, ptr {b.address('%found', 2, 'i64')}")


class _Tally:
    """Counts of lanes: in vectors of integers where these are long enough, else as bits of masks."""

    def __init__(self, b: KernelBuilder, keys: Keys) -> None:
        self.builder = b
        self.keys = keys
        self.wide = keys.bits >= 32
        self.start = (keys.vector, "zeroinitializer") if self.wide else ("i64", "0")

    def add(self, predicate: str, left: str, right: str, there: str, count: str) -> str:
        b, keys = self.builder, self.keys
        found = keys.lanes_where(b, predicate, left, right, there)
        if not self.wide:
            return b.add(count, count_bits(b, mask_of(b, found)))
        ones = b.value(f"sext {TRUTHS} {found} to {keys.vector}")
        return b.value(f"sub {keys.vector} {count}, {ones}")

    def total(self, count: str) -> str:
        b, keys = self.builder, self.keys
        if not self.wide:
            return count
        name = f"llvm.vector.reduce.add.v{LANES}{keys.type}"
        b.declarations.add(f"declare {keys.type} @{name}({keys.vector})")
        total = b.value(f"call {keys.type} @{name}({keys.vector} {count})")
        return total if keys.bits == 64 else b.value(f"zext {keys.type} {total} to i64")


def write_narrow(b: KernelBuilder, keys: Keys, raw: bool) -> None:
    """Count what is below a window, on its bounds and inside, and collect what is inside, in order."""
    b.start()
    lower = keys.splat(b, keys.load(b, "%window"))
    upper = keys.splat(b, keys.load(b, b.address("%window", 1, "i64")))

    tally = _Tally(b, keys)

    def count(values: str, place: str, there: str, carried: Values) -> Values:
        key = keys.keys_of(b, values) if raw else values
        above = keys.lanes_where(b, "sgt", key, lower, there)
        inside = mask_of(b, keys.lanes_where(b, "slt", key, upper, above))
        end = carried[0]
        for kind, moved, number in keys.compress(b, key, inside, keys.type):
            address = b.address("%to", end, keys.type)
            b.statement(f"store {kind} {moved}, ptr {address}, align {keys.align}")
            end = b.add(end, number)
        tests = (("slt", lower), ("eq", lower), ("eq", upper))
        sums = [
            tally.add(predicate, key, bound, there, count)
            for (predicate, bound), count in zip(tests, carried[1:])
        ]
        return [end, *sums]

    carried = fold_blocks(b, keys, "%from", "%length", [("i64", "0"), *[tally.start] * 3], count)
    below, on_lower, on_upper = (tally.total(sums) for sums in carried[1:])
    for number, total in enumerate((below, on_lower, carried[0], on_upper)):
        b.statement(f"store i64 {total}, ptr {b.address('%counts', number, 'i64')}")


class Slots:
    """Variables on the stack, by name: the state of a search."""

    def __init__(self, b: KernelBuilder, kinds: dict[str, str]) -> None:
        self.builder = b
        self.kinds = kinds
        self.cells = {name: b.entry_value(f"alloca {kind}, align 8") for name, kind in kinds.items()}

    def __getitem__(self, name: str) -> str:
        return self.builder.value(f"load {self.kinds[name]}, ptr {self.cells[name]}, align 8")

    def __setitem__(self, name: str, value: str | int) -> None:
        self.builder.statement(f"store {self.kinds[name]} {value}, ptr {self.cells[name]}, align 8")


# How the next window is found.
_SAMPLED, _WHOLE, _HALVED = 0, 1, 2


class SearchWriter:
    """The inner function that finds the key of a rank, how many elements are less, and how many are equal."""

    def __init__(self, builder: KernelBuilder, keys: Keys) -> None:
        self.builder = b = builder
        self.keys = keys
        kind = keys.type
        self.state = Slots(b, {
            "list": "ptr", "next": "ptr", "raw": "i64", "length": "i64", "rank": "i64", "less": "i64",
            "lowest": kind, "highest": kind, "mode": "i64", "going": "i64",
        })  # fmt: skip
        self.window = b.stack_array("i64", 2)
        self.counts = b.stack_array("i64", 4)
        self.sample = b.stack_array(kind, SAMPLE + FEW)
        self.ranked = b.stack_array("i64", 4)

    def write(self) -> None:
        b, state = self.builder, self.state
        b.start()
        state["list"], state["next"], state["raw"] = "%source", "%first", "%raw"
        state["length"], state["rank"], state["less"] = "%length", "%rank", 0
        state["lowest"], state["highest"] = self.keys.least, self.keys.most
        state["mode"], state["going"] = _SAMPLED, 1
        again, done = b.fresh_label("again"), b.fresh_label("found")
        b.statement(f"br label %{again}")
        b.place_label(again)
        b.choose(b.compare("sle", state["length"], FEW), self._rank_few, self._narrow)
        b.statement(f"br i1 {b.compare('ne', state['going'], 0)}, label %{again}, label %{done}")
        b.place_label(done)

    def _finish(self, key: str, less: str, equal: str) -> None:
        b, state = self.builder, self.state
        self.keys.store(b, key, "%found")
        b.statement(f"store i64 {b.add(state['less'], less)}, ptr {b.address('%found', 1, 'i64')}")
        b.statement(f"store i64 {equal}, ptr {b.address('%found', 2, 'i64')}")
        state["going"] = 0

    def _rank_few(self) -> None:
        b, state = self.builder, self.state

        def convert() -> None:
            b.call(CONVERT, CONVERT_PARAMETERS, [state["list"], "%first", state["length"]])
            state["list"] = "%first"

        b.choose(b.compare("ne", state["raw"], 0), convert, lambda: None)
        rank = state["rank"]
        b.call(RANK, RANK_PARAMETERS, [state["list"], state["length"], rank, rank, self.ranked])
        less, equal = (b.value(f"load i64, ptr {b.address(self.ranked, k, 'i64')}") for k in (1, 2))
        self._finish(self.keys.load(b, self.ranked), less, equal)

    # windows

    def _narrow(self) -> None:
        b, state = self.builder, self.state
        mode = state["mode"]

        def whole() -> None:
            self._set_window(state["lowest"], state["highest"])

        def halve() -> None:
            kind = self.keys.type
            lowest, highest = state["lowest"], state["highest"]
            halves = [b.value(f"ashr {kind} {bound}, 1") for bound in (lowest, highest)]
            middle = b.value(f"add {kind} {halves[0]}, {halves[1]}")
            self._set_window(middle, middle)

        def other() -> None:
            b.choose(b.compare("eq", mode, _WHOLE), whole, halve)

        b.choose(b.compare("eq", mode, _SAMPLED), self._sample, other)
        values = [state["list"], state["length"], self.window, state["next"], self.counts]
        b.choose(
            b.compare("ne", state["raw"], 0),
            lambda: b.call(NARROW_NUMBERS, NARROW_PARAMETERS, values),
            lambda: b.call(NARROW_KEYS, NARROW_PARAMETERS, values),
        )
        self._decide()

    def _set_window(self, lower: str, upper: str) -> None:
        """Store a window within the range that is possible; its bounds must differ."""
        b, keys, state = self.builder, self.keys, self.state
        lowest, highest = state["lowest"], state["highest"]
        lower = keys.select(b, keys.compare(b, "slt", lower, lowest), lowest, lower)
        upper = keys.select(b, keys.compare(b, "sgt", upper, highest), highest, upper)
        store_window(b, keys, lower, upper, self.window)

    def _sample(self) -> None:
        b, keys, state = self.builder, self.keys, self.state
        length, source = state["length"], state["list"]
        step = b.integer("udiv", length, SAMPLE)
        start = b.integer("lshr", step, 1)

        raw = b.compare("ne", state["raw"], 0)

        def pick(number: str) -> None:
            place = b.add(start, b.multiply(number, step))
            taken = "poison"
            for lane in range(LANES):
                one = keys.load(b, source, b.add(place, b.multiply(step, lane)) if lane else place)
                taken = b.value(f"insertelement {keys.vector} {taken}, {keys.type} {one}, i64 {lane}")
            chosen = f"select i1 {raw}, {keys.vector} {keys.keys_of(b, taken)}, {keys.vector} {taken}"
            keys.store_vector(b, b.value(chosen), self.sample, number)

        b.repeat(0, SAMPLE, LANES, pick)
        first, second = window_ranks(b, state["rank"], length, SAMPLE, 1.5)
        b.call(RANK, RANK_PARAMETERS, [self.sample, SAMPLE, first, second, self.ranked])
        lower, upper = keys.load(b, self.ranked), keys.load(b, b.address(self.ranked, 3, "i64"))
        lower = keys.select(b, b.compare("slt", first, 0), state["lowest"], lower)
        upper = keys.select(b, b.compare("sge", second, SAMPLE), state["highest"], upper)
        self._set_window(lower, upper)

    def _decide(self) -> None:
        """Where the element of the rank is: below, on or in the window, or above."""
        b, keys, state = self.builder, self.keys, self.state
        counts = [b.value(f"load i64, ptr {b.address(self.counts, k, 'i64')}") for k in range(4)]
        lower, upper = keys.load(b, self.window), keys.load(b, b.address(self.window, 1, "i64"))
        rank, kind = state["rank"], keys.type
        ends = [counts[0]]
        for count in counts[1:]:
            ends.append(b.add(ends[-1], count))

        def missed_below() -> None:
            state["highest"] = b.value(f"sub {kind} {lower}, 1")
            state["mode"] = _WHOLE

        def missed_above() -> None:
            state["lowest"] = b.value(f"add {kind} {upper}, 1")
            state["mode"] = _WHOLE

        def inside() -> None:
            state["rank"] = b.subtract(rank, ends[1])
            state["less"] = b.add(state["less"], ends[1])
            state["lowest"] = b.value(f"add {kind} {lower}, 1")
            state["highest"] = b.value(f"sub {kind} {upper}, 1")
            most = b.compare("sgt", b.multiply(counts[2], 2), state["length"])
            state["mode"] = b.select(most, _HALVED, _SAMPLED)
            state["length"] = counts[2]
            old, found = state["list"], state["next"]
            state["next"] = b.select_pointer(b.compare("ne", state["raw"], 0), "%second", old)
            state["list"], state["raw"] = found, 0

        # From the last case to the first.
        cases: list[tuple[str, Callable[[], None]]] = [
            (ends[0], missed_below),
            (ends[1], lambda: self._finish(lower, ends[0], counts[1])),
            (ends[2], inside),
            (ends[3], lambda: self._finish(upper, ends[2], counts[3])),
        ]
        self._first_of(rank, cases, missed_above)

    def _first_of(
        self, rank: str, cases: list[tuple[str, Callable[[], None]]], otherwise: Callable[[], None]
    ) -> None:
        if not cases:
            otherwise()
            return
        end, body = cases[0]
        below = self.builder.compare("slt", rank, end)
        self.builder.choose(below, body, lambda: self._first_of(rank, cases[1:], otherwise))


def store_window(b: KernelBuilder, keys: Keys, lower: str, upper: str, window: str) -> None:
    """Store a window; where its bounds are equal, one of them moves by one."""
    equal = keys.compare(b, "sge", lower, upper)
    last = keys.compare(b, "eq", lower, keys.most)
    lower = keys.select(b, b.both(equal, last), keys.most - 1, lower)
    upper = keys.select(b, equal, b.value(f"add {keys.type} {lower}, 1"), upper)
    keys.store(b, lower, window)
    keys.store(b, upper, b.address(window, 1, "i64"))


def window_ranks(b: KernelBuilder, rank: str, length: str, sample: int, deviations: float) -> tuple[str, str]:
    """The ranks in a sample of the window's bounds: so many standard deviations around that of the element.

    Below 0 or from `sample` on there is no bound.
    """
    b.declarations.add("declare double @llvm.sqrt.f64(double)")
    middle = b.integer("udiv", b.multiply(rank, sample), length)
    spread = b.integer("udiv", b.multiply(middle, b.subtract(sample, middle)), sample)
    root = b.value(f"call double @llvm.sqrt.f64(double {b.value(f'sitofp i64 {spread} to double')})")
    width = b.value(f"fptosi double {b.value(f'fmul double {root}, {deviations}')} to i64")
    return b.subtract(b.subtract(middle, width), 1), b.add(b.add(middle, width), 1)
