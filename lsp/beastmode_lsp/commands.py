"""The commands that act on code: explain, fix, refactor, docstring, tests, generate, ask; then preview and apply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from beastmode_lsp.acting import DEFAULT_QUESTION, TALKS, TITLES, Outcome, Wish, act
from beastmode_lsp.actions import show_proposal
from beastmode_lsp.applying import apply_proposal
from beastmode_lsp.arguments import Kinds, a_range, take
from beastmode_lsp.costs import cost_line
from beastmode_lsp.showing import show_text
from beastmode_lsp.sources import listed

if TYPE_CHECKING:
    from beastmode_lsp.positions import Span
    from beastmode_lsp.session import Session

_FIELDS: Kinds = {
    "uri": str,
    "range": dict,
    "instruction": str,
    "diagnostics": list,
    "model": str,
    "id": (str, int),
    "apply": bool,
    "show": bool,
    "cache": str,
}


async def run_action(session: Session, kind: str, given: Any) -> dict[str, Any]:
    """`beast.explain`, `beast.fix` and their like.

    Args:
        session: Of the editor.
        kind: Which of them.
        given: The argument of the command.
    """
    name = f"beast.{kind}"
    fields = take(name, given, _FIELDS, needed=("uri",))
    span = span_of(session, name, fields)
    wish = Wish(
        kind=kind,
        uri=fields["uri"],
        span=span,
        instruction=fields.get("instruction"),
        diagnostics=diagnostics_of(session, name, fields),
        model=fields.get("model"),
        cache=fields.get("cache"),
        id=str(fields["id"]) if "id" in fields else None,
    )
    outcome = await act(session, wish)
    await _use(session, wish, outcome, apply=fields.get("apply", True), show=fields.get("show", True))
    return outcome.shown()


def span_of(session: Session, command: str, fields: dict[str, Any]) -> Span | None:
    """The range of a command in code points; None where there is none.

    Raises:
        JsonRpcInvalidParams: It is no range, or of a document that is not open.
    """
    if "range" not in fields:
        return None
    found = a_range(command, fields["range"])
    document = session.documents.find(fields.get("uri", ""))
    if document is None:
        raise JsonRpcInvalidParams(f"`range` of {command} is about a document that is not open. Try: open it first")
    return document.span(found)


def diagnostics_of(session: Session, command: str, fields: dict[str, Any]) -> list[dict[str, Any]]:
    """The diagnostics of a command as the daemon has them.

    Raises:
        JsonRpcInvalidParams: One is none.
    """
    document = session.documents.find(fields["uri"])
    found = []
    for one in fields.get("diagnostics", ()):
        if not isinstance(one, dict) or not isinstance(one.get("message"), str):
            raise JsonRpcInvalidParams(f"`diagnostics` of {command} are objects with `message` and `range`.")
        kept = {name: one[name] for name in ("message", "severity", "source", "code") if one.get(name) is not None}
        if document is not None and one.get("range") is not None:
            start, end = document.span(a_range(command, one["range"]))
            kept["range"] = {
                "start": {"line": start.line, "character": start.column},
                "end": {"line": end.line, "character": end.column},
            }
        found.append(kept)
    return found


async def _use(session: Session, wish: Wish, outcome: Outcome, *, apply: bool, show: bool) -> None:
    """Puts edits into the editor, and shows what is to be read."""
    answer, proposal = outcome.answer, outcome.proposal
    if wish.kind in TALKS:
        if show:
            question = f"> {wish.instruction or DEFAULT_QUESTION}\n\n" if wish.kind == "ask" else ""
            sources = listed(answer, outcome.root)
            page = f"{question}{answer['text'].rstrip()}\n{sources}\n---\n*{cost_line(answer)}*\n"
            await show_text(session, f"{TITLES[wish.kind]}-{proposal.request_id[-8:]}", page)
        return
    if not proposal.files:
        proposal.reason = answer.get("summary") or "There is nothing to change."
        return
    if apply and not session.settings.edits.preview:
        await apply_proposal(session, proposal)
    elif proposal.reason is None:
        proposal.reason = "It was asked for as a preview. Run beast.apply to apply it."
    if not proposal.applied and show:
        await show_proposal(session, proposal)


async def preview(session: Session, given: Any) -> dict[str, Any]:
    """`beast.preview`: the diff of an answer, also after it was applied.

    Args:
        session: Of the editor.
        given: The argument of the command.
    """
    fields = take("beast.preview", given, {"request_id": str, "show": bool})
    proposal = session.kept.get(fields.get("request_id"))
    if fields.get("show", True):
        await show_text(session, f"{proposal.title}-{proposal.request_id[-8:]}", proposal.diff, ".diff")
    return {"diff": proposal.diff, "request_id": proposal.request_id, "applied": proposal.applied}


async def apply_kept(session: Session, given: Any) -> dict[str, Any]:
    """`beast.apply`: applies the edits of an answer, to the text as it is now.

    Args:
        session: Of the editor.
        given: The argument of the command.
    """
    fields = take("beast.apply", given, {"request_id": str})
    proposal = session.kept.get(fields.get("request_id"))
    if proposal.applied or proposal.applying:
        reason = "It was applied already." if proposal.applied else "It is being applied."
        return {"applied": False, "reason": reason, "request_id": proposal.request_id}
    proposal.reason = None if proposal.sound else proposal.reason
    await apply_proposal(session, proposal)
    found: dict[str, Any] = {"applied": proposal.applied, "request_id": proposal.request_id}
    if proposal.reason is not None:
        found["reason"] = proposal.reason
        session.say(f"{proposal.title}: {proposal.reason}", types.MessageType.Warning)
    return found
