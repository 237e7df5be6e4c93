"""`beast ask` and `beast chat`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from beastmode.cli import prompts
from beastmode.core.errors import NotFoundError, NotInCacheError
from cli.conftest import Beast
from support.fake_daemon import Call, FakeDaemon
from support.terminal import Terminal
from support.waiting import until

PROGRAM = [sys.executable, "-P", "-m", "beastmode.cli"]
LINE = "custom:qwen · 1.24 s · 20+10 tokens · $0.0003 · miss\n"


def answering(params: dict[str, Any], call: Call) -> dict[str, Any]:
    text = f"You said: {params['message']}"
    if params["stream"]:
        for piece in text.split(" "):
            call.progress({"delta": piece if piece == "You" else f" {piece}"})
    return {
        "text": text,
        "model": "custom:qwen",
        "latency_ms": 1240.0,
        "usage": {"prompt_tokens": 20, "completion_tokens": 10},
        "cost_usd": 0.0003,
        "saved_usd": 0.0,
        "cache": {"result": "miss"},
    }


@pytest.fixture(autouse=True)
def _answers(daemon: FakeDaemon) -> None:
    daemon.on("chat", answering)
    daemon.on("sessions.get", {"id": "s1", "messages": []})


def environ(daemon: FakeDaemon) -> dict[str, str]:
    return {**os.environ, "BEAST_HOME": str(daemon.home)}


def test_the_answer_is_on_standard_output_and_the_line_about_it_beside(beast: Beast) -> None:
    done = beast("ask", "hello", "there")
    assert done == (0, "You said: hello there\n", LINE)


def test_an_answer_that_is_not_streamed_looks_the_same(daemon: FakeDaemon, beast: Beast) -> None:
    assert beast("ask", "hello", "--no-stream") == (0, "You said: hello\n", LINE)
    assert daemon.requests("chat")[0]["stream"] is False


def test_a_replayed_answer_without_deltas_is_shown_too(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("chat", {"text": "stored\n", "model": "m"})
    assert beast("ask", "hello").out == "stored\n"


def test_json_prints_the_whole_result(beast: Beast) -> None:
    assert beast("ask", "hello", "--json").json["text"] == "You said: hello"


def test_options_reach_the_daemon_and_what_was_not_given_does_not(daemon: FakeDaemon, beast: Beast) -> None:
    beast("ask", "a", "-m", "custom:qwen", "--no-cache", "--max-tokens", "5", "--temperature", "0.5")
    beast("ask", "b", "--refresh")
    beast("ask", "c", "--cache-only")
    assert daemon.requests("chat") == [
        {"message": "a", "stream": True, "model": "custom:qwen", "cache": "off", "max_tokens": 5, "temperature": 0.5},
        {"message": "b", "stream": True, "cache": "refresh"},
        {"message": "c", "stream": True, "cache": "only"},
    ]


def test_the_question_can_come_through_a_pipe(daemon: FakeDaemon, beast: Beast) -> None:
    beast("ask", stdin="from the pipe\n")
    beast("ask", "-", stdin="dash\n")
    beast("ask", "review this", stdin="+ a line\n")
    assert [params["message"] for params in daemon.requests("chat")] == [
        "from the pipe",
        "dash\n",
        "review this\n\n+ a line",
    ]


def test_no_question_is_wrong_usage(beast: Beast) -> None:
    for words in (["ask"], ["ask", "-"], ["ask", "  "]):
        done = beast(*words)
        assert done.code == 2
        assert "There is no question" in done.err


def test_a_pipe_that_nobody_closes_is_left_alone(
    daemon: FakeDaemon, beast: Beast, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from beastmode.cli import main

    monkeypatch.setattr(prompts, "PIPE_WAIT_S", 0.05)
    read, write = os.pipe()
    with os.fdopen(read) as source, os.fdopen(write, "w"):
        monkeypatch.setattr(sys, "stdin", source)
        assert main(["ask", "hello"]) == 0
    assert "going on without it" in capsys.readouterr().err


def test_files_go_along_as_paths_inside_the_project(
    daemon: FakeDaemon, beast: Beast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "src").mkdir()
    for name in ("a.py", "src/b.py"):
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.chdir(tmp_path / "src")
    beast("ask", "explain", "-f", "../a.py", "--file", "b.py")
    sent = daemon.requests("chat")[0]
    assert sent["workspace"] == str(tmp_path.resolve())
    assert sent["files"] == ["a.py", "src/b.py"]


def test_files_elsewhere_share_the_folder_they_are_in(
    daemon: FakeDaemon, beast: Beast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (there / "a.py").write_text("x = 1\n")
    monkeypatch.chdir(here)
    beast("ask", "explain", "-f", "../there/a.py")
    assert daemon.requests("chat")[0]["files"] == ["a.py"]
    assert daemon.requests("chat")[0]["workspace"] == str(there.resolve())
    assert beast("ask", "explain", "-f", "missing.py").code == 2


def test_tool_calls_are_printed(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("chat", {"text": "", "tool_calls": [{"id": "t1"}]})
    assert '"id": "t1"' in beast("ask", "hello").out


def test_nothing_stored_is_an_error_with_its_tip(daemon: FakeDaemon, beast: Beast) -> None:
    def refuse(params: dict[str, Any], call: Call) -> None:
        raise NotInCacheError("Nothing is stored for this question.", tips=["ask without --cache-only"])

    daemon.on("chat", refuse)
    done = beast("ask", "hello", "--cache-only")
    assert (done.code, done.out) == (1, "")
    assert "try: ask without --cache-only" in done.err


def test_an_answer_that_breaks_off_ends_its_line_before_the_error(daemon: FakeDaemon, beast: Beast) -> None:
    def break_off(params: dict[str, Any], call: Call) -> None:
        call.progress({"delta": "half an ans"})
        raise NotFoundError("gone")

    daemon.on("chat", break_off)
    assert beast("ask", "hello").out == "half an ans\n"


def test_an_answer_cannot_drive_the_terminal(daemon: FakeDaemon) -> None:
    daemon.on("chat", {"text": "a\x1b]0;owned\x07b\x9bc"})
    with Terminal([*PROGRAM, "ask", "hello"], environ(daemon)) as terminal:
        assert terminal.end() == 0
    assert "\x1b]" not in terminal.raw
    assert "a␛]0;owned␇b" in terminal.text


def test_chat_keeps_one_session_and_says_how_to_continue(daemon: FakeDaemon, beast: Beast) -> None:
    done = beast("chat", "--session", "s1", "-m", "custom:qwen", stdin="hello\n\nbye\\\nnow\n")
    assert done.code == 0
    assert done.out == "You said: hello\nYou said: bye\nnow\n"
    assert [(one["message"], one["session_id"], one["model"]) for one in daemon.requests("chat")] == [
        ("hello", "s1", "custom:qwen"),
        ("bye\nnow", "s1", "custom:qwen"),
    ]
    assert "beast chat --session s1" in done.err


def test_chat_begins_a_session_of_its_own(daemon: FakeDaemon, beast: Beast) -> None:
    beast("chat", stdin="hello\n/new\nhello\n")
    first, second = (one["session_id"] for one in daemon.requests("chat"))
    assert first != second


def test_chat_continues_the_last_session(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("sessions.list", {"sessions": [{"id": "latest"}, {"id": "older"}]})
    beast("chat", "--continue", stdin="hello\n")
    assert daemon.requests("chat")[0]["session_id"] == "latest"
    daemon.on("sessions.list", {"sessions": []})
    assert beast("chat", "-c", stdin="hello\n").code == 2


def test_a_session_of_a_new_name_begins_empty(daemon: FakeDaemon, beast: Beast) -> None:
    def refuse(params: dict[str, Any], call: Call) -> None:
        raise NotFoundError("no session")

    daemon.on("sessions.get", refuse)
    assert beast("chat", "-s", "mine", stdin="hello\n").code == 0


def test_chat_in_a_script_prints_json_and_stops_at_an_error(daemon: FakeDaemon, beast: Beast) -> None:
    assert '"text": "You said: hello"' in beast("chat", "--json", stdin="hello\n/exit\nnot sent\n").out
    assert len(daemon.requests("chat")) == 1
    daemon.on("chat", lambda params, call: call.hang_up())
    assert beast("chat", stdin="one\ntwo\n").code == 3
    assert len(daemon.requests("chat")) == 2


def test_ctrl_c_stops_the_answer_and_not_the_chat(daemon: FakeDaemon) -> None:
    def hang(params: dict[str, Any], call: Call) -> dict[str, Any]:
        if params["message"] == "slow":
            call.progress({"delta": "thinking"})
            call.cancelled.wait(20)
        return answering(params, call)

    daemon.on("chat", hang)
    with Terminal([*PROGRAM, "chat"], environ(daemon)) as terminal:
        terminal.see("> ")
        terminal.type("slow\n")
        terminal.see("thinking")
        terminal.insist("\x03", "stopped")
        until(lambda: len(daemon.cancelled) == 1)
        terminal.see("> ")
        terminal.type("hello\n")
        terminal.see("You said: hello")
        terminal.see("miss")
        terminal.see("> ")
        terminal.insist("\x03", "Ctrl-D leaves")
        assert terminal.end_with("\x04") == 0
    assert "beast chat --session" in terminal.text


def test_no_number_of_ctrl_c_ends_the_chat(daemon: FakeDaemon) -> None:
    with Terminal([*PROGRAM, "chat"], environ(daemon)) as terminal:
        terminal.see("> ")
        for number in range(60):
            terminal.type("\x03")
            time.sleep(0.0005 * (number % 20))
        terminal.insist("/help\n", "/exit  leave")
        terminal.type("/exit\n")
        assert terminal.end() == 0
    assert "Traceback" not in terminal.text


def test_a_chat_at_a_terminal_shows_what_was_said_before_and_obeys(daemon: FakeDaemon) -> None:
    said = [{"role": "user", "content": "my name is Ada"}, {"role": "assistant", "content": "Hello Ada"}]
    daemon.on("sessions.get", {"id": "s1", "messages": said})
    with Terminal([*PROGRAM, "chat", "-s", "s1"], environ(daemon)) as terminal:
        terminal.see("> my name is Ada")
        terminal.see("Hello Ada")
        terminal.type("/model custom:other\n")
        terminal.see("model: custom:other")
        terminal.type("/help\n")
        terminal.see("/new")
        terminal.type("/nonsense\n")
        terminal.see("there is no /nonsense")
        terminal.type("\x1b[A\x1b[A\x1b[A\x1b[A\n")  # four times up: the question of the day before
        terminal.see("You said: my name is Ada")
        terminal.type("/exit\n")
        assert terminal.end() == 0
    assert daemon.requests("chat")[0]["model"] == "custom:other"


def test_an_error_at_a_terminal_does_not_end_the_chat(daemon: FakeDaemon) -> None:
    def refuse(params: dict[str, Any], call: Call) -> None:
        raise NotFoundError("No model is registered.", tips=["beast models add"])

    daemon.on("chat", refuse)
    with Terminal([*PROGRAM, "chat"], environ(daemon)) as terminal:
        terminal.see("> ")
        terminal.type("hello\n")
        terminal.see("error: No model is registered.")
        terminal.see("try: beast models add")
        terminal.see("> ")
        terminal.type("/exit\n")
        assert terminal.end() == 0


def test_sessions_are_listed_shown_and_removed(daemon: FakeDaemon, beast: Beast) -> None:
    listed = {"sessions": [{"id": "s1", "title": "Sockets", "updated_at": "2026-11-20T09:00:00Z", "messages": 2}]}
    daemon.on("sessions.list", listed)
    said = [
        {"role": "user", "content": "hi", "at": "2026-11-20T09:00:00Z"},
        {"role": "assistant", "content": "hello", "at": "2026-11-20T09:00:01Z", "model": "custom:qwen"},
    ]
    daemon.on("sessions.get", {"id": "s1", "messages": said})
    daemon.on("sessions.remove", {"removed": True})
    assert "Sockets" in beast("sessions").out
    assert beast("sessions", "list", "--json").json == listed
    shown = beast("sessions", "show", "s1").out
    assert "user · " in shown
    assert "custom:qwen · " in shown
    assert beast("sessions", "show", "s1", "--json").json["messages"] == said
    assert beast("sessions", "remove", "s1").out == "removed s1\n"
    assert beast("sessions", "remove", "s1", "--json").json == {"removed": True}
    daemon.on("sessions.list", {"sessions": []})
    assert "beast chat" in beast("sessions").out


def test_ctrl_c_at_ask_ends_the_line_and_the_request(daemon: FakeDaemon) -> None:
    def hang(params: dict[str, Any], call: Call) -> None:
        call.progress({"delta": "thinking"})
        call.cancelled.wait(20)

    daemon.on("chat", hang)
    with Terminal([*PROGRAM, "ask", "hello"], environ(daemon)) as terminal:
        terminal.see("thinking")
        assert terminal.end_with("\x03") == 130
    until(lambda: len(daemon.cancelled) == 1)
    assert "Traceback" not in terminal.text


def test_text_that_is_no_utf_8_is_asked_with_replacements(daemon: FakeDaemon) -> None:
    subprocess.run(
        [*PROGRAM, "ask", b"caf\xe9?"], env=environ(daemon), stdin=subprocess.DEVNULL, check=True, capture_output=True
    )
    subprocess.run([*PROGRAM, "ask", "-"], env=environ(daemon), input=b"caf\xe9!", check=True, capture_output=True)
    assert [one["message"] for one in daemon.requests("chat")] == ["caf??", "caf\ufffd!"]
