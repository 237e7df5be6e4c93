"""Files that commands write: private, whole or not at all; `-` or none is standard output."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from beastmode.cli import figures
from beastmode.cli.screen import Screen
from beastmode.core.errors import AccessError, BadInputError


@contextlib.contextmanager
def replacing(file: Path, instead: str) -> Iterator[IO[bytes]]:
    """A new private file that takes the place of the old one at the end; on any failure the old one stays.

    Args:
        file: Where.
        instead: What to do where the place is no regular file, for the tip.

    Raises:
        BadInputError: The place is no regular file.
        AccessError: It can not be written.
    """
    if file.exists() and not file.is_file():
        raise BadInputError(f"{file} is no regular file.", tips=[instead])
    fresh = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as out:
            yield out
            out.flush()
            os.fsync(handle)
        fresh.replace(file)
    except OSError as error:
        raise AccessError(
            f"{file} can not be written: {error.strerror}.",
            tips=[f"look at free space and permissions: df -h {file.parent}; ls -ld {file.parent}"],
        ) from None
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)


def put(screen: Screen, file: str | None, pieces: Iterable[str], what: str) -> None:
    """Writes a result to a file and says so, or to standard output.

    Args:
        screen: Where to say it.
        file: Its path; `-` or None is standard output.
        pieces: The text.
        what: It in a word, such as `the report`.
    """
    if file is None or file == "-":
        for piece in pieces:
            screen.write(piece)
        return
    target = Path(file)
    with replacing(target, f"name a file, or - for standard output: not {file}") as out:
        for piece in pieces:
            out.write(piece.encode(errors="replace"))
        written = out.tell()
    if screen.as_json:
        screen.json({"path": str(target.absolute()), "bytes": written})
    else:
        screen.say(f"wrote {what} to {file}, {figures.size(written)}")
