"""What a model wants changed is read from its answer, however small models wrap it, and put where it belongs."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.workspace.diffs import unified_diff
from beastmode.workspace.features.changes import Change, changes_in
from beastmode.workspace.features.file_names import path_in, resolved
from beastmode.workspace.features.matching import places_of
from beastmode.workspace.features.patching import PatchError, patched

KNOWN = ("src/shelf/store.py", "src/shelf/__init__.py", "README.md", "Makefile")
STORE = '''"""The shelf."""

import os


class Shelf:
    """Keeps books."""

    def __init__(self):
        self.books = []

    def add(self, book):
        self.books.append(book)


def load(path):
    with open(path) as file:
        return file.read()
'''
SWAP = "<<<<<<< SEARCH\n    def add(self, book):\n=======\n    def add(self, book, at=None):\n>>>>>>> REPLACE\n"
SWAPPED = STORE.replace("add(self, book)", "add(self, book, at=None)")


def swap(old: str, new: str) -> str:
    return f"<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"


def done(answer: str, path: str = "src/shelf/store.py", base: str | None = STORE) -> str | None:
    """The file after an answer that was asked about it."""
    found = [one for one in changes_in(answer, KNOWN) if one.path in (path, "")]
    assert found, "nothing was understood"
    return patched(path, base, found)


class TestSearchAndReplace:
    @pytest.mark.parametrize(
        "answer",
        [
            f"src/shelf/store.py\n{SWAP}",
            f"### `src/shelf/store.py`\n\n```python\n{SWAP}```\n",
            f"```python\nsrc/shelf/store.py\n{SWAP}```",
            f"```python src/shelf/store.py\n{SWAP}```",
            f"```python:src/shelf/store.py\n{SWAP}```",
            f"**File: `store.py`**\n```\n{SWAP}```",
            f"In ./src/shelf/store.py:\n\n`src/shelf/store.py`\n{SWAP}\nThat is all.",
            f"<think>hmm src/other.py</think>\nsrc/shelf/store.py:\n{SWAP}",
            "src/shelf/store.py\n" + SWAP.replace("SEARCH", "ORIGINAL").replace("REPLACE", "UPDATED"),
            "src/shelf/store.py\n" + SWAP.replace("<<<<<<< SEARCH", "<<<<<< HEAD"),
            "src/shelf/store.py\n" + SWAP.replace(">>>>>>> REPLACE\n", ""),
            "src/shelf/store.py\n" + SWAP.replace("    def", "def"),
            "src/shelf/store.py\n" + SWAP.replace("    def", "\tdef"),
            "src/shelf/store.py\n" + SWAP.replace("):\n", "):   \n"),
            "src/shelf/store.py\n" + SWAP.replace("\n", "\r\n"),
            f"<<<<<<< SEARCH src/shelf/store.py\n{SWAP.partition(chr(10))[2]}",
        ],
    )
    def test_in_any_wrapping(self, answer: str) -> None:
        (change,) = changes_in(answer, KNOWN)
        assert change.path == "src/shelf/store.py"
        assert (
            "".join(patched(change.path, STORE, [change]) or "").replace(" \n", "\n").replace("  \n", "\n") == SWAPPED
        )

    def test_several_blocks_of_several_files(self) -> None:
        answer = f"store.py\n{SWAP}\n{swap('import os', 'import sys')}README.md\n{swap('a', 'b')}"
        assert [one.path for one in changes_in(answer, KNOWN)] == ["src/shelf/store.py"] * 2 + ["README.md"]
        assert done(answer) == SWAPPED.replace("import os", "import sys")

    def test_fences_inside_of_it_are_no_part_of_it(self) -> None:
        answer = "store.py\n" + swap("```python\nimport os\n```", "```python\nimport sys\n```")
        assert done(answer) == STORE.replace("import os", "import sys")

    def test_nearly_the_same_lines_are_found_where_nothing_else_is_meant(self) -> None:
        sought = "def load(path):\n    with open(path) as f:\n        return file.read()"
        answer = "store.py\n" + swap(sought, "def load(path):\n    return ''")
        assert (done(answer) or "").endswith("def load(path):\n    return ''\n")

    @pytest.mark.parametrize(
        ("search", "says"), [("self.books\n", "not there"), ("x = 1\n", "not there"), ("pass\n", "more than once")]
    )
    def test_lines_that_are_not_there_or_are_there_twice_are_said(self, search: str, says: str) -> None:
        change = Change("a.py", "replace", search, "y\n")
        with pytest.raises(PatchError, match=says):
            patched("a.py", "pass\nz = 2\npass\n", [change])

    def test_what_is_there_already_is_no_change(self) -> None:
        assert patched("a.py", SWAPPED, changes_in(f"a.py\n{SWAP}")) == SWAPPED

    def test_a_search_for_nothing_adds_at_the_end_or_makes_the_file(self) -> None:
        change = Change("a.py", "replace", "", "new = 1\n")
        assert patched("a.py", "old = 1\n", [change]) == "old = 1\n\nnew = 1\n"
        assert patched("a.py", None, [change]) == "new = 1\n"
        with pytest.raises(PatchError, match="not there"):
            patched("a.py", None, [Change("a.py", "replace", "x\n", "y\n")])


class TestWholeFiles:
    @pytest.mark.parametrize(
        "answer",
        [
            "new.py\n```python\nx = 1\n```",
            "```python new.py\nx = 1\n```",
            "```python:new.py\nx = 1\n```",
            "```python title=new.py\nx = 1\n```".replace("title=", ""),
            "```python\n# new.py\nx = 1\n```",
            "1. **new.py**:\n```\nx = 1\n```\nDone.",
            "## File: new.py\n~~~~\nx = 1\n~~~~\n",
            "new.py\n```python\nx = 1\n",
            "```\nnew.py\n```\n\n```python\nx = 1\n```",
        ],
    )
    def test_a_new_file_in_any_wrapping(self, answer: str) -> None:
        (change,) = changes_in(answer, KNOWN)
        assert (change.path, patched("new.py", None, [change])) == ("new.py", "x = 1\n")

    def test_markdown_with_fences_of_its_own(self) -> None:
        text = "# Title\n\n```console\n$ run\n```\n\nEnd.\n"
        (change,) = changes_in(f"README.md\n```markdown\n{text}```\n", KNOWN)
        assert change.text == text

    def test_commands_to_be_run_are_no_files(self) -> None:
        assert changes_in("Run it:\n```bash\npytest -q\n```\n", KNOWN) == []

    def test_all_of_a_file_takes_its_place(self) -> None:
        new = STORE.replace("[]", "list()").replace("import os\n", "")
        assert done(f"store.py\n```python\n{new}```") == new

    @pytest.mark.parametrize(
        "head",
        [
            '"""The shelf.\n\nMore of it.\n"""\n\n',
            "#!/usr/bin/env python\n# A license.\n\n",
            "'''x'''\n",
        ],
    )
    def test_what_a_file_begins_with_stays_where_just_that_was_left_out(self, head: str) -> None:
        body = "import os\n\n\ndef a():\n    return os\n"
        new = body.replace("return os", "return 1")
        assert done(f"store.py\n```python\n{new}```", base=head + body) == head + new
        assert done(f"store.py\n```python\n# new\n{new}```", base=head + body) == f"# new\n{new}"
        assert done(f"store.py\n```python\n{new}```", base="x = 1\n" + body) == new

    def test_a_block_without_a_name_stays_without_one(self) -> None:
        assert [one.path for one in changes_in("```python\nx = 1\n```")] == [""]


class TestParts:
    def test_a_method_alone_goes_into_its_class(self) -> None:
        part = "class Shelf:\n    def count(self):\n        return len(self.books)\n"
        after = done(f"store.py\n```python\n{part}```") or ""
        assert after.count("class Shelf") == 1
        assert "def add" in after
        assert "return len(self.books)\n" in after
        assert '"""The shelf."""' in after
        ast.parse(after)

    def test_a_function_alone_takes_the_place_of_its_namesake(self) -> None:
        part = "import json\n\n\ndef load(path):\n    return json.loads(path)\n"
        after = done(f"store.py\n```python\n{part}```") or ""
        assert after.endswith("def load(path):\n    return json.loads(path)\n")
        assert "import os\nimport json\n" in after
        assert "class Shelf" in after

    def test_a_new_function_comes_before_what_is_run(self) -> None:
        base = f"{STORE}\n\nif __name__ == '__main__':\n    load('x')\n"
        after = done("store.py\n```python\ndef save(path):\n    return path\n```", base=base) or ""
        assert after.index("def save") < after.index("if __name__")
        ast.parse(after)

    @pytest.mark.parametrize("mark", ["    # ... existing code ...", "# ...", "# rest of the class", "..."])
    def test_what_is_left_out_with_a_mark_stays(self, mark: str) -> None:
        part = f"import os\n\n{mark}\n\ndef load(path):\n    return path\n"
        after = done(f"store.py\n```python\n{part}```") or ""
        assert "class Shelf" in after
        assert after.endswith("def load(path):\n    return path\n")
        assert "existing" not in after

    def test_a_part_that_belongs_nowhere_is_said(self) -> None:
        base = "".join(f"line {i}\n" for i in range(40))
        with pytest.raises(PatchError, match="part of that file"):
            patched("notes.txt", base, [Change("notes.txt", "whole", "", "line 3\nnew\n")])


class TestDiffs:
    def test_every_diff_of_ours_is_understood(self) -> None:
        diff = unified_diff(STORE, SWAPPED, "src/shelf/store.py")
        for answer in (diff, f"```diff\n{diff}```", f"Here it is:\n\n```diff\n{diff}```\nDone."):
            assert done(answer) == SWAPPED

    def test_wrong_numbers_do_not_matter(self) -> None:
        diff = unified_diff(STORE, SWAPPED, "src/shelf/store.py").replace("@@ -9,7 +9,7 @@", "@@ -1,2 +1,2 @@")
        assert done(diff) == SWAPPED
        rows = "-    def add(self, book):\n+    def add(self, book, at=None):\n         self.books.append(book)\n"
        assert done(f"store.py\n```diff\n{rows}```") == SWAPPED

    def test_new_files_and_files_that_go(self) -> None:
        new = unified_diff(None, "x = 1\n", "new.py")
        assert [(one.path, one.kind, one.text) for one in changes_in(new)] == [("new.py", "whole", "x = 1\n")]
        gone = "--- a/README.md\n+++ /dev/null\n@@ -1 +0,0 @@\n-text\n"
        assert [(one.path, one.kind) for one in changes_in(gone, KNOWN)] == [("README.md", "delete")]
        assert patched("README.md", "text\n", changes_in(gone, KNOWN)) is None

    def test_patches_as_agents_write_them(self) -> None:
        answer = (
            "*** Begin Patch\n*** Update File: src/shelf/store.py\n@@ class Shelf:\n-    def add(self, book):\n"
            "+    def add(self, book, at=None):\n*** Add File: new.py\n+x = 1\n*** Delete File: README.md\n"
            "*** End Patch\n"
        )
        found = changes_in(answer, KNOWN)
        assert [(one.path, one.kind) for one in found] == [
            ("src/shelf/store.py", "replace"),
            ("new.py", "whole"),
            ("README.md", "delete"),
        ]
        assert patched("src/shelf/store.py", STORE, found[:1]) == SWAPPED


class TestNames:
    @pytest.mark.parametrize(
        ("row", "path"),
        [
            ("src/a.py", "src/a.py"),
            ("### `src/a.py`", "src/a.py"),
            ("**File:** src/a.py", "src/a.py"),
            ("2. src/a.py (new file)", "src/a.py"),
            ("Makefile", "Makefile"),
            (".gitignore", ".gitignore"),
            ("This is prose about os.path and such.", ""),
            ("return a", ""),
            ("", ""),
            ("x" * 1000, ""),
        ],
    )
    def test_in_a_line(self, row: str, path: str) -> None:
        assert path_in(row, KNOWN) == path

    def test_a_short_or_a_long_name_means_the_file_that_is_there(self) -> None:
        for name in ("store.py", "./src/shelf/store.py", "b/src/shelf/store.py", "/srv/project/src/shelf/store.py"):
            assert resolved(name, KNOWN) == "src/shelf/store.py"
        assert resolved("../x.py", KNOWN) == "../x.py"
        assert resolved("other.py", KNOWN) == "other.py"


TEXT = st.text(st.sampled_from("ab \n\t{}()`<>=+-@#.\r"), max_size=120)


@given(TEXT)
def test_no_answer_breaks_the_reading(answer: str) -> None:
    for change in changes_in(answer, KNOWN):
        assert change.kind in ("replace", "whole", "delete")


@given(st.lists(st.sampled_from(["a", "  b", "c", "", "d()"]), max_size=12), TEXT, st.sampled_from(["\n", "\r\n"]))
def test_a_search_for_lines_that_are_there_once_replaces_them_alone(rows: list[str], text: str, end: str) -> None:
    rows = [*rows, "unique line", "more"]
    base = end.join(rows)
    new = "x\n"
    after = patched("a.txt", base, [Change("a.txt", "replace", "unique line\n", new)])
    assert after == end.join([*rows[:-2], "x", "more"])


@given(st.lists(st.text(st.sampled_from("ab ="), min_size=1, max_size=6), min_size=1, max_size=10), st.data())
def test_lines_of_a_text_are_found_in_it(rows: list[str], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(rows) - 1))
    stop = data.draw(st.integers(first + 1, len(rows)))
    sought = rows[first:stop]
    found = places_of(rows, sought)
    assert found or not any(row.strip() for row in sought)
