"""What an editor has said in its session, as far as a new server must hear it again (standard library only)."""

from __future__ import annotations

import json
import re

from beastmode.cli import lsp_text

REQUEST_FAILED = -32803
KEPT_CHANGES = 400
KEPT_CHANGES_BYTES = 256 * 1024
HEAD_BYTES = 200

_STATE = ("initialized", "workspace/didChangeConfiguration", "$/setTrace")
_FOLDERS = "workspace/didChangeWorkspaceFolders"
_PROGRESS, _PROGRESS_CREATE = "$/progress", "window/workDoneProgress/create"
# The server writes its messages so; anything else is read as a whole.
_HEAD = re.compile(rb'\{"jsonrpc":"2\.0","(?:id":(\d{1,15}|"[-.:\w]{1,100}"),"(result|error|method)"|method":)')


class Session:
    """One editor's session.

    Attributes:
        pending: Requests of the editor that wait for a reply: their ids as JSON, and their methods.
        asked: Requests of the server that wait for the editor's reply.
        shut_down: The editor has asked for the end.
    """

    def __init__(self) -> None:
        self.pending: dict[str, str] = {}
        self.asked: set[str] = set()
        self.shut_down = False
        self._initialize: bytes | None = None
        self._initialize_id = ""
        self._replayed_id: str | None = None
        self._generation = 0
        self._encoding = "utf-16"
        self._state: dict[str, bytes] = {}
        self._folders: list[bytes] = []
        self._documents: dict[str, Document] = {}
        self._progress: dict[str, bool] = {}

    def say(self, message: dict[str, object], body: bytes) -> bool:
        """Takes note of a message that goes to the server.

        Args:
            message: It.
            body: The same, as bytes.

        Returns:
            False for a reply that this server never asked for.
        """
        method, id_ = message.get("method"), message.get("id")
        if not isinstance(method, str):
            key = json.dumps(id_)
            known = key in self.asked
            self.asked.discard(key)
            return known
        if "id" in message:
            self.pending[json.dumps(id_)] = method
            if method == "initialize":
                self._initialize, self._initialize_id = body, json.dumps(id_)
        elif method in _STATE:
            self._state[method] = body
        elif method == _FOLDERS:
            self._folders.append(body)
        elif method.startswith("textDocument/did"):
            self._note_document(method, message.get("params"), body)
        return True

    def _note_document(self, method: str, params: object, body: bytes) -> None:
        item = params.get("textDocument") if isinstance(params, dict) else None
        uri = item.get("uri") if isinstance(item, dict) else None
        if not isinstance(uri, str):
            return
        if method == "textDocument/didOpen":
            self._documents[uri] = Document(body)
        elif method == "textDocument/didClose":
            self._documents.pop(uri, None)
        elif method == "textDocument/didChange" and uri in self._documents:
            self._documents[uri].change(body, self._encoding)

    def hear(self, body: bytes) -> bool:
        """Takes note of a message that comes from the server.

        Returns:
            False where the editor must not see it: the reply to an `initialize` that was sent again.
        """
        found = _HEAD.match(body)
        if b"rogress" in body[:HEAD_BYTES]:
            self._note_progress(json.loads(body))
        if found and not found[1]:
            return True
        if found and found[1].decode() != self._initialize_id:
            key, is_request = found[1].decode(), found[2] == b"method"
        else:
            message = json.loads(body)
            if "id" not in message:
                return True
            key, is_request = json.dumps(message["id"]), "method" in message
            if key == self._initialize_id and key in self.pending:
                self._hear_first(message)
        if is_request:
            self.asked.add(key)
        elif key == self._replayed_id:
            self._replayed_id = None
            return False
        else:
            self.pending.pop(key, None)
        return True

    def _note_progress(self, message: dict[str, object]) -> None:
        """What the editor shows as running: by its token as JSON, whether it has begun."""
        method, params = message.get("method"), message.get("params")
        if not isinstance(params, dict) or "token" not in params or method not in (_PROGRESS, _PROGRESS_CREATE):
            return
        token = json.dumps(params["token"])
        value = params.get("value")
        if method == _PROGRESS and isinstance(value, dict) and value.get("kind") == "end":
            self._progress.pop(token, None)
        else:
            self._progress[token] = method == _PROGRESS

    def _hear_first(self, message: dict[str, object]) -> None:
        """The reply to the editor's own `initialize`."""
        result = message.get("result")
        if isinstance(result, dict):
            self._encoding = str((result.get("capabilities") or {}).get("positionEncoding") or "utf-16")
        else:
            self._initialize = None

    @property
    def joining(self) -> bool:
        """The server has not yet answered `initialize`, be it for the first time or again."""
        return self._replayed_id is not None or self._initialize_id in self.pending

    def lose(self, for_good: bool = False) -> list[tuple[str, str]]:
        """The server has gone.

        Args:
            for_good: An `initialize` is not sent again either.

        Returns:
            Ids and methods of the requests that will not be answered any more.
        """
        self.asked.clear()
        self._replayed_id = None
        lost = [(key, method) for key, method in self.pending.items() if for_good or method != "initialize"]
        for key, method in lost:
            del self.pending[key]
            if method == "initialize":
                self._initialize = None
        return lost

    def end_progress(self) -> list[bytes]:
        """What tells the editor that nothing runs any more, once the server has gone."""
        said = []
        for token, begun in self._progress.items():
            begin = {"kind": "begin", "title": "BEAST"}
            for value in ({"kind": "end", "message": "failed"},) if begun else (begin, {"kind": "end"}):
                params = {"token": json.loads(token), "value": value}
                said.append(json.dumps({"jsonrpc": "2.0", "method": _PROGRESS, "params": params}).encode())
        self._progress.clear()
        return said

    def replay(self) -> list[bytes]:
        """What a new server must hear: `initialize`, `initialized`, folders, settings, documents as they are."""
        if self._initialize is None:
            return []
        if self._initialize_id in self.pending:
            return [self._initialize]
        self._generation += 1
        again = f"beast-again-{self._generation}"
        self._replayed_id = json.dumps(again)
        first = json.dumps({**json.loads(self._initialize), "id": again}, separators=(",", ":")).encode()
        said = [self._state[name] for name in _STATE[:1] if name in self._state]
        said += self._folders
        said += [self._state[name] for name in _STATE[1:] if name in self._state]
        return [first, *said, *(body for one in self._documents.values() for body in one.said())]


