"""One generation from the command line: asked for, checked by the caller's own command, written, and told."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beastmode.cli import applying
from beastmode.cli.undoing import Undo
from beastmode.core.errors import BeastError

if TYPE_CHECKING:
    from beastmode.client import Client

OUTPUT_MAX_BYTES = 1 << 18
PROGRAMS = (".venv/bin", "venv/bin", "node_modules/.bin")

Told = Callable[[dict[str, Any]], None]


class Asked:
    """How generations are asked for.

    Args:
        client: A client.
        root: The workspace.
        told: Gets `{id, stage, file, message}` as it comes.
        check: The caller's own check, in a shell's words; None: there is none.
        check_timeout_s: Longest time that it may take.
        undo: Where what is written over is kept; None: nothing is written.
    """

    def __init__(
        self,
        client: Client,
        root: Path,
        told: Told,
        check: str | None = None,
        check_timeout_s: float = 300.0,
        undo: Undo | None = None,
    ) -> None:
        self._client = client
        self._root = root
        self._told = told
        self._check = check
        self._check_timeout_s = check_timeout_s
        self._undo = undo

    def make(self, params: dict[str, Any]) -> dict[str, Any]:
        """Makes one, and writes it where that is wanted.

        Args:
            params: Of `generate`.

        Returns:
            The result of `generate`, with `applied` and `undo` where it was written.

        Raises:
            BeastError: As the daemon says; or a file can not be written.
        """
        result = self._call({**params, "stage": self._check is not None})
        while self._check is not None and result["edits"]:
            said = self._checked(result)
            if said is None:
                result["checked"] = [*result.get("checked", []), "command"]
                break
            result = self._call({"resume": result["id"], "feedback": said, "stage": True})
        if self._undo is not None and result["edits"]:
            self._write(result, params.get("request", ""), self._undo)
        return result

    def _call(self, params: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self._client.call("generate", {**params, "stream": True}, self._told)
        return result

    def _checked(self, result: dict[str, Any]) -> str | None:
        """Runs the check in the copy that the daemon made; it is removed whatever comes."""
        copy = Path(result.pop("staged"))
        self._told({"stage": "check", "file": "", "message": self._check or ""})
        try:
            return run(self._check or "", copy, self._root, self._check_timeout_s)
        finally:
            shutil.rmtree(copy, ignore_errors=True)

    def _write(self, result: dict[str, Any], what: str, undo: Undo) -> None:
        names: list[str] = []
        try:
            result["applied"] = applying.apply(
                self._root, result["edits"], lambda changes: names.append(undo.note(self._root, what, changes))
            )
        except BeastError:
            for name in names:
                undo.forget(name)
            raise
        result["undo"] = names[0]


def run(command: str, copy: Path, root: Path, timeout_s: float) -> str | None:
    """Runs a person's own command in a copy of the workspace; interrupted, it takes all that it started with it.

    Args:
        command: As a shell takes it.
        copy: Where it runs.
        root: What it is a copy of; the programs that are installed in it are found.
        timeout_s: Longest time.

    Returns:
        None where it ended with 0, else what went wrong: the end of its output.
    """
    programs = [os.fspath(root / one) for one in PROGRAMS if (root / one).is_dir()]
    sources = [os.fspath(one) for one in (copy / "src", copy) if one.is_dir()]
    environ = {
        **os.environ,
        "PATH": os.pathsep.join([*programs, os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join([*sources, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "BEAST_WORKSPACE": os.fspath(root),
    }
    with tempfile.TemporaryFile() as said:  # no pipe: what it leaves running may hold that for ever
        process = subprocess.Popen(  # noqa: S603  # it is what the person at this terminal wants run
            ["/bin/sh", "-c", command],
            cwd=copy,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            how = f"failed with code {process.wait(timeout_s)}"
        except subprocess.TimeoutExpired:
            how = f"took over {timeout_s:g} s"
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if how == "failed with code 0":
            return None
        said.seek(max(0, said.seek(0, os.SEEK_END) - OUTPUT_MAX_BYTES))
        told = said.read().decode(errors="replace")
    for place in (os.fspath(copy), os.path.realpath(copy)):
        told = told.replace(f"{place}/", "").replace(place, ".")
    return f"The check `{command}` {how}:\n{told}".rstrip()
