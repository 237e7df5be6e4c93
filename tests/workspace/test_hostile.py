"""A workspace full of traps: nothing forbidden is opened, nothing hangs, and what is harmless is found all the same."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from beastmode.workspace.files import LeftOutError, read_inside
from support.reader import Reading, read_and_listen

KEY = "AKIA" + "A1B2C3D4E5F6G7H8"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "app.py").write_text("def main():\n    return 1\n")
    return root


@pytest.fixture
def reading(root: Path, tmp_path: Path) -> Iterator[Reading]:
    reading = Reading(root, tmp_path / "catalogue.db")
    yield reading
    reading.catalogue.close()


def test_of_all_traps_together_only_what_is_harmless_is_opened(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "private.py").write_text("def private(): pass\n")
    (root / "to_file.py").symlink_to(outside / "private.py")
    (root / "to_folder").symlink_to(outside)
    (root / "to_everything").symlink_to("/")
    (root / "loop").symlink_to(root)
    (root / "sub").mkdir()
    (root / "sub" / "up").symlink_to("..")
    (root / "sub" / "self").symlink_to("self")
    for name in (".env", ".env.production", "id_rsa", "server.pem", "credentials.json", ".npmrc"):
        (root / name).write_text("harmless to look at")
    (root / "sub" / "tls.key").write_text("x")
    os.mkfifo(root / "pipe.py")
    os.mkfifo(root / "sub" / ".gitignore")
    (root / ".beastignore").symlink_to(outside / "private.py")
    with (root / "huge.py").open("wb") as huge:
        huge.truncate(2 << 30)
    (root / "line\nbreak.py").write_text("x = 1\n")
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.py")).write_text("x = 1\n")
    (root / "sub" / "fine.py").write_text("x = 2\n")

    found = read_and_listen(root, tmp_path / "catalogue.db")

    assert found["paths"] == ["app.py", "sub/fine.py"]
    opened = {one for one in found["opened"] if not one.startswith("/") or one.startswith(str(tmp_path))}
    opened = {one for one in opened if not one.startswith(str(tmp_path / "catalogue"))}
    assert opened == {str(root), ".git", "sub", "app.py", "fine.py"}


def test_each_thing_that_is_left_out_is_counted_by_its_reason(root: Path, reading: Reading) -> None:
    (root / "link.py").symlink_to("app.py")
    os.mkfifo(root / "pipe")
    (root / ".env").write_text("A=1")
    (root / "notes.txt").write_text(f"the key is {KEY}\n")
    (root / "picture.png").write_bytes(b"\x89PNG\0\0")
    (root / "latin.txt").write_bytes(b"caf\xe9")
    (root / "large.txt").write_bytes(b"x" * 2_000_000)
    (root / "tab\tname.py").write_text("x = 1\n")
    (root / "node_modules").mkdir()
    reading.scan()
    left_out = reading.left_out
    assert reading.paths() == {"app.py"}
    assert (left_out.link, left_out.special, left_out.large, left_out.name, left_out.ignored) == (1, 1, 1, 1, 1)
    assert (left_out.secret, left_out.binary) == (2, 2)


def test_a_socket_and_a_device_are_not_opened(
    root: Path, reading: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("sock")
        found = read_and_listen(root, tmp_path / "other.db")
    assert "sock" not in found["opened"]
    reading.scan()
    assert reading.left_out.special == 1


def test_a_secret_that_is_found_in_a_file_is_neither_cut_nor_stored(root: Path, reading: Reading) -> None:
    (root / "settings.py").write_text(f"TOKEN = '{KEY}'\n")
    reading.scan()
    assert reading.paths() == {"app.py"}
    database = Path(reading.order.catalogue)
    stored = b"".join(one.read_bytes() for one in database.parent.glob(f"{database.name}*"))
    assert KEY.encode() not in stored
    assert reading.scan() == []
    assert "settings.py" not in reading.cut


def test_a_file_that_gets_a_secret_goes_out_of_the_catalogue(root: Path, reading: Reading) -> None:
    reading.scan()
    (root / "app.py").write_text(f"TOKEN = '{KEY}'\n")
    assert reading.scan() == ["app.py"]
    assert reading.paths() == set()
    (root / "app.py").write_text("TOKEN = input()\n")
    assert reading.scan() == ["app.py"]
    assert reading.paths() == {"app.py"}


def test_a_folder_that_is_swapped_for_a_link_after_it_was_listed_is_not_entered(
    root: Path, reading: Reading, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "private.py").write_text("x = 1\n")
    (root / "sub").mkdir()
    (root / "sub" / "fine.py").write_text("x = 1\n")
    reading.scan()
    (root / "sub" / "fine.py").unlink()
    (root / "sub").rmdir()
    (root / "sub").symlink_to(outside)
    reading.look("sub/")
    assert reading.paths() == {"app.py"}
    with pytest.raises(LeftOutError) as caught:
        read_inside(str(root), "sub/private.py", 1000)
    assert caught.value.reason == "unreadable"


def test_a_path_that_leads_out_is_not_read(root: Path) -> None:
    (root.parent / "outside.txt").write_text("not yours")
    for path in ("../outside.txt", "sub/../../outside.txt", str(root.parent / "outside.txt"), "", ".", "..", "a\0b"):
        with pytest.raises(LeftOutError):
            read_inside(str(root), path, 1000)


def test_folders_being_swapped_for_links_all_the_time_never_let_anything_from_outside_in(
    root: Path, reading: Reading, tmp_path: Path
) -> None:
    outside, kept = tmp_path / "outside", root / "kept"
    outside.mkdir()
    kept.mkdir()
    (outside / "private.py").write_text("x = 'private'\n")
    (kept / "public.py").write_text("x = 'public'\n")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            (root / "kept").rename(root / "away")
            (root / "kept").symlink_to(outside)
            (root / "kept").unlink()
            (root / "away").rename(root / "kept")

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for _ in range(200):
            reading.scan()
            assert not any("private" in path for path in reading.paths())
    finally:
        done.set()
        swapping.join()
    reading.scan()
    assert reading.paths() == {"app.py", "kept/public.py"}


def test_a_very_deep_tree_is_read_to_a_bound(root: Path, reading: Reading) -> None:
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
        os.close(os.open("f.py", os.O_WRONLY | os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)
    reading.scan()
    assert reading.left_out.deep == 1
    assert {"d/f.py", "d/d/f.py"} <= reading.paths()


def test_a_file_that_looks_small_and_is_endless_is_read_to_its_limit(root: Path) -> None:
    with pytest.raises(LeftOutError) as caught:
        read_inside(f"/proc/{os.getpid()}", "smaps", 100)
    assert caught.value.reason == "large"


@pytest.mark.parametrize(
    "pattern", ["*a*a*a*a*a*a*a*a*a*a*b", "/".join(["*"] * 40), "[", "[z-a]", "a" * 5000, "**/" * 50]
)
def test_a_pattern_that_is_made_to_be_slow_or_wrong_holds_nothing_up(
    root: Path, reading: Reading, pattern: str
) -> None:
    (root / ".gitignore").write_text(f"{pattern}\n*.log\n")
    (root / ("a" * 200 + ".py")).write_text("x = 1\n")
    (root / "x.log").write_text("x\n")
    reading.scan()
    assert "x.log" not in reading.paths()
    assert "app.py" in reading.paths() or pattern.startswith("*")


def test_an_ignore_file_that_is_no_text_or_far_too_large_is_passed_over(root: Path, reading: Reading) -> None:
    (root / ".gitignore").write_bytes(b"*.py\n\0\xff")
    (root / ".beastignore").write_bytes(b"*.py\n" * 300_000)
    reading.scan()
    assert "app.py" in reading.paths()


def test_a_file_that_the_parser_chokes_on_is_left_out(
    root: Path, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choke(path: str, text: str) -> list[object]:
        raise RecursionError

    monkeypatch.setattr(reading.scanning, "_cut", choke)
    reading.scan()
    assert reading.left_out.poison == 1
    assert reading.paths() == set()


def test_what_the_reader_died_of_is_not_opened(root: Path, tmp_path: Path) -> None:
    reading = Reading(root, tmp_path / "catalogue.db", poison=["app.py"])
    reading.scan()
    assert (reading.paths(), reading.left_out.poison) == (set(), 1)
    reading.catalogue.close()


def test_folders_of_the_daemon_are_left_out_wherever_they_lie(root: Path, tmp_path: Path) -> None:
    (root / "home" / "state").mkdir(parents=True)
    (root / "home" / "state" / "log.txt").write_text("x\n")
    (root / "home" / "notes.txt").write_text("x\n")
    reading = Reading(root, tmp_path / "catalogue.db", outside=[str(root / "home" / "state")])
    reading.scan()
    assert reading.paths() == {"app.py", "home/notes.txt"}
    reading.catalogue.close()
