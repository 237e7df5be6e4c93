"""Small state files are written whole or not at all, and read only when nobody else could have touched them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from beastmode.core import statefile
from beastmode.core.errors import AccessError
from beastmode.core.statefile import move_aside, read_private, write_private


def test_what_was_written_is_read_and_only_its_owner_may_touch_it(tmp_path: Path) -> None:
    file = tmp_path / "new" / "keys.json"
    old = os.umask(0)
    try:
        write_private(file, b"one")
        write_private(file, b"two")
    finally:
        os.umask(old)
    assert read_private(file, secret=True) == b"two"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["keys.json"]


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert read_private(tmp_path / "none") is None


@pytest.mark.parametrize(("mode", "secret"), [(0o660, False), (0o602, False), (0o640, True), (0o604, True)])
def test_a_file_open_to_others_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, mode: int, secret: bool
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    file.chmod(mode)
    with pytest.raises(AccessError) as caught:
        read_private(file, secret=secret)
    assert caught.value.tips == [f"chmod 600 {file}"]


def test_others_may_read_what_is_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    file.chmod(0o644)
    assert read_private(file) == b"x"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("pipe", "."):
        with pytest.raises(AccessError):
            read_private(tmp_path / name)


def test_a_file_of_someone_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_private(tmp_path / "file", b"x")
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    with pytest.raises(AccessError, match="not to you"):
        read_private(tmp_path / "file")


def test_a_file_of_gigabytes_is_refused(tmp_path: Path) -> None:
    write_private(tmp_path / "file", b"")
    os.truncate(tmp_path / "file", statefile.MAX_FILE_BYTES + 1)
    with pytest.raises(AccessError, match="too many"):
        read_private(tmp_path / "file")


def test_a_file_that_can_not_be_opened_or_written_says_so(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(AccessError, match="can not be read"):
        read_private(loop)
    (tmp_path / "plain").write_bytes(b"")
    with pytest.raises(AccessError, match="can not be written"):
        write_private(tmp_path / "plain" / "file", b"x")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    write_private(file, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AccessError, match="No space left") as caught:
        write_private(file, b"new")
    assert "df -h" in caught.value.tips[0]
    assert file.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_damaged_files_are_moved_aside_and_never_over_one_another(tmp_path: Path) -> None:
    places = []
    for content in (b"1", b"2", b"3"):
        write_private(tmp_path / "file", content)
        places.append(move_aside(tmp_path / "file", 1000.5))
    assert [place.read_bytes() for place in places] == [b"1", b"2", b"3"]
    assert not (tmp_path / "file").exists()
