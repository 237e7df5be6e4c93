"""Where the sockets are, told without pathlib: it would cost the shim of every editor a megabyte."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

SOCKET_PATH_MAX_BYTES = 100


def run_folder(environ: Mapping[str, str], platform: str = sys.platform) -> str:
    """The folder for sockets and locks.

    Args:
        environ: Environment variables; `BEAST_HOME`, else the platform's own.
        platform: As `sys.platform`.
    """
    if home := environ.get("BEAST_HOME"):
        return _joined(os.path.join(os.getcwd(), os.path.expanduser(home)), "run")  # noqa: PTH109, PTH111, PTH118
    user = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111
    if platform == "darwin":
        return _joined(user, "Library", "Application Support", "beastmode", "run")
    if environ.get("XDG_RUNTIME_DIR", "").startswith("/"):
        return _joined(environ["XDG_RUNTIME_DIR"], "beastmode")
    if environ.get("XDG_STATE_HOME", "").startswith("/"):
        return _joined(environ["XDG_STATE_HOME"], "beastmode", "run")
    return _joined(user, ".local", "state", "beastmode", "run")


def socket_path(run: str, name: str) -> str:
    """Where a socket is; a path too long for the kernel falls back to a short one.

    Args:
        run: The folder for sockets.
        name: Of the socket.
    """
    path = _joined(run, name)
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX_BYTES:
        return path
    import hashlib  # rare, and dear for every other start of the command line
    import tempfile

    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return _joined(tempfile.gettempdir(), f"beast-{os.getuid()}-{digest}", name)


def _joined(*parts: str) -> str:
    """One path, as pathlib would write it."""
    names = [name for part in parts for name in part.split("/") if name not in ("", ".")]
    return ("/" if parts[0].startswith("/") else "") + "/".join(names)
