"""From a model's answer to edits: what becomes of the file, as a unified diff against the text that was read."""

from __future__ import annotations

from typing import Literal

import msgspec

from beastmode.workspace.actions import TALKS, Task
from beastmode.workspace.additions import (
    added,
    imported_instead,
    leading_imports,
    missing_imports,
    new_file,
    with_imports,
)
from beastmode.workspace.comments import commented
from beastmode.workspace.diffs import lines_of, unified_diff
from beastmode.workspace.docstrings import documented
from beastmode.workspace.inserting import inserted
from beastmode.workspace.positions import line_end
from beastmode.workspace.prompting import with_lf
from beastmode.workspace.python_region import is_right, region_of
from beastmode.workspace.replacing import replaced
from beastmode.workspace.replies import code_in
from beastmode.workspace.subject import digest
from beastmode.workspace.surroundings import is_whole_file
from beastmode.workspace.testing import Home, module_of


class Edit(msgspec.Struct, kw_only=True):
    """What becomes of one file.

    Attributes:
        path: Relative to the workspace; as the document is called where it lies in none.
        before_sha256: Digest of the UTF-8 text that was read; null: the file is new.
        diff: Unified; its lines end at LF, and a CR before that belongs to the file.
        kind: modify, create, delete or rename.
        new_path: Where it is renamed to.
    """

    path: str
    before_sha256: str | None
    diff: str
    kind: Literal["modify", "create", "delete", "rename"] = "modify"
    new_path: str | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What an answer comes to.

    Attributes:
        summary: One sentence.
        edits: Empty where there is nothing to change.
    """

    summary: str
    edits: list[Edit] = []


def outcome_of(task: Task, answer: str, finish_reason: str | None) -> Outcome:
    """Reads an answer.

    Args:
        task: What was asked.
        answer: What the model said.
        finish_reason: Why it stopped.
    """
    if task.kind in TALKS:
        return Outcome(f"{'Explained' if task.kind == 'explain' else 'Answered about'} {task.subject.path}.")
    selected = task.lines.text[task.selection.start : task.selection.end]
    cut = finish_reason == "length"
    code = code_in(answer, selected, task.language.id, whole=not cut)
    if code is None and cut:
        return Outcome("The answer was cut off before its end, so nothing is changed: allow it more tokens.")
    if task.kind == "docstring":
        return _documented(task, code or answer)
    if code is None:
        return Outcome("The answer holds no code, so nothing is changed.")
    if task.home is not None:
        return _tests(task, task.home, code)
    return _modified(task.subject.path, task.subject.text, _with(task, code))


def _with(task: Task, code: str) -> str:
    """The file with the code in the place of the selection, or at the cursor."""
    lines, selection = task.lines, task.selection
    if selection.empty and not (task.language.id == "python" and lines.text[: selection.start].strip()):
        return inserted(lines, selection, code)
    if selection.empty:
        imports, code = leading_imports(code, "")
        after = inserted(lines, selection, code)
        return with_imports(after, missing_imports(after, imports))
    whole = is_whole_file(lines, selection, with_lf(code).split("\n"))
    region = region_of(lines, selection) if task.language.id == "python" and not whole else None
    if region is not None and task.kind in ("fix", "refactor") and selection.whole_lines:
        imports, code = leading_imports(code, lines.text[selection.start : selection.end])
        after = replaced(lines, selection, code, lambda text: is_right(lines, region, text))
        return with_imports(after, missing_imports(after, imports))
    return replaced(lines, selection, code, lambda text: is_right(lines, region, text))


def _documented(task: Task, code: str) -> Outcome:
    if task.language.id == "python":
        after = documented(task.lines, task.selection, code)
    else:
        after = commented(task.lines, task.selection, code, task.language)
    if after is None:
        return Outcome("The answer holds no documentation that leaves the code as it is, so nothing is changed.")
    return _modified(task.subject.path, task.subject.text, after)


def _tests(task: Task, home: Home, code: str) -> Outcome:
    if task.language.id == "python" and home.path != task.subject.path:
        code = imported_instead(code, task.subject.text, module_of(task.subject))
    if home.text is not None:
        return _modified(home.path, home.text, added(home.text, code, task.language))
    text = new_file(code, line_end(task.subject.text))
    edit = Edit(path=home.path, before_sha256=None, diff=unified_diff(None, text, home.path), kind="create")
    return Outcome(f"Creates {home.path} ({len(lines_of(text))} lines).", [edit])


def _modified(path: str, before: str, after: str) -> Outcome:
    """The edit that makes a new text of a file."""
    diff = unified_diff(before, after, path)
    if not diff:
        return Outcome(f"The answer changes nothing in {path}.")
    rows = diff.split("\n")[2:]
    added_lines, removed = (sum(row.startswith(mark) for row in rows) for mark in "+-")
    edit = Edit(path=path, before_sha256=digest(before), diff=diff)
    return Outcome(f"Changes {path}: +{added_lines} -{removed} lines.", [edit])
