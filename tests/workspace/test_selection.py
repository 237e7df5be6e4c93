"""The same lines are meant, whichever way an editor says so; and what a model is shown of a file is bounded."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.core.errors import BadInputError
from beastmode.workspace.actions import make_task
from beastmode.workspace.attachments import Document
from beastmode.workspace.languages import language_of
from beastmode.workspace.positions import Lines, Position, Range
from beastmode.workspace.prompting import fenced
from beastmode.workspace.selection import select
from beastmode.workspace.subject import Subject, digest, find_subject
from beastmode.workspace.windows import SELECTION_MAX_CHARS, STEP_LINES, WINDOW_MAX_CHARS, window_around

TEXT = (
    "import os\n\n\nclass A:\n    @property\n    def f(self):\n        return 1\n\n"
    "    def g(self):\n        return 2\n\n\nx = 1\ny = 2\n"
)
PYTHON = language_of("a.py")


def span(a: int, b: int, c: int, d: int) -> Range:
    return Range(Position(a, b), Position(c, d))


def meant(text: str, range: Range | None, path: str = "a.py") -> str:
    found = select(Lines(text), range, language_of(path))
    return text[found.start : found.end]


@pytest.mark.parametrize(
    "range",
    [span(8, 0, 10, 0), span(8, 4, 9, 16), span(7, 0, 9, 16), span(8, 0, 9, 99), span(8, 2, 11, 0), span(9, 3, 9, 3)],
)
def test_lines_are_the_same_however_they_are_selected(range: Range) -> None:
    assert meant(TEXT, range) == "    def g(self):\n        return 2"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (6, "    @property\n    def f(self):\n        return 1"),
        (4, "    @property\n    def f(self):\n        return 1"),
        (3, TEXT[TEXT.index("class") : TEXT.index("\n\n\nx")]),
        (12, "x = 1\ny = 2"),
        (0, "import os"),
    ],
)
def test_a_cursor_means_the_block_around_it(line: int, wanted: str) -> None:
    assert meant(TEXT, span(line, 0, line, 0)) == wanted


def test_braces_end_a_block() -> None:
    text = "package a\n\nfunc f(a int) int {\n\tif a {\n\t\treturn 1\n\t}\n\treturn 2\n}\n\nfunc g() {}\n"
    assert meant(text, span(4, 0, 4, 0), "a.go") == text[text.index("func f") : text.index("\n\nfunc g")]
    assert meant(text, span(7, 0, 7, 0), "a.go") == text[text.index("func f") : text.index("\n\nfunc g")]


def test_no_range_is_the_whole_file_and_a_part_of_a_line_is_that_part() -> None:
    assert meant(TEXT, None) == TEXT.rstrip("\n")
    assert meant(TEXT, span(9, 15, 9, 16)) == "2"
    assert meant("", None) == ""


def test_a_range_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(BadInputError, match="ends before it starts"):
        meant(TEXT, span(3, 0, 2, 0))


@given(st.text(max_size=80), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_every_range_is_a_part_of_the_text(text: str, a: int, b: int, c: int, d: int) -> None:
    start, end = sorted([(a, b), (c, d)])
    found = select(Lines(text), span(*start, *end), PYTHON)
    assert 0 <= found.start <= found.end <= len(text)


def test_of_a_large_file_a_window_is_shown_cut_at_steps() -> None:
    lines = Lines("".join(f"row {i}\n" for i in range(5000)))
    window = window_around(lines, select(lines, span(2500, 0, 2503, 0), PYTHON))
    assert not window.whole
    assert window.first <= 2500 and window.last >= 2502
    assert lines.end_of(window.last) - lines.start_of(window.first) <= WINDOW_MAX_CHARS + 40
    assert window.first % STEP_LINES == 0
    prompt = str(make_task("refactor", Subject("a.txt", lines.text), span(2500, 0, 2503, 0)).messages[0].content)
    assert len(prompt) < WINDOW_MAX_CHARS + 2000
    assert f"lines {window.first + 1} to {window.last + 1} of 5001" in prompt


def test_a_selection_that_is_too_large_is_refused() -> None:
    with pytest.raises(BadInputError, match="are the most"):
        make_task("refactor", Subject("a.txt", "x" * (SELECTION_MAX_CHARS + 1)))


@pytest.mark.parametrize("row", ["a row of text\n", "x" * 100_000 + "\n"])
def test_of_a_selection_that_is_too_large_its_beginning_is_explained(row: str) -> None:
    text = row * 10_000 if len(row) < 100 else row * 3
    task = make_task("explain", Subject("a.txt", text))
    assert 0 < task.selection.end <= SELECTION_MAX_CHARS
    assert len(str(task.messages[0].content)) < SELECTION_MAX_CHARS + 2 * WINDOW_MAX_CHARS


def test_a_fence_in_a_text_does_not_end_the_fence_around_it() -> None:
    assert fenced("a\n```\nb\n````\n", "md") == "`````md\na\n```\nb\n````\n`````"


def test_what_is_asked_is_the_last_message_and_what_is_shown_stands_before_it() -> None:
    task = make_task("ask", Subject("a.py", TEXT), span(8, 0, 10, 0), instruction=" why two? ")
    shown, asked = task.messages
    assert (asked.role, asked.content) == ("user", "why two?")
    assert "lines 9 to 10" in str(shown.content) and "`a.py` (Python)" in str(shown.content)
    assert [(one.path, one.sha256) for one in task.digests] == [("a.py", digest(TEXT))]


class TestTheFile:
    def test_has_one_name_however_it_is_called(self, tmp_path: Path) -> None:
        (tmp_path / "real/src").mkdir(parents=True)
        (tmp_path / "real/src/a.py").write_text("x\n")
        (tmp_path / "link").symlink_to(tmp_path / "real")
        real, link = str(tmp_path / "real"), str(tmp_path / "link")
        found = [
            find_subject(workspace, path, [])
            for workspace in (real, link, real + "/")
            for path in ("src/a.py", "./src/../src/a.py", f"{real}/src/a.py", f"{link}/src/a.py")
        ]
        assert {(one.root, one.path, one.text) for one in found} == {(real, "src/a.py", "x\n")}

    def test_is_the_editors_where_it_holds_one_and_has_no_byte_order_mark(self, tmp_path: Path) -> None:
        (tmp_path / "a.py").write_text("old\n")
        found = find_subject(str(tmp_path), "a.py", [Document(f"{tmp_path}/a.py", "\ufeffnew\n", 4)])
        assert found.text == "new\n"
        (tmp_path / "b.py").write_bytes(b"\xef\xbb\xbfx\r\n")
        assert find_subject(str(tmp_path), "b.py", []).text == "x\r\n"

    def test_needs_no_workspace_where_the_editor_holds_it(self) -> None:
        found = find_subject(None, "untitled:1", [Document("untitled:1", "x", 1)])
        assert (found.path, found.root, found.text) == ("untitled:1", None, "x")

    @pytest.mark.parametrize("path", ["../out.py", "/etc/hostname", "link.py", "", "no.py", "a\0b"])
    def test_outside_or_missing_is_refused(self, path: str, tmp_path: Path) -> None:
        root = tmp_path / "root"
        root.mkdir()
        (tmp_path / "out.py").write_text("x")
        (root / "link.py").symlink_to(tmp_path / "out.py")
        with pytest.raises(BadInputError):
            find_subject(str(root), path, [])

    @pytest.mark.parametrize("workspace", [None, "relative"])
    def test_without_a_workspace_is_refused_with_what_to_do(self, workspace: str | None) -> None:
        with pytest.raises(BadInputError) as caught:
            find_subject(workspace, "a.py", [])
        assert caught.value.tips

    @pytest.mark.parametrize(
        ("name", "text"), [(".env", "A=1"), ("a.py", "k = 'sk-ant-abcdefghijklmnopqrstuvwxyz'"), ("id_rsa", "x")]
    )
    def test_that_looks_like_a_secret_is_refused(self, name: str, text: str, tmp_path: Path) -> None:
        (tmp_path / name).write_text(text)
        for documents in ([], [Document(name, text, 1)]):
            with pytest.raises(BadInputError, match="secret"):
                find_subject(str(tmp_path), name, documents)
