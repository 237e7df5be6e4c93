"""A caller's request in Anthropic's Messages, read into the words of every door.

What OpenAI's chat format has a word for gets that word. The rest stays where it was, in Anthropic's words: other blocks
as parts of a content, other fields as parameters. Where a block that became a message or a tool call says more than
those can hold (an error flag, a place between texts), a mark stays in the content: a part of its type without its
content. A text document or a search result is a text part that holds its block.

Source: https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import msgspec

from beastmode.core.errors import BadInputError
from beastmode.core.native import Native
from beastmode.core.types import Message, Request
from beastmode.wire.openai_door import ENDPOINT_FIELDS

PROTOCOL_NAME = "anthropic_messages"
PASSED_HEADERS = ("anthropic-version", "anthropic-beta")

_CHOICES = {"auto": "auto", "none": "none", "any": "required"}
_FUNCTION_FIELDS = ("name", "description", "strict")

Block = dict[str, Any]
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def read(body: bytes, headers: Mapping[str, str]) -> Request:
    """Reads a request.

    Args:
        body: JSON, as it came.
        headers: The request's headers by lower-case name.

    Raises:
        BadInputError: It is no request of this protocol; names the field.
    """
    try:
        given = _decode(body)
        if type(given) is not dict:
            raise BadInputError(
                "The body is not a JSON object.", tips=['send {"model": ..., "max_tokens": ..., "messages": [...]}']
            )
        return _request(given, body, headers)
    except RecursionError:
        raise BadInputError(
            "The body is nested too deeply.", tips=["send fewer levels of lists and objects in tools and messages"]
        ) from None
    except ValueError as error:
        raise BadInputError(f"The body is not JSON: {error}.", tips=["send one JSON object in UTF-8"]) from None


def _request(given: dict[str, Any], body: bytes, headers: Mapping[str, str]) -> Request:
    refused = ENDPOINT_FIELDS & given.keys()
    if refused:
        name = min(refused)
        raise BadInputError(
            f"{name}: a request can not choose an endpoint or a key.",
            tips=[f"leave {name} out; register the endpoint instead: beast models add MODEL --base-url URL"],
        )
    model = given.get("model") or ""
    if type(model) is not str:
        _wrong("model", "the name of a model, as a string")
    stream = given.get("stream")
    if stream is not None and type(stream) is not bool:
        _wrong("stream", "true or false")
    messages = _system(given.get("system"))
    turns = given.get("messages")
    if type(turns) is not list or not turns:
        _wrong("messages", "a list with at least one message")
    for index, turn in enumerate(turns):
        _add_turn(messages, turn, f"messages[{index}]")
    passed = {name: headers[name] for name in PASSED_HEADERS if headers.get(name)}
    return Request(
        model=model,
        messages=messages,
        params=_params(given, passed.get("anthropic-beta", "")),
        native=Native(PROTOCOL_NAME, body, passed),
        stream=bool(stream),
    )


def _wrong(field: str, wanted: str) -> NoReturn:
    raise BadInputError(f"{field}: it must be {wanted}.", tips=[f"correct the field {field} of the request"])


def _system(system: Any) -> list[Message]:
    if not system:
        return []
    if type(system) is str:
        return [Message("system", system)]
    if type(system) is not list:
        _wrong("system", "a string or a list of text blocks")
    told = [block for block in system if not _is_bookkeeping(block)]
    return [Message("system", _content(told, "system"))] if told else []


def _is_bookkeeping(block: Any) -> bool:
    """A line that Claude Code counts its own requests by: it shapes no answer, and changes with each version of it."""
    text = block.get("text") if type(block) is dict else None
    return type(text) is str and text.startswith("x-anthropic-billing-header:")


def _add_turn(messages: list[Message], turn: Any, where: str) -> None:
    """Reads one message; results of tools become messages of their own, in their place."""
    if type(turn) is not dict:
        _wrong(where, "an object")
    role, content = turn.get("role"), turn.get("content")
    if role not in ("user", "assistant", "system"):
        _wrong(f"{where}.role", "user or assistant")
    if type(content) is str:
        messages.append(Message(role, content))
    elif type(content) is not list:
        _wrong(f"{where}.content", "a string or a list of blocks")
    elif role == "assistant":
        messages.append(_assistant(content, f"{where}.content"))
    else:
        _add_user(messages, role, content, f"{where}.content")


def _add_user(messages: list[Message], role: str, blocks: list[Any], where: str) -> None:
    said: list[Block] = []
    results = 0
    for index, block in enumerate(blocks):
        if _kind(block, where, index) != "tool_result":
            said.append(_part(block, where, index))
            continue
        if said:
            messages.append(Message(role, _collapsed(said)))
            said = []
        messages.append(_tool_result(block, f"{where}[{index}]"))
        results += 1
    if said or not results:
        messages.append(Message(role, _collapsed(said)))


def _tool_result(block: Block, where: str) -> Message:
    call_id, content = block.get("tool_use_id"), block.get("content")
    if type(call_id) is not str:
        _wrong(f"{where}.tool_use_id", "the id of a tool_use block")
    if content is None:
        content = ""
    elif type(content) is list:
        content = _content(content, f"{where}.content")
    elif type(content) is not str:
        _wrong(f"{where}.content", "a string or a list of blocks")
    mark = _rest(block, ("type", "tool_use_id", "content"))
    if mark.get("is_error") is False:
        del mark["is_error"]
    if mark:
        content = [{"type": "tool_result", **mark}, *_parts(content)]
    return Message("tool", content, tool_call_id=call_id)


def _parts(content: str | list[Block]) -> list[Block]:
    if type(content) is list:
        return content
    return [{"type": "text", "text": content}] if content else []


def _assistant(blocks: list[Any], where: str) -> Message:
    """Reads an assistant's turn; marks say where its calls stood when they were not all at its end."""
    parts: list[Block] = []
    calls: list[dict[str, Any]] = []
    marked = False
    for index, block in enumerate(blocks):
        if _kind(block, where, index) != "tool_use":
            marked = marked or bool(calls)
            parts.append(_part(block, where, index))
            continue
        call, mark = _tool_call(block, f"{where}[{index}]")
        marked = marked or len(mark) > 2
        parts.append(mark)
        calls.append(call)
    if not marked and calls:
        parts = parts[: -len(calls)]
    return Message("assistant", _collapsed(parts) if parts or not calls else None, tool_calls=calls or None)


