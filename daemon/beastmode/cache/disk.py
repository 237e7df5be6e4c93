"""L2: answers on disk. What `put` took survives a kill -9 and is found at once; the event loop never waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import lmdb
import msgspec

from beastmode.cache.disk_keeper import Keeper, is_passing
from beastmode.cache.disk_map import AwayError
from beastmode.cache.disk_reader import Reader
from beastmode.cache.disk_store import Store
from beastmode.cache.disk_tables import CLEAR, checked_operation, put_operation, remove_operation, touch_operation
from beastmode.cache.disk_waiting import Waiting
from beastmode.cache.presence import Census
from beastmode.cache.record import DamagedRecordError, pack, unpack
from beastmode.core.clock import Clock
from beastmode.core.journal import Journal
from beastmode.core.types import Entry

JOURNAL = "answers"
SHARE_MAX = 8
TOUCH_S = 60.0
WALK_S = 3600.0
AGAIN_S = 1.0
CLOSE_WAIT_S = 3.0
PIECE = 200
KEYS_A_REMOVAL = 1000


class DiskStats(msgspec.Struct, frozen=True):
    """What L2 holds and what it did since the start.

    Attributes:
        entries: Answers in the store.
        waiting: Answers that are journalled and not in the store yet.
        bytes: Size of the store's pages in use.
        max_bytes: Size it may reach.
        hits: Lookups it answered.
        misses: Lookups it did not answer.
        evictions: Entries that made room for others.
        expired: Entries that were found too old.
        damaged: Entries that failed their checksum and were dropped.
        unstorable: Answers that were too large, or hold a text that no encoding has.
        ready: The store is open; while it is checked, only what waits is found.
    """

    entries: int
    waiting: int
    bytes: int
    max_bytes: int
    hits: int
    misses: int
    evictions: int
    expired: int
    damaged: int
    unstorable: int
    ready: bool


class _Counts:
    """What a tier did since the start."""

    __slots__ = ("damaged", "expired", "hits", "misses", "unstorable")

    def __init__(self) -> None:
        self.hits = self.misses = self.expired = self.damaged = self.unstorable = 0


class DiskTier:
    """Answers in LMDB, with a journal before it. Its methods are called on the event loop.

    Args:
        folder: Folder of its own: the store, its mark and its journal.
        max_bytes: Size it may reach.
        ttl_s: Age at which an answer is no longer served; one that is bound to files has no such age.
        clock: Time.
        wait_s: How long lookups wait for a store that is being checked, from when the check began.
    """

    def __init__(self, folder: Path, max_bytes: int, ttl_s: float, clock: Clock, *, wait_s: float = 1.0) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._clock = clock
        self._store = Store(folder / "store", max_bytes, clock.wall_s)
        self._keeper = Keeper(self._store, clock, self._opened)
        self._reader = Reader(clock.mono_s, wait_s)
        self._waiting = Waiting()
        self._journal: Journal[bytes] = Journal(folder, JOURNAL, self._apply, checked_operation)
        self._census = Census()
        self._walk_due = asyncio.Event()
        self._walker: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._off: str | None = None
        self._touched: set[bytes] = set()
        self._touched_since_s = 0.0
        self._counts = _Counts()

    async def start(self) -> None:
        """Opens the store, or begins to check it, and takes over what the journal holds.

        Raises:
            NewerSchemaError: A newer version wrote it.
        """
        self._loop = asyncio.get_running_loop()
        self._reader.start(self._keeper)
        try:
            await asyncio.to_thread(self._begin)
        except OSError as error:
            self._off = f"The cache in {self._folder} is off: {error}."
            return
        self._walker = self._loop.create_task(self._keep_walking())

    def _begin(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # the journal says so itself when it starts
            for operation in self._journal.replay():
                with contextlib.suppress(ValueError):
                    self._waiting.note(checked_operation(operation))
        self._keeper.start()
        self._journal.start()

    async def close(self) -> None:
        """Stores what waits and closes everything, without holding up the loop."""
        walker, self._walker = self._walker, None
        if walker is not None:
            walker.cancel()
            await asyncio.wait([walker])
            await asyncio.to_thread(self._keeper.wait, CLOSE_WAIT_S)  # else the journal grows from run to run
            await asyncio.to_thread(self._journal.close)
        await asyncio.to_thread(self._reader.close)
        await asyncio.to_thread(self._keeper.close)

    @property
    def problem(self) -> str | None:
        """What is wrong, in sentences, or None; heals by itself where the disk does."""
        journal = self._journal.problem
        if journal and AwayError.__name__ in journal:  # it waits for a check, which is no problem of its own
            journal = None
        said = [self._off, self._keeper.problem, journal]
        return " ".join(one for one in said if one) or None

    def stats(self) -> DiskStats:
        """What it holds and what it did."""
        return DiskStats(
            entries=self._store.entries,
            waiting=len(self._waiting),
            bytes=self._store.bytes,
            max_bytes=self._max_bytes,
            hits=self._counts.hits,
            misses=self._counts.misses,
            evictions=self._store.evictions,
            expired=self._counts.expired,
            damaged=self._counts.damaged,
            unstorable=self._counts.unstorable,
            ready=self._keeper.ready,
        )

    def maybe(self, key: bytes) -> bool:
        """False where a key is certainly absent; nine of ten misses end here.

        Args:
            key: The exact key, 16 bytes.
        """
        if self._census.maybe(key):
            return True
        self._counts.misses += 1
        return False

    async def get(self, key: bytes, now_s: float) -> Entry | None:
        """Looks an answer up; whatever is wrong with the disk is a miss.

        Args:
            key: The exact key, 16 bytes.
            now_s: Wall clock.
        """
        entry = await self._find(key)
        if entry is not None and not entry.pinned and now_s >= entry.stored_at_s + self._ttl_s:
            self._counts.expired += 1
            self._remove_unless_new(key)
            entry = None
        if entry is None:
            self._counts.misses += 1
            return None
        self._counts.hits += 1
        self._touch(key, now_s)
        return entry

    async def peek(self, key: bytes) -> Entry | None:
        """Looks at an answer without using it: it is not counted and ages on.

        Args:
            key: The exact key, 16 bytes.
        """
        return await self._find(key)

    def put(self, entry: Entry) -> None:
        """Keeps an answer, in place of an older one of the same key; it is with the kernel when this returns.

        Args:
            entry: The answer; one that is larger than an eighth of the tier is not kept.
        """
        try:
            record = pack(entry)
        except (ValueError, RecursionError):
            record = b""
        if not record or len(record) * SHARE_MAX > self._max_bytes:
            self._counts.unstorable += 1
            self.remove([entry.key])
            return
        self._do(put_operation(entry.key, record))
        if self._census.add(entry.key):
            self._walk_due.set()

    def remove(self, keys: Iterable[bytes]) -> None:
        """Forgets answers, at once for every lookup; keys that are not there do not matter."""
        listed = list(keys)
        for at in range(0, len(listed), KEYS_A_REMOVAL):
            self._do(remove_operation(listed[at : at + KEYS_A_REMOVAL]))

    def clear(self) -> None:
        """Forgets every answer, at once for every lookup."""
        self._do(CLEAR)

    async def page(self, after: bytes, limit: int) -> tuple[list[Entry], bytes | None]:
        """One page of all answers in the order of their keys, expired ones among them; damaged ones are left out.

        Args:
            after: The key that the page before gave; empty for the first page.
            limit: Records of a page.

        Returns:
            The answers, and the key after which the next page begins; None after the last.

        Raises:
            AwayError: The store is being checked.
        """
        if not after:
            await self.wait_stored()
        records = await self._reader.read(self._store.records, after, limit)
        found = []
        for key, record in records:
            with contextlib.suppress(DamagedRecordError):
                found.append(unpack(key, record))
        return found, records[-1][0] if len(records) == limit else None

    async def entries(self) -> AsyncIterator[Entry]:
        """Every answer it holds, page by page.

        Raises:
            AwayError: The store is being checked.
        """
        after: bytes | None = b""
        while after is not None:
            found, after = await self.page(after, PIECE)
            for entry in found:
                yield entry

    def vectors_at(self) -> Path | None:
        """The folder of the store, which holds the answers' vectors; None while it is checked, or off."""
        return self._store.folder if self._walker is not None and self._keeper.ready else None

    async def wait_stored(self, timeout_s: float = 5.0) -> bool:
        """Waits until everything put so far is in the store.

        Args:
            timeout_s: Longest wait.

        Returns:
            False where the disk failed or the time was up.
        """
        return await self._journal.wait_applied(timeout_s)

    async def _find(self, key: bytes) -> Entry | None:
        if self._walker is None:
            return None
        try:
            found = None if self._waiting.knows(key) else await self._reader.read(self._load, key)
            if self._waiting.knows(key):  # also where it came, or went, during the read
                record = self._waiting.record(key)
                return None if record is None else unpack(key, record)
        except DamagedRecordError:
            self._counts.damaged += 1
            self._keeper.note("A stored answer failed its checksum and was dropped.")
            self._remove_unless_new(key)
            return None
        except AwayError:
            return None
        return found

    def _load(self, key: bytes) -> Entry | None:
        record = self._store.get(key)
        return None if record is None else unpack(key, record)

    def _remove_unless_new(self, key: bytes) -> None:
        if not self._waiting.knows(key):
            self.remove([key])

    def _touch(self, key: bytes, now_s: float) -> None:
        """Notes the use of an entry, at most once a minute."""
        if not 0 <= now_s - self._touched_since_s < TOUCH_S:
            self._touched.clear()
            self._touched_since_s = now_s
        if key not in self._touched:
            self._touched.add(key)
            self._do(touch_operation(key))

    def _do(self, operation: bytes) -> None:
        if self._walker is not None:
            self._waiting.note(operation)
            self._journal.append(operation, operation)

    def _apply(self, operations: list[bytes]) -> None:
        """Stores a batch; runs on the journal's thread."""
        try:
            self._store.apply(operations)
        except (AwayError, lmdb.Error) as error:
            if not is_passing(error):
                self._keeper.suspect()
            raise
        self._waiting.settle(operations)

    def _opened(self) -> None:
        """The store is open; runs on any thread."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._reader.wake)
            self._loop.call_soon_threadsafe(self._walk_due.set)

    async def _keep_walking(self) -> None:
        """Makes the filter anew, and lets go of what has expired: now, every hour, and when it is due."""
        while True:
            self._walk_due.clear()
            wait_s = WALK_S
            try:
                before_s = self._clock.wall_s() - self._ttl_s
                known, expected = self._waiting.keys(), self._store.entries
                self.remove(await self._census.walk(self._keys, known, expected, before_s))
            except AwayError:
                wait_s = AGAIN_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._walk_due.wait()

    async def _keys(self, after: bytes, limit: int) -> list[tuple[bytes, float]]:
        return await self._reader.read(self._store.keys, after, limit)
