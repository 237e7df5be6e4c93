"""What a model wants changed, put to the texts of files: line ends, a missing last one and indentation are kept."""

from __future__ import annotations

from beastmode.workspace.features.changes import Change
from beastmode.workspace.features.matching import Place, places_of
from beastmode.workspace.features.merging import is_part, merged
from beastmode.workspace.positions import Lines, line_end
from beastmode.workspace.prompting import with_lf
from beastmode.workspace.replacing import in_style_of, indent_text, margin_text, moved, with_ends
from beastmode.workspace.selection import Selection
from beastmode.workspace.surroundings import margin, trimmed

SHOWN_MAX_CHARS = 600
HEAD_MAX_ROWS = 40
_QUOTES = ('"""', "'''", "/*")


class PatchError(Exception):
    """A change does not fit the text that it is for; says to the model what to do instead."""


def patched(path: str, base: str | None, changes: list[Change]) -> str | None:
    """The new text of a file.

    Args:
        path: The file.
        base: Its text now; None: it is not there.
        changes: What is to change, in order.

    Returns:
        The text; None: the file is to go.

    Raises:
        PatchError: One of them does not fit.
    """
    text: str | None = None if base is None else with_lf(base)
    for change in changes:
        if change.kind == "delete":
            text = None
        elif change.kind == "whole":
            text = _whole(path, text, change)
        else:
            text = _with_replaced(path, text, change)
    return text if text is None or base is None else with_its_ends(base, text)


def _whole(path: str, text: str | None, change: Change) -> str:
    if text is None or not text.strip():
        rows = trimmed(change.text.split("\n"))
        return "".join(f"{row}\n" for row in moved(rows, margin(rows), ""))
    given = change.text
    if change.dropped and text.lstrip("\n").startswith(change.dropped.rstrip()):
        given = f"{change.dropped}\n{given}"
    given = with_head(text, given)
    if not is_part(path, text, given):
        return "".join(f"{row}\n" for row in in_style_of(trimmed(given.split("\n")), Lines(text)))
    whole = merged(path, text, given)
    if whole is None:
        raise PatchError(
            f"The block for `{path}` holds a part of that file only, and it is not clear where it belongs. "
            "Send the whole new text of the file, or search/replace blocks."
        )
    return whole


def with_head(text: str, given: str) -> str:
    """A block with what a file begins with above its first line of code, where the block left just that out.

    Small models often do: a license, a docstring, a line for the shell.

    Args:
        text: The file, lines ended by LF.
        given: The block.
    """
    rows, sent = text.split("\n"), trimmed(given.split("\n"))
    at = next((i for i, row in enumerate(rows) if sent and row == sent[0]), 0)
    head = [row for row in rows[:at] if row.strip()]
    if not head or at > HEAD_MAX_ROWS or any(row in sent for row in head) or not _is_remark(rows[:at]):
        return given
    return "\n".join([*rows[:at], *sent, ""])


def _is_remark(rows: list[str]) -> bool:
    """Lines hold nothing but comments and a docstring."""
    quote = ""
    for row in (one.strip() for one in rows):
        if quote:
            quote = "" if row.endswith(quote) else quote
        elif row.startswith(_QUOTES):
            quote = "*/" if row.startswith("/*") else row[:3]
            if len(row) > len(quote) and row.endswith(quote):
                quote = ""
        elif row and not row.startswith(("#", "//", "--", ";")):
            return False
    return not quote


def _with_replaced(path: str, text: str | None, change: Change) -> str:
    if text is None or not text.strip():
        if change.search.strip():
            raise PatchError(f"`{path}` is not there, so nothing in it can be replaced. Send its whole text.")
        return change.text
    rows = text.split("\n")
    if not change.search.strip():
        return "\n".join([*trimmed(rows), "", *trimmed(change.text.split("\n")), ""])
    found = places_of(rows, change.search.split("\n"))
    if len(found) == 1:
        return _put(text, rows, found[0], change)
    new = trimmed(change.text.split("\n"))
    if not found and new and places_of(rows, new):
        return text  # it is there already
    shown = change.search[:SHOWN_MAX_CHARS].rstrip("\n")
    if found:
        raise PatchError(
            f"In `{path}` these lines are there more than once:\n{shown}\n"
            "Search for more lines around them, so that only one place fits."
        )
    raise PatchError(
        f"In `{path}` these lines are not there:\n{shown}\nCopy the lines to search for exactly from the file."
    )


def _put(text: str, rows: list[str], place: Place, change: Change) -> str:
    """Puts new lines in the place of old ones, as deep as those stand."""
    lines = Lines(text)
    old, sought = rows[place.first : place.stop], trimmed(change.search.split("\n"))
    new = in_style_of(trimmed(change.text.split("\n")), lines)
    if old and sought and indent_text(old[0]) != indent_text(sought[0]):
        styled = in_style_of(sought, lines)
        new = moved(new, margin(styled), margin_text(old))
    return "\n".join([*rows[: place.first], *new, *rows[place.stop :]])


def with_its_ends(base: str, text: str) -> str:
    """A new text with the line ends of the old one; it ends as that did, with or without a line end.

    Args:
        base: The old text.
        text: The new one, lines ended by LF.
    """
    if not base.strip("\r\n"):
        return text if "\r" not in base else text.replace("\n", line_end(base))
    lines = Lines(base)
    body = base.rstrip("\r\n")
    rows = text.rstrip("\n").split("\n")
    whole = Selection(0, len(body), 0, lines.line_of(len(body)), True)
    return with_ends(lines, whole, rows) + base[len(body) :]
