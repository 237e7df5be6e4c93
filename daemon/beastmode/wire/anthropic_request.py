"""A request in the words of Anthropic's Messages: system prompt, tools, tool results, images and parameters translated.

Source: https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

import base64
import re
from typing import Any

from beastmode.core.errors import BadInputError
from beastmode.core.types import Message, Request
from beastmode.wire.anthropic_blocks import as_input

DEFAULT_MAX_TOKENS = 16_384
"""The format wants a bound; this one is sent when the caller gave none."""

_LESS_ROOM = {"claude-3-5": 8192, "claude-3-7": 8192, "claude-3-": 4096, "claude-2": 4096, "claude-instant": 4096}

_OWN = frozenset(
    {
        "cache_control",
        "container",
        "context_management",
        "inference_geo",
        "mcp_servers",
        "output_config",
        "speed",
        "thinking",
        "top_k",
        "top_p",
    }
)
"""Parameters that are Anthropic's own, or have the same name there; with those translated below, all that are sent."""
_SERVICE_TIERS = ("auto", "standard_only")
_TEXT_FIELDS = frozenset({"type", "text", "cache_control", "citations"})
_FILE_FIELDS = ("title", "context", "citations", "cache_control")
_TOOL_FIELDS = ("cache_control", "defer_loading", "allowed_callers", "input_examples", "eager_input_streaming")
_NATIVE_PARTS = frozenset(
    {
        "image",
        "document",
        "search_result",
        "tool_use",
        "tool_result",
        "tool_reference",
        "thinking",
        "redacted_thinking",
        "server_tool_use",
        "mcp_tool_use",
        "mcp_tool_result",
        "container_upload",
        "compaction",
    }
)
_ANTHROPIC_TOOL = re.compile(r".+_20\d{6}|mcp_toolset")
_NO_ID = re.compile(r"[^a-zA-Z0-9_-]")
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}
_OWN_CHOICES = ("auto", "any", "none", "tool")

Block = dict[str, Any]


def body_of(request: Request, upstream_model: str) -> dict[str, Any]:
    """Builds the body.

    Parameters that Anthropic does not know are left out.

    Args:
        request: What to ask.
        upstream_model: The model's name at the endpoint.

    Raises:
        BadInputError: It asks for something that the format can not say.
    """
    params = request.params
    if type(params.get("n")) is int and params["n"] > 1:
        raise BadInputError(
            "n: Anthropic's Messages give one answer to a request.",
            tips=["Ask several times, or leave n out, or use another model for this request."],
        )
    body: dict[str, Any] = {
        "model": upstream_model,
        "max_tokens": _max_tokens(params, upstream_model),
        "messages": _turns(request.messages),
    }
    system = _system(request)
    if system:
        body["system"] = system
    body.update(_own(params))
    temperature = params.get("temperature")
    if temperature is not None:  # OpenAI's range ends at 2, this one at 1
        body["temperature"] = min(temperature, 1.0) if isinstance(temperature, int | float) else temperature
    stop = params.get("stop_sequences") or params.get("stop")
    stops = [stop] if isinstance(stop, str) else stop
    if stops and (said := [one for one in stops if not isinstance(one, str) or one.strip()]):  # blank ones are refused
        body["stop_sequences"] = said
    tools = _tools(params.get("tools"))
    if tools:
        body["tools"] = tools
        choice = _tool_choice(params)
        if choice:
            body["tool_choice"] = choice
    return body


def _max_tokens(params: dict[str, Any], model: str) -> Any:
    """The bound of the answer; one that nobody gave leaves room for an answer after the thinking."""
    given = params.get("max_tokens") or params.get("max_completion_tokens")
    if given:
        return given
    thinking = params.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    room = next((most for name, most in _LESS_ROOM.items() if model.startswith(name)), DEFAULT_MAX_TOKENS)
    return room + (budget if type(budget) is int else 0)


