"""What OpenAI's protocols have in common at the door: how requests are read, usage is told and errors are written."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from beastmode.core.errors import BadInputError, BeastError
from beastmode.core.types import Usage
from beastmode.wire.dialect import Dialect, explained

ENDPOINT_FIELDS = frozenset(
    {
        "apiBase",
        "apiKey",
        "api_base",
        "api_key",
        "api_url",
        "api_version",
        "azure_endpoint",
        "baseURL",
        "baseUrl",
        "base_url",
        "custom_llm_provider",
        "endpoint",
        "endpoint_url",
        "extra_headers",
        "headers",
        "organization",
    }
)
"""Fields with which other gateways let a request choose where it goes; here that is the user's configuration alone."""

PASSED_HEADERS = ("openai-beta",)

_TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
_TYPES |= {402: "insufficient_quota", 422: "invalid_request_error", 429: "rate_limit_error"}
_CODES = {
    "access": "invalid_api_key",
    "authentication": "invalid_api_key",
    "budget": "insufficient_quota",
    "context_too_long": "context_length_exceeded",
    "rate_limited": "rate_limit_exceeded",
    "rate_limited_here": "rate_limit_exceeded",
    "unknown_model": "model_not_found",
}
_decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode


class OpenAIDialect(Dialect, ABC):
    """A protocol whose errors are OpenAI's."""

    def error(self, error: BeastError, status: int) -> bytes:
        """Writes `{"error": {"message", "type", "param", "code"}}`; type and code are the upstream's own, if known."""
        details = error.details
        return encode(
            {
                "error": {
                    "message": explained(error),
                    "type": details.get("upstream_type") or _TYPES.get(status) or _type(status),
                    "param": details.get("upstream_param") or details.get("param"),
                    "code": details.get("upstream_code") or code_of(error),
                }
            }
        )

    def broken(self, error: BeastError, status: int, sent: bytes = b"") -> bytes:
        """Writes the error as the last event; no `[DONE]` follows it."""
        return b"data: " + self.error(error, status) + b"\n\n"


def code_of(error: BeastError) -> str:
    """The word for programs that OpenAI has for an error, or our own kind where it has none."""
    kind = "rate_limited" if error.details.get("cause") == "rate_limited" else error.kind  # it cools down still
    return _CODES.get(kind, kind)


def _type(status: int) -> str:
    return "api_error" if status >= 500 else "invalid_request_error"


class _PromptDetails(msgspec.Struct, omit_defaults=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int


class TokenCounts(msgspec.Struct, omit_defaults=True):
    """A usage object; a count that is not known is null."""

    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


def counted(usage: Usage) -> TokenCounts | None:
    """Makes the usage object of an answer; None where nothing is known.

    Args:
        usage: Tokens.
    """
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    if prompt is None and completion is None:
        return None
    counts = TokenCounts(prompt, completion, None if prompt is None or completion is None else prompt + completion)
    if usage.cached_tokens is not None or usage.cache_write_tokens is not None:
        counts.prompt_tokens_details = _PromptDetails(usage.cached_tokens, usage.cache_write_tokens)
    if usage.reasoning_tokens is not None:
        counts.completion_tokens_details = _CompletionDetails(usage.reasoning_tokens)
    return counts


def read_object(body: bytes) -> dict[str, Any]:
    """Reads a body.

    Args:
        body: JSON, as it came.

    Raises:
        BadInputError: It is no JSON object, or one that chooses an endpoint or a key.
    """
    try:
        given = _decode(body)
    except RecursionError:
        raise BadInputError(
            "The body is nested too deeply.", tips=["send fewer levels of lists and objects in tools and messages"]
        ) from None
    except ValueError as error:
        raise BadInputError(f"The body is not JSON: {error}.", tips=["send one JSON object in UTF-8"]) from None
    if type(given) is not dict:
        raise BadInputError("The body is not a JSON object.", tips=['send {"model": ..., ...}'])
    if not ENDPOINT_FIELDS.isdisjoint(given):
        name = min(ENDPOINT_FIELDS & given.keys())
        raise BadInputError(
            f"{name}: a request can not choose an endpoint or a key.",
            tips=[f"leave {name} out; register the model instead: beast models add MODEL --base-url URL"],
            details={"param": name},
        )
    return given


def wrong(field: str, wanted: str) -> NoReturn:
    """Refuses a request.

    Args:
        field: Which part of it is wrong.
        wanted: What it must be.

    Raises:
        BadInputError: Always.
    """
    raise BadInputError(
        f"{field}: it must be {wanted}.",
        tips=[f"correct the field {field} of the request"],
        details={"param": field},
    )


def read_text(given: Mapping[str, Any], field: str, where: str = "") -> str:
    """Reads a field that holds a string, such as `model` or `user`; empty where it is absent or null.

    Args:
        given: The request, or an object in it.
        field: Its name.
        where: The way to that object, with a dot at its end.

    Raises:
        BadInputError: It holds something else.
    """
    value = given.get(field)
    if value is None:
        return ""
    if type(value) is not str:
        wrong(where + field, "a string")
    return value


def read_stream(given: Mapping[str, Any]) -> bool:
    """Reads `stream`.

    Args:
        given: The request.

    Raises:
        BadInputError: It is neither true nor false.
    """
    value = given.get("stream")
    if value is not None and type(value) is not bool:
        wrong("stream", "true or false")
    return bool(value)


def read_params(given: Mapping[str, Any], apart: frozenset[str]) -> dict[str, Any]:
    """Reads everything else; a field that is not known stays as it is.

    What means the same gets one form, so that the same question has one key whoever asks it.

    Args:
        given: The request.
        apart: Fields that are read elsewhere.

    Raises:
        BadInputError: A known field holds what it can not hold; names it.
    """
    params: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or name in apart:
            continue
        if value == -1 and name in _LENGTHS:  # as local servers have it: no bound
            continue
        check = _KNOWN.get(name)
        if check is not None and not _is(value, check[0]):
            wrong(name, check[1])
        params[name] = value
    if type(params.get("stop")) is str:
        params["stop"] = [params["stop"]]
    if params.get("n") == 1:
        del params["n"]
    return params


_LENGTHS = frozenset({"max_tokens", "max_completion_tokens"})
_NUMBER = ((int, float), "a number")
_COUNT = ((int,), "a whole number that is not negative")
_FLAG = ((bool,), "true or false")
_OBJECT = ((dict,), "an object")
_OBJECTS = ((list,), "a list of objects")
_KNOWN: dict[str, tuple[tuple[type, ...], str]] = {
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "frequency_penalty": _NUMBER,
    "presence_penalty": _NUMBER,
    "max_tokens": _COUNT,
    "max_completion_tokens": _COUNT,
    "top_logprobs": _COUNT,
    "n": _COUNT,
    "best_of": _COUNT,
    "dimensions": _COUNT,
    "parallel_tool_calls": _FLAG,
    "echo": _FLAG,
    "stream_options": _OBJECT,
    "response_format": _OBJECT,
    "logit_bias": _OBJECT,
    "tools": _OBJECTS,
    "functions": _OBJECTS,
    "stop": ((str, list), "a string or a list of strings"),
    "tool_choice": ((str, dict), "a string or an object"),
}


def _is(value: Any, types: tuple[type, ...]) -> bool:
    if type(value) not in types:
        return False
    if type(value) is list:
        inner = str if str in types else dict
        return all(type(one) is inner for one in value)
    return types != _COUNT[0] or value >= 0
