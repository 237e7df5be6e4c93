"""Starts the daemon for an editor's shim, in a process of its own, so that the shim stays small."""

from __future__ import annotations

import json
import os
import sys

_OUTPUT_MAX_BYTES = 1 << 16
Failure = tuple[str, list[str]]


class Starter:
    """Runs `beast start` beside the editor's messages; several at once make one daemon.

    Attributes:
        pipe: What it says on standard error; None while it does not run.
    """

    def __init__(self) -> None:
        self.pipe: int | None = None
        self._pid = 0
        self._words = b""
        self._result: Failure | None = None

    @property
    def busy(self) -> bool:
        """It runs."""
        return self.pipe is not None

    def start(self) -> None:
        """Begins."""
        ours, its = os.pipe()
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, its, 2),
        ]
        # -P: a folder called `beastmode` in the current directory must not be taken for the program.
        command = [sys.executable, "-P", "-m", "beastmode.cli", "--json", "start"]
        try:
            self._pid = os.posix_spawn(sys.executable, command, os.environ, file_actions=actions)
        except OSError as error:
            os.close(ours)
            self._result = (f"The daemon can not be started: {error.strerror or error}.", ["beast start"])
            return
        finally:
            os.close(its)
        self.pipe, self._words = ours, b""

    def read(self) -> None:
        """Takes what it says; at the end it has a result."""
        assert self.pipe is not None
        data = os.read(self.pipe, _OUTPUT_MAX_BYTES)
        if data:
            self._words = (self._words + data)[-_OUTPUT_MAX_BYTES:]
            return
        os.close(self.pipe)
        self.pipe = None
        _, status = os.waitpid(self._pid, 0)
        self._result = ("", []) if os.waitstatus_to_exitcode(status) == 0 else _reason(self._words)

    def result(self) -> Failure | None:
        """What became of it, once: an empty sentence where the daemon runs; None where there is nothing to tell."""
        result, self._result = self._result, None
        return result


def _reason(words: bytes) -> Failure:
    """What `beast --json start` said of its failure."""
    for line in reversed(words.decode(errors="replace").splitlines()):
        try:
            error = json.loads(line)["error"]
            return str(error["message"]), [str(tip) for tip in error.get("tips") or error.get("tip") or []]
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return "The daemon did not start.", ["beast start"]


def why_shut() -> Failure:
    """Why the daemon runs, and nobody answers on its socket for editors."""
    from beastmode.client import Client
    from beastmode.core.errors import BeastError

    try:
        with Client() as client:
            sockets = client.call("status", timeout_s=5)["sockets"]
            settings = client.call("config.get", timeout_s=5)["settings"]
    except BeastError as error:
        return error.message, error.tips
    if "lsp" not in sockets:
        return "The daemon that runs is older than this command: it serves no editors.", ["beast restart"]
    if not (settings.get("lsp") or {}).get("enabled", True):
        tip = "set lsp.enabled = true in config.toml (or BEAST_LSP__ENABLED=true), then: beast restart"
        return "The server for editors is switched off: lsp.enabled is false.", [tip]
    return "The daemon runs, but its door for editors is shut.", ["beast health", "beast restart"]
