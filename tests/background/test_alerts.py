"""`health.on_change`: each change is told once, by a program and by a webhook, and nothing that fails holds it up."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from beastmode.background import alerts
from beastmode.background.alerts import Alerts, change_of
from beastmode.core.addresses import make_http_session
from beastmode.core.settings import OnChangeSettings
from support.daemon import Daemon
from support.ledger import NOON_S, StillClock
from support.waiting import until

DISK = {"part": "disk", "state": "degraded", "cause": "5 MB are left.", "tip": "df -h"}
ENDS = {"part": "requests", "state": "failed", "cause": "1 of 9 succeeded.", "tip": "beast errors"}
ISSUES: dict[str, list[dict[str, str]]] = {"healthy": [], "degraded": [DISK], "unhealthy": [DISK, ENDS]}

WRITES = """
import json, os, sys
told = {name: os.environ["BEASTMODE_" + name] for name in ("STATUS", "BEFORE", "CAUSE", "TIP")}
with open(sys.argv[1], "a") as file:
    file.write(json.dumps({"stdin": json.load(sys.stdin), "variables": told}) + "\\n")
"""


class Desk:
    """Alerts about a health that a test sets."""

    def __init__(self, folder: Path, session: aiohttp.ClientSession) -> None:
        self.status = "healthy"
        self.settings = OnChangeSettings()
        self.file = folder / "health.json"
        self.told = folder / "told"
        self.session = session
        self.alerts = self.again()

    def again(self) -> Alerts:
        self.alerts = Alerts(self._check, lambda: self.settings, self.session, StillClock(), self.file)
        return self.alerts

    async def _check(self) -> dict[str, Any]:
        return {"status": self.status, "why": "9 of 9 succeeded.", "issues": ISSUES[self.status]}

    def writes(self) -> Desk:
        self.settings = OnChangeSettings(command=[sys.executable, "-c", WRITES, str(self.told)])
        return self

    async def see(self, *statuses: str) -> Desk:
        for self.status in statuses:
            await self.alerts.look()
        return self

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.told.read_text().splitlines()] if self.told.exists() else []

    @property
    def changes(self) -> list[tuple[str, str]]:
        return [(line["stdin"]["before"], line["stdin"]["status"]) for line in self.lines]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with make_http_session() as session:
        yield Desk(tmp_path, session)


class Hook:
    """A webhook's server."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.status = 204
        self.pause_s = 0.0
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/json"
        self.bodies.append(await request.json())
        await asyncio.sleep(self.pause_s)
        return web.Response(status=self.status, headers={"Location": "/elsewhere"} if self.status == 302 else {})


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    hook = Hook()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hook.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/services/secret?token=x"
    yield hook
    await runner.cleanup()


class TestWhen:
    async def test_a_change_is_told_once_it_was_seen_twice(self, desk: Desk) -> None:
        await desk.writes().see("degraded")
        assert desk.changes == []
        await desk.see("degraded")
        assert desk.changes == [("healthy", "degraded")]

    async def test_and_not_again_while_it_lasts(self, desk: Desk) -> None:
        await desk.writes().see(*["degraded"] * 6)
        assert desk.changes == [("healthy", "degraded")]

    async def test_one_that_passes_is_not_told(self, desk: Desk) -> None:
        await desk.writes().see("degraded", "healthy", "degraded", "healthy", "unhealthy", "degraded", "healthy")
        assert desk.changes == []

    async def test_every_further_change_is_told(self, desk: Desk) -> None:
        await desk.writes().see(*["degraded"] * 2, *["unhealthy"] * 2, *["healthy"] * 2)
        assert desk.changes == [("healthy", "degraded"), ("degraded", "unhealthy"), ("unhealthy", "healthy")]

    async def test_a_restart_is_no_change(self, desk: Desk) -> None:
        await desk.writes().see("degraded", "degraded")
        desk.again()
        await desk.see("degraded", "degraded", "healthy", "healthy")
        assert desk.changes == [("healthy", "degraded"), ("degraded", "healthy")]

    async def test_a_file_that_can_not_be_read_counts_as_healthy(self, desk: Desk) -> None:
        desk.file.write_text("{")
        desk.file.chmod(0o600)
        await desk.writes().see("degraded", "degraded")
        assert desk.changes == [("healthy", "degraded")]

    async def test_without_settings_nothing_is_looked_at(self, desk: Desk) -> None:
        await desk.see("unhealthy", "unhealthy")
        assert not desk.file.exists()


