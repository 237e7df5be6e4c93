"""`GET /v1/models`: the models in the shape that the asking program knows: OpenAI's, Anthropic's or Codex's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from beastmode.core.deployments import Model
from beastmode.core.errors import BeastError, UnknownModelError
from beastmode.routing.names import resolve
from beastmode.servers.http.exchange import Exchange
from beastmode.servers.http.headers import status_of
from beastmode.servers.services import Services
from beastmode.wire.anthropic_door import AnthropicMessages
from beastmode.wire.openai_chat_door import OpenAIChat

PREFIX = "/v1/models/"
CODEX_CONTEXT_TOKENS = 128_000
CODEX_CUT_BYTES = 10_000
CODEX_INSTRUCTIONS = """\
You are a coding agent in a terminal. You work in the user's current folder, with the tools that you are given, until
the task is done or you need an answer that only the user has.

- Look before you act: list files, search, and read what you are about to change. Do not guess what a file holds.
- Make the smallest change that does the whole task, in the style of the code around it. Change nothing else.
- Edit files with the tool `apply_patch`. A patch looks like this:

*** Begin Patch
*** Update File: path/to/file.py
@@ def greet():
-    print("Hi")
+    print("Hello")
*** Add File: path/to/new.txt
+first line
*** Delete File: path/to/old.txt
*** End Patch

  Lines that stay begin with a blank, removed ones with `-`, added ones with `+`; show three lines of context around a
  change. Paths are relative. Where there is no such tool, edit through the shell.
- Afterwards check what you did: run the tests or the program if there are any, and read what they print.
- Never delete or overwrite the user's work, and never commit, push or install anything that was not asked for.
- Answer in a few plain sentences: what you changed and where, what you checked, what is left.
"""
_AUTO = Model(id="auto", deployments=[])


class Listing:
    """Lists models over HTTP.

    Args:
        services: The daemon's parts.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def all(self, exchange: Exchange) -> None:
        """Answers `GET /v1/models`."""
        models = [_AUTO, *self._services.registry.list()]
        if "client_version" in exchange.query:
            body: Any = {"models": [_codex(model, place) for place, model in enumerate(models)]}
        elif "anthropic-version" in exchange.headers:
            body = _anthropic_page(models, exchange.query)
        else:
            body = {"object": "list", "data": [_openai(model) for model in models]}
        exchange.reply(200, msgspec.json.encode(body))

    def one(self, exchange: Exchange) -> None:
        """Answers `GET /v1/models/{id}`."""
        name = exchange.path.removeprefix(PREFIX)
        registry = self._services.registry
        named = resolve(name, registry, self._services.settings.routing)
        try:
            model = _AUTO if named == "auto" else registry.get(named)
        except UnknownModelError as error:
            self._refuse(exchange, error)
            return
        shape = _anthropic if "anthropic-version" in exchange.headers else _openai
        exchange.reply(200, msgspec.json.encode(shape(model)))

    @staticmethod
    def _refuse(exchange: Exchange, error: BeastError) -> None:
        dialect = AnthropicMessages() if "anthropic-version" in exchange.headers else OpenAIChat()
        status = status_of(error)
        exchange.reply(status, dialect.error(error, status))


def _openai(model: Model) -> dict[str, Any]:
    owner = model.id.partition(":")[0] if model.deployments else "beastmode"
    return {"id": model.id, "object": "model", "created": _added_s(model), "owned_by": owner}


def _anthropic(model: Model) -> dict[str, Any]:
    at = datetime.fromtimestamp(_added_s(model), UTC).isoformat().replace("+00:00", "Z")
    return {"type": "model", "id": model.id, "display_name": model.id, "created_at": at}


def _anthropic_page(models: list[Model], query: Mapping[str, str]) -> dict[str, Any]:
    """One page, as `limit`, `after_id` and `before_id` say."""
    ids = [model.id for model in models]
    limit = int(query["limit"]) if query.get("limit", "").isdecimal() else len(models)
    first, end = 0, len(models)
    if query.get("after_id") in ids:
        first = ids.index(query["after_id"]) + 1
    if query.get("before_id") in ids:
        end = ids.index(query["before_id"])
        first = max(first, end - limit)
    page = models[first:end][: max(1, limit)]
    return {
        "data": [_anthropic(model) for model in page],
        "has_more": first + len(page) < end,
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }


def _codex(model: Model, place: int) -> dict[str, Any]:
    """An entry of the catalogue that Codex asks for with `?client_version=`; the first is its default."""
    known = [one.limits.context_tokens for one in model.deployments if one.limits.context_tokens]
    return {
        "slug": model.id,
        "display_name": model.id,
        "description": "whichever registered model fits best" if model is _AUTO else "registered with BEAST MODE",
        "default_reasoning_level": None,
        "supported_reasoning_levels": [],
        "shell_type": "shell_command",
        "visibility": "list",
        "supported_in_api": True,
        "priority": place,
        "upgrade": None,
        "base_instructions": CODEX_INSTRUCTIONS,
        "supports_reasoning_summaries": False,
        "default_reasoning_summary": "none",
        "support_verbosity": False,
        "default_verbosity": None,
        "apply_patch_tool_type": "freeform",
        "truncation_policy": {"mode": "bytes", "limit": CODEX_CUT_BYTES},
        "supports_parallel_tool_calls": True,
        "context_window": min(known, default=CODEX_CONTEXT_TOKENS),
        "experimental_supported_tools": [],
        "input_modalities": ["text", "image"],
    }


def _added_s(model: Model) -> int:
    try:
        return int(datetime.fromisoformat(model.added_at).timestamp())
    except ValueError:
        return 0
