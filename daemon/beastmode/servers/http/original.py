"""The endpoints of an older system, so that its clients go on working: `/api/...`, over the same methods."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping
from shlex import quote
from typing import Any

import msgspec

from beastmode.core.errors import BadInputError, BeastError, ConflictError
from beastmode.core.types import Answer, Request
from beastmode.servers.http.exchange import Exchange
from beastmode.servers.http.headers import Pairs, apply, of_answer, of_error, status_of
from beastmode.servers.methods.answers import Chatted
from beastmode.servers.methods.answers import chat as chat_method
from beastmode.servers.methods.generation import GenerateParams, generate
from beastmode.servers.services import Caller, Services
from beastmode.wire.openai_door import ENDPOINT_FIELDS
from beastmode.wire.relay import OFF_LOOP_BYTES
from beastmode.workspace.requests import ChatParams

_OPEN = "open it first: beast workspace open PATH"
_FENCE = re.compile(r" {0,3}(```+|~~~+)")


class ChatBody(msgspec.Struct, kw_only=True, rename="camel"):
    """What `POST /api/codebase/chat` takes.

    Attributes:
        message: The question.
        session_id: The conversation it belongs to; absent: none is kept.
        model: A model's id, or `auto`; absent: the default model.
        use_llm: False: answer from the index of the workspace alone.
        repo: The open workspace that the question is about: its path, or the name of its folder.
    """

    message: str
    session_id: str | None = None
    model: str | None = None
    use_llm: bool = msgspec.field(default=True, name="useLLM")
    repo: str | None = None


class FeatureBody(msgspec.Struct, kw_only=True, rename="camel"):
    """What `POST /api/repos/quality/generate-feature` takes.

    Attributes:
        repo: The workspace.
        feature_request: What is wanted.
        model: A model's id, or `auto`; absent: the default model.
    """

    repo: str
    feature_request: str
    model: str | None = None


class Original:
    """Answers the older endpoints.

    Args:
        services: The daemon's parts.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def chat(self, exchange: Exchange) -> Coroutine[Any, Any, None]:
        """Answers `POST /api/codebase/chat`."""
        return _guarded(exchange, self._chat)

    def generate_feature(self, exchange: Exchange) -> Coroutine[Any, Any, None]:
        """Answers `POST /api/repos/quality/generate-feature`."""
        return _guarded(exchange, self._generate_feature)

    def monitoring(self, exchange: Exchange) -> Coroutine[Any, Any, None]:
        """Answers `GET /api/models/custom/monitoring`, for the last 24 hours or the `window` of its query."""
        return _guarded(exchange, self._monitoring)

    async def _chat(self, exchange: Exchange) -> tuple[dict[str, Any], Pairs]:
        body = await _decoded(exchange.body, ChatBody)
        asked = apply(Request(model="", messages=[]), exchange.headers)
        workspace = self._workspace(body.repo) if body.repo else asked.workspace
        if not body.use_llm and not workspace:
            raise ConflictError(
                "An answer without a model needs an open workspace, and `repo` names none.", tips=[_OPEN]
            )
        params = ChatParams(
            message=body.message,
            session_id=body.session_id,
            model=body.model or None,
            workspace=workspace,
            use_llm=body.use_llm,
            tags=asked.tags,
            cache=asked.cache,
            max_cost_usd=asked.max_cost_usd,
        )
        found = chat_method(self._services, Caller(asked.user, client="http:api"), params)
        answer = found if isinstance(found, Answer) else await found
        told = {
            "success": True,
            "message": answer.text,
            "code": code_in(answer.text),
            "model": answer.model,
            "sessionId": body.session_id,
            "usage": answer.usage,
            "cost": answer.cost_usd,
            "cache": answer.cache,
        }
        if isinstance(answer, Chatted):
            told |= {"sources": answer.sources, "codeBlocks": answer.code_blocks}
        return told, of_answer(answer, None)

    def _workspace(self, repo: str) -> str:
        """The open workspace that a request means: its path, or the name of its folder where only one has that.

        Raises:
            ConflictError: It is not open, or the name is that of several.
        """
        workspaces = self._services.workspaces
        if repo.startswith("/"):
            if workspaces.find(repo) is None:
                raise ConflictError(f"The workspace {repo} is not open.", tips=[f"beast workspace open {quote(repo)}"])
            return repo
        named = [one.root for one in workspaces.list() if one.root.rpartition("/")[2] == repo.strip("/")]
        if len(named) > 1:
            raise ConflictError(f"Several open workspaces are called {repo!r}.", tips=["give the whole path in `repo`"])
        if not named:
            raise ConflictError(f"No open workspace is called {repo!r}.", tips=[_OPEN, "beast workspace list"])
        return named[0]

    async def _generate_feature(self, exchange: Exchange) -> tuple[dict[str, Any], Pairs]:
        body = await _decoded(exchange.body, FeatureBody)
        asked = apply(Request(model="", messages=[]), exchange.headers)
        params = GenerateParams(
            request=body.feature_request,
            workspace=self._workspace(body.repo),
            model=body.model or None,
            tags=asked.tags,
            cache=asked.cache,
            max_cost_usd=asked.max_cost_usd,
        )
        made = await generate(self._services, Caller(asked.user, client="http:api"), params)
        told = {
            "success": bool(made.edits),
            "id": made.id,
            "summary": made.summary,
            "edits": made.edits,
            "diff": "".join(one.diff for one in made.edits),
            "problems": made.problems,
            "model": made.model,
            "usage": made.usage,
            "cost": made.cost_usd,
            "saved": made.saved_usd,
            "cache": made.cache,
        }
        return told, of_answer(made, None)

    async def _monitoring(self, exchange: Exchange) -> tuple[dict[str, Any], Pairs]:
        figures = await self._services.stats.snapshot(exchange.query.get("window", "24h"))
        return {"success": True, **monitored(figures, await self._services.health.check())}, []


