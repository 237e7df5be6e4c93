"""OpenAI's older Completions, upstream: a text is continued, or a gap in it filled.

Their streams are read by `ChatStream`, which knows both.
Source: https://platform.openai.com/docs/api-reference/completions
"""

from __future__ import annotations

from typing import Any

import msgspec

from beastmode.core.errors import BadInputError, MalformedReplyError
from beastmode.core.types import Completion, Message, Request
from beastmode.wire.openai_chat import translated_params
from beastmode.wire.openai_chat_reply import (
    Choice,
    decoded,
    error_in_reply,
    finish,
    present,
    reply_decoder,
    stop_sequence,
    usage,
)

PROTOCOL = "OpenAI Completions"
NAME = "openai_completions"
"""As in `Native.protocol`."""

_CONTINUE = (
    "You continue texts and programs. Reply with nothing but what comes next, from the very character at which the "
    "text ends: no introduction, no explanation, no code fence, and nothing of the text itself."
)
_FILL = (
    "You fill the gap in a text or a program. You are given what stands before the gap and what stands after it. Reply "
    "with nothing but what belongs in the gap: no introduction, no explanation, no code fence, and nothing of what "
    "stands before or after it."
)
_NOT_FOR_CHAT = ("suffix", "prompt", "echo", "best_of", "logprobs")
_encoder = msgspec.json.Encoder()


def encode(request: Request, upstream_model: str, stream: bool, *, usage_in_stream: bool = True) -> bytes:
    """Encodes a request.

    Args:
        request: What to ask.
        upstream_model: The model's name at the endpoint.
        stream: Ask for events.
        usage_in_stream: Ask for a last event with the usage.
    """
    body: dict[str, Any] = {"model": upstream_model, "prompt": prompt_of(request), **request.params}
    body["model"] = upstream_model
    body.pop("stream", None)
    body.pop("stream_options", None)
    if stream:
        body["stream"] = True
        if usage_in_stream:
            body["stream_options"] = {"include_usage": True}
    return _encoder.encode(body)


def prompt_of(request: Request) -> str:
    """The text that is to be continued.

    Args:
        request: Of the kind `completion`.
    """
    content = request.messages[-1].content if request.messages else ""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content)
    return content or ""


def decode(raw: bytes) -> Completion:
    """Reads a whole reply.

    Args:
        raw: Its body.

    Raises:
        MalformedReplyError: It is no completion.
        ErrorInReplyError: It is an error object, sent with a status that says otherwise.
    """
    reply = decoded(reply_decoder, raw)
    if present(reply.error):
        raise error_in_reply(raw)
    if not reply.choices or any(choice.text is None for choice in reply.choices):
        raise MalformedReplyError("It holds no choice with a text.")
    answers = [_answer(choice) for choice in reply.choices]
    completion = answers[0]
    completion.choices = answers[1:]
    completion.usage = usage(reply.usage)
    completion.model = reply.model or ""
    return completion


def _answer(choice: Choice) -> Completion:
    return Completion(
        text=choice.text or "",
        finish_reason=finish(choice.finish_reason),
        stop_sequence=stop_sequence(choice),
        logprobs=choice.logprobs or None,
    )


def in_a_chat_alone(request: Request) -> Request:
    """What a provider is asked that knows chats and nothing else.

    Args:
        request: Of any kind.

    Raises:
        BadInputError: It can not be asked in a chat.
    """
    if request.kind == "embedding":
        raise BadInputError(
            f"{request.model}: it gives no embeddings.",
            tips=["ask a model for embeddings, at an endpoint that speaks OpenAI's protocol: beast models list"],
            details={"param": "model"},
        )
    return as_chat(request) if request.kind == "completion" else request


def _told(request: Request) -> list[str]:
    """What is said about the text before it; only a chat has a place for that."""
    return [one.content for one in request.messages[:-1] if isinstance(one.content, str)]


def as_chat(request: Request) -> Request:
    """Asks for the same in a chat, for providers that have no endpoint for completions.

    Args:
        request: Of the kind `completion`.

    Returns:
        A request of the kind `chat`, without the bytes it came in.

    Raises:
        BadInputError: It holds several prompts, or tokens instead of text.
    """
    if "prompt" in request.params:
        raise BadInputError(
            "prompt: this model is asked in chats, which take one text at a time.",
            tips=["send each prompt in a request of its own, as a string"],
            details={"param": "prompt"},
        )
    prefix, suffix = prompt_of(request), request.params.get("suffix")
    if suffix:
        text = f"<before_the_gap>\n{prefix}\n</before_the_gap>\n<after_the_gap>\n{suffix}\n</after_the_gap>"
    else:
        text = prefix
    task = "\n\n".join([_FILL if suffix else _CONTINUE, *_told(request)])
    params = {name: value for name, value in request.params.items() if name not in _NOT_FOR_CHAT}
    return msgspec.structs.replace(
        request,
        kind="chat",
        native=None,
        messages=[
            Message("system", task),
            Message("user", text),
        ],
        params=translated_params(params),
    )
