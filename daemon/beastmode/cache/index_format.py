"""A snapshot of the vector index on disk: which files it has, how they are written whole, and how they are proved.

A snapshot is a folder `snapshot-NUMBER`. `manifest` names its other files with size and digest, and carries a digest of
itself. `scopes` and `starts` say where each scope's rows begin in `keys` and `matrix`, which are searched exactly. A
segment is a graph over rows of one scope that are not in `matrix`: `ID.keys` and `ID.hnsw`. `dead` lists keys that
segments still hold and that no longer count. Needs numpy.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import msgspec

SCHEMA = 1
KEY_BYTES = 16
MANIFEST, SCOPES, STARTS, KEYS, MATRIX, DEAD = "manifest", "scopes", "starts", "keys", "matrix", "dead"
BUILDING = ".building-"
_NAME = re.compile(r"snapshot-\d{6,18}")
_DIGEST_BYTES = 16
_PIECE_BYTES = 1 << 20

Print = tuple[int, int, int]
"""Inode, size in bytes and time of change in ns of a file."""


class DamagedSnapshotError(ValueError):
    """A snapshot is not what was written, or is of no use to this daemon."""


class Segment(msgspec.Struct, frozen=True):
    """A graph over rows of one scope.

    Attributes:
        id: Digest of its keys, in hex; names its files.
        scope: The scope, 16 bytes.
        rows: How many keys it has.
    """

    id: str
    scope: bytes
    rows: int

    @property
    def keys_file(self) -> str:
        """Name of the file of its keys, in the order of the graph's labels."""
        return f"{self.id}.keys"

    @property
    def graph_file(self) -> str:
        """Name of the file that hnswlib wrote."""
        return f"{self.id}.hnsw"


class Proof(msgspec.Struct, frozen=True):
    """Size and digest of a file."""

    size_bytes: int
    digest: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is made of.

    Attributes:
        schema: Version of the format.
        embedder: Id of the embedder whose vectors these are.
        dim: Numbers in a vector.
        content: Digest of all keys that count.
        rows: Rows of the matrix.
        alive: Keys that count, those in segments among them.
        segments: Its graphs.
        files: Every other file, by name.
    """

    schema: int
    embedder: str
    dim: int
    content: str
    rows: int
    alive: int
    segments: list[Segment]
    files: dict[str, Proof]


def snapshots(folder: Path) -> list[Path]:
    """Finds all snapshots of an index, the newest first.

    Args:
        folder: Folder of the index.
    """
    try:
        found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    except OSError:
        return []
    return sorted(found, key=_number, reverse=True)


def read_manifest(snapshot: Path) -> Manifest:
    """Reads what a snapshot should be made of.

    Args:
        snapshot: Its folder.

    Raises:
        DamagedSnapshotError: There is none, or it is damaged or newer.
    """
    try:
        digest, _, body = (snapshot / MANIFEST).read_bytes().partition(b"\n")
        if digest.decode() != _digest(body):
            raise DamagedSnapshotError("manifest: its digest is wrong")
        manifest = msgspec.json.decode(body, type=Manifest)
    except OSError as error:
        raise DamagedSnapshotError(f"manifest: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DamagedSnapshotError(f"manifest: {error}") from error
    if manifest.schema != SCHEMA:
        raise DamagedSnapshotError(f"manifest: it has schema {manifest.schema}, this version knows {SCHEMA}")
    return manifest


def prove(snapshot: Path, manifest: Manifest, names: Iterable[str] | None = None) -> dict[str, Print]:
    """Reads files of a snapshot and compares size and digest.

    Args:
        snapshot: Its folder.
        manifest: What it should be made of.
        names: Which files; None: all.

    Returns:
        By name, what tells a file that nobody touched since from one that somebody did.

    Raises:
        DamagedSnapshotError: One is missing or damaged.
    """
    prints = {}
    for name in manifest.files if names is None else names:
        try:
            with (snapshot / name).open("rb") as file:
                prints[name] = fingerprint(os.fstat(file.fileno()))
                digest = blake2b(digest_size=_DIGEST_BYTES)
                while piece := file.read(_PIECE_BYTES):
                    digest.update(piece)
        except OSError as error:
            raise DamagedSnapshotError(f"{name}: {error.strerror}") from error
        if manifest.files.get(name) != Proof(prints[name][1], digest.hexdigest()):
            raise DamagedSnapshotError(f"{name}: its digest is wrong")
    return prints


def fingerprint(found: os.stat_result) -> Print:
    """What tells a file that nobody touched from one that somebody did."""
    return found.st_ino, found.st_size, found.st_mtime_ns


def remove_older(snapshot: Path) -> None:
    """Deletes the snapshots before one.

    Args:
        snapshot: Its folder.
    """
    for path in snapshots(snapshot.parent):
        if _number(path) < _number(snapshot):
            shutil.rmtree(path, ignore_errors=True)


def remove_others(folder: Path, keep: Path | None) -> None:
    """Deletes snapshots, and what builds that were killed have left; nobody may be building.

    Args:
        folder: Folder of the index.
        keep: A snapshot that stays.
    """
    for path in [*snapshots(folder), *folder.glob(f"{BUILDING}*")]:
        if path != keep:
            shutil.rmtree(path, ignore_errors=True)


def _number(snapshot: Path) -> int:
    return int(snapshot.name.partition("-")[2])


def _digest(data: bytes | memoryview) -> str:
    return blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


class Writing:
    """A snapshot in the making, in a folder that no reader looks at.

    Args:
        folder: Folder of the index.

    Raises:
        OSError: The folder can not be made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.place = folder / f"{BUILDING}{os.getpid()}"
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(mode=0o700, parents=True)
        self.files: dict[str, Proof] = {}

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Writes a file, down to the disk.

        Args:
            name: Its name.
            data: Its content.

        Raises:
            OSError: There is no room.
        """
        with (self.place / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.files[name] = Proof(memoryview(data).nbytes, _digest(data))

    def adopt(self, name: str) -> None:
        """Takes in a file that somebody else wrote into the place, down to the disk.

        Args:
            name: Its name.

        Raises:
            OSError: There is no room.
        """
        digest = blake2b(digest_size=_DIGEST_BYTES)
        with (self.place / name).open("rb+") as file:
            os.fsync(file.fileno())
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
            self.files[name] = Proof(file.tell(), digest.hexdigest())

    def reuse(self, name: str, source: Path, proof: Proof) -> None:
        """Takes a file of an older snapshot over, without copying where the disk can do that.

        Args:
            name: Its name.
            source: The older snapshot.
            proof: Its size and digest, which were found to be right.

        Raises:
            OSError: There is no room.
        """
        try:
            os.link(source / name, self.place / name)
        except OSError:
            shutil.copyfile(source / name, self.place / name)
        self.files[name] = proof

    def publish(self, manifest: Manifest) -> Path:
        """Makes it the newest snapshot, at once and whole.

        Args:
            manifest: What it is made of.

        Returns:
            Its folder.

        Raises:
            OSError: There is no room.
        """
        body = msgspec.json.encode(manifest)
        self.write(MANIFEST, _digest(body).encode() + b"\n" + body)
        _sync_folder(self.place)
        newest = snapshots(self._folder)
        number = 1 + (_number(newest[0]) if newest else 0)
        target = self._folder / f"snapshot-{number:06d}"
        self.place.rename(target)
        _sync_folder(self._folder)
        return target

    def discard(self) -> None:
        """Deletes what was written, where it was not published."""
        shutil.rmtree(self.place, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