class Document:
    """An open document: how it was opened, and what was changed since; added up when that grows.

    Args:
        opened: The message that opened it.
    """

    def __init__(self, opened: bytes) -> None:
        self._opened = opened
        self._changes: list[bytes] = []
        self._bytes = 0

    def change(self, body: bytes, encoding: str) -> None:
        """Takes note of a change.

        Args:
            body: The message.
            encoding: Of its positions.
        """
        self._changes.append(body)
        self._bytes += len(body)
        if len(self._changes) > KEPT_CHANGES or self._bytes > max(KEPT_CHANGES_BYTES, len(self._opened)):
            self._add_up(encoding)

    def said(self) -> list[bytes]:
        """The messages that bring a new server to the text of now."""
        return [self._opened, *self._changes]

    def _add_up(self, encoding: str) -> None:
        message = json.loads(self._opened)
        item = message["params"]["textDocument"]
        for body in self._changes:
            params = json.loads(body)["params"]
            item["text"] = lsp_text.changed(item["text"], params["contentChanges"], encoding)
            item["version"] = params["textDocument"]["version"]
        self._opened = json.dumps(message, separators=(",", ":")).encode()
        self._changes, self._bytes = [], 0


def failure(key: str, message: str, data: dict[str, object], code: int = REQUEST_FAILED) -> bytes:
    """An error as the reply to a request.

    Args:
        key: The request's id as JSON.
        message: One sentence, and what to do.
        data: More.
        code: Of the error.
    """
    error = {"code": code, "message": message, "data": data}
    return json.dumps({"jsonrpc": "2.0", "id": json.loads(key), "error": error}).encode()
