"""`chat`: a question in, an answer out, from wherever it is best had."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from beastmode.core.deltas import Delta, OnDelta
from beastmode.core.errors import BadInputError
from beastmode.core.types import Answer, CacheMode, Digest, Message, Request
from beastmode.servers.methods.table import Reply, method
from beastmode.servers.services import Caller, Services
from beastmode.workspace.attachments import Attachment, Document, attach

ClientName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""What a program may call itself in the ledger."""

_PARAMS = ("max_tokens", "temperature", "top_p", "stop", "seed", "response_format", "tools", "tool_choice")


class ChatParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `chat` takes.

    Attributes:
        message: The question, as text. Either this or `messages`.
        messages: The whole conversation in the shape of OpenAI's chat format, oldest first.
        model: `auto` or the id of a model; absent: the setting `routing.default_model`.
        session_id: Continues this session; it is made when there is none of that name.
        workspace: The workspace it is about, an absolute path; a scope that no answer crosses.
        files: Files inside the workspace to show to the model.
        documents: Unsaved text to show to the model; it wins over a file of the same path.
        stream: Send the text as it comes, as `$/progress`.
        max_tokens: Longest answer.
        temperature: As the model understands it.
        top_p: As the model understands it.
        stop: Text at which the answer ends.
        seed: For answers that can be repeated, where the model offers it.
        response_format: The shape of the answer, such as a JSON schema.
        tools: Tools the model may call, in the shape of OpenAI's chat format.
        tool_choice: Which tool it must call.
        client: The program that asks, as the ledger shows it, such as `vscode`; it joins no key.
        user: Who asks, where it is not the user of the socket; a scope that no answer crosses.
        tags: Labels for cost reports.
        cache: `default`, `off` (neither read nor write), `only` (never call a model), `refresh` (call, and store anew).
        origin: `test` for what tries models out: it counts in no rate and in no health, and its costs are shown apart.
        max_cost_usd: Most that it may cost; it is refused where it may cost more, or nobody knows. Absent: no bound.
    """

    message: str | None = None
    messages: list[Message] | None = None
    model: str | None = None
    session_id: str | None = None
    workspace: str | None = None
    files: list[str] = []
    documents: list[Document] = []
    stream: bool = False
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    client: ClientName | None = None
    user: str | None = None
    tags: list[str] = []
    cache: CacheMode = "default"
    origin: Literal["person", "test"] = "person"
    max_cost_usd: Annotated[float, Meta(ge=0)] | None = None


@method("chat")
def chat(services: Services, caller: Caller, params: ChatParams) -> Reply[Answer]:
    """Answers a question: from the cache where the very same was answered before, else by the best model.

    With `stream` the text comes first, as `$/progress {token, value: {delta}}`; the result holds all of it anyway.
    """
    messages = _conversation(params)
    if params.session_id is not None or params.files or params.documents:
        return _prepared(services, caller, params, messages)
    return ask(services, caller, _request(services, caller, params, messages))


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


def _conversation(params: ChatParams) -> list[Message]:
    if (params.message is None) == (params.messages is None):
        raise BadInputError("`chat` takes either `message` or `messages`.", tips=['{"message": "..."}'])
    if params.message is not None:
        return [Message("user", params.message)]
    if not params.messages:
        raise BadInputError("`messages` is empty.", tips=['{"messages": [{"role": "user", "content": "..."}]}'])
    if params.session_id is not None:
        raise BadInputError("A session keeps the conversation itself.", tips=["send `message` with `session_id`"])
    return params.messages


def _request(services: Services, caller: Caller, params: ChatParams, messages: list[Message]) -> Request:
    shaping = {name: value for name in _PARAMS if (value := getattr(params, name)) is not None}
    return Request(
        model=params.model or "",
        messages=messages,
        params=shaping,
        workspace=params.workspace,
        user=params.user or caller.user,
        stream=params.stream,
        cache=params.cache,
        origin=params.origin,
        max_cost_usd=params.max_cost_usd,
        tags=params.tags,
        session_id=params.session_id,
        client=params.client or caller.client,
    )


async def _prepared(services: Services, caller: Caller, params: ChatParams, messages: list[Message]) -> Answer:
    """Reads what was attached and what was said before, asks, and writes the answer to the session."""
    request = _request(services, caller, params, messages)
    attachment = Attachment([], [])
    if params.files or params.documents:
        attachment = await attach(params.workspace, params.files, params.documents)
    question = messages[-1]
    if params.session_id is not None:
        before = await services.sessions.begin(params.session_id, params.message or "")
        messages = [*before, question]
    request.messages = [*messages[:-1], *attachment.messages, messages[-1]]
    request.digests = [Digest(piece.path, piece.sha256) for piece in attachment.digests]
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
