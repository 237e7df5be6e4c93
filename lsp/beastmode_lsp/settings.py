"""An editor's settings: what they may be, what they are by default, and what is said of those that are not known."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

AUTOMATIC = ("free", "always", "never")
OPENING = ("ask", "never")
_WORDS = {"automatic": AUTOMATIC, "open": OPENING}
"""Settings that are one of a few words, by their names."""


@dataclass(frozen=True)
class CodeLens:
    """Lines above functions that offer actions.

    Attributes:
        enabled: Whether they are there.
    """

    enabled: bool = False


@dataclass(frozen=True)
class Inline:
    """Ghost text.

    Attributes:
        enabled: Whether there is any.
        automatic: While typing: `free` (by models that cost nothing), `always`, `never`. By hand it always comes.
        model: Which model writes it; empty: the one of this session.
        max_tokens: Its longest answer.
        debounce_ms: How long the typing must rest before a model is asked.
    """

    enabled: bool = True
    automatic: str = "free"
    model: str = ""
    max_tokens: int = 128
    debounce_ms: int = 150


@dataclass(frozen=True)
class Edits:
    """What is done with edits.

    Attributes:
        preview: Show the diff, and apply nothing until `beast.apply`.
    """

    preview: bool = False


@dataclass(frozen=True)
class Workspace:
    """Folders that the daemon reads.

    Attributes:
        open: `ask`: the user is asked once about each folder; `never`: only the command opens one.
    """

    open: str = "ask"


@dataclass(frozen=True)
class Settings:
    """All of them.

    Attributes:
        model: Which model answers; empty: the daemon's default.
        deltas: Send answers as they come, as `beast/delta`.
        status: Send `beast/status` when it changes.
        code_lens: Lines above functions.
        inline: Ghost text.
        edits: What is done with edits.
        workspace: Folders that the daemon reads.
        chat: Kept for what editors need themselves.
        tags: Labels for cost reports.
    """

    model: str = ""
    deltas: bool = False
    status: bool = False
    code_lens: CodeLens = CodeLens()
    inline: Inline = Inline()
    edits: Edits = Edits()
    workspace: Workspace = Workspace()
    chat: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


def read_settings(sources: Iterable[Any]) -> tuple[Settings, list[str]]:
    """Reads settings.

    Args:
        sources: Objects as editors send them, with camelCase keys; a later one wins. Anything else is taken for empty.

    Returns:
        The settings, and a sentence for each key that is not known or not of its type.
    """
    merged: dict[str, Any] = {}
    for source in sources:
        if isinstance(source, dict):
            nested = source.get("beast")
            merged = _merge(merged, nested if isinstance(nested, dict) else source)
    warnings: list[str] = []
    return _read(Settings, merged, "", warnings), warnings


def _merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    found = dict(under)
    for key, value in over.items():
        before = found.get(key)
        if value is not None:
            found[key] = _merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return found


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda found: found[1].upper(), name)


def _read(kind: Any, given: dict[str, Any], path: str, warnings: list[str]) -> Any:
    known = {_camel(one.name): one for one in dataclasses.fields(kind)}
    found = {}
    for key, value in given.items():
        name = f"{path}{key}"
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean beast.{path}{near[0]}?" if near else f"known: {', '.join(known)}."
            warnings.append(f"There is no setting beast.{name}; {hint}")
            continue
        default = getattr(kind(), known[key].name)
        if dataclasses.is_dataclass(default) and isinstance(value, dict):
            found[known[key].name] = _read(type(default), value, f"{name}.", warnings)
        elif (fitting := _fitting(default, value, key)) is None:
            warnings.append(f"The setting beast.{name} is not {_wanted(default, key)}; its default holds.")
        else:
            found[known[key].name] = fitting
    return kind(**found)


def _fitting(default: Any, value: Any, key: str) -> Any:
    """The value, if it is what the setting takes; else None."""
    if key in _WORDS:
        return value if value in _WORDS[key] else None
    if isinstance(default, bool) or isinstance(value, bool):
        return value if isinstance(default, bool) and isinstance(value, bool) else None
    if isinstance(default, int):
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return int(value) if (whole and 0 < value <= 1_000_000) or (value == 0 and key == "debounceMs") else None
    if isinstance(default, tuple):
        return tuple(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else None
    return value if isinstance(value, type(default)) and not dataclasses.is_dataclass(default) else None


def _wanted(default: Any, key: str) -> str:
    if key in _WORDS:
        return f"one of {', '.join(_WORDS[key])}"
    if isinstance(default, bool):
        return "true or false"
    if isinstance(default, int):
        return "a whole number above 0"
    return "text" if isinstance(default, str) else "a list of texts" if isinstance(default, tuple) else "an object"
