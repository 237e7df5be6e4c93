"""What `chat`, `action` and `complete` take, and the requests that come of it: the same ones, whoever asks them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from beastmode.core.errors import BadInputError
from beastmode.core.types import CacheMode, Digest, Message, Request
from beastmode.wire.anthropic_events import estimated
from beastmode.workspace.actions import Kind, Task, make_task
from beastmode.workspace.attachments import Attachment, Document, attach, refuse_secret
from beastmode.workspace.completing import gap_of, hint
from beastmode.workspace.library import Library
from beastmode.workspace.positions import Range
from beastmode.workspace.prompting import Diagnostic, problems
from beastmode.workspace.subject import find_subject, place

COMPLETION_MAX_TOKENS = 128
DIAGNOSTICS_MAX = 20
ClientName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""What a program may call itself in the ledger."""

Begin = Callable[[], Awaitable[list[Message]]]
_SHAPING = ("max_tokens", "temperature", "top_p", "stop", "seed", "response_format", "tools", "tool_choice")


class Reported(Diagnostic, kw_only=True):
    """A problem that is reported about a file.

    Attributes:
        path: The file, inside the workspace.
    """

    path: str = ""


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
        retrieve: Add what is found in the workspace, where that is open. False: add nothing.
        opened: Texts that an editor holds. They are not shown as they are, but win over the disk in what is found.
        diagnostics: Problems that are reported about the files in question.
        use_llm: False: answer from the index of the workspace alone, and ask no model.
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
    retrieve: bool = True
    opened: list[Document] = []
    diagnostics: list[Reported] = []
    use_llm: bool = True
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


