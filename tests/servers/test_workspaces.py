"""Workspaces over the socket: what a user agreed to is read, watched and remembered, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.errors import BadInputError, BeastError, NotFoundError
from support.daemon import Daemon
from support.waiting import until


@pytest.fixture(scope="module")
def shared() -> Iterator[Daemon]:
    with Daemon() as daemon:
        yield daemon


@pytest.fixture
def daemon(shared: Daemon) -> Iterator[Daemon]:
    """One that is shared, without any workspace; a test leaves it as it was."""
    yield shared
    for path in [*remembered(shared)]:
        shared.call("workspace.close", {"path": path, "forget": True})
    until(lambda: readers(shared) == [], 60)


@pytest.fixture
def own() -> Iterator[Daemon]:
    """One that a test may stop, kill and break."""
    with Daemon() as daemon:
        yield daemon


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "sub").mkdir(parents=True)
    (root / "a.py").write_text("def one():\n    return 1\n")
    (root / "sub" / "b.py").write_text("def two():\n    return 2\n")
    (root / ".env").write_text("A=1\n")
    return root


def opened(daemon: Daemon, path: Path, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = daemon.call("workspace.open", {"path": str(path), "wait": True, **more})
    return found


def row(daemon: Daemon) -> dict[str, Any]:
    (found,) = daemon.call("workspace.list")["workspaces"]
    return dict(found)


def remembered(daemon: Daemon) -> dict[str, Any]:
    file = daemon.home / "state" / "workspaces.json"
    found: dict[str, Any] = json.loads(file.read_text())["workspaces"] if file.exists() else {}
    return found


def readers(daemon: Daemon) -> list[int]:
    """Processes of this daemon that read workspaces."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            environ = (entry / "environ").read_bytes()
        except OSError:
            continue
        if b"beastmode.workspace.index" in words and f"BEAST_HOME={daemon.home}\0".encode() in environ:
            found.append(int(entry.name))
    return found


def test_a_folder_is_read_listed_and_told_in_the_status(daemon: Daemon, root: Path) -> None:
    found = opened(daemon, root)
    assert (found["path"], found["state"], found["files"], found["chunks"]) == (str(root), "ready", 2, 2)
    assert found["left_out"] == {"secret": 1}
    assert daemon.call("workspace.list") == {"workspaces": [row(daemon)]}
    status = daemon.call("status")
    assert status["workspaces"] == [row(daemon)]
    assert "workspaces" in status["health"]["parts"]


def test_opening_answers_at_once_and_reading_goes_on(daemon: Daemon, root: Path) -> None:
    assert daemon.call("workspace.open", {"path": str(root)})["state"] in ("scanning", "ready")
    until(lambda: row(daemon)["state"] == "ready", 60)


def test_a_change_is_seen(daemon: Daemon, root: Path) -> None:
    opened(daemon, root)
    (root / "c.py").write_text("x = 1\n")
    until(lambda: row(daemon)["files"] == 3, 60)
    shutil.rmtree(root / "sub")
    until(lambda: row(daemon)["files"] == 2, 60)


def test_without_an_agreement_nothing_is_read(daemon: Daemon, root: Path) -> None:
    assert opened(daemon, root, agreed=None)["state"] == "unasked"
    assert opened(daemon, root, agreed=False)["state"] == "declined"
    assert opened(daemon, root, agreed=None)["state"] == "declined"
    assert daemon.call("workspace.list") == {"workspaces": []}
    assert readers(daemon) == []
    assert not list((daemon.home / "cache" / "workspaces").iterdir())


def test_an_agreement_is_remembered_and_so_is_its_end(daemon: Daemon, root: Path) -> None:
    opened(daemon, root)
    file = daemon.home / "state" / "workspaces.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    daemon.call("workspace.close", {"path": str(root)})
    assert opened(daemon, root, agreed=None)["state"] == "ready"
    assert opened(daemon, root, agreed=False)["state"] == "declined"
    assert daemon.call("workspace.list") == {"workspaces": []}
    assert remembered(daemon)[str(root)]["agreed"] is False


