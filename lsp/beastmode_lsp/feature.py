"""`beast.generateFeature`: a feature of several files: the editor shows how far it is, then what it is, then has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pygls.exceptions import JsonRpcInvalidParams

from beastmode_lsp.actions import show_proposal
from beastmode_lsp.applying import apply_proposal
from beastmode_lsp.arguments import Kinds, take
from beastmode_lsp.asking import ask
from beastmode_lsp.costs import cost_line
from beastmode_lsp.proposals import Proposal, propose_in
from beastmode_lsp.sources import with_links

if TYPE_CHECKING:
    from beastmode_lsp.documents import Snapshot
    from beastmode_lsp.session import Session

TITLE = "BEAST: Generate feature"
SENT_MAX_CHARS = 2_000_000
_FIELDS: Kinds = {
    "request": str,
    "uri": str,
    "files": list,
    "model": str,
    "cache": str,
    "id": (str, int),
    "resume": str,
    "apply": bool,
    "show": bool,
}
_TOLD = ("id", "summary", "problems", "repairs", "calls", "checked", "request_id", "model", "cost_usd", "saved_usd")


async def generate_feature(session: Session, given: Any) -> dict[str, Any]:
    """Has a feature made for the folder that a document lies in, or for the first one.

    Its edits are shown; `apply` puts them into the editor at once, as one edit that one undo takes back, and
    `beast.apply` does so later. Texts that the editor holds win over the disk.

    Args:
        session: Of the editor.
        given: The argument of the command: `{request, uri?, files?, model?, cache?, id?, resume?, apply?, show?}`.
    """
    fields = take("beast.generateFeature", given, _FIELDS)
    if not fields.get("request", "").strip() and "resume" not in fields:
        raise JsonRpcInvalidParams("beast.generateFeature needs `request`: what is wanted, in words.")
    root = session.documents.root_of(fields["uri"]) if "uri" in fields else session.documents.first_root
    if root is None:
        raise JsonRpcInvalidParams("beast.generateFeature needs a folder. Try: open one in the editor")
    snapshots = _open_in(session, root)
    answer: dict[str, Any] = await ask(
        session, "generate", _params(session, root, fields, snapshots), TITLE, _id(fields)
    )
    proposal = await propose_in(session, TITLE, answer, root, {one.uri: one for one in snapshots})
    if proposal.files:
        session.kept.put(proposal)
        await _use(session, proposal, apply=fields.get("apply", False), show=fields.get("show", True))
    else:
        proposal.reason = answer.get("summary") or "There is nothing to change."
        session.say(f"{TITLE}: {proposal.reason}")
    return _result(answer, proposal, root)


def _id(fields: dict[str, Any]) -> str | None:
    return str(fields["id"]) if "id" in fields else None


def _open_in(session: Session, root: str) -> list[Snapshot]:
    """What the editor holds of a folder, as it is now."""
    found: list[Snapshot] = []
    left = SENT_MAX_CHARS
    for document in session.documents.all():
        if session.documents.root_of(document.uri) != root or document.chars > left:
            continue
        left -= document.chars
        found.append(document.snapshot())
    return found


def _params(session: Session, root: str, fields: dict[str, Any], snapshots: list[Snapshot]) -> dict[str, Any]:
    if "resume" in fields:
        return {"resume": fields["resume"]}
    params = {"request": fields["request"], "workspace": root, **session.identity(fields.get("model"))}
    params["documents"] = [
        {"path": session.place(one.uri)["path"], "text": one.text, "version": one.version} for one in snapshots
    ]
    return {**params, **{name: fields[name] for name in ("files", "cache") if name in fields}}


async def _use(session: Session, proposal: Proposal, *, apply: bool, show: bool) -> None:
    if apply:
        await apply_proposal(session, proposal)
    elif proposal.reason is None:
        proposal.reason = "It was asked for as a preview. Run beast.apply to apply it."
    if not proposal.applied and show:
        await show_proposal(session, proposal)


def _result(answer: dict[str, Any], proposal: Proposal, root: str) -> dict[str, Any]:
    found = {name: answer.get(name) for name in _TOLD}
    found |= {"edits": [one.shown() for one in proposal.files], "applied": proposal.applied}
    if proposal.reason is not None:
        found["reason"] = proposal.reason
    return {**found, "sources": with_links(answer.get("sources") or [], root), "costLine": cost_line(answer)}
