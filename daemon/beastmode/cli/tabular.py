"""Tables as CSV (RFC 4180) that a spreadsheet reads as meant: text stays text, also where it looks like a formula."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")
Value = str | int | float | bool | None


def line(values: Iterable[Value]) -> str:
    """One record.

    Args:
        values: Its fields; None is an empty field, which is unknown and no zero.
    """
    return ",".join(_field(value) for value in values) + "\r\n"


def flat(value: object) -> Value:
    """What a field can hold of any JSON value: a list becomes its words."""
    if isinstance(value, list):
        return " ".join(str(one) for one in value)
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def picked(row: object, path: Sequence[str]) -> Value:
    """A value inside of nested objects, None where it is not there.

    Args:
        row: A JSON object.
        path: The names that lead to it.
    """
    for name in path:
        row = row.get(name) if isinstance(row, dict) else None
    return flat(row)


def _field(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.9f}".rstrip("0").rstrip(".") if abs(value) < 1e15 else repr(value)
    text = value.replace("\0", "")
    if text.lstrip(" ").startswith(_FORMULA):
        text = "'" + text  # a spreadsheet would run it
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\r\n') else text
