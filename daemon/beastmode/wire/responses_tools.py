"""The tools of OpenAI's Responses as functions that any model takes, and its calls told back as they were asked."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

Tool = dict[str, Any]

_MAX_NAME = 64
_FREEFORM = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input of the tool, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_MS = {"type": "integer", "description": "Milliseconds."}
_PATCH = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
        "path": _TEXT,
        "diff": {"type": "string", "description": "A V4A diff; left out to delete a file."},
    },
    "required": ["type", "path"],
}


class Action(NamedTuple):
    """A tool that the caller runs, and whose calls are items of their own type.

    Attributes:
        item: Type of a call.
        field: Where a call keeps its arguments.
        description: What a model is told.
        parameters: JSON schema of the arguments.
        fixed: Arguments that every call has.
        beside: Fields that every call has beside its arguments.
    """

    item: str
    field: str
    description: str
    parameters: dict[str, Any]
    fixed: dict[str, Any]
    beside: dict[str, Any] = {}


ACTIONS = {
    "local_shell": Action(
        "local_shell_call",
        "action",
        "Runs a command on the user's machine and returns its output.",
        {
            "type": "object",
            "properties": {"command": _TEXTS, "working_directory": _TEXT, "timeout_ms": _MS},
            "required": ["command"],
        },
        {"type": "exec", "env": {}},
    ),
    "shell": Action(
        "shell_call",
        "action",
        "Runs shell commands on the user's machine and returns their output.",
        {
            "type": "object",
            "properties": {"commands": _TEXTS, "timeout_ms": _MS, "max_output_length": {"type": "integer"}},
            "required": ["commands"],
        },
        {},
    ),
    "apply_patch": Action(
        "apply_patch_call", "operation", "Creates, updates or deletes a file of the user's.", _PATCH, {}
    ),
    "tool_search": Action(
        "tool_search_call",
        "arguments",
        "Finds tools that can be called next.",
        {"type": "object", "properties": {"query": _TEXT}, "required": ["query"]},
        {},
        {"execution": "client"},
    ),
}
ACTION_OF_ITEM = {action.item: name for name, action in ACTIONS.items()}


class Called(NamedTuple):
    """How a call of a tool is told.

    Attributes:
        kind: `function`, `custom`, or one of `ACTIONS`.
        name: Its name.
        namespace: The namespace it stands in.
    """

    kind: str
    name: str
    namespace: str = ""


def chat_name(name: str, namespace: str = "") -> str:
    """Names a tool as a function among all others: no longer than such names may be.

    Args:
        name: Its name.
        namespace: The namespace it stands in.
    """
    if not namespace or namespace == name:
        return name
    full = f"{namespace}{name}" if namespace.endswith("__") else f"{namespace}__{name}"
    if len(full) <= _MAX_NAME:
        return full
    return f"{full[: _MAX_NAME - 9]}_{blake2b(full.encode(errors='replace'), digest_size=4).hexdigest()}"


def functions(tools: list[Tool]) -> list[Tool]:
    """Translates tools into functions of the chat format; those that only OpenAI can run are left out.

    Args:
        tools: As the request has them.
    """
    found: list[Tool] = []
    for tool in tools:
        match tool.get("type"):
            case "function" if _named(tool):
                found.append(_function(tool))
            case "custom" if _named(tool):
                found.append(_custom(tool))
            case "namespace" if _named(tool):
                found.extend(_inner(tool))
            case kind if kind in ACTIONS and _runs_here(tool):
                action = ACTIONS[kind]
                schema = tool.get("parameters") if isinstance(tool.get("parameters"), dict) else None
                found.append(_worded(kind, tool.get("description") or action.description, schema or action.parameters))
    return list({tool["function"]["name"]: tool for tool in found}.values())


def untranslated(tools: list[Tool]) -> list[Tool]:
    """Picks the tools that the chat format can not say in full.

    Args:
        tools: As the request has them.
    """
    return [tool for tool in tools if not (tool.get("type") == "function" and tool.keys() <= _SAID)]


_SAID = {"type", "name", "description", "parameters", "strict"}


def calls(tools: Any) -> dict[str, Called]:
    """Tells how calls are told back, by the names of the functions; what is missing there is a plain function.

    Args:
        tools: What `untranslated` picked.
    """
    found: dict[str, Called] = {}
    for tool in tools or ():
        kind, name = tool.get("type"), tool.get("name")
        if kind == "custom" and _named(tool):
            found[name] = Called("custom", name)
        elif kind == "namespace" and _named(tool):
            for inner in _tools_in(tool):
                inner_kind = "custom" if inner["type"] == "custom" else "function"
                found[chat_name(inner["name"], name)] = Called(inner_kind, inner["name"], name)
        elif kind in ACTIONS and _runs_here(tool):
            found[kind] = Called(kind, kind)
    return found


def choice(given: Any, offered: list[Tool]) -> tuple[Any, list[Tool]]:
    """Translates a tool choice.

    Args:
        given: As the request has it.
        offered: The functions.

    Returns:
        The choice in the chat format, None where it can not say it; and the functions that it leaves.
    """
    if not isinstance(given, dict):
        return given, offered
    kind = given.get("type")
    if kind == "allowed_tools":
        tools = given.get("tools")
        allowed = {_chosen(tool) for tool in tools if isinstance(tool, dict)} if isinstance(tools, list) else set()
        return given.get("mode") or "auto", [tool for tool in offered if tool["function"]["name"] in allowed]
    name = _chosen(given)
    if any(tool["function"]["name"] == name for tool in offered):
        return {"type": "function", "function": {"name": name}}, offered
    return None, offered


def freeform(text: str) -> str:
    """Writes the input of a custom tool as the arguments of its function."""
    return msgspec.json.encode({"input": text}).decode()


def freeform_of(arguments: str) -> str:
    """Reads the input of a custom tool; a model that wrote none of the JSON it was asked for wrote the input itself."""
    found = parsed(arguments)
    text = found.get("input") if isinstance(found, dict) else None
    return text if isinstance(text, str) else arguments


def parsed(arguments: str) -> Any:
    """Reads arguments; None where they are no JSON."""
    try:
        return msgspec.json.decode(arguments)
    except (ValueError, RecursionError):
        return None


def _chosen(tool: Tool) -> str:
    kind, name = tool.get("type"), tool.get("name")
    if isinstance(kind, str) and kind in ACTIONS:
        return kind
    space = tool.get("namespace")
    return chat_name(str(name or ""), space if isinstance(space, str) else "")


def _named(tool: Tool) -> bool:
    name = tool.get("name")
    return isinstance(name, str) and bool(name)


def _runs_here(tool: Tool) -> bool:
    """A shell may stand in a container of OpenAI's, and tools be sought there."""
    place = tool.get("environment")
    if tool.get("type") == "tool_search":
        return tool.get("execution") == "client"
    return tool.get("type") != "shell" or (isinstance(place, dict) and place.get("type") == "local")


