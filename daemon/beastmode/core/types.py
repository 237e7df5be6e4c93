"""The words every part shares: request, completion, usage, endpoint, deployment, answer, ledger row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

from beastmode.core.native import Native, Reply

Origin = Literal["person", "warming", "shadow", "judge", "probe", "test"]
Outcome = Literal["success", "failure", "refused", "cancelled"]
Kind = Literal["chat", "completion", "embedding"]
CacheMode = Literal["default", "off", "only", "refresh"]
CacheResult = Literal["hit_exact", "hit_semantic", "miss", "bypass", "stale"]
Tier = Literal["L1", "L2", "L3", "flight"]


class Message(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """One message of a conversation, in the shape of OpenAI's chat format.

    Attributes:
        role: system, developer, user, assistant or tool.
        content: Text, or a list of typed parts; None where only tools were called.
        name: Who speaks, where a role has several.
        tool_calls: The tools that an assistant message called, as the format has them.
        tool_call_id: Which call a tool message answers.
    """

    role: str
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class Digest(msgspec.Struct, frozen=True):
    """A file or document that a request names.

    Attributes:
        path: Path inside the workspace.
        sha256: Digest of the bytes that were read, in hex.
    """

    path: str
    sha256: str


class Piece(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of a workspace that was found for a question and shown to the model.

    Attributes:
        path: Path inside the workspace, with slashes.
        sha256: Digest of its text in UTF-8, in hex; of the file's bytes where it is all of the file.
        symbol: The function, class or heading that it is, such as `Cache.get`; empty: none.
        first_line: Where it begins now, from 1.
        last_line: Where it ends now.
        whole: It is all of the file.
    """

    path: str
    sha256: str
    symbol: str = ""
    first_line: int = 0
    last_line: int = 0
    whole: bool = False


class Gathered(msgspec.Struct, frozen=True):
    """What was found in the workspace for a request that no stored answer fits.

    Attributes:
        messages: What is sent in place of the request's own messages.
        pieces: What was added; the answer holds as long as they are what they were.
    """

    messages: list[Message]
    pieces: list[Piece]


Gather = Callable[[], Awaitable[Gathered]]


