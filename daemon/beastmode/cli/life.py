"""Starting and stopping the daemon of a home: exactly one runs, whoever asks, and however many ask at once."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from beastmode.cli import interrupts
from beastmode.cli.screen import Screen
from beastmode.client import Client
from beastmode.core.errors import (
    BeastError,
    DaemonNotRunningError,
    InternalError,
    ShuttingDownError,
    UpstreamTimeoutError,
)
from beastmode.core.paths import Paths

START_LIMIT_S = 10.0
STOP_LIMIT_S = 12.0
_POLL_S = 0.01
_OUTPUT_MAX_BYTES = 1_000_000
# -P: a folder called `beastmode` in the current directory must not be taken for the program.
DAEMON = (sys.executable, "-P", "-m", "beastmode")


class Started(NamedTuple):
    """What `start` found or did.

    Attributes:
        state: `started`, or `already running`.
        pid: The daemon's process.
        socket: Where it answers.
        took_ms: Until it answered.
    """

    state: str
    pid: int | None
    socket: str
    took_ms: float


def start(paths: Paths) -> Started:
    """Starts the daemon where none runs, and waits until it answers.

    Args:
        paths: The home.

    Raises:
        AccessError: A folder of the home is not private.
        InternalError: The daemon ended at once, or gave no answer in time.
    """
    began_s = time.monotonic()
    alive, pid = _ping(paths)
    if alive:
        return _started("already running", pid, paths, began_s)
    paths.make()
    birth = _Birth(paths)
    try:
        birth.spawn()
        while time.monotonic() - began_s < START_LIMIT_S:
            alive, pid = _ping(paths)
            if alive:
                birth.leave()
                return _started("started" if pid in (birth.pid, None) else "already running", pid, paths, began_s)
            birth.check()
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        birth.undo()
        raise
    birth.leave()
    raise InternalError(
        f"The daemon did not answer on {paths.rpc_socket} within {START_LIMIT_S:g} s.",
        tips=["beast start --foreground", f"read {paths.log_file}"],
    )


def stop(paths: Paths) -> str:
    """Asks the daemon to drain and waits until it has gone.

    Args:
        paths: The home.

    Returns:
        `stopped`, or `not running`.

    Raises:
        InternalError: It is still there after 12 s.
    """
    deadline_s = time.monotonic() + STOP_LIMIT_S
    asked = _ask_to_stop(paths)
    if not asked and not _is_locked(paths):
        return "not running"
    while time.monotonic() < deadline_s:
        # The lock is tried only when nobody answers: trying it takes it for a moment, which a start could notice.
        if not _answers(paths) and not _is_locked(paths):
            return "stopped"
        time.sleep(_POLL_S)
    owner = lock_owner(paths)
    raise InternalError(
        f"The daemon{f' (pid {owner})' if owner else ''} has not gone after {STOP_LIMIT_S:g} s.",
        tips=[*([f"kill -9 {owner}"] if owner else []), f"read {paths.log_file}"],
    )


def connected(screen: Screen) -> Client:
    """A connected client; starts the daemon first where none runs, and says so."""
    client = screen.client()
    try:
        client.connect()
    except DaemonNotRunningError:
        begun = start(screen.paths)
        if begun.state == "started":
            screen.note(f"started the daemon (pid {begun.pid}); it stays until: beast stop")
        client.connect()
    return client


def lock_owner(paths: Paths) -> int | None:
    """The process that the lock file names; None where it names none.

    Args:
        paths: The home.
    """
    try:
        return int(json.loads(paths.lock_file.read_bytes())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _ping(paths: Paths) -> tuple[bool, int | None]:
    try:
        with Client(paths.rpc_socket) as client:
            reply: Any = client.call("ping", timeout_s=START_LIMIT_S)
    except (DaemonNotRunningError, UpstreamTimeoutError, ShuttingDownError):
        return False, None
    return True, reply.get("pid") if isinstance(reply, dict) else None


def _answers(paths: Paths) -> bool:
    try:
        with Client(paths.rpc_socket) as client:
            client.connect()
    except DaemonNotRunningError:
        return False
    return True


def _started(state: str, pid: int | None, paths: Paths, began_s: float) -> Started:
    return Started(state, pid, str(paths.rpc_socket), (time.monotonic() - began_s) * 1000)


class _Birth:
    """A daemon that was started and has not answered yet.

    Args:
        paths: Its home.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._output = paths.log_file.with_name("beast.out")
        self._offset = 0
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def spawn(self) -> None:
        """Starts it in a session of its own, so that no terminal takes it along."""
        environ = dict(os.environ)
        if environ.get("BEAST_HOME"):
            environ["BEAST_HOME"] = str(self._paths.config)  # absolute: it starts in another folder
        with open(self._output, "ab", opener=_private) as output, interrupts.held():
            if output.tell() > _OUTPUT_MAX_BYTES:
                output.truncate(0)
            self._offset = os.fstat(output.fileno()).st_size
            self._child = subprocess.Popen(  # noqa: S603 - its own interpreter, fixed words
                DAEMON,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=environ,
                start_new_session=True,
            )

    def check(self) -> None:
        """Looks whether it has ended.

        Raises:
            InternalError: It has, with what it said.
        """
        assert self._child is not None
        if self._child.poll():
            raise _failed(self._child.returncode, self._output, self._offset)
        if self._child.returncode == 0 and not _is_locked(self._paths):  # it gave way to one that was just leaving
            self.spawn()

    def leave(self) -> None:
        """It outlives this command, and nobody waits for it: Popen need not warn of that."""
        if self._child is not None and self._child.returncode is None:
            self._child.returncode = 0

    def undo(self) -> None:
        """Ctrl-C before it answered: it is ended, so that nothing comes up later."""
        if self._child is not None:
            interrupts.end(self._child, signal.SIGTERM, grace_s=0)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _failed(code: int, output: Path, offset: int) -> BeastError:
    """What a daemon that ended at once said, as it said it."""
    with output.open("rb") as file:
        file.seek(offset)
        words = file.read(_OUTPUT_MAX_BYTES).decode(errors="replace").splitlines()
    errors = [line.removeprefix("error: ") for line in words if line.startswith("error: ")]
    tips = [line.strip().removeprefix("try: ") for line in words if line.strip().startswith("try: ")]
    if errors:
        return InternalError(f"The daemon did not start: {errors[0]}", tips=list(dict.fromkeys(tips)))
    last = next((line for line in reversed(words) if line.strip()), f"it ended with exit code {code}")
    return InternalError(f"The daemon did not start: {last}", tips=["beast start --foreground", f"read {output}"])


def _ask_to_stop(paths: Paths) -> bool:
    try:
        with Client(paths.rpc_socket) as client:
            client.connect()
            with contextlib.suppress(DaemonNotRunningError, UpstreamTimeoutError, ShuttingDownError):
                client.call("shutdown", timeout_s=STOP_LIMIT_S)  # gone before its reply, or slow: the lock tells
    except DaemonNotRunningError:
        return False
    return True


def _is_locked(paths: Paths) -> bool:
    try:
        file = os.open(paths.lock_file, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
