"""Draws requests per second and CPU per request of every contender, one panel a kind, as SVG."""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

WIDTH, LEFT, TOP, ROW, GAP, ACROSS = 260, 130, 70, 18, 60, 4
COLOURS = {
    "direct": "#bbbbbb",
    "pass-through": "#7570b3",
    "beast": "#1b9e77",
    "LiteLLM": "#d95f02",
    "Portkey": "#e7298a",
}
PANELS = (
    ("hit", "per_s", "exact hits per second"),
    ("miss", "per_s", "relayed misses per second"),
    ("stream", "per_s", "streams per second (20 chunks, 5 ms apart)"),
    ("miss", "cpu_us", "CPU of a miss, microseconds"),
    ("stream", "cpu_us", "CPU of a stream, microseconds"),
    ("paced", "p50_us", "time of a miss at 500 a second, median, microseconds"),
    ("stream", "first_p50_us", "time to the first chunk, median, microseconds"),
)


def picture(contenders: dict[str, dict[str, Any]]) -> str:
    """Returns the picture of all figures; bars are logarithmic, numbers stand beside them.

    Args:
        contenders: For each contender, kind and number of connections, the figures.
    """
    panels = [_bars(contenders, kind, key) for kind, key, _ in PANELS]
    tall = max(len(bars) for bars in panels) * ROW + 50
    width, height = ACROSS * (LEFT + WIDTH + GAP), TOP + -(-len(PANELS) // ACROSS) * tall
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        '<text x="20" y="24" font-size="16">One core for the gateway, by connections; bars are logarithmic</text>',
    ]
    for place, ((_, _, title), bars) in enumerate(zip(PANELS, panels, strict=True)):
        left, top = LEFT + place % ACROSS * (LEFT + WIDTH + GAP), TOP + place // ACROSS * tall
        parts.append(f'<text x="{left - LEFT + 20}" y="{top - 10}" font-weight="bold">{escape(title)}</text>')
        parts += _panel(left, top, bars)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bars(contenders: dict[str, dict[str, Any]], kind: str, key: str) -> list[tuple[str, str, float]]:
    """Contender, connections and value of every bar."""
    counts = list(contenders["direct"][kind])
    return [
        (name, count, table[kind][count][key])
        for count in counts
        for name, table in contenders.items()
        if kind in table and key in table[kind][count]
    ]


def _panel(left: int, top: int, bars: list[tuple[str, str, float]]) -> list[str]:
    least = min((value for _, _, value in bars if value > 0), default=1.0) / 2
    most = max((value for _, _, value in bars), default=1.0)
    parts = []
    for place, (name, count, value) in enumerate(bars):
        y = top + place * ROW
        share = math.log(max(value, least) / least) / math.log(max(most, 2 * least) / least)
        colour = COLOURS.get(name, "#666666")
        parts.append(f'<text x="{left - 6}" y="{y + 12}" text-anchor="end">{escape(name)} · {count}</text>')
        parts.append(f'<rect x="{left}" y="{y}" width="{max(1.0, WIDTH * share):.1f}" height="14" fill="{colour}"/>')
        parts.append(f'<text x="{left + WIDTH * share + 4:.1f}" y="{y + 12}">{value:,.0f}</text>')
    return parts