def _own(params: dict[str, Any]) -> dict[str, Any]:
    own = {name: params[name] for name in sorted(params.keys() & _OWN) if params[name] is not None}
    if params.get("service_tier") in _SERVICE_TIERS:
        own["service_tier"] = params["service_tier"]
    if own.get("top_p") == 1 and params.get("temperature") is not None:
        del own["top_p"]  # newer models refuse both, and 1 says nothing
    schema = _answer_schema(params.get("response_format"))
    if schema is not None:
        config = own.get("output_config")
        form = {"format": {"type": "json_schema", "schema": schema}}
        own["output_config"] = {**config, **form} if isinstance(config, dict) else form
    return own


def _system(request: Request) -> str | list[Block]:
    """Lifts the system prompt out: one text, or blocks where one of them carries more than text."""
    blocks: list[Block] = []
    given = request.params.get("system")
    if isinstance(given, str | list):
        blocks += _blocks(given)
    for message in request.messages:
        if message.role in ("system", "developer"):
            blocks += _blocks(message.content)
    form = request.params.get("response_format")
    if isinstance(form, dict) and form.get("type") == "json_object":
        blocks.append({"type": "text", "text": "Answer with one JSON object and nothing else."})
    if all(block.keys() == {"type", "text"} for block in blocks):
        return "\n\n".join(str(block["text"]) for block in blocks)
    return blocks


def _turns(messages: list[Message]) -> list[dict[str, Any]]:
    """Translates the conversation; neighbours of the same role become one turn, as tool results must."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role in ("system", "developer"):
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _message_blocks(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        blocks = turn["content"]
        if any(block["type"] == "tool_result" for block in blocks[1:]):
            blocks.sort(key=lambda block: block["type"] != "tool_result")  # the format wants them first
        if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
            turn["content"] = blocks[0]["text"]
    return turns


def _message_blocks(message: Message) -> list[Block]:
    if message.role == "tool":
        return [_tool_result(message)]
    blocks = _blocks(message.content)
    if message.role != "assistant":
        return blocks
    called = message.tool_calls or []
    calls = {call.get("id") or "": call for call in called}
    if len(calls) != len(called):  # ids that say nothing: no mark can mean one of them
        return [block for block in blocks if not _is_mark(block)] + [_tool_use(call) for call in called]
    placed = [_placed(block, calls) if _is_mark(block) else block for block in blocks]
    return [block for block in placed if block is not None] + [_tool_use(call) for call in calls.values()]


def _tool_result(message: Message) -> Block:
    """A result of a tool; a part of its own type holds what more is said of it, such as that it is an error."""
    content = message.content
    mark: Block = {}
    if isinstance(content, list) and content and content[0].get("type") == "tool_result":
        mark = {name: value for name, value in content[0].items() if name not in ("type", "content")}
        content = content[1:]
    tool_use_id = _NO_ID.sub("_", message.tool_call_id or "")
    return {"type": "tool_result", **mark, "tool_use_id": tool_use_id, "content": _blocks(content)}


def _is_mark(block: Block) -> bool:
    return block["type"] == "tool_use" and "name" not in block


def _placed(mark: Block, calls: dict[str, dict[str, Any]]) -> Block | None:
    """The call that a mark stands for, taken out of those that are left."""
    call = calls.pop(mark.get("id") or "", None)
    rest = {name: value for name, value in mark.items() if name not in ("type", "id")}
    return None if call is None else {**_tool_use(call), **rest}


def _blocks(content: str | list[dict[str, Any]] | None) -> list[Block]:
    """Translates a content; blank texts are left out, since the format refuses them."""
    if content is None or isinstance(content, str):
        return [{"type": "text", "text": content}] if content and not content.isspace() else []
    return [block for part in content if (block := _block(part)) is not None]


def _block(part: dict[str, Any]) -> Block | None:
    kind = part.get("type")
    block = part.get("block")
    if kind == "text" and isinstance(block, dict):
        return block  # such as a search result, of which the text says only as much as text can
    if kind == "text":
        text = part.get("text")
        blank = not text or (isinstance(text, str) and text.isspace())
        return None if blank else {name: value for name, value in part.items() if name in _TEXT_FIELDS}
    if kind == "refusal":
        return {"type": "text", "text": part.get("refusal") or "(refused)"}
    if kind == "thinking" and not part.get("signature"):
        return None  # another model's, which this one would refuse
    if kind == "image_url":
        image = part.get("image_url")
        source = _source(image.get("url") if isinstance(image, dict) else image)
        return {"type": "image", "source": source, **_kept(part, ("cache_control",))}
    if kind == "file" and isinstance(part.get("file"), dict) and part["file"].get("file_data"):
        return {"type": "document", "source": _source(part["file"]["file_data"]), **_kept(part, _FILE_FIELDS)}
    if kind == "input_file" and part.get("file_url"):  # of OpenAI's Responses
        return {"type": "document", "source": _source(part["file_url"])}
    if isinstance(kind, str) and (kind in _NATIVE_PARTS or kind.endswith("_tool_result")):
        return part
    raise BadInputError(
        f"A message holds a part of type {kind!r}, which Anthropic's Messages can not carry.",
        tips=["Send text, image_url or file (with file_data) parts, or use another model for this request."],
    )


def _kept(said: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: said[name] for name in names if said.get(name)}


def _source(url: Any) -> dict[str, Any]:
    """The source of an image or a document: a data URL taken apart, or any other URL as it is."""
    if isinstance(url, str) and url.startswith("data:"):
        media_type, _, data = url.removeprefix("data:").partition(";base64,")
        if data and media_type.startswith("text/"):
            return _text_source(data)
        if data:
            return {"type": "base64", "media_type": media_type, "data": data}
    elif isinstance(url, str) and url:
        return {"type": "url", "url": url}
    raise BadInputError(
        "A message holds an image or a file without a URL that can be read.",
        tips=["Write it as data:MEDIA_TYPE;base64,DATA or as an https URL."],
    )


def _text_source(data: str) -> dict[str, Any]:
    try:
        text = base64.b64decode(data).decode()
    except ValueError:
        raise BadInputError(
            "A message holds a text file that is not UTF-8 in base64.", tips=["Encode it anew, or send it as text."]
        ) from None
    return {"type": "text", "media_type": "text/plain", "data": text}


def _tool_use(call: dict[str, Any]) -> Block:
    function = call.get("function") or {}
    call_id = _NO_ID.sub("_", call.get("id") or "")
    given = as_input(function.get("arguments"))
    return {"type": "tool_use", "id": call_id, "name": function.get("name") or "", "input": given}


def _tools(tools: Any) -> list[Any]:
    """Translates functions; tools in Anthropic's own shape go as they are, those of others are left out."""
    return [_tool(tool) for tool in tools if _is_known(tool)] if isinstance(tools, list) else []


