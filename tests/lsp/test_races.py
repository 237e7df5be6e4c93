"""Races between typing and answering: no stale edit is ever applied, and no character that was typed is lost."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import json
import random
import re
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from beastmode.client import AsyncClient
from beastmode_lsp.protocol import make_converter
from beastmode_lsp.server import make_server
from support.lsp_house import EVERYTHING, House, offset_of, position_of

RACES = 1000
AT_ONCE = 50
MARKS = [chr(0xE000 + i) for i in range(2000)]
ENDS = ("\n", "\r\n", "\n", "\r")


def a_text(chance: random.Random) -> str:
    """Lines that can be told apart, with emoji and every line end."""
    lines = [
        f"{chance.choice(['', '  ', chr(9), '😋 '])}line {i};{chance.choice(ENDS)}"
        for i in range(chance.randint(3, 12))
    ]
    return "".join(lines) + chance.choice(["", "last"])


def an_answer(text: str, chance: random.Random) -> str:
    """The text as the model wants it: lines changed, added, taken away; not those that it saw the user's marks in."""
    rows = text.split("\n")
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(rows))
        what = chance.choice(["change", "add", "remove"])
        if what == "add":
            rows.insert(at, f"ADDED {chance.randrange(1000)}")
        elif set(rows[at]).isdisjoint(MARKS):
            rows[at : at + 1] = [rows[at].replace("line", "ANSWERED", 1)] if what == "change" or len(rows) < 3 else []
    return "\n".join(rows)


def diff_of(before: str, after: str) -> str:
    """As the daemon writes it."""
    old, new = ([row + "\n" for row in text.split("\n")[:-1]] + [text.split("\n")[-1]] for text in (before, after))
    rows = difflib.unified_diff([row for row in old if row], [row for row in new if row], "a/a.py", "b/a.py")
    return "".join(row if row.endswith("\n") else f"{row}\n\\ No newline at end of file\n" for row in rows)


class Answering:
    """A daemon that answers an action after a while."""

    socket_path = "/nowhere/rpc.sock"

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.asked = asyncio.Event()

    async def call(self, method: str, params: dict[str, Any], on_progress: Callable[[Any], None] | None = None) -> Any:
        assert method == "action"
        text = params["documents"][0]["text"]
        self.asked.set()
        await asyncio.sleep(self.chance.random() * 0.004)
        wanted = an_answer(text, self.chance)
        edit = {"path": params["path"], "before_sha256": hashlib.sha256(text.encode()).hexdigest(), "kind": "modify"}
        edits = [] if wanted == text else [{**edit, "diff": diff_of(text, wanted)}]
        return {"request_id": f"r{self.chance.random()}", "text": "", "summary": "", "edits": edits}

    async def close(self) -> None:
        """It was never open."""


