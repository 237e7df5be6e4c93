"""Replies of OpenAI's Chat Completions in one piece, and what plain replies and streams have in common.

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from beastmode.core.errors import MalformedReplyError
from beastmode.core.types import Billing, Completion, Usage
from beastmode.wire.faults import ErrorInReplyError

T = TypeVar("T")
_FINISH = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "tool_calls",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "max_tokens": "length",
    "model_length": "length",
}
_STATUS_OF_ERROR = {
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "exceed_context_size_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
}
_NOTHING = frozenset({b"", b"null", b"[]", b"{}", b'""'})
_ABSENT = msgspec.Raw()


class Details(msgspec.Struct):
    """What kinds of tokens are among a count."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class Counts(msgspec.Struct):
    """A usage object; DeepSeek counts what was read from its cache beside the details."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None
    prompt_cache_hit_tokens: int | None = None


class Said(msgspec.Struct):
    """A message, or what a chunk adds to it. What is raw here has no field in a Completion."""

    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    function_call: msgspec.Raw = _ABSENT
    annotations: msgspec.Raw = _ABSENT
    audio: msgspec.Raw = _ABSENT
    images: msgspec.Raw = _ABSENT
    reasoning_details: msgspec.Raw = _ABSENT

    def says_more(self) -> bool:
        """It holds something that a Completion can not say."""
        calls = self.tool_calls
        if self.refusal or (calls and any(call.get("custom") for call in calls)):
            return True
        if self.function_call is self.annotations is self.audio is self.images is self.reasoning_details is _ABSENT:
            return False
        return any(
            map(something, (self.function_call, self.annotations, self.audio, self.images, self.reasoning_details))
        )


class Choice(msgspec.Struct):
    """One of the answers, or a piece of one; `text` is that of the older Completions."""

    index: int = 0
    text: str | None = None
    message: Said | None = None
    delta: Said | None = None
    finish_reason: str | None = None
    stop_reason: Any = None  # vLLM names the text at which it ended
    logprobs: dict[str, Any] | None = None


class ChatReply(msgspec.Struct):
    """A whole reply, or a chunk of a stream."""

    choices: list[Choice] | None = None
    usage: msgspec.Raw = _ABSENT
    model: str | None = None
    error: msgspec.Raw = _ABSENT
    service_tier: Any = None


class _ModelName(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: list[_ModelName] | None


reply_decoder = msgspec.json.Decoder(ChatReply)
_usage = msgspec.json.Decoder(Counts)
_models = msgspec.json.Decoder(_ModelList)


def decode(raw: bytes) -> Completion:
    """Reads a whole reply.

    Args:
        raw: Its body.

    Raises:
        MalformedReplyError: It is no chat completion.
        ErrorInReplyError: It is an error object, sent with a status that says otherwise.
    """
    reply = decoded(reply_decoder, raw)
    if present(reply.error):
        raise error_in_reply(raw)
    if not reply.choices or any(choice.message is None for choice in reply.choices):
        raise MalformedReplyError("It holds no choice with a message.")
    answers = [_answer(choice) for choice in reply.choices]
    completion = answers[0]
    completion.choices = answers[1:]
    completion.usage = usage(reply.usage)
    completion.billing = billing(reply.service_tier)
    completion.model = reply.model or ""
    return completion


def _answer(choice: Choice) -> Completion:
    said = choice.message
    assert said is not None
    text, reasoning = texts(said.content)
    finish_reason = finish(choice.finish_reason)
    if said.refusal and not text:
        text, finish_reason = said.refusal, "content_filter"
    return Completion(
        text=text,
        finish_reason=finish_reason,
        tool_calls=[tool_call(call) for call in said.tool_calls or ()],
        reasoning=reasoning or reasoning_of(said),
        stop_sequence=stop_sequence(choice),
        logprobs=choice.logprobs or None,
        whole=not said.says_more(),
    )


def model_names(raw: bytes) -> list[str]:
    """Reads a list of models (`{"data": [{"id": ...}]}`).

    Args:
        raw: Its body.

    Raises:
        MalformedReplyError: It is no such list.
    """
    return [model.id for model in decoded(_models, raw).data or ()]


def usage(raw: msgspec.Raw) -> Usage:
    """Reads a usage object; one that is missing or odd is unknown, and costs no answer.

    Args:
        raw: The object, as it came.
    """
    if not present(raw):
        return Usage()
    try:
        found = _usage.decode(raw)
    except (ValueError, RecursionError):
        return Usage()
    details = found.prompt_tokens_details or found.completion_tokens_details
    if details is None and found.prompt_cache_hit_tokens is None:
        return Usage(_count(found.prompt_tokens), _count(found.completion_tokens))
    prompt, completion = found.prompt_tokens_details or Details(), found.completion_tokens_details or Details()
    cached = prompt.cached_tokens if prompt.cached_tokens is not None else found.prompt_cache_hit_tokens
    return Usage(
        prompt_tokens=_count(found.prompt_tokens),
        completion_tokens=_with_reasoning(found, _count(completion.reasoning_tokens)),
        cached_tokens=_count(cached),
        cache_write_tokens=_count(prompt.cache_write_tokens),
        reasoning_tokens=_count(completion.reasoning_tokens),
    )


def _with_reasoning(found: Counts, reasoning: int | None) -> int | None:
    """All tokens of the answer: some servers count the reasoning beside them, as their total tells."""
    answer = _count(found.completion_tokens)
    if answer is None or not reasoning or found.prompt_tokens is None:
        return answer
    beside = found.total_tokens == found.prompt_tokens + answer + reasoning
    return answer + reasoning if beside else answer


def billing(service_tier: Any) -> Billing | None:
    """What the price depends on beside the tokens.

    Args:
        service_tier: As the reply has it.
    """
    return Billing(service_tier) if isinstance(service_tier, str) and service_tier else None


def finish(reason: str | None) -> str | None:
    """Names a finish reason in our words; one that is not known stays as it came."""
    return _FINISH.get(reason, reason) if reason else None


def stop_sequence(choice: Choice) -> str | None:
    """The text at which an answer ended, where the server names it."""
    reason = choice.stop_reason
    return reason if isinstance(reason, str) and reason and choice.finish_reason == "stop" else None


def error_in_reply(raw: bytes) -> ErrorInReplyError:
    """Finds the HTTP status that an error object stands for (502 where it does not say).

    Args:
        raw: `{"error": {"message", "type", "code"}}`, as it came.
    """
    try:
        error = msgspec.json.decode(raw).get("error")
    except (ValueError, RecursionError):
        error = None
    detail = error if isinstance(error, dict) else {}
    for word in (detail.get("code"), detail.get("type")):
        number = int(word) if isinstance(word, int) or (isinstance(word, str) and word.isdecimal()) else None
        if number is not None and 400 <= number < 600:
            return ErrorInReplyError(number, raw)
        if isinstance(word, str) and word in _STATUS_OF_ERROR:
            return ErrorInReplyError(_STATUS_OF_ERROR[word], raw)
    return ErrorInReplyError(502, raw)


def decoded(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    """Decodes a reply or a chunk.

    Args:
        decoder: Of its type.
        raw: Its bytes.

    Raises:
        MalformedReplyError: It is nothing of that type.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise MalformedReplyError(f"A field is of the wrong type: {error}.") from None
    except (ValueError, RecursionError):
        raise MalformedReplyError("It is not JSON.") from None


