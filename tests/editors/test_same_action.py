"""The same action on the same text, from Neovim, a Node.js client and the command line: one upstream call, two hits."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import neovim, node_tools
from support.editor_stage import Stage, open_stage
from support.tracked import ROOT

HERE = ROOT / "tests" / "editors"
KINDS = ["refactor", "docstring", "explain"]
DOORS = ["neovim", "node", "cli"]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage() as stage:
        yield stage


def from_door(door: str, stage: Stage, kind: str, home: Path) -> dict[str, Any]:
    environ = neovim.environ(home, BEAST_HOME=str(stage.daemon.home))
    if door == "neovim":
        return stage.play(neovim.script(HERE / "one_action.lua", kind), environ)[kind]
    if door == "node":
        return stage.play([node_tools.node(), str(HERE / "one_action.mjs"), kind], environ)[kind]
    command = ["beast", "action", kind, str(stage.sample), "--lines", "1-3", "--json"]
    found = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stderr
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


@pytest.mark.parametrize(("kind", "first"), list(zip(KINDS, range(3), strict=True)))
def test_whoever_asks_first_pays(stage: Stage, kind: str, first: int, tmp_path: Path) -> None:
    before = len(stage.provider.calls)
    doors = DOORS[first:] + DOORS[:first]
    answers = [from_door(door, stage, kind, tmp_path) for door in doors]
    assert [answer["cache"]["result"] for answer in answers] == ["miss", "hit_exact", "hit_exact"], doors
    assert len({answer["text"] for answer in answers}) == 1
    assert len(stage.provider.calls) == before + 1
    rows = stage.daemon.rows(limit=3)
    assert [row["cache"]["result"] for row in rows] == ["hit_exact", "hit_exact", "miss"]
    assert [row["cost_usd"] for row in rows][:2] == [0, 0]
    assert {row["client"] for row in rows} >= {"neovim", "node"}


def test_another_text_is_another_action(stage: Stage, tmp_path: Path) -> None:
    before = len(stage.provider.calls)
    stage.sample.write_text(stage.sample.read_text().replace("result", "outcome"))
    answers = [from_door(door, stage, "refactor", tmp_path) for door in ("cli", "node")]
    assert [answer["cache"]["result"] for answer in answers] == ["miss", "hit_exact"]
    assert len(stage.provider.calls) == before + 1


def test_the_files_of_the_workspace_were_only_read(stage: Stage) -> None:
    assert sorted(file.name for file in stage.workspace.iterdir()) == [".git", "sample.py"]
