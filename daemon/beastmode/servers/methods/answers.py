"""`chat`: a question in, an answer out, from wherever it is best had."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from beastmode.core.deltas import Delta, OnDelta
from beastmode.core.types import Answer, Message, Request
from beastmode.servers.methods.table import Reply, method
from beastmode.servers.services import Caller, Services
from beastmode.workspace.answering import index_answer
from beastmode.workspace.code_blocks import CodeBlock, code_blocks
from beastmode.workspace.library import Standing
from beastmode.workspace.requests import ChatParams, chat_request, conversation, plain_chat


class Chatted(Answer, kw_only=True):
    """What a caller gets back from `chat` about a workspace.

    Attributes:
        context: Whether the workspace could be looked into, and what to do where not.
        code_blocks: The blocks of code in the answer, each with the file that it is meant for.
    """

    context: Standing | None = None
    code_blocks: list[CodeBlock] = []


@method("chat")
def chat(services: Services, caller: Caller, params: ChatParams) -> Reply[Chatted | Answer]:
    """Answers a question: from the cache where the very same was answered before, else by the best model.

    In an open workspace the pieces of it that belong to the question go along; `sources` says which. With `stream` the
    text comes first, as `$/progress {token, value: {delta}}`; the result holds all of it anyway.
    """
    messages = conversation(params)
    if params.workspace is not None or not params.use_llm:
        return _about_workspace(services, caller, params, messages)
    if params.session_id is not None or params.files or params.documents or params.diagnostics:
        return _prepared(services, caller, params, messages)
    request = plain_chat(params, messages, caller.user, caller.client)
    if services.hearing is not None:
        services.hearing.chat(request)
    return ask(services, caller, request)


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


async def answered(services: Services, caller: Caller, request: Request) -> Answer:
    """Asks the gateway, and waits.

    Args:
        services: The daemon's parts.
        caller: Who asks, and where progress goes.
        request: What is asked.
    """
    reply = ask(services, caller, request)
    return reply if isinstance(reply, Answer) else await reply


async def _about_workspace(services: Services, caller: Caller, params: ChatParams, messages: list[Message]) -> Chatted:
    """A chat that names a workspace, open or not, with or without a model."""
    standing = services.library.standing(params.workspace, retrieve=params.retrieve)
    answer = await _prepared(services, caller, params, messages)
    blocks = await asyncio.to_thread(code_blocks, answer.text, standing.path) if standing.path else []
    return Chatted(**fields_of(answer), context=standing, code_blocks=blocks)


async def _prepared(services: Services, caller: Caller, params: ChatParams, messages: list[Message]) -> Answer:
    """Reads what was attached and what was said before, asks, and writes the answer to the session."""
    library, who = services.library, (caller.user, caller.client)
    begin = None
    if params.session_id is not None:
        begin = partial(services.sessions.begin, params.session_id, params.message or "")
    if params.use_llm:
        request = await chat_request(params, messages, *who, begin=begin, library=library)
        if services.hearing is not None:
            services.hearing.chat(request)
        answer = await answered(services, caller, request)
    else:
        on_delta = _on_delta(caller) if params.stream else None
        answer = await index_answer(
            params,
            messages,
            *who,
            library=library,
            gateway=services.gateway,
            clock=services.clock,
            begin=begin,
            on_delta=on_delta,
        )
    if params.session_id is not None:
        await services.sessions.finish(params.session_id, answer.text, answer.model, answer.request_id)
    return answer


def fields_of(answer: Answer) -> dict[str, Any]:
    """An answer's fields by name, for an answer that says more.

    Args:
        answer: The answer.
    """
    return {name: getattr(answer, name) for name in answer.__struct_fields__}


def _on_delta(caller: Caller) -> OnDelta | None:
    progress = caller.progress
    if progress is None:
        return None

    def text_only(delta: Delta) -> None:
        if type(delta) is str:
            progress({"delta": delta})

    return text_only
