"""A daemon with its server for editors, a model that says what a test wants, and an editor that holds texts."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from support.daemon import Daemon
from support.lsp_client import LspClient
from support.scripted_provider import Call, Reader, ScriptedChat, ScriptedMessages, ScriptedProvider
from support.scripts import Asked, Fail, Say

MODEL = "custom:mock"
PRICE = {"prompt": 100.0, "completion": 200.0}
EVERYTHING: dict[str, Any] = {
    "general": {"positionEncodings": ["utf-16"]},
    "workspace": {
        "applyEdit": True,
        "configuration": True,
        "workspaceFolders": True,
        "codeLens": {"refreshSupport": True},
        "workspaceEdit": {
            "documentChanges": True,
            "resourceOperations": ["create", "rename", "delete"],
            "changeAnnotationSupport": {"groupsOnLabel": True},
        },
    },
    "window": {"workDoneProgress": True, "showDocument": {"support": True}},
    "textDocument": {
        "inlineCompletion": {},
        "codeAction": {
            "codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["", "quickfix", "refactor", "source"]}},
            "dataSupport": True,
            "resolveSupport": {"properties": ["edit", "command"]},
        },
    },
}


class Coder(ScriptedProvider):
    """A provider whose model says what a test puts into `say`.

    Attributes:
        say: From what is asked to what is said.
        gap: What completions give.
        gap_pause_s: How long they take.
    """

    def __init__(self) -> None:
        super().__init__()
        self.say: Callable[[Asked], Say | Fail] = lambda asked: Say("It adds two numbers.")
        self.gap = "a + b"
        self.gap_pause_s = 0.0

    def answers(self, text: str, pause_s: float = 0.0) -> None:
        """From now on it says this."""
        self.say = lambda asked: Say(text, pause_s=pause_s)

    def codes(self, code: str) -> None:
        """From now on it answers with a block of code."""
        self.answers(f"Here you are.\n\n```python\n{code}\n```\n")

    async def _answer(
        self, request: web.Request, read: Reader, protocol: type[ScriptedChat | ScriptedMessages]
    ) -> web.StreamResponse:
        call = await self._note(request)
        try:
            reply = await self._send(request, call, self.say(read(call.body)), protocol(call.body))
        except (asyncio.CancelledError, ConnectionError):
            call.end("left")
            raise
        call.end("whole")
        return reply

    async def _complete(self, request: web.Request) -> web.Response:
        call = await self._note(request)
        try:
            await asyncio.sleep(self.gap_pause_s)
        except asyncio.CancelledError:
            call.end("left")
            raise
        call.end("whole")
        choice = {"index": 0, "text": self.gap, "finish_reason": "stop", "logprobs": None}
        reply = {"id": "cmpl-1", "object": "text_completion", "created": 1700000000, "model": call.body["model"]}
        usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
        return web.json_response(reply | {"choices": [choice], "usage": usage})

    def left(self) -> list[Call]:
        """The calls whose client went away."""
        return [call for call in self.calls if call.ended == "left"]


class House:
    """A daemon, its server for editors and a model; `with House() as house`.

    Attributes:
        daemon: The daemon.
        coder: The provider of the model `custom:mock`.
    """

    def __init__(self, settings: str = "", price: dict[str, float] | None = PRICE) -> None:
        environ = {"BEAST_LSP__ENABLED": "true", "BEAST_ROUTING__DEFAULT_MODEL": MODEL}
        self.daemon = Daemon(settings, environ=environ)
        self.coder = Coder()
        self._price = price
        self._editors: list[Editor] = []

    def __enter__(self) -> House:
        self.coder.__enter__()
        self.daemon.__enter__()
        self.daemon.add(MODEL, f"{self.coder.url}/v1", upstream_model="mock", key="sk-test", price=self._price)
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        self.daemon.__exit__()
        self.coder.__exit__()

    def leave(self) -> None:
        """Every editor is closed."""
        for editor in self._editors:
            editor.client.close()
        self._editors.clear()

    def editor(
        self,
        capabilities: dict[str, Any] | None = None,
        *,
        name: str = "Visual Studio Code",
        settings: dict[str, Any] | None = None,
        answers: dict[str, Callable[[Any], Any]] | None = None,
        **more: Any,
    ) -> Editor:
        """An editor that is connected and initialized; `answers` to what the server asks of it, by method."""
        editor = Editor(LspClient.connect(self.daemon.home / "run" / "lsp.sock"), settings or {})
        editor.client.answers.update(answers or {})
        self._editors.append(editor)
        editor.start(EVERYTHING if capabilities is None else capabilities, clientInfo={"name": name}, **more)
        return editor

    def clean(self) -> None:
        """Nothing of an earlier test is in the way."""
        self.leave()
        self.daemon.call("cache.clear")
        self.coder.calls.clear()
        self.coder.say = lambda asked: Say("It adds two numbers.")
        self.coder.gap, self.coder.gap_pause_s = "a + b", 0.0

    def row(self, request_id: str) -> dict[str, Any]:
        """A row of the ledger, once it is there."""
        return eventually(lambda: next((row for row in self.daemon.rows() if row["request_id"] == request_id), None))


class Editor:
    """An editor with texts; it refuses edits for a version that it has no more, as the protocol says.

    Attributes:
        client: Its connection.
        texts: By uri.
        versions: By uri.
        refused: How many edits it has turned away.
        edits: Every edit that it was sent.
    """

    def __init__(self, client: LspClient, settings: dict[str, Any]) -> None:
        self.client = client
        self.settings = settings
        self.texts: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        self.refused = 0
        self.edits: list[dict[str, Any]] = []
        self.lock = threading.RLock()
        self.capabilities: dict[str, Any] = {}
        client.answers["workspace/applyEdit"] = lambda params: self.apply(params["edit"])
        client.answers["workspace/configuration"] = lambda params: [self.settings for _ in params["items"]]

    def start(self, capabilities: dict[str, Any], **more: Any) -> None:
        """The handshake."""
        self.capabilities = self.client.initialize(capabilities, **more)["capabilities"]
        if capabilities.get("workspace", {}).get("configuration"):
            self.client.wait_for("workspace/configuration")
        self.client.request("workspace/executeCommand", {"command": "beast.models"})  # what was sent before is read

    def open(self, uri: str, text: str) -> str:
        """Opens a document."""
        with self.lock:
            self.texts[uri], self.versions[uri] = text, 1
            self.client.open(uri, text)
        return uri

    def type(self, uri: str, start: int, end: int, text: str) -> None:
        """The user replaces a stretch, by offsets."""
        with self.lock:
            before = self.texts[uri]
            self.texts[uri] = before[:start] + text + before[end:]
            self.versions[uri] += 1
            place = {"start": position_of(before, start), "end": position_of(before, end)}
            self.client.change(uri, self.versions[uri], {"range": place, "text": text})

    def apply(self, edit: dict[str, Any]) -> dict[str, Any]:
        """Takes an edit of the server, if it is for the text that is there."""
        with self.lock:
            self.edits.append(edit)
            changes = [one for one in edit.get("documentChanges") or [] if "textDocument" in one]
            for change in changes:
                name = change["textDocument"]
                if name["version"] is not None and name["version"] != self.versions.get(name["uri"]):
                    self.refused += 1
                    return {"applied": False, "failureReason": "the document has changed"}
            for change in changes:
                self._change(change["textDocument"]["uri"], change["edits"])
            for uri, edits in (edit.get("changes") or {}).items():
                self._change(uri, edits)
            return {"applied": True}

    def _change(self, uri: str, edits: list[dict[str, Any]]) -> None:
        text = self.texts.get(uri, "")
        last_first = sorted(edits, key=lambda one: tuple(one["range"]["start"].values()), reverse=True)
        for one in last_first:
            start, end = (offset_of(text, one["range"][side]) for side in ("start", "end"))
            text = text[:start] + one["newText"] + text[end:]
        self.texts[uri] = text
        if uri in self.versions:
            self.versions[uri] += 1
            changes = [{"range": one["range"], "text": one["newText"]} for one in last_first]
            self.client.change(uri, self.versions[uri], *changes)

    def range(self, uri: str, start: int, end: int) -> dict[str, Any]:
        """A range by offsets."""
        return {"start": position_of(self.texts[uri], start), "end": position_of(self.texts[uri], end)}

    def menu(self, uri: str, diagnostics: list[Any] | None = None, at: int = 0, **context: Any) -> list[dict[str, Any]]:
        """The code actions at a place."""
        params = {
            "textDocument": {"uri": uri},
            "range": self.range(uri, at, at),
            "context": {"diagnostics": diagnostics or [], **context},
        }
        found = self.client.request("textDocument/codeAction", params)
        assert isinstance(found, list)
        return found

    def choose(self, uri: str, title: str, **more: Any) -> dict[str, Any]:
        """Chooses a code action and has it resolved."""
        action = next(one for one in self.menu(uri, **more) if one["title"].startswith(title))
        found = self.client.request("codeAction/resolve", action)
        assert isinstance(found, dict)
        return found


def position_of(text: str, offset: int) -> dict[str, int]:
    """An offset as line and UTF-16 units."""
    line, start, index = 0, 0, 0
    while index < offset:
        if text[index] == "\n" or (text[index] == "\r" and text[index + 1 : index + 2] != "\n"):
            line, start = line + 1, index + 1
        index += 1
    return {"line": line, "character": len(text[start:offset].encode("utf-16-le")) // 2}


def offset_of(text: str, position: dict[str, int]) -> int:
    """A position in UTF-16 units as an offset."""
    line = index = 0
    while line < position["line"]:
        line += text[index] == "\n" or (text[index] == "\r" and text[index + 1 : index + 2] != "\n")
        index += 1
    units = 0
    while units < position["character"]:
        units += 2 if ord(text[index]) > 0xFFFF else 1
        index += 1
    return index


def eventually(look: Callable[[], Any], limit_s: float = 10.0) -> Any:
    """What is found, as soon as there is something."""
    until_s = time.monotonic() + limit_s
    while not (found := look()):
        assert time.monotonic() < until_s, "it did not come to pass"
        time.sleep(0.01)
    return found
