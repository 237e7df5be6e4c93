"""One mechanism for what must survive a kill: framed appends now, a durable transaction shortly after, off the path.

A frame is `magic | length | crc32(payload, seeded with the length) | payload`. Once `append` has returned, the frame is
with the kernel and a kill -9 can not lose it; a power cut may lose what no transaction has taken yet (about 100 ms).
"""

from __future__ import annotations

import asyncio
import os
import re
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar
from zlib import crc32

T = TypeVar("T")

MAGIC = b"\xff\xbe\xa5\x01"  # never part of UTF-8 text, so that no prompt or answer can look like a frame
_HEADER = struct.Struct("<4sII")
_pack = _HEADER.pack
RETRY_MAX_S = 2.0


class Frames(NamedTuple):
    """What a segment holds.

    Attributes:
        payloads: Every frame whose checksum is right, in order.
        damaged: Bytes were changed inside it; a tail that was cut off is no damage.
    """

    payloads: list[bytes]
    damaged: bool


def frame(payload: bytes) -> bytes:
    """Wraps a payload so that a reader can tell whether it is whole.

    Args:
        payload: At least one byte.
    """
    length = len(payload)
    return _pack(MAGIC, length, crc32(payload, length)) + payload


def read_frames(data: bytes) -> Frames:
    """Reads a segment; never raises, whatever the bytes are.

    Args:
        data: The segment's bytes.
    """
    payloads: list[bytes] = []
    at, damaged = 0, False
    while at < len(data):
        payload = _payload_at(data, at)
        if payload is not None:
            payloads.append(payload)
            at += _HEADER.size + len(payload)
            continue
        following = _next_frame(data, at + 1)
        if following is None:
            return Frames(payloads, damaged or not _is_cut_off(data, at))
        at, damaged = following, True
    return Frames(payloads, damaged)


def _payload_at(data: bytes, at: int) -> bytes | None:
    """The payload of a whole frame at this offset, or None."""
    start = at + _HEADER.size
    if start > len(data):
        return None
    magic, length, checksum = _HEADER.unpack_from(data, at)
    payload = data[start : start + length]
    whole = magic == MAGIC and 0 < length == len(payload) and crc32(payload, length) == checksum
    return payload if whole else None


def _next_frame(data: bytes, at: int) -> int | None:
    at = data.find(MAGIC, at)
    while at >= 0:
        if _payload_at(data, at) is not None:
            return at
        at = data.find(MAGIC, at + 1)
    return None


def _is_cut_off(data: bytes, at: int) -> bool:
    """Whether the rest is the beginning of a frame (a write that a crash cut off) or nothing but zeros."""
    rest = data[at:]
    if len(rest) < _HEADER.size:
        return MAGIC.startswith(rest[:4]) or not any(rest)
    magic, length, _ = _HEADER.unpack_from(rest)
    return (magic == MAGIC and length > len(rest) - _HEADER.size) or not any(rest)


class _Segment:
    """One file of frames. Only whole frames stay in it: what a full disk cut short is taken back at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.size_bytes = os.fstat(self.fd).st_size
        self.broken = False

    def write(self, data: bytes) -> None:
        """Appends one frame, or nothing.

        Raises:
            OSError: The disk is full, a limit is reached, the device is away.
        """
        if self.broken:
            raise OSError(f"{self.path} can not be written any more")
        done = os.write(self.fd, data)
        if done == len(data):
            self.size_bytes += done
            return
        self.take_back()
        raise OSError(f"{self.path}: {done} of {len(data)} bytes were taken; the disk is full")

    def take_back(self) -> None:
        """Removes half a frame, which would hide the frames after it."""
        try:
            os.ftruncate(self.fd, self.size_bytes)
        except OSError:
            self.broken = True

    def close(self) -> None:
        """Gives the descriptor back."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class _Batch(Generic[T]):
    """Items that go into one transaction, and the segment that goes when they are in.

    Attributes:
        items: The items; None: they are to be read from the segment.
        count: How many.
        path: The segment, or None where its file goes on being written.
        unwritten: Items that are in no segment because the disk refused them.
    """

    __slots__ = ("count", "items", "path", "size_bytes", "unwritten")

    def __init__(self, items: list[T] | None, count: int, path: Path | None, size_bytes: int, unwritten: int) -> None:
        self.items = items
        self.count = count
        self.path = path
        self.size_bytes = size_bytes
        self.unwritten = unwritten


