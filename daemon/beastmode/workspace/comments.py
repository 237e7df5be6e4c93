"""Comments put into a file by themselves: what an answer changes beside them is left out, or the answer is."""

from __future__ import annotations

import re

from beastmode.workspace.languages import Language
from beastmode.workspace.positions import Lines, content, line_end
from beastmode.workspace.prompting import with_lf
from beastmode.workspace.replacing import margin_text, moved, replaced
from beastmode.workspace.selection import Selection
from beastmode.workspace.surroundings import margin, selected_rows, trimmed

_STRINGS = r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|`(?:\\.|[^`\\])*`'
_BLOCKS = {"//": r"/\*.*?\*/", "--": r"--\[\[.*?\]\]|\{-.*?-\}|/\*.*?\*/", "": r"/\*.*?\*/|<!--.*?-->"}


def commented(lines: Lines, selection: Selection, code: str, language: Language) -> str | None:
    """The file with the comments of an answer; None where it changes more, and begins with no comment of its own.

    Args:
        lines: The file.
        selection: What is to be documented.
        code: The answer: the selection with its comments, or a comment alone.
        language: What it is written in.
    """
    after = replaced(lines, selection, code, lambda text: True)
    if code_of(after, language) == code_of(lines.text, language):
        return after
    rows = _comment_at_start(trimmed(with_lf(code).split("\n")), language)
    if not rows:
        return None
    own = [content(row) for row in selected_rows(lines, selection)]
    new = moved(rows, margin(rows), margin_text(own))
    start = lines.start_of(selection.first_line)
    after = lines.text[:start] + line_end(lines.text).join([*new, ""]) + lines.text[start:]
    return after if code_of(after, language) == code_of(lines.text, language) else None


def code_of(text: str, language: Language) -> list[str]:
    """A text without comments, cut where blank space stands; equal for two texts that differ in comments alone.

    Args:
        text: Of a file.
        language: What it is written in.
    """
    spared = re.compile(f"({_STRINGS})|{_comment(language)}", re.DOTALL)
    bare = spared.sub(lambda match: match[1] or " ", with_lf(text))
    return [part for part in re.split(rf"({_STRINGS})|\s+", bare) if part]


def _comment(language: Language) -> str:
    line = rf"{re.escape(language.comment)}[^\n]*" if language.comment else r"(?!)"
    return f"{_BLOCKS.get(language.comment, '(?!)')}|{line}"


def _comment_at_start(rows: list[str], language: Language) -> list[str]:
    """The lines of the comment that a code begins with."""
    text = "\n".join(rows)
    match = re.match(rf"(?:[ \t]*(?:{_comment(language)})[ \t]*(?:\n|$))+", text, re.DOTALL)
    return match[0].rstrip("\n").split("\n") if match is not None else []
