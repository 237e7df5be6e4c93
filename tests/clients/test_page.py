"""The examples of `docs/http-clients.md`, run as they stand there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.door import Door, open_door
from support.node_tools import FOLDER, node
from support.page import MODEL, blocks, lines, made_true
from support.scripts import PLAIN

ALIASES = "".join(blocks("Names of models", "toml"))


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    """The daemon that the page speaks of, with its settings and its model."""
    with open_door(ALIASES) as door:
        door.daemon.add(MODEL, f"{door.provider.url}/v1", key="sk-custom", upstream_model="plain.qwen")
        yield door


def said_by(door: Door, command: list[str], cwd: Path | None = None) -> str:
    environ = {"PATH": os.environ["PATH"], "BEAST_TOKEN": door.token}
    done = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("line", lines("curl"), ids=["models", "chat", "messages"])
def test_curl(door: Door, line: str) -> None:
    said = said_by(door, ["bash", "-c", made_true(line, door.url)])
    if "/v1/models" in line:
        assert MODEL in [model["id"] for model in json.loads(said)["data"]]
    elif "stream" in line:
        events = [json.loads(part[6:]) for part in said.splitlines() if part.startswith("data: ")]
        assert "".join(event["delta"].get("text", "") for event in events if "delta" in event) == PLAIN
    else:
        assert json.loads(said)["choices"][0]["message"]["content"] == PLAIN


@pytest.mark.parametrize("section", ["OpenAI's SDKs", "Anthropic's SDKs"])
def test_python(door: Door, section: str) -> None:
    for text in blocks(section, "python"):
        said = said_by(door, [sys.executable, "-c", made_true(text, door.url)])
        assert said in (f"{PLAIN}\n{PLAIN}\n", PLAIN)


@pytest.mark.parametrize("section", ["OpenAI's SDKs", "Anthropic's SDKs"])
def test_javascript(door: Door, section: str) -> None:
    for text in blocks(section, "javascript"):
        program = ["--input-type=module", "--eval", made_true(text, door.url)]
        assert said_by(door, [node(), *program], FOLDER) == f"{PLAIN}\n"


@pytest.mark.parametrize("name", [MODEL, "qwen", "claude-sonnet-4-5", "gpt-5-mini", "auto"])
def test_names_of_models(door: Door, name: str) -> None:
    line = next(line for line in lines("curl") if "chat/completions" in line)
    assert PLAIN in said_by(door, ["bash", "-c", made_true(line, door.url, name)])


def test_every_section_that_names_a_program_has_something_to_copy() -> None:
    for section in ("Claude Code", "Codex", "aider", "llm", "Continue", "Editors"):
        assert any(blocks(section, language) for language in ("console", "json", "ini", "yaml"))