class Request(msgspec.Struct, kw_only=True):
    """One request, whichever door it came through.

    The first group shapes the answer and joins the cache key; the second says who asks and how.

    Attributes:
        model: `auto` or the id of a model.
        messages: The conversation, oldest first.
        params: Everything else that shapes the answer, by its name in OpenAI's chat format
            (max_tokens, temperature, top_p, stop, tools, response_format, seed, ...).
        workspace: The workspace it is about, an absolute path.
        user: The caller; a scope that no answer crosses.
        digests: Files and documents that were attached.
        kind: What is asked for. `completion`: the last user text is continued, up to `params["suffix"]`; `embedding`:
            `params["input"]` becomes vectors.
        gather: Finds what of the workspace belongs to the question. Asked only where no stored answer holds; what it
            finds joins no key and is kept with the answer. That there is one joins the key. None: nothing is added.
            Where there is one, `workspace` is the root of an open workspace, which the pieces' paths lie in.
        opened: Unsaved texts of the workspace, by path: they win over the disk where a stored answer's pieces are
            compared. They join no key.
        native: The request as it came over HTTP; its content is that of `messages` and `params`.
        max_cost_usd: Most that it may cost; None: no bound.
        stream: The caller wants the text as it comes.
        cache: What the caller allows the cache to do.
        origin: Who caused it: a person, or the daemon itself.
        tags: Free labels for cost reports and budgets.
        session_id: The chat session it continues.
        client: The door it came through.
        traceparent: The caller's span, in the words of W3C Trace Context; None: it named none.
        request_id: Set by the gateway.
    """

    model: str
    messages: list[Message]
    params: dict[str, Any] = {}
    workspace: str | None = None
    user: str = ""
    digests: list[Digest] = []
    kind: Kind = "chat"
    gather: Gather | None = None
    opened: dict[str, str] = {}

    native: Native | None = None
    max_cost_usd: float | None = None
    stream: bool = False
    cache: CacheMode = "default"
    origin: Origin = "person"
    tags: list[str] = []
    session_id: str | None = None
    client: str = "socket"
    traceparent: str | None = None
    request_id: str = ""


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the provider counted them; None is unknown, never zero.

    Attributes:
        prompt_tokens: All tokens of the prompt, those read from or written to a prompt cache among them.
        completion_tokens: All tokens of the answer, reasoning among them.
        cached_tokens: Prompt tokens read from the provider's prompt cache.
        cache_write_tokens: Prompt tokens written to it.
        reasoning_tokens: Completion tokens spent on hidden reasoning.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class Billing(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a provider says, beside the tokens, that the price of a call depends on.

    Attributes:
        service_tier: What it served the call as: default, flex, priority, batch, fast, ...; empty: it did not say.
        cache_write_1h_tokens: Those of the written tokens that are kept for an hour.
    """

    service_tier: str = ""
    cache_write_1h_tokens: int | None = None


class Completion(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A whole answer of a provider, in no protocol's shape.

    Attributes:
        text: The text.
        finish_reason: stop, length, tool_calls, content_filter, or None where the provider did not say.
        usage: Tokens.
        model: The model's name as the provider gave it.
        tool_calls: Tool calls in the shape of OpenAI's chat format.
        reasoning: Visible reasoning, where the model shows it.
        blocks: The content in order, in the shape of Anthropic's content blocks, where text, reasoning and tool calls
            do not say it all: signed or redacted thinking, text between tool calls. Empty otherwise.
        stop_sequence: The text at which it ended, where the provider names it.
        logprobs: In the shape of OpenAI's chat format, where they were asked for.
        choices: The further answers, where several were asked for.
        whole: False where the reply held something that no field here can say; such an answer is not stored.
        reply: The plain reply as it came. Of a stored answer only embeddings keep it: they have no other form.
        billing: What its price depends on beside the tokens; None: the provider said nothing of it.
    """

    text: str
    finish_reason: str | None = None
    usage: Usage = Usage()
    model: str = ""
    tool_calls: list[dict[str, Any]] = []
    reasoning: str = ""
    blocks: list[dict[str, Any]] = []
    stop_sequence: str | None = None
    logprobs: dict[str, Any] | None = None
    choices: list[Completion] = []
    whole: bool = True
    reply: Reply | None = None
    billing: Billing | None = None


class CacheInfo(msgspec.Struct, kw_only=True):
    """What the cache did for a request.

    Attributes:
        result: hit_exact, hit_semantic, miss, bypass or stale.
        tier: The tier that had it.
        similarity: Cosine of the two prompts, where a vector decided.
        confidence: The verifier's probability that both prompts want the same answer.
        age_s: Age of the stored answer, in seconds.
        why: One sentence.
    """

    result: CacheResult
    tier: Tier | None = None
    similarity: float | None = None
    confidence: float | None = None
    age_s: float | None = None
    why: str = ""


class Candidate(msgspec.Struct, kw_only=True):
    """A deployment that was considered for a request.

    Attributes:
        model: The model's id.
        deployment: The deployment's id.
        why: Why it stands where it stands, or was left out.
        fit: It could have been called.
    """

    model: str
    deployment: str
    why: str
    fit: bool = True


class Route(msgspec.Struct, kw_only=True):
    """Why a request went where it went.

    Attributes:
        reason: One sentence.
        candidates: All that were considered, best first.
        attempts: Upstream calls that were made.
        fell_back: Another deployment than the first one answered.
    """

    reason: str
    candidates: list[Candidate] = []
    attempts: int = 0
    fell_back: bool = False


class Answer(msgspec.Struct, kw_only=True):
    """What a caller gets back from `chat`.

    Attributes:
        request_id: The ledger's name for this request.
        text: The answer.
        model: The model that gave it.
        provider: The plugin that called it.
        usage: Tokens of the call that produced it; None is unknown.
        cost_usd: What this request cost; 0 for a hit, None for unknown.
        saved_usd: What the stored answer had cost; 0 for a miss, None for unknown.
        latency_ms: From arrival to the end of the answer.
        ttft_ms: From arrival to the first text, where it was streamed.
        finish_reason: As the provider said.
        cache: What the cache did.
        route: Where it went and why.
        tool_calls: Tool calls in the shape of OpenAI's chat format.
        session_id: The session it was written to.
        sources: The pieces of the workspace that were found for it and shown to the model, as they lie now.
    """

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
    tool_calls: list[dict[str, Any]] = []
    session_id: str | None = None
    sources: list[Piece] = []


class Variant(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An answer of the same key that was made from other pieces of the workspace, as of another branch.

    Attributes:
        completion: The answer.
        pieces: What it was made from.
        model: The model that gave it.
        provider: The plugin that called it.
        cost_usd: What it cost; None is unknown.
        stored_at_s: Wall clock.
        request_id: The request that paid for it.
    """

    completion: Completion
    pieces: list[Piece]
    model: str
    provider: str = ""
    cost_usd: float | None = None
    stored_at_s: float = 0.0
    request_id: str = ""


class Entry(msgspec.Struct, kw_only=True):
    """A stored answer.

    Attributes:
        key: The exact key, 16 bytes.
        scope: Digest of everything but the last user text: the partition it lives in, 16 bytes.
        text: The last user text, as the key has it.
        completion: The answer.
        model: The model that gave it.
        provider: The plugin that called it.
        cost_usd: What it cost; None is unknown.
        stored_at_s: Wall clock.
        digests: Files and documents that were named; they are part of the key.
        pieces: Pieces of the workspace that were found for it: it is served only while they are what they were.
        variants: Answers of the same key that were made from other pieces, the last used first.
        workspace: The workspace it belongs to.
        tags: Labels.
        request_id: The request that paid for it.
        vector: The text's vector, float16 little endian, as `cache.vectors.to_bytes` writes it; empty: none was made.
        embedder: Id of the embedder that made the vector.
    """

    key: bytes
    scope: bytes
    text: str
    completion: Completion
    model: str
    provider: str = ""
    cost_usd: float | None = None
    stored_at_s: float = 0.0
    digests: list[Digest] = []
    pieces: list[Piece] = []
    variants: list[Variant] = []
    workspace: str | None = None
    tags: list[str] = []
    request_id: str = ""
    vector: bytes = b""
    embedder: str = ""

    @property
    def pinned(self) -> bool:
        """It is true as long as files are what they were, and has no age at which it ends."""
        return bool(self.digests or self.pieces)
