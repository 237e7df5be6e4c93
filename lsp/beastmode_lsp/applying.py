"""Edits on their way into the editor: for the version that it has, moved where that is proven, else not at all.

An edit goes out with the version that it was made or moved for, right after that version was looked at. What the user
types while it travels makes the editor refuse it; then it is moved once more, a few times. Editors that take no
versions (`changes` only) can not refuse: they get edits for the very text that was asked about, never moved ones, and
what is typed within one message's way, a few milliseconds, is their risk; where that happened, the user is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from beastmode_lsp.documents import Document, Snapshot, path_of
from beastmode_lsp.edits import Edit, apply, is_missing, rebase
from beastmode_lsp.positions import Point, character_of, replace
from beastmode_lsp.proposals import FileChange, Proposal, read

if TYPE_CHECKING:
    from beastmode_lsp.session import Session

TRIES = 4
CHANGE_WAIT_S = 0.5
REFUSED_WAIT_S = 1.0  # eglot tells of what was typed after half a second
QUIET_S = 0.25
ANNOTATION = "beast"
MOVED_ON = "The text has changed where the answer would change it, so nothing was applied."
TextEdits = Sequence[types.TextEdit | types.AnnotatedTextEdit | types.SnippetTextEdit]
CROSSED = (
    "BEAST: you typed while the edit was on its way, and this editor can not tell. Look at it: undo takes it back."
)
Operation = types.TextDocumentEdit | types.CreateFile | types.RenameFile | types.DeleteFile


class NotPossibleError(Exception):
    """The edits can not go into this editor.

    Args:
        reason: One sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Sent:
    """What was sent for one open document.

    Attributes:
        document: The document.
        snapshot: As it was then.
        edits: For that.
    """

    document: Document
    snapshot: Snapshot
    edits: list[Edit]


async def apply_proposal(session: Session, proposal: Proposal) -> None:
    """Applies what an answer would change; sets `applied` and `reason`.

    Args:
        session: Of the editor.
        proposal: Not yet applied.
    """
    try:
        if proposal.reason is None and not session.editor.applies_edits:
            raise NotPossibleError("This editor takes no edits from a server.")
        proposal.applying = True
        if proposal.reason is None and await _send(session, proposal):
            proposal.applied = True
    except NotPossibleError as refused:
        proposal.reason = refused.reason
    finally:
        proposal.applying = False


async def _send(session: Session, proposal: Proposal) -> bool:
    reason = "The editor did not apply the edit."
    for _ in range(TRIES):
        await prepare(session, proposal)
        edit, sent = workspace_edit(session, proposal)
        serials = {one.document: one.document.serial for one in sent}
        params = types.ApplyWorkspaceEditParams(edit=edit, label=proposal.title)
        try:
            result = await session.server.workspace_apply_edit_async(params)
        except JsonRpcException as error:  # as eglot refuses an edit for another version
            result = types.ApplyWorkspaceEditResult(applied=False, failure_reason=error.message)
        if result.applied:
            if not session.editor.versioned and await _crossed(sent):
                session.say(CROSSED, types.MessageType.Warning)
            if not session.editor.versioned or not await _was_lost(sent):
                return True
            reason = MOVED_ON
        else:
            reason = result.failure_reason or reason
            if not sent or not await _changes(serials, REFUSED_WAIT_S):
                break  # it was not for what the user typed: the same edit would be refused again
    raise NotPossibleError(reason)


async def prepare(session: Session, proposal: Proposal) -> None:
    """Looks once more at files that the editor has not open.

    Raises:
        NotPossibleError: One has changed, or is in the way.
    """
    for change in proposal.files:
        path = path_of(change.uri)
        if change.kind == "create":
            taken = path is not None and await asyncio.to_thread(Path(path).exists)
            if taken or session.documents.find(change.uri) is not None:
                raise NotPossibleError(f"{Path(path or change.uri).name} is there already.")
        elif change.snapshot is not None and change.snapshot.document is None:
            try:
                now = await read(session, change.uri)
            except (OSError, ValueError):
                now = None
            if now is None or now.sha256 != change.snapshot.sha256:
                raise NotPossibleError(MOVED_ON)
            change.snapshot = now


def workspace_edit(session: Session, proposal: Proposal) -> tuple[types.WorkspaceEdit, list[Sent]]:
    """The edit for the documents as they are at this moment.

    Args:
        session: Of the editor.
        proposal: What is to be applied.

    Returns:
        The edit, and what of it is about open documents.

    Raises:
        NotPossibleError: A document has moved on, or the editor can not do it.
    """
    editor = session.editor
    note = ANNOTATION if editor.annotates else None
    sent: list[Sent] = []
    operations: list[Operation] = []
    for change in proposal.files:
        if change.kind != "modify" and change.kind not in editor.operations:
            raise NotPossibleError(f"This editor can not {change.kind} files for a server; the text is shown.")
        operations += _operations(session, change, note, sent)
    if editor.versioned:
        label = types.ChangeAnnotation(label=proposal.title, needs_confirmation=False)
        annotations = {note: label} if note is not None else None
        return types.WorkspaceEdit(document_changes=operations, change_annotations=annotations), sent
    edits = [one for one in operations if isinstance(one, types.TextDocumentEdit)]
    plain = {one.text_document.uri: [edit for edit in one.edits if isinstance(edit, types.TextEdit)] for one in edits}
    return types.WorkspaceEdit(changes=plain), sent


