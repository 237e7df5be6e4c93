"""One workspace as it lies on disk: folders are listed; what changed is read, cut and written to the catalogue.

A folder is the unit: whatever is said to have changed in it, it is listed anew and compared with what was known of it.
No link is followed, nothing is opened whose name looks like a secret, and a second look reads only what changed.
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Callable, Iterable, Iterator

import msgspec

from beastmode.workspace.chunks import Chunk
from beastmode.workspace.files import LeftOutError, Look, opened_folder, read_text
from beastmode.workspace.ignoring import Ignoring
from beastmode.workspace.index.catalogue import FileRow
from beastmode.workspace.index.listing import REASONS, Listing, code, is_there, patterns_in, patterns_of_clone
from beastmode.workspace.index.orders import LeftOut, Order
from beastmode.workspace.index.pending import Pending, Store

UNSURE_NS = 150_000_000
"""Two writes within a tick of the file system's clock look alike: what is younger than this is read once more."""

NEVER_NS = -1
_LOOK = struct.Struct("<qqqQ")
_MANY = code("many")


class AwayError(Exception):
    """The workspace's folder is not there, or can not be read."""


class Place:
    """What is known of one folder.

    Args:
        files: Packed look and digest of each file that was read; or packed look and reason, where it was left out then.

    Attributes:
        folders: Names of the folders in it, as `a/b/`.
        ignoring: The patterns that hold in it; None: it was not visited yet.
        patterns: Digest of what its own ignore files say.
        left_out: What in it is not read, by reason.
    """

    __slots__ = ("files", "folders", "ignoring", "left_out", "patterns")

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = {} if files is None else files
        self.folders: frozenset[str] = frozenset()
        self.ignoring: Ignoring | None = None
        self.patterns = b""
        self.left_out: bytes = b""


