"""Keys: kept in the keyring or an encrypted file, never shown, and never sent to another endpoint."""

from __future__ import annotations

import base64
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.errors import KeyringLocked, PasswordDeleteError

from beastmode.core.errors import AccessError, AuthenticationError, BadInputError
from beastmode.routing.vault import Vault, clean_key
from support.routing_parts import StillClock, deployment
from support.waiting import until_async

KEY = "sk-test-0123456789abcdef"
A = deployment("custom:a", "https://a.example/v1", has_key=True)
B = deployment("custom:b", "https://b.example/v1", has_key=True)


class FakeRing(KeyringBackend):
    """A keyring in memory."""

    priority = 5  # type: ignore[assignment]  # the base class has a property

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}
        self.asked = 0
        self.before: Callable[[], None] = lambda: None

    def get_password(self, service: str, username: str) -> str | None:
        self.asked += 1
        self.before()
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.before()
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self.before()
        if (service, username) not in self.held:
            raise PasswordDeleteError("not there")
        del self.held[service, username]


def module(backend: Any) -> Any:
    return SimpleNamespace(get_keyring=lambda: backend)


@pytest.fixture
def ring() -> FakeRing:
    return FakeRing()


@pytest.fixture
def open_vault(tmp_path: Path, clock: StillClock) -> Callable[..., Vault]:
    def build(store: Any = "file", backend: Any = None, **more: Any) -> Vault:
        return Vault(tmp_path, store, module(backend or fail.Keyring()), clock=clock, **more)

    return build


def boxes(folder: Path) -> dict[str, Any]:
    return msgspec.json.decode((folder / "keys.json").read_bytes())["keys"]  # type: ignore[no-any-return]  # JSON


def write_boxes(folder: Path, changed: dict[str, Any]) -> None:
    (folder / "keys.json").write_bytes(msgspec.json.encode({"schema": 1, "keys": changed}))


# --- the file


async def test_a_key_is_there_after_a_restart_and_nowhere_in_clear(
    open_vault: Callable[..., Vault], tmp_path: Path
) -> None:
    vault = open_vault()
    await vault.load([])
    assert vault.key_for(A) is None
    assert await vault.put(A, f"  {KEY}\n") == "file"
    assert vault.key_for(A) == KEY
    again = open_vault()
    await again.load([A, B])
    assert again.key_for(A) == KEY
    assert await again.get(A) == KEY
    for file in tmp_path.iterdir():
        assert KEY.encode() not in file.read_bytes()
        assert base64.b64encode(KEY.encode()) not in file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == ["keys.json", "vault.key"]


async def test_files_are_private_from_the_start_whatever_the_umask(
    open_vault: Callable[..., Vault], tmp_path: Path
) -> None:
    old = os.umask(0)
    try:
        vault = open_vault()
        await vault.load([])
        await vault.put(A, KEY)
    finally:
        os.umask(old)
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


async def test_a_home_without_keys_has_no_key_files(open_vault: Callable[..., Vault], tmp_path: Path) -> None:
    vault = open_vault()
    await vault.load([deployment("custom:a")])
    await vault.remove(deployment("custom:a"))
    assert list(tmp_path.iterdir()) == []


async def test_a_new_key_replaces_the_old_one_and_a_removed_one_is_gone(
    open_vault: Callable[..., Vault], tmp_path: Path
) -> None:
    vault = open_vault()
    await vault.load([])
    await vault.put(A, "old-key")
    await vault.put(B, "other-key")
    await vault.put(A, "new-key")
    assert vault.key_for(A) == "new-key"
    await vault.remove(A)
    assert vault.key_for(A) is None
    again = open_vault()
    await again.load([A, B])
    assert again.key_for(B) == "other-key"
    with pytest.raises(AuthenticationError, match="not in the vault any more") as caught:
        again.key_for(A)
    assert "--key-stdin" in caught.value.tips[0]


