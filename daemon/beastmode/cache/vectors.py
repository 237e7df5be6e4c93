"""Nearest neighbours of a prompt within its scope: a snapshot on disk, and in memory what came after it. Needs numpy.

The index is derived from the vectors that L2 keeps with its answers: it may be deleted at any time. Import this room
only where an embedder is in use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import numpy as np

from beastmode.cache.index_build import Orders
from beastmode.cache.index_format import KEY_BYTES
from beastmode.cache.index_keeper import Keeper
from beastmode.cache.index_rows import Match, Tail, Vectors, ranked
from beastmode.cache.index_snapshot import Snapshot
from beastmode.core.clock import Clock

GRAPH_ROWS = 20_000
SEGMENT_ROWS = 8_000
TAIL_MIN_ROWS = 1000
TAIL_SHARE = 0.1
TAIL_MAX_ROWS = 200_000
PAUSE_S = 5.0
REFRESH_S = 600.0
REMOVAL_S = 30.0
"""How long L2 may take to store a removal."""


class IndexStats(msgspec.Struct, frozen=True):
    """What the index holds and how it is kept.

    Attributes:
        embedder: Id of the embedder whose vectors these are.
        entries: Vectors that can be found.
        tail: Those of them that are in no snapshot yet.
        scopes: Scopes whose rows are searched exactly.
        graphs: Graphs of large scopes.
        snapshot_bytes: Size of the snapshot's files.
        ready: A snapshot is in use.
        building: A child process builds one now.
        builds: Builds since the start.
        build_s: How long the last one took.
    """

    embedder: str
    entries: int
    tail: int
    scopes: int
    graphs: int
    snapshot_bytes: int
    ready: bool
    building: bool
    builds: int
    build_s: float | None


def to_bytes(vector: Vectors) -> bytes:
    """Writes a vector as an entry keeps it.

    Args:
        vector: float32[dim].

    Returns:
        float16 little endian, 2 * dim bytes; the cosine of two vectors changes by less than 0.001.
    """
    return vector.astype("<f2").tobytes()


def from_bytes(data: bytes, dim: int) -> Vectors | None:
    """Reads a vector that an entry keeps.

    Args:
        data: What `to_bytes` gave.
        dim: Numbers in a vector.

    Returns:
        float32[dim]; None where there is none of that size.
    """
    return np.frombuffer(data, "<f2").astype(np.float32) if len(data) == 2 * dim else None


class VectorIndex:
    """Vectors by key, searched within one scope.

    Its methods block, for milliseconds at most, and are meant for the one thread of the daemon that embeds and
    searches, never for the event loop; `stats`, `problem` and `rebuild` may be called anywhere. The vector of a key
    never changes: a key stands for one text in one scope.

    Args:
        folder: Folder of its own, for snapshots.
        dim: Numbers in a vector.
        embedder_id: Id of the embedder; snapshots of another one are not used.
        clock: Time.
        source: Folder of the store of L2 (`entries` in LMDB); None while it must not be read. Without a source there
            are no snapshots, and the newest 200,000 vectors are kept in memory.
        graph_rows: Rows of a scope from which on it is searched by graphs, where hnswlib is installed.
        segment_rows: Rows of one graph.
        tail_rows: Rows beyond the snapshot, or removed ones in it, from which on a new one is built.
        pause_s: Least pause between two builds, and before the first repetition of one that failed.
    """

    def __init__(
        self,
        folder: Path,
        dim: int,
        embedder_id: str,
        clock: Clock,
        source: Callable[[], Path | None] | None,
        *,
        graph_rows: int = GRAPH_ROWS,
        segment_rows: int = SEGMENT_ROWS,
        tail_rows: int = TAIL_MIN_ROWS,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._clock = clock
        self._source = source
        self._dim = dim
        self._embedder_id = embedder_id
        self._tail_rows = tail_rows
        self._lock = threading.Lock()
        self._tail = Tail(dim, TAIL_MAX_ROWS)
        self._snapshot: Snapshot | None = None
        self._removed: dict[bytes, float] = {}
        self._dead: set[bytes] = set()
        self._asked_at = (0, 0)  # rows of the tail, and removed ones, when a build was asked for
        self._asked_s = clock.mono_s()
        self._generation = 0
        orders = Orders(
            store="",
            folder=str(folder),
            embedder=embedder_id,
            dim=dim,
            graph_rows=graph_rows,
            segment_rows=segment_rows,
        )
        self._keeper = None if source is None else Keeper(orders, source, clock, self, pause_s)

    def start(self) -> None:
        """Loads the newest snapshot and has it brought up to date, in a thread of its own; returns at once.

        Call it when L2 has stored what its journal held, for only what is stored gets into a snapshot.
        """
        if self._keeper is not None:
            self._keeper.start()

    def close(self) -> None:
        """Ends a build and the thread; snapshots stay for the next start."""
        if self._keeper is not None:
            self._keeper.close()

    @property
    def problem(self) -> str | None:
        """What is wrong, in sentences, until it is mended; meanwhile only newer entries are found, or slower."""
        return self._keeper.problem if self._keeper is not None else None

    def add(self, key: bytes, scope: bytes, vector: Vectors) -> None:
        """Makes a key findable, at once. Adding it again changes nothing.

        Args:
            key: The exact key of an entry, 16 bytes.
            scope: Its scope, 16 bytes.
            vector: float32[dim] of length 1.

        Raises:
            ValueError: A size is wrong.
        """
        if len(key) != KEY_BYTES or len(scope) != KEY_BYTES or vector.shape != (self._dim,):
            raise ValueError(f"a key and a scope have {KEY_BYTES} bytes, a vector has {self._dim} numbers")
        rounded = vector.astype(np.float16).astype(np.float32)  # as it comes back from L2
        with self._lock:
            if self._snapshot is None or key in self._dead or key not in self._snapshot.keys:
                self._tail.add(key, scope, rounded)
        self._ask_when_due()

    def remove(self, keys: Iterable[bytes]) -> None:
        """Makes keys unfindable, at once; those that are not there do not matter.

        Args:
            keys: Exact keys. Their vectors leave the files with the next build; `rebuild(purge=True)` sees to that.
        """
        now_s = self._clock.mono_s()
        with self._lock:
            for key in keys:
                self._tail.remove(key)
                if self._keeper is not None:  # also where no snapshot has it: one that is being built may
                    self._removed[key] = now_s
                    self._dead.add(key)
        self._ask_when_due()

    @property
    def may_ask_store(self) -> bool:
        """L2 is not away: what it does not have now is gone, and may be removed here."""
        return self._source is None or self._source() is not None

    def nearest(self, scope: bytes, vector: Vectors, k: int = 8, floor: float = 0.75) -> list[Match]:
        """Finds the most similar entries of a scope.

        Args:
            scope: The scope, 16 bytes; no entry of another one is ever returned.
            vector: float32[dim] of length 1.
            k: Most entries.
            floor: Least cosine.

        Returns:
            Exact keys with their cosine, the best first.
        """
        query = np.ascontiguousarray(vector, np.float32)
        with self._lock:
            snapshot = self._snapshot
            if snapshot is None or snapshot.mapped_is_intact():
                found = self._tail.search(scope, query, k, floor)
                if snapshot is not None:
                    found += snapshot.search(scope, query, k, floor, self._dead)
                return ranked(found, k)
        assert self._keeper is not None
        self._keeper.note_damage("matrix: somebody else changed it")
        return self.nearest(scope, vector, k, floor)

    def clear(self) -> None:
        """Forgets everything, on disk too."""
        with self._lock:
            self._tail = Tail(self._dim, TAIL_MAX_ROWS)
            self._snapshot = None
            self._removed, self._dead, self._asked_at = {}, set(), (0, 0)
            if self._keeper is not None:
                self._generation = self._keeper.discard()

    def rebuild(self, purge: bool = False) -> None:
        """Has the snapshot built anew from L2; returns at once.

        Args:
            purge: No vector of a removed key may stay in any file. Call it when L2 has stored the removal.
        """
        if self._keeper is not None:
            self._keeper.ask(purge)

    def wait_idle(self, timeout_s: float) -> bool:
        """Waits until no build runs or is due.

        Args:
            timeout_s: Longest wait.

        Returns:
            False where the time was up.
        """
        ends_s = time.monotonic() + timeout_s
        while self._keeper is not None and not self._keeper.idle:
            if time.monotonic() > ends_s:
                return False
            time.sleep(0.01)
        return True

    def stats(self) -> IndexStats:
        """What it holds and how it is kept."""
        snapshot, keeper = self._snapshot, self._keeper
        held = len(snapshot.keys) - len(self._dead & snapshot.keys) if snapshot is not None else 0
        return IndexStats(
            embedder=self._embedder_id,
            entries=held + len(self._tail),
            tail=len(self._tail),
            scopes=self._tail.scopes + (snapshot.scopes if snapshot is not None else 0),
            graphs=len(snapshot.graphs) if snapshot is not None else 0,
            snapshot_bytes=snapshot.size_bytes if snapshot is not None else 0,
            ready=snapshot is not None,
            building=keeper is not None and keeper.building,
            builds=keeper.builds if keeper is not None else 0,
            build_s=keeper.build_s if keeper is not None else None,
        )

    def take(self, snapshot: Snapshot, generation: int, began_s: float) -> bool:
        """Uses a new snapshot: what it holds leaves memory. Called by the keeper's thread.

        Args:
            snapshot: The snapshot.
            generation: Which `clear` it came after.
            began_s: Monotonic clock of when L2 was read for it. What it holds though it was removed long before that is
                in L2 all the same, and can be found again: the tier may only have been away.
        """
        with self._lock:
            if generation != self._generation:
                return False
            for key in [key for key in self._tail if key in snapshot.keys and key not in snapshot.dead]:
                self._tail.remove(key)
                self._removed.pop(key, None)
            fresh_s = began_s - REMOVAL_S
            self._removed = {
                key: at_s for key, at_s in self._removed.items() if key in snapshot.keys and at_s >= fresh_s
            }
            self._dead = {*self._removed, *snapshot.dead}
            self._asked_at = min(self._asked_at[0], len(self._tail)), min(self._asked_at[1], len(self._removed))
            self._snapshot = snapshot
            return True

    def lose(self) -> None:
        """Uses no snapshot until the next one comes. Called where one was found to be damaged."""
        with self._lock:
            self._snapshot = None

    def _ask_when_due(self) -> None:
        keeper, snapshot = self._keeper, self._snapshot
        if keeper is None or not keeper.idle:
            return
        held = len(snapshot.keys) if snapshot is not None else 0
        now, now_s = (len(self._tail), len(self._removed)), self._clock.mono_s()
        many = max(now[0] - self._asked_at[0], now[1] - self._asked_at[1]) >= max(self._tail_rows, TAIL_SHARE * held)
        if many or (self._removed and now_s - self._asked_s > REFRESH_S):
            self._asked_at, self._asked_s = now, now_s
            keeper.ask()