class Typist:
    """An editor in the same process: messages take their time, in order, and meanwhile the user types.

    Attributes:
        text: As the user sees it.
        refusal: What it answers where it has not taken an edit.
        applied: How many edits it has taken.
        refused: How many it has turned away, since they were for another version.
    """

    uri = "file:///work/a.py"

    def __init__(self, chance: random.Random, converter: Any, refusal: Any) -> None:
        self.chance = chance
        self.refusal = refusal
        self.daemon = Answering(chance)
        self.server = make_server(cast(AsyncClient, self.daemon), "0", converter)
        self.server.protocol.set_writer(cast(Any, self))
        self.text, self.version = a_text(chance), 1
        self.marks = iter(MARKS)
        self.typed: set[str] = set()
        self.applied = self.refused = 0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.replies: dict[int, asyncio.Future[Any]] = {}
        self.out: asyncio.Queue[bytes] = asyncio.Queue()
        self.inn: asyncio.Queue[bytes] = asyncio.Queue()
        self.tasks = [asyncio.create_task(self.carry(self.out, self.server.protocol.receive))]
        self.tasks.append(asyncio.create_task(self.carry(self.inn, self.take)))

    async def carry(self, queue: asyncio.Queue[bytes], give: Callable[[bytes], None]) -> None:
        """Carries messages one way, in order."""
        while True:
            body = await queue.get()
            await asyncio.sleep(self.chance.choice([0, 0, 0.0005, 0.002]))
            try:
                give(body)
            except AssertionError as error:
                self.failed.set_exception(error)
                raise

    def write(self, body: bytes) -> None:
        """What the server sends."""
        self.inn.put_nowait(body)

    def send(self, method: str, params: Any, id: int | None = None) -> None:
        """What the editor sends."""
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        self.out.put_nowait(json.dumps(message if id is None else {**message, "id": id}).encode())

    async def ask(self, id: int, method: str, params: Any) -> Any:
        """A request of the editor."""
        self.replies[id] = asyncio.get_running_loop().create_future()
        self.send(method, params, id)
        return await self.replies[id]

    def take(self, body: bytes) -> None:
        """A message of the server."""
        message = json.loads(body)
        if "method" not in message:
            self.replies[message["id"]].set_result(message)
            return
        if "id" not in message:
            return
        result = self.apply(message["params"]["edit"]) if message["method"] == "workspace/applyEdit" else None
        if message["method"] == "window/showDocument":
            result = {"success": False}
        answer = {"error": result} if result is not None and "code" in result else {"result": result}
        self.out.put_nowait(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}).encode())

    def apply(self, edit: dict[str, Any]) -> dict[str, Any]:
        """Takes an edit, if it is for the version that is there; looks whether it takes away what was typed."""
        (change,) = edit["documentChanges"]
        if change["textDocument"]["version"] != self.version:
            self.refused += 1
            return self.refusal
        before = self.marks_in_text()
        edits = sorted(change["edits"], key=lambda one: tuple(one["range"]["start"].values()), reverse=True)
        for one in edits:
            start, end = (offset_of(self.text, one["range"][side]) for side in ("start", "end"))
            self.text = self.text[:start] + one["newText"] + self.text[end:]
        assert self.marks_in_text() == before, "what was typed was replaced"
        self.version += 1
        changes = [{"range": one["range"], "text": one["newText"]} for one in edits]
        name = {"uri": self.uri, "version": self.version}
        self.send("textDocument/didChange", {"textDocument": name, "contentChanges": changes})
        self.applied += 1
        return {"applied": True}

    def marks_in_text(self) -> list[str]:
        """What the user has typed, as often as it is there."""
        return sorted(one for one in self.text if one in self.typed)

    def type(self) -> None:
        """The user types something somewhere, that can be told apart from everything else."""
        offset = self.chance.randint(0, len(self.text))
        if self.text[offset - 1 : offset] == "\r":
            offset -= 1  # no cursor stands within a line's end
        mark = next(self.marks)
        self.typed.add(mark)
        new = self.chance.choice([mark, f"{mark}\n", f"\n{mark}", f"😋{mark}"])
        place = position_of(self.text, offset)
        self.text = self.text[:offset] + new + self.text[offset:]
        self.version += 1
        changes = [{"range": {"start": place, "end": place}, "text": new}]
        name = {"uri": self.uri, "version": self.version}
        self.send("textDocument/didChange", {"textDocument": name, "contentChanges": changes})

    async def races(self, times: int) -> None:
        """Asks again and again, and types all the while."""
        await self.ask(0, "initialize", {"processId": None, "rootUri": None, "capabilities": EVERYTHING})
        document = {"uri": self.uri, "languageId": "python", "version": 1, "text": self.text}
        self.send("textDocument/didOpen", {"textDocument": document})
        for race in range(1, times + 1):
            before = self.applied
            asking = asyncio.ensure_future(self.race(race))
            for _ in range(self.chance.choice([0, 1, 1, 2, 4])):
                await asyncio.sleep(self.chance.random() * 0.003)
                self.type()
            await asyncio.wait([asking, self.failed], return_when=asyncio.FIRST_COMPLETED)
            if self.failed.done():
                self.failed.result()
            found = (await asking)["result"]
            assert self.applied <= before + 1, "an edit was applied twice"
            if self.refusal != {"applied": True}:
                assert found["applied"] == (self.applied > before), "the editor was told otherwise than it was"
            assert self.marks_in_text() == sorted(self.typed), "a character was lost, or is there twice"
        await self.ask(times + 1, "workspace/executeCommand", {"command": "beast.clear"})  # all that was sent is read
        assert self.server.workspace.find(self.uri).text == self.text  # type: ignore[attr-defined]
        for task in self.tasks:
            task.cancel()
        await self.server.close()

    async def race(self, id: int) -> Any:
        """One action."""
        argument = {"uri": self.uri, "show": False}
        return await self.ask(id, "workspace/executeCommand", {"command": "beast.fix", "arguments": [argument]})


@pytest.mark.parametrize(
    "refusal",
    [{"applied": False, "failureReason": "stale"}, {"applied": True}, {"code": -32603, "message": "version 3, not 2"}],
    ids=["refusing", "refusing in silence, as Neovim", "refusing by an error, as Emacs"],
)
async def test_a_thousand_races_between_typing_and_answering(refusal: dict[str, Any]) -> None:
    converter = make_converter()
    typists = [Typist(random.Random(seed), converter, refusal) for seed in range(AT_ONCE)]
    await asyncio.gather(*(typist.races(RACES // AT_ONCE) for typist in typists))
    assert sum(typist.applied for typist in typists) > RACES // 4
    assert sum(typist.refused for typist in typists) > 0


def test_races_over_the_socket_and_through_the_daemon() -> None:
    chance = random.Random(6)
    with House() as house:
        editor = house.editor()
        uri = editor.open("file:///work/a.py", "".join(f"value_{i} = {i}\n" for i in range(100)))
        typed: set[str] = set()
        applied = 0
        for race in range(40):
            rows = editor.texts[uri].split("\n")
            at = chance.choice([i for i, row in enumerate(rows) if re.fullmatch(r"value_\d+ = \d+", row)])
            house.coder.codes(f"answer_{race} = 1")
            place = {"start": {"line": at, "character": 0}, "end": {"line": at + 1, "character": 0}}
            argument = {"uri": uri, "range": place, "show": False, "cache": "off"}
            params = {"command": "beast.refactor", "arguments": [argument]}
            pending = editor.client.begin("workspace/executeCommand", params)
            for _ in range(chance.randrange(4)):
                time.sleep(chance.random() * 0.01)
                offset = chance.randint(0, len(editor.texts[uri]))
                mark = MARKS[len(typed)]
                typed.add(mark)
                editor.type(uri, offset, offset, chance.choice([mark, f"{mark}\n"]))
            applied += pending.result()["applied"]
            plain = editor.texts[uri].translate(dict.fromkeys(map(ord, typed)))
            assert sorted(one for one in editor.texts[uri] if one in typed) == sorted(typed), "a character was lost"
            assert plain.replace("\n", "").count("answer_") == applied
    assert applied > 10
