"""Answers from the index of a workspace alone: where to look, and how each place begins. No model is asked."""

from __future__ import annotations

import asyncio
import logging
import re

from beastmode.accounts import Ticket, bare_row, failure_row
from beastmode.core.clock import Clock
from beastmode.core.deltas import OnDelta
from beastmode.core.errors import CancelledError, ConflictError, InternalError
from beastmode.core.rows import RowCache
from beastmode.core.types import Answer, CacheInfo, Message, Route, Usage
from beastmode.gateway import Gateway
from beastmode.workspace.context import Found, question_of
from beastmode.workspace.languages import language_of
from beastmode.workspace.library import Library
from beastmode.workspace.prompting import fenced, with_lf
from beastmode.workspace.requests import Begin, ChatParams, named_in, plain_chat

log = logging.getLogger(__name__)

INDEX = "index"
"""The name of who answered, where a model's would stand."""
PLACES = 6
FIRST_LINES = 8
LINE_CHARS = 200

_PLAIN = re.compile(r"[\w./@+-]+")


async def index_answer(
    params: ChatParams,
    messages: list[Message],
    user: str,
    client: str,
    *,
    library: Library,
    gateway: Gateway,
    clock: Clock,
    begin: Begin | None = None,
    on_delta: OnDelta | None = None,
) -> Answer:
    """Answers a question from the index of its workspace; it has its row, as every request.

    Args:
        params: Of `chat`.
        messages: What it says.
        user: Who asks, where the parameters do not say.
        client: The door, where the parameters do not name a program.
        library: Finds the workspace.
        gateway: Keeps the row.
        clock: Time.
        begin: Gives what was said before in its session.
        on_delta: Gets the text.

    Raises:
        ConflictError: The workspace is not open.
        InternalError: It could not be searched.
    """
    looking = await library.looking(params.workspace, opened=params.opened, named=named_in(params))
    if looking is None:
        raise closed("An answer without a model", library.standing(params.workspace).tip)
    before = await begin() if begin is not None else []
    request = plain_chat(params, [*before, *messages], user, client)
    request.model, request.workspace = INDEX, looking.root
    ticket = gateway.admit(request)
    try:
        found = await looking.find(*question_of(request.messages), turns=1)
    except asyncio.CancelledError:
        gone = CancelledError("The caller ended the request.")
        gateway.record(ticket, failure_row(ticket, gone, "cancelled", clock.mono_s()))
        raise
    except Exception as error:
        log.exception("the workspace could not be searched", extra={"fields": {"workspace": looking.root}})
        ours = InternalError("The workspace could not be searched.", tips=["see the log: state/logs/beast.log"])
        ours.request_id = request.request_id
        gateway.record(ticket, failure_row(ticket, ours, "failure", clock.mono_s()))
        raise ours from error
    answer = _answer(ticket, found, (clock.mono_s() - ticket.started_s) * 1e3)
    _record(gateway, ticket, answer)
    if on_delta is not None:
        on_delta(answer.text)
    return answer


def closed(what: str, tip: str) -> ConflictError:
    """What is answered where a workspace has to be open and is not.

    Args:
        what: What was asked for, at the start of a sentence.
        tip: What to do.
    """
    return ConflictError(f"{what} needs an open workspace, and this one is not open.", tips=[tip])


def _answer(ticket: Ticket, found: list[Found], latency_ms: float) -> Answer:
    shown = found[:PLACES]
    return Answer(
        request_id=ticket.request.request_id,
        text=told(shown),
        model=INDEX,
        provider=INDEX,
        usage=Usage(prompt_tokens=0, completion_tokens=0),
        cost_usd=0.0,
        saved_usd=0.0,
        latency_ms=latency_ms,
        ttft_ms=None,
        finish_reason="stop",
        cache=CacheInfo(result="bypass", why="the index of the workspace answered"),
        route=Route(reason="the request asked for no model"),
        session_id=ticket.request.session_id,
        sources=[one.piece() for one in shown],
    )


def _record(gateway: Gateway, ticket: Ticket, answer: Answer) -> None:
    row = bare_row(ticket, "success", answer.latency_ms)
    row.model = row.model_served = row.provider = INDEX
    row.cache = RowCache("bypass")
    row.usage, row.cost_usd, row.saved_usd = answer.usage, 0.0, 0.0
    row.overhead_ms, row.route = answer.latency_ms, answer.route.reason
    gateway.record(ticket, row)


def told(found: list[Found]) -> str:
    """Where to look, best first, in Markdown.

    Args:
        found: The pieces.
    """
    if not found:
        return "Nothing in this workspace fits the question. Other words may find it.\n"
    return "\n\n".join(_place(number, one) for number, one in enumerate(found, 1)) + "\n"


def _place(number: int, one: Found) -> str:
    lines = f"line {one.first_line}" if one.first_line == one.last_line else f"lines {one.first_line}-{one.last_line}"
    symbol = f", `{one.symbol}`" if one.symbol else ""
    rows = with_lf(one.text).strip("\n").split("\n")
    first = [row[:LINE_CHARS] for row in rows[:FIRST_LINES]]
    more = ["..."] if len(rows) > FIRST_LINES else []
    label = f" {one.path}" if _PLAIN.fullmatch(one.path) else ""
    language = language_of(one.path).id or "text"
    return f"{number}. `{one.path}`, {lines}{symbol}\n\n{fenced(chr(10).join(first + more), language + label)}"
