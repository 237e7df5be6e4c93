"""Texts written on by a model of this machine: as plain text, or around a gap where it was taught to fill one."""

from __future__ import annotations

from pathlib import Path

import msgspec

from beastmode.core.types import Message, Request
from beastmode.wire.openai_completions import prompt_of

HEAD_MAX_BYTES = 16 << 20
"""The words that a model knows stand in the head of its file."""


class Marks(msgspec.Struct, frozen=True):
    """The words by which a model tells what stands before a gap from what stands after it.

    Attributes:
        before: Stands before the text before the gap.
        after: Stands before the text after it.
        middle: Stands last; the model goes on with what belongs in the gap.
    """

    before: str
    after: str
    middle: str


_KNOWN = (
    Marks("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen2.5-Coder
    Marks("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder and its kin
)


def marks_of(path: Path) -> Marks | None:
    """The marks that a model knows; None where it was taught none of those known here.

    Args:
        path: Its GGUF file; its head is read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_MAX_BYTES)
    return next((one for one in _KNOWN if all(mark.encode() in head for mark in _words(one))), None)


def _words(marks: Marks) -> tuple[str, str, str]:
    return marks.before, marks.after, marks.middle


def as_text(request: Request, marks: Marks | None) -> Request:
    """What a model is asked that goes on from a text; without marks it does not see what stands after the gap.

    Args:
        request: Of the kind `completion`, with one text.
        marks: Those of the model.
    """
    prompt, params = prompt_of(request), dict(request.params)
    suffix = params.pop("suffix", None)
    if suffix and marks is not None:
        prompt = f"{marks.before}{prompt}{marks.after}{suffix}{marks.middle}"
    return msgspec.structs.replace(request, messages=[Message("user", prompt)], params=params)
