"""The code in a model's answer: fenced, fenced badly or not fenced at all, with or without prose around it."""

from __future__ import annotations

import re

import msgspec

_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^`\n]*$")


class Block(msgspec.Struct, frozen=True):
    """A fenced block.

    Attributes:
        text: What is in it, lines ended by LF.
        language: What its fence names, in lower case.
        closed: Its closing fence came.
    """

    text: str
    language: str
    closed: bool


def blocks_in(answer: str) -> list[Block]:
    """Finds the fenced blocks of an answer.

    Args:
        answer: Markdown, with line ends of any kind.
    """
    found: list[Block] = []
    fence, language = "", ""
    inside: list[str] = []
    for line in answer.replace("\r\n", "\n").split("\n"):
        mark = _FENCE.match(line)
        if not fence:
            if mark is not None:
                fence, language, inside = mark[1], mark[2].lower(), []
        elif mark is not None and mark[1].startswith(fence) and not mark[2]:
            found.append(_block(inside, language, True))
            fence = ""
        else:
            inside.append(line)
    if fence:
        found.append(_block(inside, language, False))
    return found


def _block(inside: list[str], language: str, closed: bool) -> Block:
    return Block("".join(f"{line}\n" for line in inside), language, closed)


def code_in(answer: str) -> str | None:
    """The code of an answer; None where there is none.

    Args:
        answer: Markdown.
    """
    found = [block.text for block in blocks_in(answer) if block.text.strip()]
    return found[0] if found else None
