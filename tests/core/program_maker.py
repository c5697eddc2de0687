"""Small random programs as data: steps of text that run in Tarry, under its transforms, and in the MLX wheel.

A step is an expression over `mx` (the framework's module) and its operands `a`, `b`, `c`, which are numbers
of earlier values; the first values are the leaves. Two worlds keep comparisons meaningful. In the *exact* one
every value is an integer that its dtype can hold, whatever the order of additions, so that all ways to run a
program must agree in every bit; comparisons, arg-reductions and sorting live here. In the *smooth* one values
are floats and operations are continuous, so that ways agree up to rounding, and there are gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np

import tarry.core as mx
from oracle import COMPLEX, FLOATS, INTEGERS, dtype_name, from_numpy

EXTENTS = (1, 2, 3, 4, 5, 8, 17, 33)
MOST_ELEMENTS = 4000
# Integers beyond these are not exact in the floating dtypes.
LARGEST_EXACT = {"float16": 2.0**11, "bfloat16": 2.0**8, "float32": 2.0**24, "float64": 2.0**53}
LARGEST_SMOOTH = 30.0

Interval = tuple[float, float]


def written(module: Any, target: Any, index: Any, value: Any) -> Any:
    """`target` with `target[index] = value`, the way a program writes it."""
    copy = module.array(target)
    copy[index] = value
    return copy


class Step:
    """One operation of a program."""

    def __init__(self, text: str, operands: Sequence[int]) -> None:
        self.text = text
        self.operands = tuple(operands)
        names = ", ".join("abc"[: len(operands)])
        self.function: Callable[..., Any] = eval(f"lambda mx, {names}: {text}", {"written": written})


class Program:
    """Leaves, steps, and the numbers of the values wanted in the end."""

    def __init__(
        self, leaves: Sequence[tuple[np.ndarray, str]], steps: Sequence[Step], wanted: Sequence[int]
    ) -> None:
        self.leaves = list(leaves)
        self.steps = list(steps)
        self.wanted = sorted(set(wanted))

    def make_leaves(self, module: Any) -> list[Any]:
        return [from_numpy(module, values, name) for values, name in self.leaves]

    def run(
        self, module: Any, leaves: Sequence[Any], after: Callable[[Any], object] | None = None
    ) -> list[Any]:
        """The wanted values; `after` is called with the value of every step.

        What is not needed any more is let go, so that it may be overwritten.
        """
        last = {number: place for place, step in enumerate(self.steps) for number in step.operands}
        values = list(leaves)
        del leaves
        for place, step in enumerate(self.steps):
            value = step.function(module, *(values[number] for number in step.operands))
            if after is not None:
                after(value)
            values.append(value)
            for number in step.operands:
                if last[number] == place and number not in self.wanted:
                    values[number] = None
        return [values[number] for number in self.wanted]

    def needed(self) -> Program:
        """The same program without steps that no wanted value depends on."""
        keep = set(self.wanted)
        first = len(self.leaves)
        for place in range(len(self.steps) - 1, -1, -1):
            if first + place in keep:
                keep.update(self.steps[place].operands)
        leaves = [number for number in range(first) if number in keep]
        steps = [place for place in range(len(self.steps)) if first + place in keep]
        numbers = {number: new for new, number in enumerate([*leaves, *(first + place for place in steps)])}
        return Program(
            [self.leaves[number] for number in leaves],
            [Step(s.text, [numbers[n] for n in s.operands]) for s in (self.steps[place] for place in steps)],
            [numbers[number] for number in self.wanted],
        )

    def __repr__(self) -> str:
        lines = []
        for number, (values, name) in enumerate(self.leaves):
            lines.append(f"v{number} = mx.array({values.tolist()!r}, dtype=mx.{name})  # {values.shape}")
        for number, step in enumerate(self.steps, len(self.leaves)):
            names = ", ".join("abc"[: len(step.operands)])
            values = ", ".join(f"v{operand}" for operand in step.operands)
            lines.append(f"v{number} = (lambda {names}: {step.text})({values})")
        lines.append("wanted: " + ", ".join(f"v{number}" for number in self.wanted))
        return "\n".join(lines)


class Maker:
    """Draws a program. Values are recorded in Tarry along the way, only to know their shapes and dtypes."""

    kinds: tuple[str, ...] = (
        "unary", "unary", "binary", "binary", "binary", "reduce", "reduce", "view", "view", "view",
        "join", "read", "write", "product", "choose", "cast", "scan", "sort", "spread",
    )  # fmt: skip

    def __init__(self, random: Random) -> None:
        self.random = random
        self.leaves: list[tuple[np.ndarray, str]] = []
        self.steps: list[Step] = []
        self.values: list[mx.array] = []
        self.intervals: list[Interval] = []

    # what a world defines

    def add_leaf(self) -> None:
        raise NotImplementedError

    def unary(self, x: int) -> tuple[str, Interval] | None:
        raise NotImplementedError

    def binary_names(self, x: int, y: int) -> Sequence[str]:
        raise NotImplementedError

    def fits(self, value: mx.array, interval: Interval) -> bool:
        """Whether values of the interval may go on in the program."""
        raise NotImplementedError

    # building

    def make(self, leaves: int, steps: int) -> Program:
        for _ in range(leaves):
            self.add_leaf()
        for _ in range(3 * steps):
            if len(self.steps) < steps:
                getattr(self, f"make_{self.random.choice(self.kinds)}")(self.pick())
        # Mostly what nothing else was made of, so that few steps are in vain.
        used = {number for step in self.steps for number in step.operands}
        ends = [number for number in range(len(self.values)) if number not in used]
        wanted = self.random.sample(ends, self.random.randrange(1, len(ends) + 1))
        wanted += [self.random.randrange(len(self.values)) for _ in range(self.random.randrange(2))]
        return Program(self.leaves, self.steps, wanted).needed()

    def leaf(self, values: np.ndarray, name: str) -> None:
        self.leaves.append((values, name))
        self.values.append(from_numpy(mx, values, name))
        high = float(np.abs(values).max()) if values.size else 0.0
        low = float(values.min()) if values.size and name not in COMPLEX else -high
        self.intervals.append((min(low, 0.0), high))

    def shape(self) -> tuple[int, ...]:
        extents = [self.random.choice(EXTENTS) for _ in range(self.random.randrange(4))]
        while int(np.prod(extents)) > MOST_ELEMENTS:
            extents.pop()
        # Leaves that share extents meet by broadcasting.
        if self.leaves and self.random.random() < 0.7:
            known = self.leaves[-1][0].shape
            extents = [1 if self.random.random() < 0.2 else extent for extent in known]
            if self.random.random() < 0.3:
                del extents[: self.random.randrange(len(extents) + 1)]
        return tuple(extents)

    def pick(self) -> int:
        if self.random.random() < 0.6:
            return len(self.values) - 1
        return self.random.randrange(len(self.values))

    def name(self, number: int) -> str:
        return dtype_name(self.values[number])

    def record(self, text: str, operands: Sequence[int], interval: Interval) -> int | None:
        """Append a step if its value is small enough in every sense."""
        step = Step(text, operands)
        value = step.function(mx, *(self.values[number] for number in operands))
        if value.size > MOST_ELEMENTS or not self.fits(value, interval):
            return None
        self.steps.append(step)
        self.values.append(value)
        name = dtype_name(value)
        if name in INTEGERS and not self.holds(name, interval):
            limits = np.iinfo(name)
            interval = (float(limits.min), float(limits.max))
        self.intervals.append((0.0, 1.0) if name == "bool" else interval)
        return len(self.values) - 1

    @staticmethod
    def holds(name: str, interval: Interval) -> bool:
        return np.iinfo(name).min <= interval[0] and interval[1] <= np.iinfo(name).max

    def magnitude(self, *numbers: int) -> float:
        return max(max(-self.intervals[n][0], self.intervals[n][1]) for n in numbers)

    # kinds of steps

    def make_unary(self, x: int) -> None:
        found = self.unary(x)
        if found is not None:
            self.record(found[0], [x], found[1])

    def partner(self, x: int) -> int | None:
        """Another value that broadcasts with x."""
        shape = self.values[x].shape
        fitting = []
        for number, value in enumerate(self.values):
            try:
                np.broadcast_shapes(shape, value.shape)
                fitting.append(number)
            except ValueError:
                continue
        return self.random.choice(fitting) if fitting else None

    def make_binary(self, x: int) -> None:
        y = self.partner(x)
        if y is None:
            return
        names = self.binary_names(x, y)
        if not names:
            return
        name = self.random.choice(names)
        (low, high), (other_low, other_high) = self.intervals[x], self.intervals[y]
        if name == "add":
            interval = (low + other_low, high + other_high)
        elif name == "subtract":
            interval = (low - other_high, high - other_low)
        elif name == "multiply":
            corners = [p * q for p in (low, high) for q in (other_low, other_high)]
            interval = (min(corners), max(corners))
        elif name.startswith("bitwise"):
            bound = 2.0 ** np.ceil(np.log2(max(self.magnitude(x, y), 1) + 1))
            interval = (-bound if min(low, other_low) < 0 else 0.0, bound)
        else:
            interval = (min(low, other_low), max(high, other_high) + 1)
        self.record(f"mx.{name}(a, b)", [x, y], interval)

    def axes(self, x: int) -> Any:
        ndim = self.values[x].ndim
        if ndim == 0 or self.random.random() < 0.2:
            return None
        if self.random.random() < 0.7:
            return self.random.randrange(-ndim, ndim)
        chosen = [axis for axis in range(ndim) if self.random.random() < 0.5]
        return tuple(chosen) or self.random.randrange(ndim)

    def extent_of(self, x: int, axes: Any) -> int:
        shape = self.values[x].shape
        picked = range(len(shape)) if axes is None else [axes] if isinstance(axes, int) else axes
        return int(np.prod([shape[axis] for axis in picked]))

    def reductions(self, x: int) -> Sequence[str]:
        raise NotImplementedError

    def make_reduce(self, x: int) -> None:
        axes, keep = self.axes(x), self.random.random() < 0.4
        count = self.extent_of(x, axes)
        name = self.random.choice(self.reductions(x))
        if name.startswith("arg") and isinstance(axes, tuple):
            axes = axes[0]
        low, high = self.intervals[x]
        interval = (low, high)
        if name == "sum":
            interval = (min(low * count, 0.0), max(high * count, 0.0))
        elif name in ("argmax", "argmin", "count_nonzero"):
            interval = (0.0, float(self.values[x].size))
        elif name == "logsumexp":
            interval = (low, high + np.log(max(count, 1)))
        elif name == "var":
            interval = (0.0, 2 * max(-low, high) ** 2)
        self.record(f"mx.{name}(a, axis={axes!r}, keepdims={keep})", [x], interval)

    def make_spread(self, x: int) -> None:
        """A value reduced along an axis meets what it came from, as in softmax."""
        if self.values[x].ndim == 0 or self.name(x) == "bool":
            return
        axis = self.random.randrange(-self.values[x].ndim, 0)
        low, high = self.intervals[x]
        self.record(f"a - mx.max(a, axis={axis}, keepdims=True)", [x], (low - high, high - low))

    def make_view(self, x: int) -> None:
        value, random = self.values[x], self.random
        ndim, texts = value.ndim, ["mx.expand_dims(a, 0)", "mx.flatten(a)", "mx.transpose(a)"]
        texts.append(f"mx.expand_dims(a, {random.randrange(-ndim - 1, ndim + 1)})")
        texts.append(f"mx.reshape(a, {self.factors(value.size)})")
        if ndim == 0:
            texts.append(f"mx.broadcast_to(a, {(random.choice((2, 3)), 5)})")
            return self.keep(random.choice(texts), x)
        axis = random.randrange(-ndim, ndim)
        order = list(range(ndim))
        random.shuffle(order)
        shape = (random.choice((1, 2, 3)), *(random.choice((1, 4)) if e == 1 else e for e in value.shape))
        widths = [(random.randrange(3), random.randrange(3)) for _ in value.shape]
        texts += [
            f"mx.transpose(a, {tuple(order)})",
            f"mx.broadcast_to(a, {shape})",
            f"mx.pad(a, {widths})",
            "mx.squeeze(a)" if value.size else "mx.flatten(a)",
            f"mx.moveaxis(a, {axis}, {random.randrange(ndim)})",
            f"mx.roll(a, {random.randrange(-3, 4)}, axis={axis})",
            f"mx.repeat(a, {random.choice((1, 2, 3))}, axis={axis})",
            f"mx.tile(a, {tuple(random.choice((1, 2)) for _ in value.shape)})",
            f"a[{', '.join(self.slice_text(extent) for extent in value.shape)}]",
            f"a[..., {random.randrange(-value.shape[-1], value.shape[-1])}]" if value.shape[-1] else "a[...]",
        ]
        if ndim >= 2:
            offset = random.randrange(-2, 3)
            texts += [f"mx.tril(a, {offset})", f"mx.triu(a, {offset})", f"mx.diagonal(a, {offset})"]
        return self.keep(random.choice(texts), x)

    def keep(self, text: str, *operands: int) -> None:
        """A step whose values are among those of its operands, and 0."""
        low = min(self.intervals[number][0] for number in operands)
        high = max(self.intervals[number][1] for number in operands)
        self.record(text, operands, (min(low, 0.0), max(high, 0.0)))

    def slice_text(self, extent: int) -> str:
        step = self.random.choice((1, 1, 1, 2, 3, -1, -2))
        if self.random.random() < 0.4:
            return f"::{step}"
        start, stop = sorted((self.random.randrange(extent + 1), self.random.randrange(extent + 1)))
        return f"{start}:{stop}:{step}" if step > 0 else f"{stop}:{start}:{step}"

    def factors(self, size: int) -> tuple[int, ...]:
        if size == 0:
            return (0, self.random.choice((1, 3)))
        shape = []
        for factor in (2, 3, 5, 17):
            if size % factor == 0 and self.random.random() < 0.5:
                shape.append(factor)
                size //= factor
        shape.insert(self.random.randrange(len(shape) + 1), size)
        return tuple(shape)

    def make_join(self, x: int) -> None:
        ndim = self.values[x].ndim
        same = [n for n, value in enumerate(self.values) if value.shape == self.values[x].shape]
        y = self.random.choice(same)
        if ndim == 0 or self.random.random() < 0.4:
            return self.keep(f"mx.stack([a, b], {self.random.randrange(-ndim - 1, ndim + 1)})", x, y)
        axis = self.random.randrange(-ndim, ndim)
        return self.keep(f"mx.concatenate([a, b, a], {axis})", x, y)

    def places(self, extent: int, distinct: bool = False) -> list[int]:
        count = self.random.choice((1, 2, 3, 7))
        if distinct:
            return self.random.sample(range(extent), min(count, extent))
        return [self.random.randrange(-extent, extent) for _ in range(count)]

    def make_read(self, x: int) -> None:
        value, random = self.values[x], self.random
        if value.size == 0 or value.ndim == 0:
            return None
        axis = random.randrange(value.ndim)
        places = self.places(value.shape[axis])
        lead = ":, " * axis
        texts = [f"mx.take(a, mx.array({places}), axis={axis})", f"a[{lead}mx.array({places})]"]
        texts.append(f"a[{lead}mx.array({[places, places[::-1]]})]")
        if value.ndim >= 2:
            other = [random.randrange(value.shape[1]) for _ in self.places(value.shape[0])]
            first = [random.randrange(value.shape[0]) for _ in other]
            texts.append(f"a[mx.array({first}), mx.array({other})]")
            texts.append(f"a[mx.array({first})[:, None], mx.array({other})]")
            texts.append(f"a[mx.array({first}), ..., {random.randrange(value.shape[-1])}]")
        along = random.choices(range(value.shape[axis]), k=value.size)
        index = np.array(along).reshape(value.shape).tolist()
        if value.size < 100:
            texts.append(f"mx.take_along_axis(a, mx.array({index}), axis={axis})")
        return self.keep(random.choice(texts), x)

    def make_write(self, x: int) -> None:
        value, random = self.values[x], self.random
        if value.size == 0 or value.ndim == 0:
            return None
        forms = []
        places = self.places(value.shape[0], distinct=True)
        for index in (
            f"mx.array({places})",
            f"({', '.join(f'slice({t})' for t in self.slice_arguments(value.shape))},)",
            str(random.randrange(value.shape[0])),
            "..." if random.random() < 0.3 else f"(..., {random.randrange(value.shape[-1])})",
        ):
            part = eval(f"a[{index}]", {"a": value, "mx": mx}).shape
            # The value written broadcasts to the part.
            fitting = [n for n, v in enumerate(self.values) if v.shape == part[max(len(part) - v.ndim, 0) :]]
            if fitting:
                forms.append((index, random.choice(fitting)))
        if not forms:
            return self.keep(f"written(mx, a, {random.randrange(value.shape[0])}, 1)", x)
        index, y = random.choice(forms)
        if not self.may_cast(y, self.name(x)):
            return None
        if random.random() < 0.3 and self.name(x) != "bool":
            low, high = self.intervals[x]
            method = random.choice(("add", "subtract", "maximum", "minimum"))
            reach = self.magnitude(y)
            self.record(f"a.at[{index}].{method}(b)", [x, y], (low - reach, high + reach))
            return None
        return self.keep(f"written(mx, a, {index}, b)", x, y)

    def slice_arguments(self, shape: Sequence[int]) -> list[str]:
        texts = []
        for extent in shape[: self.random.randrange(1, len(shape) + 1)]:
            step = self.random.choice((1, 1, 2, -1))
            start, stop = sorted((self.random.randrange(extent + 1), self.random.randrange(extent + 1)))
            if self.random.random() < 0.5:
                texts.append("None")
            else:
                texts.append(f"{start}, {stop}, {step}" if step > 0 else "None, None, -1")
        return texts

    def may_cast(self, x: int, name: str) -> bool:
        """Whether the values of x mean the same in another dtype."""
        raise NotImplementedError

    def make_cast(self, x: int) -> None:
        name = self.random.choice(self.cast_targets())
        if self.may_cast(x, name):
            suffix = "_" if name == "bool" else ""
            self.record(f"a.astype(mx.{name}{suffix})", [x], self.intervals[x])

    def cast_targets(self) -> Sequence[str]:
        raise NotImplementedError

    def make_product(self, x: int) -> None:
        if self.name(x) not in FLOATS + COMPLEX or self.values[x].ndim == 0 or self.values[x].size == 0:
            return
        length = self.values[x].shape[-1]
        forms = []
        for y, value in enumerate(self.values):
            if self.name(y) not in FLOATS + COMPLEX or value.ndim == 0 or value.size == 0:
                continue
            if value.shape[-1] == length:
                forms.append(("mx.inner(a, b)", y))
                if value.ndim >= 2:
                    forms.append(("a @ mx.swapaxes(b, -1, -2)", y))
            if value.ndim >= 2 and value.shape[-2] == length:
                forms.append(("a @ b", y))
        self.random.shuffle(forms)
        reach = length * self.magnitude(x)
        for text, y in forms[:3]:
            if "@" in text and not self.batches_fit(x, y):
                continue
            bound = reach * self.magnitude(y)
            self.record(text, [x, y], (-bound, bound))
            return

    def batches_fit(self, x: int, y: int) -> bool:
        try:
            np.broadcast_shapes(self.values[x].shape[:-2], self.values[y].shape[:-2])
        except ValueError:
            return False
        return True

    def make_choose(self, x: int) -> None:
        conditions = [n for n in range(len(self.values)) if self.name(n) == "bool"]
        y = self.partner(x)
        if not conditions or y is None:
            return
        condition = self.random.choice(conditions)
        shapes = [self.values[n].shape for n in (condition, x, y)]
        try:
            np.broadcast_shapes(*shapes)
        except ValueError:
            return
        self.keep("mx.where(a, b, c)", condition, x, y)

    def scans(self, x: int) -> Sequence[str]:
        raise NotImplementedError

    def make_scan(self, x: int) -> None:
        value = self.values[x]
        names = self.scans(x)
        if value.ndim == 0 or not names:
            return
        axis = self.random.randrange(-value.ndim, value.ndim)
        name = self.random.choice(names)
        reverse, inclusive = self.random.random() < 0.4, self.random.random() < 0.7
        count = value.shape[axis] if name == "cumsum" else 1
        low, high = self.intervals[x]
        if name in ("cummax", "cummin", "logcumsumexp"):
            inclusive = True
            high += np.log(max(value.shape[axis], 1)) if name == "logcumsumexp" else 0.0
        interval = (min(low * count, 0.0), max(high * count, 0.0))
        self.record(f"mx.{name}(a, axis={axis}, reverse={reverse}, inclusive={inclusive})", [x], interval)

    def sorts(self) -> Sequence[str]:
        raise NotImplementedError

    def make_sort(self, x: int) -> None:
        value = self.values[x]
        if value.ndim == 0 or value.size == 0 or self.name(x) in (*COMPLEX, "bool"):
            return
        axis = self.random.randrange(-value.ndim, value.ndim)
        name = self.random.choice(self.sorts())
        low, high = self.intervals[x]
        if name == "argsort":
            self.record(f"mx.argsort(a, axis={axis})", [x], (0.0, float(value.shape[axis])))
            return
        extra = f"{self.random.randrange(1, value.shape[axis] + 1)}, " if name == "topk" else ""
        text = f"mx.{name}(a, {extra}axis={axis})"
        # The k largest come in any order.
        self.record(f"mx.sort({text}, axis={axis})" if name == "topk" else text, [x], (low, high))
