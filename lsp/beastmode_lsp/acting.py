"""One action of the user: what is sent of the document, and what comes back as text, edits and a line of cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from beastmode_lsp.asking import ask, refuse_large
from beastmode_lsp.costs import cost_line
from beastmode_lsp.documents import Snapshot
from beastmode_lsp.positions import Point, Span
from beastmode_lsp.proposals import Proposal, propose, read
from beastmode_lsp.sources import root_of, with_links

if TYPE_CHECKING:
    from beastmode_lsp.session import Session

TITLES = {
    "explain": "BEAST: Explain",
    "ask": "BEAST: Ask about the selection",
    "fix": "BEAST: Fix",
    "refactor": "BEAST: Refactor",
    "docstring": "BEAST: Write docstring",
    "tests": "BEAST: Write tests",
    "generate": "BEAST: Generate here",
}
TALKS = frozenset({"explain", "ask"})
DEFAULT_QUESTION = "What does this do, and what should I know before I change it?"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the user wants.

    Attributes:
        kind: As the daemon's `action` has it.
        uri: Of the document.
        span: The part that is meant, in code points; None: all of it.
        instruction: In the user's words.
        diagnostics: As the daemon has them, in code points.
        model: For this one.
        cache: As the daemon has it.
        id: By which words are sent as they come.
    """

    kind: str
    uri: str
    span: Span | None = None
    instruction: str | None = None
    diagnostics: Sequence[dict[str, Any]] = ()
    model: str | None = None
    cache: str | None = None
    id: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        answer: As the daemon gave it.
        proposal: What it would change.
        root: Where the paths of its sources begin.
    """

    answer: dict[str, Any]
    proposal: Proposal
    root: str | None = None

    def shown(self) -> dict[str, Any]:
        """As the result of a command."""
        names = ("text", "summary", "request_id", "model", "provider", "cost_usd", "saved_usd", "latency_ms", "ttft_ms")
        more = ("finish_reason", "cache", "route", "usage")
        proposal = self.proposal
        found = {name: self.answer.get(name) for name in names + more}
        found |= {"edits": [one.shown() for one in proposal.files], "applied": proposal.applied}
        if proposal.reason is not None:
            found["reason"] = proposal.reason
        found["sources"] = with_links(self.answer.get("sources") or [], self.root)
        return {**found, "costLine": cost_line(self.answer)}


async def act(session: Session, wish: Wish) -> Outcome:
    """Asks the daemon for an action; nothing is applied yet, and what it would change is kept.

    Args:
        session: Of the editor.
        wish: What is wanted.

    Raises:
        BeastError: The daemon's answer.
    """
    asked = await _read(session, wish.uri)
    title = TITLES[wish.kind]
    answer = await ask(session, "action", _params(session, wish, asked), title, wish.id)
    proposal = await propose(session, title, answer, asked)
    if proposal.files:
        session.kept.put(proposal)
    return Outcome(answer, proposal, root_of(answer, session.documents.root_of(wish.uri)))


async def _read(session: Session, uri: str) -> Snapshot:
    """The document as it is sent.

    Raises:
        JsonRpcInvalidParams: It is neither open nor a file of text.
    """
    document = session.documents.find(uri)
    if document is not None:
        refuse_large(session, document)
        return document.snapshot()
    try:
        return await read(session, uri)
    except (OSError, ValueError):
        raise JsonRpcInvalidParams(f"{uri} is neither open nor a text file. Try: open it first") from None


def _params(session: Session, wish: Wish, asked: Snapshot) -> dict[str, Any]:
    place = session.place(wish.uri)
    params: dict[str, Any] = {"kind": wish.kind, **place, **session.identity(wish.model)}
    if asked.document is not None:
        params["documents"] = [{"path": place["path"], "text": asked.text, "version": asked.version}]
        params["language"] = asked.document.language or None
    elif "workspace" not in place:
        params["documents"] = [{"path": place["path"], "text": asked.text}]
    opened = session.folders.opened(place.get("workspace"), [place["path"]])
    if opened:
        params["opened"] = opened
    if wish.span is not None:
        params["range"] = a_range(wish.span)
    instruction = wish.instruction or (DEFAULT_QUESTION if wish.kind == "ask" else None)
    params |= {"instruction": instruction, "diagnostics": list(wish.diagnostics), "cache": wish.cache or "default"}
    return {name: value for name, value in params.items() if value is not None}


def a_range(span: Span) -> dict[str, dict[str, int]]:
    """A stretch as the daemon has it."""
    return {"start": a_place(span.start), "end": a_place(span.end)}


def a_place(point: Point) -> dict[str, int]:
    """A place as the daemon has it."""
    return {"line": point.line, "character": point.column}


def diagnostic(session: Session, uri: str, found: types.Diagnostic) -> dict[str, Any]:
    """A diagnostic of the editor as the daemon has it.

    Args:
        session: Of the editor.
        uri: Of the document that it is about.
        found: As the editor sent it.
    """
    document = session.documents.find(uri)
    severity = found.severity.value if found.severity is not None else None
    made = {
        "message": found.message if isinstance(found.message, str) else found.message.value,
        "range": a_range(document.span(found.range)) if document is not None else None,
        "severity": severity,
        "source": found.source,
        "code": found.code,
    }
    return {name: value for name, value in made.items() if value is not None}
