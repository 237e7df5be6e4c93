"""A request in the words of Anthropic's Messages: system prompt, tools, tool results, images and parameters translated.

Source: https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

from typing import Any

import msgspec

from beastmode.core.errors import BadInputError
from beastmode.core.types import Message, Request

DEFAULT_MAX_TOKENS = 4096
"""The format wants a bound; this one is sent when the caller gave none."""

# fmt: off
_NO_COUNTERPART = frozenset({
    "audio", "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens", "metadata", "modalities",
    "n", "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key", "reasoning_effort",
    "response_format", "safety_identifier", "seed", "service_tier", "stop", "store", "stream", "stream_options",
    "top_logprobs", "user", "verbosity",
})
# fmt: on
_TRANSLATED = frozenset({"max_tokens", "temperature", "tools", "tool_choice", "stop_sequences", "system"})
_NATIVE_PARTS = frozenset(
    {"image", "document", "search_result", "tool_use", "tool_result", "thinking", "redacted_thinking"}
)
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}

Block = dict[str, Any]


def body_of(request: Request, upstream_model: str) -> dict[str, Any]:
    """Builds the body.

    Parameters of OpenAI's format that have no counterpart are left out; those that are Anthropic's own go as they are.

    Args:
        request: What to ask.
        upstream_model: The model's name at the endpoint.

    Raises:
        BadInputError: A message holds something that the format can not say.
    """
    params = request.params
    body: dict[str, Any] = {
        "model": upstream_model,
        "max_tokens": params.get("max_tokens") or params.get("max_completion_tokens") or DEFAULT_MAX_TOKENS,
        "messages": _turns(request.messages),
    }
    system = _system(request)
    if system:
        body["system"] = system
    temperature = params.get("temperature")
    if temperature is not None:  # OpenAI's range ends at 2, this one at 1
        body["temperature"] = min(temperature, 1.0) if isinstance(temperature, int | float) else temperature
    stop = params.get("stop_sequences") or params.get("stop")
    if stop:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if isinstance(params.get("tools"), list) and params["tools"]:
        body["tools"] = [_tool(tool) for tool in params["tools"]]
        choice = _tool_choice(params)
        if choice:
            body["tool_choice"] = choice
    schema = _answer_schema(params.get("response_format"))
    if schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    own = params.keys() - _NO_COUNTERPART - _TRANSLATED
    return body | {name: params[name] for name in sorted(own)}


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
        only = turn["content"][0]
        if len(turn["content"]) == 1 and only.keys() == {"type", "text"}:
            turn["content"] = only["text"]
    return turns


def _message_blocks(message: Message) -> list[Block]:
    blocks = _blocks(message.content)
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": message.tool_call_id or "", "content": blocks}]
    return blocks + [_tool_use(call) for call in message.tool_calls or ()]


def _blocks(content: str | list[dict[str, Any]] | None) -> list[Block]:
    """Translates a content; empty texts are left out, since the format refuses them."""
    if content is None or isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [block for part in content if (block := _block(part)) is not None]


def _block(part: dict[str, Any]) -> Block | None:
    kind = part.get("type")
    if kind == "text":
        return part if part.get("text") else None
    if kind == "refusal":
        return {"type": "text", "text": part.get("refusal") or "(refused)"}
    if kind == "image_url":
        image = part.get("image_url")
        return {"type": "image", "source": _source(image.get("url") if isinstance(image, dict) else image)}
    if kind == "file" and isinstance(part.get("file"), dict) and part["file"].get("file_data"):
        return {"type": "document", "source": _source(part["file"]["file_data"])}
    if kind in _NATIVE_PARTS:
        return part
    raise BadInputError(
        f"A message holds a part of type {kind!r}, which Anthropic's Messages can not carry.",
        tips=["Send text, image_url or file (with file_data) parts, or use another model for this request."],
    )


def _source(url: Any) -> dict[str, Any]:
    """The source of an image or a document: a data URL taken apart, or any other URL as it is."""
    if isinstance(url, str) and url.startswith("data:"):
        media_type, _, data = url.removeprefix("data:").partition(";base64,")
        if data:
            return {"type": "base64", "media_type": media_type, "data": data}
    elif isinstance(url, str) and url:
        return {"type": "url", "url": url}
    raise BadInputError(
        "A message holds an image or a file without a URL that can be read.",
        tips=["Write it as data:MEDIA_TYPE;base64,DATA or as an https URL."],
    )


def _tool_use(call: dict[str, Any]) -> Block:
    function = call.get("function") or {}
    arguments = function.get("arguments") or "{}"
    try:
        given = msgspec.json.decode(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):  # a model wrote it; the conversation must be able to go on
        given = {"arguments": arguments}
    return {"type": "tool_use", "id": call.get("id") or "", "name": function.get("name") or "", "input": given}


def _tool(tool: Any) -> Any:
    """Translates a function; a tool in Anthropic's own shape goes as it is."""
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict):
        return tool
    named = {"name": function.get("name"), "input_schema": function.get("parameters") or {"type": "object"}}
    return named | {key: function[key] for key in ("description", "strict") if function.get(key)}


def _tool_choice(params: dict[str, Any]) -> dict[str, Any] | None:
    choice = params.get("tool_choice")
    if isinstance(choice, str):
        choice = {"type": _CHOICES.get(choice, choice)}
    elif isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        choice = {"type": "tool", "name": choice["function"].get("name")}
    if params.get("parallel_tool_calls") is False:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice if isinstance(choice, dict) else None


def _answer_schema(form: Any) -> Any:
    """The JSON schema that an answer must follow, where the request asks for one."""
    if isinstance(form, dict) and form.get("type") == "json_schema" and isinstance(form.get("json_schema"), dict):
        return form["json_schema"].get("schema")
    return None
