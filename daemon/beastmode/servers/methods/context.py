"""`workspace.context`: what of an open workspace would go along with a question; no model is asked."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from beastmode.servers.methods.table import method
from beastmode.servers.services import Caller, Services
from beastmode.workspace.answering import closed
from beastmode.workspace.attachments import Document
from beastmode.workspace.context import Found
from beastmode.workspace.library import Standing


class ContextParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `workspace.context` takes.

    Attributes:
        workspace: An absolute path, in an open workspace.
        question: What would be asked.
        files: Files inside the workspace that would be attached.
        opened: Texts that an editor holds; they win over the disk.
        budget_tokens: Most tokens that are added; absent: the setting `workspace.context_tokens`.
    """

    workspace: str
    question: str
    files: list[str] = []
    opened: list[Document] = []
    budget_tokens: Annotated[int, Meta(ge=0)] | None = None


class Shown(msgspec.Struct, kw_only=True):
    """What would be sent with the question.

    Attributes:
        pieces: Files that were named, then what is found, the best first.
        tokens: About how many they take together.
        budget_tokens: Most that what is found may take.
        context: How the workspace stands: what is not read yet can not be found.
    """

    pieces: list[Found]
    tokens: int
    budget_tokens: int
    context: Standing


@method("workspace.context")
async def workspace_context(services: Services, caller: Caller, params: ContextParams) -> Shown:
    """Shows what would go along with a question: pieces with path, lines, symbol, tokens and what spoke for them."""
    library = services.library
    standing = library.standing(params.workspace)
    named = await library.named(params.workspace, params.files)
    looking = await library.looking(
        params.workspace,
        opened=params.opened,
        named=params.files,
        named_tokens=sum(one.tokens for one in named),
        budget_tokens=params.budget_tokens,
    )
    if looking is None:
        raise closed("Looking for what belongs to a question", standing.tip)
    pieces = [*named, *(await looking.find(params.question))]
    return Shown(
        pieces=pieces,
        tokens=sum(one.tokens for one in pieces),
        budget_tokens=library.budget(params.budget_tokens),
        context=standing,
    )
