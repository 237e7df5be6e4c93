"""What `docs/http-clients.md` tells people to write, made true for a test's own daemon."""

from __future__ import annotations

import re
from pathlib import Path

from support.tracked import text_of

PAGE = Path("docs/http-clients.md")
URL, MODEL = "http://127.0.0.1:23278", "custom:qwen"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(section: str, language: str) -> list[str]:
    """The blocks of one language in a section.

    Args:
        section: Its heading.
        language: As the block names it.
    """
    _, found, rest = (text_of(PAGE) or "").partition(f"\n## {section}\n")
    assert found, f"{PAGE} has no section {section}"
    return [text for kind, text in _BLOCK.findall(rest.partition("\n## ")[0]) if kind == language]


def lines(section: str) -> list[str]:
    """The commands of a section."""
    return [line[2:] for text in blocks(section, "console") for line in text.splitlines() if line.startswith("$ ")]


def made_true(text: str, url: str, model: str = MODEL) -> str:
    """Puts a test's own daemon and model in the place of the page's.

    Args:
        text: Of the page.
        url: Of the daemon.
        model: Its id.
    """
    return text.replace(URL, url).replace(MODEL, model)