def _tool_call(block: Block, where: str) -> tuple[dict[str, Any], Block]:
    call_id, name, given = block.get("id"), block.get("name"), block.get("input")
    if type(call_id) is not str:
        _wrong(f"{where}.id", "a string")
    if type(name) is not str:
        _wrong(f"{where}.name", "the name of a tool")
    if given is not None and type(given) is not dict:
        _wrong(f"{where}.input", "an object")
    function = {"name": name, "arguments": _encode(given or {}).decode()}
    mark = {"type": "tool_use", "id": call_id, **_rest(block, ("type", "id", "name", "input"))}
    return {"id": call_id, "type": "function", "function": function}, mark


def _content(blocks: list[Any], where: str) -> str | list[Block]:
    return _collapsed([_part(block, where, index) for index, block in enumerate(blocks)])


def _collapsed(parts: list[Block]) -> str | list[Block]:
    """One text that is only text becomes a plain string."""
    if not parts:
        return ""
    only = parts[0]
    return only["text"] if len(parts) == 1 and only.keys() == {"type", "text"} else parts


def _kind(block: Any, where: str, index: int) -> str:
    if type(block) is not dict:
        _wrong(f"{where}[{index}]", "a block, an object")
    kind = block.get("type")
    if type(kind) is not str:
        _wrong(f"{where}[{index}].type", "the type of a block, as a string")
    return kind


def _part(block: Block, where: str, index: int) -> Block:
    """Reads a block; one that OpenAI's chat format has no part for stays as it is."""
    kind = _kind(block, where, index)
    if kind == "text":
        if type(block.get("text")) is not str:
            _wrong(f"{where}[{index}].text", "a string")
        return block if len(block) == 2 else {"type": "text", "text": block["text"], **_rest(block, ("type", "text"))}
    url = _url(block.get("source")) if kind in ("image", "document") else None
    if url is None:
        text = _told(kind, block)
        return {"type": "text", "text": text, "block": block} if text else block
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": url}, **_rest(block, ("type", "source"))}
    if not url.startswith("data:"):
        return block
    title = str(block.get("title") or "document")
    file = {"filename": title if title.endswith(".pdf") else f"{title}.pdf", "file_data": url}
    return {"type": "file", "file": file, **_rest(block, ("type", "source"))}


