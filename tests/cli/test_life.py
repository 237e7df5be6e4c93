"""Starting and stopping a daemon that does not do as it should."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.cli import demo, interrupts, life
from beastmode.core.errors import InternalError, ShuttingDownError
from beastmode.core.paths import Paths
from cli.conftest import Beast
from support.fake_daemon import Call, FakeDaemon

HOLDS_THE_LOCK = """
import fcntl, json, os, sys, time
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(lock, fcntl.LOCK_EX)
os.write(lock, json.dumps({"pid": os.getpid()}).encode())
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def paths() -> Iterator[Paths]:
    with tempfile.TemporaryDirectory(prefix="bl-") as folder:
        made = Paths.from_environment({"BEAST_HOME": folder})
        made.make()
        yield made


@pytest.fixture
def holder(paths: Paths) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock and answers nobody."""
    program = [sys.executable, "-c", HOLDS_THE_LOCK, str(paths.lock_file)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def ending(script: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script)


def test_what_the_daemon_said_before_it_ended_is_the_error(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "echo 'error: The disk is full.'; echo '  try: free some space'; exit 5"
    monkeypatch.setattr(life, "DAEMON", ending(said))
    with pytest.raises(InternalError, match="did not start: The disk is full") as caught:
        life.start(paths)
    assert caught.value.tips == ["free some space"]


def test_a_traceback_is_told_by_its_last_line_and_where_to_read_it(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "DAEMON", ending("echo Traceback; echo ImportError: no lmdb; echo; exit 1"))
    with pytest.raises(InternalError, match="did not start: ImportError: no lmdb") as caught:
        life.start(paths)
    assert f"read {paths.log_file.with_name('beast.out')}" in caught.value.tips
    monkeypatch.setattr(life, "DAEMON", ending("exit 3"))
    with pytest.raises(InternalError, match="it ended with exit code 3"):
        life.start(paths)


def test_words_of_an_earlier_start_are_not_repeated_and_do_not_pile_up(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = paths.log_file.with_name("beast.out")
    output.write_text("error: old\n" * 200_000)
    monkeypatch.setattr(life, "DAEMON", ending("echo new; exit 1"))
    with pytest.raises(InternalError, match="new"):
        life.start(paths)
    assert output.read_text() == "new\n"


def test_a_daemon_that_never_answers_is_given_up(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "START_LIMIT_S", 0.2)
    monkeypatch.setattr(life, "DAEMON", ending("exit 0"))  # as one does that finds another one leaving
    with pytest.raises(InternalError, match=r"did not answer on .*rpc\.sock within 0\.2 s") as caught:
        life.start(paths)
    assert caught.value.tips[0] == "beast start --foreground"


def test_a_daemon_that_drains_does_not_count_as_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(params: dict[str, Any], call: Call) -> None:
        raise ShuttingDownError("draining")

    monkeypatch.setattr(life, "START_LIMIT_S", 0.2)
    monkeypatch.setattr(life, "DAEMON", ending("exit 0"))
    with FakeDaemon({"ping": refuse}) as daemon, pytest.raises(InternalError, match="did not answer"):
        life.start(Paths.from_environment({"BEAST_HOME": str(daemon.home)}))


def test_a_daemon_that_does_not_go_is_named_with_the_command_that_ends_it(
    paths: Paths, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "STOP_LIMIT_S", 0.1)
    with pytest.raises(InternalError, match=f"pid {holder.pid}.* has not gone") as caught:
        life.stop(paths)
    assert caught.value.tips[0] == f"kill -9 {holder.pid}"


def test_stopping_waits_for_the_lock(paths: Paths) -> None:
    with FakeDaemon({"shutdown": {"stopping": True}}, home=paths.config) as daemon, paths.lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def leave(params: dict[str, Any], call: Call) -> None:
            call.hang_up()
            daemon.stop()
            lock.close()

        daemon.on("shutdown", leave)
        assert life.stop(paths) == "stopped"


def test_the_demo_kills_a_daemon_that_does_not_go(
    paths: Paths, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "STOP_LIMIT_S", 0.1)
    demo._end_daemon(paths)
    assert holder.wait(10) == -9


@pytest.mark.parametrize("content", ["", "17", "{}", '{"pid": null}', "\x00\xff"])
def test_a_lock_file_that_names_nobody_names_nobody(paths: Paths, content: str) -> None:
    paths.lock_file.write_text(content)
    assert life.lock_owner(paths) is None
    paths.lock_file.write_text(json.dumps({"pid": 17}))
    assert life.lock_owner(paths) == 17


def test_start_in_the_foreground_becomes_the_daemon(beast: Beast, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[Any] = []
    monkeypatch.setattr(os, "execv", lambda program, words: became.append((program, words)))
    monkeypatch.setattr(life, "start", lambda paths: life.Started("already running", 1, "/s", 0.0))
    beast("start", "--foreground")
    assert became == [(sys.executable, (sys.executable, "-P", "-m", "beastmode"))]


def test_the_home_of_a_lock_need_not_be_there() -> None:
    nowhere = Paths.from_environment({"BEAST_HOME": str(Path("/nonexistent/home"))})
    assert life.stop(nowhere) == "not running"


def test_a_start_that_is_interrupted_leaves_nothing_to_come_up_later(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = paths.state / "pid"
    monkeypatch.setattr(life, "DAEMON", ending(f"echo $$ > {noted}; exec sleep 60"))

    def ping(paths: Paths) -> tuple[bool, int | None]:
        if noted.exists() and noted.read_text():
            raise KeyboardInterrupt
        return False, None

    monkeypatch.setattr(life, "_ping", ping)
    with pytest.raises(KeyboardInterrupt):
        life.start(paths)
    with pytest.raises(ProcessLookupError):
        os.kill(int(noted.read_text()), 0)


def test_a_ctrl_c_that_is_held_comes_after_the_body() -> None:
    done = False
    with pytest.raises(KeyboardInterrupt), interrupts.held():
        signal.raise_signal(signal.SIGINT)
        done = True
    assert done


def test_other_ends_are_a_ctrl_c_where_one_says_so_and_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup themselves
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            with pytest.raises(KeyboardInterrupt), interrupts.as_ctrl_c():
                signal.raise_signal(number)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with interrupts.as_ctrl_c():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    with interrupts.ignored():
        signal.raise_signal(signal.SIGINT)


def test_a_child_that_will_not_hear_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "_TIDY_S", 0.1)
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    child = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout:
        child.stdout.readline()
        interrupts.end(child, grace_s=0)
    assert child.returncode == -signal.SIGKILL
