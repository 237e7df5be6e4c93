"""Which files of a workspace are read: git's own rules, the user's, and what is no text or too much."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from beastmode.workspace.files import LeftOutError, fit_name, read_inside
from beastmode.workspace.index import scanning
from beastmode.workspace.index.scanning import AwayError
from support.reader import Reading

Read = Callable[..., Reading]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.fixture
def read(root: Path, tmp_path: Path) -> Iterator[Read]:
    opened: list[Reading] = []

    def read(**limits: object) -> Reading:
        opened.append(Reading(root, tmp_path / "catalogue.db", **limits))
        opened[-1].scan()
        return opened[-1]

    yield read
    for one in opened:
        one.catalogue.close()


def write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def test_ignore_files_of_every_level_hold_with_the_precedence_of_git(root: Path, read: Read) -> None:
    write(
        root,
        {
            ".gitignore": "*.log\n/build/\ndocs/*.txt\n!docs/kept.txt\n",
            "a.py": "",
            "a.log": "",
            "build/out.py": "",
            "sub/build/in.py": "",
            "docs/x.txt": "",
            "docs/kept.txt": "",
            "docs/deep/x.txt": "",
            "sub/.gitignore": "!important.log\nlocal.py\n",
            "sub/important.log": "",
            "sub/local.py": "",
            "local.py": "",
        },
    )
    assert read().paths() == {
        ".gitignore", "a.py", "sub/build/in.py", "docs/kept.txt", "docs/deep/x.txt", "sub/.gitignore",
        "sub/important.log", "local.py",
    }  # fmt: skip


def test_a_pattern_about_folders_says_nothing_of_the_files_in_them(root: Path, read: Read) -> None:
    write(root, {".gitignore": "*.log\n!*/\nout/**\n!out/kept.py\n", "a/x.log": "", "out/x.py": "", "out/kept.py": ""})
    assert read().paths() == {".gitignore", "out/kept.py"}


def test_nothing_comes_back_from_a_folder_that_is_left_out(root: Path, read: Read) -> None:
    write(root, {".gitignore": "out/\n!out/kept.py\n", "out/kept.py": "", "out/.gitignore": "!kept.py\n"})
    assert read().paths() == {".gitignore"}


def test_beastignore_wins_over_git_in_both_directions(root: Path, read: Read) -> None:
    write(
        root,
        {
            ".gitignore": "generated/\n",
            ".beastignore": "!generated/\nfixtures/\n",
            "generated/api.py": "",
            "fixtures/big.py": "",
            "sub/.beastignore": "*.csv\n",
            "sub/table.csv": "",
            "table.csv": "",
        },
    )
    assert read().paths() == {".gitignore", ".beastignore", "generated/api.py", "sub/.beastignore", "table.csv"}


def test_the_users_settings_and_the_clones_own_excludes_count(root: Path, read: Read) -> None:
    write(root, {".git/info/exclude": "private.md\n", "private.md": "", "notes.md": "", "a.py": ""})
    assert read(ignore=["notes.*"]).paths() == {"a.py"}


def test_what_nobody_writes_by_hand_is_left_out_unless_it_is_asked_for(root: Path, read: Read) -> None:
    write(
        root,
        {"node_modules/x/index.js": "", "pkg/__pycache__/a.py": "", ".venv/lib/a.py": "", "a.min.js": "", "a.js": ""},
    )
    first = read()
    assert first.paths() == {"a.js"}
    (root / ".beastignore").write_text("!node_modules/\n")
    first.scan()
    assert first.paths() == {"a.js", "node_modules/x/index.js", ".beastignore"}


def test_the_folder_of_git_is_never_read_whatever_is_said(root: Path, read: Read) -> None:
    write(root, {".git/config": "", ".beastignore": "!.git/\n!.git/**\n", "sub/.git": "gitdir: elsewhere\n"})
    assert read().paths() == {".beastignore"}


def test_a_changed_ignore_file_changes_what_is_known(root: Path, read: Read) -> None:
    write(root, {"a.py": "", "sub/a.log": "", "sub/deep/b.log": ""})
    reading = read()
    (root / ".gitignore").write_text("*.log\n")
    assert reading.look("") == [".gitignore", "sub/a.log", "sub/deep/b.log"]
    assert reading.paths() == {".gitignore", "a.py"}
    (root / ".gitignore").unlink()
    assert reading.look("") == [".gitignore", "sub/a.log", "sub/deep/b.log"]
    assert reading.paths() == {"a.py", "sub/a.log", "sub/deep/b.log"}


def test_a_file_is_read_up_to_the_limit_of_its_size(root: Path, read: Read) -> None:
    write(root, {"fits.txt": "x" * 2000, "large.txt": "x" * 2001})
    assert read(max_file_bytes=2000).paths() == {"fits.txt"}


def test_no_more_files_are_read_than_the_limit_allows_and_the_rest_is_counted(root: Path, read: Read) -> None:
    write(root, {f"f{number}.py": "" for number in range(10)})
    reading = read(max_files=7)
    assert (len(reading.paths()), reading.left_out.many) == (7, 3)
    for path in list(reading.paths())[:2]:
        (root / path).unlink()
    reading.scan()
    reading.scan()
    assert (len(reading.paths()), reading.left_out.many) == (7, 1)


def test_what_was_read_once_is_only_looked_at_after_a_restart(root: Path, read: Read) -> None:
    write(root, {"a.py": "x = 1\n", "sub/b.py": "x = 2\n", "sub/c.py": "x = 3\n"})
    for path in root.rglob("*.py"):
        os.utime(path, ns=(10**18, 10**18))
    reading = read()
    wait_until_sure(reading)
    reading.restart()
    (root / "sub/b.py").write_text("x = 4\n")
    (root / "sub/c.py").unlink()
    assert reading.scan() == ["sub/b.py", "sub/c.py"]
    assert reading.cut == ["sub/b.py"]


def wait_until_sure(reading: Reading) -> None:
    while reading.scanning.unsure:
        reading.scanning.unsure.clear()
        reading.scan()


def test_a_file_that_was_only_touched_has_not_changed(root: Path, read: Read) -> None:
    write(root, {"a.py": "x = 1\n"})
    reading = read()
    os.utime(root / "a.py", ns=(1, 1))
    assert reading.scan() == []


def test_what_was_read_just_after_it_was_written_is_read_once_more(
    root: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "UNSURE_NS", 10**18)
    write(root, {"a.py": "x = 1\n"})
    reading = read()
    assert (reading.scanning.unsure, reading.cut) == ({""}, ["a.py"])
    assert reading.scan() == []
    assert reading.cut == ["a.py", "a.py"]
    monkeypatch.undo()
    reading.scanning.unsure.clear()
    (root / "a.py").write_text("x = 2\n")
    os.utime(root / "a.py", ns=(10**18, 10**18))
    assert reading.scan() == ["a.py"]


def test_a_folder_that_came_went_or_got_another_name_is_followed(root: Path, read: Read) -> None:
    write(root, {"old/a.py": "x = 1\n", "old/deep/b.py": "x = 2\n"})
    reading = read()
    (root / "old").rename(root / "new")
    assert reading.look("") == ["new/a.py", "new/deep/b.py", "old/a.py", "old/deep/b.py"]
    assert reading.paths() == {"new/a.py", "new/deep/b.py"}
    assert set(reading.scanning.places) == {"", "new/", "new/deep/"}


def test_a_file_that_becomes_a_folder_and_back(root: Path, read: Read) -> None:
    write(root, {"thing": "x = 1\n"})
    reading = read()
    (root / "thing").unlink()
    write(root, {"thing/a.py": "x = 1\n"})
    assert reading.look("") == ["thing", "thing/a.py"]
    (root / "thing/a.py").unlink()
    (root / "thing").rmdir()
    write(root, {"thing": "x = 2\n"})
    assert reading.look("", "thing/") == ["thing", "thing/a.py"]
    assert reading.paths() == {"thing"}


def test_without_its_folder_nothing_is_forgotten(root: Path, read: Read) -> None:
    write(root, {"a.py": "x = 1\n"})
    reading = read()
    root.rename(root.with_name("away"))
    with pytest.raises(AwayError):
        reading.scan()
    assert reading.paths() == {"a.py"}


def test_a_folder_that_can_not_be_entered_is_counted(root: Path, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, {"open/a.py": "", "shut/b.py": ""})
    real = os.open

    def refuse(path: object, *args: object, **kwargs: object) -> int:
        if path == "shut":
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    reading = read()
    assert (reading.paths(), reading.left_out.unreadable) == ({"open/a.py"}, 1)
    monkeypatch.undo()
    assert reading.look("") == ["shut/b.py"]
    assert reading.left_out.unreadable == 0


def test_one_file_is_read_with_what_tells_it_from_a_later_one(root: Path) -> None:
    write(root, {"sub/a.py": "x = 1\n"})
    raw, look = read_inside(str(root), "sub/a.py", 1000)
    found = (root / "sub/a.py").stat()
    assert raw == b"x = 1\n"
    assert (look.size_bytes, look.mtime_ns, look.ctime_ns, look.inode) == (
        6, found.st_mtime_ns, found.st_ctime_ns, found.st_ino,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "reason"),
    [("none.py", "gone"), ("none/a.py", "gone"), ("sub", "special"), (".env", "secret"), ("a.py/x", "unreadable")],
)
def test_why_one_file_is_not_read(root: Path, path: str, reason: str) -> None:
    write(root, {"a.py": "", "sub/b.py": "", ".env": ""})
    with pytest.raises(LeftOutError) as caught:
        read_inside(str(root), path, 1000)
    assert caught.value.reason == reason


def test_names_that_can_be_stored_and_shown() -> None:
    assert all(fit_name(name) for name in ("a.py", "é.py", "日本.md", "with space", "👍", "\u00a0"))
    assert not any(fit_name(name) for name in ("a\nb", "\x1b[31m", "\udce9", "a\x7f", "\x85"))
