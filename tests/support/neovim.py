"""Neovim, as set-up fetches it, without the user's own files."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

from support.tracked import ROOT

PLUGIN = ROOT / "editors" / "nvim"
OLDEST = (0, 12)
CLEAN = ("-u", "NONE", "-i", "NONE", "-n")


def _version(program: str) -> tuple[int, ...]:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    found = re.match(r"NVIM v(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


@functools.cache
def program() -> str:
    """Finds Neovim; `make test` fetches it where it may."""
    candidates = [os.environ.get("BEAST_TEST_NVIM"), str(ROOT / "build" / "nvim" / "nvim"), shutil.which("nvim")]
    for candidate in candidates:
        if candidate and Path(candidate).is_file() and _version(candidate) >= OLDEST:
            return candidate
    raise AssertionError("Neovim 0.12 is not here: build/setup.log says why; BEAST_TEST_NVIM can name another")


def script(file: Path, *words: str) -> list[str]:
    """The command that runs a Lua file in a Neovim of its own, with the plugin on its path.

    Args:
        file: The Lua file.
        words: Its arguments.
    """
    start = f"set runtimepath^={PLUGIN}"
    return [program(), "--headless", *CLEAN, "--cmd", start, "-l", str(file), *words]


def environ(home: Path, **more: str) -> dict[str, str]:
    """An environment in which Neovim finds this project's `beast`, and nothing of the user's.

    Args:
        home: A folder for what Neovim writes.
        more: Further variables.
    """
    path = os.pathsep.join([str(ROOT / ".venv" / "bin"), os.environ.get("PATH", "")])
    folders = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "DATA", "STATE", "CACHE")}
    return {**os.environ, "PATH": path, "HOME": str(home), **folders, **more}
