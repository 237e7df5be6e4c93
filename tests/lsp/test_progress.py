"""Progress: begun, told of now and then, always ended; and files for long texts, private and few."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from beastmode_lsp.progress import Cancellers, Progress
from beastmode_lsp.showing import KEPT_FILES, MESSAGE_CHARS, show_text
from support.lsp_client import LspError
from support.lsp_house import EVERYTHING, House
from support.scripts import Fail

URI = "file:///work/a.py"
SLOW = " ".join(f"word{i}" for i in range(60))


@pytest.fixture(scope="module")
def the_house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture
def house(the_house: House) -> House:
    the_house.clean()
    return the_house


def told(editor: Any) -> list[tuple[Any, str, str | None]]:
    found = editor.client.of("$/progress")
    return [(one["token"], one["value"]["kind"], one["value"].get("message")) for one in found]


def test_the_editors_own_token_is_used(house: House) -> None:
    house.coder.answers(SLOW, pause_s=0.02)
    editor = house.editor()
    editor.open(URI, "x = 1\n")
    params = {"command": "beast.explain", "arguments": [{"uri": URI}], "workDoneToken": "mine"}
    editor.client.request("workspace/executeCommand", params)
    kinds = [kind for token, kind, _ in told(editor) if token == "mine"]
    assert (kinds[0], kinds[-1]) == ("begin", "end")
    assert 1 <= kinds.count("report") <= 8
    assert editor.client.of("window/workDoneProgress/create") == []
    begin = editor.client.of("$/progress")[0]["value"]
    assert (begin["title"], begin["cancellable"]) == ("BEAST: Explain", True)


def test_a_token_is_made_where_there_is_none(house: House) -> None:
    house.coder.answers(SLOW, pause_s=0.005)
    editor = house.editor()
    editor.open(URI, "x = 1\n")
    editor.client.command("beast.explain", {"uri": URI})
    (made,) = editor.client.of("window/workDoneProgress/create")
    kinds = [kind for token, kind, _ in told(editor) if token == made["token"]]
    assert (kinds[0], kinds[-1]) == ("begin", "end")


def test_an_editor_that_shows_none_is_told_nothing(house: House) -> None:
    editor = house.editor({**EVERYTHING, "window": {}})
    editor.open(URI, "x = 1\n")
    editor.client.command("beast.explain", {"uri": URI})
    assert editor.client.of("window/workDoneProgress/create") == told(editor) == []


def test_it_ends_when_the_model_fails(house: House) -> None:
    house.coder.say = lambda asked: Fail(401)
    editor = house.editor()
    editor.open(URI, "x = 1\n")
    with pytest.raises(LspError):
        editor.client.request(
            "workspace/executeCommand",
            {"command": "beast.explain", "arguments": [{"uri": URI}], "workDoneToken": "mine"},
        )
    assert told(editor)[-1] == ("mine", "end", "failed")


def test_it_ends_when_it_is_stopped(house: House) -> None:
    house.coder.answers(SLOW * 20, pause_s=0.02)
    editor = house.editor()
    editor.open(URI, "x = 1\n")
    params = {"command": "beast.chat", "arguments": [{"message": "Go on."}], "workDoneToken": "mine"}
    pending = editor.client.begin("workspace/executeCommand", params)
    editor.client.wait_for("$/progress")
    editor.client.notify("window/workDoneProgress/cancel", {"token": "mine"})
    with pytest.raises(LspError):
        pending.result()
    assert told(editor)[-1] == ("mine", "end", "stopped")
    editor.client.notify("window/workDoneProgress/cancel", {"token": "mine"})
    editor.client.notify("beast/cancel", {"id": "nothing"})
    assert editor.client.command("beast.clear") == {"cleared": True}


async def test_an_editor_that_never_makes_the_place_is_not_waited_for() -> None:
    never = asyncio.get_running_loop().create_future()
    sent: list[Any] = []

    async def create(params: Any) -> None:
        await never

    server = SimpleNamespace(
        background=lambda work: asyncio.ensure_future(work),
        window_work_done_progress_create_async=create,
        progress=sent.append,
    )
    async with Progress(cast(Any, server), Cancellers(), "BEAST", None, True) as progress:
        progress.came("a word")
    assert sent == []


def a_session(folder: Path, *, shows: bool = True) -> Any:
    said: list[str] = []
    shown: list[str] = []

    async def show(params: Any) -> Any:
        shown.append(params.uri)
        return SimpleNamespace(success=True)

    server = SimpleNamespace(window_show_document_async=show)
    editor = SimpleNamespace(shows_documents=shows)
    return SimpleNamespace(run_folder=folder, editor=editor, server=server, say=said.append, said=said, shown=shown)


async def test_files_for_long_texts_are_private_and_few(tmp_path: Path) -> None:
    session = a_session(tmp_path / "shown")
    for number in range(KEPT_FILES + 20):
        assert await show_text(session, "BEAST: Explain/../x", f"text {number}")
    files = list((tmp_path / "shown").iterdir())
    assert len(files) <= KEPT_FILES
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert (tmp_path / "shown").stat().st_mode & 0o777 == 0o700
    assert f"text {KEPT_FILES + 19}" in {path.read_text() for path in files}
    assert len(set(itertools.islice(reversed(session.shown), 10))) == 10


async def test_a_text_that_can_not_be_a_file_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "shown").write_text("in the way")
    session = a_session(tmp_path / "shown")
    assert not await show_text(session, "x", "y" * (MESSAGE_CHARS + 1))
    assert session.said == ["y" * MESSAGE_CHARS + " …"]