def _tools_in(namespace: Tool) -> list[Tool]:
    inner = namespace.get("tools")
    tools = inner if isinstance(inner, list) else []
    return [
        tool for tool in tools if isinstance(tool, dict) and tool.get("type") in ("function", "custom") and _named(tool)
    ]


def _inner(namespace: Tool) -> list[Tool]:
    found = []
    for tool in _tools_in(namespace):
        named = {**tool, "name": chat_name(tool["name"], namespace["name"])}
        found.append(_custom(named) if tool["type"] == "custom" else _function(named))
    return found


def _function(tool: Tool) -> Tool:
    said = {name: tool[name] for name in ("name", "description", "parameters", "strict") if tool.get(name) is not None}
    return {"type": "function", "function": said}


def _custom(tool: Tool) -> Tool:
    """A tool that takes plain text, as a function with one argument; its grammar is told in words."""
    said = [str(tool["description"])] if tool.get("description") else []
    said.append("Its input is plain text and goes, whole, into the argument `input`.")
    form = tool.get("format")
    if isinstance(form, dict) and form.get("type") == "grammar" and form.get("definition"):
        said.append(f"The text follows this {form.get('syntax') or ''} grammar:\n{form['definition']}")
    return _worded(tool["name"], "\n\n".join(said), _FREEFORM)


def _worded(name: str, description: str, parameters: dict[str, Any]) -> Tool:
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}
