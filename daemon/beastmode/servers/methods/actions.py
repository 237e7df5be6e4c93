"""`action` and `complete`: code explained, changed and written on, from an editor or from anywhere else."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from beastmode.core.errors import BadInputError
from beastmode.core.types import Answer, CacheMode, Message, Request
from beastmode.servers.methods.answers import ClientName, ask
from beastmode.servers.methods.table import method
from beastmode.servers.services import Caller, Services
from beastmode.workspace.actions import Kind, Task, make_task
from beastmode.workspace.attachments import Document, refuse_secret
from beastmode.workspace.completing import fitting, gap_of, hint
from beastmode.workspace.edits import Edit, outcome_of
from beastmode.workspace.positions import Range
from beastmode.workspace.prompting import Diagnostic
from beastmode.workspace.subject import find_subject, place

COMPLETION_MAX_TOKENS = 128


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
        diagnostics: Problems that are reported about the file.
    """

    kind: Kind
    path: str
    workspace: str | None = None
    range: Range | None = None
    language: str | None = None
    instruction: str | None = None
    documents: list[Document] = []
    diagnostics: list[Diagnostic] = []


class Acted(Answer, kw_only=True):
    """What a caller gets back from `action`.

    Attributes:
        summary: What comes of it, in one sentence.
        edits: What to change; nothing is written by the daemon. Empty for `explain` and `ask`.
    """

    summary: str
    edits: list[Edit] = []


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


@method("action")
async def action(services: Services, caller: Caller, params: ActionParams) -> Acted:
    """Explains, fixes, refactors, documents, tests or writes code; gives the answer, and edits that nobody applied yet.

    The same action on the same text is the same request, whoever asks: the editor, its version of a document and
    streaming join no key. What is stored is the model's answer; the edits are made from it and the text each time.
    """
    task = await asyncio.to_thread(_task, params)
    request = request_of(params, caller, Request(model="", messages=task.messages))
    request.workspace, request.digests = task.subject.root, task.digests
    answer = await answered(services, caller, request)
    outcome = await asyncio.to_thread(outcome_of, task, answer.text, answer.finish_reason)
    return Acted(**_fields(answer), summary=outcome.summary, edits=outcome.edits)


@method("complete")
async def complete(services: Services, caller: Caller, params: CompleteParams) -> Answer:
    """Writes on at the cursor: what belongs between a prefix and a suffix.

    `text` is what belongs in the gap and nothing else: no fence, nothing of the prefix again, nothing that the suffix
    begins with. Streamed pieces are the model's own.
    """
    if not f"{params.prefix}{params.suffix}".strip():
        raise BadInputError("There is no text around the gap.", tips=["send what stands before it as `prefix`"])
    root, path = await asyncio.to_thread(place, params.workspace, params.path or "")
    refuse_secret(path, f"{params.prefix}{params.suffix}".encode(errors="surrogatepass"))
    prefix, suffix = gap_of(params.prefix, params.suffix)
    told = hint(path, params.language)
    messages = [*([Message("system", told)] if told else []), Message("user", prefix)]
    request = Request(model="", messages=messages, kind="completion")
    request.params = {"max_tokens": COMPLETION_MAX_TOKENS, "temperature": 0}
    if suffix:
        request.params["suffix"] = suffix
    if params.stop:
        request.params["stop"] = params.stop
    request.workspace = root
    answer = await answered(services, caller, request_of(params, caller, request))
    answer.text = fitting(answer.text, prefix, suffix)
    return answer


def request_of(params: Asking, caller: Caller, request: Request) -> Request:
    """Puts into a request what every method of this kind takes.

    Args:
        params: From the caller.
        caller: Who asks.
        request: What is asked.
    """
    request.model = params.model or ""
    for name in ("max_tokens", "temperature"):
        if (value := getattr(params, name)) is not None:
            request.params[name] = value
    request.user = params.user or caller.user
    request.client = params.client or caller.client
    request.stream, request.cache, request.tags = params.stream, params.cache, params.tags
    request.max_cost_usd = params.max_cost_usd
    return request


async def answered(services: Services, caller: Caller, request: Request) -> Answer:
    """Asks the gateway.

    Args:
        services: The daemon's parts.
        caller: Who asks, and where progress goes.
        request: What is asked.
    """
    reply = ask(services, caller, request)
    return reply if isinstance(reply, Answer) else await reply


def _fields(answer: Answer) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in answer.__struct_fields__}
