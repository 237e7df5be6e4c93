"""The commands that tell: what it costs, how the daemon is, where its dashboard is, how the last answer came about."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pygls.exceptions import JsonRpcInvalidParams

from beastmode_lsp.arguments import take
from beastmode_lsp.costs import cost_line, duration, money
from beastmode_lsp.showing import show_text, show_uri

if TYPE_CHECKING:
    from beastmode.client import AsyncClient
    from beastmode_lsp.session import Session


def sums(total: dict[str, Any]) -> dict[str, Any]:
    """The four figures that editors show, of a total of `cost.report`.

    Args:
        total: Of the report.
    """
    requests, hits = total["requests"], total["hits"]
    return {
        "cost_usd": total["cost_usd"],
        "saved_usd": total["saved_usd"],
        "requests": requests,
        "hit_rate": hits / requests if requests else None,
    }


async def today(daemon: AsyncClient) -> dict[str, Any]:
    """The figures since midnight UTC.

    Args:
        daemon: Reaches the daemon.
    """
    day = time.strftime("%Y-%m-%d", time.gmtime())
    report: dict[str, Any] = await daemon.call("cost.report", {"by": "model", "from": day})
    return sums(report["total"])


def in_words(figures: dict[str, Any]) -> str:
    """Figures as one short line.

    Args:
        figures: Of `sums`.
    """
    rate = figures["hit_rate"]
    hits = f" · {round(100 * rate)}% from the cache" if rate is not None else ""
    return f"{money(figures['cost_usd'])}, saved {money(figures['saved_usd'])} · {figures['requests']} requests{hits}"


async def cost(session: Session, given: Any) -> dict[str, Any]:
    """`beast.cost`: what today and this month cost and saved.

    Args:
        session: Of the editor.
        given: The argument of the command.
    """
    take("beast.cost", given, {})
    day = await today(session.daemon)
    month = sums((await session.daemon.call("cost.report", {"by": "model"}))["total"])
    line = f"today {in_words(day)} · this month {in_words(month)}"
    if not session.has_views:
        session.say(f"BEAST: {line}")
    return {"today": day, "month": month, "line": line}


async def standing(daemon: AsyncClient) -> dict[str, Any]:
    """How the daemon is, for a status bar: health, its causes, today's figures.

    Args:
        daemon: Reaches the daemon.
    """
    health = await daemon.call("health.get", {})
    day = await today(daemon)
    return {"health": health["status"], "why": health.get("why"), "today": day}


def with_model(found: dict[str, Any], model: str) -> dict[str, Any]:
    """What a status bar shows, for an editor that has chosen a model.

    Args:
        found: Of `standing`.
        model: Its id; empty: the daemon's default.
    """
    day = found["today"]
    rate = f" · {round(100 * day['hit_rate'])}% cached" if day["hit_rate"] is not None else ""
    paid = f" · {money(day['cost_usd'])} today" if day["cost_usd"] is not None else ""
    line = f"BEAST {found['health']} · {model or 'default model'}{paid}{rate}"
    return {**found, "model": model, "line": line}


async def status(session: Session, given: Any) -> dict[str, Any]:
    """`beast.status`: version, health, the model of this editor and today's figures.

    Args:
        session: Of the editor.
        given: The argument of the command.
    """
    take("beast.status", given, {})
    version = (await session.daemon.call("ping", {}))["version"]
    return {"version": version, **with_model(await standing(session.daemon), session.chosen_model)}


async def dashboard(session: Session, given: Any) -> dict[str, Any]:
    """`beast.dashboard`: an address that opens the dashboard once, and the browser at it where the editor can.

    Args:
        session: Of the editor.
        given: The argument of the command.
    """
    fields = take("beast.dashboard", given, {"open": bool})
    found: dict[str, Any] = await session.daemon.call("dashboard.open", {})
    opened = fields.get("open", True) and await show_uri(session, found["url"], external=True)
    return {**found, "opened": opened}


async def explain_last(session: Session, given: Any) -> dict[str, Any]:
    """`beast.explainLast`: which model answered and why, what the cache did, how the cost adds up.

    Args:
        session: Of the editor.
        given: The argument of the command.
    """
    fields = take("beast.explainLast", given, {"request_id": str, "show": bool})
    request_id = _named_or_last(session, fields)
    row = await session.daemon.call("requests.get", {"request_id": request_id})
    told = await session.daemon.call("requests.explain", {"request_id": request_id})
    page = explained(row, told)
    if fields.get("show", True):
        await show_text(session, f"BEAST: Explain-{request_id[-8:]}", page)
    return {"request_id": request_id, "markdown": page, "request": row, "explanation": told}


def explained(row: dict[str, Any], told: dict[str, Any]) -> str:
    """A request in Markdown: its answer's model, route, cache and cost.

    Args:
        row: Of `requests.get`.
        told: Of `requests.explain`.
    """
    cache = row.get("cache") or {}
    model = row.get("model_served") or row.get("model")
    lines = [
        f"# Request {row['request_id']}",
        "",
        cost_line({**row, "model": model}),
        "",
        f"- **Outcome**: {row.get('outcome')}",
        f"- **Model**: {model} (asked for: {row.get('model')})",
        f"- **Route**: {row.get('route') or 'no model was asked'}",
        f"- **Cache**: {cache.get('result') or 'not asked'}. {told.get('why') or ''}".rstrip(),
    ]
    measured = [(name, row.get(name)) for name in ("similarity", "confidence")]
    lines += [f"  - {name}: {value:.3f}" for name, value in measured if value is not None]
    if row.get("ttft_ms") is not None:
        lines.append(f"- **First word**: after {duration(row['ttft_ms'])}")
    if row.get("fell_back"):
        lines.append(f"- **Fallback**: another model stood in, at attempt {row.get('attempts')}")
    if row.get("error_kind"):
        lines.append(f"- **Error**: {row['error_kind']}. {row.get('error_tip') or ''}".rstrip())
    lines += ["", "## Cost", "", *(f"- {one['text']}" for one in row.get("cost_lines") or ())]
    return "\n".join(lines) + "\n"


async def reject(session: Session, given: Any) -> dict[str, Any]:
    """`beast.reject`: the answer of the cache was wrong, and is not given to that question again.

    Args:
        session: Of the editor.
        given: The argument of the command.
    """
    fields = take("beast.reject", given, {"request_id": str})
    request_id = _named_or_last(session, fields)
    found = await session.daemon.call("cache.reject", {"request_id": request_id})
    if not session.has_views:
        session.say("BEAST: that answer will not be given to that question again.")
    return {**(found if isinstance(found, dict) else {}), "request_id": request_id}


def _named_or_last(session: Session, fields: dict[str, Any]) -> str:
    found: str | None = fields.get("request_id") or session.last_request
    if found is None:
        raise JsonRpcInvalidParams("Nothing was answered in this session yet. Try: name a `request_id`")
    return found
