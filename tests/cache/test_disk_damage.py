"""L2 when its files are damaged, the disk is full, or the daemon was killed."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from beastmode.cache import disk, disk_check, disk_keeper
from beastmode.cache.disk import DiskTier
from beastmode.cache.disk_check import UncheckedError, check_in_child
from beastmode.cache.disk_map import AwayError, Map
from support.answers import HeldClock, answer, key_of
from support.waiting import until_async

MB = 1 << 20
NAMES = [f"name {number}" for number in range(300)]


def text_of(name: str) -> str:
    return f"answer to {name}" + "." * (hash_of(name) % 5000)


def hash_of(name: str) -> int:
    return int.from_bytes(key_of(name)[:4], "big")


async def filled(folder: Path) -> None:
    """Makes a store with answers of many sizes and stops it cleanly."""
    tier = DiskTier(folder, 64 * MB, 3600, HeldClock())
    await tier.start()
    for name in NAMES:
        tier.put(answer(name, text_of(name)))
    assert await tier.wait_stored()
    tier.remove([key_of(name) for name in NAMES[:20]])
    assert await tier.wait_stored()
    await tier.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "l2"
    asyncio.run(filled(folder))
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A sound store of its own, stopped cleanly: the copies keep the time of change, but not the inode."""
    copy = tmp_path / "l2"
    shutil.copytree(whole, copy)
    return copy


async def serves_again(folder: Path) -> tuple[int, str]:
    """Opens a store, whatever it is like, and uses it.

    Returns:
        How many of the answers it still has, and its problem.
    """
    tier = DiskTier(folder, 64 * MB, 3600, HeldClock(), wait_s=20)
    await tier.start()
    tier.put(answer("fresh"))
    assert await tier.get(key_of("fresh"), 1001) == answer("fresh")
    found = 0
    for name in NAMES:
        entry = await tier.get(key_of(name), 1001)
        if entry is not None:
            assert entry.completion.text == text_of(name)
            found += 1
    assert tier.stats().ready
    assert await tier.wait_stored()
    assert await tier.get(key_of("fresh"), 1001) == answer("fresh")
    problem = tier.problem or ""
    await tier.close()
    return found, problem


def aside(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if ".damaged-" in path.name]


def data(folder: Path) -> Path:
    return folder / "store" / "data.mdb"


