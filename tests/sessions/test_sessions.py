"""Chat histories on disk: what was said is read back, whatever happened to the file in between."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from beastmode.core.errors import BadInputError, InternalError, NotFoundError
from beastmode.core.types import Message
from beastmode.sessions import TITLE_MAX_CHARS, Sessions
from support.ledger import NOON_S, StillClock


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(tmp_path / "sessions", StillClock())


def file_of(tmp_path: Path, name: str = "s") -> Path:
    return tmp_path / "sessions" / f"{name}.jsonl"


async def exchange(sessions: Sessions, question: str, name: str = "s") -> None:
    await sessions.begin(name, question)
    await sessions.finish(name, f"re: {question}", "custom:a", "req_1")


async def test_a_new_session_begins_empty_and_the_next_question_knows_the_first(sessions: Sessions) -> None:
    assert await sessions.begin("s", "One") == []
    await sessions.finish("s", "1", "custom:a", "req_1")
    assert await sessions.begin("s", "Two") == [Message("user", "One"), Message("assistant", "1")]


async def test_questions_that_were_never_answered_are_kept_but_not_sent(sessions: Sessions) -> None:
    await sessions.begin("s", "Lost")
    await exchange(sessions, "Found")
    assert await sessions.begin("s", "Next") == [Message("user", "Found"), Message("assistant", "re: Found")]
    assert [line.content for line in await sessions.get("s")] == ["Lost", "Found", "re: Found", "Next"]


async def test_each_line_says_when_who_and_by_which_request(sessions: Sessions) -> None:
    await exchange(sessions, "One")
    asked, answered = await sessions.get("s")
    assert (asked.role, asked.model, asked.request_id, asked.at_s) == ("user", None, None, NOON_S)
    assert (answered.role, answered.model, answered.request_id) == ("assistant", "custom:a", "req_1")


async def test_the_file_is_private(sessions: Sessions, tmp_path: Path) -> None:
    await exchange(sessions, "One")
    assert stat.S_IMODE(file_of(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(file_of(tmp_path).parent.stat().st_mode) == 0o700


async def test_a_line_that_was_cut_short_is_passed_over_and_spoils_no_other(sessions: Sessions, tmp_path: Path) -> None:
    await exchange(sessions, "One")
    file_of(tmp_path).write_bytes(file_of(tmp_path).read_bytes()[:-20])
    await exchange(sessions, "Two")
    with file_of(tmp_path).open("ab") as file:
        file.write(b"\xff\xfe\n[[[\n{}\n")
    assert [line.content for line in await sessions.get("s")] == ["One", "Two", "re: Two"]


async def test_a_file_of_a_newer_version_is_left_alone_and_named_in_the_list(
    sessions: Sessions, tmp_path: Path
) -> None:
    await exchange(sessions, "One", "old")
    file_of(tmp_path).write_text('{"at_s":1.0,"role":"user","content":"hi","schema":2}\n')
    with pytest.raises(BadInputError, match="newer version"):
        await sessions.begin("s", "One")
    with pytest.raises(BadInputError, match="newer version"):
        await sessions.get("s")
    assert {info.id: "newer" in info.title for info in await sessions.all()} == {"s": True, "old": False}
    assert file_of(tmp_path).read_text().count("\n") == 1


async def test_the_list_shows_the_last_used_first_with_the_beginning_of_its_first_message(
    tmp_path: Path,
) -> None:
    clock = StillClock()
    sessions = Sessions(tmp_path / "sessions", clock)
    await exchange(sessions, "word " * 40, "long")
    clock.wall_s = lambda: NOON_S + 5  # type: ignore[method-assign]  # later
    await exchange(sessions, "short  and\nsweet", "brief")
    brief, long = await sessions.all()
    assert (brief.id, brief.title, brief.messages, brief.updated_at_s) == ("brief", "short and sweet", 2, NOON_S + 5)
    assert (len(long.title), long.title.endswith("…")) == (TITLE_MAX_CHARS, True)
    assert await sessions.between(NOON_S + 1) == ["brief"]
    assert await sessions.between(NOON_S, NOON_S + 5) == ["long"]


async def test_an_empty_file_is_a_session_without_messages(sessions: Sessions, tmp_path: Path) -> None:
    await exchange(sessions, "One")
    file_of(tmp_path, "empty").touch()
    assert {info.id: info.messages for info in await sessions.all()} == {"s": 2, "empty": 0}


async def test_a_session_that_goes_while_it_is_listed_is_left_out(sessions: Sessions, tmp_path: Path) -> None:
    await exchange(sessions, "One")
    file_of(tmp_path, "gone").symlink_to(tmp_path / "nowhere")
    assert [info.id for info in await sessions.all()] == ["s"]


async def test_a_removed_session_is_gone_and_one_that_never_was_is_said_so(sessions: Sessions) -> None:
    await exchange(sessions, "One")
    await sessions.remove("s")
    for work in (sessions.get, sessions.remove):
        with pytest.raises(NotFoundError, match="no session `s`"):
            await work("s")


@pytest.mark.parametrize("name", ["../up", "a/b", "", "x" * 65, ".hidden", "a\0b"])
async def test_a_name_that_is_a_path_is_refused(sessions: Sessions, name: str) -> None:
    with pytest.raises(BadInputError, match="can not name a session"):
        await sessions.begin(name, "hi")


async def test_a_full_disk_is_an_error_with_a_tip_and_half_a_line_spoils_no_other(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    await exchange(sessions, "One")
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, data: write(file, data[:10]))
        with pytest.raises(InternalError, match="half a line") as caught:
            await sessions.begin("s", "Two")

        def refuse(file: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        full.setattr(os, "write", refuse)
        with pytest.raises(InternalError, match="No space left"):
            await sessions.finish("s", "2", "custom:a", "req_2")
    assert caught.value.tips == ["free disk space, then ask again"]
    await exchange(sessions, "Three")
    assert [line.content for line in await sessions.get("s")] == ["One", "re: One", "Three", "re: Three"]
