"""The journal: what was acknowledged survives a kill, a full disk and a failing store."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.journal import Journal
from beastmode.core.segments import frame, read_frames

payloads = st.lists(st.binary(min_size=1, max_size=40), max_size=12)


def until(true: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Polls until something is so."""
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


class Store:
    """A store that can be told to fail."""

    def __init__(self) -> None:
        self.items: list[bytes] = []
        self.failing: Exception | None = None
        self.calls = 0

    def apply(self, batch: list[bytes]) -> None:
        self.calls += 1
        if self.failing:
            raise self.failing
        self.items += batch


def journal(folder: Path, store: Store, **options: float) -> Journal[bytes]:
    return Journal(folder, "rows", store.apply, bytes, **{"interval_s": 0.005, **options})  # type: ignore[arg-type]


def segments(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestFrames:
    @settings(deadline=None, max_examples=60)
    @given(payloads)
    def test_what_was_framed_is_read_back(self, given: list[bytes]) -> None:
        assert read_frames(b"".join(map(frame, given))) == (given, False)

    @settings(deadline=None, max_examples=100)
    @given(payloads, st.data())
    def test_a_cut_at_any_byte_loses_only_the_tail_and_is_no_damage(
        self, given: list[bytes], data: st.DataObject
    ) -> None:
        whole = b"".join(map(frame, given))
        cut = data.draw(st.integers(0, len(whole)))
        kept, size = [], 0
        for payload in given:
            size += len(frame(payload))
            if size <= cut:
                kept.append(payload)
        assert read_frames(whole[:cut]) == (kept, False)

    @settings(deadline=None, max_examples=100)
    @given(payloads.filter(bool), st.data())
    def test_a_flipped_bit_loses_one_frame_at_most(self, given: list[bytes], data: st.DataObject) -> None:
        whole = bytearray(b"".join(map(frame, given)))
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        read = read_frames(bytes(whole))
        assert len(read.payloads) == len(given) - 1
        assert all(payload in given for payload in read.payloads)

    def test_a_change_inside_is_damage(self) -> None:
        whole = bytearray(frame(b"one") + frame(b"two") + frame(b"three"))
        whole[14] ^= 1
        assert read_frames(bytes(whole)) == ([b"two", b"three"], True)
        whole = bytearray(frame(b"one") + frame(b"two"))
        whole[-1] ^= 1
        assert read_frames(bytes(whole)) == ([b"one"], True)

    def test_zeros_at_the_end_are_a_torn_tail(self) -> None:
        assert read_frames(frame(b"one") + bytes(100)) == ([b"one"], False)
        assert read_frames(frame(b"one") + bytes(5)) == ([b"one"], False)

    @settings(deadline=None, max_examples=100)
    @given(st.binary(max_size=400))
    def test_any_bytes_are_read_without_an_exception(self, data: bytes) -> None:
        read_frames(data)
        read_frames(frame(b"one") + data)

    def test_text_can_not_smuggle_a_frame_in(self) -> None:
        inner = frame(b"forged").decode("latin-1").encode()
        assert read_frames(frame(b"x" * 9 + inner)[:-1]) == ([], False)


class TestJournal:
    def test_items_reach_the_store_in_order_and_no_file_is_left(self, tmp_path: Path) -> None:
        store = Store()
        log = journal(tmp_path / "journal", store)
        log.start()
        given = [b"%d" % n for n in range(5000)]
        for item in given:
            log.append(item, item)
        assert log.flush()
        assert store.items == given
        assert log.problem is None
        log.close()
        assert segments(tmp_path / "journal") == []

    def test_files_are_private(self, tmp_path: Path) -> None:
        log = journal(tmp_path / "journal", Store())
        log.start()
        (path,) = (tmp_path / "journal").iterdir()
        assert path.stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
        log.close()

    def test_items_are_stored_without_being_asked_for(self, tmp_path: Path) -> None:
        store = Store()
        log = journal(tmp_path, store)
        log.start()
        for n in range(3):
            log.append(b"%d" % n, b"%d" % n)
            until(lambda n=n: len(store.items) == n + 1)  # type: ignore[misc]
        log.close()

    def test_segments_do_not_pile_up_while_all_is_well(self, tmp_path: Path) -> None:
        store = Store()
        log = journal(tmp_path, store)
        log.start()
        for n in range(20):
            log.append(b"%d" % n, b"%d" % n)
            assert log.flush()
        until(lambda: len(segments(tmp_path)) == 1)
        log.close()

    async def test_the_loop_can_wait_for_the_store(self, tmp_path: Path) -> None:
        store = Store()
        log = journal(tmp_path, store, interval_s=30.0)
        log.start()
        assert await log.wait_applied()
        log.append(b"one", b"one")
        assert await log.wait_applied()
        assert store.items == [b"one"]
        log.close()

    def test_closing_stores_what_was_handed_over_last(self, tmp_path: Path) -> None:
        store = Store()
        log = journal(tmp_path, store, interval_s=30.0)
        log.start()
        log.append(b"last", b"last")
        log.close()
        assert store.items == [b"last"]


class TestLeftovers:
    def test_what_a_killed_daemon_left_is_stored_at_the_start(self, tmp_path: Path) -> None:
        (tmp_path / "rows-00000002.journal").write_bytes(frame(b"c"))
        (tmp_path / "rows-00000001.journal").write_bytes(frame(b"a") + frame(b"b") + frame(b"torn")[:-2])
        (tmp_path / "other-00000001.journal").write_bytes(frame(b"x"))
        store = Store()
        log = journal(tmp_path, store)
        assert list(log.replay()) == [b"a", b"b", b"c"]
        log.start()
        assert store.items == [b"a", b"b", b"c"]
        assert log.problem is None
        log.close()
        assert segments(tmp_path) == ["other-00000001.journal"]

    def test_a_damaged_segment_is_kept_aside_named_and_its_good_records_are_stored(self, tmp_path: Path) -> None:
        data = bytearray(frame(b"a") + frame(b"b") + frame(b"c"))
        data[13 + 12] ^= 255
        (tmp_path / "rows-00000001.journal").write_bytes(data)
        (tmp_path / "rows-00000002.journal").write_bytes(frame(b"d"))
        store = Store()
        log = journal(tmp_path, store)
        log.start()
        assert store.items == [b"a", b"c", b"d"]
        assert "rows-00000001.journal.damaged" in (log.problem or "")
        log.close()
        assert (tmp_path / "rows-00000001.journal.damaged").read_bytes() == data

    def test_a_damaged_segment_of_an_earlier_run_is_never_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / "rows-00000001.journal.damaged").write_bytes(b"old")
        log = journal(tmp_path, Store())
        log.start()
        assert "rows-00000002.journal" in segments(tmp_path)
        log.close()
        assert (tmp_path / "rows-00000001.journal.damaged").read_bytes() == b"old"

    def test_a_record_that_can_not_be_decoded_is_kept_aside(self, tmp_path: Path) -> None:
        (tmp_path / "rows-00000001.journal").write_bytes(frame(b"7") + frame(b"seven"))
        got: list[int] = []
        log = Journal(tmp_path, "rows", got.extend, int)
        log.start()
        assert got == [7]
        assert "damaged" in (log.problem or "")
        log.close()

    def test_a_segment_that_can_not_be_read_does_not_hold_up_the_others(self, tmp_path: Path) -> None:
        (tmp_path / "rows-00000001.journal").mkdir()
        (tmp_path / "rows-00000002.journal").write_bytes(frame(b"b"))
        store = Store()
        log = journal(tmp_path, store)
        log.start()
        assert store.items == [b"b"]
        assert "rows-00000001.journal.damaged" in (log.problem or "")
        log.close()

    def test_a_store_that_fails_at_the_start_gets_the_records_later(self, tmp_path: Path) -> None:
        (tmp_path / "rows-00000001.journal").write_bytes(frame(b"a"))
        store = Store()
        store.failing = OSError(errno.ENOSPC, "No space left on device")
        log = journal(tmp_path, store)
        log.start()
        log.append(b"b", b"b")
        assert "No space left on device" in (log.problem or "")
        store.failing = None
        until(lambda: store.items == [b"a", b"b"])
        until(lambda: log.problem is None)
        log.close()


