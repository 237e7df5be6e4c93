"""The examples of docs/actions.md do what they say."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from beastmode.cli import main
from support.daemon import Daemon
from support.told_provider import ToldProvider
from support.waiting import until
from support.weights import fetch

PAGE = (Path(__file__).parents[2] / "docs" / "actions.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^\$ beast (.*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def provider() -> Iterator[ToldProvider]:
    with ToldProvider() as server:
        assert isinstance(server, ToldProvider)
        yield server


@pytest.fixture(scope="module")
def running(provider: ToldProvider) -> Iterator[Daemon]:
    weights = f'[plugins.options.minilm]\nweights_dir = "{fetch("minilm")}"\n'
    with Daemon(f'routing.default_model = "custom:t"\n{weights}') as daemon:
        daemon.add("custom:t", f"{provider.url}/v1", upstream_model="t")
        daemon.call("cache.lookup", {"prompt": "a"})  # makes the embedder ready
        until(lambda: daemon.call("cache.stats")["semantic"]["ready"], 30)
        yield daemon


@pytest.fixture
def daemon(running: Daemon, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    monkeypatch.setenv("BEAST_HOME", str(running.home))
    return running


def test_the_programs_run(daemon: Daemon, provider: ToldProvider, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = PROGRAMS
    provider.says = "```python\ndef add(a, b):\n    return a + b\n```"
    exec(compile(first, "docs/actions.md", "exec"), {})
    assert "def add(a, b):\n    return a + b\n" in capsys.readouterr().out
    provider.says = "a + b"
    exec(compile(second, "docs/actions.md", "exec"), {})
    assert capsys.readouterr().out == "a + b\nminilm-l6-v2-int8 384\n"


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_run(
    line: str,
    daemon: Daemon,
    provider: ToldProvider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    provider.says = "```python\n    x = 2\n```"
    (tmp_path / "src").mkdir()
    (tmp_path / "src/shelf.py").write_text("def f():\n" + "    x = 1\n" * 20)
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(line)) == 0
    assert "custom:t" in capsys.readouterr().err


def test_the_page_names_the_embedder_as_it_is_named(daemon: Daemon) -> None:
    assert daemon.call("embed", {"texts": ["a"]})["model"] in PAGE