def _operations(session: Session, change: FileChange, note: str | None, sent: list[Sent]) -> list[Operation]:
    found: list[Operation] = []
    if change.kind == "create":
        found.append(types.CreateFile(uri=change.uri, annotation_id=note))
        start = types.Position(0, 0)
        found.append(_text_edits(change.uri, None, [_text_edit(types.Range(start, start), change.text, note)]))
    elif change.edits:
        found.append(_modification(session, change, note, sent))
    if change.kind == "rename" and change.new_uri is not None:
        found.append(types.RenameFile(old_uri=change.uri, new_uri=change.new_uri, annotation_id=note))
    elif change.kind == "delete":
        document = session.documents.find(change.uri)
        if document is not None and change.snapshot is not None and document.lines != change.snapshot.lines:
            raise NotPossibleError(MOVED_ON)  # what was typed meanwhile would be gone
        found.append(types.DeleteFile(uri=change.uri, annotation_id=note))
    return found


def _modification(session: Session, change: FileChange, note: str | None, sent: list[Sent]) -> types.TextDocumentEdit:
    snapshot = change.snapshot
    assert snapshot is not None
    document = session.documents.find(snapshot.uri)
    if snapshot.document is None and document is None:
        lines, edits, version = snapshot.lines, change.edits, None
    else:
        known = document is not None and document is snapshot.document
        if document is None:
            raise NotPossibleError("The document was closed meanwhile, so nothing was applied.")
        movable = known and session.editor.versioned
        changes = document.changes_since(snapshot.serial) if movable else None
        moved = rebase(change.edits, snapshot, document.lines, changes)
        if moved is None:
            raise NotPossibleError(MOVED_ON)
        lines, edits, version = document.lines, moved, document.version
        if session.editor.label == "neovim" and not version:
            version = (
                1  # it does not look at the version 0, which a buffer has that was just opened; its next is above 1
            )
        sent.append(Sent(document, document.snapshot(), moved))
    encoding = session.documents.encoding

    def position(point: Point) -> types.Position:
        return types.Position(point.line, character_of(lines, point, encoding))

    made = [_text_edit(types.Range(position(one.span.start), position(one.span.end)), one.text, note) for one in edits]
    return _text_edits(snapshot.uri, version, made)


def _text_edit(range: types.Range, text: str, note: str | None) -> types.TextEdit | types.AnnotatedTextEdit:
    return types.TextEdit(range, text) if note is None else types.AnnotatedTextEdit(note, range, text)


def _text_edits(uri: str, version: int | None, edits: TextEdits) -> types.TextDocumentEdit:
    return types.TextDocumentEdit(types.OptionalVersionedTextDocumentIdentifier(uri=uri, version=version), edits)


async def _changes(serials: dict[Document, int], limit_s: float) -> bool:
    """Waits until one of the documents changes."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + limit_s
    while not any(document.serial != serial for document, serial in serials.items()):
        if loop.time() > until_s:
            return False
        await asyncio.sleep(0.01)
    return True


async def _was_lost(sent: list[Sent]) -> bool:
    """Whether the editor said yes and yet did not apply it, as Neovim does when the user has typed meanwhile.

    Only what is proven counts: the document has changed, and what the edit would have replaced is all there still.
    """
    serials = {one.document: one.snapshot.serial for one in sent}
    if not sent or not await _changes(serials, CHANGE_WAIT_S) or not _missing(sent):
        return False
    for _ in range(TRIES):  # the editor's change may follow the one that came first
        if not await _changes({one.document: one.document.serial for one in sent}, QUIET_S):
            break
    return _missing(sent)


def _missing(sent: list[Sent]) -> bool:
    return all(
        is_missing(one.edits, one.snapshot, one.document.lines, one.document.changes_since(one.snapshot.serial))
        for one in sent
        if one.document.serial != one.snapshot.serial
    )


async def _crossed(sent: list[Sent]) -> bool:
    """Whether what the editor made of the edit is not what was meant, since something else was typed before it."""
    serials = {one.document: one.snapshot.serial for one in sent}
    for wait_s in (CHANGE_WAIT_S, *[QUIET_S] * TRIES):  # it may tell of the edit piece by piece
        if not await _changes(serials, wait_s) or not any(map(_differs, sent)):
            break
        serials = {one.document: one.document.serial for one in sent}
    return any(map(_differs, sent))


def _differs(one: Sent) -> bool:
    """Whether no state of the document since is the one that the edit makes; nothing known is no difference."""
    wanted = apply(one.snapshot.lines, one.edits)
    lines = list(one.snapshot.lines)
    changes = one.document.changes_since(one.snapshot.serial) or []
    for change in changes:
        replace(lines, change.span, change.text)
        if lines == wanted:
            return False
    return bool(changes)
