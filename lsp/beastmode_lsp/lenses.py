"""Code lenses: a line above each function that offers actions; there only where the setting says so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lsprotocol import types

from beastmode_lsp.positions import Point, character_of, content_length

if TYPE_CHECKING:
    from beastmode_lsp.session import Session

MOST = 100
MOST_LINES = 20_000
_DEFINITION = re.compile(
    r"\s*(?:(?:export|default|pub(?:\([^)]*\))?|public|private|protected|static|async|abstract|final|override|local)\s+)*"
    r"(?:def|class|function\*?|func|fn|fun|impl|trait|struct|interface|module|sub|proc)\s+[\w$:.\"'<(]"
)
_OFFERS = (("BEAST: explain", "explain"), ("tests", "tests"), ("docstring", "docstring"))


def lenses(session: Session, uri: str) -> list[types.CodeLens]:
    """The lenses of a document.

    Args:
        session: Of the editor.
        uri: Of the document.
    """
    document = session.documents.find(uri)
    if document is None or not session.settings.code_lens.enabled:
        return []
    if document.exceeds(session.server.max_document_bytes):
        return []
    lines = document.lines
    found: list[types.CodeLens] = []
    for number, line in enumerate(lines[:MOST_LINES]):
        if not is_definition(line):
            continue
        end = character_of(lines, Point(number, content_length(line)), session.documents.encoding)
        place = types.Range(types.Position(number, 0), types.Position(number, end))
        there = {"start": {"line": number, "character": 0}, "end": {"line": number, "character": 0}}
        for title, kind in _OFFERS:
            command = types.Command(title=title, command=f"beast.{kind}", arguments=[{"uri": uri, "range": there}])
            found.append(types.CodeLens(place, command=command))
        if len(found) >= MOST * len(_OFFERS):
            break
    return found


def is_definition(line: str) -> bool:
    """Whether a line begins a function, a class or their like, in any of the common languages.

    Args:
        line: Of a document.
    """
    return _DEFINITION.match(line) is not None