def refusal(error: BeastError) -> bytes:
    """Writes an error as these endpoints do.

    Args:
        error: What went wrong.
    """
    return msgspec.json.encode({"success": False, "error": error.message, **error.data()})


def code_in(text: str) -> str | None:
    """The first fenced block of an answer, without its fences; None where there is none.

    Args:
        text: Markdown.
    """
    fence = ""
    block: list[str] = []
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if not fence:
            fence = mark[1] if mark is not None else ""
        elif mark is not None and mark[1].startswith(fence) and line.strip(" \t") == mark[1]:
            return "".join(f"{one}\n" for one in block)
        else:
            block.append(line)
    return None


def monitored(figures: Mapping[str, Any], health: Mapping[str, Any]) -> dict[str, Any]:
    """Puts figures into the older system's words; what is not known is null.

    `customModelCost` is what was paid, `providerModelCost` what the same answers would have cost without stored ones.

    Args:
        figures: As `Stats.snapshot` gives them.
        health: As `Health.check` gives it.

    Returns:
        `metrics`, `health`, and the plain numbers under `raw`.
    """
    requests, latency, costs = figures["requests"], figures["latency_ms"], figures["costs"]
    total, success = requests["total"], requests["success"]
    rate = 100 * success / total if total else None
    paid, saved = costs["total_usd"], costs["saved_usd"]
    whole = None if paid is None or saved is None else paid + saved
    percent = None if whole is None or not whole else 100 * saved / whole
    return {
        "metrics": {
            "requests": {
                "total": total,
                "success": success,
                "failures": total - success,
                "successRate": _shown(rate, "{:.2f}%"),
                "byModel": requests["by_model"],
            },
            "performance": {
                "averageLatency": _shown(latency["mean"], "{:.2f}ms"),
                **{f"{name}Latency": _shown(latency[name], "{:.2f}ms") for name in ("p50", "p95", "p99")},
            },
            "costs": {
                "customModelCost": _shown(paid, "${:.2f}"),
                "providerModelCost": _shown(whole, "${:.2f}"),
                "savings": _shown(saved, "${:.2f}"),
                "savingsPercent": _shown(percent, "{:.1f}%"),
            },
        },
        "health": {
            "status": health["status"],
            "successRate": _shown(rate, "{:.2f}%"),
            "averageLatency": _shown(latency["mean"], "{:.0f}ms"),
            "totalRequests": total,
            "issues": [f"{issue['part']}: {issue['cause']}" for issue in health["issues"]],
        },
        "raw": {
            "window": figures["window"],
            "requests": {**requests, "success_rate": None if rate is None else rate / 100},
            "latency_ms": latency,
            "costs": {"total_usd": paid, "without_cache_usd": whole, "saved_usd": saved, "saved_percent": percent},
        },
    }


def _shown(value: float | None, form: str) -> str | None:
    return None if value is None else form.format(value)


async def _decoded(body: bytes, kind: type[Any]) -> Any:
    return _read(body, kind) if len(body) < OFF_LOOP_BYTES else await asyncio.to_thread(_read, body, kind)


def _read(body: bytes, kind: type[Any]) -> Any:
    try:
        found = msgspec.json.decode(body, type=kind)
        named = ENDPOINT_FIELDS.intersection(msgspec.json.decode(body, type=dict[str, msgspec.Raw]))
    except msgspec.ValidationError as error:
        raise BadInputError(f"The request does not fit: {error}.", tips=["GET /openapi.json says what fits"]) from None
    except (ValueError, RecursionError) as error:
        raise BadInputError("The request is not JSON.", tips=["send one JSON object"]) from error
    if named:
        raise BadInputError(
            f"{min(named)}: a request can not choose an endpoint or a key.",
            tips=[f"leave {min(named)} out; register the model instead: beast models add MODEL --base-url URL"],
        )
    return found


async def _guarded(
    exchange: Exchange, work: Callable[[Exchange], Coroutine[Any, Any, tuple[dict[str, Any], Pairs]]]
) -> None:
    """Answers with what `work` gives, or with its error."""
    try:
        found, pairs = await work(exchange)
    except BeastError as error:
        exchange.reply(status_of(error), refusal(error), of_error(error))
    else:
        exchange.reply(200, msgspec.json.encode(found), pairs)
