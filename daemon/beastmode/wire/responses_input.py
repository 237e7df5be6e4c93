"""The items of a request in OpenAI's Responses, as the messages of a conversation."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from beastmode.core.errors import BadInputError
from beastmode.core.types import Message
from beastmode.wire.responses_tools import ACTION_OF_ITEM, ACTIONS, chat_name, freeform, functions

Item = dict[str, Any]

_ROLES = frozenset(("user", "assistant", "system", "developer"))
_TEXT_PARTS = frozenset(("input_text", "output_text", "text", "summary_text", "reasoning_text"))
_CALLS = frozenset(("function_call", "custom_tool_call", *ACTION_OF_ITEM))
_OUTPUTS = frozenset(
    ("function_call_output", "custom_tool_call_output", *(f"{item}_output" for item in ACTION_OF_ITEM))
)
_SAYS_NOTHING = ("id", "status", "internal_chat_message_metadata_passthrough")


class Conversation(NamedTuple):
    """What a list of items says.

    Attributes:
        messages: The messages.
        kept: Items that no message says, each after the number of messages that stand before it.
        tools: Tools that come in the midst of the conversation.
    """

    messages: list[Message]
    kept: list[list[Any]]
    tools: list[Item]


def conversation(given: Any, instructions: str | None) -> Conversation:
    """Reads the input of a request.

    Args:
        given: A text, or a list of items.
        instructions: The system prompt.

    Raises:
        BadInputError: It is neither, or an item is none; names it.
    """
    found = Conversation([], [], [])
    if instructions:
        found.messages.append(Message(role="system", content=instructions))
    if isinstance(given, str):
        found.messages.append(Message(role="user", content=given))
        return found
    if not isinstance(given, list) or not given:
        raise BadInputError(
            "`input` is missing or empty; a text or a list of items is expected.",
            tips=['Send what you ask as `"input": "..."`, or as a list of messages.'],
        )
    leading = len(found.messages)
    for index, item in enumerate(given):
        _take(f"input[{index}]", item, found)
    if len(found.messages) == leading:
        raise BadInputError("`input` holds no message.", tips=["Send at least one message with the role user."])
    return found


def _take(where: str, item: Any, found: Conversation) -> None:
    if not isinstance(item, dict):
        raise _wrong(where, "is no object")
    kind = item.get("type", "message" if "role" in item else "item_reference")
    if kind == "message":
        found.messages.append(_message(where, item))
        if item.get("phase"):
            found.kept.append([len(found.messages), {"type": "message", "phase": item["phase"]}])
    elif not isinstance(kind, str):
        raise _wrong(f"{where}.type", "is no text")
    elif kind.startswith("tool_search_") and not item.get("call_id"):
        found.kept.append([len(found.messages), item])  # a search that OpenAI made
        found.tools.extend(tool_list(f"{where}.tools", item.get("tools")))
    elif kind in _CALLS:
        _add_call(_call(where, item, kind), found.messages)
    elif kind == "tool_search_output":
        _add_tools(where, item, found)
    elif kind in _OUTPUTS:
        found.messages.append(_output(where, item, kind))
    elif kind == "item_reference":
        raise BadInputError(
            f"`{where}` refers to an item by its id; nothing is stored here that it could refer to.",
            tips=["Send the whole conversation in `input`, each item in full."],
        )
    elif kind == "additional_tools":
        found.tools.extend(tool_list(f"{where}.tools", item.get("tools")))
    else:
        said = {name: value for name, value in item.items() if value and name not in _SAYS_NOTHING}
        if kind != "reasoning" or len(said) > 1:
            found.kept.append([len(found.messages), said])


def tool_list(where: str, given: Any) -> list[Item]:
    """Reads a list of tools.

    Args:
        where: Names it in an error.
        given: As it came.

    Raises:
        BadInputError: It is none.
    """
    if given is None:
        return []
    if not isinstance(given, list):
        raise _wrong(where, "is no list")
    for index, tool in enumerate(given):
        if not isinstance(tool, dict) or not isinstance(tool.get("type"), str):
            raise _wrong(f"{where}[{index}]", "is no object with a `type`")
    return given


def _message(where: str, item: Item) -> Message:
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise BadInputError(
            f"`{where}.role` is none of assistant, developer, system, user.",
            tips=[f"Correct `{where}.role`; the results of tools are items of type function_call_output."],
        )
    return Message(role=role, content=_content(f"{where}.content", item.get("content")))


def _content(where: str, given: Any) -> str | list[Item]:
    """Reads a content; one part of text is told as the text alone, as every protocol can."""
    if given is None or isinstance(given, str):
        return given or ""
    if not isinstance(given, list):
        raise _wrong(where, "is neither a text nor a list of parts")
    parts = [_part(f"{where}[{index}]", part) for index, part in enumerate(given)]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts or ""


def _part(where: str, part: Any) -> Item:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise _wrong(where, "is no object with a `type`")
    kind = part["type"]
    if kind in _TEXT_PARTS:
        if not isinstance(part.get("text"), str):
            raise _wrong(f"{where}.text", "is no text")
        return {"type": "text", "text": part["text"]}
    if kind == "refusal":
        return {"type": "refusal", "refusal": part.get("refusal") or ""}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        detail = {"detail": part["detail"]} if part.get("detail") else {}
        return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
    if kind == "input_file" and not part.get("file_url"):
        named = ("file_id", "filename", "file_data")
        return {"type": "file", "file": {name: part[name] for name in named if part.get(name)}}
    return part  # only a provider that speaks this protocol knows what it is


def _call(where: str, item: Item, kind: str) -> Item:
    """Reads a call of a tool, as the call of its function."""
    call_id = item.get("call_id") or item.get("id")
    if not isinstance(call_id, str) or not call_id:
        raise _wrong(f"{where}.call_id", "is no text")
    if kind in ACTION_OF_ITEM:
        name = ACTION_OF_ITEM[kind]
        fixed = ACTIONS[name].fixed
        given = item.get(ACTIONS[name].field)
        if not isinstance(given, dict):
            raise _wrong(f"{where}.{ACTIONS[name].field}", "is no object")
        said = {key: value for key, value in given.items() if value is not None and fixed.get(key) != value}
        arguments = msgspec.json.encode(said).decode()
    else:
        field = "arguments" if kind == "function_call" else "input"
        space, own, text = item.get("namespace"), item.get("name"), item.get(field)
        if not isinstance(own, str) or not own:
            raise _wrong(f"{where}.name", "is no text")
        if not isinstance(text, str):
            raise _wrong(f"{where}.{field}", "is no text")
        name = chat_name(own, space if isinstance(space, str) else "")
        arguments = text if kind == "function_call" else freeform(text)
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _add_call(call: Item, messages: list[Message]) -> None:
    """Adds a call to the assistant's turn that it belongs to."""
    if not messages or messages[-1].role != "assistant":
        messages.append(Message(role="assistant"))
    messages[-1].tool_calls = [*(messages[-1].tool_calls or ()), call]


