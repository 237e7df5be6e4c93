"""The extension for VS Code and Cursor as a package: typed, tested by itself, small, and honest about what it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from support import node_tools
from support.code_server import EXTENSION, pack
from support.tracked import ROOT

MAX_VSIX_BYTES = 500_000
LONGEST_FILE_LINES = 400
MANIFEST: dict[str, Any] = json.loads((EXTENSION / "package.json").read_text())
CONTRIBUTED: dict[str, Any] = MANIFEST["contributes"]
COMMANDS = {one["command"] for one in CONTRIBUTED["commands"]}
SOURCES = [*(EXTENSION / "src").rglob("*.ts"), *(EXTENSION / "media").rglob("*.css"), EXTENSION / "build.mjs"]


@pytest.fixture(scope="module")
def vsix(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Packed as for the marketplaces; packing checks the types and bundles."""
    assert (EXTENSION / "node_modules").is_dir(), "run .ci/setup test: it installs the packages of editors/vscode"
    return zipfile.ZipFile(pack(tmp_path_factory.mktemp("vsix")))


def test_its_own_tests_pass(tmp_path: Path) -> None:
    environ = {**os.environ, "PATH": os.pathsep.join([str(Path(node_tools.node()).parent), os.environ["PATH"]])}
    command = ["npm", "test", "--silent"]
    done = subprocess.run(command, cwd=EXTENSION, env=environ, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"pass (\d+)", done.stdout)
    assert passed and int(passed[1]) > 30


def test_it_is_small_and_holds_what_runs_and_nothing_else(vsix: zipfile.ZipFile) -> None:
    assert Path(vsix.filename or "").stat().st_size < MAX_VSIX_BYTES
    names = {name.removeprefix("extension/") for name in vsix.namelist() if name.startswith("extension/")}
    assert {"package.json", "readme.md", "changelog.md", "LICENSE.txt"} <= names
    assert {"dist/extension.js", "dist/view.js", "media/chat.css", "media/icon.png"} <= names
    assert not [name for name in names if name.endswith((".ts", ".map", ".mjs")) or "node_modules" in name]


def test_what_is_packed_names_no_path_of_this_machine(vsix: zipfile.ZipFile) -> None:
    for name in vsix.namelist():
        assert str(ROOT).encode() not in vsix.read(name), name


def test_it_runs_in_the_editors_that_are_promised() -> None:
    assert MANIFEST["engines"]["vscode"] == "^1.91.0"
    assert MANIFEST["devDependencies"]["@types/vscode"] == "1.91.0"
    assert MANIFEST["devDependencies"]["vscode-languageclient"].startswith("11.")
    assert MANIFEST["activationEvents"] == ["onStartupFinished"]


@pytest.mark.parametrize(
    "title",
    [
        *("Register Custom Model", "Select Model", "Show Cost", "Open Dashboard", "Explain Last Answer"),
        *("Reject Cached Answer", "Clear Chat", "Explain", "Fix", "Write Docstring", "Write Tests"),
    ],
)
def test_the_palette_has(title: str) -> None:
    assert ("BEAST MODE", title) in {(one["category"], one["title"]) for one in CONTRIBUTED["commands"]}


def test_menus_keys_and_the_walkthrough_name_commands_that_there_are() -> None:
    menus = [one["command"] for menu in CONTRIBUTED["menus"].values() for one in menu if "command" in one]
    keys = [one["command"] for one in CONTRIBUTED["keybindings"]]
    steps = re.findall(r"\(command:([\w.]+)\)", json.dumps(CONTRIBUTED["walkthroughs"]))
    assert {*menus, *keys, *steps} <= COMMANDS
    assert steps


def test_every_command_is_registered() -> None:
    source = "\n".join(file.read_text() for file in SOURCES)
    kinds = re.search(r"KINDS = \[(.*?)\]", source)
    assert kinds
    handlers = re.findall(r"^    (\w+): (?:\(|async |actions\.)", source, re.MULTILINE)
    registered = {*re.findall(r'"(\w+)"', kinds[1]), *handlers}
    assert {command.removeprefix("beast.") for command in COMMANDS} <= registered


def test_no_two_keys_are_the_same() -> None:
    keys = [one["key"] for one in CONTRIBUTED["keybindings"]]
    assert len(keys) == len(set(keys))


def test_settings_have_scopes_and_those_that_name_programs_are_no_workspaces() -> None:
    settings = CONTRIBUTED["configuration"]["properties"]
    restricted = set(MANIFEST["capabilities"]["untrustedWorkspaces"]["restrictedConfigurations"])
    assert all(name.startswith("beast.") and one["scope"] for name, one in settings.items())
    for name in ("beast.path", "beast.home", "beast.socket"):
        assert settings[name]["scope"] == "machine-overridable"
        assert name in restricted
    assert not [name for name in settings if "key" in name.lower().split(".")[-1]]


def test_every_setting_is_in_its_readme() -> None:
    readme = (EXTENSION / "README.md").read_text()
    for name in CONTRIBUTED["configuration"]["properties"]:
        assert name in readme or f"`.{name.rpartition('.')[2]}`" in readme, name


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(EXTENSION)))
def test_a_source_is_one_room_and_says_which(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert len(lines) <= LONGEST_FILE_LINES
    assert lines[0].startswith(("// ", "/* "))


def test_the_lock_names_no_registry() -> None:
    lock = json.loads((EXTENSION / "package-lock.json").read_text())
    assert [name for name, one in lock["packages"].items() if "resolved" in one] == []


def test_the_page_of_the_chat_runs_nothing_but_its_own_script() -> None:
    source = (EXTENSION / "src" / "chatView.ts").read_text()
    assert "default-src 'none'" in source and "'nonce-${nonce}'" in source
    assert "unsafe" not in source
    assert not re.search(r"<[^>]+\s(style|on\w+)=", source)
