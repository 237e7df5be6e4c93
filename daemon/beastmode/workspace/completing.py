"""Writing on at the cursor: how much of the text around it a model is shown, and what of its answer fits the gap."""

from __future__ import annotations

import re

from beastmode.workspace.languages import language_of
from beastmode.workspace.replies import blocks_in

PREFIX_MAX_CHARS = 6_000
SUFFIX_MAX_CHARS = 2_000
STEP_CHARS = 1_000
"""A long prefix is cut in steps, so that it begins at the same place while a person types."""

REPEATED_MIN_CHARS = 3
LINE_MIN_CHARS = 6
_TAGS = re.compile(r"</?(?:before|after)_the_gap>")
_OPENERS = {")": "(", "]": "[", "}": "{"}


def gap_of(prefix: str, suffix: str) -> tuple[str, str]:
    """What is shown of the text around a gap, cut at lines.

    Args:
        prefix: All that stands before it.
        suffix: All that stands after it.
    """
    if len(prefix) > PREFIX_MAX_CHARS:
        start = -(-(len(prefix) - PREFIX_MAX_CHARS) // STEP_CHARS) * STEP_CHARS
        line = prefix.find("\n", start) + 1
        prefix = prefix[line or start :]
    if len(suffix) > SUFFIX_MAX_CHARS:
        line = suffix.rfind("\n", 0, SUFFIX_MAX_CHARS) + 1
        suffix = suffix[: line or SUFFIX_MAX_CHARS]
    return prefix, suffix


def hint(path: str, language: str | None) -> str:
    """What a model that chats is told about the text; empty where nothing is known.

    Args:
        path: The file's name.
        language: As the editor says.
    """
    known = language_of(path, language).name
    if path:
        return f"It is of the file {path}{f', in {known}' if known else ''}."
    return f"It is {known}." if known else ""


def fitting(text: str, prefix: str, suffix: str) -> str:
    """What of an answer belongs in the gap.

    Args:
        text: The answer.
        prefix: What stands before the gap.
        suffix: What stands after it.
    """
    text = _bare(text)
    text = _until_the_suffix(text[_repeated(text, prefix) :], suffix)
    return text[: len(text) - _overlap(text, suffix)]


def _bare(text: str) -> str:
    """Without the fence and the marks that a model that chats puts around it."""
    tag = _TAGS.search(text)
    if tag is not None:
        text = text[tag.end() :] if not text[: tag.start()].strip() else text[: tag.start()]
        return _bare(text)
    if text.lstrip().startswith(("```", "~~~")):
        blocks = blocks_in(text)
        return blocks[0].text.removesuffix("\n") if blocks else text
    return text


def _repeated(text: str, prefix: str) -> int:
    """How much of the end of the prefix an answer begins with."""
    line = prefix.rfind("\n") + 1
    starts = [match.end() for match in re.finditer("\n", prefix)]
    for start in [0, *starts]:
        tail = prefix[start:]
        rows = sum(1 for row in tail.split("\n") if row.strip())
        if tail and text.startswith(tail) and (rows > 1 or _says(prefix[line:])):
            return len(tail)
    tail = prefix[line:].lstrip()
    return len(tail) if _says(tail) and text.startswith(tail) else 0


def _says(text: str) -> bool:
    return len("".join(text.split())) >= REPEATED_MIN_CHARS


def _until_the_suffix(text: str, suffix: str) -> str:
    """An answer up to where it writes the first line below the gap again."""
    below = suffix.split("\n")[1:]
    first = next((row.rstrip() for row in below if row.strip()), "")
    if len("".join(first.split())) < LINE_MIN_CHARS:
        return text
    rows = text.split("\n")
    at = next((i for i, row in enumerate(rows) if i and row.rstrip() == first), len(rows))
    return "\n".join(rows[:at]) + ("\n" if at < len(rows) else "")


def _overlap(text: str, suffix: str) -> int:
    """How much of the start of the suffix an answer ends with."""
    for length in range(min(len(text), len(suffix)), 0, -1):
        shared = suffix[:length]
        if text.endswith(shared) and (not shared.strip() or _says(shared) or _closes_too_much(text, shared)):
            return length
    return 0


def _closes_too_much(text: str, shared: str) -> bool:
    """The shared end closes brackets that the answer did not open."""
    return any(text.count(sign) > text.count(_OPENERS[sign]) for sign in shared if sign in _OPENERS)
