"""The dashboard's files: read once, off the loop, and known to browsers by their digest."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import msgspec

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class File(msgspec.Struct, frozen=True):
    """One file.

    Attributes:
        content: Its bytes.
        content_type: Of them.
        etag: Changes when they do.
    """

    content: bytes
    content_type: str
    etag: str


class StaticFiles:
    """All files of a folder, by their names.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._files: dict[str, File] | None = None
        self.build = ""

    async def load(self) -> None:
        """Reads them, the first time."""
        if self._files is None:
            self._files = await asyncio.to_thread(_read, self._folder)
            digest = hashlib.sha256("".join(file.etag for file in self._files.values()).encode())
            self.build = digest.hexdigest()[:16]

    def get(self, name: str) -> File | None:
        """A file; None where there is none of that name.

        Args:
            name: Without folders.
        """
        return (self._files or {}).get(name)


def _read(folder: Path) -> dict[str, File]:
    found = {}
    for path in sorted(folder.iterdir()):
        kind = TYPES.get(path.suffix)
        if kind is not None:
            content = path.read_bytes()
            found[path.name] = File(content, kind, f'"{hashlib.sha256(content).hexdigest()[:24]}"')
    return found