def test_what_was_open_is_open_again_after_a_restart_and_what_was_closed_is_not(
    own: Daemon, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    opened(own, root)
    opened(own, tmp_path / "other")
    own.call("workspace.close", {"path": str(tmp_path / "other")})
    own.stop()
    (root / "new.py").write_text("x = 1\n")
    own.start()
    until(lambda: row(own)["state"] == "ready", 60)
    assert (row(own)["path"], row(own)["files"]) == (str(root), 3)


def test_forgetting_a_workspace_or_everything_closes_it_and_deletes_what_was_read(daemon: Daemon, root: Path) -> None:
    for which in ({"workspace": str(root)}, {"all": True}):
        opened(daemon, root)
        daemon.call("forget", {"workspace": str(root / "sub")})
        daemon.call("forget", {**which, "dry_run": True})
        assert [one["path"] for one in daemon.call("workspace.list")["workspaces"]] == [str(root)]
        daemon.call("forget", which)
        assert daemon.call("workspace.list")["workspaces"] == []
        assert remembered(daemon) == {}
        assert [*(daemon.home / "cache" / "workspaces").glob("*.db")] == []


def test_closing_keeps_what_is_known_and_forgetting_does_not(daemon: Daemon, root: Path) -> None:
    opened(daemon, root)
    folder = daemon.home / "cache" / "workspaces"
    assert daemon.call("workspace.close", {"path": str(root / "sub")})["state"] == "closed"
    assert len(list(folder.glob("*.db"))) == 1
    assert daemon.call("workspace.close", {"path": str(root), "forget": True})["state"] == "closed"
    assert list(folder.glob("*.db*")) == []
    assert remembered(daemon) == {}
    with pytest.raises(NotFoundError, match="No workspace is open"):
        daemon.call("workspace.close", {"path": str(root)})


def test_a_link_to_a_folder_opens_the_folder(daemon: Daemon, root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert opened(daemon, tmp_path / "link")["path"] == str(root)
    assert opened(daemon, root)["path"] == str(root)
    assert len(daemon.call("workspace.list")["workspaces"]) == 1
    assert daemon.call("workspace.close", {"path": str(tmp_path / "link")})["path"] == str(root)


def test_a_folder_in_an_open_one_can_be_open_as_well(daemon: Daemon, root: Path) -> None:
    opened(daemon, root)
    assert opened(daemon, root / "sub")["files"] == 1
    daemon.call("workspace.close", {"path": str(root / "sub")})
    assert row(daemon)["path"] == str(root)


@pytest.mark.parametrize(
    ("path", "kind"),
    [("relative", BadInputError), ("/", BadInputError), ("/none/such", NotFoundError), ("/etc/hostname", BadInputError),
     ("/a\0b", BadInputError)],
)  # fmt: skip
def test_what_is_no_folder_is_refused_with_a_tip(daemon: Daemon, path: str, kind: type[BeastError]) -> None:
    with pytest.raises(kind) as caught:
        daemon.call("workspace.open", {"path": path})
    assert caught.value.tips


def test_the_daemons_own_folders_are_not_read(daemon: Daemon) -> None:
    with pytest.raises(BadInputError, match="not opened as a workspace"):
        daemon.call("workspace.open", {"path": str(daemon.home / "state")})
    (daemon.home / "notes.txt").write_text("hello\n")
    assert opened(daemon, daemon.home)["files"] == 1


def test_progress_is_told_while_a_large_folder_is_read(daemon: Daemon, root: Path) -> None:
    for number in range(1500):
        (root / f"f{number}.py").write_text(f"def f{number}():\n    return {number}\n")
    told: list[dict[str, Any]] = []
    with daemon.client() as client:
        found = client.call("workspace.open", {"path": str(root), "wait": True}, told.append)
    assert found["files"] == 1502
    assert told
    assert {one["phase"] for one in told} == {"scan"}
    counts = [one["files"] for one in told]
    assert counts == sorted(counts)


def test_a_reader_that_is_killed_is_started_again_and_nothing_is_missed(daemon: Daemon, root: Path) -> None:
    opened(daemon, root)
    (first,) = readers(daemon)
    os.kill(first, signal.SIGKILL)
    (root / "late.py").write_text("x = 1\n")
    until(lambda: row(daemon)["files"] == 3, 60)
    assert readers(daemon) != [first]


def test_a_reader_that_dies_again_and_again_is_told_with_a_tip(own: Daemon, root: Path) -> None:
    opened(own, root)
    for _ in range(3):
        until(lambda: bool(readers(own)), 60)
        os.kill(readers(own)[0], signal.SIGKILL)
        until(lambda: not readers(own), 60)
    until(lambda: bool(issues(own)), 60)
    (issue,) = issues(own)
    assert "ended 3 times in a row" in issue["cause"]
    assert "beast.log" in issue["tip"]
    assert row(own)["files"] == 2


def issues(daemon: Daemon) -> list[dict[str, Any]]:
    return [one for one in daemon.call("health.get")["issues"] if one["part"] == "workspaces"]


@pytest.mark.parametrize("how", ["stop", "kill", "close"])
def test_no_reader_outlives_what_it_reads_for(own: Daemon, root: Path, how: str) -> None:
    opened(own, root)
    assert len(readers(own)) == 1
    if how == "close":
        own.call("workspace.close", {"path": str(root)})
    else:
        getattr(own, how)()
    until(lambda: readers(own) == [], 30)


def test_the_reader_stands_back_behind_everything_else(daemon: Daemon, root: Path) -> None:
    opened(daemon, root)
    (pid,) = readers(daemon)
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19


def test_a_workspace_whose_folder_goes_is_told_and_comes_back(daemon: Daemon, root: Path) -> None:
    opened(daemon, root)
    root.rename(root.with_name("elsewhere"))
    until(lambda: row(daemon)["state"] == "away", 60)
    assert "can not be read" in issues(daemon)[0]["cause"]
    root.with_name("elsewhere").rename(root)
    until(lambda: row(daemon)["state"] == "ready", 60)
    assert issues(daemon) == []


def test_more_files_than_the_limit_are_told(root: Path) -> None:
    with Daemon("workspace.max_files = 1\n") as daemon:
        assert opened(daemon, root)["files"] == 1
        assert "raise workspace.max_files" in issues(daemon)[0]["tip"]


def test_changed_settings_hold_for_what_is_open(own: Daemon, root: Path) -> None:
    opened(own, root)
    (own.home / "config.toml").write_text('workspace.ignore = ["sub/"]\n')
    own.call("config.reload")
    until(lambda: row(own)["files"] == 1, 60)


def test_a_damaged_memory_of_agreements_is_moved_aside_and_named(own: Daemon, root: Path) -> None:
    own.stop()
    (own.home / "state" / "workspaces.json").write_text("{nonsense")
    own.start()
    assert "was damaged" in issues(own)[0]["cause"]
    assert list((own.home / "state").glob("workspaces.json.damaged-*"))
    opened(own, root)
    assert issues(own) == []


def test_what_an_editor_tells_is_taken_where_a_workspace_is_open(daemon: Daemon, root: Path) -> None:
    told = {"workspace": str(root), "path": "a.py", "event": "opened"}
    assert daemon.call("workspace.active", told) == {"noted": False}
    opened(daemon, root)
    assert daemon.call("workspace.active", told) == {"noted": True}
    where = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 3}}
    assert daemon.call("workspace.active", {**told, "path": str(root / "a.py"), "range": where}) == {"noted": True}
    assert daemon.call("workspace.active", {**told, "path": "/etc/passwd"}) == {"noted": False}


def test_while_a_folder_is_read_others_are_answered(daemon: Daemon, root: Path) -> None:
    for number in range(1000):
        (root / f"f{number}.py").write_text(f"def f{number}():\n    return {number}\n" * 20)
    daemon.call("workspace.open", {"path": str(root)})
    waits = []
    with daemon.client() as client:
        while row(daemon)["state"] == "scanning":
            began_s = time.monotonic()
            client.call("ping", timeout_s=10)
            waits.append(time.monotonic() - began_s)
    assert len(waits) > 3