async def test_an_edited_base_url_does_not_get_the_key(open_vault: Callable[..., Vault], tmp_path: Path) -> None:
    vault = open_vault()
    await vault.load([])
    await vault.put(A, KEY)
    moved = msgspec.structs.replace(A, base_url="https://evil.example/v1")
    with pytest.raises(AuthenticationError, match=r"a\.example.*not sent to https://evil") as caught:
        vault.key_for(moved)
    assert "beast models add custom:a" in caught.value.tips[0]
    again = open_vault()
    await again.load([moved])
    with pytest.raises(AuthenticationError, match="not sent to"):
        again.key_for(moved)
    assert list(again.troubles) == [A.id]
    await again.put(moved, "another-key")
    assert again.key_for(moved) == "another-key"
    assert again.troubles == {}


async def test_an_edited_base_url_in_both_files_does_not_get_the_key_either(
    open_vault: Callable[..., Vault], tmp_path: Path
) -> None:
    vault = open_vault()
    await vault.load([])
    await vault.put(A, KEY)
    moved = msgspec.structs.replace(A, base_url="https://evil.example/v1")
    changed = boxes(tmp_path)
    changed[A.id]["endpoint"] = moved.base_url
    write_boxes(tmp_path, changed)
    again = open_vault()
    await again.load([moved])
    with pytest.raises(AuthenticationError, match="changed from outside"):
        again.key_for(moved)


async def test_keys_swapped_between_deployments_are_not_opened(
    open_vault: Callable[..., Vault], tmp_path: Path
) -> None:
    same = deployment("custom:c", "https://a.example/v1", has_key=True)
    vault = open_vault()
    await vault.load([])
    await vault.put(A, "key-of-a")
    await vault.put(same, "key-of-c")
    found = boxes(tmp_path)
    write_boxes(tmp_path, {A.id: found[same.id], same.id: found[A.id]})
    again = open_vault()
    await again.load([A, same])
    for one in (A, same):
        with pytest.raises(AuthenticationError, match="changed from outside"):
            again.key_for(one)


@settings(deadline=None, max_examples=60)
@given(field=st.sampled_from(["nonce", "sealed"]), place=st.integers(0, 10_000), bit=st.integers(0, 7))
async def test_a_flipped_bit_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, field: str, place: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("vault")
    vault = Vault(folder, "file", clock=StillClock())
    await vault.load([])
    await vault.put(A, KEY)
    found = boxes(folder)
    raw = bytearray(base64.b64decode(found[A.id][field]))
    raw[place % len(raw)] ^= 1 << bit
    found[A.id][field] = base64.b64encode(raw).decode()
    write_boxes(folder, found)
    await vault.load([A])
    with pytest.raises(AuthenticationError, match="changed from outside"):
        vault.key_for(A)


@pytest.mark.parametrize(
    ("field", "value"), [("nonce", ""), ("nonce", "%%"), ("sealed", ""), ("sealed", "AAAA"), ("nonce", "A" * 400)]
)
async def test_a_box_that_makes_no_sense_spoils_only_its_own_key(
    open_vault: Callable[..., Vault], tmp_path: Path, field: str, value: str
) -> None:
    vault = open_vault()
    await vault.load([])
    await vault.put(A, KEY)
    await vault.put(B, KEY)
    found = boxes(tmp_path)
    found[A.id][field] = value
    write_boxes(tmp_path, found)
    await vault.load([A, B])
    assert vault.key_for(B) == KEY
    with pytest.raises(AuthenticationError):
        vault.key_for(A)


async def test_the_same_key_is_never_sealed_to_the_same_bytes(open_vault: Callable[..., Vault], tmp_path: Path) -> None:
    vault = open_vault()
    await vault.load([])
    seen = set()
    for _ in range(5):
        await vault.put(A, KEY)
        seen.add((boxes(tmp_path)[A.id]["nonce"], boxes(tmp_path)[A.id]["sealed"]))
    assert len({nonce for nonce, _ in seen}) == len(seen) == 5


