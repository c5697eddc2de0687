"""The chart of a report as SVG: for each workload the time of every peer relative to Tarry."""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

# Distinguishable for colour-blind readers: Okabe and Ito's palette.
COLORS = {
    "tarry": "#d55e00",
    "torch": "#0072b2",
    "torch.compile": "#56b4e9",
    "jax": "#009e73",
    "numpy": "#cc79a7",
    "mlx": "#999999",
}
WIDTH = 900
ROW = 26
LABEL_WIDTH = 200
VALUE_WIDTH = 110
TOP = 78
BOTTOM = 34
LOWEST, HIGHEST = 0.25, 16.0


def draw_chart(document: dict[str, Any]) -> str:
    """An SVG text. Right of the line at 1x a peer takes longer than Tarry; the axis is logarithmic."""
    results = [result for result in document["results"] if drawn_values(result)]
    height = TOP + ROW * len(results) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" role="img">',
        "<title>Time of each library relative to Tarry</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        text(16, 24, "Time relative to Tarry: right of the line, Tarry is faster", size=15, weight="bold"),
        *legend(results),
        *axis(height),
    ]
    for index, result in enumerate(results):
        parts += draw_row(result, TOP + ROW * index + ROW // 2, index)
    facts = document["machine"]
    note = f"{facts['processor']}, {facts['threads']} threads, {document['date']}"
    if document["quick"]:
        note = f"quick run, the figures mean nothing; {note}"
    parts.append(text(16, height - 10, note, size=11, fill="#666"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def drawn_values(result: dict[str, Any]) -> dict[str, float]:
    """Peers' figures relative to ours; empty where there is nothing to compare."""
    values = result["values"]
    ours = values.get(result["ours"])
    if ours is None or ours <= 0:
        return {}
    return {
        name: value / ours
        for name, value in values.items()
        if name != result["ours"] and name in COLORS and value > 0
    }


def position(ratio: float) -> float:
    """The place of a ratio on the axis; what lies beyond its ends is drawn at them."""
    left, right = LABEL_WIDTH, WIDTH - VALUE_WIDTH
    share = math.log(min(max(ratio, LOWEST), HIGHEST) / LOWEST) / math.log(HIGHEST / LOWEST)
    return left + share * (right - left)


def text(
    x: float,
    y: float,
    words: str,
    size: int = 12,
    anchor: str = "start",
    fill: str = "#222",
    weight: str = "normal",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}" '
        f'font-weight="{weight}">{escape(words)}</text>'
    )


def legend(results: list[dict[str, Any]]) -> list[str]:
    """A dot and a name for each peer in the chart."""
    used = {name for result in results for name in drawn_values(result)}
    parts, x = [], float(LABEL_WIDTH)
    for name in [name for name in COLORS if name in used]:
        parts.append(f'<circle cx="{x:.1f}" cy="44" r="5" fill="{COLORS[name]}"/>')
        parts.append(text(x + 9, 48, name))
        x += 30 + 7.5 * len(name)
    return parts


def axis(height: int) -> list[str]:
    """Vertical lines at powers of two, the one at 1 in Tarry's colour."""
    parts = []
    ratio = LOWEST
    while ratio <= HIGHEST:
        x, is_ours = position(ratio), ratio == 1
        color, width = (COLORS["tarry"], 2) if is_ours else ("#ddd", 1)
        parts.append(
            f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - BOTTOM}" stroke="{color}" '
            f'stroke-width="{width}"/>'
        )
        label = "Tarry" if is_ours else f"{ratio:g}x"
        parts.append(text(x, TOP - 10, label, size=11, anchor="middle", fill=color if is_ours else "#666"))
        ratio *= 2
    return parts


def draw_row(result: dict[str, Any], y: float, index: int) -> list[str]:
    """Name, a dot for each peer, our figure; a red figure misses its bar."""
    parts = []
    if index % 2 == 0:
        parts.append(f'<rect x="0" y="{y - ROW / 2:.1f}" width="{WIDTH}" height="{ROW}" fill="#f6f6f6"/>')
    parts.append(text(LABEL_WIDTH - 12, y + 4, result["name"], anchor="end"))
    for name, ratio in sorted(drawn_values(result).items()):
        shown = f"{name}: {ratio:.2f}x"
        parts.append(
            f'<circle cx="{position(ratio):.1f}" cy="{y:.1f}" r="5" fill="{COLORS[name]}">'
            f"<title>{escape(shown)}</title></circle>"
        )
    missed = any(entry["verdict"] in ("miss", "failed") for entry in result["bars"])
    figure = f"{result['values'][result['ours']]:.3g} {result['unit']}"
    parts.append(text(WIDTH - 12, y + 4, figure, anchor="end", fill="#b00020" if missed else "#222"))
    return parts
