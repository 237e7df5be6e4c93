"""The fields of a settings struct: finding them, fitting a value to one, and saying in words what does not fit."""

from __future__ import annotations

import difflib
import inspect
import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import FieldInfo

from beastmode.core.errors import BadInputError
from beastmode.core.log import redact

SHOWN_CHARACTERS = 60
SWITCHES = {"on": True, "yes": True, "true": True, "1": True, "off": False, "no": False, "false": False, "0": False}


class Field(msgspec.Struct, frozen=True):
    """One field of a settings struct that holds a value, not a table.

    Attributes:
        info: The field as msgspec sees it.
        doc: Its entry in the struct's docstring; empty where it has none.
    """

    info: FieldInfo
    doc: str

    @property
    def type(self) -> Any:
        """Its annotation."""
        return self.info.type

    @property
    def default(self) -> Any:
        """Its default."""
        if self.info.default_factory is not msgspec.NODEFAULT:
            return self.info.default_factory()
        return self.info.default


def fields_of(struct: type[msgspec.Struct], prefix: str = "") -> dict[str, Field]:
    """Lists every value of a struct and of the structs in it.

    Args:
        struct: A struct whose fields are values or structs.
        prefix: What the names begin with.

    Returns:
        Fields by dotted name, in the order of their definition.
    """
    found: dict[str, Field] = {}
    docs = attribute_docs(struct.__doc__ or "")
    for field in msgspec.structs.fields(struct):
        name = prefix + field.name
        if is_table(field.type):
            found.update(fields_of(field.type, name + "."))
        else:
            found[name] = Field(field, docs.get(field.name, ""))
    return found


def is_table(kind: Any) -> bool:
    """Tells a struct from a value.

    Args:
        kind: A field's annotation.
    """
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def attribute_docs(docstring: str) -> dict[str, str]:
    """Reads the `Attributes:` section of a docstring.

    Args:
        docstring: Of a struct.

    Returns:
        Texts by name; a text that goes on over deeper lines is joined.
    """
    found: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(docstring).partition("Attributes:\n")[2].splitlines():
        start = re.fullmatch(r" {4}(\w+): (.*)", line)
        if start:
            name, found[start[1]] = start[1], start[2]
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found


def fit_text(where: str, name: str, text: str, kind: Any) -> object:
    """Reads a value from a variable or a flag: a list is separated by commas, a table is JSON.

    Args:
        where: What an error message begins with.
        name: The setting, or the variable, as the person wrote it.
        text: Its value.
        kind: The field's annotation.

    Raises:
        BadInputError: It does not fit; says what was found and what is expected.
    """
    info = msgspec.inspect.type_info(kind)
    value: object = text
    if isinstance(info, msgspec.inspect.ListType):
        value = [part.strip() for part in text.split(",") if part.strip()]
    elif isinstance(info, msgspec.inspect.BoolType):
        value = SWITCHES.get(text.strip().lower(), text)
    elif isinstance(info, msgspec.inspect.DictType):
        try:
            value = msgspec.json.decode(text)
        except (ValueError, RecursionError):
            raise misfit(where, name, text, in_words(kind)) from None
    return fit(where, name, value, kind, strict=False)


def fit(where: str, name: str, value: object, kind: Any, strict: bool = True) -> object:
    """Checks a value against a field.

    Args:
        where: What an error message begins with.
        name: The setting as the person wrote it.
        value: Its value.
        kind: The field's annotation.
        strict: False reads numbers from text.

    Returns:
        The value as the field has it.

    Raises:
        BadInputError: It does not fit; says what was found and what is expected.
    """
    try:
        fitting: object = msgspec.convert(value, kind, strict=strict)
    except (ValueError, RecursionError):
        raise misfit(where, name, value, in_words(kind)) from None
    if isinstance(fitting, float) and not math.isfinite(fitting):
        raise misfit(where, name, value, in_words(kind))
    return fitting


def in_words(kind: Any) -> str:
    """Says what a field takes.

    Args:
        kind: The field's annotation.
    """
    info = msgspec.inspect.type_info(kind)
    match info:
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            return ("a whole number" if isinstance(info, msgspec.inspect.IntType) else "a number") + _bounds(info)
        case msgspec.inspect.LiteralType():
            return "one of " + ", ".join(f'"{value}"' for value in sorted(info.values, key=str))
        case msgspec.inspect.ListType():
            return "a list of texts"
        case msgspec.inspect.DictType(value_type=msgspec.inspect.StrType()):
            return "a table of texts"
        case msgspec.inspect.DictType():
            return "a table of tables"
        case _:
            return "a text"


def _bounds(info: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> str:
    if info.ge is not None and info.le is not None:
        return f" from {info.ge} to {info.le}"
    if info.gt is not None:
        return f" above {info.gt}"
    return f", {info.ge} or more" if info.ge is not None else ""


def misfit(where: str, name: str, value: object, expected: str) -> BadInputError:
    """Makes the error for a value that does not fit; what looks like a key in it is blanked.

    Args:
        where: What the message begins with.
        name: The setting as the person wrote it.
        value: What was found.
        expected: What was expected.
    """
    words = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "a table",
    }
    found = redact(str(value).lower() if isinstance(value, bool) else str(value))
    found = found if len(found) <= SHOWN_CHARACTERS else found[:SHOWN_CHARACTERS] + "..."
    return BadInputError(
        f"{where}{name} is {found!r} ({words.get(type(value), 'a date or time')}); {expected} is expected.",
        tips=[f"set {name} to {expected}", "all settings: docs/reference/settings.md"],
    )


def unknown(where: str, name: str, fields: Mapping[str, Field]) -> BadInputError:
    """Makes the error for a name that is no setting; it says which is the nearest.

    Args:
        where: What the message begins with.
        name: The name as the person wrote it.
        fields: Every field there is.
    """
    tables = {known.rpartition(".")[0] for known in fields}
    known = [*fields, *sorted(tables)]
    leaf = name.rpartition(".")[2]
    same_leaf = [other for other in known if other.rpartition(".")[2] == leaf]
    nearest = same_leaf or difflib.get_close_matches(name, known, 1, 0.0)
    return BadInputError(
        f"{where}there is no setting {redact(name)[:SHOWN_CHARACTERS]!r}; the nearest one is {nearest[0]!r}.",
        tips=[f"did you mean {nearest[0]}?", "all settings: docs/reference/settings.md"],
    )
