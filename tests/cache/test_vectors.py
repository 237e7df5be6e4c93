"""The vector index: what it finds, what it never finds, how it grows, and how it heals."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beastmode.cache import index_keeper, index_snapshot, vectors
from beastmode.cache.disk_store import Store
from beastmode.cache.disk_tables import put_operation
from beastmode.cache.index_build import Orders, Plan, Rows, build, collect, publish
from beastmode.cache.index_format import DamagedSnapshotError
from beastmode.cache.index_rows import Tail
from beastmode.cache.index_snapshot import Snapshot
from beastmode.cache.vectors import VectorIndex, from_bytes, to_bytes
from beastmode.core.clock import Clock
from support.answers import key_of
from support.vectors import DIM, EMBEDDER, OTHER, SCOPE, Shelf, Vectors, brute_force, keys_of, names, random_vectors
from support.waiting import until

GRAPHS = {"graph_rows": 200, "segment_rows": 100}


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.close()


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Shelf]:
    """A shelf on which a scope is large from 200 rows on."""
    made = Shelf(tmp_path, **GRAPHS)
    yield made
    made.close()


@pytest.fixture
def memory(tmp_path: Path) -> VectorIndex:
    """An index without a store."""
    return VectorIndex(tmp_path / "index", DIM, EMBEDDER, Clock(), None)


def found(index: VectorIndex, vector: Vectors, scope: bytes = SCOPE, k: int = 8, floor: float = -1.0) -> list[bytes]:
    return [key for key, _ in index.nearest(scope, vector, k, floor)]


class TestSearch:
    def test_the_nearest_come_first_with_their_cosine(self, memory: VectorIndex) -> None:
        vectors = random_vectors(300)
        for key, vector in zip(keys_of(300), vectors, strict=True):
            memory.add(key, SCOPE, vector)
        for query in random_vectors(20, seed=1):
            matches = memory.nearest(SCOPE, query, 5, 0.2)
            assert [key for key, _ in matches] == brute_force(keys_of(300), vectors, query, 5, 0.2)
            for key, similarity in matches:
                assert similarity == pytest.approx(float(vectors[keys_of(300).index(key)] @ query), abs=1e-5)

    def test_nothing_below_the_floor_is_found(self, memory: VectorIndex) -> None:
        for key, vector in zip(keys_of(100), random_vectors(100), strict=True):
            memory.add(key, SCOPE, vector)
        for query in random_vectors(20, seed=2):
            assert all(similarity >= 0.75 for _, similarity in memory.nearest(SCOPE, query))

    def test_a_snapshot_finds_exactly_what_an_exact_search_finds(self, shelf: Shelf) -> None:
        vectors = random_vectors(500)
        keys = shelf.store_all(names(500), vectors)
        shelf.index.start()
        shelf.settle()
        assert shelf.index.stats().tail == 0
        for query in random_vectors(50, seed=3):
            assert found(shelf.index, query, k=4) == brute_force(keys, vectors, query, 4, -1.0)

    def test_graphs_find_the_nearest_nearly_always(self, large: Shelf) -> None:
        vectors = random_vectors(1500)
        keys = large.store_all(names(1500), vectors)
        large.index.start()
        large.settle()
        assert large.index.stats().graphs == 15
        queries = random_vectors(200, seed=4)
        hits = sum(found(large.index, query, k=1) == brute_force(keys, vectors, query, 1, -1.0) for query in queries)
        assert hits >= 0.95 * len(queries)

    def test_rows_in_memory_and_in_the_snapshot_are_found_together(self, large: Shelf) -> None:
        vectors = random_vectors(400)
        keys = large.store_all(names(250), vectors[:250])
        large.index.start()
        large.settle()
        for name, vector in zip(names(400)[250:], vectors[250:], strict=True):
            keys.append(key_of(name))
            large.index.add(key_of(name), SCOPE, vector)
        assert large.index.stats().entries == 400
        assert large.index.stats().graphs == 3
        assert large.index.stats().tail == 150
        for query in random_vectors(30, seed=5):
            assert found(large.index, query, k=400, floor=0.0) == brute_force(keys, vectors, query, 400, 0.0)

    def test_equal_vectors_do_not_hide_each_other(self, large: Shelf) -> None:
        vectors = np.repeat(random_vectors(1), 300, axis=0)
        keys = large.store_all(names(300), vectors)
        large.index.start()
        large.settle()
        assert large.index.stats().graphs == 3
        assert set(found(large.index, vectors[0], k=8)) <= set(keys)
        assert found(large.index, vectors[0], k=8)

    def test_a_scope_that_nobody_used_has_nothing(self, shelf: Shelf) -> None:
        shelf.store_all(names(3), random_vectors(3))
        shelf.index.start()
        shelf.settle()
        for scope in (OTHER, b"\0" * 16, b"\xff" * 16):
            assert shelf.index.nearest(scope, random_vectors(1)[0], floor=-1.0) == []

    @pytest.mark.parametrize(
        ("key", "scope", "vector"),
        [
            (b"short", SCOPE, random_vectors(1)[0]),
            (key_of("a"), b"short", random_vectors(1)[0]),
            (key_of("a"), SCOPE, random_vectors(1, dim=DIM + 1)[0]),
        ],
    )
    def test_what_has_a_wrong_size_is_refused(
        self, memory: VectorIndex, key: bytes, scope: bytes, vector: Vectors
    ) -> None:
        with pytest.raises(ValueError, match="16 bytes"):
            memory.add(key, scope, vector)

    def test_a_vector_survives_its_way_through_an_entry(self) -> None:
        vector = random_vectors(1)[0]
        again = from_bytes(to_bytes(vector), DIM)
        assert again is not None
        assert np.array_equal(again, vector)
        assert from_bytes(b"", DIM) is None
        assert from_bytes(to_bytes(vector), DIM + 1) is None


class TestScopes:
    @settings(deadline=None, max_examples=60)
    @given(
        st.lists(
            st.tuples(st.sampled_from(["add", "remove", "search"]), st.integers(0, 30), st.integers(0, 3)), max_size=60
        )
    )
    def test_no_key_of_another_scope_is_ever_found(self, steps: list[tuple[str, int, int]]) -> None:
        vectors = random_vectors(31)
        tail = Tail(DIM, 1000)
        alive: dict[bytes, tuple[bytes, int]] = {}
        for what, number, place in steps:
            key, scope = key_of((number, place)), bytes([place]) * 16
            if what == "add":
                tail.add(key, scope, vectors[number])
                alive[key] = scope, number
            elif what == "remove":
                tail.remove(key)
                alive.pop(key, None)
            else:
                inside = [one for one, (where, _) in alive.items() if where == scope]
                rows = np.array([vectors[alive[one][1]] for one in inside]).reshape(-1, DIM)
                got = [one for one, _ in tail.search(scope, vectors[number], 5, -1.0)]
                assert got == brute_force(inside, rows, vectors[number], 5, -1.0)
        assert len(tail) == len(alive)
        assert tail.scopes == len({scope for scope, _ in alive.values()})

    @settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.tuples(st.binary(min_size=16, max_size=16), st.integers(1, 40)), min_size=1, max_size=6))
    def test_a_snapshot_of_any_scopes_finds_in_each_what_is_its_own(
        self, tmp_path: Path, sizes: list[tuple[bytes, int]]
    ) -> None:
        owned: dict[bytes, list[bytes]] = {}
        for scope, count in sizes:
            owned[scope] = [key_of((scope, number)) for number in range(count)]
        keys = [key for inside in owned.values() for key in inside]
        vectors = random_vectors(len(keys))
        rows = Rows(keys, [scope for scope, inside in owned.items() for _ in inside], bytearray(to_bytes(vectors)), DIM)
        orders = Orders(store="", folder=str(tmp_path), embedder=EMBEDDER, dim=DIM, graph_rows=20, segment_rows=10)
        plan = Plan(rows, orders, None)
        snapshot = Snapshot(publish(orders, rows, plan, None, plan.cuts), EMBEDDER, DIM, {})
        for scope, inside in owned.items():
            own = vectors[[keys.index(key) for key in inside]]
            got = [key for key, _ in snapshot.search(scope, vectors[0], 3, -1.0, ())]
            assert got == brute_force(inside, own, vectors[0], 3, -1.0)

    def test_no_key_of_another_scope_is_found_in_a_snapshot(self, large: Shelf) -> None:
        vectors = random_vectors(300)
        owned = {}
        for number in range(40):
            scope = bytes([number * 6]) * 16
            count = 300 if number in (7, 8) else 1 + number % 5
            owned[scope] = set(large.store_all(names(count, f"s{number}-"), vectors[:count], scope))
        large.index.start()
        large.settle()
        assert large.index.stats().graphs == 6
        for query in (vectors[0], vectors[100], -vectors[5]):
            for scope, keys in owned.items():
                assert set(found(large.index, query, scope, k=1000)) <= keys
                assert len(found(large.index, query, scope, k=5)) >= min(5, len(keys))


class TestChange:
    def test_an_entry_is_found_at_once_and_not_after_its_removal(self, shelf: Shelf) -> None:
        vector = random_vectors(1)[0]
        shelf.index.add(key_of("a"), SCOPE, vector)
        shelf.index.add(key_of("a"), SCOPE, vector)
        assert found(shelf.index, vector) == [key_of("a")]
        shelf.index.remove([key_of("a"), key_of("never there")])
        assert found(shelf.index, vector) == []
        shelf.index.add(key_of("a"), SCOPE, vector)
        assert found(shelf.index, vector) == [key_of("a")]

    def test_a_row_of_the_snapshot_is_gone_when_it_is_removed_and_back_when_it_is_added(self, large: Shelf) -> None:
        vectors = random_vectors(300)
        keys = large.store_all(names(300), vectors)
        large.index.start()
        large.settle()
        gone = keys[::3]
        large.index.remove(gone)
        assert not set(found(large.index, vectors[0], k=300)) & set(gone)
        assert large.index.stats().entries == 200
        large.index.add(gone[0], SCOPE, vectors[0])
        assert found(large.index, vectors[0], k=1) == [gone[0]]
        assert large.index.stats().entries == 201

    def test_what_was_removed_stays_away_though_a_build_still_saw_it(self, shelf: Shelf) -> None:
        vectors = random_vectors(10)
        keys = shelf.store_all(names(10), vectors)
        shelf.index.remove(keys[:5])
        shelf.index.start()
        shelf.settle()
        assert set(found(shelf.index, vectors[0], k=10)) == set(keys[5:])
        shelf.unstore(keys[:5])
        shelf.index.rebuild()
        shelf.settle()
        assert shelf.index.stats().entries == 5

    def test_what_was_removed_and_is_in_the_store_all_the_same_comes_back(
        self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = shelf.store_all(names(3), random_vectors(3))
        shelf.index.start()
        shelf.settle()
        shelf.index.remove(keys)
        assert shelf.index.stats().entries == 0
        monkeypatch.setattr(vectors, "REMOVAL_S", 0.0)
        monkeypatch.setattr(vectors, "REFRESH_S", 0.0)
        shelf.index.remove([key_of("another")])
        shelf.settle()
        assert shelf.index.stats().entries == 3

    def test_what_was_removed_and_added_again_is_found_through_every_build(self, large: Shelf) -> None:
        vectors = random_vectors(300)
        keys = large.store_all(names(300), vectors)
        large.index.start()
        large.settle()
        large.index.remove(keys[:20])
        large.unstore(keys[:20])
        large.index.rebuild()
        large.settle()
        large.store_all(names(20), vectors[:20])
        for key, vector in zip(keys[:20], vectors, strict=False):
            large.index.add(key, SCOPE, vector)
        assert found(large.index, vectors[3], k=1) == [keys[3]]
        large.index.rebuild()
        large.settle()
        assert found(large.index, vectors[3], k=1) == [keys[3]]
        assert large.index.stats().tail == 0
        assert large.index.stats().entries == 300

    def test_clearing_forgets_everything_on_disk_too(self, large: Shelf) -> None:
        vectors = random_vectors(300)
        keys = large.store_all(names(300), vectors)
        large.index.start()
        large.settle()
        large.index.add(key_of("new"), SCOPE, vectors[0])
        large.unstore(keys)
        large.index.clear()
        assert found(large.index, vectors[0]) == []
        assert large.index.stats().entries == 0
        assert list(large.folder.glob("snapshot-*")) == []
        large.restart()
        large.settle()
        assert found(large.index, vectors[0]) == []

    def test_clearing_during_a_build_lets_nothing_of_it_in(self, large: Shelf) -> None:
        vectors = random_vectors(2000)
        keys = large.store_all(names(2000), vectors)
        large.index.start()
        until(lambda: large.index.stats().building)
        large.unstore(keys)
        large.index.clear()
        large.settle()
        assert found(large.index, vectors[0]) == []
        assert large.index.stats().entries == 0
        assert large.index.problem is None

    def test_enough_new_rows_start_a_build(self, tmp_path: Path) -> None:
        shelf = Shelf(tmp_path, tail_rows=50)
        try:
            shelf.index.start()
            shelf.settle()
            builds = shelf.index.stats().builds
            vectors = random_vectors(60)
            keys = shelf.store_all(names(60), vectors)
            for key, vector in zip(keys, vectors, strict=True):
                shelf.index.add(key, SCOPE, vector)
            until(lambda: shelf.index.stats().tail == 0)
            shelf.settle()
            assert shelf.index.stats().builds > builds
            assert found(shelf.index, vectors[7], k=1) == [keys[7]]
        finally:
            shelf.close()

    def test_rows_that_the_store_does_not_have_do_not_start_build_after_build(self, tmp_path: Path) -> None:
        shelf = Shelf(tmp_path, tail_rows=50)
        try:
            shelf.index.start()
            shelf.settle()
            for key, vector in zip(keys_of(60), random_vectors(60), strict=True):
                shelf.index.add(key, SCOPE, vector)
            shelf.settle()
            builds = shelf.index.stats().builds
            shelf.index.add(key_of("one more"), SCOPE, random_vectors(1)[0])
            assert shelf.index.wait_idle(1)
            assert shelf.index.stats().builds == builds
            assert shelf.index.stats().entries == 61
        finally:
            shelf.close()

    def test_the_oldest_rows_make_room_where_there_is_no_store(self) -> None:
        tail = Tail(DIM, 10)
        for key, vector in zip(keys_of(15), random_vectors(15), strict=True):
            tail.add(key, SCOPE, vector)
        assert sorted(tail) == sorted(keys_of(15)[5:])


class TestGrowth:
    def test_a_scope_that_grows_gets_graphs_and_keeps_those_it_has(self, large: Shelf) -> None:
        vectors = random_vectors(450)
        keys = large.store_all(names(150), vectors[:150])
        large.index.start()
        large.settle()
        assert large.index.stats().graphs == 0
        keys += large.store_all(names(310)[150:], vectors[150:310])
        large.index.rebuild()
        large.settle()
        assert large.index.stats().graphs == 3
        graphs = {path.name: path.stat().st_ino for path in large.files() if path.suffix == ".hnsw"}
        keys += large.store_all(names(450)[310:], vectors[310:])
        large.index.rebuild()
        large.settle()
        later = {path.name: path.stat().st_ino for path in large.files() if path.suffix == ".hnsw"}
        assert graphs.items() < later.items()
        for query in random_vectors(20, seed=6):
            assert found(large.index, query, k=3) == brute_force(keys, vectors, query, 3, -1.0)

    def test_a_graph_that_is_mostly_dead_is_built_anew(self, large: Shelf) -> None:
        vectors = random_vectors(600)
        keys = large.store_all(names(600), vectors)
        large.index.start()
        large.settle()
        before = {path.name for path in large.files()}
        large.unstore(keys[::2])
        large.index.rebuild()
        large.settle()
        assert not {name for name in before if name.endswith(".hnsw")} & {path.name for path in large.files()}
        assert large.index.stats().entries == 300

    def test_a_purge_leaves_nothing_of_a_removed_row_in_any_file(self, large: Shelf) -> None:
        vectors = random_vectors(300)
        keys = large.store_all(names(300), vectors)
        large.index.start()
        large.settle()
        large.unstore(keys[:3])
        large.index.rebuild()
        large.settle()
        assert any(keys[0] in path.read_bytes() for path in large.files())
        large.index.rebuild(purge=True)
        large.settle()
        assert not any(keys[0] in path.read_bytes() for path in large.files())
        assert not any(vectors[0].tobytes() in path.read_bytes() for path in large.files())

    def test_a_restart_with_nothing_new_builds_nothing_and_finds_everything(self, large: Shelf) -> None:
        vectors = random_vectors(300)
        keys = large.store_all(names(300), vectors)
        large.index.start()
        large.settle()
        before = {path: path.stat().st_mtime_ns for path in large.files()}
        large.restart()
        large.settle()
        assert {path: path.stat().st_mtime_ns for path in large.files()} == before
        assert found(large.index, vectors[9], k=1) == [keys[9]]
        assert large.index.problem is None

    def test_a_restart_finds_what_came_after_the_last_snapshot(self, large: Shelf) -> None:
        large.index.start()
        large.settle()
        vectors = random_vectors(5)
        keys = large.store_all(names(5), vectors)
        large.restart()
        large.settle()
        assert found(large.index, vectors[2], k=1) == [keys[2]]

    def test_without_hnswlib_everything_is_searched_exactly(
        self, large: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hidden = tmp_path / "hidden"
        hidden.mkdir()
        (hidden / "sitecustomize.py").write_text(
            "import importlib.util as u\nfind = u.find_spec\n"
            "u.find_spec = lambda name, *more: None if name == 'hnswlib' else find(name, *more)\n"
        )
        monkeypatch.setenv("PYTHONPATH", str(hidden))
        vectors = random_vectors(500)
        keys = large.store_all(names(500), vectors)
        large.index.start()
        large.settle()
        assert large.index.stats().graphs == 0
        assert large.index.problem is None
        for query in random_vectors(20, seed=7):
            assert found(large.index, query, k=3) == brute_force(keys, vectors, query, 3, -1.0)

    def test_a_snapshot_with_graphs_is_made_anew_where_hnswlib_went_away(
        self, large: Shelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        large.store_all(names(300), random_vectors(300))
        large.index.start()
        large.settle()
        monkeypatch.setitem(sys.modules, "hnswlib", None)
        with pytest.raises(DamagedSnapshotError, match="hnsw"):
            Snapshot(max(large.folder.glob("snapshot-*")), EMBEDDER, DIM, {})

    def test_vectors_of_another_embedder_are_left_alone(self, shelf: Shelf) -> None:
        vectors = random_vectors(4)
        shelf.store_all(names(2), vectors[:2])
        shelf.store_all(names(2, "other"), vectors[2:], embedder="another")
        shelf.index.start()
        shelf.settle()
        assert set(found(shelf.index, vectors[0])) == set(keys_of(2))

    def test_a_snapshot_of_another_embedder_is_replaced(self, shelf: Shelf) -> None:
        vectors = random_vectors(4)
        shelf.store_all(names(2), vectors[:2])
        keys = shelf.store_all(names(2, "other"), vectors[2:], embedder="another")
        shelf.index.start()
        shelf.settle()
        shelf.index.close()
        shelf.index = shelf.open_index("another")
        shelf.index.start()
        shelf.settle()
        assert set(found(shelf.index, vectors[0])) == set(keys)
        assert shelf.index.problem is None

    def test_nothing_is_built_while_the_store_must_not_be_read(self, shelf: Shelf) -> None:
        keys = shelf.store_all(names(3), random_vectors(3))
        shelf.readable = False
        shelf.index.start()
        assert not shelf.index.wait_idle(0.1)
        shelf.readable = True
        shelf.settle()
        assert set(found(shelf.index, random_vectors(3)[0])) == set(keys)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


DAMAGES = [truncate, flip, zero, Path.unlink]
FILES = ["manifest", "scopes", "starts", "keys", "matrix", "dead", ".keys", ".hnsw"]


class TestDamage:
    @pytest.fixture(scope="class")
    @classmethod
    def kept(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shelf, Path]]:
        """A shelf with rows of every kind, and a copy of its index."""
        shelf = Shelf(tmp_path_factory.mktemp("damage"), **GRAPHS)
        vectors = random_vectors(340)
        keys = shelf.store_all(names(340), vectors)
        shelf.store_all(names(40, "other"), vectors[:40], OTHER)
        shelf.index.start()
        shelf.settle()
        shelf.unstore([keys[0]])
        shelf.index.rebuild()
        shelf.settle()
        shelf.index.close()
        copy = shelf.folder.with_name("copy")
        shutil.copytree(shelf.folder, copy)
        yield shelf, copy
        shelf.close()

    @pytest.fixture
    def whole(self, kept: tuple[Shelf, Path]) -> Iterator[Shelf]:
        shelf, copy = kept
        shelf.index.close()
        shutil.rmtree(shelf.folder)
        shutil.copytree(copy, shelf.folder)
        shelf.index = shelf.open_index()
        yield shelf
        shelf.readable = True
        shelf.index.close()

    def finds_everything(self, shelf: Shelf) -> None:
        vectors = random_vectors(340)
        shelf.settle()
        assert shelf.index.problem is None
        for scope, keys, rows in (
            (SCOPE, keys_of(340)[1:], vectors[1:]),
            (OTHER, keys_of(40, "other"), vectors[:40]),
        ):
            for query in vectors[5:300:60]:
                assert found(shelf.index, query, scope, k=3) == brute_force(keys, rows, query, 3, -1.0)

    @pytest.mark.parametrize("damage", DAMAGES, ids=["truncated", "flipped", "zeroed", "deleted"])
    @pytest.mark.parametrize("name", FILES)
    def test_a_file_that_was_damaged_while_the_daemon_was_away_is_found_out_and_the_index_built_anew(
        self, whole: Shelf, name: str, damage: Callable[[Path], None]
    ) -> None:
        path = next(path for path in whole.files() if path.name == name or path.suffix == name)
        if not path.stat().st_size:
            pytest.fail(f"{name} is empty")
        damage(path)
        whole.readable = False
        whole.index.start()
        until(lambda: whole.index.problem is not None)
        assert "built anew" in (whole.index.problem or "")
        fresh = random_vectors(1, seed=99)[0]
        whole.index.add(key_of("fresh"), b"f" * 16, fresh)
        assert found(whole.index, fresh, b"f" * 16) == [key_of("fresh")]
        whole.readable = True
        self.finds_everything(whole)

    @pytest.mark.parametrize("damage", DAMAGES, ids=["truncated", "flipped", "zeroed", "deleted"])
    @pytest.mark.parametrize("name", FILES)
    def test_a_file_that_is_damaged_while_it_is_in_use_never_ends_the_daemon(
        self, whole: Shelf, name: str, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(index_keeper, "WATCH_S", 0.02)
        whole.index.start()
        self.finds_everything(whole)
        builds = whole.index.stats().builds
        if name != "manifest":
            damage(next(path for path in whole.files() if path.name == name or path.suffix == name))
            assert whole.index.nearest(OTHER, random_vectors(1)[0], floor=-1.0) is not None
            until(lambda: whole.index.stats().builds > builds)
        self.finds_everything(whole)

    @pytest.mark.parametrize("damage", DAMAGES, ids=["truncated", "flipped", "zeroed", "deleted"])
    def test_rows_too_large_to_be_read_whole_are_mapped_and_never_end_the_daemon_either(
        self, whole: Shelf, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(index_snapshot, "READ_MAX_BYTES", 0)
        whole.index.start()
        self.finds_everything(whole)
        builds = whole.index.stats().builds
        damage(next(path for path in whole.files() if path.name == "matrix"))
        assert found(whole.index, random_vectors(1)[0], OTHER) == []
        until(lambda: whole.index.stats().builds > builds)
        self.finds_everything(whole)

    def test_rows_that_were_read_serve_on_when_their_file_is_cut_short(
        self, whole: Shelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(index_keeper, "WATCH_S", 60.0)
        whole.index.start()
        self.finds_everything(whole)
        truncate(next(path for path in whole.files() if path.name == "matrix"))
        assert found(whole.index, random_vectors(340)[7], OTHER, k=1) == [keys_of(40, "other")[7]]

    def test_an_index_that_is_gone_is_built_anew_and_said_to_be(self, whole: Shelf) -> None:
        for path in whole.folder.iterdir():
            shutil.rmtree(path)
        whole.readable = False
        whole.index.start()
        until(lambda: whole.index.problem is not None)
        whole.readable = True
        self.finds_everything(whole)

    def test_a_manifest_of_a_newer_version_is_not_used(self, whole: Shelf) -> None:
        manifest = next(path for path in whole.files() if path.name == "manifest")
        manifest.write_bytes(b"00\n{}")
        whole.index.start()
        self.finds_everything(whole)

    def test_what_a_store_held_is_forgotten_when_another_one_takes_its_place(
        self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(index_keeper, "WATCH_S", 0.02)
        shelf.store_all(names(3), random_vectors(3))
        shelf.index.start()
        shelf.settle()
        shelf.store.close()
        shelf.store.folder.rename(shelf.store.folder.with_name("damaged"))
        shelf.store.open()
        keys = shelf.store_all(names(2, "later"), random_vectors(2))
        until(lambda: set(found(shelf.index, random_vectors(1)[0])) == set(keys))

    def test_a_damaged_answer_in_the_store_is_left_out(self, shelf: Shelf) -> None:
        keys = shelf.store_all(names(3), random_vectors(3))
        shelf.store.apply([put_operation(keys[1], b"no record")])
        shelf.index.start()
        shelf.settle()
        assert set(found(shelf.index, random_vectors(3)[0])) == {keys[0], keys[2]}


class TestTrouble:
    def orders(self, shelf: Shelf, **changes: object) -> Orders:
        orders = Orders(
            store=str(shelf.store.folder),
            folder=str(shelf.folder),
            embedder=EMBEDDER,
            dim=DIM,
            graph_rows=200,
            segment_rows=100,
        )
        return msgspec.structs.replace(orders, **changes)

    def child(self, shelf: Shelf) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "beastmode.cache.index_build"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdin is not None
        child.stdin.write(msgspec.json.encode(self.orders(shelf)) + b"\n")
        child.stdin.flush()
        return child

    def test_a_build_that_is_killed_leaves_what_was_there_and_is_done_again(self, large: Shelf) -> None:
        vectors = random_vectors(3000)
        keys = large.store_all(names(3000), vectors)
        child = self.child(large)
        until(lambda: any(large.folder.glob(".building-*")) if large.folder.exists() else False)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert list(large.folder.glob(".building-*"))
        large.index.start()
        large.settle()
        assert list(large.folder.glob(".building-*")) == []
        assert large.index.problem is None
        assert found(large.index, vectors[5], k=1) == [keys[5]]

    def test_a_child_that_somebody_kills_is_a_problem_until_the_next_one(
        self, large: Shelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        started = []
        start = index_keeper._start

        def killed_at_once(orders: Orders) -> subprocess.Popen[bytes]:
            child = start(orders)
            if not started:
                child.kill()
            started.append(child)
            return child

        monkeypatch.setattr(index_keeper, "_start", killed_at_once)
        large.options["pause_s"] = 0.3
        large.index = large.open_index()
        keys = large.store_all(names(3), random_vectors(3))
        large.index.start()
        until(lambda: large.index.problem is not None)
        assert "ended with -9" in (large.index.problem or "")
        large.settle()
        assert large.index.problem is None
        assert set(found(large.index, random_vectors(3)[0])) == set(keys)

    def test_a_child_whose_daemon_is_gone_ends(self, large: Shelf) -> None:
        large.store_all(names(3000), random_vectors(3000))
        child = self.child(large)
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(60) == 0
        assert child.stdout is not None
        child.stdout.close()

    @pytest.mark.parametrize("limit_bytes", [1000, 20_000, 60_000])
    def test_a_full_disk_is_a_problem_until_there_is_room(self, large: Shelf, limit_bytes: int) -> None:
        """The limits hit the matrix, a graph, or the first snapshot's larger matrix."""
        vectors = random_vectors(800)
        keys = large.store_all(names(800), vectors)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))  # children have it too
        try:
            large.index.start()
            until(lambda: large.index.problem is not None)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "could not be built" in (large.index.problem or "")
        large.settle()
        assert large.index.problem is None
        assert found(large.index, vectors[5], k=1) == [keys[5]]

    def test_a_graph_that_was_cut_short_is_never_published(self, large: Shelf) -> None:
        large.store_all(names(250), random_vectors(250))
        large.store.close()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        published = []
        steps = build(self.orders(large))
        published.append(next(steps))  # everything exact
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        try:
            with pytest.raises((OSError, RuntimeError)):
                published.append(next(steps))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert [path.name for path in large.folder.iterdir()] == published

    def test_a_store_whose_map_grows_while_it_is_read_is_read_to_its_end(self, tmp_path: Path) -> None:
        store = Store(tmp_path / "store", 1 << 20, time.time)
        store.open()
        entries = [key_of(number) for number in range(1500)]
        store.apply(put_operation(key, b"a record") for key in entries)
        program = (
            "import sys; from beastmode.cache.index_build import _records\n"
            "records = _records(sys.argv[1]); next(records); print('begun', flush=True); sys.stdin.read()\n"
            "print(1 + sum(1 for _ in records))"
        )
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(store.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        later = [key for number in range(2000) if (key := key_of(("later", number))) > max(sorted(entries)[:1000])]
        store.map.resize(64 << 20)
        store.map.commit(lambda txn: [txn.put(key, bytes(30_000), db=store._tables.entries) for key in later])
        said, _ = child.communicate()
        store.close()
        assert int(said) == 1500 + len(later)

    def test_a_child_that_was_killed_while_it_read_keeps_no_page(self, large: Shelf) -> None:
        large.store_all(names(10), random_vectors(10))
        program = (
            "import sys, lmdb\n"
            "env = lmdb.open(sys.argv[1], readonly=True, max_dbs=8, lib_version=0); txn = env.begin()\n"
            "print('begun', flush=True); sys.stdin.read()"
        )
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(large.store.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        child.kill()
        child.communicate()
        env = large.store.map._env
        assert env is not None
        assert len(env.readers().splitlines()) > 1
        large.index.start()
        large.settle()
        assert env.reader_check() == 0, "there was none left"

    def test_a_store_that_can_not_be_opened_is_a_problem(self, large: Shelf, tmp_path: Path) -> None:
        large.source = lambda: tmp_path / "nowhere"  # type: ignore[method-assign]
        large.index = large.open_index()
        large.index.start()
        until(lambda: large.index.problem is not None)
        assert "could not be built" in (large.index.problem or "")

    def test_an_empty_store_gives_an_empty_index(self, large: Shelf) -> None:
        large.store.close()
        rows = collect(self.orders(large))
        assert rows.keys == []
        assert Plan(rows, self.orders(large), None).exact == []
        assert list(build(self.orders(large))) == ["snapshot-000001"]
        assert list(build(self.orders(large))) == []
