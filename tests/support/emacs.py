"""Emacs, as set-up fetches it, without the user's own files."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

from support.tracked import ROOT

OLDEST = 29


@functools.cache
def program() -> str:
    """Finds Emacs; `make test-clients` fetches it where it may."""
    for candidate in (
        os.environ.get("BEAST_TEST_EMACS"),
        str(ROOT / "build/clients/emacs/emacs"),
        shutil.which("emacs"),
    ):
        if candidate and Path(candidate).is_file():
            said = subprocess.run(
                [candidate, "--version"], capture_output=True, text=True, timeout=20, check=False
            ).stdout
            found = re.match(r"GNU Emacs (\d+)", said)
            if found and int(found[1]) >= OLDEST:
                return candidate
    raise AssertionError("Emacs 29 is not here: build/setup.log says why; BEAST_TEST_EMACS can name another")


def script(file: Path, *before: Path) -> list[str]:
    """The command that loads files, then runs one, in an Emacs without a window.

    Args:
        file: The script.
        before: What is loaded before it, as an init file is.
    """
    loads = [word for path in (*before, file) for word in ("-l", str(path))]
    return [program(), "--batch", "-Q", *loads]


def addons() -> Path:
    """Where the packages are that came with the Emacs of set-up, lsp-mode among them."""
    folder = os.environ.get("BEAST_TEST_EMACS_ADDONS")
    found = Path(folder) if folder else ROOT / "build/clients/emacs/root/usr/share/emacs/site-lisp/elpa-src"
    assert found.is_dir(), f"{found} is not here: build/setup.log says why; BEAST_TEST_EMACS_ADDONS can name another"
    return found
