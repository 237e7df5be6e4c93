"""`beast lsp`: joins an editor's standard streams to the daemon's server for editors (standard library, little of it).

It starts the daemon where none runs. When the daemon restarts, it keeps the editor, tells the new server what the old
one knew, and answers what was pending with an error. Every editor window has one of these: it loads no asyncio, no
click and no pathlib.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from _socket import AF_UNIX, SOCK_STREAM, socket  # the public module is half a megabyte of names

from beastmode.cli.lsp_session import Session, failure
from beastmode.cli.lsp_starter import Starter, why_shut
from beastmode.core.run_folder import run_folder, socket_path

CHUNK_BYTES = 1 << 16
PIPE_BYTES = select.PIPE_BUF
FULL_BYTES = 8 << 20
MAX_BODY_BYTES = 64 << 20
RETRIES_S = (0.02, 0.03, 0.05, 0.1, 0.2, 0.25)
HOPE_S = 30.0
HOPELESS_RETRY_S = 2.0
RETURN_LIMIT_S = 3.0
SILENCE_LIMIT_S = 30.0
START_PAUSE_S = 3.0
FAREWELL_S = 1.0
LOST = "The daemon restarted or ended before it answered."


class NoMessageError(Exception):
    """What came is no message of the protocol."""


class Inbox:
    """Cuts bytes into the bodies of messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._seen = 0
        self._length = -1

    def feed(self, data: bytes) -> list[bytes]:
        """Takes bytes; returns the bodies that are whole.

        Raises:
            NoMessageError: The headers can not be read.
        """
        self._bytes += data
        found = []
        while (body := self._take()) is not None:
            found.append(body)
        return found

    def _take(self) -> bytes | None:
        if self._length < 0:
            end = self._bytes.find(b"\r\n\r\n", max(0, self._seen - 3))
            self._seen = len(self._bytes)
            if end < 0:
                if self._seen > CHUNK_BYTES:
                    raise NoMessageError
                return None
            self._length = _length(bytes(self._bytes[:end]))
            del self._bytes[: end + 4]
        if len(self._bytes) < self._length:
            return None
        body = bytes(self._bytes[: self._length])
        del self._bytes[: self._length]
        self._seen, self._length = 0, -1
        return body


def _length(headers: bytes) -> int:
    for line in headers.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit() and len(value) < 12:
            length = int(value)
            if length <= MAX_BODY_BYTES:
                return length
    raise NoMessageError


