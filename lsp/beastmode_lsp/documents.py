"""The documents that an editor has open: their text now, and what was changed since an answer was asked for.

pygls' own documents cut lines where the protocol does not (form feeds, U+2028), place positions beyond a line one
short, and copy the whole text at every key. These keep lines, and the last changes of each document.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from lsprotocol import types
from pygls.uris import to_fs_path
from pygls.workspace import Workspace

from beastmode_lsp.positions import (
    UTF8,
    UTF16,
    UTF32,
    Point,
    Span,
    clamp,
    content_length,
    end_of,
    moved_by,
    point_of,
    replace,
    split_lines,
    text_in,
    units,
)

CUT_CHARS = 200_000
KEPT_CHANGES = 2000
KEPT_CHANGES_CHARS = 2_000_000


@dataclass(slots=True, frozen=True)
class Change:
    """One change of a text.

    Attributes:
        span: What was replaced, in the text before the change.
        text: What stands there now.
        shift: How many lines more the text has since.
        version: Of the document since.
    """

    span: Span
    text: str
    shift: int
    version: int


@dataclass(slots=True, frozen=True)
class Snapshot:
    """A document as it was when something was asked about it.

    Attributes:
        document: The open document that it is of; None for a file that the editor has not open.
        uri: The editor's name of it.
        version: Of that moment; None for a file.
        lines: Of that moment.
        serial: How many changes the document had seen.
    """

    document: Document | None
    uri: str
    version: int | None
    lines: Sequence[str]
    serial: int

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.lines)

    @property
    def sha256(self) -> str:
        """Digest of the text in UTF-8."""
        return digest(self.text)


class History:
    """The last changes of a document; older ones are forgotten.

    Args:
        version: Of the document before the first.
    """

    def __init__(self, version: int) -> None:
        self.serial = 0
        self._first_version = version
        self._changes: deque[Change] = deque()
        self._chars = 0

    def add(self, change: Change) -> None:
        """Notes a change."""
        self.serial += 1
        self._changes.append(change)
        self._chars += len(change.text)
        while len(self._changes) > KEPT_CHANGES or self._chars > KEPT_CHANGES_CHARS:
            gone = self._changes.popleft()
            self._chars -= len(gone.text)
            self._first_version = gone.version

    def since(self, serial: int) -> list[Change] | None:
        """What came after so many changes, oldest first; None where that is no longer known."""
        missing = self.serial - serial
        if missing > len(self._changes):
            return None
        return list(self._changes)[len(self._changes) - missing :]

    def after(self, version: int) -> list[Change] | None:
        """What came after a version, oldest first; None where that is not known."""
        if version < self._first_version:
            return None
        return [one for one in self._changes if one.version > version]


class Document:
    """An open document.

    Args:
        uri: The editor's name of it.
        language: As the editor calls it.
        version: Of the text.
        text: All of it.
        encoding: In which the editor counts.
    """

    def __init__(self, uri: str, language: str, version: int, text: str, encoding: str) -> None:
        self.uri = uri
        self.language = language
        self.version = version
        self.closed = False
        self._encoding = encoding
        self._chars = len(text)
        self._whole: str | None = text  # cut into lines when they are needed: most documents are only looked at
        self._cut: list[str] = []
        self._cut_chars = 0
        self._history = History(version)

    @property
    def chars(self) -> int:
        """How many characters it has."""
        return self._chars

    @property
    def lines(self) -> list[str]:
        """Its lines with their ends; not to be changed."""
        while self.cut_some(self._chars):
            pass
        return self._cut

    def cut_some(self, chars: int = CUT_CHARS) -> bool:
        """Cuts some of the text into lines, if it is not yet.

        Args:
            chars: About how much.

        Returns:
            Whether there is more to cut.
        """
        if self._whole is None:
            return False
        end = self._whole.find("\n", self._cut_chars + chars) + 1
        lines = split_lines(self._whole[self._cut_chars : end or None])
        self._cut += lines[:-1] if end else lines
        self._cut_chars = end
        if not end:
            self._whole = None
        return end > 0

    @property
    def text(self) -> str:
        """All of it."""
        return self._whole if self._whole is not None else "".join(self._cut)

    def exceeds(self, limit_bytes: int) -> bool:
        """Whether its text is longer than a limit, in UTF-8.

        Args:
            limit_bytes: The limit.
        """
        if not limit_bytes // 4 < self._chars <= limit_bytes:
            return self._chars > limit_bytes  # no character takes more than four bytes
        return units(self.text, UTF8) > limit_bytes

    def fits(self, limit_bytes: int) -> bool:
        """Whether its text fits into so many bytes of JSON, where what is not ASCII takes six or twelve.

        Args:
            limit_bytes: The limit.
        """
        return self._chars * 12 <= limit_bytes or len(json.dumps(self.text)) <= limit_bytes

    def point(self, position: types.Position) -> Point:
        """The place that the editor means by a position."""
        return point_of(self.lines, position.line, position.character, self._encoding)

    def span(self, range: types.Range) -> Span:
        """The stretch that the editor means by a range; a reversed one is turned around."""
        start, end = self.point(range.start), self.point(range.end)
        return Span(min(start, end), max(start, end))

    def snapshot(self) -> Snapshot:
        """The document as it is now."""
        return Snapshot(self, self.uri, self.version, self.lines.copy(), self.serial)

    @property
    def serial(self) -> int:
        """How many changes it has seen."""
        return self._history.serial

    def changes_since(self, serial: int) -> list[Change] | None:
        """What was changed since a snapshot, oldest first; None where that is no longer known."""
        return self._history.since(serial)

    def follow(self, span: Span, version: object) -> Span | None:
        """Where a stretch of an earlier version is now.

        Args:
            span: In that version.
            version: Its number.

        Returns:
            The stretch, with what was typed within; None where not all changes since are known.
        """
        if not isinstance(version, int) or version > self.version:
            return None
        changes = self._history.after(version)
        if changes is None:
            return None
        start, end = span
        for change in changes:
            start, end = _followed(start, change), _followed(end, change)
        return Span(clamp(self.lines, start), clamp(self.lines, max(start, end)))

    def change(self, event: types.TextDocumentContentChangeEvent, version: int) -> None:
        """Applies what the editor says has changed."""
        if isinstance(event, types.TextDocumentContentChangePartial):
            self._replace(self.span(event.range), event.text, version)
        else:
            self._replace(*_difference(self.lines, split_lines(event.text)), version)

    def _replace(self, span: Span, text: str, version: int) -> None:
        before = len(self.lines)
        self._chars += len(text) - len(text_in(self.lines, span))
        replace(self.lines, span, text)
        self.version = version
        self._history.add(Change(span, text, len(self.lines) - before, version))


def _difference(before: list[str], after: list[str]) -> tuple[Span, str]:
    """The lines in which two texts differ, as one replacement."""
    end = end_of(before)
    if before == after:
        return Span(end, end), ""
    most = min(len(before), len(after))
    head = next(i for i in range(most) if before[i] != after[i])  # one is: a last line has no end, every other has one
    tail = next((i for i in range(most - head) if before[-1 - i] != after[-1 - i]), most - head)
    last = Point(len(before) - tail, 0) if tail else end
    return Span(Point(head, 0), last), "".join(after[head : len(after) - tail])


def _followed(point: Point, change: Change) -> Point:
    """Where a place is after a change; one within what was replaced, or typed at, is behind the new text."""
    start, end = change.span
    if point < start or (point == start and start != end):
        return point
    after = moved_by(start, change.text)
    if point <= end:
        return after
    column = point.column - end.column + after.column if point.line == end.line else point.column
    return Point(point.line + after.line - end.line, column)


class Documents(Workspace):
    """All that one editor has open, and its folders.

    Args:
        root_uri: The one folder of editors that know no more.
        folders: The editor's folders.
        encoding: In which the editor counts.
    """

    def __init__(self, root_uri: str | None, folders: Sequence[types.WorkspaceFolder] | None, encoding: str) -> None:
        if not folders and root_uri is not None:  # Kate says both: no folders, and a root
            folders = [types.WorkspaceFolder(root_uri, "")]
        super().__init__(root_uri, types.TextDocumentSyncKind.Incremental, folders, encoding)
        self.encoding = encoding if encoding in (UTF8, UTF32) else UTF16
        self._open: dict[str, Document] = {}
        self._uncut: list[Document] = []

    def put_text_document(self, text_document: types.TextDocumentItem, notebook_uri: str | None = None) -> None:
        """Opens a document."""
        item = text_document
        document = Document(item.uri, str(item.language_id or ""), item.version, item.text, self.encoding)
        self._open[_name(item.uri)] = document
        if len(item.text) > CUT_CHARS:
            self._uncut.append(document)

    def update_text_document(
        self, text_doc: types.VersionedTextDocumentIdentifier, change: types.TextDocumentContentChangeEvent
    ) -> None:
        """Changes a document; one that is not open is left alone."""
        document = self._open.get(_name(text_doc.uri))
        if document is not None:
            document.change(change, text_doc.version)

    def remove_text_document(self, doc_uri: str) -> None:
        """Closes a document."""
        document = self._open.pop(_name(doc_uri), None)
        if document is not None:
            document.closed = True

    def cut_some(self) -> bool:
        """Cuts a piece of a large document into lines, so that no request has to do all of it at once.

        Returns:
            Whether there is more to do.
        """
        while self._uncut:
            if not self._uncut[-1].closed and self._uncut[-1].cut_some():
                return True
            self._uncut.pop()
        return False

    def find(self, uri: str) -> Document | None:
        """An open document."""
        return self._open.get(_name(uri))

    def all(self) -> list[Document]:
        """Every open document."""
        return list(self._open.values())

    def find_path(self, path: str) -> Document | None:
        """An open document, by its path on disk."""
        return next((one for one in self._open.values() if path_of(one.uri) == path), None)

    def root_of(self, uri: str) -> str | None:
        """The innermost of the editor's folders that a document lies in, as a path; None outside of all."""
        path = path_of(uri)
        holding = [root for root in self._roots() if path is not None and Path(path).is_relative_to(root)]
        return max(holding, key=len) if holding else None

    @property
    def roots(self) -> list[str]:
        """The editor's folders, as paths."""
        return list(dict.fromkeys(self._roots()))

    @property
    def first_root(self) -> str | None:
        """The first of the editor's folders, for questions that are about no document."""
        return next(self._roots(), None)

    def _roots(self) -> Iterator[str]:
        for folder in self.folders.values():
            root = path_of(folder.uri)
            if root is not None:
                yield root.rstrip("/") or "/"


def _name(uri: str) -> str:
    return unquote(uri)


def path_of(uri: str) -> str | None:
    """Where a document lies on this machine; None for one that is no file."""
    return to_fs_path(uri)


def name_of(uri: str) -> str:
    """What a document is called where it has no path, such as `Untitled-1`."""
    return unquote(urlparse(uri).path or uri).lstrip("/")


def digest(text: str) -> str:
    """SHA-256 of a text in UTF-8, as the daemon names what an answer was made from."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def is_blank(lines: Sequence[str], number: int) -> bool:
    """Whether a line holds nothing but blank space."""
    return not lines[number][: content_length(lines[number])].strip()
