"""The command line and the real daemon."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.cli import life
from beastmode.core.errors import BeastError
from beastmode.core.paths import Paths
from support.terminal import Terminal
from support.waiting import until

PROGRAM = [sys.executable, "-P", "-m", "beastmode.cli"]


class Home:
    """A home of its own and the commands given in it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="be-"))
        self.paths = Paths.from_environment({"BEAST_HOME": str(self.folder)})
        self.environ = {**os.environ, "BEAST_HOME": str(self.folder), "BEAST_KEYS__STORE": "file"}

    def beast(self, *words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
        return subprocess.run(
            [*PROGRAM, *words], env=self.environ, capture_output=True, text=True, timeout=60, cwd=self.folder, **given
        )

    def popen(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*PROGRAM, *words],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def json(self, *words: str) -> Any:
        done = self.beast(*words, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    @property
    def pid(self) -> int:
        found: int = self.json("rpc", "ping")["pid"]
        return found

    def end(self) -> None:
        try:
            life.stop(self.paths)
        except BeastError:
            if owner := life.lock_owner(self.paths):
                os.kill(owner, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def home() -> Iterator[Home]:
    made = Home()
    yield made
    made.end()


def alive(pid: int) -> bool:
    """Says whether a process runs; one that has ended and that nobody has reaped does not."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
        return not state.strip().startswith("Z") and bool(state.strip())
    return False


def test_the_life_of_a_daemon(home: Home) -> None:
    begun = home.json("start")
    assert begun["state"] == "started"
    again = home.beast("start")
    assert (again.returncode, again.stdout.split(",")[0]) == (0, f"beast is already running: pid {begun['pid']}")
    assert home.json("status")["pid"] == begun["pid"]
    assert home.beast("stop").stdout == "beast has stopped\n"
    until(lambda: not alive(begun["pid"]))
    gone = home.beast("stop")
    assert (gone.returncode, gone.stdout) == (0, "beast is not running\n")
    assert home.beast("status").returncode == 3
    assert home.json("stop") == {"state": "not running"}


def test_of_twenty_starts_at_once_one_runs_and_all_are_content(home: Home) -> None:
    starts = [home.popen("start", "--json") for _ in range(20)]
    replies = [one.communicate(timeout=60)[0] for one in starts]
    assert [one.returncode for one in starts] == [0] * 20, replies
    found = [json.loads(reply) for reply in replies]
    assert len({one["pid"] for one in found}) == 1
    assert [one["state"] for one in found].count("started") == 1


def test_a_restart_is_another_process_with_the_same_memory(home: Home) -> None:
    assert home.beast("restart").returncode == 0, "restart starts where none runs"
    before = home.pid
    assert home.beast("models", "add", "echo:echo", "--no-test").returncode == 0
    assert home.beast("restart").returncode == 0
    assert home.pid != before
    assert [one["id"] for one in home.json("models")["models"]] == ["echo:echo"]


def test_after_kill_9_the_stale_socket_is_taken_over(home: Home) -> None:
    home.beast("start")
    killed = home.pid
    os.kill(killed, signal.SIGKILL)
    until(lambda: not alive(killed))
    assert home.beast("status").returncode == 3
    assert home.paths.rpc_socket.exists()
    assert home.json("start")["state"] == "started"
    assert home.pid != killed


def test_ask_starts_the_daemon_and_the_second_answer_comes_from_the_cache(home: Home) -> None:
    added = home.beast("models", "add", "echo:echo")
    assert added.returncode == 0, added.stderr
    assert "started the daemon (pid" in added.stderr
    first = home.beast("ask", "to be or not to be", "-m", "echo:echo")
    assert first.stdout == "to be or not to be\n"
    assert first.stderr.endswith("· miss\n")
    second = home.beast("ask", "to be or not to be", "-m", "echo:echo")
    assert second.stdout == first.stdout
    assert "hit_exact L1" in second.stderr
    assert "bypass" in home.beast("ask", "to be or not to be", "-m", "echo:echo", "--refresh").stderr
    assert home.beast("ask", "never asked", "-m", "echo:echo", "--cache-only").returncode == 1
    rows = home.json("requests")["requests"]
    assert [row["outcome"] for row in rows] == ["failure", "success", "success", "success"]
    shown = home.beast("requests", "show", rows[1]["request_id"])
    assert "echo:echo" in shown.stdout


def test_a_chat_is_continued_after_a_restart(home: Home) -> None:
    home.beast("models", "add", "echo:echo", "--no-test")
    assert home.beast("chat", "-s", "ada", "-m", "echo:echo", text="my name is Ada\n").stdout == "my name is Ada\n"
    home.beast("restart")
    assert home.beast("chat", "-c", "-m", "echo:echo", text="who am I?\n").returncode == 0
    said = [(one["role"], one["content"]) for one in home.json("sessions", "show", "ada")["messages"]]
    assert said == [
        ("user", "my name is Ada"),
        ("assistant", "my name is Ada"),
        ("user", "who am I?"),
        ("assistant", "who am I?"),
    ]
    assert home.json("sessions")["sessions"][0]["messages"] == 4
    assert home.beast("sessions", "remove", "ada").returncode == 0
    assert home.json("sessions") == {"sessions": []}


def test_a_chat_at_a_terminal_goes_on_when_the_daemon_was_stopped_meanwhile(home: Home) -> None:
    home.beast("models", "add", "echo:echo", "--no-test")
    with Terminal([*PROGRAM, "chat", "-s", "ada", "-m", "echo:echo"], home.environ) as terminal:
        terminal.see("> ")
        terminal.type("one\n")
        terminal.see("miss")
        home.beast("stop")
        terminal.type("two\n")
        terminal.see("started the daemon")
        terminal.see("3+1 tokens")
        assert terminal.end_with("\x04") == 0


def test_files_go_to_the_model(home: Home) -> None:
    home.beast("models", "add", "echo:echo", "--no-test")
    (home.folder / "note.txt").write_text("the note\n")
    assert home.beast("ask", "what is in it?", "-f", "note.txt", "-m", "echo:echo").returncode == 0
    assert home.beast("ask", "what is in it?", "-f", "note.txt", "-m", "echo:echo", "--cache-only").returncode == 0
    (home.folder / "note.txt").write_text("another note\n")
    assert home.beast("ask", "what is in it?", "-f", "note.txt", "-m", "echo:echo", "--cache-only").returncode == 1


def test_ctrl_c_cancels_in_the_daemon(home: Home) -> None:
    home.beast("models", "add", "echo:slow", "--no-test")
    program = home.popen("ask", "word " * 500, "-m", "echo:slow")
    assert program.stdout is not None
    assert program.stdout.read(4) == "word"
    program.send_signal(signal.SIGINT)
    with program.stdout:
        assert "Traceback" not in program.stdout.read()
    assert program.wait(20) == 130
    until(lambda: bool(home.json("requests")["requests"]))
    assert home.json("requests")["requests"][0]["outcome"] == "cancelled"


def test_a_broken_endpoint_is_said_with_host_port_and_a_tip(home: Home) -> None:
    done = home.beast("models", "add", "custom:broken", "--base-url", "http://127.0.0.1:9/v1")
    assert done.returncode == 5
    assert "failed  reachable" in done.stdout
    assert "127.0.0.1:9" in done.stderr
    home.beast("models", "add", "custom:broken", "--base-url", "http://127.0.0.1:9/v1", "--no-test")
    asked = home.beast("ask", "hello", "-m", "custom:broken")
    assert asked.returncode == 5
    assert "127.0.0.1:9" in asked.stderr
    assert "  try: " in asked.stderr
    assert "connection_refused" in home.beast("errors").stdout
    unknown = home.beast("ask", "hello", "-m", "custom:brokn")
    assert unknown.returncode == 1
    assert "did you mean custom:broken?" in unknown.stderr


def test_settings_are_shown_with_their_sources_and_reloaded(home: Home) -> None:
    (home.folder / "config.toml").write_text("[cache.l1]\nttl_s = 60\n")
    home.environ["BEAST_LOG__LEVEL"] = "debug"
    home.beast("start")
    sources = home.json("config")["sources"]
    assert (sources["cache.l1.ttl_s"], sources["log.level"]) == ("user", "environment")
    assert home.beast("config", "get", "cache.l1.ttl_s").stdout == "60.0\n"
    (home.folder / "config.toml").write_text("[cache.l1]\nttl_s = 61\n")
    assert home.beast("config", "reload").stdout == "reloaded; changed: cache\n"
    (home.folder / "config.toml").write_text("[cache.l1]\nttl = 61\n")
    wrong = home.beast("config", "reload")
    assert wrong.returncode == 2
    assert "ttl_s" in wrong.stderr


def test_a_start_that_fails_says_why(home: Home) -> None:
    (home.folder / "config.toml").write_text("[cache.l1]\nttl = 61\n")
    done = home.beast("start")
    assert done.returncode == 1
    assert done.stderr.startswith("error: The daemon did not start: ")
    assert "ttl_s" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_others_can_write_is_refused_with_the_command_that_mends_it(home: Home) -> None:
    home.folder.chmod(0o777)
    done = home.beast("start")
    assert done.returncode == 4
    assert f"try: chmod 700 {home.folder}" in done.stderr
    home.folder.chmod(0o700)


def test_a_relative_home_means_the_same_to_the_daemon(home: Home) -> None:
    home.environ["BEAST_HOME"] = "."
    assert home.json("start")["socket"] == str(home.paths.rpc_socket)
    assert home.beast("status").returncode in (0, 8)


def test_a_daemon_in_the_foreground_ends_with_ctrl_c(home: Home) -> None:
    program = home.popen("start", "--foreground")
    assert program.stdout is not None
    until(lambda: home.beast("rpc", "ping").returncode == 0)
    assert home.pid == program.pid
    program.send_signal(signal.SIGINT)
    with program.stdout:
        assert "Traceback" not in program.stdout.read()
    assert program.wait(20) == 0


def test_plugins_and_methods_are_listed(home: Home) -> None:
    home.beast("start")
    assert "openai_compatible" in home.beast("plugins").stdout
    methods = {one["name"] for one in home.json("rpc", "rpc.discover")["methods"]}
    assert {"chat", "models.add", "requests.list", "shutdown"} <= methods
