"""Vectors of pieces by the digest of their text (LMDB), and those of one workspace in memory. Needs numpy.

The vectors are derived: what can not be read is thrown away and made again. They outlive a rename, a branch switch and
a restart, since a piece is known by its text alone.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb
import numpy as np

from beastmode.cache.disk_check import Mark, UncheckedError, check_in_child, fingerprint
from beastmode.cache.disk_map import AwayError, Map
from beastmode.workspace.index.reading import Reader

if TYPE_CHECKING:
    from numpy import float16, float32
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

SCHEMA = 1
START_BYTES = 16 << 20
MAX_BYTES = 2 << 30
CHECK_S = 60.0
BLOCK_ROWS = 8192
STALE_SHARE = 0.25


class Vectors:
    """Vectors on disk. One thread writes, any reads. What fails is a vector that is not there.

    Args:
        folder: Folder of its own.
        embedder: Id of the embedder; vectors of two are kept apart.
        dim: Numbers in a vector.
        max_bytes: Size that the file may reach.

    Attributes:
        problem: Why nothing can be kept; None: all is well.
    """

    def __init__(self, folder: Path, embedder: str, dim: int, max_bytes: int = MAX_BYTES) -> None:
        self.dim = dim
        self.problem: str | None = None
        self._folder = folder
        self._name = f"{SCHEMA}:{embedder}:{dim}".encode()
        self._max_bytes = max_bytes
        self._map = Map(folder)
        self._mark = Mark(folder.with_name(folder.name + ".mark"))
        self._table: Any = None

    def open(self, stop: threading.Event | None = None) -> None:
        """Opens the file; one that was not closed is checked first, a damaged one is made anew. Blocks.

        Args:
            stop: Ends the check.
        """
        try:
            if fingerprint(self._folder) is not None and not self._mark.vouches_for(fingerprint(self._folder)):
                wrong = check_in_child(self._folder, stop or threading.Event(), CHECK_S)
                if wrong is not None:
                    self._throw_away(wrong)
            self._mark.write(SCHEMA, None)
            self._open()
        except (OSError, lmdb.Error, UncheckedError) as error:
            self.problem = f"Vectors of pieces can not be kept in {self._folder}: {error}."
            log.warning(self.problem)

    def _open(self) -> None:
        try:
            self._table = self._map.open(START_BYTES, self._prepare)
        except lmdb.Error as error:
            self._throw_away(str(error))
            self._table = self._map.open(START_BYTES, self._prepare)

    def _prepare(self, env: lmdb.Environment, txn: Any) -> Any:
        return env.open_db(self._name, txn=txn)

    def _throw_away(self, why: str) -> None:
        log.warning("vectors of pieces are made again, their file is damaged: %s", why)
        self._map.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def get(self, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        """The vectors that are there, as float16 little endian.

        Args:
            digests: Of the texts of pieces.
        """
        found: dict[bytes, bytes] = {}
        with contextlib.suppress(AwayError, lmdb.Error), self._map.reading() as txn:
            for digest in digests:
                kept = txn.get(digest, db=self._table)
                if kept is not None and len(kept) == 2 * self.dim:
                    found[digest] = bytes(kept)
        return found

    def has(self, digest: bytes) -> bool:
        """Says whether a piece has its vector.

        Args:
            digest: Of its text.
        """
        return bool(self.get([digest]))

    def put(self, vectors: Mapping[bytes, bytes]) -> bool:
        """Keeps vectors, in one transaction.

        Args:
            vectors: By digest.

        Returns:
            False where they could not be kept; `problem` says why.
        """
        while True:
            try:
                self._map.commit(lambda txn: self._write(txn, vectors))
                self.problem = None
                return True
            except lmdb.MapFullError as error:
                if self._map.size_bytes >= self._max_bytes:
                    self.problem = f"Vectors of pieces fill {self._folder}: {error}."
                    return False
                self._map.resize(min(2 * self._map.size_bytes, self._max_bytes))
            except lmdb.MapResizedError:
                self._map.resize(0)
            except (AwayError, lmdb.Error) as error:
                self.problem = f"Vectors of pieces can not be kept in {self._folder}: {error}."
                return False

    def _write(self, txn: Any, vectors: Mapping[bytes, bytes]) -> None:
        for digest, vector in vectors.items():
            txn.put(digest, vector, db=self._table)

    def close(self) -> None:
        """Closes the file; harmless when it is closed."""
        if self._table is None:
            return
        left = self._map.close()
        self._table = None
        self._mark.write(SCHEMA, left)


class Meanings:
    """The vectors of one workspace, in memory: an exact search. Called in threads.

    Args:
        reader: Its catalogue.
        vectors: Where its vectors are kept.
        most: Vectors that are held at most.
    """

    def __init__(self, reader: Reader, vectors: Vectors, most: int = 100_000) -> None:
        self.reader = reader
        self._vectors = vectors
        self._most = most
        self._rows: NDArray[float16] = np.zeros((0, vectors.dim), np.float16)
        self._digests: list[bytes] = []
        self._places: dict[bytes, int] = {}
        self._revision = -1
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._digests)

    @property
    def full(self) -> bool:
        """There is no room for more."""
        return len(self._digests) >= self._most

    def has(self, digest: bytes) -> bool:
        """Says whether a piece can be found by its vector.

        Args:
            digest: Of its text.
        """
        return digest in self._places

    def refresh(self) -> None:
        """Takes in what the catalogue has and the disk knows; lets go of what is no longer there."""
        revision = self.reader.revision()
        if revision == self._revision:
            return
        wanted = self.reader.digests()
        with self._lock:
            known = self._vectors.get(wanted - self._places.keys())
            dead = len(self._places.keys() - wanted)
            if dead > STALE_SHARE * len(self._digests):
                self._keep_only(wanted)
            for digest, kept in known.items():
                self._append(digest, np.frombuffer(kept, "<f2"))
            self._revision = revision

    def add(self, digest: bytes, vector: NDArray[float32]) -> None:
        """Makes a piece findable.

        Args:
            digest: Of its text.
            vector: Its vector, of length 1.
        """
        with self._lock:
            self._append(digest, vector.astype(np.float16))

    def nearest(self, vector: NDArray[float32], limit: int) -> list[tuple[str, float]]:
        """The digests of the nearest pieces in hex, with the cosine, best first.

        Args:
            vector: Of the question.
            limit: How many at most.
        """
        self.refresh()
        with self._lock:
            rows, digests = self._rows[: len(self._digests)], list(self._digests)
        if not digests or vector.shape != (self._vectors.dim,):
            return []
        blocks = range(0, len(rows), BLOCK_ROWS)
        cosines = np.concatenate([rows[at : at + BLOCK_ROWS].astype(np.float32) @ vector for at in blocks])
        limit = min(limit, len(digests))
        best = np.argpartition(-cosines, limit - 1)[:limit]
        ordered = sorted(best, key=lambda row: (-cosines[row], digests[row]))
        return [(digests[row].hex(), float(cosines[row])) for row in ordered]

    def _append(self, digest: bytes, vector: NDArray[float16]) -> None:
        if digest in self._places or self.full:
            return
        count = len(self._digests)
        if count == len(self._rows):  # readers hold the old one: it is never changed where they look
            larger = np.zeros((min(max(1024, 2 * count), self._most), self._vectors.dim), np.float16)
            larger[:count] = self._rows
            self._rows = larger
        self._rows[count] = vector
        self._digests.append(digest)
        self._places[digest] = count

    def _keep_only(self, wanted: Collection[bytes]) -> None:
        rows = [row for row, digest in enumerate(self._digests) if digest in wanted]
        self._rows = self._rows[rows]
        self._digests = [self._digests[row] for row in rows]
        self._places = {digest: row for row, digest in enumerate(self._digests)}
