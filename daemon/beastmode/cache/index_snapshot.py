"""A snapshot of the vector index in use: proved, read or mapped into memory, searched in one scope. Needs numpy."""

from __future__ import annotations

import importlib
import logging
import os
from bisect import bisect_left
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from beastmode.cache.index_format import (
    DEAD,
    KEY_BYTES,
    KEYS,
    MATRIX,
    SCOPES,
    STARTS,
    DamagedSnapshotError,
    Manifest,
    Print,
    Segment,
    fingerprint,
    prove,
    read_manifest,
)
from beastmode.cache.index_rows import Match, Vectors, best, ranked

log = logging.getLogger(__name__)

CANDIDATES = 64
"""How many rows the search of a graph keeps in view; more are more exact and take longer."""

READ_MAX_BYTES = 16 << 20
"""Exact rows up to this size are read, larger ones mapped: a mapped file that is cut short ends who reads it."""


class Graph:
    """A segment in memory.

    Args:
        keys: Its keys, one after another.
        index: What hnswlib loaded.
    """

    def __init__(self, keys: bytes, index: Any) -> None:
        self.keys = keys
        self._index = index
        self._rows = len(keys) // KEY_BYTES
        index.set_num_threads(1)
        index.set_ef(CANDIDATES)

    def search(self, vector: Vectors, k: int, floor: float, dead: Collection[bytes]) -> list[Match]:
        """Finds nearly the most similar rows, the best first.

        Args:
            vector: float32[dim].
            k: Most rows.
            floor: Least similarity.
            dead: Keys that do not count.
        """
        taken = min(k, self._rows)
        while True:
            labels, distances = self._ask(vector, taken)
            similar = [(int(label), 1.0 - float(far)) for label, far in zip(labels, distances, strict=True)]
            near = [(_key(self.keys, row), min(1.0, value)) for row, value in similar if value >= floor]
            alive = [match for match in near if match[0] not in dead]
            if len(alive) >= k or len(near) < taken or taken == self._rows:
                return alive[:k]
            taken = min(4 * taken, self._rows)

    def _ask(self, vector: Vectors, k: int) -> tuple[Any, Any]:
        self._index.set_ef(max(CANDIDATES, k))
        try:
            labels, distances = self._index.knn_query(vector, k=k)
        except RuntimeError:  # rows that equal each other may hide the others: then there are fewer than k to be found
            labels, distances = self._index.knn_query(vector, k=1)
        return labels[0], distances[0]