class TestWhat:
    async def test_a_program_gets_it_as_json_and_in_variables(self, desk: Desk) -> None:
        await desk.writes().see("unhealthy", "unhealthy")
        (line,) = desk.lines
        assert line["stdin"] == {
            "event": "health.changed",
            "at": "2026-11-18T11:06:40.000Z",
            "status": "unhealthy",
            "before": "healthy",
            "cause": "requests: 1 of 9 succeeded.",
            "tip": "beast errors",
            "issues": [DISK, ENDS],
        }
        assert line["variables"] == {
            "STATUS": "unhealthy",
            "BEFORE": "healthy",
            "CAUSE": "requests: 1 of 9 succeeded.",
            "TIP": "beast errors",
        }

    async def test_a_webhook_gets_the_same(self, desk: Desk, hook: Hook) -> None:
        desk.settings = OnChangeSettings(webhook=hook.url)
        await desk.see("degraded", "degraded")
        (body,) = hook.bodies
        assert (body["status"], body["cause"], body["tip"]) == ("degraded", "disk: 5 MB are left.", "df -h")

    async def test_both_are_told(self, desk: Desk, hook: Hook) -> None:
        command = desk.writes().settings.command
        desk.settings = OnChangeSettings(command=command, webhook=hook.url)
        await desk.see("degraded", "degraded")
        assert (len(hook.bodies), len(desk.lines)) == (1, 1)

    def test_of_what_is_well_again_the_cause_says_how_well(self) -> None:
        change = change_of({"status": "healthy", "why": "9 of 9 succeeded.", "issues": []}, "degraded", NOON_S)
        assert (change["cause"], change["tip"]) == ("9 of 9 succeeded.", "")


def whys(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.fields["why"] for record in caplog.records if record.levelno == logging.WARNING]  # type: ignore[attr-defined]


class TestTrouble:
    async def test_a_program_that_fails_is_logged_with_what_it_said(
        self, desk: Desk, caplog: pytest.LogCaptureFixture
    ) -> None:
        desk.settings = OnChangeSettings(command=["/bin/sh", "-c", "echo no such user >&2; exit 3"])
        await desk.see("degraded", "degraded")
        assert whys(caplog) == ["it ended with 3: no such user"]

    async def test_a_program_that_is_not_there_is_logged(self, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
        desk.settings = OnChangeSettings(command=["/nonexistent/program"])
        await desk.see("degraded", "degraded")
        assert whys(caplog) == ["No such file or directory"]

    async def test_a_program_need_not_read(self, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
        desk.settings = OnChangeSettings(command=["/bin/sh", "-c", f"exec <&-; echo yes > {desk.told}"])
        await desk.see("degraded", "degraded")
        assert desk.told.read_text() == "yes\n"
        assert whys(caplog) == []

    async def test_a_program_that_does_not_end_is_ended_with_its_children(
        self, desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(alerts, "LIMIT_S", 1.0)
        late = f"(sleep 3; echo late > {desk.told}) & wait"
        desk.settings = OnChangeSettings(command=["/bin/sh", "-c", late])
        began = time.monotonic()
        await desk.see("degraded", "degraded")
        assert whys(caplog) == ["it took more than 1 s"]
        await asyncio.sleep(max(0.0, 3.5 - (time.monotonic() - began)))
        assert not desk.told.exists()

    async def test_a_webhook_that_does_not_answer_is_given_up(
        self, desk: Desk, hook: Hook, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(alerts, "LIMIT_S", 0.3)
        hook.pause_s = 1.0
        desk.settings = OnChangeSettings(webhook=hook.url)
        await desk.see("degraded", "degraded")
        assert whys(caplog) == ["it took more than 0.3 s"]

    @pytest.mark.parametrize("status", [302, 404, 500])
    async def test_a_webhook_that_refuses_is_logged_and_no_redirect_is_followed(
        self, desk: Desk, hook: Hook, caplog: pytest.LogCaptureFixture, status: int
    ) -> None:
        hook.status = status
        desk.settings = OnChangeSettings(webhook=hook.url)
        await desk.see("degraded", "degraded")
        assert whys(caplog) == [f"it answered with status {status}"]
        assert len(hook.bodies) == 1
        assert "secret" not in caplog.text

    @pytest.mark.parametrize(
        "url", ["http://169.254.169.254/latest", "file:///etc/passwd", "http://me:pw@127.0.0.1/", "hook"]
    )
    async def test_a_webhook_that_is_never_called_is_logged_and_shown(
        self, desk: Desk, caplog: pytest.LogCaptureFixture, url: str
    ) -> None:
        desk.settings = OnChangeSettings(webhook=url)
        assert desk.alerts.problem()
        await desk.see("degraded", "degraded")
        assert len(whys(caplog)) == 1

    def test_a_good_webhook_is_no_problem(self, desk: Desk) -> None:
        assert desk.alerts.problem() is None
        desk.settings = OnChangeSettings(webhook="https://hooks.example/services/x?y=1")
        assert desk.alerts.problem() is None


def test_a_real_daemon_tells_that_an_endpoint_fails(tmp_path: Path) -> None:
    told = tmp_path / "told"
    command = json.dumps([sys.executable, "-c", WRITES, str(told)])
    with Daemon(f"[health]\nmin_requests = 1\n[health.on_change]\ncommand = {command}\n") as daemon:
        daemon.add("custom:gone", "http://127.0.0.1:9/v1")
        with daemon.raw() as wire:
            wire.send({"jsonrpc": "2.0", "id": 1, "method": "chat", "params": {"message": "x", "model": "custom:gone"}})
            assert "error" in wire.line()
        until(told.exists, 40.0)
        until(lambda: told.read_text().endswith("\n"))
        change = json.loads(told.read_text().splitlines()[0])["stdin"]
    assert (change["before"], change["status"]) == ("healthy", "unhealthy")
    assert change["tip"]
