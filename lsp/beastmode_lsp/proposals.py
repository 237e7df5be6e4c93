"""What an answer would change: the daemon's diffs, each against the text that was read, kept until they are used."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pygls.uris import from_fs_path

from beastmode_lsp.documents import Document, Snapshot, digest, path_of
from beastmode_lsp.edits import DiffError, Edit, apply, edits_of
from beastmode_lsp.positions import Point, Span, split_lines

if TYPE_CHECKING:
    from beastmode_lsp.session import Session

BOM = "\ufeff"


@dataclass
class FileChange:
    """What becomes of one file.

    Attributes:
        kind: modify, create, delete or rename.
        uri: The editor's name of it.
        diff: As the daemon gave it.
        new_uri: Where it is renamed to.
        snapshot: The text that the diff is against; None for a new file.
        edits: What the diff means for that text.
        text: All of a new file.
    """

    kind: str
    uri: str
    diff: str
    new_uri: str | None = None
    snapshot: Snapshot | None = None
    edits: list[Edit] = field(default_factory=list)
    text: str = ""

    def shown(self) -> dict[str, Any]:
        """As a command's result has it."""
        version = self.snapshot.version if self.snapshot is not None else None
        found = {"uri": self.uri, "version": version, "diff": self.diff, "kind": self.kind}
        return found if self.new_uri is None else {**found, "new_uri": self.new_uri}


@dataclass
class Proposal:
    """All that one answer would change.

    Attributes:
        request_id: Of the answer.
        title: What the user sees it called, such as `BEAST: Refactor`.
        files: What becomes of each file.
        reason: Why it can not be applied, or was not; None: nothing stands against it.
        applied: Whether the editor has taken it.
        applying: Whether it is on its way into the editor.
        sound: Whether the diffs fit the texts that they name; else it can never be applied.
    """

    request_id: str
    title: str
    files: list[FileChange]
    reason: str | None = None
    applied: bool = False
    applying: bool = False
    sound: bool = True

    @property
    def lines(self) -> int:
        """How many lines of documents it holds on to."""
        return sum(len(one.snapshot.lines) for one in self.files if one.snapshot is not None)

    @property
    def diff(self) -> str:
        """Everything, as one unified diff."""
        return "".join(one.diff if one.diff.endswith("\n") else f"{one.diff}\n" for one in self.files if one.diff)


async def propose(session: Session, title: str, answer: dict[str, Any], asked: Snapshot) -> Proposal:
    """Makes of the daemon's edits what can be applied here.

    Args:
        session: Of the editor.
        title: What the user sees it called.
        answer: Of the method `action`.
        asked: The document that was asked about, as it was sent.
    """
    proposal = Proposal(str(answer.get("request_id") or ""), title, [])
    for edit in answer.get("edits") or ():
        change, reason = await _change(session, edit, asked)
        proposal.files.append(change)
        proposal.reason = proposal.reason or reason
    proposal.sound = proposal.reason is None
    return proposal


async def propose_in(
    session: Session, title: str, answer: dict[str, Any], root: str, held: Mapping[str, Snapshot]
) -> Proposal:
    """Makes of the edits of a whole folder what can be applied here.

    Args:
        session: Of the editor.
        title: What the user sees it called.
        answer: Of the method `generate`.
        root: The folder.
        held: Open documents as they were sent, by address.
    """
    proposal = Proposal(str(answer.get("request_id") or ""), title, [])
    for edit in answer.get("edits") or ():
        uri = _uri(root, edit["path"])
        nothing = Snapshot(None, "", None, [""], 0)
        change, reason = await _placed(session, edit, held.get(uri or "", nothing), root, uri)
        proposal.files.append(change)
        proposal.reason = proposal.reason or reason
    proposal.sound = proposal.reason is None
    return proposal


async def _change(session: Session, edit: dict[str, Any], asked: Snapshot) -> tuple[FileChange, str | None]:
    """One file's change, and why it can not be applied."""
    place = session.place(asked.uri)
    path, name = path_of(asked.uri), edit["path"]
    root = place.get("workspace") or (str(Path(path).parent) if path is not None else None)
    return await _placed(session, edit, asked, root, asked.uri if name == place["path"] else _uri(root, name))


async def _placed(
    session: Session, edit: dict[str, Any], asked: Snapshot, root: str | None, uri: str | None
) -> tuple[FileChange, str | None]:
    """One file's change at its address."""
    name = edit["path"]
    change = FileChange(edit.get("kind", "modify"), uri or name, edit.get("diff") or "")
    if uri is None and root is None:
        return change, f"There is no folder yet that {name} could lie in. Try: save the document first"
    if uri is None:
        return change, f"{name} lies outside the folder that the action is about."
    if edit.get("new_path") is not None:
        change.new_uri = _uri(root, edit["new_path"])
        if change.new_uri is None:
            return change, f"{edit['new_path']} lies outside the folder that the action is about."
    try:
        await _fit(session, change, edit, asked)
    except (DiffError, OSError, ValueError) as error:
        return change, getattr(error, "sentence", None) or f"{name} can not be read: {error}."
    return change, None


async def _fit(session: Session, change: FileChange, edit: dict[str, Any], asked: Snapshot) -> None:
    """Finds the text that a diff is against, and what the diff means for it."""
    if change.kind == "create":
        change.text = "".join(apply([""], edits_of(change.diff, [""])))
        return
    change.snapshot = asked if change.uri == asked.uri else await read(session, change.uri)
    change.edits = await asyncio.to_thread(_meant, change.snapshot, edit)


def _meant(snapshot: Snapshot, edit: dict[str, Any]) -> list[Edit]:
    """What a diff means for a text, without its byte order mark, which the daemon does not see."""
    before = snapshot.text.removeprefix(BOM)
    if edit.get("before_sha256") != digest(before):
        raise DiffError(f"{edit['path']} is not the text that the answer was made for.")
    diff = edit.get("diff")
    return _behind_mark(edits_of(diff, split_lines(before)), snapshot.lines) if diff else []


def _behind_mark(edits: list[Edit], lines: Sequence[str]) -> list[Edit]:
    """Edits of a text without its byte order mark, as edits of the text with it."""
    if not lines[0].startswith(BOM):
        return edits

    def moved(point: Point) -> Point:
        return Point(point.line, point.column + (point.line == 0))

    return [Edit(Span(moved(one.span.start), moved(one.span.end)), one.text) for one in edits]


async def read(session: Session, uri: str) -> Snapshot:
    """A document as it is now: what the editor has open, else the file.

    Args:
        session: Of the editor.
        uri: The editor's name of it.

    Raises:
        OSError: There is no such file.
        ValueError: It is no text.
    """
    path = path_of(uri)
    document: Document | None = session.documents.find(uri)
    if document is None and path is not None:
        document = session.documents.find_path(path)
    if document is not None:
        return document.snapshot()
    if path is None:
        raise FileNotFoundError(f"{uri} is not open")
    raw = await asyncio.to_thread(Path(path).read_bytes)
    return Snapshot(None, uri, None, split_lines(raw.decode()), 0)


def _uri(root: str | None, name: str) -> str | None:
    """The address of a path inside a folder; None for one that leads out of it."""
    if root is None:
        return None
    path = os.path.normpath(Path(root) / name)
    inside = path.startswith(root.rstrip("/") + "/")
    return from_fs_path(path) if inside else None
