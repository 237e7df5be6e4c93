"""Files and unsaved documents that a request names: read inside their workspace, and shown to the model."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from pathlib import Path

import msgspec

from beastmode.core.errors import BadInputError, NotFoundError
from beastmode.core.types import Digest, Message
from beastmode.workspace.files import opened_folder
from beastmode.workspace.secrets import holds_secret, named_like_secret

FILE_MAX_BYTES = 1 << 20


class Document(msgspec.Struct, forbid_unknown_fields=True):
    """Text that an editor holds and may not have saved.

    Attributes:
        path: Where it belongs, inside the workspace.
        text: All of it.
        version: The editor's version of it.
    """

    path: str
    text: str
    version: int | None = None


class Attachment(msgspec.Struct):
    """What goes to the model, and the digests that go into the key.

    Attributes:
        messages: One for each piece, to be placed before the question.
        digests: Path and digest of each.
    """

    messages: list[Message]
    digests: list[Digest]


async def attach(workspace: str | None, files: list[str], documents: list[Document]) -> Attachment:
    """Reads what a request names; a document wins over the file of the same path.

    Args:
        workspace: The root that files lie in.
        files: Paths inside it.
        documents: Unsaved text.

    Raises:
        BadInputError: A path leads out of the workspace, is too large, binary, or looks like a secret.
        NotFoundError: A file is not there.
    """
    texts = {document.path: document.text.encode(errors="surrogatepass") for document in documents}
    wanted = [path for path in files if path not in texts]
    if wanted and workspace is None:
        raise BadInputError("`files` are paths inside a workspace, and none was named.", tips=["set `workspace`"])
    for path in wanted:
        texts[path] = await asyncio.to_thread(read_inside, Path(workspace or ""), path)
    for path, raw in texts.items():
        refuse_secret(path, raw)
    ordered = sorted(texts.items())
    return Attachment(
        [Message("user", f"File {path}:\n```\n{raw.decode()}\n```") for path, raw in ordered],
        [Digest(path, hashlib.sha256(raw).hexdigest()) for path, raw in ordered],
    )


def read_inside(root: Path, path: str) -> bytes:
    """Reads a regular text file that lies in a folder, following no link out of it.

    Args:
        root: The folder.
        path: Relative to it, or absolute inside it.

    Raises:
        BadInputError: It lies outside, is no regular file, too large or no text.
        NotFoundError: It is not there.
    """
    try:
        real, top = (root / path).resolve(strict=True), root.resolve(strict=True)
        inside = real.is_relative_to(top)
    except (OSError, ValueError, RuntimeError):
        raise NotFoundError(
            f"There is no file {path!r} in {root}.", tips=["check the path and the workspace"]
        ) from None
    if not inside:
        raise BadInputError(f"{path!r} leads out of the workspace {root}.", tips=["name files inside the workspace"])
    if real == top:
        raise BadInputError(f"{path!r} is no regular file.", tips=["name a text file"])
    if named_like_secret(real.relative_to(top).as_posix()):
        raise _secret(path)
    try:
        with opened_folder(str(top), real.parent.relative_to(top).as_posix()) as folder:
            mode = os.stat(real.name, dir_fd=folder, follow_symlinks=False).st_mode
            if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                raise BadInputError(f"{path!r} is no regular file.", tips=["name a text file"])
            descriptor = os.open(real.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        raise BadInputError(f"{path!r} can not be read: {error.strerror}.", tips=[f"look: ls -l {real}"]) from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise BadInputError(f"{path!r} is no regular file.", tips=["name a text file"])
        if found.st_size > FILE_MAX_BYTES:
            raise BadInputError(f"{path!r} has over {FILE_MAX_BYTES} bytes.", tips=["attach the part that matters"])
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            raw = file.read(FILE_MAX_BYTES)
    finally:
        os.close(descriptor)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BadInputError(f"{path!r} is no UTF-8 text.", tips=["attach text files only"]) from None
    if "\0" in text:
        raise BadInputError(f"{path!r} is binary.", tips=["attach text files only"])
    return raw


def refuse_secret(path: str, raw: bytes) -> None:
    """Turns away what looks like a secret, by its name or by what is in it.

    Args:
        path: What it is called.
        raw: All of it.

    Raises:
        BadInputError: It does.
    """
    if holds_secret(raw) or named_like_secret(path.rpartition("/")[2] if path.startswith("/") else path):
        raise _secret(path)


def _secret(path: str) -> BadInputError:
    return BadInputError(
        f"{path!r} looks like it holds a secret, and is neither stored nor sent.",
        tips=["take the secret out, or attach another file"],
    )
