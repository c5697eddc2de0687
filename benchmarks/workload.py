"""What is measured: a workload has inputs, one program for each family of libraries, and bars to meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.libraries import Library, Unavailable

# The peers that count for "the best peer"; MLX is shown beside them.
COUNTED_PEERS = ("torch", "torch.compile", "jax", "numpy")
# Results may differ by noise alone: a ratio within 5% of its bar meets it.
NOISE = 1.05
FINGERPRINT_SAMPLES = 512


class Bar:
    """What a workload has to reach.

    `kind` says what `limit` bounds: `ratio` (our figure over the best one of `against`, at most), `absolute`
    (our figure in the workload's unit, at most), `bandwidth` or `flops` (our rate over the machine's measured
    peak, at least), `compilations` (during the timed runs, at most).
    """

    KINDS = ("ratio", "absolute", "bandwidth", "flops", "compilations")

    def __init__(self, kind: str, limit: float, against: Sequence[str] = COUNTED_PEERS) -> None:
        if kind not in self.KINDS:
            raise ValueError(f"[Bar] expected one of {', '.join(self.KINDS)}, got {kind!r}")
        self.kind = kind
        self.limit = limit
        self.against = tuple(against)

    def is_met(self, value: float) -> bool:
        """Whether a ratio, figure, fraction of the peak or count is good enough."""
        if self.kind in ("bandwidth", "flops"):
            return value >= self.limit
        if self.kind == "ratio":
            return value <= self.limit * NOISE
        return value <= self.limit


class Program:
    """A workload in one library, ready to run.

    `run` computes everything and returns the results. `before` prepares a run outside the clock. `measure`
    replaces the clock: it returns the figure itself. `limit` bounds the number of runs.
    """

    def __init__(
        self,
        run: Callable[[], Any],
        before: Callable[[], None] | None = None,
        measure: Callable[[], float] | None = None,
        check: Callable[[], Any] | None = None,
        limit: int | None = None,
    ) -> None:
        self.run = run
        self.before = before
        self.measure = measure
        self.check = check if check is not None else run
        self.limit = limit


class Workload:
    """Base class: `name` (for --only), `title`, `against` (the peers' functions), `bars`, `unit`."""

    unit = "ms"
    quantile = 0.2
    ours = "tarry"
    libraries: tuple[str, ...] = ("tarry", "torch", "torch.compile", "jax", "numpy", "mlx")
    tolerance = 1e-4
    # Elementary steps in one run; the figure is the time of one step.
    steps = 1

    def __init__(self, name: str, title: str, against: str, bars: Sequence[Bar]) -> None:
        self.name = name
        self.title = title
        self.against = against
        self.bars = tuple(bars)

    def flops(self) -> float | None:
        """Floating-point operations of one run at full size, where a roofline says something."""
        return None

    def traffic(self) -> float | None:
        """Bytes that one run at full size must read and write at least."""
        return None

    def program(self, library: Library, quick: bool) -> Program:
        """Build the workload in a library; raises `Unavailable` where it cannot be done."""
        raise NotImplementedError


class FunctionWorkload(Workload):
    """A pure function of some arrays: `functions` makes it from a family's module.

    `inputs(quick)` gives NumPy arrays, the same ones in every process.
    """

    def __init__(
        self,
        name: str,
        title: str,
        against: str,
        bars: Sequence[Bar],
        inputs: Callable[[bool], Sequence[np.ndarray]],
        functions: Mapping[str, Callable[[Any], Callable[..., Any]]],
        flops: float | None = None,
        traffic: float | None = None,
        tolerance: float = 1e-4,
    ) -> None:
        super().__init__(name, title, against, bars)
        self.inputs = inputs
        self.functions = functions
        self.tolerance = tolerance
        self._flops = flops
        self._traffic = traffic

    def flops(self) -> float | None:
        return self._flops

    def traffic(self) -> float | None:
        return self._traffic

    def program(self, library: Library, quick: bool) -> Program:
        if library.family not in self.functions:
            raise Unavailable(f"{self.name} is not written for {library.name}")
        function = library.compile(self.functions[library.family](library.module))
        arguments = [library.array(values) for values in self.inputs(quick)]
        wait = library.wait
        return Program(lambda: wait(function(*arguments)))


def generator(name: str) -> np.random.Generator:
    """Random numbers that depend on the name alone: every process makes the same ones."""
    return np.random.default_rng([ord(letter) for letter in name])


def leaves_of(value: Any) -> list[Any]:
    """The arrays in nested tuples, lists and dictionaries, in order."""
    if isinstance(value, Mapping):
        return [leaf for key in sorted(value) for leaf in leaves_of(value[key])]
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in leaves_of(item)]
    return [value]


def fingerprint(library: Library, value: Any) -> list[dict[str, Any]]:
    """Shape and some elements of every array in a result: enough to see that libraries agree."""
    prints = []
    leaves = leaves_of(value)
    samples = max(8, FINGERPRINT_SAMPLES // max(1, len(leaves)))
    for leaf in leaves:
        values = library.numpy(leaf)
        flat = np.asarray(values, dtype=np.float64).reshape(-1)
        places = np.unique(np.linspace(0, max(0, flat.size - 1), min(samples, flat.size)).astype(np.int64))
        scale = float(np.max(np.abs(flat))) if flat.size else 0.0
        prints.append({"shape": list(values.shape), "scale": scale, "values": flat[places].tolist()})
    return prints


def disagreement(expected: list[dict[str, Any]], given: list[dict[str, Any]], tolerance: float) -> str | None:
    """What differs between two fingerprints by more than `tolerance` of the largest element, or None."""
    if len(expected) != len(given):
        return f"{len(given)} arrays instead of {len(expected)}"
    for number, (one, other) in enumerate(zip(expected, given)):
        if one["shape"] != other["shape"]:
            return f"array {number} has shape {other['shape']} instead of {one['shape']}"
        difference = np.abs(np.subtract(one["values"], other["values"]))
        worst = float(np.max(difference, initial=0.0))
        if not worst <= tolerance * max(one["scale"], 1e-6):
            return f"array {number} differs by {worst:.3g} where its scale is {one['scale']:.3g}"
    return None
