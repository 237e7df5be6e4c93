"""A request in OpenAI's Responses, read into the words that all doors share.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from beastmode.core.errors import BadInputError
from beastmode.core.native import Native
from beastmode.core.types import Request
from beastmode.wire import responses_tools
from beastmode.wire.responses_input import conversation, tool_list

NAME = "openai_responses"

_FORBIDDEN = (
    "api_base", "base_url", "api_key", "api_version", "organization", "custom_llm_provider", "extra_headers", "headers",
)  # fmt: skip
_HEADERS = ("openai-beta",)
_READ = frozenset({
    "model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "max_output_tokens", "include",
    "top_logprobs",
})  # fmt: skip
_TRAVEL = frozenset({
    "stream", "stream_options", "store", "metadata", "client_metadata", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention", "safety_identifier", "user", "background", "previous_response_id", "conversation",
    "prompt",
})  # fmt: skip
_MEANS_OTHER_ELSEWHERE = frozenset({"context_management"})
_LOGPROBS = "message.output_text.logprobs"
_SWITCH, _NUMBER, _TEXT, _OBJECT, _LIST = "true or false", "a number", "a text", "an object", "a list"
_KINDS: dict[str, tuple[type[Any] | tuple[type[Any], ...], str]] = {
    "model": (str, _TEXT),
    "instructions": (str, _TEXT),
    "stream": (bool, _SWITCH),
    "store": (bool, _SWITCH),
    "background": (bool, _SWITCH),
    "parallel_tool_calls": (bool, _SWITCH),
    "temperature": ((int, float), _NUMBER),
    "top_p": ((int, float), _NUMBER),
    "top_logprobs": (int, "a whole number"),
    "max_output_tokens": (int, "a whole number"),
    "text": (dict, _OBJECT),
    "reasoning": (dict, _OBJECT),
    "metadata": (dict, _OBJECT),
    "include": (list, _LIST),
    "tool_choice": ((str, dict), "a text or an object"),
    "user": (str, _TEXT),
}
_NOT_HERE = {
    "previous_response_id": "no response is stored here that could be continued",
    "conversation": "no conversation is stored here",
    "prompt": "templates are kept by OpenAI, not here",
    "background": "an answer is given at once or not at all",
}


def read(body: bytes, headers: Mapping[str, str]) -> Request:
    """Reads a request.

    Args:
        body: JSON, as it came.
        headers: The request's headers by lower-case name.

    Raises:
        BadInputError: It is no request of this protocol, or asks for what is not done here; names the field.
    """
    fields = _fields(body)
    said = conversation(fields.get("input"), fields.get("instructions"))
    params = {
        name: value for name, value in fields.items() if value is not None and name not in _READ and name not in _TRAVEL
    }
    for name in params.keys() & _MEANS_OTHER_ELSEWHERE:
        params[f"responses_{name}"] = params.pop(name)
    _tools(fields, said.tools, params)
    _words(fields, params)
    if said.kept:
        params["responses_items"] = said.kept
    if params.get("truncation") == "disabled":  # as if nothing were said
        del params["truncation"]
    return Request(
        model=fields.get("model") or "",
        messages=said.messages,
        params=params,
        user=fields.get("user") or "",
        native=Native(NAME, body, {name: headers[name] for name in _HEADERS if name in headers}),
        stream=fields.get("stream") is True,
    )


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(body)
    except RecursionError:
        raise BadInputError(
            "The body is nested too deeply.", tips=["Send fewer levels of lists and objects."]
        ) from None
    except ValueError as error:
        raise BadInputError(f"The body is no JSON: {error}.", tips=["Send a JSON object in UTF-8."]) from None
    if not isinstance(fields, dict):
        raise BadInputError("The body is no JSON object.", tips=['Send {"model": ..., "input": ...}.'])
    for name in _FORBIDDEN:
        if name in fields:
            raise BadInputError(
                f"`{name}` is not taken from a request: the daemon alone knows endpoints and keys.",
                tips=["Register the endpoint: beast models add custom:NAME --base-url URL, then name that model."],
            )
    for name, (kind, words) in _KINDS.items():
        value = fields.get(name)
        if value is not None and (not isinstance(value, kind) or (type(value) is bool and kind is not bool)):
            raise BadInputError(f"`{name}` is not {words}.", tips=[f"Send `{name}` as {words}."])
    for name, why in _NOT_HERE.items():
        if fields.get(name):
            raise BadInputError(
                f"`{name}` can not be used: {why}.",
                tips=[f"Send the whole conversation in `input`, and leave out `{name}`."],
            )
    return fields


def _tools(fields: dict[str, Any], more: list[dict[str, Any]], params: dict[str, Any]) -> None:
    tools = [*tool_list("tools", fields.get("tools")), *more]
    functions = responses_tools.functions(tools)
    chosen, functions = responses_tools.choice(fields.get("tool_choice"), functions)
    untranslated = responses_tools.untranslated(tools)
    if untranslated:
        params["responses_tools"] = untranslated
    if functions:
        params["tools"] = functions
    else:
        params.pop("parallel_tool_calls", None)  # says something about tools, and is refused without
    if chosen is None and fields.get("tool_choice") is not None:
        params["responses_tool_choice"] = fields["tool_choice"]
    elif chosen is not None and functions:
        params["tool_choice"] = chosen


def _words(fields: dict[str, Any], params: dict[str, Any]) -> None:
    """Gives parameters their names in the chat format; what that does not name stays as it is."""
    if fields.get("max_output_tokens") is not None:
        params["max_tokens"] = fields["max_output_tokens"]
    text = _said(fields.get("text"))
    form = text.pop("format", None)
    if isinstance(form, dict):
        _form(form, params)
    elif form is not None:
        raise BadInputError("`text.format` is no object.", tips=['Send `{"type": "json_schema", ...}`.'])
    if "verbosity" in text:
        params["verbosity"] = text.pop("verbosity")
    reasoning = _said(fields.get("reasoning"))
    if "effort" in reasoning:
        params["reasoning_effort"] = reasoning.pop("effort")
    include = [one for one in fields.get("include") or () if one != _LOGPROBS]
    if fields.get("top_logprobs") or len(include) < len(fields.get("include") or ()):
        params["logprobs"] = True
        if fields.get("top_logprobs"):
            params["top_logprobs"] = fields["top_logprobs"]
    params |= {name: rest for name, rest in (("text", text), ("reasoning", reasoning), ("include", include)) if rest}


def _form(form: dict[str, Any], params: dict[str, Any]) -> None:
    if form.get("type") == "json_schema":
        schema = {name: value for name, value in form.items() if name != "type" and value is not None}
        params["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif form.get("type") != "text":
        params["response_format"] = form


def _said(given: Any) -> dict[str, Any]:
    return {name: value for name, value in (given or {}).items() if value is not None}
