"""The numbers of `beast monitor` as lines that fit: the dashboard's panels, from the most to the least urgent."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from beastmode.cli import figures
from beastmode.cli.screen import CONTROLS

Paint = Callable[[str, str], str]
WINDOW_KEYS = {"1": "1h", "2": "24h", "3": "7d", "4": "30d"}
_COLOUR = {"healthy": "green", "ok": "green", "degraded": "yellow"}
_OUTCOME_COLOUR = {"failure": "red", "refused": "yellow", "cancelled": "dim"}
_MODEL_HEAD = ("MODEL", "REQUESTS", "SUCCESS", "CACHED", "MEAN TIME", "COST", "SAVED")
_FEED_HEAD = ("TIME", "MODEL", "LATENCY", "COST", "CACHE", "OUTCOME")
_ISSUES_MAX, _MODELS_MAX, _ERRORS_MAX, _FEED_MAX = 3, 10, 3, 10


class Frame(NamedTuple):
    """The room there is.

    Attributes:
        columns: Its width; None: as much as is needed.
        rows: Its height; None: as much as is needed.
        live: It is drawn anew, and keys are read.
        banner: A line above everything else.
    """

    columns: int | None
    rows: int | None
    live: bool = False
    banner: str = ""


class Line(NamedTuple):
    """A line before it is cut and painted.

    Attributes:
        text: Plain text.
        style: For all of it; empty: none.
        lead: So many first characters get `lead_style` instead.
        lead_style: Their style.
    """

    text: str
    style: str = ""
    lead: int = 0
    lead_style: str = ""


def lines(seen: Mapping[str, Any], frame: Frame, paint: Paint) -> list[str]:
    """Writes what was seen as lines that fit the room.

    Args:
        seen: From `monitor.look`.
        frame: The room.
        paint: Gives a text its style.
    """
    top = [
        *_head(seen, frame),
        *_health(seen["metrics"]),
        *_history(seen["metrics"]),
        *_sums(seen["metrics"], seen.get("before")),
    ]
    panels = [
        _models(seen["models"], (seen["metrics"].get("health") or {}).get("models") or {}),
        _errors(seen["errors"]),
        _feed(seen["requests"][: _FEED_MAX if frame.rows is None else None]),
    ]
    fitted = _fitted(top, panels, frame.rows)
    return [_drawn(line, frame.columns, paint) for line in fitted]


def lost(error: Exception, seconds: float) -> str:
    """What is said while the daemon does not answer.

    Args:
        error: Why.
        seconds: For how long.
    """
    return f"no answer for {figures.span(seconds)}; these are the last figures. {error}"


def _fitted(top: list[Line], panels: Sequence[list[Line]], rows: int | None) -> list[Line]:
    """All panels where there is room; else each gets a fair part of what is left, the last one the rest."""
    blank = Line("")
    if rows is None:
        return [*top, *(line for panel in panels if panel for line in [blank, *panel])]
    left = rows - len(top)
    shown = [panel for panel in panels if panel]
    found = list(top)
    for number, panel in enumerate(shown):
        share = left if number == len(shown) - 1 else max(4, left // (len(shown) - number))
        part = panel[: max(0, min(share, left) - 1)]
        if len(part) > 1:
            found += [blank, *part]
            left -= 1 + len(part)
    return found[:rows]


def _drawn(line: Line, columns: int | None, paint: Paint) -> str:
    text = " ".join(line.text.translate(CONTROLS).splitlines())
    text = text if columns is None else cut(text, columns)
    if line.lead:
        lead, rest = text[: line.lead], text[line.lead :]
        return paint(lead, line.lead_style) + (paint(rest, line.style) if line.style and rest else rest)
    return paint(text, line.style) if line.style and text else text


def cut(text: str, columns: int) -> str:
    """As much of a text as fits; what is left out shows as an ellipsis.

    Args:
        text: Plain text.
        columns: How wide it may be; characters of the East are two wide.
    """
    if text.isascii():
        return text if len(text) <= columns else text[: columns - 1] + "…"
    if sum(map(_width, text)) <= columns:
        return text
    kept, room = "", columns - 1
    for sign in text:
        room -= _width(sign)
        if room < 0:
            break
        kept += sign
    return kept + "…"


def _width(sign: str) -> int:
    if unicodedata.combining(sign):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def _head(seen: Mapping[str, Any], frame: Frame) -> Iterator[Line]:
    if frame.banner:
        yield Line(frame.banner, "red")
    status = str((seen["metrics"].get("health") or {}).get("status", "unknown"))
    keys = "   1-4 window, q quit" if frame.live else ""
    text = f"{status}   last {seen['window']}, {figures.moment(seen['at'])}{keys}"
    yield Line(text, "", len(status), _COLOUR.get(status, "red"))


def _health(metrics: Mapping[str, Any]) -> Iterator[Line]:
    issues = (metrics.get("health") or {}).get("issues") or []
    for issue in issues[:_ISSUES_MAX]:
        tip = issue.get("tip") or ""
        tip = tip if isinstance(tip, str) else " ".join(tip)
        yield Line(f"  {issue.get('part')}: {issue.get('cause')}{f' Try: {tip}' if tip else ''}", "yellow")
    if len(issues) > _ISSUES_MAX:
        yield Line(f"  and {len(issues) - _ISSUES_MAX} more: beast status", "yellow")


def _history(metrics: Mapping[str, Any]) -> Iterator[Line]:
    history = metrics.get("history") or {"complete": True}
    if not history["complete"]:
        done = f"{100 * history['done']:.0f}%"
        yield Line(f"  history is being added up, {done} so far; the figures are right, and take longer", "yellow")


def _sums(metrics: Mapping[str, Any], before: Mapping[str, Any] | None) -> Iterator[Line]:
    requests, cache, costs = metrics["requests"], metrics["cache"], metrics["costs"]
    ended = " · ".join(f"{requests[name]:,} {name}" for name in ("success", "failure", "refused", "cancelled"))
    yield _row("requests", f"{requests['total']:,}{_change(requests['total'], before)}   {ended}")
    yield _row("latency", _times(metrics["latency_ms"]))
    yield _row("first text", _times(metrics["ttft_ms"]))
    rate = "-" if cache["hit_rate"] is None else f"{100 * cache['hit_rate']:.1f}%"
    yield _row(
        "hit rate", f"{rate}   {cache['exact']:,} exact · {cache['semantic']:,} by meaning · {cache['miss']:,} missed"
    )
    unknown = f" · {figures.count(costs['unknown'], 'request')} of unknown cost" if costs.get("unknown") else ""
    percent = "" if costs.get("saved_percent") is None else f" ({costs['saved_percent']:.1f}%)"
    routed = costs.get("saved_route_usd")
    more = "" if routed is None else f" · {figures.usd(routed)} by routing, against {costs.get('baseline')}"
    saved = f"{figures.usd(costs['saved_usd'])}{percent}{more}"
    yield _row("spent", f"{figures.usd(costs['total_usd'])}{unknown}   saved {saved}")


def _row(name: str, value: str) -> Line:
    return Line(f"{name:<11}{value}", "", 11, "bold")


def _change(now: int, before: Mapping[str, Any] | None) -> str:
    """Against the period before."""
    then = ((before or {}).get("requests") or {}).get("total")
    return f" ({100 * (now - then) / then:+.0f}%)" if then else ""


def _times(spread: Mapping[str, Any]) -> str:
    return " · ".join(f"{name} {figures.duration(spread.get(name))}" for name in ("p50", "p95", "p99"))


def _models(rows: Sequence[Mapping[str, Any]], health: Mapping[str, Mapping[str, Any]]) -> list[Line]:
    """A line for each model that was asked or paid; one that is not well says so in words, too."""
    rows = [row for row in rows if row["requests"] or row["cost_usd"]]
    states = [str((health.get(row["key"]) or {}).get("status") or "healthy") for row in rows[:_MODELS_MAX]]
    cells = [
        (
            str(row["key"]) if state == "healthy" else f"{row['key']} ({state})",
            f"{row['requests']:,}",
            _share(row["success"], row["success"] + row["failure"]),
            f"{row['hits']:,}",
            figures.duration(row["latency_ms"]) if row["success"] else "-",
            figures.usd(row["cost_usd"]) + ("+" if row["unknown"] and row["cost_usd"] is not None else ""),
            figures.usd(row["saved_usd"]),
        )
        for row, state in zip(rows[:_MODELS_MAX], states, strict=True)
    ]
    styles = ["bold", *("" if state == "healthy" else _COLOUR.get(state, "red") for state in states)]
    return [line._replace(style=style) for line, style in zip(_table(_MODEL_HEAD, cells), styles, strict=False)]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def _errors(errors: Sequence[Mapping[str, Any]]) -> list[Line]:
    found = []
    for one in errors[:_ERRORS_MAX]:
        tip = one.get("tip") or ""
        tip = tip if isinstance(tip, str) else " ".join(tip)
        head = f"{one.get('kind')} · {one.get('model')} · {one.get('count')} times, last {_clock(one.get('last_at'))}"
        found += [Line(head, "red"), *([Line(f"  {tip}")] if tip else [])]
    return [Line("ERRORS", "bold"), *found] if found else []


def _feed(rows: Sequence[Mapping[str, Any]]) -> list[Line]:
    if not rows:
        return [Line('no request yet; try: beast ask "hello"')]
    cells, styles = [], []
    for row in rows:
        cache = row.get("cache") or {}
        cells.append(
            (
                _clock(row.get("at")),
                str(row.get("model_served") or row.get("model") or ""),
                figures.duration(row.get("latency_ms")),
                figures.usd(row.get("cost_usd")),
                str(cache.get("result") or "-"),
                f"{row.get('outcome')}{': ' + row['error_kind'] if row.get('error_kind') else ''}",
            )
        )
        styles.append(_OUTCOME_COLOUR.get(str(row.get("outcome")), ""))
    head, *body = _table(_FEED_HEAD, cells)
    return [head, *(line._replace(style=style) for line, style in zip(body, styles, strict=True))]


def _clock(at: str | None) -> str:
    return figures.moment(at)[-8:] if at else "unknown"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Line]:
    if not rows:
        return []
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    texts = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]
    ]
    return [Line(texts[0], "bold"), *(Line(text) for text in texts[1:])]
