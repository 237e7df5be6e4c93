"""Whether a store on disk can be trusted: the mark of a clean stop, else a check in a child process.

LMDB maps its file: reading a damaged one can end the process. The check reads the bytes without mapping them, and runs
in a child so that it takes nothing from the event loop. Run as `python -m beastmode.cache.disk_check FOLDER`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from lmdb.verify import verify

DATA = "data.mdb"
DAMAGED_EXIT = 1
POLL_S = 0.02
NOT_ITS_OWN_FAULT = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)

Fingerprint = tuple[int, int, int]
"""Inode, size in bytes and time of change in ns of a data file."""


class UncheckedError(Exception):
    """The check could not be made, which says nothing about the store."""


def fingerprint(folder: Path) -> Fingerprint | None:
    """What tells a data file that nobody touched from one that somebody did; None where there is none.

    Args:
        folder: Folder of the data file.
    """
    try:
        found = os.stat(folder / DATA)  # noqa: PTH116 - Path.stat costs three times as much, on every read
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class Mark:
    """A small file beside the store that says which schema it has and how it was left.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, object] | None:
        """What it says; None where it is missing or damaged."""
        try:
            found = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    def write(self, schema: int, left: Fingerprint | None) -> None:
        """Says how the store is left.

        Args:
            schema: Version of its content.
            left: The data file after a clean stop; None: in use.
        """
        text = json.dumps({"schema": schema, "clean": None if left is None else list(left)})
        fresh = self._path.with_name(self._path.name + ".new")
        with contextlib.suppress(OSError):  # without a mark the next start checks the store
            fresh.write_text(text)
            fresh.replace(self._path)

    def vouches_for(self, found: Fingerprint | None) -> bool:
        """Whether a data file is the one that a clean stop left.

        Args:
            found: The data file's fingerprint.
        """
        said = self.read()
        return said is not None and found is not None and said.get("clean") == list(found)


def check_in_child(folder: Path, stop: threading.Event, timeout_s: float) -> str | None:
    """Checks a store in a child process. Blocks.

    Args:
        folder: Folder of the data file.
        stop: Ends the check.
        timeout_s: Longest duration; a store that takes longer counts as damaged.

    Returns:
        What is wrong with it, in a few words; None where it is sound.

    Raises:
        UncheckedError: No child could be started, or somebody ended it.
    """
    command = [sys.executable, "-P", "-m", "beastmode.cache.disk_check", str(folder)]
    try:
        child = subprocess.Popen(  # noqa: S603 - our own module, no shell
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise UncheckedError(str(error)) from error
    with child:
        ends_s = time.monotonic() + timeout_s
        while _runs(child):
            if stop.is_set() or time.monotonic() > ends_s:
                child.kill()
                if stop.is_set():
                    raise UncheckedError("the daemon stops")
                return f"it could not be checked within {timeout_s:.0f} s"
        assert child.stdout is not None
        said = child.stdout.read(1000).decode(errors="replace").strip()
    if child.returncode in NOT_ITS_OWN_FAULT:
        raise UncheckedError(f"the check was ended by signal {-child.returncode}")
    return None if child.returncode == 0 else said or f"the check ended with {child.returncode}"


def _runs(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(POLL_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def check(folder: Path) -> str | None:
    """Reads every page of a data file without mapping it.

    Args:
        folder: Folder of the data file.

    Returns:
        What is wrong with it; None where it is sound.
    """
    try:
        found = verify(str(folder))  # type: ignore[no-untyped-call]  # lmdb has no types for it
    except Exception as error:  # whatever it stumbles over is damage
        return str(error) or type(error).__name__
    return "; ".join(found[:3]) or None


def main(folder: str) -> int:
    """Prints what is wrong with a store.

    Args:
        folder: Folder of the data file.

    Returns:
        0 where it is sound.
    """
    wrong = check(Path(folder))
    if wrong is None:
        return 0
    print(wrong[:500])
    return DAMAGED_EXIT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
