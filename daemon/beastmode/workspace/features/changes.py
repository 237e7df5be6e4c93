"""What a model wants changed, read from its answer: search/replace blocks, whole files and diffs, in any wrapping."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

import msgspec

from beastmode.workspace.features.file_names import commented_path, path_in, resolved
from beastmode.workspace.prompting import with_lf
from beastmode.workspace.surroundings import margin

_THOUGHTS = re.compile(r"\A\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([^`\n]*)$")
_SEARCH = re.compile(r"[ \t]*<{5,9}[ \t]*(?:SEARCH|ORIGINAL|HEAD|OLD|BEFORE)?[ \t:]*(.*)$", re.IGNORECASE)
_DIVIDER = re.compile(r"[ \t]*={5,9}[ \t]*$")
_REPLACE = re.compile(r"[ \t]*>{5,9}")
_DIFF_OLD = re.compile(r"--- (?:a/)?([^\t]+)")
_DIFF_NEW = re.compile(r"\+\+\+ (?:b/)?([^\t]+)")
_PATCH_FILE = re.compile(r"\*\*\* (Update|Add|Delete) File: (.+)$")
_HUNK = re.compile(r"@@(?:$|[ @].*)")
_NOWHERE = "/dev/null"
_ASIDE = frozenset(("console", "text", "txt", "plaintext", "output", "sh", "bash", "shell", "zsh", "shellscript"))


class Change(msgspec.Struct, frozen=True):
    """One thing that is to change.

    Attributes:
        path: Of the file; empty: the answer names none.
        kind: `replace` puts a text in the place of another, `whole` is all of a file or of a part of it, `delete` takes
            the file away.
        search: What is replaced, lines ended by LF.
        text: What takes its place.
        dropped: The first line of a block that only named the file, and is no part of `text`.
        language: What the fence named, in lower case.
    """

    path: str
    kind: Literal["replace", "whole", "delete"]
    search: str = ""
    text: str = ""
    dropped: str = ""
    language: str = ""


def changes_in(answer: str, known: Collection[str] = ()) -> list[Change]:
    """Reads what an answer wants changed, in its order.

    Args:
        answer: What the model wrote.
        known: Paths of files that are there, so that a short name of one is understood.
    """
    rows = _THOUGHTS.sub("", with_lf(answer)).split("\n")
    reader = _Reader(frozenset(known))
    reader.read(rows)
    return reader.changes


class _Reader:
    """Goes over the lines of an answer, and remembers which file was named last."""

    def __init__(self, known: frozenset[str], path: str = "") -> None:
        self.changes: list[Change] = []
        self._known = known
        self._path = path
        self._fresh = bool(path)  # it was named for what comes next, and not for what came before

    def read(self, rows: list[str]) -> None:
        at = 0
        while at < len(rows):
            mark = _SEARCH.match(rows[at])
            if mark is not None:
                at = self._replacement(rows, at, mark[1])
            elif _FENCE.match(rows[at]):
                at = self._block(rows, at)
            elif _begins_diff(rows, at):
                at = self._diff(rows, at)
            else:
                self._name(path_in(rows[at], self._known))
                at += 1

    def _name(self, path: str) -> None:
        if path:
            self._path, self._fresh = resolved(path, self._known), True

    # -- search and replace ---------------------------------------------------------------------------------------

    def _replacement(self, rows: list[str], at: int, named: str) -> int:
        self._name(path_in(named, self._known))
        divider = _next(rows, at + 1, _DIVIDER)
        if divider is None:
            return at + 1
        end = _next(rows, divider + 1, _REPLACE)
        stop = len(rows) if end is None else end
        if end is None and (again := _next(rows, divider + 1, _SEARCH)) is not None:
            stop = again  # its end was left out
        search, text = _unfenced(rows[at + 1 : divider]), _unfenced(rows[divider + 1 : stop])
        self.changes.append(Change(self._path, "replace", _joined(search), _joined(text)))
        return stop + (end is not None)

    # -- fenced blocks --------------------------------------------------------------------------------------------

    def _block(self, rows: list[str], at: int) -> int:
        fence = _FENCE.match(rows[at])
        assert fence is not None
        stop = _closing(rows, at, fence[1], fence[2])
        inside = rows[at + 1 : stop]
        language, _, rest = fence[2].strip().partition(" " if " " in fence[2].strip() else ":")
        self._name(path_in(rest, self._known) or path_in(language, self._known))
        full = [row for row in inside if row.strip()]
        if len(full) == 1 and path_in(full[0], self._known):  # a fence around the name of what comes next
            self._name(path_in(full[0], self._known))
            return stop + 1
        if any(_SEARCH.match(row) and _next(inside, i, _DIVIDER) for i, row in enumerate(inside)) or any(
            _begins_diff(inside, i) for i in range(len(inside))
        ):
            within = _Reader(self._known, self._path)
            within.read(inside)
            self.changes += within.changes
            self._path = within._path
        elif language.lower() in ("diff", "patch") or (_all_marked(inside) and language.lower() not in ("yaml", "md")):
            self._diff(["@@", *inside], 0)
        else:
            self._whole(inside, language.lower())
        self._fresh = False
        return stop + 1

    def _whole(self, inside: list[str], language: str) -> None:
        first = next((i for i, row in enumerate(inside) if row.strip()), None)
        if first is None:
            return
        named = commented_path(inside[first], self._known)
        dropped = ""
        if named and (not self._fresh or resolved(named, self._known) == self._path):
            self._name(named)
            dropped, inside = inside[first], inside[first + 1 :]
        if self._fresh or language not in _ASIDE:
            path = self._path if self._fresh else ""
            self.changes.append(Change(path, "whole", "", _joined(inside), dropped, language))

    # -- diffs ----------------------------------------------------------------------------------------------------

    def _diff(self, rows: list[str], at: int) -> int:
        """Reads what belongs to a diff; the numbers of its hunks are not believed, models count badly."""
        old, creates = "", False
        while at < len(rows):
            row = rows[at]
            head, new, patch = _DIFF_OLD.match(row), _DIFF_NEW.match(row), _PATCH_FILE.match(row)
            if patch is not None:
                self._name(patch[2].strip())
                creates = patch[1] == "Add"
                if patch[1] == "Delete":
                    self.changes.append(Change(self._path, "delete"))
                if creates:
                    at = self._hunk(rows, at + 1, True)
                    continue
            elif head is not None and at + 1 < len(rows) and _DIFF_NEW.match(rows[at + 1]):
                old = head[1].strip()
                creates = old == _NOWHERE
            elif new is not None and old:
                if new[1].strip() == _NOWHERE:
                    self._name(old)
                    self.changes.append(Change(self._path, "delete"))
                else:
                    self._name(new[1].strip())
            elif _HUNK.match(row):
                at = self._hunk(rows, at + 1, creates)
                continue
            elif not row.startswith(("diff ", "index ", "new file", "deleted file", "similarity", "rename ", "*** ")):
                return at
            at += 1
        return at

    def _hunk(self, rows: list[str], at: int, creates: bool) -> int:
        before: list[str] = []
        after: list[str] = []
        while at < len(rows) and not _begins_diff(rows, at) and (rows[at][:1] in " -+\\" or not rows[at]):
            mark, row = rows[at][:1], rows[at][1:]
            if mark in ("", " ", "-"):
                before.append(row)
            if mark in ("", " ", "+"):
                after.append(row)
            at += 1
        while before and after and not before[-1] and not after[-1]:  # blank lines of the prose below it
            before.pop()
            after.pop()
        if self.changes and self.changes[-1].kind == "delete" and self.changes[-1].path == self._path:
            return at
        if before != after:
            kind: Literal["whole", "replace"] = "whole" if creates else "replace"
            self.changes.append(Change(self._path, kind, _joined(before), _joined(after)))
        return at


def _begins_diff(rows: list[str], at: int) -> bool:
    row = rows[at]
    if row.startswith("--- "):
        return at + 1 < len(rows) and rows[at + 1].startswith("+++ ")
    return bool(_PATCH_FILE.match(row) or re.match(r"@@ -\d+", row))


def _all_marked(rows: list[str]) -> bool:
    """Every line has the mark of a diff, and some are added or taken away."""
    full = [row for row in rows if row.strip()]
    marks = {row[0] for row in full}
    return bool(full) and marks <= {"+", "-", " "} and len(marks) > 1 and bool(marks & {"+", "-"}) and margin(full) == 0


def _next(rows: list[str], at: int, mark: re.Pattern[str]) -> int | None:
    return next((i for i in range(at, len(rows)) if mark.match(rows[i])), None)


def _closing(rows: list[str], at: int, fence: str, info: str) -> int:
    """The line of the closing fence; the end of the answer where there is none."""
    depth, inside = 1, False
    nests = info.strip().lower().startswith(("markdown", "md"))
    for i in range(at + 1, len(rows)):
        if _SEARCH.match(rows[i]):
            inside = True
        elif _REPLACE.match(rows[i]):
            inside = False
        mark = None if inside else _FENCE.match(rows[i])
        if mark is None or not mark[1].startswith(fence):
            continue
        if mark[2].strip():
            depth += nests
        else:
            depth -= 1
        if not depth:
            return i
    return len(rows)


def _unfenced(rows: list[str]) -> list[str]:
    """A part without the fences that some models put around it."""
    if len(rows) > 1 and (first := _FENCE.match(rows[0])) and (last := _FENCE.match(rows[-1])) and not last[2]:
        return rows[1:-1] if last[1] == first[1] else rows
    return rows


def _joined(rows: list[str]) -> str:
    return "".join(f"{row}\n" for row in rows)
