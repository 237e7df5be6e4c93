"""Parts of the Neovim plugin by themselves: diffs, positions, code blocks, options, completion, help, syntax."""

from __future__ import annotations

import difflib
import json
import os
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.paths import Paths
from support import neovim
from support.tracked import ROOT, project_files, text_of

SCRIPT = ROOT / "tests" / "editors" / "parts.lua"
LUA = [file for file in project_files() if file.suffix == ".lua"]
SCRIPTS = [file for file in project_files() if file.suffix in (".lua", ".mjs")]
LETTERS = ["a", "b", " ", "\t", "é", "ß", "漢", "😀", "e\u0301", "👩\u200d💻"]
LONGEST_FILE_LINES = 400


def made_of(folder: Path, **cases: Any) -> dict[str, Any]:
    """Has Neovim run the plugin's parts on cases."""
    file = folder / "cases.json"
    file.write_text(json.dumps(cases))
    done = subprocess.run(
        neovim.script(SCRIPT, str(file)),
        env=neovim.environ(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def random_line(dice: random.Random) -> str:
    return "".join(dice.choices(LETTERS, k=dice.randrange(8)))


def test_every_file_of_lua_can_be_loaded(tmp_path: Path) -> None:
    assert len(LUA) > 15
    wrong = made_of(tmp_path, files=[str(ROOT / file) for file in LUA])["syntax"]
    assert [problem for problem in wrong if problem] == []


@pytest.mark.parametrize("file", SCRIPTS, ids=str)
def test_every_script_says_what_it_is_for_and_is_no_longer_than_a_room(file: Path) -> None:
    lines = (text_of(file) or "").splitlines()
    assert lines[0].startswith(("-- ", "// "))
    assert len(lines) <= LONGEST_FILE_LINES


def test_a_diff_makes_the_new_text_of_the_old(tmp_path: Path) -> None:
    dice = random.Random(6)
    cases, expected = [], []
    for _ in range(400):
        old = [random_line(dice) for _ in range(dice.randrange(30))]
        new = [random_line(dice) if dice.random() < 0.2 else line for line in old if dice.random() < 0.9]
        end = dice.choice(["\n", "\r\n"])
        before, after = ([f"{line}{end}" for line in lines] for lines in (old, new))
        diff = "".join(difflib.unified_diff(before, after, "a", "b", lineterm="\n", n=dice.randrange(4)))
        cases.append({"lines": old, "diff": diff})
        expected.append(new)
    assert made_of(tmp_path, patches=cases)["patched"] == expected


def test_a_diff_of_another_text_makes_nothing(tmp_path: Path) -> None:
    diff = "--- a\n+++ b\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n"
    cases = [{"lines": lines, "diff": diff} for lines in (["one", "TWO"], ["one"], [])]
    assert made_of(tmp_path, patches=cases)["patched"] == [None, None, None]


def test_a_diff_of_a_new_file_is_its_text(tmp_path: Path) -> None:
    diff = "--- /dev/null\n+++ b/x.py\n@@ -0,0 +1,2 @@\n+one\n+two\n\\ No newline at end of file\n"
    assert made_of(tmp_path, patches=[{"lines": [], "diff": diff}])["patched"] == [["one", "two"]]


def test_positions_are_exact_in_every_encoding(tmp_path: Path) -> None:
    dice = random.Random(7)
    cases, expected = [], []
    for _ in range(1000):
        lines = [random_line(dice) for _ in range(1 + dice.randrange(4))]
        line = dice.randrange(len(lines))
        characters = dice.randrange(len(lines[line]) + 1)
        before = lines[line][:characters]
        cases.append({"lines": lines, "line": line, "byte": len(before.encode())})
        units = {
            "utf-8": len(before.encode()),
            "utf-16": len(before.encode("utf-16-le")) // 2,
            "utf-32": characters,
        }
        expected.append({name: {"line": line, "character": count} for name, count in units.items()})
    assert made_of(tmp_path, positions=cases)["positions"] == expected


def test_a_selection_by_characters_is_exact(tmp_path: Path) -> None:
    dice = random.Random(8)
    cases, expected = [], []
    for _ in range(300):
        letters = [
            [dice.choice(LETTERS[:-1]) for _ in range(1 + dice.randrange(6))] for _ in range(1 + dice.randrange(3))
        ]
        one, other = sorted(
            (line, dice.randrange(len(letters[line]))) for line in dice.choices(range(len(letters)), k=2)
        )

        def place(line: int, letter: int, letters: list[list[str]] = letters) -> list[int]:
            return [line, len("".join(letters[line][:letter]).encode())]

        ends = [place(*one), place(*other)]
        dice.shuffle(ends)
        cases.append({"lines": ["".join(line) for line in letters], "first": ends[0], "last": ends[1]})
        expected.append([place(*one), place(other[0], other[1] + 1)])
    assert made_of(tmp_path, selections=cases)["selections"] == expected


def test_code_blocks_of_a_conversation(tmp_path: Path) -> None:
    text = "Look:\n```python\nx = 1\n```\nand\n````md\n```\nnested\n```\n````\n~~~\nwaves\n~~~\n```sh\nnot closed"
    (found,) = made_of(tmp_path, blocks=[text.split("\n")])["blocks"]
    assert [(block["language"], block["lines"]) for block in found] == [
        ("python", ["x = 1"]),
        ("md", ["```", "nested", "```"]),
        ("", ["waves"]),
        ("sh", ["not closed"]),
    ]


def test_the_socket_is_where_the_daemon_puts_it(tmp_path: Path) -> None:
    deep = str(tmp_path / ("x" * 90))
    environs = [
        {"BEAST_HOME": str(tmp_path), "HOME": "/tmp"},
        {"BEAST_HOME": deep, "HOME": "/tmp"},
        {"HOME": str(tmp_path)},
        {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")},
        {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")},
    ]
    expected = [str(Paths.from_environment(environ).lsp_socket) for environ in environs]
    assert made_of(tmp_path, sockets=environs)["sockets"] == expected


def test_an_unknown_option_is_named_with_those_there_are(tmp_path: Path) -> None:
    options = [{"previw": True}, {"chat": {"positon": "left"}}, {"chat": {"position": "left"}}, {"chat": 1}]
    wrong = [case["problems"] for case in made_of(tmp_path, options=options)["options"]]
    assert "previw" in wrong[0][0] and "preview" in wrong[0][0]
    assert "chat.positon" in wrong[1][0] and "position" in wrong[1][0]
    assert wrong[2] in ([], {})
    assert wrong[3] == ["chat must be a table"]


def test_options_that_are_not_named_keep_their_defaults(tmp_path: Path) -> None:
    (case,) = made_of(tmp_path, options=[{"chat": {"position": "left"}, "cmd": ["x", "lsp"]}])["options"]
    assert case["held"]["chat"] == {"position": "left", "size": 0.42, "input_lines": 5}
    assert case["held"]["cmd"] == ["x", "lsp"]
    assert case["held"]["inline"]["enabled"] is True


def test_the_command_completes_its_words(tmp_path: Path) -> None:
    every, some, none = made_of(tmp_path, completions=["Beast ", "Beast re", "Beast refactor "])["completions"]
    assert {"explain", "fix", "refactor", "docstring", "tests", "generate", "ask", "chat", "model"} <= set(every)
    assert {"register", "cost", "dashboard", "why", "reject", "clear", "preview", "apply", "stop"} <= set(every)
    assert some == ["refactor", "register", "reject"]
    assert none in ([], {})


def test_the_help_has_tags_and_every_command(tmp_path: Path) -> None:
    shutil.copytree(neovim.PLUGIN / "doc", tmp_path / "doc", ignore=shutil.ignore_patterns("tags"))
    command = [neovim.program(), "--headless", *neovim.CLEAN, "-c", f"helptags {tmp_path / 'doc'}", "-c", "qa"]
    done = subprocess.run(command, env=neovim.environ(tmp_path), capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == ""
    tags = (tmp_path / "doc" / "tags").read_text()
    assert {"beast.txt", ":Beast", "beast-options", "<Plug>(beast-explain)"} <= {
        line.split("\t")[0] for line in tags.splitlines()
    }
    pages = (neovim.PLUGIN / "doc" / "beast.txt").read_text()
    (every,) = made_of(tmp_path, completions=["Beast "])["completions"]
    assert [word for word in every if not re.search(rf"(:Beast |\t|^ {{4}}){word}\b", pages, re.MULTILINE)] == []
    assert max(len(line.expandtabs(8)) for line in pages.splitlines()) <= 80


def test_no_key_is_mapped_but_the_plugin_s_own(tmp_path: Path) -> None:
    code = (
        "vim.g.beast = {enabled = false} vim.cmd.runtime('plugin/beast.lua') local n = 0 "
        "for _, mode in ipairs({'n', 'x', 'i'}) do for _, map in ipairs(vim.api.nvim_get_keymap(mode)) do "
        "if (map.desc or ''):find('BEAST') and not map.lhs:find('^<Plug>') then n = n + 1 end end end "
        "io.stdout:write(n) os.exit(0)"
    )
    (tmp_path / "keys.lua").write_text(code)
    command = neovim.script(tmp_path / "keys.lua")
    done = subprocess.run(command, env=neovim.environ(tmp_path), capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "0"


def test_neovim_is_the_one_of_set_up_or_named() -> None:
    assert os.access(neovim.program(), os.X_OK)
