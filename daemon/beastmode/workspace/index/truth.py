"""What is on disk now: whether pieces of files are what they were, and what a file is made of at this moment.

No watcher is asked. A file is looked at by `lstat` each time; it is read again unless it looks as it did when it was
digested, and had been left alone for a while by then: two writes within one tick of the file system's clock look alike.
"""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TypeVar

import msgspec

from beastmode.core.clock import Clock
from beastmode.core.settings import WorkspaceSettings
from beastmode.core.types import Piece
from beastmode.workspace.chunks import Chunk, cut
from beastmode.workspace.files import LeftOutError, Look, read_inside, refuse_content
from beastmode.workspace.secrets import named_like_secret

THREADS = 4
QUIET_NS = 100_000_000
"""So long must a file have been left alone for its times to tell it from what it becomes later."""
COARSE_QUIET_NS = 2_200_000_000
"""The same on a file system that counts whole seconds, or pairs of them."""
PLACES_MAX = 60_000
CUTS_MAX_CHARS = 8 << 20
READS = 3

T = TypeVar("T")

Place = tuple[str, int, int]
"""The symbol, the first and the last line of a piece."""


class Known(msgspec.Struct, frozen=True):
    """A file that was digested.

    Attributes:
        look: What `stat` said of it.
        sure: Looking the same later means being the same.
        sha256: Digest of its bytes, in hex.
        places: Where its pieces lie, by the digest of their text.
    """

    look: Look
    sure: bool
    sha256: str
    places: dict[str, list[Place]]

    def place(self, piece: Piece) -> Piece | None:
        """A piece as it lies in the file now; None where it is not in there."""
        if piece.whole:
            return piece if piece.sha256 == self.sha256 else None
        found = self.places.get(piece.sha256)
        if found is None:
            return None
        _, first, last = min(found, key=lambda one: (one[0] != piece.symbol, abs(one[1] - piece.first_line)))
        if first == piece.first_line and last == piece.last_line:
            return piece
        return msgspec.structs.replace(piece, first_line=first, last_line=last)


