"""One mechanism for what must survive a kill: framed appends now, a durable transaction shortly after, off the path.

Once `append` has returned, the record is with the kernel and a kill -9 can not lose it; a power cut may lose what no
transaction has taken yet (about 100 ms).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from beastmode.core.segments import Segment, SegmentFolder, frame, read_frames

T = TypeVar("T")

RETRY_MAX_S = 2.0
FAILING_TAKE_BYTES = 1 << 20


class _Batch(msgspec.Struct, Generic[T]):
    """Items that go into one transaction.

    Attributes:
        items: The items; None: they are to be read from the segment.
        count: How many were handed over.
        size_bytes: Their payloads together.
        unwritten: Those that are in no segment because the disk refused them.
        path: The segment that goes when they are stored; None where it is still being written.
    """

    items: list[T] | None
    count: int = 0
    size_bytes: int = 0
    unwritten: int = 0
    path: Path | None = None


class _Backlog(Generic[T]):
    """Batches that wait for the store, in order. Used by one thread at a time, but for `wait` and the problems.

    Args:
        segments: Where batches can be read again.
        apply: Stores a batch durably.
        decode: Makes an item from a payload.
        memory_max_bytes: Beyond it, waiting items are kept on disk only.
    """

    def __init__(
        self,
        segments: SegmentFolder,
        apply: Callable[[list[T]], None],
        decode: Callable[[bytes], T],
        memory_max_bytes: int,
    ) -> None:
        self._segments = segments
        self._apply = apply
        self._decode = decode
        self._memory_max_bytes = memory_max_bytes
        self._batches: deque[_Batch[T]] = deque()
        self._reread_next_segment = False
        self._changed = threading.Condition()
        self.applied = 0
        self._failures = 0
        self.lost = 0
        self.problem: str | None = None
        self.damaged: list[str] = []

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, batch: _Batch[T]) -> None:
        """Queues a batch; lets go of items that wait in memory and are on disk as well."""
        if self._reread_next_segment and batch.path is not None:
            batch.items, self._reread_next_segment = None, False
        self._batches.append(batch)
        held_bytes = sum(one.size_bytes for one in self._batches if one.items is not None)
        for one in self._batches:
            if held_bytes <= self._memory_max_bytes:
                return
            if one.items is not None:
                held_bytes -= one.size_bytes
                self._release(one)

    def _release(self, batch: _Batch[T]) -> None:
        if batch.path is None:  # its items are in the segment that is still open, and come back with it
            batch.items, self._reread_next_segment = [], True
        else:
            batch.items = None
        self.lost += batch.unwritten
        batch.unwritten = 0

    def work_off(self) -> bool:
        """Applies every batch in order; False where the store failed."""
        while self._batches:
            batch = self._batches[0]
            try:
                self._store(batch)
            except Exception as error:  # whatever it is, the records must not be lost and the thread must not die
                name = self._segments.name
                self.problem = f"Records of '{name}' wait to be stored: {type(error).__name__}: {error}."
                self._tell(failures=1)
                return False
            self._batches.popleft()
            self._tell(applied=batch.count)
        self.problem = None
        return True

    def _store(self, batch: _Batch[T]) -> None:
        if batch.items is not None:
            if batch.items:
                self._apply(batch.items)
        elif batch.path is not None and batch.path.exists():
            self._reread(batch.path)
        if batch.path is not None:
            batch.path.unlink(missing_ok=True)

    def _reread(self, path: Path) -> None:
        """Applies what a segment holds; a damaged one is set aside once its good frames are stored."""
        try:
            payloads, damaged = read_frames(path.read_bytes())
        except OSError:
            payloads, damaged = [], True
        items = []
        for payload in payloads:
            try:
                items.append(self._decode(payload))
            except Exception:  # a frame of another version, or of someone's making
                damaged = True
        if items:
            self._apply(items)
        if damaged:
            aside = self._segments.set_aside(path)
            self.damaged.append(f"A journal was damaged; {len(items)} records were read and it is kept as {aside}.")

    def _tell(self, applied: int = 0, failures: int = 0) -> None:
        with self._changed:
            self.applied += applied
            self._failures += failures
            self._changed.notify_all()

    def wait(self, target: int, hurry: Callable[[], None], timeout_s: float) -> bool:
        """Waits until so many items are applied, or the store fails.

        Args:
            target: Items since the start.
            hurry: Asks the writer to begin at once.
            timeout_s: Longest wait.

        Returns:
            True where they are applied.
        """
        with self._changed:
            failures = self._failures
            if self.applied < target:
                hurry()
                self._changed.wait_for(lambda: self.applied >= target or self._failures > failures, timeout_s)
            return self.applied >= target


class Journal(Generic[T]):
    """Takes items on the event loop in about a microsecond and has them applied durably by a thread.

    `append` is called on one thread (the event loop's). `apply` runs on the writer thread and, for what a killed daemon
    left behind, on the thread that calls `start`. It must be idempotent: an item may come twice. Order is kept.

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
        interval_s: float = 0.08,
        memory_max_bytes: int = 64 << 20,
    ) -> None:
        self._segments = SegmentFolder(folder, name)
        self._backlog = _Backlog(self._segments, apply, decode, memory_max_bytes)
        self._interval_s = interval_s

        self._lock = threading.Lock()  # guards what follows; held for a write or a swap, never for a commit
        self._segment: Segment | None = None
        self._items: list[T] = []
        self._items_bytes = 0
        self._unwritten = 0
        self._taken = 0
        self._write_problem: str | None = None

        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._asleep = True  # spares `append` the cost of an event that is set already
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> bool:
        """Applies what an earlier run left behind, then takes new items. Blocks; call it before serving.

        Returns:
            False where the store refused what was left behind; it gets it later.
        """
        for path in self._segments.open():
            self._backlog.add(_Batch(None, path=path))
        self._segment = self._next_segment()
        healthy = self._backlog.work_off()
        self._thread = threading.Thread(target=self._run, name=f"journal-{self._segments.name}", daemon=True)
        self._thread.start()
        return healthy

    def close(self, timeout_s: float = 10.0) -> None:
        """Applies what is left and ends the thread; what the store refused stays on disk for the next start. Blocks.

        Args:
            timeout_s: Longest wait.
        """
        self._stopping = True
        self._hurry_up()
        if self._thread is not None:
            self._thread.join(timeout_s)
        with self._lock:
            segment, self._segment = self._segment, None
            waiting = bool(self._items) or len(self._backlog) > 0
        if segment is not None:
            segment.close()
            if not waiting:
                segment.path.unlink(missing_ok=True)

    def append(self, payload: bytes, item: T) -> None:
        """Hands an item over; when this returns, a kill -9 can not lose it.

        Raises nothing for a disk that refuses: the item is applied all the same, and `problem` says so.

        Args:
            payload: The item as bytes, not empty.
            item: What `apply` gets.
        """
        data = frame(payload)
        with self._lock:
            try:
                self._segment.write(data)  # type: ignore[union-attr]  # no segment is as bad as a full disk
            except (OSError, AttributeError) as error:
                self._unwritten += 1
                self._write_problem = self._unwritable(error)
            self._items.append(item)
            self._items_bytes += len(data)
        if self._asleep:
            self._asleep = False
            self._wake.set()

    @property
    def problem(self) -> str | None:
        """What is wrong, in sentences, or None; heals by itself where the disk does."""
        said = [self._write_problem, self._backlog.problem, *self._backlog.damaged]
        if self._backlog.lost:
            said.append(
                f"{self._backlog.lost} records of '{self._segments.name}' were lost: disk and memory were full."
            )
        return " ".join(one for one in said if one) or None

    def replay(self) -> Iterator[bytes]:
        """Reads every payload that is on disk now, in order, and changes nothing."""
        for path in self._segments.leftovers():
            yield from read_frames(path.read_bytes()).payloads

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Waits until everything handed over so far is applied. Blocks; from the loop use `wait_applied`.

        Args:
            timeout_s: Longest wait.

        Returns:
            False where the store failed or the time was up.
        """
        return self._backlog.wait(self._handed_over(), self._hurry_up, timeout_s)

    async def wait_applied(self, timeout_s: float = 5.0) -> bool:
        """Waits until everything handed over so far is applied, without holding up the loop.

        Args:
            timeout_s: Longest wait.

        Returns:
            False where the store failed or the time was up.
        """
        if self._backlog.applied >= self._handed_over():
            return True
        return await asyncio.to_thread(self.flush, timeout_s)

    def _handed_over(self) -> int:
        with self._lock:
            return self._taken + len(self._items)

    def _hurry_up(self) -> None:
        self._hurry.set()
        self._wake.set()

    def _run(self) -> None:
        """The writer thread."""
        pause_s = self._interval_s
        ending = False
        while not ending:
            if not len(self._backlog):
                self._wake.wait(RETRY_MAX_S if self._write_problem else None)
            self._hurry.wait(pause_s)
            self._hurry.clear()
            self._wake.clear()
            self._asleep = True
            ending = self._stopping
            pause_s = self._interval_s if self._round() else min(pause_s * 2, RETRY_MAX_S)

    def _round(self) -> bool:
        """Applies what waits and what came; False where the store failed."""
        healthy = self._backlog.work_off()
        if self._items and (healthy or self._stopping or self._items_bytes > FAILING_TAKE_BYTES):
            self._take()
        elif self._write_problem:
            self._probe()
        return healthy and self._backlog.work_off()

    def _take(self) -> None:
        """Moves what was handed over into the backlog, together with the segment it is in."""
        following = self._next_segment()
        with self._lock:
            batch = _Batch(self._items, len(self._items), self._items_bytes, self._unwritten)
            self._items, self._items_bytes, self._unwritten = [], 0, 0
            self._taken += batch.count
            closed = self._segment
            if following is not None:
                self._segment = following
                self._write_problem = self._write_problem if batch.unwritten else None
        if following is not None and closed is not None:
            batch.path = closed.path
            with contextlib.suppress(OSError):
                closed.close()
        self._backlog.add(batch)

    def _probe(self) -> None:
        try:
            self._segments.probe()
            with self._lock:
                self._write_problem = self._write_problem if self._unwritten else None
        except OSError as error:
            self._write_problem = self._unwritable(error)

    def _next_segment(self) -> Segment | None:
        try:
            return self._segments.next()
        except OSError as error:
            self._write_problem = self._unwritable(error)
            return None

    def _unwritable(self, error: Exception) -> str:
        return f"The journal of '{self._segments.name}' in {self._segments.folder} can not be written: {error}."
