"""VS Code as a program for servers (code-server), with this project's extension, an empty home, a port of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from support.tracked import ROOT
from support.waiting import until

PROGRAM = ROOT / "build" / "clients" / "code-server" / "node_modules" / "code-server" / "out" / "node" / "entry.js"
EXTENSION = ROOT / "editors" / "vscode"
BIN = ROOT / ".venv" / "bin"
QUIET = {
    "security.workspace.trust.enabled": False,
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": False,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "telemetry.telemetryLevel": "off",
    "beast.workspace.open": "never",
    "update.mode": "none",
    "extensions.autoCheckUpdates": False,
    "extensions.autoUpdate": False,
    "files.autoSave": "off",
    "workbench.colorTheme": "Default Dark Modern",
    "editor.minimap.enabled": False,
    "editor.accessibilitySupport": "off",
    "typescript.tsserver.experimental.enableProjectDiagnostics": False,
}


@dataclass(frozen=True)
class Editor:
    """One that runs.

    Attributes:
        url: Its address.
        folder: All that it writes, settings too.
    """

    url: str
    folder: Path


def pack(into: Path) -> Path:
    """Packs the extension, as `make vscode` does.

    Args:
        into: A folder.
    """
    made = into / "beast-mode.vsix"
    environ = {**os.environ, "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]])}
    options = ["--no-dependencies", "--allow-missing-repository", "--out", str(made)]
    command = [str(EXTENSION / "node_modules" / ".bin" / "vsce"), "package", *options]
    done = subprocess.run(command, cwd=EXTENSION, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return made


@contextmanager
def code_server(vsix: Path, settings: Mapping[str, Any], models: Sequence[Mapping[str, Any]] = ()) -> Iterator[Editor]:
    """Starts it, with an empty home.

    Args:
        vsix: The packed extension.
        settings: Of the user, and of the machine: those that name programs are read from there alone.
        models: Groups of models of VS Code's own chat, as its `chatLanguageModels.json` has them.

    Yields:
        Where it is.
    """
    assert PROGRAM.exists(), "code-server is not here: run .ci/setup clients (build/setup.log says why it failed)"
    with tempfile.TemporaryDirectory(prefix="bcs-", ignore_cleanup_errors=True) as name:
        folder, port = Path(name), free_port()
        for part in ("User", "Machine"):
            (folder / part).mkdir()
            (folder / part / "settings.json").write_text(json.dumps({**QUIET, **settings}))
        (folder / "User" / "chatLanguageModels.json").write_text(json.dumps(models))
        (folder / "config.yaml").write_text(f"bind-addr: 127.0.0.1:{port}\n")
        places = ["--config", "config.yaml", "--user-data-dir", name, "--extensions-dir", f"{name}/extensions"]
        command = [str(BIN / "node"), str(PROGRAM), *places]
        environ = {"PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]), "HOME": name, "LANG": "C.UTF-8"}
        done = subprocess.run(
            [*command, "--install-extension", str(vsix)], cwd=folder, env=environ, capture_output=True, timeout=120
        )
        assert done.returncode == 0, done.stderr.decode()
        options = ["--auth", "none", "--disable-telemetry", "--disable-update-check"]
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, *options], cwd=folder, env=environ, stdout=log, stderr=log, start_new_session=True
            )
        url = f"http://127.0.0.1:{port}"
        try:
            until(lambda: process.poll() is not None or answers(f"{url}/healthz"), 60)
            assert process.poll() is None, (folder / "server.log").read_text()
            yield Editor(url, folder)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def answers(url: str) -> bool:
    """Whether a GET is answered well."""
    try:
        with urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False