def present(raw: msgspec.Raw) -> bool:
    """The field is there and is not null."""
    return raw is not _ABSENT and bytes(raw) not in (b"", b"null")


def something(raw: msgspec.Raw) -> bool:
    """The field is there and is neither null nor empty."""
    return bytes(raw) not in _NOTHING


def _count(tokens: int | None) -> int | None:
    return tokens if tokens is not None and tokens >= 0 else None


def texts(content: str | list[dict[str, Any]] | None) -> tuple[str, str]:
    """Text and reasoning of a content; Mistral's reasoning models send a list of typed parts."""
    if content is None or isinstance(content, str):
        return content or "", ""
    text = "".join(str(part.get("text") or "") for part in content if part.get("type") != "thinking")
    thinking = (part.get("thinking") for part in content if part.get("type") == "thinking")
    return text, "".join(texts(thought)[0] for thought in thinking if isinstance(thought, str | list))


def reasoning_of(said: Said) -> str:
    """DeepSeek and vLLM call it `reasoning_content`, Ollama and OpenRouter `reasoning`."""
    return said.reasoning_content or (said.reasoning if isinstance(said.reasoning, str) else "")


def tool_call(call: dict[str, Any]) -> dict[str, Any]:
    """A tool call with all its fields, its arguments a string (some servers send them as an object)."""
    function = call.get("function") if isinstance(call.get("function"), dict) else {}
    arguments = function.get("arguments") if isinstance(function, dict) else None
    if arguments is not None and not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments).decode()
    kept = {key: value for key, value in call.items() if key != "index"}
    named = {"name": str((function or {}).get("name") or ""), "arguments": arguments or ""}
    return {**kept, "id": call.get("id") or "", "type": call.get("type") or "function", "function": named}
