"""The user's own check of a proposal: a command in a copy of the workspace, with a limit, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

OUTPUT_MAX_BYTES = 1 << 18
TOLD_MAX_CHARS = 3_000
GRACE_S = 2.0
_SECRET_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH|^BEAST_", re.IGNORECASE)
_MOVING = (
    (re.compile(r"\b\d+(?:\.\d+)? ?(?:ms|s|seconds?)\b"), "a time"),
    (re.compile(r"0x[0-9a-f]{6,16}"), "0x..."),
)
"""What differs between two runs that fail alike: the same failure is to be the same question."""


async def try_command(command: Sequence[str], copy: Path, workspace: str, timeout_s: float) -> str | None:
    """Runs a command in a copy of a workspace; cancelled, it takes all that it started with it.

    Args:
        command: A program and its arguments.
        copy: Where it runs.
        workspace: What it is a copy of: its programs (`.venv/bin`, `node_modules/.bin`) are found.
        timeout_s: Longest time.

    Returns:
        None where it ended with 0, else what went wrong: the end of its output.
    """
    words = [_found(command[0], copy, workspace), *command[1:]]
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd=copy,
            env=environment(os.environ, copy, workspace),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return f"The check `{shlex.join(command)}` can not be run: {getattr(error, 'strerror', None) or error}."
    tail = _Tail()
    try:
        async with asyncio.timeout(timeout_s):
            assert process.stdout is not None
            while piece := await process.stdout.read(1 << 16):
                tail.add(piece)
            code = await process.wait()
    except TimeoutError:
        return _told(command, f"took over {timeout_s:g} s", tail.text, copy)
    finally:
        await asyncio.shield(_end(process))
    return None if code == 0 else _told(command, f"failed with {_ended(code)}", tail.text, copy)


class _Tail:
    """The end of an output."""

    def __init__(self) -> None:
        self._raw = b""

    def add(self, piece: bytes) -> None:
        self._raw = (self._raw + piece)[-OUTPUT_MAX_BYTES:]

    @property
    def text(self) -> str:
        return self._raw.decode(errors="replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends all that is left of a command's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), GRACE_S)


def _ended(code: int) -> str:
    return f"code {code}" if code >= 0 else f"signal {-code}"


def _told(command: Sequence[str], how: str, output: str, copy: Path) -> str:
    return f"The check `{shlex.join(command)}` {how}:\n{told(output, copy)}".rstrip()


def told(output: str, copy: Path) -> str:
    """The end of an output as a model is told it: without the place of the copy, and without what differs each time.

    Args:
        output: All of it.
        copy: Where it was made.
    """
    for place in {os.fspath(copy), os.path.realpath(copy)}:
        output = output.replace(f"{place}/", "").replace(place, ".")
    return steadied(output)


def steadied(output: str) -> str:
    """The end of an output without what differs between two runs that fail alike.

    Args:
        output: All of it.
    """
    for pattern, words in _MOVING:
        output = pattern.sub(words, output)
    output = output.replace("\r\n", "\n").rstrip()
    if len(output) <= TOLD_MAX_CHARS:
        return output
    return "...\n" + output[-TOLD_MAX_CHARS:].partition("\n")[2]


def environment(environ: Mapping[str, str], copy: Path, workspace: str) -> dict[str, str]:
    """What a command sees: no keys, the programs of the workspace, and the copy before what is installed.

    Args:
        environ: The daemon's own.
        copy: Where it runs.
        workspace: What it is a copy of.
    """
    kept = {name: value for name, value in environ.items() if not _SECRET_NAMES.search(name)}
    programs = [f"{workspace}/{one}" for one in (".venv/bin", "venv/bin", "node_modules/.bin")]
    kept["PATH"] = os.pathsep.join([*filter(os.path.isdir, programs), kept.get("PATH", os.defpath)])
    sources = [os.fspath(one) for one in (copy / "src", copy) if one.is_dir()]
    kept["PYTHONPATH"] = os.pathsep.join([*sources, *filter(None, [kept.get("PYTHONPATH")])])
    kept["PYTHONDONTWRITEBYTECODE"] = "1"
    kept["NODE_PATH"] = os.pathsep.join([f"{workspace}/node_modules", *filter(None, [kept.get("NODE_PATH")])])
    kept["BEAST_WORKSPACE"] = workspace
    return kept


def _found(program: str, copy: Path, workspace: str) -> str:
    """A program named by a path inside the workspace is taken from there where the copy lacks it."""
    if "/" not in program or program.startswith("/") or (copy / program).exists():
        return program
    inside = Path(workspace, program)
    return os.fspath(inside) if inside.exists() else program
