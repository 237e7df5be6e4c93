"""Where things live on disk (standard library only: the command line and the client start from here)."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from beastmode.core.errors import AccessError
from beastmode.core.run_folder import SOCKET_PATH_MAX_BYTES, run_folder, socket_path

__all__ = ["SOCKET_PATH_MAX_BYTES", "Paths", "check_private"]


class Paths:
    """The folders and files of one home.

    Args:
        config: Folder of `config.toml`.
        state: Ledger, sessions, models, keys, logs: what must not be lost.
        cache: What may be deleted at any time.
        data: Model weights.
        run: Sockets and locks.
    """

    def __init__(self, config: Path, state: Path, cache: Path, data: Path, run: Path) -> None:
        self.config = config
        self.state = state
        self.cache = cache
        self.data = data
        self.run = run

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], platform: str = sys.platform) -> Paths:
        """Reads `BEAST_HOME`, else the platform's own directories (XDG on Linux, `~/Library` on macOS).

        Args:
            environ: Environment variables.
            platform: As `sys.platform`.
        """
        run = Path(run_folder(environ, platform))
        if environ.get("BEAST_HOME"):
            home = Path(environ["BEAST_HOME"]).expanduser().absolute()
            return cls(home, home / "state", home / "cache", home / "data", run)
        user = Path(environ.get("HOME") or Path.home())
        if platform == "darwin":
            library = user / "Library"
            support = library / "Application Support" / "beastmode"
            return cls(support, support / "state", library / "Caches" / "beastmode", support / "data", run)

        def xdg(name: str, default: str) -> Path:
            value = environ.get(name, "")
            return (Path(value) if Path(value).is_absolute() else user / default) / "beastmode"

        return cls(
            xdg("XDG_CONFIG_HOME", ".config"),
            xdg("XDG_STATE_HOME", ".local/state"),
            xdg("XDG_CACHE_HOME", ".cache"),
            xdg("XDG_DATA_HOME", ".local/share"),
            run,
        )

    @property
    def config_file(self) -> Path:
        """The user's settings."""
        return self.config / "config.toml"

    @property
    def log_file(self) -> Path:
        """The daemon's log: one JSON object a line."""
        return self.state / "logs" / "beast.log"

    @property
    def lock_file(self) -> Path:
        """Held by the one daemon of this home; says who it is."""
        return self.run / "daemon.lock"

    @property
    def token_file(self) -> Path:
        """What callers of the HTTP door must show."""
        return self.state / "token"

    @property
    def rpc_socket(self) -> Path:
        """The JSON-RPC socket; a path too long for the kernel falls back to a short one."""
        return self._socket("rpc.sock")

    @property
    def lsp_socket(self) -> Path:
        """The socket that editors speak the Language Server Protocol on."""
        return self._socket("lsp.sock")

    def _socket(self, name: str) -> Path:
        return Path(socket_path(os.fspath(self.run), name))

    def make(self) -> None:
        """Creates every folder as 0700.

        Raises:
            AccessError: A folder belongs to someone else, or others can write it.
        """
        logs = self.log_file.parent
        sockets = (self.rpc_socket.parent, self.lsp_socket.parent)
        for folder in (self.config, self.state, self.cache, self.data, self.run, logs, *sockets):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_private(folder)


def check_private(folder: Path) -> None:
    """Refuses a folder in which someone else could put or swap files.

    Args:
        folder: An existing folder.

    Raises:
        AccessError: With the command that mends it.
    """
    found = folder.stat()
    if found.st_uid != os.getuid():
        raise AccessError(
            f"{folder} belongs to user {found.st_uid}, not to you (user {os.getuid()}).",
            tips=[f"chown {os.getuid()} {folder}", "or set BEAST_HOME to a folder of your own"],
        )
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise AccessError(
            f"{folder} can be written by other users (mode {stat.S_IMODE(found.st_mode):04o}).",
            tips=[f"chmod 700 {folder}", "or set BEAST_HOME to a folder of your own"],
        )
