"""Starting and stopping the daemon of a home: exactly one runs, whoever asks, and however many ask at once."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

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

    def done(state: str, pid: int | None) -> Started:
        return Started(state, pid, str(paths.rpc_socket), (time.monotonic() - began_s) * 1000)

    alive, pid = _ping(paths)
    if alive:
        return done("already running", pid)
    paths.make()
    output = paths.log_file.with_name("beast.out")
    child, offset = _spawn(paths, output)
    while time.monotonic() - began_s < START_LIMIT_S:
        alive, pid = _ping(paths)
        if alive:
            _leave(child)
            return done("started" if pid in (child.pid, None) else "already running", pid)
        if child.poll():
            raise _failed(child.returncode, output, offset)
        if child.returncode == 0 and not _is_locked(paths):  # it gave way to one that was just leaving
            child, offset = _spawn(paths, output)
        time.sleep(_POLL_S)
    _leave(child)
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


def _spawn(paths: Paths, output: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Starts the daemon in a session of its own, so that no terminal takes it along.

    Returns:
        The process, and where in `output` its own words begin.
    """
    environ = dict(os.environ)
    if environ.get("BEAST_HOME"):
        environ["BEAST_HOME"] = str(paths.config)  # absolute: the daemon starts in another folder
    file = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        if os.fstat(file).st_size > _OUTPUT_MAX_BYTES:
            os.truncate(file, 0)
        offset = os.fstat(file).st_size
        child = subprocess.Popen(  # noqa: S603 - its own interpreter, fixed words
            DAEMON, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd="/", env=environ, start_new_session=True
        )
    finally:
        os.close(file)
    return child, offset


def _leave(child: subprocess.Popen[bytes]) -> None:
    """The daemon outlives this command, and nobody waits for it: Popen need not warn of that."""
    if child.returncode is None:
        child.returncode = 0


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
