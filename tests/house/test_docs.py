"""The documentation: links lead somewhere, and what it tells people to type exists."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from beastmode.cli.root import beast
from beastmode.core.config import load
from beastmode.core.paths import Paths
from beastmode.workspace import projects
from support.tracked import ROOT, project_files, text_of

PAGES = [file for file in project_files() if file.suffix == ".md"]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for found, text in BLOCK.findall(text_of(page) or ""):
            if found == language:
                yield page, text


def typed_commands() -> list[tuple[Path, str]]:
    """Every command that a page shows after a prompt; also those inside `$(...)` and behind a pipe."""
    return [
        (page, command)
        for page, text in blocks("console")
        for line in text.splitlines()
        if line.startswith("$ ")
        for command in commands_in(line[2:])
    ]


def commands_in(line: str) -> Iterator[str]:
    for inner in re.findall(r"\$\(([^()]*)\)", line):
        yield from commands_in(inner)
    words = shlex.shlex(re.sub(r"\$\([^()]*\)", "SUBSTITUTED", line), posix=False, punctuation_chars="|<>;&")
    words.whitespace_split = True
    command: list[str] = []
    for word in words:
        if set(word) <= set("|;&"):
            yield " ".join(command)
            command = []
        elif not set(word) <= set("<>"):
            command.append(word)
    if command:
        yield " ".join(command)


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", text_of(page) or "", re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_to_something_that_is_there(page: Path) -> None:
    for target in LINK.findall(text_of(page) or ""):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert (ROOT / file).exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in anchors(Path(file)), f"{page} links to {target}"


def command_of(words: list[str]) -> tuple[click.Command, click.Context, list[str]]:
    """Follows the words after `beast` down to a command; gives what is left of them."""
    command: click.Command = beast
    context = click.Context(beast, info_name="beast")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        below = command.get_command(context, words[0])
        if below is None:
            break
        command, words = below, words[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    return command, context, words


@pytest.mark.parametrize(("page", "line"), [(p, c) for p, c in typed_commands() if "beast " in f"{c} "])
def test_commands_that_a_page_shows_exist(page: Path, line: str) -> None:
    words = shlex.split(line)
    if "beast" not in words:
        return
    command, context, rest = command_of(words[words.index("beast") + 1 :])
    known = {name for option in command.get_params(context) for name in [*option.opts, *option.secondary_opts]}
    unknown = [word for word in rest if re.match(r"--?[a-z]", word) and word.split("=")[0] not in known]
    assert unknown == [], f"{page}: {line}"
    if isinstance(command, click.Group):
        assert not rest or rest[0].startswith("-"), f"{page}: {line}: no such command"


@pytest.mark.parametrize(("page", "line"), [(p, c) for p, c in typed_commands() if c.startswith("make")])
def test_targets_of_make_that_a_page_shows_exist(page: Path, line: str) -> None:
    targets = [word for word in shlex.split(line)[1:] if "=" not in word]
    for target in targets:
        assert re.search(rf"^{target}:", text_of(Path("Makefile")) or "", re.MULTILINE), f"{page}: {line}"


@pytest.mark.parametrize(("page", "text"), list(blocks("toml")))
def test_settings_that_a_page_shows_are_taken(page: Path, text: str, tmp_path: Path) -> None:
    if "project" in tomllib.loads(text):
        return
    if text.startswith(f"# {projects.FILE}"):
        assert projects.parsed(text) != projects.NOTHING
        return
    home = Paths.from_environment({"BEAST_HOME": str(tmp_path)})
    home.config_file.write_text(text)
    load(home, {})


@pytest.mark.parametrize(("page", "text"), list(blocks("python")))
def test_programs_that_a_page_shows_compile(page: Path, text: str) -> None:
    compile(text, str(page), "exec")


@pytest.mark.parametrize(("page", "text"), list(blocks("json")))
def test_json_that_a_page_shows_is_json(page: Path, text: str) -> None:
    json.loads(text)


def test_the_readme_shows_its_two_commands() -> None:
    readme = text_of(Path("README.md")) or ""
    assert "make demo" in readme
    assert "make test" in readme


def test_the_code_map_names_every_room_and_none_that_is_not_there() -> None:
    text = (text_of(Path("ARCHITECTURE.md")) or "").partition("## Floors")[0]
    named = {name.rstrip("/") for name in re.findall(r"`([\w/]+(?:\.py|/))`", text)}
    home = ROOT / "daemon" / "beastmode"
    rooms = {path.parent.name for path in home.glob("*/__init__.py")} | {path.name for path in home.glob("*.py")}
    assert rooms - {"__init__.py"} - named == set()
    places = {f"/{place.as_posix()}" for file in project_files() for place in [file, *file.parents]}
    assert {name for name in named if not any(place.endswith(f"/{name}") for place in places)} == set()
