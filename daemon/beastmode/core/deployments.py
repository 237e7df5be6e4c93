"""What is registered: a model, where it is served, what it costs there and what it can take."""

from __future__ import annotations

import msgspec


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model costs, in USD per million tokens; None is unknown.

    Attributes:
        prompt: Prompt tokens.
        completion: Completion tokens.
        cached: Prompt tokens read from the provider's prompt cache; None: as `prompt`.
        cache_write: Prompt tokens written to it; None: as `prompt`.
        cache_write_1h: Prompt tokens written to it for an hour; None: as `cache_write`.
        reasoning: Completion tokens spent on reasoning; None: as `completion`.
        per_second: USD for each second of the call, beside the tokens, which are free where they have no price.
        batch: Share of all this that a request in a batch or flex tier costs, 0.5 for half; None: all of it.
    """

    prompt: float | None = None
    completion: float | None = None
    cached: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    reasoning: float | None = None
    per_second: float | None = None
    batch: float | None = None


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a deployment can take.

    Attributes:
        context_tokens: Longest prompt and answer together.
        max_concurrent: Requests at once.
    """

    context_tokens: int | None = None
    max_concurrent: int | None = None


class Deployment(msgspec.Struct, kw_only=True):
    """A model at an endpoint: what a provider plugin is asked to call.

    Attributes:
        id: Unique name, `MODEL@HOST:PORT` or the model's id.
        model: The id of the model it serves, such as `custom:qwen`.
        provider: Name of the provider plugin that speaks its protocol.
        base_url: Where it is, without a trailing slash; empty for a model in a child process.
        upstream_model: The model's name there.
        has_key: A key for it is in the vault.
        price: The user's own price, which wins over the table.
        limits: What it can take.
    """

    id: str
    model: str
    provider: str
    base_url: str = ""
    upstream_model: str = ""
    has_key: bool = False
    price: Price | None = None
    limits: Limits = Limits()


class Model(msgspec.Struct, kw_only=True):
    """A registered model.

    Attributes:
        id: `custom:NAME`, `openai:...`, `anthropic:...` or `local:NAME`.
        deployments: Where it is served, in order of preference.
        fallback: Models that may stand in for it, because the user said so.
        added_at: RFC 3339, UTC.
    """

    id: str
    deployments: list[Deployment]
    fallback: list[str] = []
    added_at: str = ""