def _framed(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class Link:
    """A connection to the server.

    Args:
        path: Its socket.

    Raises:
        OSError: Nobody listens there.
    """

    def __init__(self, path: str) -> None:
        self.socket = socket(AF_UNIX, SOCK_STREAM)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self.socket.setblocking(False)
        self.inbox = Inbox()
        self.out = bytearray()
        self.since_s = time.monotonic()

    def read(self) -> list[bytes]:
        """The bodies that have come; raises OSError where the server has gone."""
        data = self.socket.recv(4 * CHUNK_BYTES)
        if not data:
            raise ConnectionResetError
        return self.inbox.feed(data)

    def write(self) -> None:
        """Sends what can be sent."""
        del self.out[: self.socket.send(memoryview(self.out)[: 4 * CHUNK_BYTES])]


class Shim:
    """One editor, and the server that it is joined to at the time.

    Args:
        environ: Environment variables.
    """

    def __init__(self, environ: dict[str, str]) -> None:
        run = run_folder(environ)
        self._path = socket_path(run, "lsp.sock")
        self._session = Session()
        self._inbox = Inbox()
        self._out = bytearray()
        self._queue: list[bytes] = []
        self._queued_bytes = 0
        self._link: Link | None = None
        self._starter = Starter()
        self._waited_for = True  # the daemon is started before the editor has said a word
        self._lost_s = self._start_s = -1e9
        self._retry_s = 0.0
        self._tries = self._failures = 0
        self._code: int | None = None

    def run(self) -> int:
        """Relays until the editor has gone; returns the exit code."""
        while self._code is None:
            if self._link is None:
                self._look()
            self._wait()
        self._finish()
        return self._code

    # -- the loop

    def _wait(self) -> None:
        link = self._link
        reads: list[int | socket] = [0] if self._takes_more() else []
        writes: list[int | socket] = [1] if self._out else []
        if link is not None:
            if len(self._out) < FULL_BYTES:
                reads.append(link.socket)
            if link.out:
                writes.append(link.socket)
        if self._starter.pipe is not None:
            reads.append(self._starter.pipe)
        readable, writable, _ = select.select(reads, writes, [], self._patience_s())
        if 1 in writable:
            self._write_editor()
        if link is not None and link is self._link:
            self._serve(link, link.socket in readable, link.socket in writable)
        if 0 in readable:  # after that: what is asked just as the server has gone waits for the next one
            self._read_editor()
        if self._starter.pipe is not None and self._starter.pipe in readable:
            self._starter.read()

    def _takes_more(self) -> bool:
        waiting = self._queued_bytes if self._link is None else len(self._link.out)
        return waiting < (MAX_BODY_BYTES if self._link is None else FULL_BYTES)

    def _patience_s(self) -> float | None:
        if self._link is not None:
            return 1.0 if self._session.joining else None
        return None if self._starter.busy else max(0.0, self._next_s() - time.monotonic())

    def _next_s(self) -> float:
        wanted_s = max(self._lost_s + RETURN_LIMIT_S, self._start_s + START_PAUSE_S)
        return min(self._retry_s, wanted_s) if self._waited_for else self._retry_s

    def _serve(self, link: Link, readable: bool, writable: bool) -> None:
        try:
            if writable:
                link.write()
            if readable:
                for body in link.read():
                    if self._session.hear(body):
                        self._out += _framed(body)
                if not self._session.joining:
                    self._failures = 0
                self._write_editor()
            elif self._session.joining and time.monotonic() - link.since_s > SILENCE_LIMIT_S:
                self._lose("The server for editors does not answer.", ["beast health"], True)
        except (BlockingIOError, InterruptedError):
            pass
        except (OSError, NoMessageError, ValueError):
            self._lose(LOST, ["ask again", "beast status"])

    # -- the editor

    def _read_editor(self) -> None:
        try:
            data = os.read(0, CHUNK_BYTES)
        except OSError:
            data = b""
        if not data:
            self._code = 0
            return
        try:
            for body in self._inbox.feed(data):
                self._take(body)
        except NoMessageError:
            self._code = 1

    def _take(self, body: bytes) -> None:
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self._out += _framed(failure("null", "A message is not JSON.", {}, -32700))
            return
        method = message.get("method")
        if method == "exit":
            self._code = 0 if self._session.shut_down else 1
        if method == "shutdown":
            self._session.shut_down = True
        if self._link is not None:
            self._send(message, body)
        elif method == "shutdown":
            self._out += _framed(_nothing(message.get("id")))
        else:
            self._waited_for |= "id" in message and method is not None
            self._queue.append(body)
            self._queued_bytes += len(body)

    def _send(self, message: dict[str, object], body: bytes) -> None:
        assert self._link is not None
        if self._session.say(message, body):
            self._link.out += _framed(body)
            try:
                self._link.write()
            except OSError:
                return  # it is full, or has gone: the loop sees to both

    def _write_editor(self) -> None:
        """Writes as much as fits, in pieces that never block, and leaves the editor's streams as they are."""
        try:
            while self._out and select.select([], [1], [], 0)[1]:
                del self._out[: os.write(1, self._out[:PIPE_BYTES])]
        except OSError:
            self._code = 0  # the editor has gone

    # -- the server

    def _look(self) -> None:
        """No server: tries whether there is one again, and starts the daemon where somebody waits for it."""
        now_s = time.monotonic()
        if self._starter.busy:
            return
        said = self._starter.result()
        if now_s < self._next_s() and said is None:
            return
        try:
            self._link = Link(self._path)
        except OSError:
            pause_s = RETRIES_S[min(self._tries, len(RETRIES_S) - 1)]
            self._retry_s = now_s + (pause_s if now_s - self._lost_s < HOPE_S else HOPELESS_RETRY_S)
            self._tries += 1
        else:
            self._join()
            return
        if said is not None:
            self._give_up(*(said if said[0] else why_shut()))
        elif self._waited_for and now_s >= max(self._lost_s + RETURN_LIMIT_S, self._start_s + START_PAUSE_S):
            self._start_s = now_s
            self._starter.start()

    def _join(self) -> None:
        """Tells a new server what the old one knew, then what the editor has said since."""
        assert self._link is not None
        self._tries = 0
        self._waited_for = False
        for body in self._session.replay():
            self._link.out += _framed(body)
        queue, self._queue, self._queued_bytes = self._queue, [], 0
        for body in queue:
            self._send(json.loads(body), body)

    def _lose(self, sentence: str, tips: list[str], for_good: bool = False) -> None:
        """The server has gone: what was pending is answered with an error."""
        if self._link is not None:
            self._link.socket.close()
        self._link = None
        now_s = self._lost_s = time.monotonic()
        self._failures += 1  # until a server has answered: one that fails each time is asked less and less
        self._tries = 0
        self._retry_s = now_s + (RETRIES_S[min(self._failures, len(RETRIES_S)) - 1] if self._failures > 1 else 0.0)
        for body in self._session.end_progress():
            self._out += _framed(body)
        for key, method in self._session.lose(for_good):
            self._out += _framed(_nothing(json.loads(key)) if method == "shutdown" else _failed(key, sentence, tips))
        self._write_editor()

    def _give_up(self, sentence: str, tips: list[str]) -> None:
        """There is no server: whoever waits is told why, and documents wait for the next try."""
        kept = []
        for body in self._queue:
            message = json.loads(body)
            if "id" not in message or "method" not in message:
                kept.append(body)
                continue
            key = json.dumps(message["id"])
            if message["method"] == "initialize":
                params = {"type": 1, "message": _told(sentence, tips)}
                self._out += _framed(_encoded({"jsonrpc": "2.0", "method": "window/showMessage", "params": params}))
            self._out += _framed(_failed(key, sentence, tips, retry=False))
        self._waited_for = False
        self._queue = kept
        self._queued_bytes = sum(map(len, kept))
        self._write_editor()

    def _finish(self) -> None:
        """Hands on what is left, for a second at most."""
        until_s = time.monotonic() + FAREWELL_S
        while (self._out or (self._link and self._link.out)) and (left_s := until_s - time.monotonic()) > 0:
            writes: list[int | socket] = [1] if self._out else []
            if self._link and self._link.out:
                writes.append(self._link.socket)
            _, writable, _ = select.select([], writes, [], left_s)
            try:
                if 1 in writable:
                    del self._out[: os.write(1, self._out[:PIPE_BYTES])]
                if self._link and self._link.socket in writable:
                    self._link.write()
            except OSError:
                return


def _told(sentence: str, tips: list[str]) -> str:
    return f"{sentence} Try: {tips[0]}" if tips else sentence


def _failed(key: str, sentence: str, tips: list[str], **more: object) -> bytes:
    return failure(key, _told(sentence, tips), {"kind": "daemon_not_running", "tip": tips, **more})


def _nothing(id_: object) -> bytes:
    return _encoded({"jsonrpc": "2.0", "id": id_, "result": None})


def _encoded(message: dict[str, object]) -> bytes:
    return json.dumps(message).encode()


def run() -> int:
    """Serves one editor on the standard streams.

    Returns:
        0 where the editor took its leave or has gone, 1 where it left without `shutdown` or sent no messages.
    """
    import signal

    if not os.isatty(0):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the editor's terminal is not for us
    elif sys.stderr.isatty():
        sys.stderr.write("beast lsp speaks the Language Server Protocol with an editor; see: beast lsp --help\n")
    return Shim(dict(os.environ)).run()
