"""The file that an action is about: found inside its workspace, read from the disk or taken from the editor."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path, PurePosixPath

import msgspec

from beastmode.core.errors import BadInputError
from beastmode.workspace.attachments import Document, read_inside, refuse_secret

BOM = "\ufeff"


class Subject(msgspec.Struct, frozen=True):
    """A text that something is asked about.

    Attributes:
        path: Relative to the workspace, with slashes; the editor's name for a document that lies in none.
        text: All of it, without a byte order mark.
        root: The workspace, an absolute path without links; None: there is none.
        documents: Texts that the editor holds, this one among them, by path as above.
    """

    path: str
    text: str
    root: str | None = None
    documents: dict[str, str] = {}

    @property
    def sha256(self) -> str:
        """Digest of the text in UTF-8."""
        return digest(self.text)


def digest(text: str) -> str:
    """The digest of a text in UTF-8, in hex.

    Args:
        text: Any text.
    """
    return sha256(text.encode(errors="surrogatepass")).hexdigest()


def find_subject(workspace: str | None, path: str, documents: list[Document]) -> Subject:
    """Finds the text of a path, on the disk where the editor does not hold it.

    Args:
        workspace: The workspace, an absolute path.
        path: Inside it, relative or absolute; any name where its text is among the documents.
        documents: What the editor holds.

    Raises:
        BadInputError: The path leads out of the workspace, is no text, too large, or looks like a secret.
        NotFoundError: There is no such file.
    """
    if not path:
        raise BadInputError("`path` is empty.", tips=["name the file that is meant"])
    root, name = place(workspace, path)
    texts = {name_inside(workspace, one.path): one.text.removeprefix(BOM) for one in documents}
    text = texts.get(name)
    if text is None:
        if root is None:
            raise BadInputError(
                f"{path!r} can not be read: no workspace was named.",
                tips=["set `workspace` to the folder that it lies in, or send its text in `documents`"],
            )
        text = read_inside(Path(root), name).decode().removeprefix(BOM)
    refuse_secret(name, text.encode(errors="surrogatepass"))
    return Subject(name, text, root, texts)


def place(workspace: str | None, path: str) -> tuple[str | None, str]:
    """The workspace without links, and what a path is called inside it; looks at the disk.

    Args:
        workspace: An absolute path; None: there is none.
        path: As `name_inside` takes it.

    Raises:
        BadInputError: The workspace is no absolute path.
    """
    if workspace is None:
        return None, path
    if "\0" in workspace or not Path(workspace).is_absolute():
        raise BadInputError(f"The workspace {workspace!r} is no absolute path.", tips=["send its absolute path"])
    return os.path.realpath(workspace), name_inside(workspace, path) if path else path


def name_inside(workspace: str | None, path: str) -> str:
    """What a path is called inside a workspace: relative, with slashes; unchanged where it does not lie there.

    Args:
        workspace: An absolute path; None: there is none.
        path: Relative to it, or absolute.
    """
    if workspace is None or "\0" in path:
        return path
    plain = os.path.normpath(Path(workspace, path))
    for root, full in ((os.path.normpath(workspace), plain), (os.path.realpath(workspace), os.path.realpath(plain))):
        if full.startswith(root.rstrip(os.sep) + os.sep):
            return PurePosixPath(Path(full).relative_to(root)).as_posix()
    return path
