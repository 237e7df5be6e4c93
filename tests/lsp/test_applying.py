"""Edits on their way into an editor: files that come, go and get other names; only where the editor can do it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from lsprotocol import types as t

from beastmode_lsp.applying import NotPossibleError, apply_proposal, prepare, workspace_edit
from beastmode_lsp.documents import Documents
from beastmode_lsp.editor import Editor
from beastmode_lsp.proposals import Proposal, propose, read
from beastmode_lsp.session import Session

TEXT = "one\ntwo\nthree\n"
DIFF = "--- a/a.txt\n+++ b/a.txt\n@@ -2,1 +2,1 @@\n-two\n+2\n"


def a_session(root: Path, **can: Any) -> Session:
    """A session of an editor whose only folder is `root`."""
    folder = t.WorkspaceFolder(root.as_uri(), "it")
    server = SimpleNamespace(workspace=Documents(None, [folder], "utf-16"), max_document_bytes=1 << 20)
    session = Session(cast(Any, server))
    everything = {"applies_edits": True, "versioned": True, "operations": frozenset({"create", "rename", "delete"})}
    session.editor = Editor(**{**everything, **can})
    return session


def opened(session: Session, uri: str, text: str = TEXT) -> None:
    session.documents.put_text_document(t.TextDocumentItem(uri, "text", 3, text))


async def proposed(session: Session, root: Path, *edits: dict[str, Any]) -> Proposal:
    """What an answer about a.txt would change."""
    uri = (root / "a.txt").as_uri()
    answer = {"request_id": "r1", "edits": [{"before_sha256": sha(TEXT), "diff": "", **one} for one in edits]}
    return await propose(session, "BEAST: Refactor", answer, await read(session, uri))


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def test_a_file_gets_another_name_and_another_text(tmp_path: Path) -> None:
    session = a_session(tmp_path)
    opened(session, (tmp_path / "a.txt").as_uri())
    edit = {"path": "a.txt", "kind": "rename", "new_path": "b/c.txt", "diff": DIFF}
    proposal = await proposed(session, tmp_path, edit)
    made, _ = workspace_edit(session, proposal)
    change, rename = made.document_changes or ()
    assert isinstance(change, t.TextDocumentEdit)
    assert change.text_document.version == 3
    assert isinstance(rename, t.RenameFile)
    assert (rename.old_uri, rename.new_uri) == ((tmp_path / "a.txt").as_uri(), (tmp_path / "b/c.txt").as_uri())
    assert proposal.files[0].shown()["new_uri"] == rename.new_uri


async def test_a_file_goes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    session = a_session(tmp_path)
    proposal = await proposed(session, tmp_path, {"path": "a.txt", "kind": "delete"})
    await prepare(session, proposal)
    made, sent = workspace_edit(session, proposal)
    assert made.document_changes == [t.DeleteFile(uri=(tmp_path / "a.txt").as_uri())]
    assert sent == []


async def test_a_file_in_which_was_typed_does_not_go(tmp_path: Path) -> None:
    session = a_session(tmp_path)
    opened(session, (tmp_path / "a.txt").as_uri())
    proposal = await proposed(session, tmp_path, {"path": "a.txt", "kind": "delete"})
    document = session.documents.find((tmp_path / "a.txt").as_uri())
    assert document is not None
    document.change(t.TextDocumentContentChangeWholeDocument(TEXT + "typed\n"), 4)
    with pytest.raises(NotPossibleError):
        workspace_edit(session, proposal)


@pytest.mark.parametrize("kind", ["create", "rename", "delete"])
async def test_what_an_editor_can_not_do_is_not_sent_to_it(tmp_path: Path, kind: str) -> None:
    session = a_session(tmp_path, operations=frozenset({"create", "rename", "delete"} - {kind}))
    opened(session, (tmp_path / "a.txt").as_uri())
    path = "new.txt" if kind == "create" else "a.txt"
    proposal = await proposed(session, tmp_path, {"path": path, "kind": kind, "new_path": None})
    with pytest.raises(NotPossibleError) as refused:
        workspace_edit(session, proposal)
    assert f"can not {kind} files" in refused.value.reason


async def test_another_open_document_is_changed_too(tmp_path: Path) -> None:
    session = a_session(tmp_path)
    for name in ("a.txt", "other.txt"):
        opened(session, (tmp_path / name).as_uri())
    proposal = await proposed(session, tmp_path, *({"path": name, "diff": DIFF} for name in ("a.txt", "other.txt")))
    made, sent = workspace_edit(session, proposal)
    assert [one.snapshot.version for one in sent] == [3, 3]
    assert len(made.document_changes or ()) == 2
    assert proposal.diff == DIFF * 2


@pytest.mark.parametrize("path", ["../outside.txt", "/etc/hosts", "a/../../b.txt"])
async def test_nothing_outside_the_folder_is_touched(tmp_path: Path, path: str) -> None:
    session = a_session(tmp_path)
    opened(session, (tmp_path / "a.txt").as_uri())
    for edit in ({"path": path, "diff": DIFF}, {"path": "a.txt", "kind": "rename", "new_path": path}):
        proposal = await proposed(session, tmp_path, edit)
        await apply_proposal(session, proposal)
        assert not proposal.applied
        assert not proposal.sound
        assert "outside the folder" in (proposal.reason or "")


async def test_an_answer_for_another_text_is_not_applied(tmp_path: Path) -> None:
    session = a_session(tmp_path)
    opened(session, (tmp_path / "a.txt").as_uri())
    proposal = await proposed(session, tmp_path, {"path": "a.txt", "diff": DIFF, "before_sha256": sha("other")})
    assert proposal.reason == "a.txt is not the text that the answer was made for."
    proposal = await proposed(session, tmp_path, {"path": "gone.txt", "diff": DIFF})
    assert "can not be read" in (proposal.reason or "")
    proposal = await proposed(session, tmp_path, {"path": "a.txt", "diff": "@@ -1 +1 @@\n-no\n+yes\n"})
    assert proposal.reason == "The diff does not fit the text at line 1."


async def test_a_byte_order_mark_stays_where_it_is(tmp_path: Path) -> None:
    session = a_session(tmp_path)
    opened(session, (tmp_path / "a.txt").as_uri(), "\ufeff" + TEXT)
    diff = "@@ -1,3 +1,3 @@\n-one\n+1\n two\n three\n"
    proposal = await proposed(session, tmp_path, {"path": "a.txt", "diff": diff})
    made, _ = workspace_edit(session, proposal)
    (change,) = made.document_changes or ()
    assert isinstance(change, t.TextDocumentEdit)
    assert change.edits[0].range == t.Range(t.Position(0, 1), t.Position(0, 4))  # type: ignore[union-attr]


async def test_a_file_that_is_there_already_is_not_made_anew(tmp_path: Path) -> None:
    session = a_session(tmp_path)
    opened(session, (tmp_path / "a.txt").as_uri())
    diff = "--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1 @@\n+x\n"
    proposal = await proposed(session, tmp_path, {"path": "new.txt", "kind": "create", "diff": diff})
    await prepare(session, proposal)
    (tmp_path / "new.txt").write_text("mine")
    with pytest.raises(NotPossibleError, match=r"new\.txt is there already"):
        await prepare(session, proposal)


async def test_a_document_that_was_closed_takes_no_edit(tmp_path: Path) -> None:
    session = a_session(tmp_path)
    uri = (tmp_path / "a.txt").as_uri()
    opened(session, uri)
    proposal = await proposed(session, tmp_path, {"path": "a.txt", "diff": DIFF})
    session.documents.remove_text_document(uri)
    with pytest.raises(NotPossibleError) as refused:
        workspace_edit(session, proposal)
    assert "closed" in refused.value.reason
    opened(session, uri)  # opened anew with the same text: it is the text that was meant
    assert workspace_edit(session, proposal)[1]
    opened(session, uri, "zero\n" + TEXT)
    with pytest.raises(NotPossibleError):
        workspace_edit(session, proposal)