def _add_tools(where: str, item: Item, found: Conversation) -> None:
    """Takes tools that a search has found: they can be called from now on."""
    tools = tool_list(f"{where}.tools", item.get("tools"))
    names = ", ".join(tool["function"]["name"] for tool in functions(tools))
    said = f"These tools can be called now: {names}" if names else "No tool was found."
    found.messages.append(Message(role="tool", content=said, tool_call_id=item["call_id"]))
    found.tools.extend(tools)


def _output(where: str, item: Item, kind: str) -> Message:
    """Reads what a tool gave."""
    call_id = item.get("call_id") or item.get("id")
    if not isinstance(call_id, str) or not call_id:
        raise _wrong(f"{where}.call_id", "is no text")
    given = item.get("output")
    if kind == "shell_call_output":  # what each command printed, and how it ended
        content: str | list[Item] = msgspec.json.encode(given).decode()
    elif kind == "apply_patch_call_output":
        content = f"{item.get('status') or 'completed'}: {given}" if given else str(item.get("status") or "completed")
    elif given is None:
        raise _wrong(f"{where}.output", "is missing")
    else:
        content = _content(f"{where}.output", given)
    return Message(role="tool", content=content, tool_call_id=call_id)


def _wrong(where: str, what: str) -> BadInputError:
    return BadInputError(f"`{where}` {what}.", tips=[f"Correct `{where}`: OpenAI's Responses format is expected here."])
