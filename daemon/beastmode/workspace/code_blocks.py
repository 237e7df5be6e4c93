"""The code blocks of an answer, each with the file of the workspace that it is meant for, where it names one."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

import msgspec

from beastmode.workspace.replies import Block, blocks_in

_LABEL = re.compile(r"""(?:[\w-]+\s*=\s*)?["'`]?([^"'`\s]+)["'`]?\s*""")
_ABOVE = re.compile(
    r"(?:[-*#\d.)]+\s+)?(?:(?:in|file|edit|create|update|new file)\s+)?[*_]*`?([^\s`*:]+)`?[*_]*:?[*_]*", re.I
)
_FIRST = re.compile(r"(?:#|//|--|;|/\*|<!--)\s*(?:file(?:name)?:\s*)?(\S+?)\s*(?:\*/|-->)?")
PATH_CHARS = 400


class CodeBlock(msgspec.Struct, kw_only=True):
    """A block of code in an answer.

    Attributes:
        path: The file that it is meant for, inside the workspace; None: the answer names none that could be.
        language: What its fence names.
        text: What is in it.
    """

    path: str | None
    language: str
    text: str


def code_blocks(answer: str, root: str) -> list[CodeBlock]:
    """Finds the code blocks of an answer; looks at the disk, since no path may lead out of the workspace.

    Args:
        answer: Markdown.
        root: The workspace, a real path.
    """
    return [CodeBlock(path=_path(one, root), language=_language(one), text=one.text) for one in blocks_in(answer)]


def _language(block: Block) -> str:
    """A fence may name the path alone."""
    alone = "." in block.language or _rest(block).startswith("/")
    return "" if alone else block.language


def _rest(block: Block) -> str:
    """What the fence says after the language."""
    return block.label[len(block.language) :]


def _path(block: Block, root: str) -> str | None:
    """The first of what may be its path that could be a file of the workspace."""
    said = [_rest(block).lstrip(":{ ").rstrip("} ")]
    if block.label[:1].isalnum() and ("." in block.language or _rest(block).startswith("/")):  # as in ```src/file.py
        said.insert(0, block.label)
    named = [found[1] for one in said if (found := _LABEL.fullmatch(one))]
    if (found := _ABOVE.fullmatch(block.above)) is not None:
        named.append(found[1])
    if (found := _FIRST.fullmatch(block.text.partition("\n")[0].strip())) is not None:
        named.append(found[1])
    return next((path for one in named if (path := inside(one, root)) is not None), None)


def inside(name: str, root: str) -> str | None:
    """A path as the workspace has it; None where it is none, or leads out of it.

    Args:
        name: As a model wrote it.
        root: The workspace, a real path.
    """
    if not name or len(name) > PATH_CHARS or not name.isprintable() or "\\" in name or "://" in name:
        return None
    plain = os.path.normpath(Path(root, name))
    if not plain.startswith(root.rstrip(os.sep) + os.sep):
        return None
    path = PurePosixPath(plain).relative_to(root).as_posix()
    looks = "." in PurePosixPath(path).name or "/" in path
    if ".git" in PurePosixPath(path).parts or not (looks or Path(plain).is_file()):
        return None
    real = os.path.realpath(plain)
    return path if real.startswith(root.rstrip(os.sep) + os.sep) else None