class Asking(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `action` and `complete` share.

    Attributes:
        model: `auto` or the id of a model; absent: the setting `routing.default_model`.
        stream: Send the text as it comes, as `$/progress`.
        max_tokens: Longest answer.
        temperature: As the model understands it.
        client: The program that asks, as the ledger shows it, such as `vscode`; it joins no key.
        user: Who asks, where it is not the user of the socket; a scope that no answer crosses.
        tags: Labels for cost reports.
        cache: `default`, `off` (neither read nor write), `only` (never call a model), `refresh` (call, and store anew).
        max_cost_usd: Most that it may cost; it is refused where it may cost more, or nobody knows. Absent: no bound.
    """

    model: str | None = None
    stream: bool = False
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: float | None = None
    client: ClientName | None = None
    user: str | None = None
    tags: list[str] = []
    cache: CacheMode = "default"
    max_cost_usd: Annotated[float, Meta(ge=0)] | None = None


class ActionParams(Asking, kw_only=True):
    """What `action` takes.

    Attributes:
        kind: What is wanted: `explain` and `ask` give text, the others edits.
        path: The file, inside the workspace (relative or absolute); any name where its text is among `documents`.
        workspace: The workspace, an absolute path; a scope that no answer crosses.
        range: The part that is meant; a cursor means the block around it, or the place where `generate` writes.
            Absent: the whole file.
        language: What the file is written in, where its name does not tell.
        instruction: What is wanted, in a person's words.
        documents: Unsaved text; it wins over the disk.
        opened: Texts of other files that an editor holds; they win over the disk in what is found in the workspace.
        diagnostics: Problems that are reported about the file.
    """

    kind: Kind
    path: str
    workspace: str | None = None
    range: Range | None = None
    language: str | None = None
    instruction: str | None = None
    documents: list[Document] = []
    opened: list[Document] = []
    diagnostics: list[Diagnostic] = []


class CompleteParams(Asking, kw_only=True):
    """What `complete` takes.

    Attributes:
        prefix: What stands before the gap.
        suffix: What stands after it.
        language: What it is written in, where the name of the file does not tell.
        path: The file; its name is told to the model.
        workspace: The workspace, an absolute path; a scope that no answer crosses.
        documents: Unsaved text; what stands around the gap is all that is read so far.
        stop: Text at which the answer ends.
    """

    prefix: str
    suffix: str = ""
    language: str | None = None
    path: str | None = None
    workspace: str | None = None
    documents: list[Document] = []
    stop: str | list[str] | None = None


# -- chat -----------------------------------------------------------------------------------------------------------


def conversation(params: ChatParams) -> list[Message]:
    """What was said, without what a session keeps.

    Args:
        params: Of `chat`.

    Raises:
        BadInputError: There is no question, or there are two.
    """
    if (params.message is None) == (params.messages is None):
        raise BadInputError("`chat` takes either `message` or `messages`.", tips=['{"message": "..."}'])
    if params.message is not None:
        return [Message("user", params.message)]
    if not params.messages:
        raise BadInputError("`messages` is empty.", tips=['{"messages": [{"role": "user", "content": "..."}]}'])
    if params.session_id is not None:
        raise BadInputError("A session keeps the conversation itself.", tips=["send `message` with `session_id`"])
    return params.messages


def plain_chat(params: ChatParams, messages: list[Message], user: str, client: str) -> Request:
    """The request of a chat to which nothing is attached.

    Args:
        params: Of `chat`.
        messages: The conversation.
        user: Who asks, where the parameters do not say.
        client: The door, where the parameters do not name a program.
    """
    return Request(
        model=params.model or "",
        messages=messages,
        params={name: value for name in _SHAPING if (value := getattr(params, name)) is not None},
        workspace=params.workspace,
        user=params.user or user,
        stream=params.stream,
        cache=params.cache,
        origin=params.origin,
        max_cost_usd=params.max_cost_usd,
        tags=params.tags,
        session_id=params.session_id,
        client=params.client or client,
    )


async def chat_request(
    params: ChatParams,
    messages: list[Message],
    user: str,
    client: str,
    *,
    begin: Begin | None = None,
    library: Library | None = None,
) -> Request:
    """The request of a chat, with the files and documents that it names, which are read now.

    Args:
        params: Of `chat`.
        messages: What it says, of `conversation`.
        user: Who asks, where the parameters do not say.
        client: The door, where the parameters do not name a program.
        begin: Gives what was said before in its session, once all that is named could be read.
        library: Where to find what belongs to the question; None: nowhere.

    Raises:
        BadInputError: A file leads out of the workspace, is too large, binary, or looks like a secret.
        NotFoundError: A file is not there.
    """
    request = plain_chat(params, messages, user, client)
    attachment = Attachment([], [])
    if params.files or params.documents:
        attachment = await attach(params.workspace, params.files, params.documents)
    reported = [Message("user", _reported(params.diagnostics))] if params.diagnostics else []
    said = [*(await begin() if begin is not None else ()), *messages[:-1]]
    request.messages = [*said, *attachment.messages, *reported, messages[-1]]
    request.digests = [Digest(piece.path, piece.sha256) for piece in attachment.digests]
    if library is None or not params.retrieve or messages[-1].role != "user":
        return request
    named_tokens = sum(estimated(len(str(one.content).encode())) for one in attachment.messages)
    looking = await library.looking(
        params.workspace, opened=params.opened, named=named_in(params), named_tokens=named_tokens
    )
    return request if looking is None else library.gather(looking, request, said)


def named_in(params: ChatParams) -> list[str]:
    """Files that a chat shows to the model itself.

    Args:
        params: Of `chat`.
    """
    return [*params.files, *(one.path for one in params.documents)]


def _reported(diagnostics: list[Reported]) -> str:
    """What is reported, the gravest first, as far as there is room for it."""
    grave = sorted(diagnostics, key=lambda one: one.severity if isinstance(one.severity, int) else DIAGNOSTICS_MAX)
    by_path: dict[str, list[Diagnostic]] = {}
    for one in grave[:DIAGNOSTICS_MAX]:
        by_path.setdefault(one.path, []).append(one)
    parts = [f"What is reported about {path or 'the project'}:\n{problems(by_path[path])}" for path in sorted(by_path)]
    return "\n\n".join(parts)


# -- action and complete --------------------------------------------------------------------------------------------


async def action_request(
    params: ActionParams, user: str, client: str, *, library: Library | None = None
) -> tuple[Task, Request]:
    """An action, and the request that asks a model for it. The same action on the same text is the same request.

    Args:
        params: Of `action`.
        user: Who asks, where the parameters do not say.
        client: The door, where the parameters do not name a program.
        library: Where to find what belongs to the selection; None: nowhere.

    Raises:
        BadInputError: The file or the selection can not be worked on.
        NotFoundError: There is no such file.
    """
    task = await asyncio.to_thread(_task, params)
    request = _asked(params, user, client, Request(model="", messages=task.messages))
    request.workspace, request.digests = task.subject.root, task.digests
    if library is not None and task.subject.root is not None:
        held = [*params.opened, *params.documents]
        looking = await library.looking(task.subject.root, opened=held, named=[task.subject.path])
        if looking is not None:
            library.widen(looking, request, task)
    return task, request


def _task(params: ActionParams) -> Task:
    """Reads the file and makes the prompt, off the event loop."""
    return make_task(
        params.kind,
        find_subject(params.workspace, params.path, params.documents),
        params.range,
        language=params.language,
        instruction=params.instruction,
        diagnostics=params.diagnostics,
    )


async def completion_request(params: CompleteParams, user: str, client: str) -> Request:
    """The request of writing on at a cursor: what stands before the gap is its last message.

    Args:
        params: Of `complete`.
        user: Who asks, where the parameters do not say.
        client: The door, where the parameters do not name a program.

    Raises:
        BadInputError: There is no text, or it looks like a secret.
    """
    if not f"{params.prefix}{params.suffix}".strip():
        raise BadInputError("There is no text around the gap.", tips=["send what stands before it as `prefix`"])
    root, path = await asyncio.to_thread(place, params.workspace, params.path or "")
    refuse_secret(path, f"{params.prefix}{params.suffix}".encode(errors="surrogatepass"))
    prefix, suffix = gap_of(params.prefix, params.suffix)
    told = hint(path, params.language)
    messages = [*([Message("system", told)] if told else []), Message("user", prefix)]
    request = Request(model="", messages=messages, kind="completion", workspace=root)
    request.params = {"max_tokens": COMPLETION_MAX_TOKENS, "temperature": 0}
    if suffix:
        request.params["suffix"] = suffix
    if params.stop:
        request.params["stop"] = params.stop
    return _asked(params, user, client, request)


def _asked(params: Asking, user: str, client: str, request: Request) -> Request:
    """Puts into a request what every method of this kind takes."""
    request.model = params.model or ""
    for name in ("max_tokens", "temperature"):
        if (value := getattr(params, name)) is not None:
            request.params[name] = value
    request.user = params.user or user
    request.client = params.client or client
    request.stream, request.cache, request.tags = params.stream, params.cache, params.tags
    request.max_cost_usd = params.max_cost_usd
    return request
