"""OpenAI's Chat Completions, upstream: a request to its bytes; replies and streams are read next door.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from typing import Any

import msgspec

from beastmode.core.types import Message, Request
from beastmode.wire.openai_chat_reply import decode as decode
from beastmode.wire.openai_chat_reply import error_in_reply as error_in_reply
from beastmode.wire.openai_chat_reply import model_names as model_names
from beastmode.wire.openai_chat_stream import ChatStream as ChatStream
from beastmode.wire.openai_chat_stream import ToolCalls as ToolCalls

PROTOCOL = "OpenAI Chat Completions"
NAME = "openai_chat"
"""As in `Native.protocol`."""

MESSAGE_EXTRAS = "_message_extras"
"""A parameter that joins the cache key and is sent to nobody: what messages held beside the fields of `Message`."""

SENT = frozenset(
    {
        "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_completion_tokens",
        "max_tokens", "modalities", "n", "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key",
        "reasoning_effort", "response_format", "safety_identifier", "seed", "stop", "temperature", "tool_choice",
        "tools", "top_logprobs", "top_p", "verbosity", "web_search_options",
    }
)  # fmt: skip
"""The parameters that a request of another protocol is translated to; everything else it holds stays with it."""

_PARTS = ("text", "image_url", "file", "input_audio", "refusal")  # each has one field, of the same name
_MORE_PARTS = ("video_url", "audio_url")  # vLLM's
_TOOL_FIELDS = ("name", "description", "parameters", "strict")
_encoder = msgspec.json.Encoder()


def encode(request: Request, upstream_model: str, stream: bool, *, usage_in_stream: bool = True) -> bytes:
    """Encodes a request.

    One that came in another protocol leaves behind what Chat Completions has no word for.

    Args:
        request: What to ask.
        upstream_model: The model's name at the endpoint.
        stream: Ask for events.
        usage_in_stream: Ask for a last event with the usage; a few old servers refuse that question.
    """
    native = request.native
    foreign = native is not None and native.protocol != NAME
    params = translated_params(request.params) if foreign else request.params
    body: dict[str, Any] = {**params, "model": upstream_model, "messages": sendable(request.messages, foreign)}
    body.pop(MESSAGE_EXTRAS, None)
    body.pop("stream_options", None)
    if stream:
        body["stream"] = True
        if usage_in_stream:
            body["stream_options"] = {"include_usage": True}
    else:
        body.pop("stream", None)
    return _encoder.encode(body)


def translated_params(params: dict[str, Any]) -> dict[str, Any]:
    """Keeps the parameters that Chat Completions documents, and of the tools those that are functions.

    Args:
        params: Of a request in another protocol.
    """
    kept = {name: value for name, value in params.items() if name in SENT}
    if "tools" in kept:
        kept["tools"] = [_function(tool) for tool in kept["tools"] if isinstance(tool.get("function"), dict)]
    if not kept.get("tools"):
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            kept.pop(name, None)
    return kept


def _function(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    return {"type": "function", "function": {name: function[name] for name in _TOOL_FIELDS if name in function}}


def sendable(messages: list[Message], foreign: bool = False) -> list[Message]:
    """Messages as Chat Completions takes them; where nothing has to change, the very same ones.

    Parts of other protocols are left out, and the images of a tool's result follow it in a message of the user's.

    Args:
        messages: The conversation.
        foreign: It came in another protocol: parts keep the fields of Chat Completions only, and the roles are those
            that the templates of all models know.
    """
    if foreign:
        messages = _plainly_spoken(messages)
    if not any(type(message.content) is list for message in messages):
        return messages
    sent: list[Message] = []
    images: list[dict[str, Any]] = []
    for message in messages:
        if images and message.role != "tool":  # all results of a turn come before anything else
            sent.append(Message("user", images))
            images = []
        sent.append(_message(message, images, foreign))
    if images:
        sent.append(Message("user", images))
    return sent


def _plainly_spoken(messages: list[Message]) -> list[Message]:
    """Says with the roles and strings that every model's template takes what another protocol says with more.

    A developer is the system, which speaks at the beginning alone: what it says later is added to what the user says.
    """
    said: list[Message] = []
    for message in messages:
        role = "system" if message.role == "developer" else message.role
        content = _joined(message.content) if role != "user" else message.content
        later = role == "system" and any(one.role != "system" for one in said)
        last = said[-1] if said else None
        if later and last is not None and last.role == "user" and type(last.content) is str and type(content) is str:
            said[-1] = msgspec.structs.replace(last, content=f"{last.content}\n\n{content}")
        else:
            said.append(msgspec.structs.replace(message, role="user" if later else role, content=content))
    return said


def _joined(content: str | list[dict[str, Any]] | None) -> str | list[dict[str, Any]] | None:
    """One text in place of parts that are nothing but text."""
    if type(content) is not list or not content or any(part.get("type") != "text" for part in content):
        return content
    return "\n\n".join(str(part.get("text") or "") for part in content)


def _message(message: Message, images: list[dict[str, Any]], foreign: bool) -> Message:
    content = message.content
    if type(content) is not list:
        return message
    if foreign and content and content[0].get("type") == "tool_result" and content[0].get("is_error"):
        content = _as_failure(content[1:])
    parts = [_part(part, foreign) for part in content if _is_sent(part, foreign)]
    if message.role == "tool":
        images.extend(part for part in parts if part["type"] != "text")
        parts = [part for part in parts if part["type"] == "text"]
    if foreign and message.role != "user":
        content = _joined(parts)
        return msgspec.structs.replace(message, content=content or (None if message.tool_calls else ""))
    if parts == content:
        return message
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        return msgspec.structs.replace(message, content=parts[0]["text"])
    return msgspec.structs.replace(message, content=parts or (None if message.tool_calls else ""))


def _as_failure(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The result of a tool that failed, said in words: Chat Completions has no field for it."""
    place = next((place for place, part in enumerate(parts) if part.get("type") == "text"), None)
    if place is None:
        return [{"type": "text", "text": "Error: the tool failed."}, *parts]
    text = str(parts[place].get("text") or "")
    if "error" in (text.split(maxsplit=1) or [""])[0].lower():  # it says so itself: Error:, <tool_use_error>, KeyError:
        return parts
    return [*parts[:place], {"type": "text", "text": f"Error: {text}"}, *parts[place + 1 :]]


def _is_sent(part: dict[str, Any], foreign: bool) -> bool:
    kind = part.get("type")
    return kind in part and (kind in _PARTS or (not foreign and kind in _MORE_PARTS))


def _part(part: dict[str, Any], foreign: bool) -> dict[str, Any]:
    kind = part["type"]
    return part if len(part) == 2 or not foreign else {"type": kind, kind: part[kind]}
