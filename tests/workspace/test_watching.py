"""What changes in a workspace is seen, a switch of branches as one change, and without the system's help as well."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from watchfiles._rust_notify import RustNotify

from beastmode.workspace.index.following import Following
from beastmode.workspace.index.orders import Order, Word
from beastmode.workspace.index.watcher import Watcher
from support.waiting import until as until_within


def until(holds: Callable[[], bool]) -> None:
    """Waits as long as a busy machine may need."""
    until_within(holds, 60)


class Heard:
    """What the reader of one workspace said."""

    def __init__(self) -> None:
        self.words: list[Word] = []

    def of(self, event: str) -> list[Word]:
        return [word for word in self.words if word.event == event]

    def changes(self) -> list[list[str]]:
        """Paths of each change, those of several words put together."""
        found: list[list[str]] = [[]]
        for word in self.of("changed"):
            found[-1] += word.paths
            if not word.more:
                found[-1].sort()
                found.append([])
        return found[:-1]


Follow = Callable[..., Heard]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "sub").mkdir(parents=True)
    (root / "a.py").write_text("x = 1\n")
    (root / "sub" / "b.py").write_text("x = 1\n")
    return root


@pytest.fixture
def follow(root: Path, tmp_path: Path) -> Iterator[Follow]:
    followed: list[Following] = []

    def follow(watcher: Any = Watcher, **limits: Any) -> Heard:
        heard = Heard()
        order = Order(op="open", root=str(root), catalogue=str(tmp_path / "catalogue.db"), **limits)
        followed.append(Following(order, heard.words.append, watcher))
        followed[-1].start()
        until(lambda: bool(heard.of("ready") or heard.of("away")))
        return heard

    yield follow
    for one in followed:
        one.close()
        one.join(20)
        assert not one.is_alive()


def test_edits_new_files_and_deletions_are_seen(root: Path, follow: Follow) -> None:
    heard = follow()
    (root / "a.py").write_text("x = 2\n")
    until(lambda: ["a.py"] in heard.changes())
    (root / "sub" / "new.py").write_text("x = 3\n")
    until(lambda: ["sub/new.py"] in heard.changes())
    (root / "sub" / "b.py").unlink()
    until(lambda: ["sub/b.py"] in heard.changes())
    assert heard.of("changed")[-1].files == 2


def test_a_new_folder_is_watched_with_all_that_is_in_it(root: Path, follow: Follow) -> None:
    heard = follow()
    (root / "one" / "two" / "three").mkdir(parents=True)
    (root / "one" / "two" / "three" / "deep.py").write_text("x = 1\n")
    until(lambda: ["one/two/three/deep.py"] in heard.changes())
    (root / "one" / "two" / "three" / "deep.py").write_text("x = 2\n")
    until(lambda: heard.changes().count(["one/two/three/deep.py"]) == 2)
    shutil.rmtree(root / "one")
    until(lambda: heard.of("changed")[-1].files == 2)


def test_a_folder_that_was_replaced_is_watched_again(root: Path, follow: Follow) -> None:
    heard = follow()
    (root / "sub").rename(root / "old")
    (root / "sub").mkdir()
    (root / "sub" / "c.py").write_text("x = 1\n")
    until(lambda: heard.of("changed") and heard.of("changed")[-1].files == 3)
    (root / "sub" / "d.py").write_text("x = 1\n")
    until(lambda: ["sub/d.py"] in heard.changes())


def test_a_folder_that_was_deleted_and_made_again_at_once_is_watched_again(root: Path, follow: Follow) -> None:
    (root / "sub" / "deep").mkdir()
    (root / "sub" / "deep" / "c.py").write_text("x = 1\n")
    heard = follow()
    for number in range(3):
        shutil.rmtree(root / "sub")
        (root / "sub" / "deep").mkdir(parents=True)
        (root / "sub" / "deep" / f"n{number}.py").write_text("x = 1\n")
        until(lambda name=f"sub/deep/n{number}.py": any(name in change for change in heard.changes()))  # type: ignore[misc]
        (root / "sub" / "deep" / f"m{number}.py").write_text("x = 1\n")
        until(lambda name=f"sub/deep/m{number}.py": any(name in change for change in heard.changes()))  # type: ignore[misc]


def test_watching_is_tried_again_after_it_could_not_be_begun(
    root: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beastmode.workspace.index.watcher.RETRY_S", 0.1)
    tries: list[int] = []

    def at_last(*args: Any) -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("OS file watch limit reached.")
        return RustNotify(*args)

    heard = follow(lambda root, stop: Watcher(root, stop, at_last), poll_s=0.05)
    assert heard.of("ready")[0].watching == "polling"
    until(lambda: len(tries) >= 3)
    until(lambda: bool(heard.of("changed")) and heard.of("changed")[-1].watching == "events")
    assert heard.of("changed")[-1].problem == ""


def test_what_is_left_out_is_no_change(root: Path, follow: Follow) -> None:
    (root / ".gitignore").write_text("*.log\nbuild/\n")
    (root / "build").mkdir()
    heard = follow()
    (root / "x.log").write_text("x\n")
    (root / ".env").write_text("A=1\n")
    (root / "build" / "out.py").write_text("x\n")
    (root / "a.py").write_text("x = 2\n")
    until(lambda: ["a.py"] in heard.changes())
    assert {path for change in heard.changes() for path in change} == {"a.py"}


def test_a_switch_of_branches_is_one_change(root: Path, follow: Follow) -> None:
    for folder in range(20):
        (root / f"pkg{folder}").mkdir()
        for number in range(60):
            (root / f"pkg{folder}" / f"f{number}.py").write_text("branch = 'main'\n")
    heard = follow()
    (root / ".git").mkdir()
    lock = root / ".git" / "index.lock"
    lock.touch()
    for folder in range(20):
        for number in range(60):
            (root / f"pkg{folder}" / f"f{number}.py").write_text("branch = 'other'\n")
        threading.Event().wait(0.02)
    lock.unlink()
    until(lambda: bool(heard.changes()))
    assert [len(change) for change in heard.changes()] == [1200]
    assert all(word.batch for word in heard.of("changed"))


def test_a_file_that_is_written_all_the_time_holds_no_other_change_up(root: Path, follow: Follow) -> None:
    (root / ".gitignore").write_text("*.log\n")
    heard = follow()
    done = threading.Event()

    def chatter() -> None:
        with (root / "server.log").open("a") as log:
            while not done.wait(0.005):
                print("still here", file=log, flush=True)

    talking = threading.Thread(target=chatter)
    talking.start()
    try:
        (root / "a.py").write_text("x = 2\n")
        until(lambda: ["a.py"] in heard.changes())
        assert talking.is_alive()
    finally:
        done.set()
        talking.join()


def test_a_workspace_that_goes_away_comes_back_with_what_changed_meanwhile(root: Path, follow: Follow) -> None:
    heard = follow()
    root.rename(root.with_name("elsewhere"))
    until(lambda: bool(heard.of("away")))
    assert "can not be read" in heard.of("away")[0].problem
    (root.with_name("elsewhere") / "a.py").write_text("x = 2\n")
    root.with_name("elsewhere").rename(root)
    until(lambda: len(heard.of("ready")) == 2)
    assert heard.of("ready")[1].paths == ["a.py"]
    (root / "sub" / "b.py").write_text("x = 2\n")
    until(lambda: ["sub/b.py"] in heard.changes())


def test_another_folder_in_its_place_is_read_instead(root: Path, follow: Follow, tmp_path: Path) -> None:
    (tmp_path / "fresh").mkdir()
    (tmp_path / "fresh" / "new.py").write_text("x = 1\n")
    heard = follow()
    root.rename(tmp_path / "old")
    (tmp_path / "fresh").rename(root)
    until(lambda: any("new.py" in word.paths for word in heard.words))
    assert [word.files for word in heard.words if word.event != "progress"][-1] == 1
    (root / "new.py").write_text("x = 2\n")
    until(lambda: sum("new.py" in word.paths for word in heard.words) == 2)


def test_a_workspace_that_is_not_there_is_read_once_it_is(root: Path, follow: Follow) -> None:
    shutil.rmtree(root)
    heard = follow()
    assert heard.of("away")
    root.mkdir()
    (root / "late.py").write_text("x = 1\n")
    until(lambda: bool(heard.of("ready")))
    assert heard.of("ready")[0].files == 1


def limited(root: str, stop: threading.Event) -> Watcher:
    def refuse(*_: object) -> Any:
        raise OSError('OS file watch limit reached. about ["/project"]')

    return Watcher(root, stop, refuse)


def test_where_the_system_watches_no_more_folders_it_is_looked_at_instead_with_a_tip(
    root: Path, follow: Follow
) -> None:
    heard = follow(limited, poll_s=0.05)
    ready = heard.of("ready")[0]
    assert ready.watching == "polling"
    assert "watch limit reached" in ready.problem
    assert "max_user_watches" in ready.tip
    (root / "a.py").write_text("x = 2\n")
    until(lambda: ["a.py"] in heard.changes())
    (root / "later").mkdir()
    (root / "later" / "c.py").write_text("x = 1\n")
    until(lambda: ["later/c.py"] in heard.changes())


def test_where_watching_ends_with_a_new_folder_it_is_looked_at_from_then_on(root: Path, follow: Follow) -> None:
    made: list[int] = []

    def once(*args: Any) -> Any:
        made.append(1)
        if len(made) > 1:
            raise OSError("too many open files")
        return RustNotify(*args)

    heard = follow(lambda root, stop: Watcher(root, stop, once), poll_s=0.05)
    assert heard.of("ready")[0].watching == "events"
    (root / "new").mkdir()
    (root / "new" / "c.py").write_text("x = 1\n")
    until(lambda: any(word.watching == "polling" for word in heard.of("changed")))
    (root / "new" / "d.py").write_text("x = 1\n")
    until(lambda: any("new/d.py" in change for change in heard.changes()))


def test_a_second_start_tells_only_what_changed_since(root: Path, follow: Follow) -> None:
    follow()
    (root / "a.py").write_text("x = 'other'\n")
    heard = follow()
    assert set(heard.of("ready")[0].paths) <= {"a.py"}
    assert heard.of("ready")[0].files == 2


def test_a_catalogue_that_is_damaged_is_made_anew(root: Path, tmp_path: Path, follow: Follow) -> None:
    (tmp_path / "catalogue.db").write_bytes(b"this is no database" * 1000)
    heard = follow()
    assert heard.of("ready")[-1].files == 2


def test_a_long_list_of_changes_comes_in_several_words(root: Path, follow: Follow) -> None:
    heard = follow()
    (root / "many").mkdir()
    for number in range(1500):
        (root / "many" / f"f{number}.py").write_text("x = 1\n")
    until(lambda: sum(len(change) for change in heard.changes()) >= 1500)
    assert max(len(word.paths) for word in heard.words) <= 1000
