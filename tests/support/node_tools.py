"""Node.js, for clients that are written for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

from support.tracked import ROOT

FOLDER = ROOT / "tests" / "clients" / "node"


def node() -> str:
    """Finds Node.js; `make test` installs it, and the packages, where it may."""
    found = shutil.which("node", path=os.pathsep.join([os.environ.get("PATH", ""), str(ROOT / ".venv" / "bin")]))
    assert found, "Node.js is not here (Debian, Ubuntu: apt-get install nodejs npm); build/setup.log says why"
    assert (FOLDER / "node_modules").is_dir(), "run .ci/setup test: it installs the packages of tests/clients/node"
    return found


def run(program: str, what: str, **environ: str) -> Any:
    """Runs a program of `tests/clients/node` with nothing but the given environment.

    Args:
        program: Its file.
        what: Its argument.
        environ: Its environment variables.

    Returns:
        What it printed, as JSON.
    """
    command = [node(), str(FOLDER / program), what]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
