"""The daemon keeps a worker alive that serves editors, and neither takes the other along."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.clock import Clock
from beastmode.core.paths import Paths
from beastmode.core.settings import LspSettings
from beastmode.servers import lsp_host
from beastmode.servers.lsp_host import LspHost, find_worker
from support.daemon import Daemon
from support.lsp_client import LspClient
from support.provider_server import ProviderServer
from support.waiting import until, until_async

ENABLED = {"BEAST_LSP__ENABLED": "true"}


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with Daemon(environ=ENABLED) as daemon:
        yield daemon


def door(daemon: Daemon) -> Path:
    return Path(daemon.call("status")["sockets"]["lsp"])


def worker_of(daemon: Daemon, after: int = 0) -> int:
    """The worker's process, as the log tells; not one that came before."""
    found: list[int] = []

    def told() -> bool:
        found[:] = [one["pid"] for one in log_of(daemon) if one["event"] == "worker for editors ready"]
        return bool(found) and found[-1] != after

    until(told, 20)
    return found[-1]


def log_of(daemon: Daemon) -> list[dict[str, Any]]:
    lines = (daemon.home / "state" / "logs" / "beast.log").read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def runs(pid: int) -> bool:
    """Whether a process is there and no mere entry in a table."""
    said = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(said.strip()) and not said.strip().startswith("Z")


# -- the door


def test_the_socket_is_there_before_the_worker_and_is_its_owners_alone(daemon: Daemon) -> None:
    path = door(daemon)
    assert path == daemon.home / "run" / "lsp.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with LspClient.connect(path) as editor:
        assert editor.initialize()["serverInfo"]["name"] == "beast"
    assert daemon.call("health.get")["parts"]["lsp"] == "ok"


def test_switched_off_there_is_no_socket() -> None:
    with Daemon(environ={"BEAST_LSP__ENABLED": "false"}) as daemon:
        assert daemon.call("status")["sockets"]["lsp"] is None
        assert not (daemon.home / "run" / "lsp.sock").exists()


def test_where_its_path_is_taken_the_daemon_lives_and_says_so() -> None:
    daemon = Daemon(environ=ENABLED)
    (daemon.home / "run" / "lsp.sock").mkdir(mode=0o700, parents=True)
    (daemon.home / "run").chmod(0o700)
    with daemon:
        assert daemon.call("status")["sockets"]["lsp"] is None
        (issue,) = [one for one in daemon.call("health.get")["issues"] if one["part"] == "lsp"]
        assert "lsp.sock" in issue["cause"]
        assert "beast restart" in issue["tip"]


def test_a_socket_that_a_killed_daemon_left_is_taken_over(daemon: Daemon) -> None:
    path = door(daemon)
    daemon.kill()
    assert path.exists()
    daemon.start()
    with LspClient.connect(path) as editor:
        assert editor.initialize()


# -- the worker's life


def test_a_worker_that_is_killed_is_followed_by_another_and_the_socket_stays(daemon: Daemon) -> None:
    first = worker_of(daemon)
    with LspClient.connect(door(daemon)) as editor:
        editor.initialize()
        os.kill(first, signal.SIGKILL)
        assert editor.ended.wait(10)
    with LspClient.connect(door(daemon)) as editor:
        assert editor.initialize()
    assert worker_of(daemon, after=first) != first


def test_the_worker_ends_with_a_daemon_that_is_killed(daemon: Daemon) -> None:
    worker = worker_of(daemon)
    with LspClient.connect(door(daemon)) as editor:
        editor.initialize()
        daemon.kill()
        assert editor.ended.wait(10)
    until(lambda: not runs(worker))


def test_the_worker_ends_with_a_daemon_that_drains_and_the_socket_is_gone(daemon: Daemon) -> None:
    worker, path = worker_of(daemon), door(daemon)
    with LspClient.connect(path) as editor:
        editor.initialize()
        assert daemon.stop() == 0
        assert editor.ended.wait(10)
    assert not runs(worker)
    assert not path.exists()


def test_a_daemon_that_is_told_to_end_at_once_leaves_no_worker(daemon: Daemon) -> None:
    assert daemon.stop() == 0
    assert not [one for one in log_of(daemon) if one["level"] in ("error", "critical")]


def test_a_restarted_daemon_serves_editors_again(daemon: Daemon) -> None:
    first = worker_of(daemon)
    daemon.call("restart")
    second = worker_of(daemon, after=first)
    with LspClient.connect(door(daemon)) as editor:
        assert editor.initialize()
    assert (runs(first), runs(second)) == (False, True)


def test_an_editor_that_goes_away_ends_its_call_at_the_provider(daemon: Daemon) -> None:
    with ProviderServer() as provider:
        daemon.add("custom:hang", f"{provider.url}/v1", upstream_model="hang")
        with LspClient.connect(door(daemon)) as editor:
            editor.initialize()
            question = {"message": "hello", "model": "custom:hang"}
            editor.begin("workspace/executeCommand", {"command": "beast.chat", "arguments": [question]})
            until(lambda: bool(provider.requests))
        until(lambda: [row["outcome"] for row in daemon.rows()] == ["cancelled"])


