"""The token of the HTTP door: made once, kept privately, changed at will."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from beastmode.core.clock import Clock
from beastmode.core.errors import AccessError
from beastmode.servers.token import Token


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "token"


async def loaded(file: Path) -> Token:
    token = Token(file, Clock())
    await token.load()
    return token


async def test_a_token_is_made_where_there_is_none_and_only_its_owner_can_read_it(file: Path) -> None:
    token = await loaded(file)
    assert token.value.startswith("beast_") and len(token.value) >= 48
    assert file.read_text().strip() == token.value
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_it_stays_the_same_over_starts_and_differs_between_homes(file: Path, tmp_path: Path) -> None:
    assert (await loaded(file)).value == (await loaded(file)).value
    assert (await loaded(file)).value != (await loaded(tmp_path / "token")).value


async def test_a_changed_token_replaces_the_old_one_in_force_and_on_disk(file: Path) -> None:
    token = await loaded(file)
    before = token.value
    after = await token.rotate()
    assert (after, file.read_text().strip()) == (token.value, token.value)
    assert before != after
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["token"]


async def test_a_token_of_the_users_own_is_taken(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("my-own-token-" + "x" * 30 + "\n")
    file.chmod(0o600)
    assert (await loaded(file)).value == "my-own-token-" + "x" * 30


async def test_a_file_that_others_can_read_is_refused_with_what_to_do(file: Path) -> None:
    await loaded(file)
    file.chmod(0o644)
    with pytest.raises(AccessError) as caught:
        await loaded(file)
    assert caught.value.tips == [f"chmod 600 {file}"]


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"with blank " * 5, b"\xff" * 50, b"a\nb" * 30])
async def test_a_file_without_a_token_is_moved_aside_and_named(file: Path, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    file.chmod(0o600)
    token = await loaded(file)
    assert token.value == file.read_text().strip()
    assert len(token.value) > 32
    (aside,) = file.parent.glob("token.damaged-*")
    assert aside.read_bytes() == content
    assert token.problem is not None
    assert str(aside) in token.problem


async def test_a_change_that_can_not_be_written_leaves_the_old_one_in_force(file: Path) -> None:
    token = await loaded(file)
    before = token.value
    file.unlink()
    file.mkdir()
    with pytest.raises(AccessError):
        await token.rotate()
    assert token.value == before
