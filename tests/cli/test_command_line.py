"""What holds for every command: help, options, exit codes, errors, colour, pipes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import click
import pytest

from beastmode import __version__
from beastmode.cli import main
from beastmode.cli.root import beast as root
from beastmode.core.errors import (
    CODES,
    KINDS,
    AuthenticationError,
    BudgetError,
    UpstreamError,
    UpstreamTimeoutError,
)
from cli.conftest import Beast
from support.fake_daemon import Call, FakeDaemon

PROGRAM = [sys.executable, "-P", "-m", "beastmode.cli"]


def unmeasured() -> dict[str, str]:
    """The environment without what makes a child measure its own coverage, which imports a lot."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


def every_command(
    command: click.Command = root, path: tuple[str, ...] = ("beast",), parent: click.Context | None = None
) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(command, info_name=path[-1], parent=parent)
    yield " ".join(path), command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from every_command(child, (*path, name), context)


COMMANDS = dict(every_command())


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_option_and_argument_is_explained(path: str) -> None:
    command = COMMANDS[path]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.hidden or parameter.help, parameter.name
        else:
            assert parameter.human_readable_name in command.help


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_takes_json_and_home_and_answers_help(path: str, beast: Beast) -> None:
    done = beast(*path.split()[1:], "--help")
    assert done.code == 0
    assert {"--json", "--home", "--help"} <= set(done.out.split())
    first = COMMANDS[path].get_short_help_str(200).split(". ")[0]
    assert len(first) <= 70, "the list of commands shows it whole"


def test_the_help_documents_every_exit_code(beast: Beast) -> None:
    text = beast("--help").out
    documented = {
        int(number) for number in re.findall(r"^ *(\d+)  |  (\d+)  ", text, re.MULTILINE) for number in number if number
    }
    assert {codes.exit for codes in CODES.values()} | {0, 8, 9, 130, 141} <= documented


def test_no_words_show_the_help(beast: Beast) -> None:
    assert "Commands:" in beast().out


def test_the_version(beast: Beast) -> None:
    assert beast("--version").out == f"beast {__version__}\n"


def test_an_unknown_command_names_the_nearest(beast: Beast) -> None:
    done = beast("stauts")
    assert (done.code, done.out) == (2, "")
    assert (
        done.err
        == "error: There is no command 'stauts'. Did you mean status or start or restart?\n  try: beast --help\n"
    )
    assert "Did you mean fetch?" in beast("models", "fetsh").err
    assert beast("requests", "xyzzy").code == 2


def test_an_unknown_option_names_the_nearest(beast: Beast) -> None:
    done = beast("ask", "hello", "--modle", "x")
    assert done.code == 2
    assert "--model" in done.err
    assert "beast ask --help" in done.err


