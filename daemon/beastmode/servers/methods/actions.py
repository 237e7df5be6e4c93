"""`action` and `complete`: code explained, changed and written on, from an editor or from anywhere else."""

from __future__ import annotations

import asyncio

from beastmode.core.types import Answer
from beastmode.servers.methods.answers import answered, fields_of
from beastmode.servers.methods.table import method
from beastmode.servers.services import Caller, Services
from beastmode.workspace.completing import fitting
from beastmode.workspace.edits import Edit, outcome_of
from beastmode.workspace.library import Standing
from beastmode.workspace.requests import ActionParams, CompleteParams, action_request, completion_request


class Acted(Answer, kw_only=True):
    """What a caller gets back from `action`.

    Attributes:
        summary: What comes of it, in one sentence.
        edits: What to change; nothing is written by the daemon. Empty for `explain` and `ask`.
        context: Whether the workspace could be looked into, and where the paths of `sources` begin.
    """

    summary: str
    edits: list[Edit] = []
    context: Standing | None = None


@method("action")
async def action(services: Services, caller: Caller, params: ActionParams) -> Acted:
    """Explains, fixes, refactors, documents, tests or writes code; gives the answer, and edits that nobody applied yet.

    The same action on the same text is the same request, whoever asks: the editor, its version of a document and
    streaming join no key. What is stored is the model's answer; the edits are made from it and the text each time.
    """
    task, request = await action_request(params, caller.user, caller.client, library=services.library)
    if services.hearing is not None:
        services.hearing.action(params, task, request)
    answer = await answered(services, caller, request)
    outcome = await asyncio.to_thread(outcome_of, task, answer.text, answer.finish_reason)
    standing = services.library.standing(params.workspace) if params.workspace is not None else None
    return Acted(**fields_of(answer), summary=outcome.summary, edits=outcome.edits, context=standing)


@method("complete")
async def complete(services: Services, caller: Caller, params: CompleteParams) -> Answer:
    """Writes on at the cursor: what belongs between a prefix and a suffix.

    `text` is what belongs in the gap and nothing else: no fence, nothing of the prefix again, nothing that the suffix
    begins with. Streamed pieces are the model's own.
    """
    request = await completion_request(params, caller.user, caller.client)
    answer = await answered(services, caller, request)
    answer.text = fitting(answer.text, str(request.messages[-1].content), request.params.get("suffix", ""))
    return answer
