"""`python -m beastmode`: takes the home's lock, then becomes its daemon (standard library until the lock is held)."""

from __future__ import annotations

import fcntl
import json
import os
import sys

from beastmode.core.errors import CODES, BeastError
from beastmode.core.paths import Paths


def main() -> int:
    """Runs the one daemon of this home in the foreground.

    Returns:
        The exit code: 0 also where a daemon already runs, which is said.
    """
    if sys.platform == "win32":
        print("BEAST MODE runs on Linux and macOS; on Windows use it inside WSL.", file=sys.stderr)
        return 1
    os.umask(0o077)  # whatever any part writes is the user's alone
    for threads in ("OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(threads, "1")  # numpy's own threads make a search ten times slower on few cores
    try:
        paths = Paths.from_environment(os.environ)
        paths.make()
        return _hold_and_run(paths)
    except BeastError as error:
        print(f"error: {error.message}", *(f"  try: {tip}" for tip in error.tips), sep="\n", file=sys.stderr)
        return CODES[error.kind].exit


def _hold_and_run(paths: Paths) -> int:
    lock = os.open(paths.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print(f"A daemon already runs for {paths.run} ({holder(paths)}).", file=sys.stderr)
        return 0
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps({"pid": os.getpid(), "socket": str(paths.rpc_socket)}).encode(), 0)
    from beastmode.app import run

    again = run(paths, os.environ)
    if again:
        os.execv(sys.executable, [sys.executable, "-m", "beastmode"])  # noqa: S606  # the same program, anew
    return 0


def holder(paths: Paths) -> str:
    """Says who holds the lock of a home."""
    try:
        return f"pid {json.loads(paths.lock_file.read_text())['pid']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it is just starting"


if __name__ == "__main__":
    sys.exit(main())
