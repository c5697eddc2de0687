"""From figures to verdicts, and the table in text and Markdown."""

from __future__ import annotations

from typing import Any

from benchmarks.libraries import LIBRARY_NAMES
from benchmarks.machine import bandwidth_near
from benchmarks.workload import COUNTED_PEERS, Bar, Workload

UNITS = {"ms": 1e3, "us": 1e6, "MiB": 1 / (1 << 20)}


def judge(workload: Workload, result: dict[str, Any], peaks: dict[str, Any], quick: bool) -> dict[str, Any]:
    """Add to a result: figures in the workload's unit, best peer, ratio, rates and a verdict for each bar."""
    figures = result["figures"]
    scale = UNITS[workload.unit]
    values = {name: entry["value"] for name, entry in figures.items() if "value" in entry}
    judged = {
        **result,
        "unit": workload.unit,
        "ours": workload.ours,
        "values": {name: value * scale for name, value in values.items()},
        "rates": {} if quick else rates(workload, values.get(workload.ours), peaks),
        "bars": [],
    }
    counted = tuple(name for bar in workload.bars if bar.kind == "ratio" for name in bar.against)
    best = best_peer(values, counted or COUNTED_PEERS)
    judged["best_peer"] = best
    ours = values.get(workload.ours)
    judged["ratio"] = ours / values[best] if ours is not None and best is not None else None
    for bar in workload.bars:
        judged["bars"].append(verdict(bar, workload, judged, figures.get(workload.ours, {}), values, quick))
    return judged


def best_peer(values: dict[str, float], names: tuple[str, ...]) -> str | None:
    """The fastest of the named libraries that have a figure."""
    present = [name for name in dict.fromkeys(names) if name in values]
    return min(present, key=lambda name: values[name]) if present else None


def rates(workload: Workload, seconds: float | None, peaks: dict[str, Any]) -> dict[str, float]:
    """GFLOP/s and GB/s of our run, and their fractions of the machine's measured peaks."""
    found: dict[str, float] = {}
    flops, traffic = workload.flops(), workload.traffic()
    if seconds is None or seconds <= 0:
        return found
    if flops is not None:
        found["gflops"] = flops / seconds / 1e9
        found["flops_fraction"] = flops / seconds / peaks["flops"]
    if traffic is not None:
        found["gigabytes"] = traffic / seconds / 1e9
        found["bandwidth_fraction"] = traffic / seconds / bandwidth_near(peaks, traffic)
    return found


def verdict(
    bar: Bar,
    workload: Workload,
    judged: dict[str, Any],
    ours: dict[str, Any],
    values: dict[str, float],
    quick: bool,
) -> dict[str, Any]:
    """What a bar asks, what was reached, and `ok`, `miss` or why there is no verdict."""
    against = " or ".join(bar.against)
    entry: dict[str, Any] = {"kind": bar.kind, "limit": bar.limit, "value": None, "peer": against}
    if "value" not in ours:
        failed = ours.get("failed", False)
        return {**entry, "verdict": "failed" if failed else "not run", "reason": ours.get("reason")}
    if bar.kind == "ratio":
        peer = best_peer(values, bar.against)
        if peer is None:
            return {**entry, "verdict": "no peer"}
        entry["peer"] = peer
        entry["value"] = ours["value"] / values[peer]
    elif bar.kind == "absolute":
        entry["value"] = judged["values"][workload.ours]
    elif bar.kind == "compilations":
        entry["value"] = ours.get("compilations")
    else:
        entry["value"] = judged["rates"].get(f"{bar.kind}_fraction")
    if entry["value"] is None:
        return {**entry, "verdict": "no figure"}
    if quick and bar.kind != "compilations":
        return {**entry, "verdict": "quick run"}
    return {**entry, "verdict": "ok" if bar.is_met(entry["value"]) else "miss"}