def test_json_is_taken_before_and_after_the_command(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("plugins.list", {"plugins": []})
    assert beast("--json", "plugins").json == beast("plugins", "--json").json == {"plugins": []}


def test_home_chooses_the_daemon(daemon: FakeDaemon, beast: Beast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEAST_HOME", "/nonexistent")
    daemon.on("plugins.list", {"plugins": []})
    assert beast("plugins").code == 3
    assert beast("plugins", "--home", str(daemon.home)).code == 0
    monkeypatch.setenv("BEAST_HOME", "/nonexistent")
    assert beast("--home", str(daemon.home), "plugins").code == 0


def test_no_daemon_is_exit_code_3_with_the_command_that_helps(beast: Beast) -> None:
    for words in (["status"], ["rpc", "ping"], ["requests"], ["config", "show"], ["plugins"], ["--json", "status"]):
        done = beast(*words)
        assert done.code == 3
        assert done.out == ""
        assert "beast start" in done.err


def test_an_error_says_what_happened_and_what_to_do(daemon: FakeDaemon, beast: Beast) -> None:
    def refuse(params: dict[str, Any], call: Call) -> None:
        raise AuthenticationError("api.example refused the key.", tips=["beast models add openai:gpt-4o"])

    daemon.on("ping", refuse)
    done = beast("rpc", "ping")
    assert done == (4, "", "error: api.example refused the key.\n  try: beast models add openai:gpt-4o\n")


def test_with_json_an_error_is_json_on_standard_error(daemon: FakeDaemon, beast: Beast) -> None:
    def refuse(params: dict[str, Any], call: Call) -> None:
        raise UpstreamError("500 from api.example", tips=["wait"], status=500)

    daemon.on("ping", refuse)
    done = beast("rpc", "ping", "--json")
    assert (done.code, done.out) == (5, "")
    error = json.loads(done.err)["error"]
    assert (error["kind"], error["tip"], error["status"]) == ("upstream", ["wait"], 500)


@pytest.mark.parametrize(
    "error", [AuthenticationError, UpstreamError, BudgetError, UpstreamTimeoutError, *KINDS.values()]
)
def test_the_exit_code_is_that_of_the_kind(daemon: FakeDaemon, beast: Beast, error: Any) -> None:
    def refuse(params: dict[str, Any], call: Call) -> None:
        raise error("no")

    daemon.on("config.reload", refuse)
    assert beast("config", "reload").code == CODES[error.kind].exit


def test_there_is_no_colour_off_a_terminal(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("status", {"version": "1", "health": {"status": "degraded"}})
    done = beast("status")
    assert "\x1b" not in done.out + done.err


def test_a_reader_that_goes_away_is_no_error(daemon: FakeDaemon) -> None:
    daemon.on("sessions.list", {"sessions": [{"id": "x" * 64, "title": "t" * 60} for _ in range(4000)]})
    program = subprocess.Popen(
        [*PROGRAM, "sessions"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}, text=True
    )
    assert program.stdout is not None and program.stderr is not None
    program.stdout.readline()
    program.stdout.close()
    with program.stderr:
        assert program.stderr.read() == ""
    assert program.wait(20) == 141


def test_ctrl_c_cancels_the_request_and_is_exit_code_130(daemon: FakeDaemon) -> None:
    def hang(params: dict[str, Any], call: Call) -> None:
        os.kill(program.pid, signal.SIGINT)
        call.cancelled.wait(20)

    daemon.on("slow", hang)
    program = subprocess.Popen([*PROGRAM, "rpc", "slow"], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    assert program.stderr is not None
    with program.stderr:
        assert "Traceback" not in program.stderr.read()
    assert program.wait(20) == 130
    assert daemon.cancelled == [1]


def test_windows_is_refused_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(["status"]) == 1
    assert "WSL" in capsys.readouterr().err


def test_status_alone_imports_nothing_heavy(daemon: FakeDaemon) -> None:
    daemon.on("status", {"version": "1"})
    program = (
        "import sys; from beastmode.cli import main; main(['status']);"
        "print({'click', 'asyncio', 'msgspec', 'aiohttp', 'subprocess', 'hashlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=unmeasured())
    assert done.stdout.endswith("set()\n")


@pytest.mark.parametrize("words", [["--help"], ["models", "--help"], ["plugins"]])
def test_no_command_imports_the_daemon(daemon: FakeDaemon, words: list[str]) -> None:
    daemon.on("plugins.list", {"plugins": []})
    program = (
        f"import sys; from beastmode.cli import main; main({words!r});"
        "print({'asyncio', 'msgspec', 'aiohttp', 'pluggy', 'lmdb'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=unmeasured())
    assert done.stdout.endswith("set()\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(beast: Beast, shell: str) -> None:
    done = beast("completion", shell)
    assert done.code == 0
    assert f"_BEAST_COMPLETE={shell}_complete" in done.out.replace('"', "")
    assert beast("completion", shell, "--json").json == {"shell": shell, "script": done.out}


def completed(monkeypatch: pytest.MonkeyPatch, beast: Beast, *words: str) -> list[str]:
    monkeypatch.setenv("_BEAST_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(["beast", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    return [line.partition(",")[2] for line in beast().out.splitlines()]


def test_the_completion_key_offers_commands_options_and_what_the_daemon_knows(
    daemon: FakeDaemon, beast: Beast, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.on("models.list", {"models": [{"id": "local:smollm2"}], "available": [{"name": "minilm"}]})
    daemon.on("sessions.list", {"sessions": [{"id": "s1"}]})
    daemon.on("rpc.discover", {"methods": [{"name": "ping"}, {"name": "chat"}]})
    assert completed(monkeypatch, beast, "st") == ["start", "stop", "status"]
    assert completed(monkeypatch, beast, "models", "fe") == ["fetch"]
    assert completed(monkeypatch, beast, "ask", "--no-ca") == ["--no-cache"]
    assert completed(monkeypatch, beast, "ask", "-m", "l") == ["local:smollm2"]
    assert completed(monkeypatch, beast, "models", "fetch", "m") == ["minilm"]
    assert completed(monkeypatch, beast, "sessions", "show", "s") == ["s1"]
    assert completed(monkeypatch, beast, "rpc", "p") == ["ping"]


def test_the_completion_key_is_quiet_without_a_daemon(beast: Beast, monkeypatch: pytest.MonkeyPatch) -> None:
    assert completed(monkeypatch, beast, "ask", "-m", "a") == ["auto"]
