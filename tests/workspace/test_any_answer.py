"""Whatever a model answers about whatever text, what comes of it fits that text, and nothing fails."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from beastmode.client.edits import apply_diff
from beastmode.workspace.actions import KINDS, Kind, make_task
from beastmode.workspace.edits import outcome_of
from beastmode.workspace.positions import Lines, Position, Range
from beastmode.workspace.prompting import Diagnostic
from beastmode.workspace.python_code import same_but_for_docstrings
from beastmode.workspace.subject import Subject, digest

ROWS = [
    "",
    "    ",
    "import os",
    "class A:",
    "def f(a):",
    "    def g(self):",
    '    """Doc."""',
    "        return 1",
    "    return a",
    "\tx = {",
    "}",
    "@decorated",
    "# comment",
    "// comment",
    "x = 'é😀\u2028\x0c'",
    "'''",
    '"""',
    "```python",
    "```",
    "~~~",
    "Here is the code:",
    "--- a/b",
    "+++ b/b",
    "@@ -1 +1 @@",
    "\\",
    "/*",
    "*/",
    "\ud800",
]
rows = st.lists(st.sampled_from(ROWS), max_size=12)
ends = st.sampled_from(["\n", "\r\n", "\r"])
texts = st.tuples(rows, ends, st.booleans()).map(lambda one: one[1].join(one[0]) + (one[1] if one[2] else ""))
answers = st.one_of(
    rows.map("\n".join), rows.map(lambda one: "```python\n" + "\n".join(one) + "\n```"), st.text(max_size=60)
)
places = st.tuples(st.integers(0, 13), st.integers(0, 12))
ranges = st.one_of(st.none(), st.tuples(places, places).map(sorted))


def range_of(found: list[tuple[int, int]] | None) -> Range | None:
    return Range(Position(*found[0]), Position(*found[1])) if found is not None else None


@given(st.sampled_from(KINDS), texts, ranges, answers, st.sampled_from(["a.py", "a.ts", "a.go", "a.md", "a"]))
def test_its_edits_fit_the_text(
    kind: Kind, text: str, where: list[tuple[int, int]] | None, answer: str, path: str
) -> None:
    problem = Diagnostic(message="wrong", range=range_of(where))
    task = make_task(kind, Subject(path, text), range_of(where), diagnostics=[problem])
    outcome = outcome_of(task, answer, "stop")
    assert outcome.summary
    for edit in outcome.edits:
        before = text if edit.path == path else ""
        assert edit.before_sha256 == (digest(text) if edit.path == path else None)
        assert apply_diff(before, edit.diff) != before


@given(texts, ranges, answers)
def test_documentation_never_changes_code(text: str, where: list[tuple[int, int]] | None, answer: str) -> None:
    outcome = outcome_of(make_task("docstring", Subject("a.py", text), range_of(where)), answer, "stop")
    for edit in outcome.edits:
        assert same_but_for_docstrings(text, apply_diff(text, edit.diff))


@given(texts, st.tuples(places, places).map(sorted), rows.map("\n".join))
def test_what_is_not_selected_stays(text: str, where: list[tuple[int, int]], code: str) -> None:
    task = make_task("refactor", Subject("a.txt", text), range_of(where))
    chosen, lines = task.selection, Lines(text)
    for edit in outcome_of(task, f"~~~~~\n{code}\n~~~~~", "stop").edits:
        after = apply_diff(text, edit.diff)
        kept = [*lines.lines[: chosen.first_line], *lines.lines[chosen.last_line + 1 :]]
        left = iter(Lines(after).lines)
        assert all(any(row.strip() in one for one in left) for row in kept if row.strip())
