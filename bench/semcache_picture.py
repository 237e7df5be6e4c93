"""Draws hit rate against wrong hits, one panel a stream, as SVG."""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, TOP, GAP = 330, 300, 60, 60, 70
COLOURS = ["#777777", "#d95f02", "#7570b3", "#1b9e77", "#66a61e", "#e7298a", "#a6761d"]
LEAST, MOST = 1e-4, 1.0
TARGET = 0.01


def picture(streams: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Returns the picture of all streams.

    Args:
        streams: For each stream and policy, `hit_rate` and `wrong_per_hit`.
    """
    width = LEFT + len(streams) * (WIDTH + GAP)
    names = list(next(iter(streams.values())))
    height = TOP + HEIGHT + 60 + 18 * len(names)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="16">Hit rate against wrong hits (left and high is better)</text>',
    ]
    for place, (stream, table) in enumerate(streams.items()):
        parts += _panel(LEFT + place * (WIDTH + GAP), stream, table)
    for place, name in enumerate(names):
        y = TOP + HEIGHT + 58 + 18 * place
        parts.append(f'<circle cx="{LEFT + 6}" cy="{y - 4}" r="5" fill="{COLOURS[place % len(COLOURS)]}"/>')
        parts.append(f'<text x="{LEFT + 18}" y="{y}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(left: int, share: float) -> float:
    return left + WIDTH * (math.log10(max(LEAST, share)) - math.log10(LEAST)) / (math.log10(MOST) - math.log10(LEAST))


def _panel(left: int, stream: str, table: dict[str, dict[str, Any]]) -> list[str]:
    most = max(row["possible"] for row in table.values())
    scale: float = max(0.1, 1.15 * max(most, *(row["hit_rate"] for row in table.values())))

    def y(rate: float) -> float:
        return TOP + HEIGHT * (1 - rate / scale)

    parts = [
        f'<text x="{left}" y="{TOP - 10}" font-weight="bold">{escape(stream)}</text>',
        f'<rect x="{left}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>',
        f'<line x1="{_x(left, TARGET):.1f}" x2="{_x(left, TARGET):.1f}" y1="{TOP}" y2="{TOP + HEIGHT}" '
        'stroke="#c00" stroke-dasharray="4 3"/>',
        f'<line x1="{left}" x2="{left + WIDTH}" y1="{y(most):.1f}" y2="{y(most):.1f}" '
        'stroke="#090" stroke-dasharray="4 3"/>',
        f'<text x="{left + WIDTH / 2}" y="{TOP + HEIGHT + 34}" text-anchor="middle">'
        "wrong hits / hits (red: the target; green: what could hit)</text>",
    ]
    for tick in (0.0001, 0.001, 0.01, 0.1, 1.0):
        label = "none" if tick == LEAST else f"{tick:g}"
        parts.append(f'<text x="{_x(left, tick):.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{label}</text>')
    for step in range(5):
        rate = scale * step / 4
        parts.append(f'<text x="{left - 6}" y="{y(rate) + 4:.1f}" text-anchor="end">{rate:.2f}</text>')
    for place, (name, row) in enumerate(table.items()):
        at = f'cx="{_x(left, row["wrong_per_hit"] or 0.0):.1f}" cy="{y(row["hit_rate"]):.1f}"'
        colour = COLOURS[place % len(COLOURS)]
        parts.append(f'<circle {at} r="6" fill="{colour}" fill-opacity="0.8"><title>{escape(name)}</title></circle>')
    return parts
