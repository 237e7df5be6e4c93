"""What the doors tell of becomes activity a moment later: questions, actions, what editors and the disk say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from beastmode.background.activity import Activities, Activity
from beastmode.background.hearing import ASKED_MAX_BYTES, BURST, Hearing
from beastmode.background.symbols import Symbols, symbol_of
from beastmode.core.clock import Clock
from beastmode.core.types import Digest, Message, Request
from beastmode.workspace.index.workspace import Active
from beastmode.workspace.requests import ActionParams, action_request

CODE = "import os\n\n\ndef one():\n    return 1\n\n\nclass Two:\n    def three(self):\n        return 3\n"


class House:
    """A journal, and what hears for it."""

    def __init__(self, folder: Path, enabled: bool = True) -> None:
        self.root = folder / "project"
        self.root.mkdir()
        self.symbols: dict[str, list[str]] = {}
        self.activity = Activities(folder / "activity", Clock(), lambda: enabled)
        self.hearing = Hearing(self.activity, Clock(), lambda: enabled, self._read, self._on_file)

    def _read(self, workspace: str, path: str) -> str | None:
        file = Path(workspace, path)
        return file.read_text() if file.exists() else None

    def _on_file(self, workspace: str, path: str, symbols: list[str]) -> None:
        self.symbols[path] = symbols

    def write(self, text: str, path: str = "a.py") -> None:
        (self.root / path).write_text(text)

    def tell(self, event: Any, path: str = "a.py", line: int | None = None) -> None:
        self.hearing.active(Active(workspace=str(self.root), path=path, event=event, first_line=line, user="me"))

    async def act(self, kind: Any = "explain", **more: Any) -> None:
        given = {"kind": kind, "path": "a.py", "workspace": str(self.root), **more}
        params = msgspec.convert(given, ActionParams)
        task, request = await action_request(params, "me", "socket")
        self.hearing.action(params, task, request)

    async def heard(self) -> list[Activity]:
        await self.hearing.heard()
        return self.activity.all()

    async def only(self) -> Activity:
        (one,) = await self.heard()
        return one


@pytest.fixture
async def house(tmp_path: Path) -> Any:
    built = House(tmp_path)
    yield built
    await built.hearing.close()
    await built.activity.close()


def question(text: str = "How do I sort a list?", **more: Any) -> Request:
    return Request(model="auto", messages=[Message("user", text)], user="me", **more)


def asked_of(house: House, one: Activity) -> Any:
    return house.activity.asked(one.identity)


async def test_a_single_question_is_kept_as_it_is_asked_again(house: House) -> None:
    request = question(params={"temperature": 0.2}, workspace="/w", client="vscode")
    request.messages.insert(0, Message("system", "Be brief."))
    house.hearing.chat(request)
    one = await house.only()
    assert (one.kind, one.workspace, one.user, one.client, one.model) == ("chat", "/w", "me", "vscode", "auto")
    assert len(one.question) == 16
    assert asked_of(house, one).params == {
        "model": "auto",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How do I sort a list?"}],
        "params": {"temperature": 0.2},
        "gather": False,
    }


@pytest.mark.parametrize(
    "request_",
    [
        question(session_id="s"),
        question("x" * (ASKED_MAX_BYTES + 1), session_id="s"),
        question(digests=[Digest("a.py", "00")]),
    ],
    ids=["in a session", "too long", "with files"],
)
async def test_of_what_more_belongs_to_only_the_digest_is_noted(house: House, request_: Request) -> None:
    house.hearing.chat(request_)
    one = await house.only()
    assert one.question
    assert asked_of(house, one) is None


@pytest.mark.parametrize(
    "request_",
    [
        question(origin="warming"),
        question(origin="test"),
        question(kind="completion"),
        question(params={"tools": [{"type": "function"}]}),
        Request(model="auto", messages=[Message("user", "a"), Message("assistant", "b"), Message("user", "c")]),
        Request(model="auto", messages=[Message("user", [{"type": "text", "text": "a"}])]),
        Request(model="auto", messages=[]),
    ],
    ids=["warming", "a test", "a completion", "tools", "a conversation", "parts", "nothing"],
)
async def test_what_programs_say_is_not_noted(house: House, request_: Request) -> None:
    house.hearing.chat(request_)
    assert await house.heard() == []


async def test_what_looks_like_a_key_is_never_kept(house: House, tmp_path: Path) -> None:
    secret = "-----BEGIN " + "RSA PRIVATE KEY-----"
    house.hearing.chat(question(f"Is this right? {secret}", session_id="s"))
    house.hearing.chat(question(f"Is this right? {secret}"))
    for one in await house.heard():
        assert asked_of(house, one) is None
    await house.activity.written()
    kept = b"".join(file.read_bytes() for file in (tmp_path / "activity").glob("*"))
    assert b"PRIVATE KEY" not in kept


async def test_an_action_is_noted_with_the_function_that_it_is_about(house: House) -> None:
    house.write(CODE)
    await house.act(range={"start": {"line": 8, "character": 8}, "end": {"line": 8, "character": 8}})
    one = await house.only()
    assert (one.kind, one.action, one.path, one.symbol) == ("action", "explain", "a.py", "Two.three")
    assert one.workspace == str(house.root)
    assert asked_of(house, one).params["kind"] == "explain"
    assert house.symbols["a.py"] == ["one", "Two", "Two.three"]


async def test_words_are_part_of_what_is_asked_and_texts_of_the_editor_are_not_kept(house: House) -> None:
    house.write(CODE)
    documents: Any = [{"path": "a.py", "text": "def secret_plan():\n    pass\n"}]
    await house.act("ask", instruction="Is it fast?", documents=documents)
    await house.act("ask", instruction="Is it safe?", documents=documents)
    first, second = await house.heard()
    assert first.identity != second.identity
    assert asked_of(house, first).params["instruction"] == "Is it fast?"
    assert "secret_plan" not in str(asked_of(house, first).params)


async def test_a_saved_file_tells_which_functions_were_written(house: House) -> None:
    house.write(CODE)
    house.tell("opened")
    await house.heard()
    house.write(CODE.replace("return 1", "return 11") + "\n\ndef four():\n    return 4\n")
    house.tell("saved")
    opened, *saved = await house.heard()
    assert (opened.kind, opened.symbol) == ("opened", "")
    assert [(one.kind, one.symbol) for one in saved] == [("saved", "one"), ("saved", "four")]


async def test_an_edit_is_of_the_function_at_its_line(house: House) -> None:
    house.write(CODE)
    house.tell("edited", line=10)
    house.tell("edited", line=1)
    assert [one.symbol for one in await house.heard()] == ["Two.three", ""]


async def test_typing_in_one_place_is_one_sign(house: House) -> None:
    house.write(CODE)
    for _ in range(20):
        house.tell("edited", line=5)
    assert len(await house.heard()) == 1


async def test_a_branch_tells_what_is_different_in_files_that_were_looked_at(house: House) -> None:
    house.write(CODE)
    house.tell("opened")
    await house.heard()
    house.write(CODE.replace("return 3", "return 33"))
    house.write(CODE, "never_seen.py")
    house.hearing.changed(str(house.root), ["a.py", "never_seen.py", "gone.py"], True)
    _, *switched = await house.heard()
    assert [(one.kind, one.path, one.symbol) for one in switched] == [
        ("switched", "", ""),
        ("switched", "a.py", "Two.three"),
    ]


async def test_a_flood_of_requests_does_not_crowd_out_the_rest(house: House) -> None:
    for number in range(3000):
        house.hearing.chat(question(f"number {number}"))
        if number % 20 == 0:
            await house.hearing.heard()
    assert 0 < len(await house.heard()) <= BURST + 30


async def test_where_warming_is_off_nothing_is_heard(tmp_path: Path) -> None:
    house = House(tmp_path, enabled=False)
    house.write(CODE)
    house.hearing.chat(question())
    house.tell("saved")
    house.hearing.changed(str(house.root), ["a.py"], False)
    await house.act()
    assert await house.heard() == []
    await house.hearing.close()


async def test_what_is_waiting_is_noted_at_the_end(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.hearing.chat(question())
    await house.hearing.close()
    assert len(house.activity.all()) == 1
    await house.activity.close()


def test_a_selection_of_several_functions_is_of_none() -> None:
    assert symbol_of("a.py", CODE, 3, 4) == "one"
    assert symbol_of("a.py", CODE, 7, 9) == "Two"
    assert symbol_of("a.py", CODE, 3, 9) == ""
    assert symbol_of("a.py", "", 0, 0) == ""


def test_a_function_that_only_moved_did_not_change() -> None:
    symbols = Symbols()
    symbols.look("/w", "a.py", CODE)
    assert symbols.look("/w", "a.py", f"# moved\n\n\n{CODE}")[1] == []
    assert not symbols.known("/w", "b.py")
    assert symbols.at("/w", "b.py", 1) == ""
