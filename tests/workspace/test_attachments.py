"""What a request attaches is read inside its workspace only, is text, and is never a secret."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from beastmode.core.errors import BadInputError, BeastError, NotFoundError
from beastmode.core.types import Digest, Message
from beastmode.workspace.attachments import FILE_MAX_BYTES, Document, attach


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "b.py").write_text("print('é')\n")
    (root / "a.py").write_text("x = 1\n")
    return root


async def refused(root: Path, path: str) -> BeastError:
    with pytest.raises(BeastError) as caught:
        await attach(str(root), [path], [])
    return caught.value


async def test_pieces_come_in_the_order_of_their_paths_with_their_digests(root: Path) -> None:
    found = await attach(str(root), ["b.py", "a.py"], [])
    assert found.messages == [
        Message("user", "File a.py:\n```\nx = 1\n\n```"),
        Message("user", "File b.py:\n```\nprint('é')\n\n```"),
    ]
    assert found.digests[0] == Digest("a.py", hashlib.sha256(b"x = 1\n").hexdigest())


async def test_unsaved_text_wins_over_the_disk_and_its_digest_counts(root: Path) -> None:
    found = await attach(str(root), ["a.py"], [Document("a.py", "x = 2\n", 7), Document("new.py", "y = 3\n")])
    assert [message.content for message in found.messages] == [
        "File a.py:\n```\nx = 2\n\n```",
        "File new.py:\n```\ny = 3\n\n```",
    ]
    assert found.digests[0].sha256 == hashlib.sha256(b"x = 2\n").hexdigest()


async def test_documents_need_no_workspace_but_files_do() -> None:
    assert (await attach(None, [], [Document("a.py", "x")])).messages
    with pytest.raises(BadInputError, match="inside a workspace") as caught:
        await attach(None, ["a.py"], [])
    assert caught.value.tips == ["set `workspace`"]


async def test_an_absolute_path_inside_is_fine(root: Path) -> None:
    assert (await attach(str(root), [str(root / "a.py")], [])).messages


async def test_nothing_outside_is_read_by_whatever_way(root: Path) -> None:
    (root.parent / "outside.txt").write_text("not yours")
    (root / "link.txt").symlink_to(root.parent / "outside.txt")
    for path in ("../outside.txt", str(root.parent / "outside.txt"), "link.txt"):
        assert "leads out of the workspace" in (await refused(root, path)).message


@pytest.mark.parametrize("path", ["none.py", "a.py/x", "a\0b", "loop"])
async def test_what_is_not_there_is_said_so(root: Path, path: str) -> None:
    (root / "loop").symlink_to(root / "loop")
    error = await refused(root, path)
    assert isinstance(error, NotFoundError)
    assert "check the path" in error.tips[0]


async def test_a_workspace_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        await attach(str(tmp_path / "none"), ["a.py"], [])


async def test_only_regular_files_are_read(root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    for path in ("pipe", "folder"):
        assert "no regular file" in (await refused(root, path)).message


async def test_a_file_that_can_not_be_opened_is_an_error_with_a_tip(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("sock")
        error = await refused(root, "sock")
    assert "can not be read" in error.message
    assert error.tips[0].startswith("look: ls -l")


async def test_what_is_too_large_or_no_text_is_refused(root: Path) -> None:
    (root / "large.txt").write_bytes(b"x" * (FILE_MAX_BYTES + 1))
    (root / "full.txt").write_bytes(b"x" * FILE_MAX_BYTES)
    (root / "latin.txt").write_bytes(b"caf\xe9")
    (root / "zero.bin").write_bytes(b"a\0b")
    assert f"over {FILE_MAX_BYTES} bytes" in (await refused(root, "large.txt")).message
    assert "no UTF-8" in (await refused(root, "latin.txt")).message
    assert "binary" in (await refused(root, "zero.bin")).message
    assert (await attach(str(root), ["full.txt"], [])).messages


@pytest.mark.parametrize(
    "name", [".env", ".env.local", "id_ed25519", "server.pem", "deploy/tls.key", "credentials.json"]
)
async def test_a_file_named_like_a_secret_is_neither_stored_nor_sent(root: Path, name: str) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("harmless")
    assert "secret" in (await refused(root, name)).message


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA PRIVATE " + "KEY-----",
        "AKIA" + "A1B2C3D4E5F6G7H8",
        "sk-" + "abcdefghij0123456789",
        "ghp_" + "a" * 36,
        "xoxb-" + "1" * 24,
    ],
)
async def test_a_secret_inside_a_document_is_neither_stored_nor_sent(text: str) -> None:
    with pytest.raises(BadInputError, match="looks like it holds a secret"):
        await attach(None, [], [Document("notes.txt", f"token = {text}\n")])