class Snapshot:
    """Rows by scope, exact ones in memory or a mapped file, graphs in memory.

    Args:
        folder: Its folder.
        embedder: Id of the embedder whose vectors are wanted.
        dim: Numbers in a vector.
        loaded: Graphs in memory already, by the id of their segment.

    Attributes:
        manifest: What it is made of.
        graphs: Its graphs by the id of their segment.
        keys: Every key that it holds.
        dead: Those that no longer counted when it was made.
        is_mapped: Some of it is read from a file whenever it is searched; else all of it is in memory.

    Raises:
        DamagedSnapshotError: It is damaged, or of another embedder, or needs hnswlib where that is missing.
    """

    def __init__(self, folder: Path, embedder: str, dim: int, loaded: Mapping[str, Graph]) -> None:
        self.folder = folder
        self.manifest = manifest = read_manifest(folder)
        if (manifest.embedder, manifest.dim) != (embedder, dim):
            raise DamagedSnapshotError(f"it is of the embedder {manifest.embedder}, not of {embedder}")
        self._prints = prove(folder, manifest)
        self._scopes = (folder / SCOPES).read_bytes()
        self._starts = np.fromfile(folder / STARTS, "<i8")
        self._keys = (folder / KEYS).read_bytes()
        self.is_mapped = manifest.rows * dim * 4 > READ_MAX_BYTES
        self._matrix = (_mapped if self.is_mapped else _read)(folder / MATRIX, manifest.rows, dim)
        self._check_shape(manifest)
        self.dead = frozenset(_all_keys((folder / DEAD).read_bytes()))
        self.graphs = {one.id: loaded.get(one.id) or _load(folder, one, dim) for one in manifest.segments}
        self._graphs_of: dict[bytes, list[Graph]] = {}
        for one in manifest.segments:
            self._graphs_of.setdefault(one.scope, []).append(self.graphs[one.id])
        self.keys = frozenset(key for part in self._key_files() for key in _all_keys(part))

    def _check_shape(self, manifest: Manifest) -> None:
        ends = [len(self._starts) * KEY_BYTES - KEY_BYTES, int(self._starts[-1]), len(self._keys)]
        if ends != [len(self._scopes), manifest.rows, manifest.rows * KEY_BYTES]:
            raise DamagedSnapshotError("its files do not fit together")

    def _key_files(self) -> list[bytes]:
        return [self._keys, *(graph.keys for graph in self.graphs.values())]

    @property
    def scopes(self) -> int:
        """How many scopes have exact rows."""
        return len(self._scopes) // KEY_BYTES

    @property
    def size_bytes(self) -> int:
        """Size of its files."""
        return sum(proof.size_bytes for proof in self.manifest.files.values())

    def mapped_is_intact(self) -> bool:
        """Whether no mapped file was changed: to read one that was cut short would end the process."""
        return not self.is_mapped or _print_of(self.folder / MATRIX) == self._prints[MATRIX]

    def damaged_file(self) -> str | None:
        """Names a file that somebody else changed or took away since it was proved; None where all is well."""
        return next((name for name, known in self._prints.items() if _print_of(self.folder / name) != known), None)

    def search(self, scope: bytes, vector: Vectors, k: int, floor: float, dead: Collection[bytes]) -> list[Match]:
        """Finds the most similar rows of a scope, the best first.

        Args:
            scope: The scope, 16 bytes.
            vector: float32[dim].
            k: Most rows.
            floor: Least similarity.
            dead: Keys that do not count.
        """
        found: list[Match] = []
        for graph in self._graphs_of.get(scope, ()):
            found += graph.search(vector, k, floor, dead)
        place = bisect_left(range(self.scopes), scope, key=lambda at: _key(self._scopes, at))
        if place < self.scopes and _key(self._scopes, place) == scope:
            start, stop = int(self._starts[place]), int(self._starts[place + 1])
            similarities = self._matrix[start:stop] @ vector
            found += best(similarities, floor, k, lambda row: _key(self._keys, start + row), dead)
        return ranked(found, k)


def _key(keys: bytes, row: int) -> bytes:
    return keys[row * KEY_BYTES : row * KEY_BYTES + KEY_BYTES]


def _all_keys(keys: bytes) -> list[bytes]:
    return [keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)]


def _read(path: Path, rows: int, dim: int) -> Vectors:
    found = np.fromfile(path, "<f4")
    if len(found) != rows * dim:
        raise DamagedSnapshotError(f"{path.name}: its size is wrong")
    return found.reshape(rows, dim)


def _mapped(path: Path, rows: int, dim: int) -> Vectors:
    if path.stat().st_size != rows * dim * 4:
        raise DamagedSnapshotError(f"{path.name}: its size is wrong")
    return np.memmap(path, "<f4", "r", shape=(rows, dim)).view(np.ndarray)


def _load(folder: Path, segment: Segment, dim: int) -> Graph:
    """Loads a graph whose file was proved: hnswlib ends the process over a damaged one."""
    keys = (folder / segment.keys_file).read_bytes()
    if len(keys) != segment.rows * KEY_BYTES:
        raise DamagedSnapshotError(f"{segment.keys_file}: its size is wrong")
    try:
        hnswlib = importlib.import_module("hnswlib")  # an optional extra, without types
        index = hnswlib.Index("ip", dim)
        index.load_index(str(folder / segment.graph_file))
    except (ImportError, RuntimeError) as error:
        raise DamagedSnapshotError(f"{segment.graph_file} can not be loaded: {error}") from error
    return Graph(keys, index)


def _print_of(path: Path) -> Print | None:
    try:
        return fingerprint(os.stat(path))  # noqa: PTH116 - Path.stat costs three times as much, on every search
    except OSError:
        return None
