"""Prompts from a file: one a line, as text or as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from beastmode.core.errors import AccessError, BadInputError

PROMPTS_MAX = 100_000
_TIPS = ["one prompt a line", 'a prompt of several lines as JSON: {"prompt": "first\\nsecond"}']


def read(file: str) -> list[str]:
    """Reads prompts; blank lines are none.

    Args:
        file: Its path; `-` is standard input. A line that is a JSON text, or a JSON object with `prompt`, `message` or
            `text`, is that; any other line is a prompt as it stands.

    Raises:
        AccessError: It can not be read.
        BadInputError: It is no text, or there is no prompt in it.
    """
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise AccessError(f"{file} can not be read: {error.strerror}.", tips=["name a file with prompts"]) from None
    except UnicodeDecodeError:
        raise BadInputError(f"{file} is no UTF-8 text.", tips=_TIPS) from None
    found = [_prompt(file, number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not found:
        raise BadInputError(f"There is no prompt in {file}.", tips=_TIPS)
    if len(found) > PROMPTS_MAX:
        raise BadInputError(f"{file} has {len(found):,} prompts; {PROMPTS_MAX:,} are the most.", tips=["take fewer"])
    return found


def _prompt(file: str, number: int, line: str) -> str:
    if line.lstrip()[:1] not in ("{", '"'):
        return line.strip()
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        return line.strip()
    if isinstance(value, dict):
        value = next((value[name] for name in ("prompt", "message", "text") if name in value), None)
    if not isinstance(value, str) or not value.strip():
        raise BadInputError(f"Line {number} of {file} is JSON without a prompt.", tips=_TIPS)
    return value