@pytest.mark.parametrize("name", ["keys.json", "vault.key"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
async def test_files_that_others_can_read_are_refused(
    open_vault: Callable[..., Vault], tmp_path: Path, name: str, mode: int
) -> None:
    vault = open_vault()
    await vault.load([])
    await vault.put(A, KEY)
    (tmp_path / name).chmod(mode)
    with pytest.raises(AccessError) as caught:
        await open_vault().load([A])
    assert caught.value.tips == [f"chmod 600 {tmp_path / name}"]


@pytest.mark.parametrize("content", [b"", b"not json", b"[" * 100_000, b'{"schema": 1, "keys": 3}', b"\xff"])
async def test_a_damaged_key_file_is_moved_aside_and_named(
    open_vault: Callable[..., Vault], tmp_path: Path, content: bytes
) -> None:
    vault = open_vault()
    await vault.load([])
    await vault.put(A, KEY)
    (tmp_path / "keys.json").write_bytes(content)
    await vault.load([A])
    assert vault.problem is not None
    [aside] = tmp_path.glob("keys.json.damaged-*")
    assert aside.name in vault.problem
    assert aside.read_bytes() == content
    await vault.put(A, KEY)
    assert vault.key_for(A) == KEY


@pytest.mark.parametrize("content", [None, b"", b"c2hvcnQ=", b"\xff\xff"])
async def test_without_its_secret_the_key_file_is_moved_aside(
    open_vault: Callable[..., Vault], tmp_path: Path, content: bytes | None
) -> None:
    vault = open_vault()
    await vault.load([])
    await vault.put(A, KEY)
    if content is None:
        (tmp_path / "vault.key").unlink()
    else:
        (tmp_path / "vault.key").write_bytes(content)
    again = open_vault()
    await again.load([A])
    assert again.problem is not None
    assert "vault.key" in again.problem
    assert list(tmp_path.glob("keys.json.damaged-*"))
    await again.put(A, KEY)
    last = open_vault()
    await last.load([A])
    assert last.key_for(A) == KEY


async def test_a_key_file_of_a_newer_version_is_refused_and_left_alone(
    open_vault: Callable[..., Vault], tmp_path: Path
) -> None:
    (tmp_path / "keys.json").write_bytes(b'{"schema": 7}')
    (tmp_path / "keys.json").chmod(0o600)
    with pytest.raises(BadInputError, match="newer"):
        await open_vault().load([])
    assert (tmp_path / "keys.json").read_bytes() == b'{"schema": 7}'


# --- the keyring


async def test_a_keyring_that_is_there_holds_the_key_and_no_file_does(
    open_vault: Callable[..., Vault], ring: FakeRing, tmp_path: Path
) -> None:
    vault = open_vault("auto", ring)
    await vault.load([])
    assert ring.asked == 0
    assert await vault.put(A, KEY) == "keyring"
    assert list(tmp_path.iterdir()) == []
    again = open_vault("auto", ring)
    await again.load([A, deployment("custom:free")])
    assert again.key_for(A) == KEY
    await again.remove(A)
    assert ring.held == {}
    assert again.key_for(A) is None
    await again.remove(A)


async def test_unless_told_otherwise_a_usable_keyring_is_used(ring: FakeRing, tmp_path: Path) -> None:
    vault = Vault(tmp_path, keyring_module=module(ring))
    await vault.load([])
    assert await vault.put(A, KEY) == "keyring"


async def test_a_key_that_was_just_put_into_the_keyring_can_be_taken_out(
    open_vault: Callable[..., Vault], ring: FakeRing
) -> None:
    vault = open_vault("auto", ring)
    await vault.load([])
    new = deployment("custom:a", "https://a.example/v1")  # not yet marked as having one
    await vault.put(new, KEY)
    await vault.remove(new)
    assert ring.held == {}


async def test_a_vault_in_a_file_leaves_the_keyring_alone(open_vault: Callable[..., Vault], ring: FakeRing) -> None:
    touched: list[bool] = []
    ring.before = lambda: touched.append(True)
    vault = open_vault("file", ring)
    await vault.load([A])
    await vault.put(A, KEY)
    for _ in range(2):
        await vault.remove(A)
    assert touched == []


async def test_a_keyring_is_left_alone_for_a_key_that_is_in_the_file_or_was_never_there(
    open_vault: Callable[..., Vault], ring: FakeRing
) -> None:
    in_file = open_vault("file")
    await in_file.load([])
    await in_file.put(A, KEY)
    vault = open_vault("auto", ring)
    await vault.load([A])
    touched: list[bool] = []
    ring.before = lambda: touched.append(True)
    await vault.remove(A)
    await vault.remove(deployment("custom:free"))
    assert touched == []


async def test_two_homes_of_one_user_keep_their_keys_apart(ring: FakeRing, tmp_path: Path) -> None:
    homes = [Vault(tmp_path / name, "auto", module(ring)) for name in ("one", "two")]
    for number, vault in enumerate(homes):
        await vault.load([])
        await vault.put(A, f"key-{number}")
    for number, vault in enumerate(homes):
        await vault.load([A])
        assert vault.key_for(A) == f"key-{number}"


async def test_a_key_in_the_keyring_is_bound_to_its_endpoint_too(
    open_vault: Callable[..., Vault], ring: FakeRing
) -> None:
    vault = open_vault("auto", ring)
    await vault.load([])
    await vault.put(A, KEY)
    moved = msgspec.structs.replace(A, base_url="https://evil.example/v1")
    again = open_vault("auto", ring)
    await again.load([moved])
    with pytest.raises(AuthenticationError, match="not sent to https://evil"):
        again.key_for(moved)


@pytest.mark.parametrize("value", ["a plain key of another program", '{"endpoint": 1}', "[" * 50_000])
async def test_what_someone_else_put_into_the_keyring_is_not_used(
    open_vault: Callable[..., Vault], ring: FakeRing, value: str
) -> None:
    vault = open_vault("auto", ring)
    await vault.load([])
    await vault.put(A, KEY)
    ring.held = dict.fromkeys(ring.held, value)
    await vault.load([A])
    with pytest.raises(AuthenticationError, match="not stored by BEAST MODE"):
        vault.key_for(A)


class Weak(FakeRing):
    priority = 0.5  # type: ignore[assignment]  # the base class has a property


class Broken(FakeRing):
    @property
    def priority(self) -> float:  # type: ignore[override]  # the base class has a property of the class
        raise RuntimeError("no service")


@pytest.mark.parametrize("backend", [fail.Keyring(), null.Keyring(), Weak(), Broken()])
async def test_without_a_usable_keyring_the_file_holds_the_key(open_vault: Callable[..., Vault], backend: Any) -> None:
    vault = open_vault("auto", backend)
    await vault.load([])
    assert await vault.put(A, KEY) == "file"
    again = open_vault("auto", backend)
    await again.load([A])
    assert again.key_for(A) == KEY
    await again.remove(A)
    assert again.key_for(A) is None
    with pytest.raises(AuthenticationError):
        await again.load([A])
        again.key_for(A)


async def test_a_keyring_that_was_asked_for_and_is_not_there_is_an_error(open_vault: Callable[..., Vault]) -> None:
    vault = open_vault("keyring")
    await vault.load([])
    with pytest.raises(AccessError) as caught:
        await vault.put(A, KEY)
    assert any("keys.store" in tip for tip in caught.value.tips)


async def test_a_weak_keyring_is_used_where_the_user_asks_for_it(open_vault: Callable[..., Vault]) -> None:
    vault = open_vault("keyring", Weak())
    await vault.load([])
    assert await vault.put(A, KEY) == "keyring"


async def test_a_locked_keyring_means_the_file(open_vault: Callable[..., Vault], ring: FakeRing) -> None:
    def locked() -> None:
        raise KeyringLocked("locked")

    ring.before = locked
    vault = open_vault("auto", ring)
    await vault.load([])
    assert await vault.put(A, KEY) == "file"
    await vault.load([B])
    with pytest.raises(AuthenticationError, match="KeyringLocked"):
        vault.key_for(B)


async def test_a_keyring_that_loses_what_it_takes_is_not_trusted(
    open_vault: Callable[..., Vault], ring: FakeRing
) -> None:
    ring.get_password = lambda service, username: None  # type: ignore[method-assign]  # takes and forgets
    vault = open_vault("auto", ring)
    await vault.load([])
    assert await vault.put(A, KEY) == "file"


async def test_a_hanging_keyring_holds_nobody_up_and_is_heard_when_it_answers(
    open_vault: Callable[..., Vault], ring: FakeRing
) -> None:
    vault = open_vault("auto", ring)
    await vault.load([])
    await vault.put(A, KEY)
    gate = threading.Event()
    ring.before = lambda: (gate.wait(30), None)[1]
    again = open_vault("auto", ring, read_timeout_s=0.02, unlock_timeout_s=0.02)
    try:
        await again.load([A, B])
        with pytest.raises(AuthenticationError, match="did not answer"):
            again.key_for(A)
        assert await again.put(B, KEY) == "file"
    finally:
        gate.set()
    await until_async(lambda: A.id not in again.troubles)
    assert again.key_for(A) == KEY
    assert again.key_for(B) == KEY


async def test_a_keyring_that_fails_long_after_it_was_asked_leaves_a_tip(
    open_vault: Callable[..., Vault], ring: FakeRing
) -> None:
    gate = threading.Event()

    def late() -> None:
        gate.wait(30)
        raise KeyringLocked("locked")

    ring.before = late
    vault = open_vault("auto", ring, read_timeout_s=0.02)
    await vault.load([A])
    gate.set()
    await until_async(lambda: "not in the vault" in vault.troubles[A.id].message)


async def test_the_real_package_is_found_where_none_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring

    ring = FakeRing()
    monkeypatch.setattr(keyring, "get_keyring", lambda: ring)
    vault = Vault(tmp_path)
    await vault.load([])
    assert await vault.put(A, KEY) == "keyring"
    assert ring.held


# --- hygiene


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("sk-a b", "Character 5 of the key is a blank"),
        ("sk-a\nsk-b", "a control character"),
        ("sk-ключ", "no plain ASCII"),
        ("sk-\x7f", "no plain ASCII"),
        ("Bearer sk-abc", "name of a header"),
        ("x-api-key: sk-abc", "name of a header"),
        ("k" * 9000, "9000 characters"),
    ],
)
async def test_what_can_be_no_key_is_refused_without_being_shown(
    open_vault: Callable[..., Vault], typed: str, said: str
) -> None:
    vault = open_vault()
    await vault.load([])
    with pytest.raises(BadInputError) as caught:
        await vault.put(A, typed)
    assert said in caught.value.message
    shown = caught.value.message + str(caught.value.data())
    assert len(typed.strip()) < 4 or typed.strip() not in shown


@settings(deadline=None, max_examples=100)
@given(key=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200))
def test_every_key_of_plain_signs_is_taken_as_it_is(key: str) -> None:
    assert clean_key(f"\t{key}\r\n") == key


async def test_no_representation_shows_a_key(open_vault: Callable[..., Vault], ring: FakeRing) -> None:
    for backend in (None, ring):
        vault = open_vault("auto", backend)
        await vault.load([])
        await vault.put(A, KEY)
        for part in (vault, vault._file, vault._ring):
            assert KEY not in f"{part} {part!r} {part.__dict__!r}"
        assert "1 keys" in repr(vault)


async def test_each_caller_gets_an_error_of_its_own(open_vault: Callable[..., Vault]) -> None:
    vault = open_vault()
    await vault.load([A])
    errors = []
    for _ in range(2):
        with pytest.raises(AuthenticationError) as caught:
            vault.key_for(A)
        errors.append(caught.value)
        caught.value.tips = [*caught.value.tips, "more"]
    assert errors[0] is not errors[1]
    assert errors[1].tips.count("more") == 1