# -- what it is told, and what it tells


def test_the_worker_is_given_no_secret_of_the_environment() -> None:
    with Daemon(environ={**ENABLED, "SOME_API_KEY": "hush-hush", "SOME_OTHER_THING": "said-aloud"}) as daemon:
        worker = worker_of(daemon)
        shown = subprocess.run(["ps", "eww", "-p", str(worker)], capture_output=True, text=True, check=True).stdout
    assert "said-aloud" in shown
    assert "hush-hush" not in shown


def test_no_text_of_a_document_gets_into_the_log(daemon: Daemon) -> None:
    secret = "the text of a document"
    with LspClient.connect(door(daemon)) as editor:
        editor.initialize()
        editor.open("file:///a.py", secret)
        editor.notify("textDocument/didOpen", {"textDocument": {"uri": 1, "text": secret}})
        editor.send_raw(b'Content-Length: 26\r\n\r\n{"' + secret.encode() + b'":')
        assert editor.ended.wait(10)
    until(lambda: any(one["event"] == "a connection was closed" for one in log_of(daemon)))
    assert secret not in (daemon.home / "state" / "logs" / "beast.log").read_text()


# -- the host by itself


@asynccontextmanager
async def host(
    home: Path, find: Callable[[], str | None], steady_s: float = 60.0, environ: Mapping[str, str] = os.environ
) -> AsyncIterator[LspHost]:
    paths = Paths.from_environment({"BEAST_HOME": str(home)})
    paths.make()
    host = LspHost(paths, LspSettings(enabled=True), "1", "info", Clock(), environ, find, steady_s)
    host.open()
    host.start()
    try:
        yield host
    finally:
        await host.close()


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("h")


def test_the_worker_is_found_by_its_entry_point() -> None:
    assert find_worker() == "beastmode_lsp.__main__"


async def test_without_the_package_editors_are_not_served_and_it_is_said(home: Path) -> None:
    async with host(home, lambda: None) as one:
        await until_async(lambda: one.problem is not None)
        assert one.problem is not None
        assert "beastmode_lsp" in one.problem.cause
        assert one.problem.tip


async def test_one_that_keeps_crashing_is_told_with_its_last_words(home: Path) -> None:
    async with host(home, lambda: "no_such_module_at_all") as one:
        await until_async(lambda: one.problem is not None, 20)
        assert one.problem is not None
        assert "No module named no_such_module_at_all" in one.problem.cause
        assert "beast.log" in one.problem.tip


async def test_one_that_ends_without_a_word_is_told_with_its_exit_code(home: Path) -> None:
    async with host(home, lambda: "this") as one:
        await until_async(lambda: one.problem is not None, 20)
        assert one.problem is not None
        assert "exit code 0" in one.problem.cause


async def test_what_it_logs_is_in_our_log_in_measure(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = ["x" * 200_000, json.dumps({"level": "critical", "event": "it failed", "fields": {"error": "of itself"}})]
    (home / "chatty.py").write_text(f"import sys\nprint(*{words!r}, sep='\\n', file=sys.stderr)\n")
    environ = {**os.environ, "PYTHONPATH": str(home)}
    async with host(home, lambda: "chatty", environ=environ) as one:
        await until_async(lambda: one.problem is not None, 20)
        assert one.problem is not None
        assert "of itself" in one.problem.cause
    said = [record for record in caplog.records if record.getMessage() == "it failed"]
    assert said[0].levelname == "CRITICAL"
    assert not [record for record in caplog.records if "xxx" in str(vars(record))]


async def test_one_that_can_not_be_started_is_told(home: Path) -> None:
    async with host(home, lambda: "this") as one:
        shutil.rmtree(home / "run")
        await until_async(lambda: one.problem is not None, 20)
        assert one.problem is not None
        assert "can not be started" in one.problem.cause


async def test_one_that_runs_again_is_well_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lsp_host, "CRASHES_THAT_COUNT", 1)
    async with host(home, lambda: "beastmode_lsp", steady_s=0.05) as one:
        await until_async(lambda: one.pid is not None)
        os.kill(one.pid or 0, signal.SIGKILL)
        await until_async(lambda: one.problem is not None)
        await until_async(lambda: one.problem is None, 20)


async def test_a_worker_that_does_not_end_is_killed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lsp_host, "END_LIMIT_S", 0.05)
    async with host(home, lambda: "beastmode_lsp") as one:
        await until_async(lambda: one.pid is not None)
        pid = one.pid or 0
        os.kill(pid, signal.SIGSTOP)
    assert not runs(pid)


async def test_a_home_with_a_long_name_has_its_socket_elsewhere(tmp_path: Path) -> None:
    async with host(tmp_path / ("x" * 120), lambda: "beastmode_lsp") as one:
        assert one.path is not None
        assert len(os.fsencode(one.path)) <= 100
        with socket.socket(socket.AF_UNIX) as editor:
            editor.connect(str(one.path))
        folder = one.path.parent
    folder.rmdir()
