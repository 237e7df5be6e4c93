"""A text is cut along what it defines, and a piece depends on its own text alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.workspace import chunks
from beastmode.workspace.chunks import Chunk, cut, digest
from beastmode.workspace.positions import content, split_lines

PYTHON = '''"""A module."""
import os

LIMIT = 3


# what it is for
@cached
def first(a):
    """Says it."""
    return a


class Cache(dict):
    """Keeps."""

    size = 1

    def get(self, key):
        return key

    async def put(self, key):
        return key


def last():
    return 1
'''
PATHS = ["a.py", "a.js", "a.ts", "a.tsx", "a.go", "a.rs", "a.c", "a.cpp", "a.rb", "a.php", "a.java", "a.cs", "a.sh"]
PATHS += ["a.lua", "a.kt", "a.md", "a.rst", "a.txt", "a.json", "a.yaml", "a.css", "a", "Makefile"]


def by_symbol(text: str, path: str = "a.py") -> dict[str, list[Chunk]]:
    found: dict[str, list[Chunk]] = {}
    for chunk in cut(path, text):
        found.setdefault(chunk.symbol, []).append(chunk)
    return found


def test_functions_methods_and_what_is_between_are_pieces() -> None:
    assert [(one.symbol, one.kind, one.first_line, one.last_line, one.names) for one in cut("a.py", PYTHON)] == [
        ("", "module", 1, 4, ["LIMIT"]),
        ("first", "function", 7, 11, ["first"]),
        ("Cache", "class", 14, 17, ["Cache", "size"]),
        ("Cache.get", "method", 19, 20, ["get"]),
        ("Cache.put", "method", 22, 23, ["put"]),
        ("last", "function", 26, 27, ["last"]),
    ]


def test_a_piece_has_the_digest_of_its_text() -> None:
    for chunk in cut("a.py", PYTHON):
        assert chunk.sha256 == digest(chunk.text)
        assert chunk.text == "\n".join(PYTHON.split("\n")[chunk.first_line - 1 : chunk.last_line])


def test_a_function_is_the_same_piece_wherever_it_moves_to() -> None:
    moved = "import sys\n\n\ndef last():\n    return 1\n\n\n" + PYTHON.replace("def last():\n    return 1\n", "")
    for symbol in ("first", "Cache.get", "Cache.put", "last"):
        assert [one.sha256 for one in by_symbol(moved)[symbol]] == [one.sha256 for one in by_symbol(PYTHON)[symbol]]


def test_an_edit_of_one_function_changes_no_other_piece() -> None:
    edited = PYTHON.replace("return key\n\n    async", "return self[key]\n\n    async")
    before, after = cut("a.py", PYTHON), cut("a.py", edited)
    assert [old.symbol for old, new in zip(before, after, strict=True) if old.sha256 != new.sha256] == ["Cache.get"]


def test_a_large_function_is_cut_and_a_small_one_never() -> None:
    large = "def large():\n" + "".join(f"    a{number} = {number}\n" for number in range(300))
    pieces = cut("a.py", large)
    assert len(pieces) > 3 and {one.symbol for one in pieces} == {"large"}
    assert pieces[0].names == ["large"] and pieces[1].names == []
    assert max(one.last_line - one.first_line for one in pieces) < 80
    small = "def small():\n" + "".join(f"    a{number} = {number}\n" for number in range(70))
    assert len(cut("a.py", small)) == 1


@pytest.mark.parametrize(
    ("path", "text", "symbols"),
    [
        (
            "a.js",
            "const get = (a) => {\n  return a;\n};\nclass A {\n  put() {\n    return 1;\n  }\n}\n",
            ["get", "A", "A.put"],
        ),
        ("a.js", "Cache.prototype.get = function () {\n  return 1;\n};\n", ["Cache.get"]),
        ("a.ts", "export abstract class A<T> {\n  get(a: T): T {\n    return a;\n  }\n}\n", ["A", "A.get"]),
        ("a.tsx", "export function App() {\n  return <p>hello</p>;\n}\n", ["App"]),
        ("a.go", "func (c *Cache) Get(a int) int {\n\treturn a\n}\n", ["Cache.Get"]),
        ("a.rs", "impl Cache {\n    fn get(&self) -> i32 {\n        1\n    }\n}\n", ["Cache", "Cache.get"]),
        ("a.c", "static int *get(int a)\n{\n  return 0;\n}\n", ["get"]),
        ("a.cpp", "int Cache::get(int a) {\n  return a;\n}\n", ["get"]),
        ("A.java", "class A {\n  int get() {\n    return 1;\n  }\n}\n", ["A", "A.get"]),
        ("a.cs", "class A {\n  int Get() {\n    return 1;\n  }\n}\n", ["A", "A.Get"]),
        ("a.rb", "class A\n  def get\n    1\n  end\nend\n", ["A", "A.get"]),
        ("a.php", "<?php\nfunction get($a) {\n  return $a;\n}\n", ["", "get"]),
        ("a.sh", "get() {\n  echo 1\n}\n", ["get"]),
        ("a.lua", "local function get(a)\n  return a\nend\n", ["get"]),
        ("a.kt", "class A {\n    fun get(): Int {\n        return 1\n    }\n}\n", ["A", "A.get"]),
        ("a.md", "# One\ntext\n\n```\n# no heading\n```\n## Two\nmore\n", ["One", "Two"]),
        ("a.rst", "One\n===\n\ntext\n\nTwo\n---\n\nmore\n", ["One", "Two"]),
    ],
)
def test_every_language_has_its_symbols(path: str, text: str, symbols: list[str]) -> None:
    assert list(dict.fromkeys(one.symbol for one in cut(path, text))) == symbols


def test_without_grammars_it_is_cut_by_indentation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "by_grammar", lambda rows, language: None)
    symbols = [one.symbol for one in cut("a.py", PYTHON)]
    assert symbols == ["", "first", "Cache", "Cache.get", "Cache.put", "last"]


def test_crlf_keeps_lines_and_their_ends() -> None:
    crlf = PYTHON.replace("\n", "\r\n")
    assert [(one.symbol, one.first_line, one.last_line) for one in cut("a.py", crlf)] == [
        (one.symbol, one.first_line, one.last_line) for one in cut("a.py", PYTHON)
    ]
    assert by_symbol(crlf)["last"][0].text == "def last():\r\n    return 1"


def test_the_last_line_need_not_end() -> None:
    assert cut("a.py", PYTHON.rstrip("\n")) == cut("a.py", PYTHON)


def test_nothing_comes_of_nothing() -> None:
    assert cut("a.py", "") == [] and cut("a.md", " \n\t\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "x" * 1_000_000,
        "\0" * 1000,
        "\ud800\n" * 9,
        "{\n" * 3000,
        "if x:\n" * 2000,
        "[" * 9 + "\n" + "]" * 9,
    ],
)
@pytest.mark.parametrize("path", ["a.py", "a.js", "a.md", "a.txt"])
def test_no_text_is_too_much(path: str, text: str) -> None:
    pieces = cut(path, text)
    assert covered(pieces) == letters(text)
    assert max(len(one.text) for one in pieces) <= 3000


def test_deep_indentation_and_nesting_end() -> None:
    deep = "\n".join(" " * depth + f"def f{depth}():" for depth in range(600))
    assert covered(cut("a.py", deep)) == letters(deep)
    nested = "\n".join(f"function f{depth}() {{" for depth in range(900)) + "\n}" * 900
    assert covered(cut("a.js", nested)) == letters(nested)


_ROWS = ["def f(a):", "    return 1", "class A:", "", "  ", "    def g(self):", "        pass", "@x", "# c", "# Title"]
_ROWS += ["===", "```", "function f() {", "}", "x = 1", "const a = () => {", "};", "\t", "{", "end", "if a:", "\f"]
LINES = st.sampled_from(_ROWS)


@given(st.sampled_from(PATHS), st.lists(LINES, max_size=40).map("\n".join) | st.text(max_size=300))
def test_every_line_that_is_not_blank_is_in_a_piece_in_order(path: str, text: str) -> None:
    pieces = cut(path, text)
    assert covered(pieces) == letters(text)
    rows = [content(line) for line in split_lines(text)]
    in_pieces = {row for one in pieces for row in range(one.first_line, one.last_line + 1)}
    assert {number for number, row in enumerate(rows, 1) if row.strip()} <= in_pieces
    assert all(a.last_line <= b.first_line for a, b in pairwise(pieces))
    assert cut(path, text) == pieces


@given(st.lists(st.integers(0, 9), min_size=2, max_size=8, unique=True), st.data())
def test_editing_one_of_some_functions_leaves_the_others(numbers: list[int], data: st.DataObject) -> None:
    edited = data.draw(st.sampled_from(numbers))

    def text(change: str) -> str:
        return "\n\n".join(
            f"def f{number}():\n    return {number}{change if number == edited else ''}" for number in numbers
        )

    before, after = by_symbol(text("")), by_symbol(text(" + 1"))
    assert [symbol for symbol in before if before[symbol][0].sha256 != after[symbol][0].sha256] == [f"f{edited}"]


@given(st.permutations(range(6)))
def test_the_order_of_functions_does_not_matter_to_them(order: list[int]) -> None:
    text = "\n\n".join(f"# of {number}\ndef f{number}():\n    return {number}" for number in order)
    assert {one.sha256 for one in cut("a.py", text)} == {
        digest(f"# of {number}\ndef f{number}():\n    return {number}") for number in range(6)
    }


def covered(pieces: list[Chunk]) -> str:
    return letters("".join(one.text for one in pieces))


def letters(text: str) -> str:
    return "".join(text.split())
