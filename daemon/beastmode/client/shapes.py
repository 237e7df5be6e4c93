"""What goes into `chat` and what comes out of it, as typed dictionaries."""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class Usage(TypedDict, total=False):
    """Tokens as the provider counted them; None is unknown, never zero."""

    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None


class CacheInfo(TypedDict, total=False):
    """What the cache did for a request."""

    result: Literal["hit_exact", "hit_semantic", "miss", "bypass", "stale"]
    tier: Literal["L1", "L2", "L3", "flight"] | None
    similarity: float | None
    confidence: float | None
    age_s: float | None
    why: str


class Route(TypedDict, total=False):
    """Where a request went, and why."""

    reason: str
    candidates: list[dict[str, Any]]
    attempts: int
    fell_back: bool


class ChatResult(TypedDict, total=False):
    """The result of `chat`: the whole answer, what it cost and where it came from."""

    request_id: str
    text: str
    model: str
    provider: str
    usage: Usage
    cost_usd: float | None
    saved_usd: float | None
    latency_ms: float
    ttft_ms: float | None
    finish_reason: str | None
    cache: CacheInfo
    route: Route
    tool_calls: list[dict[str, Any]]
    session_id: str | None
    sources: list[Source]
    code_blocks: list[CodeBlock]
    context: dict[str, Any] | None


class Source(TypedDict, total=False):
    """A piece of a workspace that an answer was made from, as it lies now."""

    path: str
    sha256: str
    symbol: str
    first_line: int
    last_line: int


class CodeBlock(TypedDict, total=False):
    """A block of code in an answer, with the file that it is meant for."""

    path: str | None
    language: str
    text: str


class Document(TypedDict, total=False):
    """Unsaved text that belongs to a request; it wins over the file on disk."""

    path: str
    text: str
    version: int


class ChatOptions(TypedDict, total=False):
    """What `chat` takes besides the message and the model.

    Attributes:
        session_id: The session to continue; its history goes along.
        workspace: The folder that it is about and that `files` are inside of, an absolute path. Where it is open, what
            belongs to the question goes along.
        files: Paths inside the workspace whose text goes along.
        documents: Unsaved text that goes along.
        retrieve: False: nothing that is found in the workspace goes along.
        opened: Unsaved texts that win over the disk in what is found.
        use_llm: False: the index of the workspace answers, and no model is asked.
        max_tokens: Longest answer.
        temperature: 0 to 2.
        user: A caller of your own, kept apart in the cache.
        tags: Labels for cost reports and budgets.
        cache: `default`, `off` (ask the model, store nothing), `only` (never ask it), `refresh` (ask it and store).
        origin: `test` for what tries models out: it counts in no rate and in no health.
        max_cost_usd: Most that it may cost; where it may cost more, or nobody knows, it is refused.
    """

    session_id: str | None
    workspace: str | None
    files: list[str] | None
    documents: list[Document] | None
    retrieve: bool | None
    opened: list[Document] | None
    use_llm: bool | None
    max_tokens: int | None
    temperature: float | None
    user: str | None
    tags: list[str] | None
    cache: Literal["default", "off", "only", "refresh"] | None
    origin: Literal["person", "test"] | None
    max_cost_usd: float | None