class TestTrouble:
    def test_a_failing_store_loses_nothing_and_heals(self, tmp_path: Path) -> None:
        store = Store()
        store.failing = RuntimeError("database is locked")
        log = journal(tmp_path, store)
        log.start()
        log.append(b"a", b"a")
        assert log.flush() is False
        assert "database is locked" in (log.problem or "")
        log.append(b"b", b"b")
        store.failing = None
        assert log.flush() or log.flush()
        assert store.items == [b"a", b"b"]
        assert log.problem is None
        log.close()

    def test_what_a_failing_store_refused_is_on_disk_after_closing(self, tmp_path: Path) -> None:
        store = Store()
        store.failing = RuntimeError("away")
        log = journal(tmp_path, store)
        log.start()
        log.append(b"a", b"a")
        log.flush()
        log.append(b"b", b"b")
        log.close()
        again = Store()
        log = journal(tmp_path, again)
        log.start()
        assert again.items == [b"a", b"b"]
        log.close()

    def test_memory_is_bounded_while_the_store_fails(self, tmp_path: Path) -> None:
        store = Store()
        store.failing = RuntimeError("away")
        log = journal(tmp_path, store, memory_max_bytes=100_000)
        log.start()
        given = [b"%06d" % n + bytes(2000) for n in range(2000)]
        for n, item in enumerate(given):
            log.append(item, item)
            if n % 500 == 499:
                log.flush()
        store.failing = None
        until(lambda: len(store.items) >= len(given))
        assert store.items == given
        assert "lost" not in (log.problem or "")
        log.close()

    def test_a_full_disk_raises_nothing_and_the_store_still_gets_the_item(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = Store()
        log = journal(tmp_path, store)
        log.start()
        real = os.write

        def full(fd: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        log.append(b"a", b"a")
        assert "No space left on device" in (log.problem or "")
        monkeypatch.setattr(os, "write", real)
        assert log.flush()
        assert store.items == [b"a"]
        until(lambda: log.problem is None)
        log.append(b"b", b"b")
        assert log.flush()
        assert log.problem is None
        log.close()

    def test_half_a_frame_does_not_spoil_the_frames_after_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = Store()
        log = journal(tmp_path, store, interval_s=30.0)
        log.start()
        real = os.write
        log.append(b"a", b"a")
        monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))
        log.append(b"b", b"b")
        assert "7 of 13 bytes" in (log.problem or "")
        monkeypatch.setattr(os, "write", real)
        log.append(b"c", b"c")
        assert list(log.replay()) == [b"a", b"c"]
        log.close()
        assert store.items == [b"a", b"b", b"c"]

    def test_a_segment_that_can_not_be_mended_is_left_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = Store()
        log = journal(tmp_path, store, interval_s=30.0)
        log.start()
        real_write, real_truncate = os.write, os.ftruncate

        def broken(fd: int, size: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        log.append(b"a", b"a")
        monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, data[:7]))
        monkeypatch.setattr(os, "ftruncate", broken)
        log.append(b"b", b"b")
        monkeypatch.setattr(os, "write", real_write)
        monkeypatch.setattr(os, "ftruncate", real_truncate)
        log.append(b"c", b"c")
        assert list(log.replay()) == [b"a"]
        assert log.flush()
        log.append(b"d", b"d")
        assert list(log.replay()) == [b"d"]
        assert log.flush()
        assert log.problem is None
        log.close()
        assert store.items == [b"a", b"b", b"c", b"d"]

    def test_without_a_descriptor_for_the_next_segment_the_old_one_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = Store()
        log = journal(tmp_path, store)
        log.start()
        real = os.open

        def none_left(*args: object) -> int:
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr(os, "open", none_left)
        log.append(b"a", b"a")
        assert log.flush()
        assert "Too many open files" in (log.problem or "")
        log.append(b"b", b"b")
        assert log.flush()
        assert list(log.replay()) == [b"a", b"b"]
        monkeypatch.setattr(os, "open", real)
        log.append(b"c", b"c")
        assert log.flush()
        assert store.items == [b"a", b"b", b"c"]
        until(lambda: list(log.replay()) == [])
        assert log.problem is None
        log.close()

    def test_items_of_a_segment_still_open_come_back_from_it_when_memory_was_short(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = Store()
        store.failing = RuntimeError("away")
        log = journal(tmp_path, store, memory_max_bytes=10)
        log.start()
        real = os.open

        def none_left(*args: object) -> int:
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr(os, "open", none_left)
        log.append(b"a" * 50, b"a" * 50)
        log.flush()
        monkeypatch.setattr(os, "open", real)
        log.append(b"b" * 50, b"b" * 50)
        store.failing = None
        until(lambda: store.items == [b"a" * 50, b"b" * 50])
        log.close()

    def test_the_problem_goes_when_the_disk_takes_bytes_again_even_if_nobody_writes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = Store()
        log = journal(tmp_path, store)
        log.start()
        full = threading.Event()
        full.set()
        real_write, real_bytes = os.write, Path.write_bytes

        def refuse() -> None:
            if full.is_set():
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "write", lambda fd, data: (refuse(), real_write(fd, data))[1])
        monkeypatch.setattr(Path, "write_bytes", lambda path, data: (refuse(), real_bytes(path, data))[1])
        log.append(b"a", b"a")
        assert log.flush()
        assert log.problem is not None
        log._hurry_up()
        time.sleep(0.05)
        assert "No space left" in (log.problem or "")
        full.clear()
        log._hurry_up()
        until(lambda: log.problem is None)
        log.close()


