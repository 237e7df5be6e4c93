"""A report on costs as a page to keep, print or send: sums, a picture of the cost of each day by model, and tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beastmode.cli import cost_words as words
from beastmode.cli import figures
from beastmode.cli.cost_text import steps
from beastmode.cli.html_page import COLOURS, document, escaped, table, tiles

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 960, 280, 70, 30, 10
_LABELS_MAX = 12
_OTHERS = "others"
_HEAD = ("Requests", "Failed", "Cached", "Prompt tokens", "Answer tokens", "Cost", "Saved", "Mean latency")


def page(found: Mapping[str, Any]) -> str:
    """Writes the report.

    Args:
        found: From `cost.statement`.
    """
    title = words.title(found)
    return document(title, _parts(title, found))


def _parts(title: str, found: Mapping[str, Any]) -> Iterator[str]:
    total = found["total"]
    yield f'<h1>{escaped(title)}</h1><p class="soft">{escaped(words.scope(found))}</p>'
    yield tiles(_tiles(found))
    if said := words.unknown(total):
        yield f"<p>{escaped(said[0].upper() + said[1:])}.</p>"
    over_time = found["over_time"]
    yield f"<h2>Cost a {escaped(over_time['step'])} by model</h2>"
    yield _picture(over_time) if over_time["points"] else "<p>No request in this time.</p>"
    yield "<h2>By model</h2>"
    yield _lines("Costs by model", "Model", [(str(one["key"]), one) for one in found["models"]], total)
    if found["by"] != "model":
        yield f"<h2>By {escaped(found['by'])}</h2>"
        rows = [(words.name(found, one["key"]), one) for one in found["rows"]]
        yield _lines(f"Costs by {found['by']}", found["by"].capitalize(), rows, total)
        yield f'<p class="soft">{escaped(words.tags_note(found))}</p>'
    yield _kinds(found)
    if parts := words.origins(total):
        yield "<h2>Who caused it</h2>" + table(
            "Costs by origin",
            ("Origin", "Requests", "Cost", "Unknown"),
            [
                (who, f"{one['requests']:,}", words.money({**one, "cost_usd": one["usd"]}), str(one["unknown"]))
                for who, one in parts
            ],
        )
    yield _notes(found)


def _tiles(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    total = found["total"]
    savings = found["savings"]
    known = f"{total['unknown']:,} of unknown cost" if total["unknown"] else "all costs known"
    shown = [
        ("Spent", words.money(total), known),
        (
            "Saved by the cache",
            words.money(savings["cache"], "usd"),
            f"{words.percent(total['saved_percent'])} of what it would have cost",
        ),
    ]
    if "routing" in savings:
        routed = words.money(savings["routing"], "usd")
        shown.append(("Saved by routing", routed, f"against {savings['routing']['baseline']}"))
    mean = figures.duration(total["latency_ms"]) if total["success"] else "-"
    return [
        *shown,
        ("Requests", f"{total['requests']:,}", words.counted(total)),
        ("Mean latency", mean, "of successes"),
    ]


def _lines(caption: str, first: str, rows: Sequence[tuple[str, Mapping[str, Any]]], total: Mapping[str, Any]) -> str:
    shown = [words.cells(name, one) for name, one in rows]
    return table(caption, (first, *_HEAD), shown, words.cells("Total", total))


def _kinds(found: Mapping[str, Any]) -> str:
    rows = [
        (label.capitalize(), f"{one['requests']:,}", words.money(one), words.money(one, "saved_usd"))
        for kind, label in words.KINDS.items()
        for one in [found["kinds"][kind]]
    ]
    return "<h2>Custom models and providers</h2>" + table(
        "Costs of custom models and of providers", ("Whose", "Requests", "Cost", "Saved"), rows
    )


def _notes(found: Mapping[str, Any]) -> str:
    said = [f"Saved: {one}." for one in words.savings(found)]
    if found["left_out"]:
        said.append(f"{found['left_out']:,} cheaper lines are left out; the total has them.")
    said.append(
        "Requests, latency and cached answers are those of persons; tokens and costs are those of every origin."
    )
    items = "".join(f"<li>{escaped(one)}</li>" for one in said)
    return f'<h2>How it was counted</h2><ul class="soft">{items}</ul>'


def _picture(over_time: Mapping[str, Any]) -> str:
    """Bars of each day, a colour a model; the table below it says the same in figures."""
    points = {point["key"]: point for point in over_time["points"]}
    names = _named(over_time["points"])
    keys = steps(min(points), max(points))
    rows = [_stack(points[key]["models"], names) if key in points else [0.0] * len(names) for key in keys]
    legend = "".join(f'<li><i class="s{n}"></i>{escaped(name)}</li>' for n, name in enumerate(names))
    most = max(sum(row) for row in rows)
    label = f"Cost a {over_time['step']} from {keys[0]} to {keys[-1]}, most {words.dollars(most)}"
    known = [(key, row) for key, row in zip(keys, rows, strict=True) if key in points]
    figures_table = table(
        "The picture as figures",
        (over_time["step"].capitalize(), *names, "All"),
        [(key, *(words.dollars(cost) for cost in row), words.money(points[key])) for key, row in known],
    )
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Picture">'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escaped(label)}">'
        f"{_grid(_top(most))}{_bars(keys, rows, names, _top(most))}</svg></div>"
        f'<ul class="legend">{legend}</ul><details><summary>As figures</summary>{figures_table}</details>'
    )


def _named(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """The dearest models by name; the rest together."""
    sums: dict[str, float] = {}
    for point in points:
        for model, cost in point["models"].items():
            sums[model] = sums.get(model, 0.0) + (cost or 0.0)
    costly = {model: cost for model, cost in sums.items() if cost} or sums  # what costs nothing has no bar
    ranked = sorted(costly, key=lambda model: (-sums[model], model))
    return ranked if len(ranked) <= COLOURS else [*ranked[: COLOURS - 1], _OTHERS]


def _stack(models: Mapping[str, float | None], names: Sequence[str]) -> list[float]:
    row = [models.get(name) or 0.0 for name in names]
    if names[-1] == _OTHERS:
        row[-1] = sum(cost or 0.0 for model, cost in models.items() if model not in names)
    return row


def _top(most: float) -> float:
    """The upper end of the axis: 1, 2 or 5 times a power of ten."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 2, 5, 10) if most <= step * power * (1 + 1e-9))


