"""`health.on_change`: a program is run, or a webhook called, once for each change of the daemon's health."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import IO, Any

import aiohttp
import msgspec

from beastmode.core.addresses import check_base_url
from beastmode.core.clock import Clock, rfc3339
from beastmode.core.errors import BeastError
from beastmode.core.settings import OnChangeSettings
from beastmode.core.statefile import read_private, write_private

log = logging.getLogger(__name__)

LOOK_S = 5.0
"""A change is told when two looks in a row have seen it."""

LIMIT_S = 10.0
STDERR_BYTES = 500


class Told(msgspec.Struct):
    """What was told last, as it is kept over a restart.

    Attributes:
        status: The health.
    """

    status: str = "healthy"


class Alerts:
    """Tells of changes. A program or a webhook that fails is logged, and is not tried again.

    Args:
        check: Gives the health, as `Health.check` does.
        settings: Gives the settings in force.
        http: A session that connects to no refused address and follows no redirect.
        clock: Time.
        file: Keeps what was told last.
    """

    def __init__(
        self,
        check: Callable[[], Awaitable[dict[str, Any]]],
        settings: Callable[[], OnChangeSettings],
        http: aiohttp.ClientSession,
        clock: Clock,
        file: Path,
    ) -> None:
        self._check = check
        self._settings = settings
        self._http = http
        self._clock = clock
        self._file = file
        self._told: str | None = None
        self._seen: str | None = None

    def problem(self) -> str | None:
        """What is wrong with the settings, in a sentence."""
        webhook = self._settings().webhook
        if not webhook:
            return None
        try:
            check_base_url(webhook.partition("#")[0].partition("?")[0])
        except BeastError as error:
            return error.message.replace("The base URL", "The webhook of health.on_change", 1)
        return None

    async def look(self) -> None:
        """Looks at the health, and tells of a change that an earlier look has seen too."""
        settings = self._settings()
        if not settings.command and not settings.webhook:
            self._seen = None
            return
        if self._told is None:
            self._told = await asyncio.to_thread(self._last_told)
        health = await self._check()
        status = str(health["status"])
        seen, self._seen = self._seen, status
        if status == self._told or status != seen:
            return
        before, self._told = self._told, status
        await self._keep(status)
        await self.tell(change_of(health, before, self._clock.wall_s()), settings)

    def _last_told(self) -> str:
        with contextlib.suppress(BeastError, msgspec.MsgspecError):
            content = read_private(self._file)
            if content is not None:
                return msgspec.json.decode(content, type=Told).status
        return Told().status

    async def _keep(self, status: str) -> None:
        try:
            await asyncio.to_thread(write_private, self._file, msgspec.json.encode(Told(status)))
        except BeastError as error:
            log.warning("health change is not kept", extra={"fields": {"why": error.message}})

    async def tell(self, change: Mapping[str, Any], settings: OnChangeSettings) -> None:
        """Runs the program and calls the webhook, side by side; waits ten seconds at most and never fails.

        Args:
            change: As `change_of` makes it.
            settings: Whom to tell.
        """
        work = []
        if settings.command:
            work.append(self._attempt("command", self._run(settings.command, change)))
        if settings.webhook:
            work.append(self._attempt("webhook", self._post(settings.webhook, change)))
        await asyncio.gather(*work)

    async def _attempt(self, how: str, telling: Awaitable[str | None]) -> None:
        try:
            async with asyncio.timeout(LIMIT_S):
                why = await telling
        except TimeoutError:
            why = f"it took more than {LIMIT_S:g} s"
        except BeastError as error:
            why = error.message
        except (OSError, ValueError, aiohttp.ClientError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
        if why is None:
            log.info("health change told", extra={"fields": {"how": how}})
        else:
            log.warning("health change could not be told", extra={"fields": {"how": how, "why": why}})

    async def _run(self, command: list[str], change: Mapping[str, Any]) -> str | None:
        said = await asyncio.to_thread(tempfile.TemporaryFile)
        try:
            return await _run(command, change, said)
        finally:
            said.close()

    async def _post(self, url: str, change: Mapping[str, Any]) -> str | None:
        check_base_url(url.partition("#")[0].partition("?")[0])
        body = msgspec.json.encode(change)
        headers = {"Content-Type": "application/json"}
        async with self._http.post(url, data=body, headers=headers, allow_redirects=False) as reply:
            return None if reply.status < 300 else f"it answered with status {reply.status}"


def change_of(health: Mapping[str, Any], before: str, at_s: float) -> dict[str, Any]:
    """What is told of a change.

    Args:
        health: As `Health.check` gives it.
        before: The status before.
        at_s: Wall clock.

    Returns:
        `{event, at, status, before, cause, tip, issues}`; the cause is that of the worst issue.
    """
    issues = health["issues"]
    worst = next((one for one in issues if one["state"] == "failed"), issues[0] if issues else None)
    return {
        "event": "health.changed",
        "at": rfc3339(at_s),
        "status": health["status"],
        "before": before,
        "cause": f"{worst['part']}: {worst['cause']}" if worst else health["why"],
        "tip": worst["tip"] if worst else "",
        "issues": issues,
    }


async def _run(command: list[str], change: Mapping[str, Any], said: IO[bytes]) -> str | None:
    """Runs a program to its end.

    Returns:
        What went wrong.
    """
    variables = {f"BEASTMODE_{name.upper()}": change[name] for name in ("status", "before", "cause", "tip")}
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=said,
        env={**os.environ, **{name: value.replace("\0", "") for name, value in variables.items()}},
        start_new_session=True,
    )
    assert process.stdin is not None
    try:
        with contextlib.suppress(ConnectionError):  # a program need not read it
            process.stdin.write(msgspec.json.encode(change) + b"\n")
            await process.stdin.drain()
        process.stdin.close()
        code = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if code == 0:
        return None
    said.seek(0)
    last = said.read(STDERR_BYTES).decode("utf-8", "replace").strip()
    return f"it ended with {code}" + (f": {last}" if last else "")
