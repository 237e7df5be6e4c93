"""The one argument object of a command: which fields it may have, and of which type."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

Kinds = Mapping[str, type | tuple[type, ...]]
_WORDS: dict[Any, str] = {
    str: "text",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    int: "a number",
    float: "a number",
}


def take(command: str, given: Any, kinds: Kinds, needed: tuple[str, ...] = ()) -> dict[str, Any]:
    """Reads the argument of a command.

    Args:
        command: Its name.
        given: What came; None is an empty object.
        kinds: The fields there are, with their types.
        needed: Those that must be there.

    Returns:
        The fields that are there and not null.

    Raises:
        JsonRpcInvalidParams: A field is unknown, missing or of another type.
    """
    if given is None:
        given = {}
    if not isinstance(given, dict):
        raise JsonRpcInvalidParams(f"{command} takes one object, such as {{{', '.join(kinds)}}}.")
    for name in given:
        if name not in kinds:
            near = difflib.get_close_matches(str(name), kinds, n=1)
            hint = f"Did you mean `{near[0]}`?" if near else f"It takes: {', '.join(kinds) or 'nothing'}."
            raise JsonRpcInvalidParams(f"{command} has no field `{name}`. {hint}")
    found = {name: value for name, value in given.items() if value is not None}
    for name, value in found.items():
        kind = kinds[name]
        wanted = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise JsonRpcInvalidParams(f"`{name}` of {command} is not {_WORDS[wanted[0]]}.")
    for name in needed:
        if not found.get(name):
            raise JsonRpcInvalidParams(f"{command} needs `{name}`.")
    return found


def a_range(command: str, given: Any) -> types.Range:
    """Reads a range.

    Raises:
        JsonRpcInvalidParams: It is none.
    """
    try:
        places = [(given[end]["line"], given[end]["character"]) for end in ("start", "end")]
    except (KeyError, TypeError):
        places = []
    if len(places) != 2 or not all(type(one) is int and one >= 0 for place in places for one in place):
        raise JsonRpcInvalidParams(f"`range` of {command} is not {{start: {{line, character}}, end: ...}}.")
    (line, character), (last, end) = places
    return types.Range(types.Position(line, character), types.Position(last, end))
