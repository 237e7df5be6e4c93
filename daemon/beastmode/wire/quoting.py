"""What of an upstream's own words may be shown: its message, without key, prompt or control characters, cut short."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable
from itertools import groupby
from typing import Any, NamedTuple
from urllib.parse import quote as percent_encode

import msgspec

MESSAGE_CHARACTERS = 300
_LOOKED_AT_CHARACTERS = 4000
_GRAM = 8  # so many characters of a key in a row are taken for the key
_HIDDEN = "[key]"
_HIDDEN_PROMPT = "[prompt]"
_PROMPT_WINDOW = 16  # so many characters of a prompt, at every eighth place of a message, are taken for the prompt
_BEARER = re.compile(r"(?i)\b(bearer)\s+(?=\S*\d)[\w.~+/=-]{8,}")
_LOOKS_LIKE_A_KEY = re.compile(r"\b(?:sk|pk|rk|gsk|xai|hf|ghp|r8|nvapi|AIza)(?=[-_A-Za-z]*\d)[-_A-Za-z0-9]{16,}")
_WORD = re.compile(r"[A-Za-z0-9_.:/\[\]-]{1,80}")
_TITLE = re.compile(r"(?is)<title[^>]*>(.*?)</title>")


class Said(NamedTuple):
    """What an upstream said about an error.

    Attributes:
        message: Its message, safe to show; empty where it said nothing.
        code: Its machine-readable code or type, in lower case; empty where there is none.
        searched: Message and code with nothing of the prompt hidden: to look for phrases in, never to show.
    """

    message: str
    code: str
    searched: str


def said(body: bytes, key: str | None, sent: Iterable[str] = ()) -> Said:
    """Reads an error body of any of the usual shapes.

    Args:
        body: The body, at most some 64 kB of it.
        key: The key that was sent and must not come back.
        sent: The texts of the prompt, which must not come back either.
    """
    try:
        reply = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        text = body.decode("utf-8", "replace")
        title = _TITLE.search(text)
        message, code = title[1] if title else text, ""
    else:
        message, code = _parts(reply)
    code = redact(code, key).lower()
    return Said(presentable(message, key, sent), code, f"{code} {message[:_LOOKED_AT_CHARACTERS]}")


def codes(body: bytes, key: str | None, sent: Iterable[str] = ()) -> dict[str, str]:
    """Reads the words for programs in an error object: `upstream_code`, `upstream_type` and `upstream_param`.

    Args:
        body: The body, at most some 64 kB of it.
        key: The key that was sent and must not come back.
        sent: The texts of the prompt, which must not come back either.

    Returns:
        Those that are there, safe to show, and short: what reads like a sentence is none.
    """
    try:
        reply = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return {}
    reply = reply[0] if isinstance(reply, list) and reply else reply
    inner = reply.get("error") if isinstance(reply, dict) else None
    error = inner if isinstance(inner, dict) else reply if isinstance(reply, dict) else {}
    texts = list(sent)
    found = {}
    for name in ("code", "type", "param"):
        word = error.get(name)
        word = str(word) if isinstance(word, int) and not isinstance(word, bool) else word
        if isinstance(word, str) and _WORD.fullmatch(word) and presentable(word, key, texts) == word:
            found[f"upstream_{name}"] = word
    return found


def _parts(reply: Any) -> tuple[str, str]:
    """Message and code of `{"error": {"message", "code", "type"}}` and its many relatives."""
    if isinstance(reply, list):  # Gemini wraps the object in a list, FastAPI lists what is wrong
        reply = reply[0] if reply else ""
    if not isinstance(reply, dict):
        return ("" if reply is None else str(reply)), ""
    inner = reply.get("error") or reply.get("detail") or reply.get("errors")
    if isinstance(inner, dict | list):
        message, code = _parts(inner)
    else:
        message = str(inner or reply.get("message") or reply.get("msg") or "")
        code = ""
    codes = (reply.get("code"), reply.get("type"), code)
    return message, " ".join(value for value in codes if isinstance(value, str) and value)


def presentable(text: str, key: str | None, sent: Iterable[str] = ()) -> str:
    """Makes an upstream's text fit for an error message.

    Args:
        text: Any text.
        key: The key to hide in it.
        sent: The texts of the prompt, to hide as well.

    Returns:
        One line of at most `MESSAGE_CHARACTERS` characters, all of them printable.
    """
    line = redact(_one_line(text[:_LOOKED_AT_CHARACTERS]), key)
    if len(line) > MESSAGE_CHARACTERS:
        line = line[: MESSAGE_CHARACTERS - 1] + "…"
    for one in sent:
        line = _without_prompt(line, one)
    return line[:MESSAGE_CHARACTERS]


def _one_line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _without_prompt(line: str, text: str) -> str:
    """Hides every run of some 24 characters or more that stands in a text of the prompt."""
    plain = text if text.isprintable() else " ".join(text.split())
    size = min(_PROMPT_WINDOW, len(plain))
    if size < _PROMPT_WINDOW // 2:
        return line  # a word or two: it can not be told from the upstream's own
    start = 0
    while start <= len(line) - size:
        if line[start : start + size] not in plain:
            start += 1 if size < _PROMPT_WINDOW else _PROMPT_WINDOW // 2
            continue
        end = start + size
        while start > 0 and line[start - 1 : end] in plain:
            start -= 1
        while end < len(line) and line[start : end + 1] in plain:
            end += 1
        line = line[:start] + _HIDDEN_PROMPT + line[end:]
        start += len(_HIDDEN_PROMPT)
    return line


def redact(text: str, key: str | None) -> str:
    """Hides a key, and whatever looks like one.

    Args:
        text: Text to show.
        key: The key that was sent; its percent-, JSON-, HTML- and base64-encoded forms, and any eight characters of
            it in a row, are hidden as well.
    """
    if key:
        forms = {key, percent_encode(key, safe=""), html.escape(key), msgspec.json.encode(key).decode()[1:-1]}
        forms.add(base64.b64encode(key.encode("utf-8", "replace")).decode().rstrip("="))
        for form in sorted(forms, key=len, reverse=True):
            text = _hide(text, form)
    text = _BEARER.sub(rf"\1 {_HIDDEN}", text)
    return _LOOKS_LIKE_A_KEY.sub(_HIDDEN, text)


def _hide(text: str, form: str) -> str:
    if len(form) < _GRAM:
        return re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", _HIDDEN, text)
    lowered, form = text.lower(), form.lower()
    if len(lowered) != len(text):  # a few letters change their length
        lowered = text
    grams = {form[i : i + _GRAM] for i in range(len(form) - _GRAM + 1)}
    hidden = bytearray(len(text))
    for i in range(len(text) - _GRAM + 1):
        if lowered[i : i + _GRAM] in grams:
            hidden[i : i + _GRAM] = b"\1" * _GRAM
    runs = groupby(zip(text, hidden, strict=True), key=lambda pair: pair[1])
    return "".join(_HIDDEN if covered else "".join(char for char, _ in run) for covered, run in runs)
