"""What each protocol's requests hold, for the OpenAPI document; further fields go on to the provider as they are."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Tokens = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Object = dict[str, Any]


class ChatMessage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One message of a chat.

    Attributes:
        role: Who speaks.
        content: Text, or typed parts.
        name: Who speaks, where a role has several.
        tool_calls: What an assistant called.
        tool_call_id: Which call a tool answers.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Object] | None = None
    name: str | None = None
    tool_calls: list[Object] | None = None
    tool_call_id: str | None = None


class Chat(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A request in OpenAI's Chat Completions.

    Attributes:
        model: A model's id, an alias, or `auto`.
        messages: The conversation, oldest first.
        stream: Send the answer as events.
        stream_options: `include_usage` asks for a last event with the usage.
        max_tokens: Longest answer.
        max_completion_tokens: Longest answer, reasoning among it.
        temperature: Variety.
        top_p: Variety.
        n: How many answers.
        stop: Texts at which an answer ends.
        seed: For answers that can be repeated.
        tools: What the model may call.
        tool_choice: What it must call.
        response_format: The shape of the answer.
        user: Who asks; a scope that no stored answer crosses.
    """

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    model: str = ""
    stream: bool = False
    stream_options: Object | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    tools: list[Object] | None = None
    tool_choice: str | Object | None = None
    response_format: Object | None = None
    user: str | None = None


class Completion(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A request in OpenAI's Completions.

    Attributes:
        model: A model's id, an alias, or `auto`.
        prompt: The text to continue.
        suffix: The text after the gap.
        stream: Send the answer as events.
        max_tokens: Longest answer.
        temperature: Variety.
        stop: Texts at which an answer ends.
    """

    prompt: str | list[Any]
    model: str = ""
    suffix: str | None = None
    stream: bool = False
    max_tokens: Tokens | None = None
    temperature: Temperature | None = None
    stop: str | list[str] | None = None


class Embedding(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A request for vectors.

    Attributes:
        model: A model's id or an alias.
        input: One text or several.
        encoding_format: How the vectors are written.
        dimensions: Numbers in a vector, where the model can choose.
    """

    input: str | list[Any]
    model: str = ""
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None


class Responses(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A request in OpenAI's Responses; nothing is stored.

    Attributes:
        model: A model's id, an alias, or `auto`.
        input: A text, or the items of the conversation.
        instructions: The system prompt.
        stream: Send the answer as events.
        max_output_tokens: Longest answer.
        temperature: Variety.
        tools: What the model may call.
        store: Accepted and not done.
    """

    input: str | list[Object]
    model: str = ""
    instructions: str | None = None
    stream: bool = False
    max_output_tokens: Tokens | None = None
    temperature: Temperature | None = None
    tools: list[Object] | None = None
    store: bool | None = None


class Turn(msgspec.Struct, kw_only=True):
    """One turn of a conversation in Anthropic's Messages.

    Attributes:
        role: Who speaks.
        content: Text, or content blocks.
    """

    role: Literal["user", "assistant"]
    content: str | list[Object]


class CountTokens(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A prompt in Anthropic's Messages.

    Attributes:
        model: A model's id, an alias, or `auto`.
        messages: The conversation, oldest first.
        system: The system prompt.
        tools: What the model may call.
    """

    messages: Annotated[list[Turn], Meta(min_length=1)]
    model: str = ""
    system: str | list[Object] | None = None
    tools: list[Object] | None = None


class Messages(CountTokens, kw_only=True, omit_defaults=True):
    """A request in Anthropic's Messages.

    Attributes:
        max_tokens: Longest answer.
        stream: Send the answer as events.
        temperature: Variety.
        stop_sequences: Texts at which an answer ends.
        tool_choice: What it must call.
        thinking: Visible reasoning.
    """

    max_tokens: Tokens
    stream: bool = False
    temperature: Share | None = None
    stop_sequences: list[str] | None = None
    tool_choice: Object | None = None
    thinking: Object | None = None
