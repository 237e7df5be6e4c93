"""The user's own check of a proposal: a command in a copy of the workspace, with a limit, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

OUTPUT_MAX_BYTES = 1 << 18
TOLD_MAX_CHARS = 3_000
SAID_MAX_BYTES = 64 << 20
LOOK_S = 1.0
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
    said = await asyncio.to_thread(tempfile.TemporaryFile)  # no pipe: what is left running may hold that for ever
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd=copy,
            env=environment(os.environ, copy, workspace),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=said,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            how = await _outcome(process, said, timeout_s)
        finally:
            await asyncio.shield(_end(process))
        return how and _told(command, how, await asyncio.to_thread(_tail_of, said), copy)
    except (OSError, ValueError) as error:
        return f"The check `{shlex.join(command)}` can not be run: {getattr(error, 'strerror', None) or error}."
    finally:
        said.close()


async def _outcome(process: asyncio.subprocess.Process, said: IO[bytes], timeout_s: float) -> str | None:
    """Waits for a command; None where it ended with 0, else how it ended."""
    waiting = asyncio.ensure_future(process.wait())
    try:
        async with asyncio.timeout(timeout_s):
            while not waiting.done():
                await asyncio.wait([waiting], timeout=LOOK_S)
                if os.fstat(said.fileno()).st_size > SAID_MAX_BYTES:
                    return f"said more than {SAID_MAX_BYTES >> 20} MB"
    except TimeoutError:
        return f"took over {timeout_s:g} s"
    finally:
        waiting.cancel()
    return None if process.returncode == 0 else f"failed with {_ended(process.returncode or 0)}"


def _tail_of(said: IO[bytes]) -> str:
    said.seek(max(0, said.seek(0, os.SEEK_END) - OUTPUT_MAX_BYTES))
    return said.read(OUTPUT_MAX_BYTES).decode(errors="replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends all that is left of a command's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE_S):
            await process.wait()


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