def overwrite(path: Path, at: int, what: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(what)


def cut_in_half(folder: Path) -> None:
    os.truncate(data(folder), data(folder).stat().st_size // 2)


def cut_within_a_page(folder: Path) -> None:
    os.truncate(data(folder), 5000)


def all_zeros(folder: Path) -> None:
    overwrite(data(folder), 0, bytes(data(folder).stat().st_size))


def zeros_behind_the_first_pages(folder: Path) -> None:
    overwrite(data(folder), 8192, bytes(data(folder).stat().st_size - 8192))


def no_database(folder: Path) -> None:
    data(folder).write_text("I was a database once.\n" * 1000)


def another_database(folder: Path) -> None:
    import lmdb

    shutil.rmtree(folder / "store")
    (folder / "store").mkdir()
    env = lmdb.open(str(folder / "store"), max_dbs=8)
    with env.begin(write=True) as txn:
        txn.put(b"meta", b"not a table of ours")
    env.close()


def a_folder_in_its_place(folder: Path) -> None:
    data(folder).unlink()
    data(folder).mkdir()


def a_file_in_the_place_of_the_store(folder: Path) -> None:
    shutil.rmtree(folder / "store")
    (folder / "store").write_text("?")


DAMAGES = [
    cut_in_half,
    cut_within_a_page,
    all_zeros,
    zeros_behind_the_first_pages,
    no_database,
    another_database,
    a_folder_in_its_place,
    a_file_in_the_place_of_the_store,
]


class TestDamagedFiles:
    @pytest.mark.parametrize("damage", DAMAGES)
    async def test_a_damaged_store_is_moved_aside_named_and_replaced(
        self, folder: Path, damage: Callable[[Path], None]
    ) -> None:
        damage(folder)
        found, problem = await serves_again(folder)
        assert found == 0
        moved = aside(folder)
        assert len(moved) == 1
        assert str(moved[0]) in problem
        found, problem = await serves_again(folder)
        assert problem == ""

    @pytest.mark.parametrize("damage", [lambda folder: data(folder).unlink(), lambda f: os.truncate(data(f), 0)])
    async def test_a_store_that_is_gone_is_replaced_and_named(
        self, folder: Path, damage: Callable[[Path], None]
    ) -> None:
        damage(folder)
        found, problem = await serves_again(folder)
        assert found == 0
        assert str(folder) in problem

    @pytest.mark.parametrize("seed", range(12))
    async def test_bits_that_flip_anywhere_crash_nothing_and_change_no_answer(self, folder: Path, seed: int) -> None:
        rng = random.Random(seed)
        whole = bytearray(data(folder).read_bytes())
        for _ in range(1 + seed * 4):
            whole[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        data(folder).write_bytes(whole)
        await serves_again(folder)

    async def test_a_flipped_bit_inside_an_answer_drops_that_answer_alone(self, folder: Path) -> None:
        whole = data(folder).read_bytes()
        at = whole.rindex(b"answer to name 200.")
        overwrite(data(folder), at, b"b")
        found, problem = await serves_again(folder)
        assert found == len(NAMES) - 20 - 1
        assert aside(folder) == []
        assert "checksum" in problem
        found, problem = await serves_again(folder)
        assert problem == ""

    @pytest.mark.parametrize("content", [b"", b"\0" * 100_000, b"garbage", None])
    @pytest.mark.parametrize("file", ["store/lock.mdb", "store.json"])
    async def test_the_small_files_beside_it_do_not_matter(
        self, folder: Path, file: str, content: bytes | None
    ) -> None:
        if content is None:
            (folder / file).unlink()
        else:
            (folder / file).write_bytes(content)
        found, problem = await serves_again(folder)
        assert found == len(NAMES) - 20
        assert problem == ""

    async def test_a_mark_with_odd_content_is_no_mark(self, folder: Path) -> None:
        for odd in ("[]", '{"schema": "x", "clean": 5}', '{"schema": null}', "[" * 100_000):
            (folder / "store.json").write_text(odd)
            found, problem = await serves_again(folder)
            assert found == len(NAMES) - 20
            assert problem == ""

    async def test_a_damaged_journal_is_set_aside_and_named(self, folder: Path) -> None:
        (folder / "answers-00000001.journal").write_bytes(b"garbage" * 100)
        found, problem = await serves_again(folder)
        assert found == len(NAMES) - 20
        assert "answers-00000001.journal" in problem

    async def test_a_frame_of_another_version_in_the_journal_is_passed_over(self, folder: Path) -> None:
        from beastmode.cache.disk_tables import remove_operation
        from beastmode.core.segments import frame

        payloads = [b"zoo", remove_operation([key_of(NAMES[50])]), b"p"]
        (folder / "answers-00000001.journal").write_bytes(b"".join(map(frame, payloads)))
        found, problem = await serves_again(folder)
        assert found == len(NAMES) - 21
        assert "answers-00000001.journal" in problem


async def no_read_runs(tier: DiskTier) -> None:
    """A map that is cut off in the very moment it is read ends the process; the next start finds the damage."""
    await until_async(lambda: not tier.maybe(key_of("never stored")) and tier.stats().waiting == 0)


class TestDamageWhileItRuns:
    @pytest.mark.parametrize("damage", [cut_in_half, all_zeros, lambda folder: data(folder).unlink()])
    async def test_a_file_that_is_damaged_under_a_running_daemon_is_replaced(
        self, folder: Path, damage: Callable[[Path], None]
    ) -> None:
        tier = DiskTier(folder, 64 * MB, 3600, HeldClock(), wait_s=20)
        await tier.start()
        assert await tier.get(key_of(NAMES[100]), 1001) is not None
        await no_read_runs(tier)
        damage(folder)
        for name in NAMES:
            assert await tier.get(key_of(name), 1001) is None
        tier.put(answer("fresh"))
        assert await tier.wait_stored()
        assert await tier.get(key_of("fresh"), 1001) == answer("fresh")
        await tier.close()

    async def test_the_writer_notices_it_too_and_loses_nothing(self, folder: Path) -> None:
        tier = DiskTier(folder, 64 * MB, 3600, HeldClock(), wait_s=20)
        await tier.start()
        await no_read_runs(tier)
        cut_within_a_page(folder)
        tier.put(answer("fresh"))
        await until_async(lambda: tier.stats().ready and tier.stats().waiting == 0)
        assert len(aside(folder)) == 1
        assert tier.stats().entries == 1
        assert await tier.get(key_of("fresh"), 1001) == answer("fresh")
        await tier.close()

    async def test_a_file_that_is_cut_short_is_noticed_where_other_changes_are_no_longer_looked_for(
        self, folder: Path
    ) -> None:
        tier = DiskTier(folder, 64 * MB, 3600, HeldClock(), wait_s=20)
        await tier.start()
        await no_read_runs(tier)
        tier._store.map.watch = False
        cut_in_half(folder)
        assert await tier.get(key_of(NAMES[100]), 1001) is None
        assert len(aside(folder)) == 1
        await tier.close()

    def test_a_file_that_is_cut_short_during_a_commit_is_read_neither_then_nor_later(self, folder: Path) -> None:
        map_ = Map(folder / "store")
        map_.open(64 * MB, lambda env, txn: None)

        def cut(txn: object) -> None:
            cut_in_half(folder)
            with pytest.raises(AwayError), map_.reading():
                pass
            raise LookupError  # so that nothing is written to what is left

        with pytest.raises(LookupError):
            map_.commit(cut)
        with pytest.raises(AwayError), map_.reading():
            pass
        assert map_.close() is None

    async def test_a_lock_file_that_was_cut_is_mended(self, folder: Path) -> None:
        tier = DiskTier(folder, 64 * MB, 3600, HeldClock(), wait_s=20)
        await tier.start()
        await no_read_runs(tier)
        os.truncate(folder / "store" / "lock.mdb", 0)
        os.utime(data(folder))
        assert await tier.get(key_of(NAMES[100]), 1001) is not None
        assert aside(folder) == []
        await tier.close()

    async def test_a_file_system_with_odd_times_of_change_is_not_checked_for_ever(self, folder: Path) -> None:
        tier = DiskTier(folder, 64 * MB, 3600, HeldClock(), wait_s=20)
        await tier.start()
        for second in range(200):
            os.utime(data(folder), (second, second))
            assert await tier.get(key_of(NAMES[100]), 1001) is not None
            if not tier._store.map.watch:
                break
            await asyncio.sleep(0.05)  # a write of the tier's own, such as when it was used last, may hide a change
        assert not tier._store.map.watch
        await tier.close()


class TestTheCheck:
    async def test_lookups_miss_and_puts_are_taken_while_it_runs(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go_on = threading.Event()

        def slow(*_: object) -> None:
            assert go_on.wait(20)

        monkeypatch.setattr(disk_keeper, "check_in_child", slow)
        tier = DiskTier(folder, 64 * MB, 3600, HeldClock(), wait_s=0)
        (folder / "store.json").unlink()
        await tier.start()
        tier.put(answer("fresh"))
        assert await tier.get(key_of("fresh"), 1001) == answer("fresh")
        assert await tier.get(key_of(NAMES[100]), 1001) is None
        assert not tier.stats().ready
        assert tier.problem is None
        go_on.set()
        await until_async(lambda: tier.stats().ready and tier.stats().waiting == 0)
        assert await tier.get(key_of(NAMES[100]), 1001) is not None
        await tier.close()

    async def test_a_daemon_that_stops_during_it_loses_nothing(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(disk_keeper, "check_in_child", _checks_until_stopped)
        monkeypatch.setattr(disk, "CLOSE_WAIT_S", 0.05)
        (folder / "store.json").unlink()
        tier = DiskTier(folder, 64 * MB, 3600, HeldClock(), wait_s=0)
        await tier.start()
        tier.put(answer("fresh"))
        await tier.close()
        monkeypatch.undo()
        tier = DiskTier(folder, 64 * MB, 3600, HeldClock(), wait_s=20)
        await tier.start()
        assert await tier.get(key_of("fresh"), 1001) == answer("fresh")
        assert await tier.get(key_of(NAMES[100]), 1001) is not None
        await tier.close()

    async def test_a_stop_waits_a_little_for_it_so_that_the_journal_is_emptied(self, folder: Path) -> None:
        (folder / "store.json").unlink()
        tier = DiskTier(folder, 64 * MB, 3600, HeldClock(), wait_s=0)
        await tier.start()
        tier.put(answer("fresh"))
        await tier.close()
        assert list(folder.glob("*.journal")) == []

    async def test_a_check_that_can_not_be_made_is_named_and_made_again(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(disk_keeper, "RETRY_S", 0.01)
        tries = []

        def fails_twice(folder: Path, stop: threading.Event, timeout_s: float) -> str | None:
            tries.append(tier.problem)
            if len(tries) < 3:
                raise UncheckedError("no process could be started")
            return None

        monkeypatch.setattr(disk_keeper, "check_in_child", fails_twice)
        (folder / "store.json").unlink()
        tier = DiskTier(folder, 64 * MB, 3600, HeldClock(), wait_s=20)
        await tier.start()
        assert await tier.get(key_of(NAMES[100]), 1001) is not None
        assert "no process could be started" in (tries[2] or "")
        assert tier.problem is None
        assert aside(folder) == []
        await tier.close()

    def test_a_child_that_was_ended_by_someone_says_nothing_about_the_store(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", _program(folder, "kill -9 $$"))
        with pytest.raises(UncheckedError, match="signal 9"):
            check_in_child(folder, threading.Event(), 20)
        monkeypatch.setattr(sys, "executable", str(folder / "nothing here"))
        with pytest.raises(UncheckedError):
            check_in_child(folder, threading.Event(), 20)

    def test_a_child_that_crashes_or_takes_too_long_means_damage(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", _program(folder, "kill -SEGV $$"))
        assert check_in_child(folder, threading.Event(), 20) is not None
        monkeypatch.setattr(sys, "executable", _program(folder, "exec sleep 100"))
        assert "within" in (check_in_child(folder, threading.Event(), 0.1) or "")
        stop = threading.Event()
        stop.set()
        with pytest.raises(UncheckedError):
            check_in_child(folder, stop, 20)

    def test_it_says_what_is_wrong(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert disk_check.main(str(folder / "store")) == 0
        assert capsys.readouterr().out == ""
        zeros_behind_the_first_pages(folder)
        assert disk_check.main(str(folder / "store")) == 1
        assert capsys.readouterr().out


def _checks_until_stopped(folder: Path, stop: threading.Event, timeout_s: float) -> None:
    assert stop.wait(20)
    raise UncheckedError("the daemon stops")


def _program(folder: Path, line: str) -> str:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o700)
    return str(path)


def child(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Starts a program that has a store of its own."""
    begin = """
    import asyncio, resource, sys, time
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from beastmode.cache.disk import DiskTier
    from beastmode.core.clock import Clock
    from support.answers import answer, key_of
    """
    tests = Path(__file__).parent.parent
    command = [sys.executable, "-c", textwrap.dedent(begin) + textwrap.dedent(script), str(tests)]
    return subprocess.Popen([*command, *map(str, arguments)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


WRITES_FOR_EVER = """
async def main():
    tier = DiskTier(Path(sys.argv[2]), 1 << 26, 1e6, Clock())
    await tier.start()
    count = int(sys.argv[3])
    while True:
        for _ in range(20):
            tier.put(answer(count, "x" * (count % 3000), at_s=time.time()))
            count += 1
        print(count, flush=True)
        await asyncio.sleep(0.001)
asyncio.run(main())
"""


async def test_every_acknowledged_answer_is_there_after_a_kill(tmp_path: Path) -> None:
    rng = random.Random(3)
    count = 0
    for round_ in range(6):
        writer = child(WRITES_FOR_EVER, tmp_path, count)
        first = int(writer.stdout.readline())
        assert first >= count
        time.sleep(rng.random() * 0.4)
        writer.send_signal(signal.SIGKILL)
        lines = writer.stdout.read().splitlines(keepends=True)
        count = max([first, *(int(line) for line in lines if line.endswith("\n"))])
        writer.wait()
        writer.stdout.close()
        writer.stdin.close()
        if round_ % 2:
            continue  # killed twice in a row
        tier = DiskTier(tmp_path, 64 * MB, 1e6, HeldClock(time.time()), wait_s=20)
        await tier.start()
        for number in range(count):
            entry = await tier.get(key_of(number), time.time())
            assert entry is not None, f"{number} of {count} is lost"
            assert entry.completion.text == "x" * (number % 3000)
        assert tier.problem is None
        await tier.close()
    assert disk_check.check(tmp_path / "store") is None
    assert aside(tmp_path) == []


FULL_DISK = """
async def main():
    limit = 600_000
    tier = DiskTier(Path(sys.argv[2]), 1 << 26, 1e6, Clock())
    await tier.start()
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for count in range(2000):
        tier.put(answer(count, "x" * 1000, at_s=time.time()))
        if count % 50 == 0:
            await asyncio.sleep(0.01)
    while not tier.problem:
        await asyncio.sleep(0.01)
    print(tier.problem, flush=True)
    assert await tier.get(key_of(1999), time.time()) is not None
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    while tier.problem or tier.stats().waiting:
        await asyncio.sleep(0.01)
    for count in range(2000):
        assert await tier.get(key_of(count), time.time()) is not None, count
    await tier.close()
    print("healed", flush=True)
asyncio.run(main())
"""


def test_a_full_disk_stops_nobody_is_named_and_heals(tmp_path: Path) -> None:
    writer = child(FULL_DISK, tmp_path)
    out, _ = writer.communicate(timeout=60)
    assert writer.returncode == 0
    assert "answers" in out
    assert out.endswith("healed\n")
    assert disk_check.check(tmp_path / "store") is None