def _told(kind: str, block: Block) -> str:
    """What a text document or a search result tells in plain words, for models that know no such blocks."""
    source = block.get("source")
    if kind == "search_result":
        told = block.get("content")
    elif kind == "document" and type(source) is dict and source.get("type") in ("text", "content"):
        told = source.get("data") or source.get("content")
    else:
        return ""
    if type(told) is list:
        told = "\n".join([str(one.get("text") or "") for one in told if type(one) is dict])
    if type(told) is not str:
        return ""
    titles = [title for title in (block.get("title"), source) if type(title) is str and title]
    return "\n".join([*titles, told])


def _url(source: Any) -> str | None:
    """The source of an image or a document as one URL; None where it is something else, such as a stored file."""
    if type(source) is not dict or len(source) != (3 if source.get("type") == "base64" else 2):
        return None
    if source.get("type") == "base64":
        media_type, data = source.get("media_type"), source.get("data")
        return f"data:{media_type};base64,{data}" if type(media_type) is str and type(data) is str else None
    url = source.get("url")
    return url if source.get("type") == "url" and type(url) is str and not url.startswith("data:") else None


def _rest(block: Block, known: tuple[str, ...]) -> Block:
    return {name: value for name, value in block.items() if value is not None and name not in known}


def _params(given: dict[str, Any], betas: str) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or name in ("model", "messages", "system", "stream"):
            continue
        reader = _READERS.get(name)
        if reader is None:
            params[name] = value
        else:
            reader(params, name, value)
    if betas:
        params.setdefault("betas", sorted({beta.strip() for beta in betas.split(",")}))
    return params


def _read_count(params: dict[str, Any], name: str, value: Any) -> None:
    if type(value) is not int or value < 0:
        _wrong(name, "a whole number that is not negative")
    params[name] = value


def _read_number(params: dict[str, Any], name: str, value: Any) -> None:
    if type(value) is not int and type(value) is not float:
        _wrong(name, "a number")
    params[name] = value


def _read_stop(params: dict[str, Any], name: str, value: Any) -> None:
    if type(value) is not list or not all(type(one) is str for one in value):
        _wrong(name, "a list of strings")
    if value:
        params["stop"] = value


def _read_tools(params: dict[str, Any], name: str, value: Any) -> None:
    if type(value) is not list:
        _wrong(name, "a list of tools")
    if value:
        params[name] = [_tool(tool, f"{name}[{index}]") for index, tool in enumerate(value)]


def _tool(tool: Any, where: str) -> dict[str, Any]:
    """Reads a tool; one that Anthropic itself runs or defines stays as it is."""
    if type(tool) is not dict:
        _wrong(where, "an object")
    if tool.get("type") not in (None, "custom"):
        return tool
    if type(tool.get("name")) is not str:
        _wrong(f"{where}.name", "a string")
    schema = tool.get("input_schema")
    if schema is not None and type(schema) is not dict:
        _wrong(f"{where}.input_schema", "a JSON schema, an object")
    function = {key: tool[key] for key in _FUNCTION_FIELDS if tool.get(key) is not None}
    if schema is not None:
        function["parameters"] = schema
    return {"type": "function", "function": function, **_rest(tool, ("type", "input_schema", *_FUNCTION_FIELDS))}


def _read_tool_choice(params: dict[str, Any], name: str, value: Any) -> None:
    kind = value.get("type") if type(value) is dict else None
    if kind == "tool" and type(value.get("name")) is str:
        params[name] = {"type": "function", "function": {"name": value["name"]}}
    elif type(kind) is str and kind in _CHOICES:
        params[name] = _CHOICES[kind]
    else:
        _wrong(name, "an object of the type auto, any, none or tool, that with a name")
    if value.get("disable_parallel_tool_use") is True:
        params["parallel_tool_calls"] = False


def _read_output_config(params: dict[str, Any], name: str, value: Any) -> None:
    if type(value) is not dict:
        _wrong(name, "an object")
    rest = _rest(value, ("format",))
    if value.get("format") is not None:
        _read_format(params, f"{name}.format", value["format"])
    if rest:
        params[name] = rest


def _read_format(params: dict[str, Any], name: str, value: Any) -> None:
    if type(value) is not dict or value.get("type") != "json_schema" or type(value.get("schema")) is not dict:
        _wrong(name, "an object of the type json_schema, with a schema")
    params["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": value["schema"]}}


_READERS: dict[str, Callable[[dict[str, Any], str, Any], None]] = {
    "max_tokens": _read_count,
    "top_k": _read_count,
    "temperature": _read_number,
    "top_p": _read_number,
    "stop_sequences": _read_stop,
    "tools": _read_tools,
    "tool_choice": _read_tool_choice,
    "output_config": _read_output_config,
    "output_format": _read_format,
}
