"""Names of files as models write them: in headings, in fences and in comments; short, absolute or decorated."""

from __future__ import annotations

import re
from collections.abc import Collection

from beastmode.workspace.languages import language_of

_PLAIN = re.compile(r"(?:\.{0,2}/)?[\w@.+~()\[\]-]+(?:[/\\][\w@.+~()\[\]-]+)*")
_TICKED = re.compile(r"`([^`\s][^`\n]*)`")
_DECORATED = re.compile(
    r"^[\s#*>_-]*(?:\d+[.)]\s*)?[*_]*(?:(?:new |create |update |edit |modify )?file(?:\s?name|path)?|path|filename)?"
    r"[\s*_`\"':=]*",
    re.IGNORECASE,
)
_COMMENT = re.compile(
    r"\s*(?:#|//|--|;|/\*|<!--)\s*(?:file(?:name)?|path)?\s*:?\s*(\S+?)\s*(?:\*/|-->)?\s*$", re.IGNORECASE
)
_ENDINGS = re.compile(
    "txt|cfg|ini|conf|rst|lock|env|csv|tsv|proto|graphql|gql|vue|svelte|gradle|cmake|in|tf|bat|ps1|ipynb"
)
_NAMES = re.compile("makefile|dockerfile|procfile|license|readme|changelog|gemfile|rakefile|jenkinsfile")


def looks_like_path(name: str, known: Collection[str] = ()) -> bool:
    """Whether a word is the name of a file.

    Args:
        name: The word.
        known: Paths of files that are there.
    """
    if name in known:
        return True
    if len(name) > 250 or not _PLAIN.fullmatch(name) or name.endswith((".", "/")):
        return False
    last = name.replace("\\", "/").rpartition("/")[2]
    ending = last.rpartition(".")[2].lower() if "." in last else ""
    if _NAMES.fullmatch(last.lower()) or (last.startswith(".") and len(last) > 2):
        return True
    return bool(ending) and (bool(language_of(last).id) or _ENDINGS.fullmatch(ending) is not None)


def path_in(row: str, known: Collection[str] = ()) -> str:
    """The file that a line of an answer names; empty: it names none.

    Args:
        row: A line, such as `### src/a.py`, ``In `src/a.py`:`` or `File: src/a.py`.
        known: Paths of files that are there.
    """
    row = row.strip()
    if not row or len(row) > 500:
        return ""
    ticked: list[str] = [one.strip() for one in _TICKED.findall(row) if looks_like_path(one.strip(), known)]
    if ticked:
        return next((one for one in ticked if one in known), ticked[-1])
    bare = _DECORATED.sub("", row, count=1).rstrip("*_`\"': ")
    for name in (row, bare, re.sub(r"\s*\([^)]*\)$", "", bare)):
        if looks_like_path(name, known):
            return name
    return ""


def commented_path(row: str, known: Collection[str] = ()) -> str:
    """The file that a comment names and nothing else, as `# src/a.py` at the head of a block; empty: none.

    Args:
        row: A line of code.
        known: Paths of files that are there.
    """
    found = _COMMENT.match(row)
    if found is None:
        return ""
    name = found[1].strip("`\"'*:")
    return name if looks_like_path(name, known) else ""


def resolved(named: str, known: Collection[str]) -> str:
    """The path that a name means: a file that is there where the name fits exactly one, else the name itself.

    Args:
        named: As the model wrote it.
        known: Paths of files that are there, with slashes.
    """
    name = named.strip().strip("`\"'").replace("\\", "/")
    plain = name.removeprefix("./")
    for one in (name, plain, *(plain.removeprefix(prefix) for prefix in ("a/", "b/"))):
        if one in known:
            return one
    longer = [one for one in known if one.endswith("/" + plain)]
    if len(longer) == 1:
        return longer[0]
    inside = [one for one in known if name.endswith("/" + one)]
    return max(inside, key=len) if inside else plain