def number(value: float | None) -> str:
    """Three significant digits, without an exponent."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    if abs(value) < 0.1:
        digits = 4 if abs(value) >= 0.01 else 5
    return f"{value:.{digits}f}"


def bar_text(entry: dict[str, Any]) -> str:
    """A bar as the table shows it, with its verdict: `0.81 <= 0.75 torch: miss`."""
    signs = {"ratio": "<=", "absolute": "<=", "compilations": "<=", "bandwidth": ">=", "flops": ">="}
    names = {"ratio": f"of {entry['peer']}", "absolute": "", "compilations": "compilations"}
    name = names.get(entry["kind"], f"of peak {entry['kind']}")
    words = [number(entry["value"]), signs[entry["kind"]], number(entry["limit"]), name]
    return " ".join(word for word in words if word) + f": {entry['verdict']}"


def rate_text(rates_found: dict[str, float], key: str, fraction: str) -> str:
    if key not in rates_found:
        return ""
    return f"{number(rates_found[key])} ({100 * rates_found[fraction]:.0f}%)"


def table_rows(results: list[dict[str, Any]]) -> list[list[str]]:
    """Header and one row for each workload."""
    names = [name for name in LIBRARY_NAMES if any(name in result["figures"] for result in results)]
    header = ["workload", "unit", *names, "ratio", "GFLOP/s", "GB/s", "bars"]
    rows = [header]
    for result in results:
        cells = []
        for name in names:
            entry = result["figures"].get(name)
            if entry is None:
                cells.append("")
            elif "value" in entry:
                cells.append(number(result["values"][name]))
            else:
                cells.append("failed" if entry.get("failed") else "-")
        noted = " (busy machine)" if is_disturbed(result) else ""
        rows.append(
            [
                result["name"],
                result["unit"],
                *cells,
                number(result["ratio"]),
                rate_text(result["rates"], "gflops", "flops_fraction"),
                rate_text(result["rates"], "gigabytes", "bandwidth_fraction"),
                "; ".join(map(bar_text, result["bars"])) + noted,
            ]
        )
    return rows


def is_disturbed(result: dict[str, Any]) -> bool:
    """Whether some library had fewer than two turns without other processes in the way."""
    entries = [entry for entry in result["figures"].values() if "value" in entry]
    return any(entry["turns"] - entry["disturbed_turns"] < min(2, entry["turns"]) for entry in entries)


def plain_table(results: list[dict[str, Any]]) -> str:
    """Columns padded with spaces; numbers to the right."""
    rows = table_rows(results)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
        cells += [cell.rjust(width) for cell, width in zip(row[2:-1], widths[2:-1])]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    return "\n".join(lines)


def problems(results: list[dict[str, Any]]) -> list[str]:
    """Why figures are missing."""
    return [
        f"{result['name']}, {name}: {entry['reason']}"
        for result in results
        for name, entry in result["figures"].items()
        if "reason" in entry and entry["reason"] != "no samples"
    ]


def markdown(document: dict[str, Any]) -> str:
    """The whole report as a page: machine, table, what each workload is compared with."""
    results = document["results"]
    rows = table_rows(results)
    lines = ["# Benchmarks", "", machine_text(document), ""]
    lines += ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(row) + " |" for row in rows[1:]]
    lines += ["", "## Workloads", "", "| name | what | compared with |", "|---|---|---|"]
    lines += [f"| {result['name']} | {result['title']} | {result['against']} |" for result in results]
    found = problems(results)
    if found:
        lines += ["", "## Not run", "", *[f"- {problem}" for problem in found]]
    return "\n".join(lines) + "\n"


def machine_text(document: dict[str, Any]) -> str:
    """One paragraph: date, machine, peaks, versions."""
    facts, peaks = document["machine"], document["peaks"]
    sizes = sorted(peaks["bandwidth"], key=int)
    bandwidths = ", ".join(
        f"{int(size) >> 20} MiB {number(peaks['bandwidth'][size] / 1e9)}" for size in sizes
    )
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    kind = "A quick run: the figures mean nothing. " if document["quick"] else ""
    return (
        f"{kind}{document['date']}, {facts['processor']}, {facts['threads']} threads of {facts['cores']} "
        f"cores, Python {facts['python']}. Measured peaks: {number(peaks['flops'] / 1e9)} GFLOP/s; copies in "
        f"GB/s, by bytes read and written: {bandwidths}. Versions: {versions}. Figures are low quantiles; a "
        "ratio is Tarry over the best counted peer."
    )