def _grid(top: float) -> str:
    parts = []
    for number in range(5):
        y = _y(top * number / 4, top)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        amount = escaped(words.dollars(top * number / 4))
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{amount}</text>')
    return "".join(parts)


def _y(cost: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (cost / top) * (_HEIGHT - _BOTTOM - _TOP)


def _bars(keys: Sequence[str], rows: Sequence[Sequence[float]], names: Sequence[str], top: float) -> str:
    step = (_WIDTH - _LEFT) / len(keys)
    width = min(step * 0.8, 60.0)
    every = math.ceil(len(keys) / _LABELS_MAX)
    parts = []
    for number, (key, row) in enumerate(zip(keys, rows, strict=True)):
        x = _LEFT + step * number + (step - width) / 2
        below = 0.0
        for colour, cost in enumerate(row):
            if not cost:
                continue
            y = _y(below + cost, top)
            height = _y(below, top) - y
            told = escaped(f"{key}: {names[colour]} {words.dollars(cost)}")
            place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.2f}"'
            parts.append(f'<rect class="f{colour}" {place}><title>{told}</title></rect>')
            below += cost
        if number % every == 0:
            text = key[5:] if len(key) > len("2026-11") else key
            parts.append(f'<text x="{x + width / 2:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{escaped(text)}</text>')
    return "".join(parts)