def _is_known(tool: Any) -> bool:
    if not isinstance(tool, dict):
        return False
    own = isinstance(tool.get("type"), str) and _ANTHROPIC_TOOL.fullmatch(tool["type"])
    return bool(own) or isinstance(tool.get("function"), dict) or "input_schema" in tool


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if not isinstance(function, dict):
        return tool
    schema = function.get("parameters") or {}
    if not isinstance(schema, dict):
        raise BadInputError(
            "tools: the parameters of a function are no JSON schema.",
            tips=['Write them as an object: {"type": "object", "properties": {...}}.'],
            details={"param": "tools"},
        )
    named = {"name": function.get("name"), "input_schema": schema if "type" in schema else {"type": "object", **schema}}
    return named | _kept(function, ("description", "strict")) | _kept(tool, _TOOL_FIELDS)


def _tool_choice(params: dict[str, Any]) -> dict[str, Any] | None:
    choice = params.get("tool_choice")
    if isinstance(choice, dict) and isinstance(choice.get("allowed_tools"), dict):
        choice = choice["allowed_tools"].get("mode")
    if isinstance(choice, str):
        choice = {"type": _CHOICES.get(choice, choice)}
    elif isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        choice = {"type": "tool", "name": choice["function"].get("name")}
    if not isinstance(choice, dict) or choice.get("type") not in _OWN_CHOICES:
        choice = None
    if params.get("parallel_tool_calls") is False and (choice or {}).get("type") != "none":
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice


def _answer_schema(form: Any) -> Any:
    """The JSON schema that an answer must follow, where the request asks for one."""
    if isinstance(form, dict) and form.get("type") == "json_schema" and isinstance(form.get("json_schema"), dict):
        return form["json_schema"].get("schema")
    return None
