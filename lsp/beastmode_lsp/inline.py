"""Ghost text while typing, and the same as a completion item for editors that have no ghost text."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from beastmode.core.errors import BeastError
from beastmode_lsp.asking import refuse_large
from beastmode_lsp.costs import cost_line
from beastmode_lsp.documents import Document
from beastmode_lsp.positions import Point, Span, end_of, text_in

if TYPE_CHECKING:
    from beastmode_lsp.session import Session

PREFIX_CHARS = 6000
SUFFIX_CHARS = 2000
TYPED_WITHIN_S = 1.0
LABEL_CHARS = 60


class Ghosts:
    """What is asked for at the cursor of one editor; in each document the last question alone goes on.

    Args:
        session: Of the editor.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._asking: dict[str, asyncio.Task[Any]] = {}
        self._typed: dict[str, tuple[float, Point]] = {}

    def typed(self, params: types.DidChangeTextDocumentParams) -> None:
        """Notes that a character was typed: what is asked for right behind it was not asked for by hand."""
        change = params.content_changes[-1] if params.content_changes else None
        uri = params.text_document.uri
        if isinstance(change, types.TextDocumentContentChangePartial) and len(change.text) == 1:
            document = self._session.documents.find(uri)
            if document is not None:
                start = document.span(change.range).start
                now_s = asyncio.get_running_loop().time()
                self._typed[uri] = now_s, Point(start.line, start.column + 1)
                return
        self._typed.pop(uri, None)

    def closed(self, uri: str) -> None:
        """The document is closed."""
        self._typed.pop(uri, None)
        task = self._asking.pop(uri, None)
        if task is not None:
            task.cancel()

    async def inline(self, params: types.InlineCompletionParams) -> types.InlineCompletionList:
        """What `textDocument/inlineCompletion` answers: one item, or none."""
        automatic = params.context.trigger_kind is types.InlineCompletionTriggerKind.Automatic
        answer = await self._latest(params.text_document.uri, params.position, automatic)
        if answer is None:
            return types.InlineCompletionList(items=[])
        at = types.Range(start=params.position, end=params.position)
        return types.InlineCompletionList(items=[types.InlineCompletionItem(insert_text=answer["text"], range=at)])

    async def items(self, params: types.CompletionParams) -> types.CompletionList:
        """What `textDocument/completion` answers: one item of ours, or none."""
        uri, position = params.text_document.uri, params.position
        automatic = self._is_typing(uri, position)
        by_itself = params.context is not None and (
            params.context.trigger_kind is not types.CompletionTriggerKind.Invoked
        )
        nothing = types.CompletionList(is_incomplete=False, items=[])
        if by_itself or (automatic and self._session.editor.asks_inline):
            return nothing
        document = self._session.documents.find(uri)
        answer = await self._latest(uri, position, automatic)
        if answer is None or document is None:
            return nothing
        return types.CompletionList(is_incomplete=False, items=[an_item(document, position, answer)])

    def _is_typing(self, uri: str, position: types.Position) -> bool:
        typed_s, place = self._typed.get(uri, (0.0, None))
        document = self._session.documents.find(uri)
        fresh = asyncio.get_running_loop().time() - typed_s < TYPED_WITHIN_S
        return fresh and document is not None and document.point(position) == place

    async def _latest(self, uri: str, position: types.Position, automatic: bool) -> dict[str, Any] | None:
        """Asks, unless a newer question of the same document comes before the answer."""
        before = self._asking.pop(uri, None)
        if before is not None:
            before.cancel()
        document = self._session.documents.find(uri)
        settings = self._session.settings.inline
        if document is None or not settings.enabled or (automatic and settings.automatic == "never"):
            return None
        task = asyncio.ensure_future(self._ask(document, document.point(position), automatic))
        self._asking[uri] = task
        try:
            await asyncio.wait([task])
        finally:
            if self._asking.get(uri) is task:
                del self._asking[uri]
            if not task.done():
                task.cancel()  # the editor has taken its question back
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.shield(asyncio.wait([task]))
        return None if task.cancelled() else task.result()

    async def _ask(self, document: Document, point: Point, automatic: bool) -> dict[str, Any] | None:
        settings = self._session.settings.inline
        params = self._around(document, point)
        if automatic:
            await asyncio.sleep(settings.debounce_ms / 1000)
            if document.closed:
                return None
        else:
            refuse_large(self._session, document, whole=False)
        try:
            if automatic and not await self._may_ask(document, params):
                return None
            answer: dict[str, Any] = await self._session.daemon.call("complete", params)
        except BeastError:
            if automatic:
                return None  # the status says how the daemon is; a message at every key would not help
            raise
        self._session.last_request = answer.get("request_id") or self._session.last_request
        return answer if answer["text"].strip() else None

    async def _may_ask(self, document: Document, params: dict[str, Any]) -> bool:
        """Whether a model may be asked without the user's wish; chooses a free one."""
        if document.exceeds(self._session.server.max_document_bytes):
            return False
        if self._session.settings.inline.automatic == "always":
            return True
        catalogue, named = self._session.catalogue, self._session.settings.inline.model
        model = await catalogue.free(named or self._session.chosen_model)
        if model is None and not named:
            model = await catalogue.free(None)  # the one that answers otherwise costs something
        if model is None:
            return False
        params |= {"model": model, "max_cost_usd": 0}  # and the daemon refuses it, should it cost something after all
        return True

    def _around(self, document: Document, point: Point) -> dict[str, Any]:
        settings = self._session.settings.inline
        found: dict[str, Any] = {
            "prefix": before(document.lines, point),
            "suffix": behind(document.lines, point),
            "max_tokens": settings.max_tokens,
            **self._session.place(document.uri),
            **self._session.identity(settings.model or None),
        }
        return {**found, "language": document.language} if document.language else found


