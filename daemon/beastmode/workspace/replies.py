"""The code in a model's answer: fenced, fenced badly or not at all, with or without prose around it."""

from __future__ import annotations

import re

import msgspec

from beastmode.workspace.prompting import with_lf

_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)([^`\n]*)$")
_THOUGHTS = re.compile(r"\A\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_ASIDE = frozenset(("console", "text", "txt", "plaintext", "output"))
_SHELLS = frozenset(("sh", "bash", "shell", "zsh", "shellscript"))
_WORDS = re.compile(r"[A-Z\"'`*#>-][^;{}=]* [^;{}=]*[.:!?]\**\s*$")


class Block(msgspec.Struct, frozen=True):
    """A fenced block.

    Attributes:
        text: What is in it, lines ended by LF.
        language: What its fence names, in lower case.
        closed: Its closing fence came.
        label: All that its opening fence says, the language first.
        above: The last line above it that is not blank.
    """

    text: str
    language: str
    closed: bool
    label: str = ""
    above: str = ""


def blocks_in(answer: str) -> list[Block]:
    """Finds the fenced blocks of an answer.

    Args:
        answer: Markdown, with line ends of any kind.
    """
    found: list[Block] = []
    fence = above = ""
    head = ("", "", "")
    inside: list[str] = []
    for line in with_lf(answer).split("\n"):
        mark = _FENCE.match(line)
        if not fence:
            if mark is not None:
                fence, head, inside = mark[1], (mark[2].lower(), (mark[2] + mark[3]).strip(), above), []
            above = line.strip() or above
        elif mark is not None and mark[1].startswith(fence) and not mark[2]:
            found.append(_block(inside, head, True))
            fence = above = ""
        else:
            inside.append(line)
    if fence:
        found.append(_block(inside, head, False))
    return found


def _block(inside: list[str], head: tuple[str, str, str], closed: bool) -> Block:
    language, label, above = head
    return Block("".join(f"{line}\n" for line in inside), language, closed, label, above)


def code_in(answer: str, selected: str = "", language: str = "", *, whole: bool = True) -> str | None:
    """The code of an answer; None where there is none.

    Args:
        answer: Markdown.
        selected: What the code takes the place of; of several blocks, the one that is likest to it is meant.
        language: What the file is written in.
        whole: The answer came to its end; of one that was cut off only blocks that were closed count.
    """
    answer = _THOUGHTS.sub("", with_lf(answer))
    if language == "markdown" and whole:
        return _to_the_last_fence(answer)
    found = [block for block in blocks_in(answer) if block.text.strip() and (whole or block.closed)]
    if not found and not whole:
        return None
    if not found:
        return None if "```" in answer or "~~~" in answer else _unfenced(answer, selected)
    aside = _ASIDE if language in _SHELLS else _ASIDE | _SHELLS
    found = _unless_none([block for block in found if block.language not in aside], found)
    found = _unless_none([block for block in found if _rows(block.text) != _rows(selected)], found)
    wanted = set(_rows(selected))
    best = max(found, key=lambda block: len(wanted.intersection(_rows(block.text))))
    return _without_marks(best.text) if best.language in ("diff", "patch") and language != "diff" else best.text


def _unless_none(wanted: list[Block], all_: list[Block]) -> list[Block]:
    return wanted or all_


def _rows(text: str) -> list[str]:
    return [row.strip() for row in with_lf(text).split("\n") if row.strip()]


def _to_the_last_fence(answer: str) -> str | None:
    """Markdown holds fences of its own: the outermost ones count; without any, the answer itself is meant."""
    lines = answer.strip("\n").split("\n")
    fences = [i for i, line in enumerate(lines) if _FENCE.match(line)]
    if len(fences) > 1 and fences[0] <= 1 and fences[-1] >= len(lines) - 2:
        lines = lines[fences[0] + 1 : fences[-1]]
    text = "".join(f"{line}\n" for line in lines)
    return text if text.strip() else None


def _without_marks(diff: str) -> str:
    """What a diff leaves."""
    heads = ("---", "+++", "@@", "diff ", "index ", "\\")
    rows = [row for row in diff.split("\n") if not row.startswith(heads)]
    return "\n".join(row[1:] if row[:1] in ("+", " ") else row for row in rows if not row.startswith("-"))


def _unfenced(answer: str, selected: str) -> str | None:
    """An answer that is code without a fence; the prose at its ends is left out, and prose alone is no code."""
    parts = re.split(r"\n[ \t]*\n", answer.strip("\n"))
    while parts and _is_prose(parts[0]):
        parts.pop(0)
    while parts and _is_prose(parts[-1]):
        parts.pop()
    text = "\n\n".join(parts)
    if not text.strip():
        return None
    first, *rest = text.split("\n")
    if _WORDS.match(first) and rest and first.rstrip().endswith(":") and not _is_code(first):
        text = "\n".join(rest)
    shares = set(_rows(text)).intersection(_rows(selected))
    return text + "\n" if shares or _is_code(text) else None


def _is_prose(part: str) -> bool:
    return not _is_code(part) and (_WORDS.match(" ".join(part.split())) is not None or not part.strip())


def _is_code(text: str) -> bool:
    """It has marks that sentences have not: brackets of calls, assignments, ends of statements."""
    signs = len(re.findall(r"\w\(|\)[:;{]|[;{}]\s*$| [-+*/|&<>!=]?= |=>|->|^\s*(?:#|//|@)\w", text, re.MULTILINE))
    return signs * 25 >= len(text.split())
