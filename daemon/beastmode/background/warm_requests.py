"""From a wish to the very request that a person would make: the same words, the same texts, the same key."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from beastmode.background.warm_wishes import Wish
from beastmode.core.errors import BadInputError, NotFoundError
from beastmode.core.types import Request
from beastmode.workspace.attachments import read_inside
from beastmode.workspace.blocks import block_at
from beastmode.workspace.chunks import cut
from beastmode.workspace.languages import language_of
from beastmode.workspace.library import Library
from beastmode.workspace.positions import Lines, Position, Range
from beastmode.workspace.requests import ActionParams, ChatParams, action_request, chat_request, conversation
from beastmode.workspace.subject import BOM

CLIENT = "daemon"

T = TypeVar("T", bound=msgspec.Struct)


async def make(wish: Wish, library: Library | None) -> Request:
    """Makes the request; what it is about is read from the disk now.

    Args:
        wish: What could be asked.
        library: Lends pieces of open workspaces; None: none are open.

    Raises:
        BadInputError: It can not be asked any more.
        NotFoundError: The file, or the function in it, is gone.
    """
    if wish.request is not None:
        request = msgspec.structs.replace(wish.request)
    elif wish.asked.method == "chat":
        request = await _chat(wish, library)
    else:
        request = await _action(wish, library)
    # A caller who comes meanwhile and wants the text as it comes gets it; streaming joins no key.
    request.origin, request.stream, request.cache, request.client = "warming", True, "default", CLIENT
    request.session_id, request.traceparent, request.native = None, None, None
    return request


async def _chat(wish: Wish, library: Library | None) -> Request:
    asked = wish.asked.params
    fields = {**(asked.get("params") or {}), "model": asked.get("model") or None, "messages": asked.get("messages")}
    fields |= {"workspace": wish.workspace or None, "retrieve": bool(asked.get("gather"))}
    params = _read(fields, ChatParams)
    return await chat_request(params, conversation(params), wish.user, CLIENT, library=library)


async def _action(wish: Wish, library: Library | None) -> Request:
    params = _read(wish.asked.params, ActionParams)
    if wish.symbol and params.workspace is not None:
        params.range = await asyncio.to_thread(_range_of, params.workspace, params.path, wish.symbol, params.range)
    _, request = await action_request(params, wish.user, CLIENT, library=library)
    return request


def _read(fields: dict[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise BadInputError(f"It can not be asked again: {error}.", tips=["beast cache warm --dry-run"]) from None


def _range_of(workspace: str, path: str, symbol: str, before: Range | None) -> Range:
    """Where a function lies now: its lines, or its first line where a cursor was what a person had."""
    text = read_inside(Path(workspace), path).decode().removeprefix(BOM)
    lines = Lines(text)
    row = _row_of(path, text, symbol)
    if row is None:
        raise NotFoundError(f"There is no {symbol} in {path} any more.", tips=["beast patterns"])
    if before is None or before.start == before.end:
        return Range(Position(row, 0), Position(row, 0))
    first, last = block_at(lines, row, language_of(path))
    return Range(Position(first, 0), lines.position(lines.end_of(last)))


def _row_of(path: str, text: str, symbol: str) -> int | None:
    """The line in which a function or class begins, from 0."""
    exact = [one for one in cut(path, text) if one.symbol == symbol]
    wanted = symbol.rpartition(".")[2]
    found = exact or [one for one in cut(path, text) if one.symbol.rpartition(".")[2] == wanted]
    if not found:
        return None
    rows = found[0].text.split("\n")
    begins: Any = next((number for number, row in enumerate(rows) if _defines(row, wanted)), 0)
    return int(found[0].first_line - 1 + begins)


def _defines(row: str, name: str) -> bool:
    words = row.replace("(", " ( ").replace(":", " : ").replace("=", " = ").split()
    return name in words and not row.lstrip().startswith(("@", "#", "//", "*", "/*"))
