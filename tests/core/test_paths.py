"""Where things live, and who may write there."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from beastmode.core.errors import AccessError
from beastmode.core.paths import SOCKET_PATH_MAX_BYTES, Paths, check_private


def test_beast_home_holds_everything(tmp_path: Path) -> None:
    paths = Paths.from_environment({"BEAST_HOME": str(tmp_path), "XDG_CONFIG_HOME": "/elsewhere"})
    assert paths.config_file == tmp_path / "config.toml"
    assert paths.log_file == tmp_path / "state" / "logs" / "beast.log"
    assert paths.lock_file == tmp_path / "run" / "daemon.lock"
    assert {paths.state.parent, paths.cache.parent, paths.data.parent, paths.run.parent} == {tmp_path}


def test_a_relative_beast_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Paths.from_environment({"BEAST_HOME": "here"}).config == tmp_path / "here"


def test_on_linux_the_xdg_folders_are_used() -> None:
    environ = {
        "HOME": "/h",
        "XDG_CONFIG_HOME": "/c",
        "XDG_STATE_HOME": "/s",
        "XDG_CACHE_HOME": "/k",
        "XDG_DATA_HOME": "/d",
        "XDG_RUNTIME_DIR": "/r",
    }
    paths = Paths.from_environment(environ, "linux")
    assert [str(p) for p in (paths.config, paths.state, paths.cache, paths.data, paths.run)] == [
        "/c/beastmode",
        "/s/beastmode",
        "/k/beastmode",
        "/d/beastmode",
        "/r/beastmode",
    ]


def test_without_them_and_when_they_are_relative_the_usual_ones_under_home() -> None:
    paths = Paths.from_environment({"HOME": "/h", "XDG_CONFIG_HOME": "relative"}, "linux")
    assert paths.config == Path("/h/.config/beastmode")
    assert paths.run == Path("/h/.local/state/beastmode/run")


def test_on_macos_everything_is_under_library() -> None:
    paths = Paths.from_environment({"HOME": "/h"}, "darwin")
    assert paths.config == Path("/h/Library/Application Support/beastmode")
    assert paths.cache == Path("/h/Library/Caches/beastmode")


def test_every_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    paths = Paths.from_environment({"BEAST_HOME": str(tmp_path / "home")})
    paths.make()
    paths.make()
    for folder in (paths.config, paths.state, paths.cache, paths.data, paths.run, paths.log_file.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_socket_path_too_long_for_the_kernel_falls_back_to_a_short_one(tmp_path: Path) -> None:
    paths = Paths.from_environment({"BEAST_HOME": str(tmp_path / ("x" * 120))})
    fallback = paths.rpc_socket
    assert len(os.fsencode(fallback)) <= SOCKET_PATH_MAX_BYTES
    assert fallback == Paths.from_environment({"BEAST_HOME": str(tmp_path / ("x" * 120))}).rpc_socket
    assert fallback != Paths.from_environment({"BEAST_HOME": str(tmp_path / ("y" * 120))}).rpc_socket
    paths.make()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(fallback))
    fallback.unlink()
    fallback.parent.rmdir()


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_folder_that_others_can_write_is_refused_with_the_command_that_mends_it(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(AccessError) as caught:
        check_private(folder)
    assert str(folder) in caught.value.message
    assert caught.value.tips[0] == f"chmod 700 {folder}"


def test_a_folder_that_belongs_to_someone_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(AccessError, match="belongs to user"):
        check_private(tmp_path)