class Truth:
    """Knows files as they are now. Its public methods are called on the event loop and look in threads.

    Args:
        settings: Gives the settings in force.
        clock: The wall clock, which files are stamped by.
    """

    def __init__(self, settings: Callable[[], WorkspaceSettings], clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._threads = ThreadPoolExecutor(THREADS, "truth")
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()
        self._places = 0
        self._cuts: OrderedDict[tuple[str, str], list[Chunk]] = OrderedDict()
        self._cut_chars = 0
        self.reads = 0

    async def hold(self, root: str, pieces: Sequence[Piece], opened: Mapping[str, str] = {}) -> list[Piece] | None:
        """Says whether pieces are what they were, as of after this was called.

        Args:
            root: The workspace, a real path.
            pieces: Pieces of its files.
            opened: Unsaved texts by path; they win over the disk.

        Returns:
            The pieces with the lines where they lie now; None where one is not what it was, or can not be read.
        """
        return await self._run(lambda: self._hold(root, pieces, opened))

    async def current(self, root: str, path: str) -> tuple[str, list[Chunk]] | None:
        """Reads a file as it is now.

        Args:
            root: The workspace, a real path.
            path: Inside it, with slashes.

        Returns:
            Its text and its pieces; None where it is gone, unreadable, too large, no text, or looks like a secret.
        """
        return await self._run(lambda: self._current(root, path))

    def let_go(self, root: str) -> None:
        """Forgets what the files of a workspace were; they are read again when somebody asks.

        Args:
            root: The workspace.
        """
        with self._lock:
            for key in [one for one in self._known if one[0] == root]:
                self._places -= _size(self._known.pop(key))
            self._cuts.clear()
            self._cut_chars = 0

    def close(self) -> None:
        """Ends the threads; waits for none."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    # -- in threads -----------------------------------------------------------------------------------------------

    def _hold(self, root: str, pieces: Sequence[Piece], opened: Mapping[str, str]) -> list[Piece] | None:
        files: dict[str, Known] = {}
        folders: set[str] = set()
        found = []
        for piece in pieces:
            file = files.get(piece.path)
            if file is None:
                text = opened.get(piece.path)
                now = self._file(root, piece.path, folders) if text is None else self._unsaved(piece.path, text)
                if now is None:
                    return None
                file = files[piece.path] = now
            placed = file.place(piece)
            if placed is None:
                return None
            found.append(placed)
        return found

    def _file(self, root: str, path: str, folders: set[str]) -> Known | None:
        """A file as it is now: as it is known where it looks the same, else read."""
        known = self._known.get((root, path))
        if known is not None and known.sure and _look(root, path, folders) == known.look:
            with self._lock:
                if (root, path) in self._known:
                    self._known.move_to_end((root, path))
            return known
        read = self._read(root, path)
        return read[1] if read is not None else None

    def _current(self, root: str, path: str) -> tuple[str, list[Chunk]] | None:
        read = self._read(root, path)
        if read is None:
            return None
        raw, known = read
        text = raw.decode()
        return text, self._cut(path, text, known.sha256)

    def _read(self, root: str, path: str) -> tuple[bytes, Known] | None:
        """Reads and digests a file; one that is written meanwhile is read again, a few times."""
        max_bytes = self._settings().max_file_bytes
        for _ in range(READS):
            began_ns = int(self._clock.wall_s() * 1e9)
            try:
                raw, look = read_inside(root, path, max_bytes)
            except LeftOutError:
                self._forget(root, path)
                return None
            self.reads += 1
            sure = _quiet(look, began_ns)
            if sure or _look(root, path, set()) == look:
                break
        return raw, self._digest(root, path, raw, look, sure)

    def _digest(self, root: str, path: str, raw: bytes, look: Look, sure: bool) -> Known:
        digest = sha256(raw).hexdigest()
        before = self._known.get((root, path))
        same = before is not None and before.sha256 == digest
        places = before.places if before is not None and same else _places(self._cut(path, raw.decode(), digest))
        known = Known(look, sure, digest, places)
        with self._lock:
            gone = self._known.pop((root, path), None)
            self._known[root, path] = known
            self._places += _size(known) - (_size(gone) if gone is not None else 0)
            while self._places > PLACES_MAX and len(self._known) > 1:
                _, gone = self._known.popitem(last=False)
                self._places -= _size(gone)
        return known

    def _forget(self, root: str, path: str) -> None:
        with self._lock:
            gone = self._known.pop((root, path), None)
            self._places -= _size(gone) if gone is not None else 0

    def _unsaved(self, path: str, text: str) -> Known | None:
        """A text that an editor holds, as if it were on disk."""
        raw = text.encode(errors="surrogatepass")
        try:
            if named_like_secret(path):
                return None
            refuse_content(raw)
        except LeftOutError:
            return None
        digest = sha256(raw).hexdigest()
        return Known(Look(0, 0, 0, 0), False, digest, _places(self._cut(path, text, digest)))

    def _cut(self, path: str, text: str, digest: str) -> list[Chunk]:
        """The pieces of a text, which are made once."""
        with self._lock:
            chunks = self._cuts.get((path, digest))
            if chunks is not None:
                self._cuts.move_to_end((path, digest))
                return chunks
        chunks = cut(path, text)
        with self._lock:
            if (path, digest) not in self._cuts:
                self._cuts[path, digest] = chunks
                self._cut_chars += _chars(chunks)
            while self._cut_chars > CUTS_MAX_CHARS and len(self._cuts) > 1:
                _, gone = self._cuts.popitem(last=False)
                self._cut_chars -= _chars(gone)
        return chunks


def _look(root: str, path: str, folders: set[str]) -> Look | None:
    """What `lstat` says of a regular file; None where it is none, or its path leads over a link.

    Args:
        root: The workspace.
        path: Inside it.
        folders: Those that were looked at already; more are added.
    """
    try:
        if not folders:
            folders.add("")
            if not stat.S_ISDIR(os.lstat(root).st_mode):
                return None
        at = path.rfind("/")
        while at > 0 and path[:at] not in folders:
            if not stat.S_ISDIR(os.lstat(f"{root}/{path[:at]}").st_mode):
                return None
            folders.add(path[:at])
            at = path.rfind("/", 0, at)
        found = os.lstat(f"{root}/{path}")
    except (OSError, ValueError):
        return None
    return Look.of(found) if stat.S_ISREG(found.st_mode) else None


def _quiet(look: Look, now_ns: int) -> bool:
    """Whether a file had been left alone for a while. A time of writing that somebody set ahead tells nothing."""
    written_ns = max(look.ctime_ns, look.mtime_ns if look.mtime_ns <= now_ns else 0)
    whole_seconds = not (look.mtime_ns % 1_000_000_000 or look.ctime_ns % 1_000_000_000)
    return now_ns - written_ns >= (COARSE_QUIET_NS if whole_seconds else QUIET_NS)


def _places(chunks: Sequence[Chunk]) -> dict[str, list[Place]]:
    found: dict[str, list[Place]] = {}
    for chunk in chunks:
        found.setdefault(chunk.sha256, []).append((chunk.symbol, chunk.first_line, chunk.last_line))
    return found


def _size(known: Known) -> int:
    return 1 + len(known.places)


def _chars(chunks: Sequence[Chunk]) -> int:
    return 200 + sum(len(chunk.text) + 200 for chunk in chunks)