class Journal(Generic[T]):
    """Takes items on the event loop in about a microsecond and has them applied durably by a thread.

    `append` is called on one thread only (the event loop's). `apply` runs on the writer thread (and, for what a killed
    daemon left behind, once on the thread that calls `start`); it must be idempotent, since an item may come twice.

    Args:
        folder: Where the segments `NAME-00000001.journal` are.
        name: Letters, digits, `-` and `_`.
        apply: Stores a batch durably; whatever it raises, the batch is kept and tried again.
        decode: Makes an item from a payload of an earlier run.
        interval_s: Items gather for this long before they are applied.
        memory_max_bytes: Beyond it, items that wait for a store that fails are kept on disk only.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        apply: Callable[[list[T]], None],
        decode: Callable[[bytes], T],
        *,
        interval_s: float = 0.05,
        memory_max_bytes: int = 64 << 20,
    ) -> None:
        self._folder = folder
        self._name = name
        self._apply = apply
        self._decode = decode
        self._interval_s = interval_s
        self._memory_max_bytes = memory_max_bytes

        self._lock = threading.Lock()  # guards the five fields below; held for a write or a swap, never for a commit
        self._segment: _Segment | None = None
        self._items: list[T] = []
        self._items_bytes = 0
        self._unwritten = 0
        self._taken = 0

        self._number = 0
        self._backlog: deque[_Batch[T]] = deque()
        self._reread_segment = False
        self._applied = 0
        self._failures = 0
        self._done = threading.Condition()
        self._wake = threading.Event()
        self._asleep = True
        self._hurry = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

        self.lost = 0
        self._write_problem: str | None = None
        self._apply_problem: str | None = None
        self._damaged: list[str] = []

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Applies what an earlier run left behind, then takes new items. Blocks; call it before serving."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._leftovers():
            self._number = _number_of(path)
            self._backlog.append(_Batch(None, 0, path, 0, 0))
        self._segment = self._open_next()
        self._work_off()
        self._thread = threading.Thread(target=self._run, name=f"journal-{self._name}", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float = 10.0) -> None:
        """Applies what is left and ends the thread; what could not be applied stays on disk for the next start.

        Args:
            timeout_s: Longest wait.
        """
        self._stopping = True
        self._hurry.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None
        with self._lock:
            segment, self._segment = self._segment, None
            left = bool(self._items) or bool(self._backlog)
        if segment is not None:
            segment.close()
            if not left:
                segment.path.unlink(missing_ok=True)

    def replay(self) -> Iterator[bytes]:
        """Reads every payload that is on disk now, in order, and changes nothing."""
        for path in self._leftovers():
            yield from read_frames(path.read_bytes()).payloads

    @property
    def problem(self) -> str | None:
        """What is wrong in one or more sentences, or None; heals by itself where the disk does."""
        said = [self._write_problem, self._apply_problem, *self._damaged]
        if self.lost:
            said.append(f"{self.lost} records of '{self._name}' were lost while the disk refused them.")
        return " ".join(one for one in said if one) or None

    # -- the event loop's side -----------------------------------------------------------------------------------

    def append(self, payload: bytes, item: T) -> None:
        """Hands an item over; when this returns, a kill -9 can not lose it.

        Raises nothing for a disk that refuses: the item is applied all the same, and `problem` says so.

        Args:
            payload: The item as bytes, not empty.
            item: What `apply` gets.
        """
        length = len(payload)
        data = _pack(MAGIC, length, crc32(payload, length)) + payload
        with self._lock:
            try:
                self._segment.write(data)  # type: ignore[union-attr]  # without a segment it is an AttributeError
            except (OSError, AttributeError) as error:
                self._unwritten += 1
                self._write_problem = f"The journal of '{self._name}' in {self._folder} can not be written: {error}."
            self._items.append(item)
            self._items_bytes += length
        if self._asleep:
            self._asleep = False
            self._wake.set()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Waits until everything handed over so far is applied. Blocks; from the loop use `wait_applied`.

        Args:
            timeout_s: Longest wait.

        Returns:
            False where the store failed or the time was up.
        """
        with self._lock:
            target = self._taken + len(self._items)
        with self._done:
            if self._applied >= target:
                return True
            failures = self._failures
            self._hurry.set()
            self._wake.set()
            self._done.wait_for(lambda: self._applied >= target or self._failures > failures, timeout_s)
            return self._applied >= target

    async def wait_applied(self, timeout_s: float = 5.0) -> bool:
        """Waits until everything handed over so far is applied, without holding up the loop.

        Args:
            timeout_s: Longest wait.

        Returns:
            False where the store failed or the time was up.
        """
        if self._applied >= self._taken + len(self._items):
            return True
        return await asyncio.to_thread(self.flush, timeout_s)

    # -- the writer thread's side --------------------------------------------------------------------------------

    def _run(self) -> None:
        pause_s = self._interval_s
        while True:
            if not self._backlog:
                self._wake.wait()
            self._hurry.wait(0 if self._stopping else pause_s)
            self._hurry.clear()
            self._wake.clear()
            self._asleep = True
            ending = self._stopping
            pause_s = self._interval_s if self._take_and_apply() else min(pause_s * 2, RETRY_MAX_S)
            if ending:
                return

    def _take_and_apply(self) -> bool:
        """One round of work; True where nothing that was there before it is left."""
        if not self._work_off():
            self._take()
            self._bound_memory()
            return False
        self._take()
        return self._work_off()

    def _take(self) -> None:
        """Moves what was handed over into the backlog, together with the segment it is in."""
        if not self._items:
            return
        following = self._open_next()
        with self._lock:
            items, self._items = self._items, []
            size_bytes, self._items_bytes = self._items_bytes, 0
            unwritten, self._unwritten = self._unwritten, 0
            self._taken += len(items)
            closed = None
            if following is not None:
                closed, self._segment = self._segment, following
        if not unwritten:
            self._write_problem = None
        batch = _Batch[T](items, len(items), None, size_bytes, unwritten)
        if closed is not None:
            closed.close()
            batch.path = closed.path
            if self._reread_segment:
                batch.items, self._reread_segment = None, False
        self._backlog.append(batch)

    def _work_off(self) -> bool:
        """Applies the backlog in order; False where the store failed."""
        while self._backlog:
            batch = self._backlog[0]
            try:
                items = batch.items if batch.items is not None else self._read(batch)
                if items:
                    self._apply(items)
                if batch.path is not None:
                    batch.path.unlink(missing_ok=True)
            except Exception as error:
                self._apply_problem = f"Records of '{self._name}' wait to be stored: {type(error).__name__}: {error}."
                with self._done:
                    self._failures += 1
                    self._done.notify_all()
                return False
            self._backlog.popleft()
            with self._done:
                self._applied += batch.count
                self._done.notify_all()
        self._apply_problem = None
        return True

    def _read(self, batch: _Batch[T]) -> list[T]:
        """Reads a batch back from its segment; a damaged segment is set aside once its good frames are out."""
        path = batch.path
        if path is None or not path.exists():
            return []
        payloads, damaged = read_frames(path.read_bytes())
        items = []
        for payload in payloads:
            try:
                items.append(self._decode(payload))
            except Exception:
                damaged = True
        if damaged:
            aside = path.with_name(path.name + ".damaged")
            self._apply(items)
            path.rename(aside)
            self._damaged.append(
                f"A journal was damaged; it was set aside as {aside} ({len(items)} records read)."
            )
            return []
        return items

    def _bound_memory(self) -> None:
        """Lets go of items that wait in memory and are on disk as well, oldest first."""
        held_bytes = sum(batch.size_bytes for batch in self._backlog if batch.items is not None)
        for batch in self._backlog:
            if held_bytes <= self._memory_max_bytes:
                return
            if batch.items is None:
                continue
            held_bytes -= batch.size_bytes
            batch.items = [] if batch.path is None else None
            self._reread_segment = self._reread_segment or batch.path is None
            self.lost += batch.unwritten

    def _open_next(self) -> _Segment | None:
        """Opens the next segment, or says why there is none (no space, no descriptor)."""
        path = self._folder / f"{self._name}-{self._number + 1:08d}.journal"
        try:
            segment = _Segment(path)
        except OSError as error:
            self._write_problem = f"The journal of '{self._name}' can not start {path}: {error}."
            return None
        self._number += 1
        return segment

    def _leftovers(self) -> list[Path]:
        pattern = re.compile(re.escape(self._name) + r"-\d{8,}\.journal")
        return sorted((p for p in self._folder.iterdir() if pattern.fullmatch(p.name)), key=_number_of)


def _number_of(path: Path) -> int:
    return int(path.name.rsplit("-", 1)[1].split(".", 1)[0])
