"""The catalogue of a workspace: written by one process, read by another, derived from the files."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from beastmode.workspace.chunks import cut, digest
from beastmode.workspace.index.catalogue import Catalogue, DamagedError, FileRow
from beastmode.workspace.index.reading import Reader
from beastmode.workspace.index.words import identifiers, parts, prose_and_code, terms, words

CODE = '''class HTTPCache:
    """Keeps replies of servers."""

    def get_entry(self, key):
        return self.entries[key]


def _register_blueprint(app):
    app.blueprints.append(1)
'''


def row(path: str, text: str, **more: int) -> FileRow:
    about = {"size_bytes": len(text), "mtime_ns": 1, "ctime_ns": 2, "inode": 3} | more
    return FileRow(path=path, sha256=digest(text), chunks=cut(path, text), **about)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue.open(tmp_path / "deep" / "w.db")


@pytest.fixture
def reader(catalogue: Catalogue) -> Reader:
    return Reader(catalogue.path)


def fts_is_sound(catalogue: Catalogue) -> bool:
    with sqlite3.connect(catalogue.path) as db:
        db.execute("INSERT INTO words (words) VALUES ('integrity-check')")
        rows = db.execute("SELECT count(*) FROM pieces").fetchone()
        return bool(rows == db.execute("SELECT count(*) FROM words_docsize").fetchone())


def test_what_was_put_is_known_and_found(catalogue: Catalogue, reader: Reader) -> None:
    catalogue.put([row("web/cache.py", CODE, inode=(1 << 64) - 1), row("a\nb.md", "# Title\nwords")])
    assert catalogue.known() == {
        "web/cache.py": (len(CODE), 1, 2, (1 << 64) - 1, digest(CODE)),
        "a\nb.md": (13, 1, 2, 3, digest("# Title\nwords")),
    }
    assert catalogue.counts() == reader.counts() == (2, 4)
    assert [one.symbol for one in reader.pieces_of("web/cache.py")] == [
        "HTTPCache",
        "HTTPCache.get_entry",
        "_register_blueprint",
    ]
    piece = reader.pieces_of("web/cache.py")[1]
    assert piece.text == cut("web/cache.py", CODE)[1].text
    assert reader.chunk(piece.sha256) == piece
    assert reader.file_sha256("web/cache.py") == digest(CODE)
    assert reader.paths() == ["a\nb.md", "web/cache.py"]


@pytest.mark.parametrize(
    ("question", "symbol"),
    [
        ("register a blueprint", "_register_blueprint"),
        ("registering blueprints", "_register_blueprint"),
        ("http cache", "HTTPCache"),
        ("httpcache", "HTTPCache"),
        ("get_entry", "HTTPCache.get_entry"),
        ("an entry of the cache", "HTTPCache.get_entry"),
        ("replies", "HTTPCache"),
    ],
)
def test_words_of_code_are_found_in_parts_and_whole(
    catalogue: Catalogue, reader: Reader, question: str, symbol: str
) -> None:
    catalogue.put([row("web/store.py", CODE), row("other.py", "def unlike():\n    return None\n")])
    assert reader.search_words(question, 5)[0].symbol == symbol


def test_a_name_comes_before_one_that_begins_so_and_that_before_its_parts(catalogue: Catalogue, reader: Reader) -> None:
    text = "def get():\n    return 1\n\n\ndef get_all():\n    return 2\n\n\ndef all_get():\n    return 3\n"
    catalogue.put([row("a.py", text), row("b.py", "class Get:\n    def get(self):\n        return 1\n")])
    found = reader.search_symbols(["get"])
    assert [one.symbol for one in found] == ["get", "Get.get", "Get", "get_all", "all_get"]
    assert reader.search_symbols(["Get.get"])[0].symbol == "Get.get"
    assert reader.search_symbols([]) == [] and reader.search_symbols(["", "%", '"', "x.y.z"]) == []


def test_a_file_that_is_put_again_is_replaced_and_what_stays_only_moves(catalogue: Catalogue, reader: Reader) -> None:
    catalogue.put([row("a.py", CODE)])
    before = {one.symbol: one.id for one in reader.pieces_of("a.py")}
    catalogue.put([row("a.py", "import os\n\n\n" + CODE.replace("append(1)", "append(2)"))])
    after = {one.symbol: one for one in reader.pieces_of("a.py")}
    assert after["HTTPCache"].id == before["HTTPCache"] and after["HTTPCache"].first_line == 4
    assert after["_register_blueprint"].id != before["_register_blueprint"]
    assert catalogue.counts() == (1, 4)
    assert fts_is_sound(catalogue)


def test_what_is_removed_is_found_no_more(catalogue: Catalogue, reader: Reader) -> None:
    catalogue.put([row("a.py", CODE), row("b.py", CODE)])
    catalogue.remove(["a.py", "never there"])
    assert {one.path for one in reader.search_words("blueprint")} == {"b.py"}
    assert {one.path for one in reader.search_symbols(["HTTPCache"])} == {"b.py"}
    assert fts_is_sound(catalogue)
    catalogue.remove(["b.py"])
    assert catalogue.counts() == (0, 0) and reader.search_words("blueprint") == []


def test_a_batch_is_seen_whole_or_not_at_all(catalogue: Catalogue, reader: Reader) -> None:
    seen: set[int] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.add(reader.counts()[0] % 50)

    thread = threading.Thread(target=look)
    thread.start()
    for batch in range(5):
        catalogue.put([row(f"{batch}/{number}.py", "def f():\n    return 1\n") for number in range(50)])
    done.set()
    thread.join()
    assert seen == {0}


def test_a_batch_that_fails_leaves_nothing(catalogue: Catalogue, reader: Reader) -> None:
    bad = row("bad.py", CODE)
    bad.sha256 = "no digest"
    with pytest.raises(ValueError, match="hex"):
        catalogue.put([row("good.py", CODE), bad])
    assert catalogue.counts() == (0, 0) and reader.revision() == 0
    catalogue.put([row("good.py", CODE)])
    assert reader.revision() == 1


def test_it_is_there_after_it_was_closed(catalogue: Catalogue) -> None:
    catalogue.put([row("a.py", CODE)])
    catalogue.close()
    catalogue.close()
    again = Catalogue.open(catalogue.path)
    assert again.counts() == (1, 3) and not again.made_anew
    assert catalogue.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", [b"no database at all" * 500, b"SQLite format 3\x00" + b"\xff" * 9000])
def test_a_damaged_file_is_made_anew(catalogue: Catalogue, reader: Reader, damage: bytes) -> None:
    catalogue.put([row("a.py", CODE)])
    assert reader.counts() == (1, 3)
    reader.close()
    catalogue.close()
    catalogue.path.write_bytes(damage)
    assert reader.counts() == (0, 0) and reader.search_words("blueprint") == []
    again = Catalogue.open(catalogue.path)
    assert again.made_anew and again.known() == {}
    again.put([row("a.py", CODE)])
    assert reader.counts() == (1, 3)


def test_damage_that_shows_later_says_so_and_begins_again(catalogue: Catalogue) -> None:
    catalogue._db.execute("DROP TABLE pieces")
    with pytest.raises(DamagedError):
        catalogue.put([row("a.py", CODE)])
    assert catalogue.made_anew and catalogue.known() == {}
    catalogue.put([row("a.py", CODE)])
    assert catalogue.counts() == (1, 3)


@pytest.mark.parametrize("version", [1, 1 << 20])
def test_a_catalogue_of_another_version_is_made_anew(catalogue: Catalogue, reader: Reader, version: int) -> None:
    catalogue.put([row("a.py", CODE)])
    catalogue._db.execute(f"PRAGMA user_version = {version}")
    catalogue.close()
    assert reader.counts() == (0, 0)
    assert Catalogue.open(catalogue.path).counts() == (0, 0)


def test_no_catalogue_is_an_empty_one(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "none.db")
    assert reader.counts() == (0, 0) and reader.revision() == 0 and reader.chunk("00" * 32) is None
    assert reader.search_words("x") == [] and reader.search_symbols(["x"]) == [] and reader.unembedded(5) == ([], 0)


def test_texts_that_no_database_takes_are_kept(catalogue: Catalogue, reader: Reader) -> None:
    text = "# \ud800 head\n\0 text \ud800\n" + "long " * 300
    catalogue.put([row("a.md", text)])
    assert "".join(one.text for one in reader.pieces_of("a.md")).split() == text.split()
    assert catalogue.counts()[0] == 1


def test_pieces_are_told_in_turns(catalogue: Catalogue, reader: Reader) -> None:
    catalogue.put([row(f"{number}.py", f"def f{number}():\n    return {number}\n") for number in range(7)])
    first, after = reader.unembedded(5)
    second, end = reader.unembedded(5, after)
    assert [one.path for one in first + second] == [f"{number}.py" for number in range(7)] and end == 0
    assert reader.unembedded(9, 0, lambda _: True) == ([], 0)


def test_identifiers_have_their_parts() -> None:
    assert parts("HTTPCache") == ("httpcache", "http", "cache")
    assert parts("_get_user2") == ("get_user2", "get", "user", "2")
    assert parts("plain") == ("plain",)
    assert parts("___") == ()
    assert words("a.getX(1)") == ["a", "getx", "get", "x", "1"]


def test_a_question_has_its_terms_and_names() -> None:
    assert terms("How is the user's cache_key computed?") == ["user", "cache_key", "cache", "key", "computed"]
    assert terms("what is it") == ["what", "is", "it"]
    assert terms("") == [] and terms("?!") == []
    assert identifiers("Why does `open` fail in UserCache.get_entry when load() is called by me?") == [
        "open",
        "UserCache.get_entry",
        "load",
    ]


def test_prose_is_told_from_code() -> None:
    prose, code = prose_and_code('def f():\n    """What it does."""\n    return 1  # why\n')
    assert "What it does." in prose and "why" in prose and "return 1" in code and "What" not in code


def test_definers_are_those_of_the_very_name_unless_there_are_many(catalogue: Catalogue, reader: Reader) -> None:
    catalogue.put([row("a.py", "def pay():\n    return 1\n"), row("b.py", "def Pay():\n    return 2\n")])
    assert {name: [one.path for one in found] for name, found in reader.definers(["pay", "none"], 2).items()} == {
        "pay": ["a.py"]
    }
    catalogue.put([row("c.py", "def pay():\n    return 3\n")])
    assert reader.definers(["pay"], 2) == {}
    assert reader.definers([], 2) == {}
    assert reader.definers([f"name{number}" for number in range(2000)], 2) == {}