class Scanning:
    """Reads a workspace and keeps its catalogue.

    Args:
        order: The workspace and its limits.
        store: The catalogue.
        cut: Cuts a text into pieces.
        tell: Called with the number of files seen, and before a file is cut with its path, where that is wanted.

    Attributes:
        places: Every folder that is not left out, as `a/b/`; the root is empty.
        files: Files in the catalogue.
        unsure: Folders in which a file was read so soon after it was written that it may have been written again.
    """

    def __init__(
        self,
        order: Order,
        store: Store,
        cut: Callable[[str, str], list[Chunk]],
        tell: Callable[[int, str], None] = lambda seen, path: None,
    ) -> None:
        self._order = order
        self._pending = Pending(store)
        self._cut = cut
        self._tell = tell
        self._seen = 0
        self.unsure: set[str] = set()
        self.places: dict[str, Place] = {}
        self.files = 0
        for path, known in store.known().items():
            folder, name = _split(path)
            place = self.places.setdefault(folder, Place())
            place.files[name] = _LOOK.pack(*known[:4]) + bytes.fromhex(known[4])
            self.files += 1
        self._pending.is_first = not self.files

    def scan(self) -> list[str]:
        """Looks at the whole workspace.

        Returns:
            What is other than the catalogue had it.

        Raises:
            AwayError: The folder is not there.
        """
        self._seen = 0
        before = set(self.places)
        visited = set(self._visit_all([("", self._top(), True)]))
        for folder in before - visited:
            self._drop(folder)
        return self._pending.finish()

    def look_again(self, folders: Iterable[str]) -> list[str]:
        """Looks at some folders anew, and at what is new below them.

        Args:
            folders: As `a/b/`; what is no folder of the workspace any more is passed over.

        Returns:
            What is other than the catalogue had it.

        Raises:
            AwayError: The workspace's folder is not there.
        """
        self._seen = 0
        todo = []
        for folder in sorted(folders):
            place = self.places.get(folder)
            if place is not None and place.ignoring is not None:
                above = self._top() if not folder else self.places[_above(folder)].ignoring
                todo.append((folder, above or Ignoring(), False))
        for _ in self._visit_all(todo):
            pass
        return self._pending.finish()

    def left_out(self) -> LeftOut:
        """Counts what is not read."""
        sums = [0] * len(REASONS)
        for place in self.places.values():
            for reason in place.left_out:
                sums[reason] += 1
        return LeftOut(**dict(zip(REASONS, sums, strict=True)))

    def _top(self) -> Ignoring:
        return Ignoring.of(self._order.ignore, patterns_of_clone(self._order.root))

    def _visit_all(self, todo: list[tuple[str, Ignoring, bool]]) -> Iterator[str]:
        """Visits folders and what is new below them, or everything below them; yields each that is there."""
        while todo:
            folder, above, deep = todo.pop()
            try:
                with opened_folder(self._order.root, folder) as descriptor:
                    below = self._visit(descriptor, folder, above, deep)
            except OSError as error:
                if not folder or not is_there(self._order.root):
                    raise AwayError(error.strerror or str(error)) from None
                self._drop(folder)
                self._note_unreadable(folder)
                continue
            yield folder
            todo += below

    def _note_unreadable(self, folder: str) -> None:
        above = self.places.get(_above(folder))
        if above is not None and is_there(self._order.root, folder):
            above.left_out += code("unreadable")

    def _visit(self, descriptor: int, folder: str, above: Ignoring, deep: bool) -> list[tuple[str, Ignoring, bool]]:
        """Compares a folder with what was known of it; returns the folders in it that are to be visited as well."""
        place = self.places.setdefault(folder, Place())
        texts = patterns_in(descriptor)
        patterns = hashlib.sha256("\0".join(texts).encode(errors="surrogateescape")).digest()
        if place.ignoring is not None and patterns != place.patterns:
            deep = True
        ignoring = place.ignoring = above.below(folder, *texts)
        place.patterns = patterns
        listing = Listing(self._order, descriptor, folder, ignoring)
        for name in place.files.keys() - listing.files.keys():
            self._remove(folder, place, name)
        for name, look in listing.files.items():
            self._seen += 1
            self._tell(self._seen, "")
            self._compare(descriptor, folder, place, name, look)
        place.left_out = listing.left_out + b"".join(
            known[_LOOK.size :] for known in place.files.values() if not _is_kept(known)
        )
        for gone in place.folders.difference(listing.folders):
            self._drop(gone)
        place.folders = frozenset(listing.folders)
        new = [one for one in listing.folders if deep or one not in self.places or self.places[one].ignoring is None]
        return [(one, ignoring, deep) for one in new]

    def _compare(self, descriptor: int, folder: str, place: Place, name: str, look: Look) -> None:
        known = place.files.get(name)
        packed = _LOOK.pack(*msgspec.structs.astuple(look))
        is_full = self.files >= self._order.max_files
        if known is not None and known[: _LOOK.size] == packed and (is_full or known[_LOOK.size :] != _MANY):
            return
        if is_full and (known is None or not _is_kept(known)):
            place.files[name] = packed + _MANY
            return
        try:
            raw, look = read_text(descriptor, name, self._order.max_file_bytes)
            self._take(folder, place, name, raw, look)
        except LeftOutError as error:
            self._remove(folder, place, name)
            if error.reason in REASONS:
                place.files[name] = packed + code(error.reason)

    def _take(self, folder: str, place: Place, name: str, raw: bytes, look: Look) -> None:
        path = f"{folder}{name}"
        sha256 = hashlib.sha256(raw)
        known = place.files.get(name)
        if self._order.careful:
            self._tell(self._seen, path)
        try:
            chunks = self._cut(path, raw.decode())
        except (ValueError, RecursionError, MemoryError):
            raise LeftOutError("poison") from None
        if time.time_ns() - max(look.mtime_ns, look.ctime_ns) < UNSURE_NS:
            look = msgspec.structs.replace(look, mtime_ns=NEVER_NS)
            self.unsure.add(folder)
        if known is None or not _is_kept(known):
            self.files += 1
        is_other = known is None or known[_LOOK.size :] != sha256.digest()
        place.files[name] = _LOOK.pack(*msgspec.structs.astuple(look)) + sha256.digest()
        size, mtime_ns, ctime_ns, inode = msgspec.structs.astuple(look)
        row = FileRow(path, size, mtime_ns, ctime_ns, inode, sha256.hexdigest(), chunks)
        self._pending.put(row, is_other=is_other)

    def _remove(self, folder: str, place: Place, name: str) -> None:
        known = place.files.pop(name, None)
        if known is not None and _is_kept(known):
            self.files -= 1
            self._pending.remove(f"{folder}{name}")

    def _drop(self, folder: str) -> None:
        """Forgets a folder and everything below it."""
        todo = [folder]
        while todo:
            one = todo.pop()
            place = self.places.pop(one, None)
            if place is not None:
                for name in list(place.files):
                    self._remove(one, place, name)
                todo += place.folders


def _split(path: str) -> tuple[str, str]:
    folder, slash, name = path.rpartition("/")
    return folder + slash, name


def _above(folder: str) -> str:
    return _split(folder[:-1])[0]


def _is_kept(known: bytes) -> bool:
    return len(known) > _LOOK.size + 1
