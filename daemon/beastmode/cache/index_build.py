"""The child process that builds the vector index: reads L2, writes snapshots, takes nothing from the daemon but a core.

Run as `python -P -m beastmode.cache.index_build`. One line of JSON (`Orders`) comes by standard input, which then stays
open: its end is the daemon's end. Each line that goes out is a `Word`. The first snapshot has every row to be searched
exactly and comes within seconds; where a scope is large, a second one follows, in which graphs hold most of its rows.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import lmdb
import msgspec
import numpy as np

from beastmode.cache.index_format import (
    DEAD,
    KEY_BYTES,
    KEYS,
    MATRIX,
    SCHEMA,
    SCOPES,
    STARTS,
    DamagedSnapshotError,
    Manifest,
    Segment,
    Writing,
    prove,
    read_manifest,
    snapshots,
)
from beastmode.cache.index_rows import Vectors
from beastmode.cache.record import DamagedRecordError, unpack_vector

NICE = 19
PIECE = 1000
LINKS, EFFORT = 16, 100
"""Of a graph: neighbours of a row, and rows that are looked at to find them (hnswlib's M and ef_construction)."""

KEPT_SHARE = 0.8
"""A graph of which less than this share still counts is built anew."""


class Orders(msgspec.Struct, kw_only=True, frozen=True):
    """What the daemon wants.

    Attributes:
        store: Folder of the store of L2.
        folder: Folder of the index.
        embedder: Id of the embedder whose vectors count.
        dim: Numbers in a vector.
        graph_rows: Rows of a scope from which on it has graphs.
        segment_rows: Rows of a graph.
        purge: Nothing of a removed row may stay in any file.
    """

    store: str
    folder: str
    embedder: str
    dim: int
    graph_rows: int
    segment_rows: int
    purge: bool = False


class Word(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the child says.

    Attributes:
        published: A snapshot that is new.
        error: Why there will be none.
    """

    published: str = ""
    error: str = ""


class Rows:
    """Every vector of the store, ordered by scope and key.

    Args:
        keys: Keys.
        scopes: The scope of each.
        vectors: Their vectors, float16 little endian, one after another.
        dim: Numbers in a vector.
    """

    def __init__(self, keys: list[bytes], scopes: list[bytes], vectors: bytearray, dim: int) -> None:
        order = sorted(range(len(keys)), key=lambda row: (scopes[row], keys[row]))
        self.keys = [keys[row] for row in order]
        self.scopes = [scopes[row] for row in order]
        self.matrix: Vectors = np.frombuffer(vectors, "<f2").reshape(-1, dim).astype("<f4")[order]
        self.content = blake2b(b"".join(self.keys), digest_size=KEY_BYTES).hexdigest()

    def groups(self) -> Iterator[tuple[bytes, range]]:
        """Each scope with its rows."""
        cuts = [row for row, scope in enumerate(self.scopes) if row == 0 or scope != self.scopes[row - 1]]
        for start, stop in pairwise([*cuts, len(self.scopes)]):
            yield self.scopes[start], range(start, stop)


def collect(orders: Orders) -> Rows:
    """Reads every vector of the embedder out of the store; damaged records are left out.

    Args:
        orders: What is wanted.

    Raises:
        lmdb.Error: The store is damaged.
    """
    keys: list[bytes] = []
    scopes: list[bytes] = []
    vectors = bytearray()
    for key, record in _records(orders.store):
        with suppress(DamagedRecordError):
            found = unpack_vector(key, record)
            fits = len(found.vector) == 2 * orders.dim and len(key) == len(found.scope) == KEY_BYTES
            if fits and found.embedder == orders.embedder:
                keys.append(key)
                scopes.append(found.scope)
                vectors += found.vector
    return Rows(keys, scopes, vectors, orders.dim)


def _records(store: str) -> Iterator[tuple[bytes, bytes]]:
    """Reads the store in pieces: a long transaction would keep the daemon from using freed pages again."""
    env = lmdb.open(store, readonly=True, create=False, max_dbs=8, readahead=False, lib_version=0)
    try:
        env.reader_check()  # what a child that was killed had open would keep pages from being used again
        table = env.open_db(b"entries", create=False)
        after = b""
        while True:
            try:
                piece = _piece(env, table, after)
            except lmdb.MapResizedError:
                env.set_mapsize(0)
                continue
            if not piece:
                return
            yield from piece
            after = piece[-1][0]
    except (lmdb.NotFoundError, lmdb.ReadonlyError):  # a store that nothing was ever put into
        return
    finally:
        env.close()


def _piece(env: lmdb.Environment, table: lmdb._Database, after: bytes) -> list[tuple[bytes, bytes]]:
    with env.begin() as txn, txn.cursor(table) as cursor:
        found = cursor.set_range(after + b"\0") if after else cursor.first()
        piece: list[tuple[bytes, bytes]] = []
        while found and len(piece) < PIECE:
            piece.append((bytes(cursor.key()), bytes(cursor.value())))
            found = cursor.next()
        return piece


class Plan:
    """Which rows are searched exactly, which graphs stay, and which are to be built.

    Args:
        rows: Every vector.
        orders: What is wanted.
        former: The newest snapshot that there is.
    """

    def __init__(self, rows: Rows, orders: Orders, former: Former | None) -> None:
        self.kept: list[Segment] = []
        self.exact: list[int] = []
        self.cuts: list[tuple[bytes, list[int]]] = []
        self.dead: list[bytes] = []
        with_graphs = importlib.util.find_spec("hnswlib") is not None
        for scope, group in rows.groups():
            left = list(group)
            if with_graphs and len(left) >= orders.graph_rows:
                left = self._covered(rows, scope, left, former, 1.0 if orders.purge else KEPT_SHARE)
                whole = len(left) - len(left) % orders.segment_rows
                if len(left) - whole >= orders.segment_rows // 2:
                    whole = len(left)
                self.cuts += [
                    (scope, left[at : min(at + orders.segment_rows, whole)])
                    for at in range(0, whole, orders.segment_rows)
                ]
                left = left[whole:]
            self.exact += left

    def _covered(
        self, rows: Rows, scope: bytes, group: list[int], former: Former | None, least_share: float
    ) -> list[int]:
        """Keeps the graphs of a scope that are still good; returns the rows that none of them has."""
        left = {rows.keys[row]: row for row in group}
        known = frozenset(left)
        for segment in former.segments_of(scope) if former else ():
            keys = former.keys_of(segment) if former else []
            alive = [key for key in keys if key in left]
            if len(alive) >= least_share * len(keys):
                self.kept.append(segment)
                self.dead += [key for key in keys if key not in known]
                for key in alive:
                    del left[key]
        return list(left.values())


class Former:
    """The newest snapshot, as far as its graphs can be used again.

    Args:
        folder: Its folder.
        manifest: What it is made of.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._keys: dict[str, list[bytes]] = {}

    def segments_of(self, scope: bytes) -> list[Segment]:
        """Graphs of a scope whose files are whole."""
        found = []
        for one in self.manifest.segments:
            if one.scope == scope:
                with suppress(DamagedSnapshotError):
                    prove(self.folder, self.manifest, [one.keys_file, one.graph_file])
                    found.append(one)
        return found

    def keys_of(self, segment: Segment) -> list[bytes]:
        """The keys of a graph."""
        if segment.id not in self._keys:
            data = (self.folder / segment.keys_file).read_bytes()
            self._keys[segment.id] = [data[at : at + KEY_BYTES] for at in range(0, len(data), KEY_BYTES)]
        return self._keys[segment.id]


def find_former(orders: Orders) -> Former | None:
    """Finds the newest snapshot of the same embedder."""
    for folder in snapshots(Path(orders.folder))[:1]:
        with suppress(DamagedSnapshotError):
            manifest = read_manifest(folder)
            if (manifest.embedder, manifest.dim) == (orders.embedder, orders.dim):
                return Former(folder, manifest)
    return None


def build(orders: Orders) -> Iterator[str]:
    """Builds snapshots, each better than the one before; none where the newest one is as good as it gets.

    Args:
        orders: What is wanted.

    Yields:
        The name of each, once it is published.

    Raises:
        OSError: There is no room.
        lmdb.Error: The store is damaged.
        RuntimeError: A graph could not be written.
    """
    rows = collect(orders)
    former = find_former(orders)
    plan = Plan(rows, orders, former)
    if former is not None and not plan.cuts and _same(former.manifest, rows, plan):
        return
    first = publish(orders, rows, plan, former, ())
    yield first.name
    if plan.cuts:
        yield publish(orders, rows, plan, Former(first, read_manifest(first)), plan.cuts).name


def _same(manifest: Manifest, rows: Rows, plan: Plan) -> bool:
    return (manifest.content, manifest.rows, len(manifest.segments)) == (rows.content, len(plan.exact), len(plan.kept))


def publish(
    orders: Orders, rows: Rows, plan: Plan, former: Former | None, cuts: Sequence[tuple[bytes, list[int]]]
) -> Path:
    """Writes one snapshot; rows whose graph is not built now are searched exactly.

    Args:
        orders: What is wanted.
        rows: Every vector.
        plan: Which rows go where.
        former: Where the graphs that stay are found.
        cuts: The graphs that are built now: those of the plan, or none.

    Returns:
        Its folder.

    Raises:
        OSError: There is no room.
    """
    writing = Writing(Path(orders.folder))
    try:
        segments = list(plan.kept)
        for one in segments:
            assert former is not None
            for name in (one.keys_file, one.graph_file):
                writing.reuse(name, former.folder, former.manifest.files[name])
        segments += [_write_graph(writing, orders, rows, scope, cut) for scope, cut in cuts]
        exact = plan.exact if cuts else sorted(plan.exact + [row for _, cut in plan.cuts for row in cut])
        _write_exact(writing, rows, exact)
        writing.write(DEAD, b"".join(plan.dead))
        return writing.publish(
            Manifest(
                schema=SCHEMA,
                embedder=orders.embedder,
                dim=orders.dim,
                content=rows.content,
                rows=len(exact),
                alive=len(rows.keys),
                segments=segments,
                files=writing.files,
            )
        )
    finally:
        writing.discard()


def _write_exact(writing: Writing, rows: Rows, exact: list[int]) -> None:
    scopes = [rows.scopes[row] for row in exact]
    cuts = [at for at, scope in enumerate(scopes) if at == 0 or scope != scopes[at - 1]]
    writing.write(SCOPES, b"".join(scopes[at] for at in cuts))
    writing.write(STARTS, np.array([*cuts, len(exact)], "<i8").tobytes())
    writing.write(KEYS, b"".join(rows.keys[row] for row in exact))
    whole = len(exact) == len(rows.keys)  # as it is for all but the largest caches: no copy
    matrix = np.ascontiguousarray(rows.matrix if whole else rows.matrix[exact])
    writing.write(MATRIX, matrix.reshape(-1).view(np.uint8).data)


def _write_graph(writing: Writing, orders: Orders, rows: Rows, scope: bytes, cut: list[int]) -> Segment:
    """Builds a graph, and reads it back: hnswlib does not notice that a disk is full."""
    keys = b"".join(rows.keys[row] for row in cut)
    segment = Segment(blake2b(scope + keys, digest_size=8).hexdigest(), scope, len(cut))
    hnswlib = importlib.import_module("hnswlib")  # an optional extra, without types
    index = hnswlib.Index("ip", orders.dim)
    index.init_index(len(cut), M=LINKS, ef_construction=EFFORT, random_seed=1)
    index.set_num_threads(1)
    index.add_items(rows.matrix[cut], np.arange(len(cut)))
    path = writing.place / segment.graph_file
    index.save_index(str(path))
    if path.stat().st_size != index.index_file_size():
        raise OSError(f"{segment.graph_file} was cut short; the disk may be full")
    writing.write(segment.keys_file, keys)
    writing.adopt(segment.graph_file)
    again = hnswlib.Index("ip", orders.dim)
    again.load_index(str(path))
    if again.get_current_count() != len(cut):
        raise OSError(f"{segment.graph_file} can not be read back")
    return segment


def main() -> int:
    """Builds, and says what came of it.

    Returns:
        1 where it failed.
    """
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints must not be taken for our word
    os.umask(0o077)
    os.nice(NICE)
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    threading.Thread(target=_await_end_of_input, daemon=True).start()
    try:
        for name in build(orders):
            _say(answer, Word(published=name))
    except Exception as error:
        _say(answer, Word(error=str(error) or type(error).__name__))
        return 1
    return 0


def _say(answer: int, word: Word) -> None:
    os.write(answer, msgspec.json.encode(word) + b"\n")


def _await_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
