"""Long texts for the user: a Markdown file that the editor opens, else a message.

The files lie in a private folder beside the daemon's socket, readable by their user alone; the oldest are removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.uris import from_fs_path

if TYPE_CHECKING:
    from beastmode_lsp.session import Session

KEPT_FILES = 50
MESSAGE_CHARS = 1500


async def show_text(session: Session, name: str, text: str, suffix: str = ".md", *, focus: bool = False) -> bool:
    """Opens a text in the editor.

    Args:
        session: Of the editor.
        name: What the file is called.
        text: All of it.
        suffix: Of the file.
        focus: Whether the editor goes there.

    Returns:
        Whether the editor has opened it; else it was shown as a message, cut where it is long.
    """
    if session.editor.shows_documents:
        with contextlib.suppress(OSError):
            path = await asyncio.to_thread(_write, session.run_folder, name, suffix, text)
            if await show_uri(session, from_fs_path(str(path)) or "", focus=focus):
                return True
    short = text if len(text) <= MESSAGE_CHARS else f"{text[:MESSAGE_CHARS].rstrip()} …"
    session.say(short)
    return False


async def show_uri(session: Session, uri: str, *, external: bool = False, focus: bool = False) -> bool:
    """Asks the editor to open an address; says whether it did.

    Args:
        session: Of the editor.
        uri: Of a file or a page.
        external: In the browser.
        focus: Whether the editor goes there.
    """
    if not session.editor.shows_documents:
        return False
    params = types.ShowDocumentParams(uri=uri, external=external or None, take_focus=focus)
    try:
        shown = await session.server.window_show_document_async(params)
    except JsonRpcException:
        return False
    return bool(shown and shown.success)


def _write(folder: Path, name: str, suffix: str, text: str) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _tidy(folder)
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60] or "answer"
    for number in range(1, 1000):
        path = folder / (f"{plain}{suffix}" if number == 1 else f"{plain}-{number}{suffix}")
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace", newline="") as file:
                file.write(text)
            return path
    raise FileExistsError(str(folder))


def _tidy(folder: Path) -> None:
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            found.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(found)[: max(0, len(found) - KEPT_FILES + 1)]:
        path.unlink(missing_ok=True)
