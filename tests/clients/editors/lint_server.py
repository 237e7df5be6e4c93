"""A language server that sees one mistake, `a * c`, for editors that serve a file by several servers at once."""

from __future__ import annotations

import json
import sys
from typing import Any

MISTAKE = "a * c"


def read() -> dict[str, Any] | None:
    """The next message of the editor; None when it has gone."""
    length = 0
    while line := sys.stdin.buffer.readline():
        name, _, value = line.decode().partition(":")
        if name.lower() == "content-length":
            length = int(value)
        elif not line.strip():
            message: dict[str, Any] = json.loads(sys.stdin.buffer.read(length))
            return message
    return None


def write(message: dict[str, Any]) -> None:
    """Sends a message to the editor."""
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    sys.stdout.buffer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    sys.stdout.buffer.flush()


def complain(uri: str, text: str) -> None:
    """Publishes what is wrong in a document."""
    found = []
    for number, line in enumerate(text.splitlines()):
        column = line.find(MISTAKE) + len(MISTAKE) - 1
        if MISTAKE in line:
            ends = [{"line": number, "character": column + more} for more in (0, 1)]
            found.append(
                {
                    "range": {"start": ends[0], "end": ends[1]},
                    "severity": 1,
                    "source": "lint",
                    "message": "Undefined name c",
                }
            )
    write({"method": "textDocument/publishDiagnostics", "params": {"uri": uri, "diagnostics": found}})


def main() -> None:
    """Serves one editor."""
    while (message := read()) is not None and message.get("method") != "exit":
        params: Any = message.get("params") or {}
        match message.get("method"):
            case "initialize":
                capabilities = {"textDocumentSync": 1}
                write({"id": message["id"], "result": {"capabilities": capabilities, "serverInfo": {"name": "lint"}}})
            case "textDocument/didOpen":
                complain(params["textDocument"]["uri"], params["textDocument"]["text"])
            case "textDocument/didChange":
                complain(params["textDocument"]["uri"], params["contentChanges"][-1]["text"])
            case _ if "id" in message:
                write({"id": message["id"], "result": None})


if __name__ == "__main__":
    main()