def an_item(document: Document, position: types.Position, answer: dict[str, Any]) -> types.CompletionItem:
    """A completion item; its filter is the word before the cursor, which editors hold items against.

    Args:
        document: Where it goes.
        position: The cursor.
        answer: Of the method `complete`.
    """
    point = document.point(position)
    word = re.search(r"\w*$", document.lines[point.line][: point.column])
    text: str = answer["text"]
    first = next((line.strip() for line in text.splitlines() if line.strip()), text)
    short = first if len(first) <= LABEL_CHARS else f"{first[: LABEL_CHARS - 1]}…"
    line = cost_line(answer)
    shown = types.MarkupContent(kind=types.MarkupKind.Markdown, value=f"```\n{text}\n```\n\n{line}")
    return types.CompletionItem(
        label=f"BEAST: {short}",
        kind=types.CompletionItemKind.Snippet,
        detail=line,
        documentation=shown,
        filter_text=(word[0] if word is not None else "") or None,
        sort_text="~",
        insert_text_format=types.InsertTextFormat.PlainText,
        text_edit=types.TextEdit(range=types.Range(start=position, end=position), new_text=text),
    )


def before(lines: list[str], point: Point) -> str:
    """The text before a place, from the start of a line, and not too much of it.

    Args:
        lines: Of the document.
        point: The place.
    """
    first, chars = point.line, point.column
    while first > 0 and chars + len(lines[first - 1]) <= PREFIX_CHARS:
        first -= 1
        chars += len(lines[first])
    return text_in(lines, Span(Point(first, 0), point))[-PREFIX_CHARS:]


def behind(lines: list[str], point: Point) -> str:
    """The text behind a place, to the end of a line, and not too much of it.

    Args:
        lines: Of the document.
        point: The place.
    """
    last, chars = point.line + 1, len(lines[point.line]) - point.column
    while last < len(lines) and chars + len(lines[last]) <= SUFFIX_CHARS:
        chars += len(lines[last])
        last += 1
    end = Point(last, 0) if last < len(lines) else end_of(lines)
    return text_in(lines, Span(point, end))[:SUFFIX_CHARS]