CHILD = """
    import sys
    from pathlib import Path
    from beastmode.core.journal import Journal

    folder = Path(sys.argv[1])
    def apply(batch):
        with open(folder / "store", "ab", buffering=0) as out:
            out.write(b"".join(b"%d\\n" % n for n in batch))
    log = Journal(folder, "rows", apply, int, interval_s=0.01)
    log.start()
    for n in range(int(sys.argv[2]), 10**9):
        log.append(b"%d" % n, n)
        sys.stdout.write("%d\\n" % n)
        sys.stdout.flush()
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    chance = random.Random(7)
    acknowledged, first = 0, 0
    for _ in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CHILD), str(tmp_path), str(first)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        last = int(child.stdout.readline())
        end = time.monotonic() + chance.uniform(0.0, 0.15)
        while time.monotonic() < end:
            last = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read()
        lines = rest[: rest.rfind(b"\n") + 1].split()
        acknowledged = int(lines[-1]) if lines else last
        child.stdout.close()
        child.wait()
        stored = (
            {int(line) for line in (tmp_path / "store").read_bytes().split()}
            if (tmp_path / "store").exists()
            else set()
        )
        stored |= {int(payload) for payload in Journal(tmp_path, "rows", list, int).replay()}
        assert set(range(acknowledged + 1)) <= stored
        first = acknowledged + 1
