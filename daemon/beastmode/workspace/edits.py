"""From a model's answer to edits: what becomes of the file, as a unified diff against the text that was read."""

from __future__ import annotations

from typing import Literal

import msgspec

from beastmode.workspace.actions import TALKS, Task
from beastmode.workspace.diffs import unified_diff
from beastmode.workspace.positions import line_end
from beastmode.workspace.replies import code_in


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
    if finish_reason == "length":
        return Outcome("The answer was cut off before its end, so nothing is changed: allow it more tokens.")
    code = code_in(answer)
    if code is None:
        return Outcome("The answer holds no code, so nothing is changed.")
    text, selection = task.subject.text, task.selection
    new = code.rstrip("\n").replace("\n", line_end(text))
    return modified(task, text[: selection.start] + new + text[selection.end :])


def modified(task: Task, after: str) -> Outcome:
    """The edit that makes a new text of the file.

    Args:
        task: What was asked.
        after: The new text.
    """
    subject = task.subject
    diff = unified_diff(subject.text, after, subject.path)
    if not diff:
        return Outcome(f"The answer changes nothing in {subject.path}.")
    added = sum(line.startswith("+") for line in diff.split("\n")[2:])
    removed = sum(line.startswith("-") for line in diff.split("\n")[2:])
    edit = Edit(path=subject.path, before_sha256=subject.sha256, diff=diff)
    return Outcome(f"Changes {subject.path}: +{added} -{removed} lines.", [edit])
