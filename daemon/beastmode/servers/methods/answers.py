"""`chat`: a question in, an answer out, from wherever it is best had."""

from __future__ import annotations

from beastmode.core.deltas import Delta, OnDelta
from beastmode.core.types import Answer, Message, Request
from beastmode.servers.methods.table import Reply, method
from beastmode.servers.services import Caller, Services
from beastmode.workspace.requests import ChatParams, chat_request, conversation, plain_chat


@method("chat")
def chat(services: Services, caller: Caller, params: ChatParams) -> Reply[Answer]:
    """Answers a question: from the cache where the very same was answered before, else by the best model.

    With `stream` the text comes first, as `$/progress {token, value: {delta}}`; the result holds all of it anyway.
    """
    messages = conversation(params)
    if params.session_id is not None or params.files or params.documents:
        return _prepared(services, caller, params, messages)
    return ask(services, caller, plain_chat(params, messages, caller.user, caller.client))


def ask(services: Services, caller: Caller, request: Request) -> Reply[Answer]:
    """Hands a request to the gateway; what memory has is answered at once.

    Args:
        services: The daemon's parts.
        caller: Who asks, and where progress goes.
        request: What is asked.
    """
    gateway = services.gateway
    ticket = gateway.admit(request)
    answer = gateway.recall(ticket)
    if answer is None:
        return gateway.ask(ticket, _on_delta(caller) if request.stream else None)
    if request.stream and caller.progress is not None and answer.text:
        caller.progress({"delta": answer.text})
    return answer


async def _prepared(services: Services, caller: Caller, params: ChatParams, messages: list[Message]) -> Answer:
    """Reads what was attached and what was said before, asks, and writes the answer to the session."""
    request = await chat_request(params, messages, caller.user, caller.client)
    if params.session_id is not None:
        before = await services.sessions.begin(params.session_id, params.message or "")
        request.messages = [*before, *request.messages]
    reply = ask(services, caller, request)
    answer = reply if isinstance(reply, Answer) else await reply
    if params.session_id is not None:
        await services.sessions.finish(params.session_id, answer.text, answer.model, answer.request_id)
    return answer


def _on_delta(caller: Caller) -> OnDelta | None:
    progress = caller.progress
    if progress is None:
        return None

    def text_only(delta: Delta) -> None:
        if type(delta) is str:
            progress({"delta": delta})

    return text_only
