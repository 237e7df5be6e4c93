"""Settings: their names, defaults and documentation. How they are read and merged is in config.py."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Positive = Annotated[float, Meta(gt=0)]
TimeOfDay = Annotated[str, Meta(pattern=r"^$|^([01]?[0-9]|2[0-3]):[0-5][0-9]$")]
Size = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
MB = 1 << 20
FILE_ONLY = frozenset(
    {"health.on_change.command", "health.on_change.webhook", "retention.content", "generation.checks", "warming.remote"}
)
"""What runs programs, calls out, spends money by itself or keeps what people write is taken from the user's own
`config.toml` alone."""


class L1Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The cache tier in memory.

    Attributes:
        max_bytes: Memory it may take; 0 switches it off.
        ttl_s: Age after which an answer is no longer served from it.
    """

    max_bytes: Size = 64 * MB
    ttl_s: Positive = 3600.0


class L2Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The cache tier on disk (LMDB).

    Attributes:
        max_bytes: Disk it may take; 0 switches it off.
        ttl_s: Age after which an answer is no longer served from it.
    """

    max_bytes: Size = 1024 * MB
    ttl_s: Positive = 86400.0


class RedisSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The cache tier that several machines share (Redis).

    Attributes:
        url: Where it is: `redis://`, `rediss://` (TLS) or `unix://`, with the password in it; empty switches it off.
        ttl_s: Age after which an answer is no longer served from it.
    """

    url: str = ""
    ttl_s: Positive = 7200.0


class CacheSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Stored answers.

    Attributes:
        enabled: False answers every request upstream.
        semantic: `on` serves the answer of another wording where it is safe, `shadow` only counts what that would have
            served, `off` serves the very same request only.
        threshold: Least probability that two prompts want the same answer at which one is served for the other.
        floor: Least cosine of two prompts at which they are compared at all.
        max_temperature: Requests above it are served by the very same request only.
        deadline_ms: Longest time a request waits for the semantic step; then it goes on as a miss.
        wrong_target: Share of wrong hits above which a scope or a kind of prompt is served more carefully.
        judge_model: Model that judges doubtful pairs and samples of hits, off the request path; empty: none does.
        shadow_share: Share of semantic hits that are checked by asking upstream too, where `judge_model` is set.
        l1: The tier in memory.
        l2: The tier on disk.
        redis: The tier that several machines share.
    """

    enabled: bool = True
    semantic: Literal["on", "shadow", "off"] = "on"
    threshold: Share = 0.95
    floor: Share = 0.75
    max_temperature: Annotated[float, Meta(ge=0)] = 0.5
    deadline_ms: Positive = 60.0
    wrong_target: Share = 0.01
    judge_model: str = ""
    shadow_share: Share = 0.0
    l1: L1Settings = L1Settings()
    l2: L2Settings = L2Settings()
    redis: RedisSettings = RedisSettings()


class UpstreamSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Calls to providers.

    Attributes:
        timeout_s: Longest silence of an upstream: until its first byte, and between two pieces of an answer.
        max_attempts: Upstream calls that one request may make, retries and fallbacks together.
        retry_wait_s: Longest wait before a retry; an upstream that asks for more is not retried.
        breaker_failures: Failures in a row that open a deployment's breaker.
        cooldown_s: How long an open breaker keeps a deployment out before one request tries it again.
    """

    timeout_s: Positive = 60.0
    max_attempts: Annotated[int, Meta(ge=1, le=10)] = 3
    retry_wait_s: Annotated[float, Meta(ge=0)] = 2.0
    breaker_failures: Annotated[int, Meta(ge=1)] = 5
    cooldown_s: Positive = 10.0


class RoutingSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which model answers.

    Attributes:
        default_model: The model of a request that names none.
        auto: Order of preference for `auto`; models not named here come after, in the order they were added.
        aliases: Other names of models, for tools that ask for a fixed one: `"claude-haiku-4-5" = "custom:qwen"`. A name
            may end in `*`.
    """

    default_model: str = "auto"
    auto: list[str] = []
    aliases: dict[str, str] = {}


class HttpSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The HTTP door.

    Attributes:
        enabled: False: the daemon opens no port.
        host: Address it listens on. Another one than a loopback address lets other machines in: they need the token.
        port: Port it listens on; 0: any that is free (`beast status` shows it).
        names: Further host names by which it may be called, beside those of this machine's loopback address.
        max_body_bytes: Largest request.
    """

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 23278
    names: list[str] = []
    max_body_bytes: Annotated[int, Meta(ge=1024)] = 32 * MB


class LspSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The door for editors.

    Attributes:
        enabled: False: no server for editors runs, and `beast lsp` says so.
        max_document_bytes: Size of an open document above which it is read, but no model is asked about it.
    """

    enabled: bool = True
    max_document_bytes: Annotated[int, Meta(ge=1024)] = 8 * MB


class LogSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The daemon's log.

    Attributes:
        level: Least level written.
        max_bytes: Size at which the file is rotated; three old ones are kept.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    max_bytes: Annotated[int, Meta(ge=10_000)] = 10 * MB


class PluginSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Plugins.

    Attributes:
        disabled: Names of plugins that are not loaded.
        options: A table for each plugin that takes options, by its name.
    """

    disabled: list[str] = []
    options: dict[str, dict[str, Any]] = {}


class KeySettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """API keys.

    Attributes:
        store: `keyring` (the operating system's), `file` (AES-GCM under `state/`), or `auto`: the keyring where there
            is one.
    """

    store: Literal["auto", "keyring", "file"] = "auto"


class RetentionSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How long history is kept. Answers have the age limits of their tiers.

    Attributes:
        ledger_days: Age at which rows of requests are deleted; 0 keeps them. What they add up to stays in the figures.
        ledger_max_bytes: Disk that the ledger may take; beyond it the oldest rows are deleted; 0 is any size.
        sessions_days: Age, since the last message, at which chat sessions are deleted; 0 keeps them.
        content: Keep what requests asked and got beside their rows, up to 64 kB of each; read from your own
            `config.toml` alone. It goes with its row, and by `beast forget`.
    """

    ledger_days: Annotated[float, Meta(ge=0)] = 0.0
    ledger_max_bytes: Size = 0
    sessions_days: Annotated[float, Meta(ge=0)] = 0.0
    content: bool = False


class OnChangeSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Who is told when the health changes.

    Attributes:
        command: A program and its arguments, run without a shell; it gets what changed as JSON on standard input and in
            variables. Set in `config.toml` only.
        webhook: A URL that what changed is posted to as JSON. Set in `config.toml` only.
    """

    command: list[str] = []
    webhook: str = ""


class HealthSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What counts as healthy.

    Attributes:
        window_s: How far back requests count.
        min_requests: With fewer requests in the window nothing is concluded from them.
        healthy_rate: Success rate above which requests are healthy.
        degraded_rate: Success rate below which they are unhealthy.
        healthy_latency_s: Median wait below which requests are healthy: the time to the first token where they are
            streamed, else the whole.
        degraded_latency_s: Median wait above which they are unhealthy.
        loop_lag_ms: Lateness of the event loop (99th percentile of the last minute) above which the daemon is degraded.
        disk_free_bytes: Free space on the disk of the state or the cache below which it is degraded.
        disk_free_share: The same as a share of that disk; the larger of the two holds.
        on_change: Who is told when the health changes.
    """

    window_s: Positive = 300.0
    min_requests: Annotated[int, Meta(ge=1)] = 5
    healthy_rate: Share = 0.9
    degraded_rate: Share = 0.8
    healthy_latency_s: Positive = 5.0
    degraded_latency_s: Positive = 10.0
    loop_lag_ms: Positive = 100.0
    disk_free_bytes: Size = 100 * MB
    disk_free_share: Share = 0.01
    on_change: OnChangeSettings = OnChangeSettings()


class OtelSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """OpenTelemetry: a span and metrics of each request, without any prompt or answer.

    Attributes:
        endpoint: A collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; empty: nothing is sent.
        interval_s: How often metrics are sent.
    """

    endpoint: str = ""
    interval_s: Annotated[float, Meta(ge=1)] = 60.0


class CostSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is said of costs.

    Attributes:
        baseline: The model that you would ask without `auto`: requests to `auto` are told what they saved against it.
            Registered, or only in the price table; empty: the first of `routing.auto` that could be called and whose
            price is known, and without that order no saving by routing is told.
    """

    baseline: str = ""


class WorkspaceSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Open workspaces: folders whose files the daemon knows.

    Attributes:
        max_file_bytes: Size above which a file is not read.
        max_files: Files of one workspace that are read; beyond that the rest is left out, and `status` says so.
        ignore: Patterns of files that are left out, as in `.gitignore`, beside that and `.beastignore`.
        context_tokens: Most tokens that what is found in the workspace may add to a question; 0 adds nothing.
        embed_per_s: Pieces that are embedded a second at most, while nobody asks for anything.
        max_vectors: Pieces of one workspace that are found by meaning; the others are found by their words and names.
        poll_s: Pause between two looks at a folder that the system can not watch.
    """

    max_file_bytes: Annotated[int, Meta(ge=1024)] = MB
    max_files: Annotated[int, Meta(ge=1)] = 200_000
    ignore: list[str] = []
    context_tokens: Size = 6000
    embed_per_s: Positive = 20.0
    max_vectors: Size = 100_000
    poll_s: Positive = 2.0


class GenerationSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Features that are generated as edits of several files.

    Attributes:
        repairs: How often a proposal that fails a check is sent back with the error.
        max_files: Files that one feature may touch.
        checks: Commands that judge a proposal in a copy of the workspace, such as its tests, by the workspace's path:
            `"/path" = ["pytest", "-q"]`. Set in `config.toml` only.
        check_timeout_s: Longest time that such a command may take.
    """

    repairs: Annotated[int, Meta(ge=0, le=5)] = 2
    max_files: Annotated[int, Meta(ge=1)] = 20
    checks: dict[str, list[str]] = {}
    check_timeout_s: Positive = 300.0


class WarmingSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Answers that are made before they are asked for.

    Attributes:
        enabled: False: nothing is asked ahead, and nothing is learned from what people ask.
        model: A cheaper model that answers ahead for `auto`; the answer says who gave it. Empty: the model that would
            have been asked.
        remote: USD a day that asking remote models ahead may cost, by the workspace's path; for the others 0, and only
            models that cost nothing are asked. Set in `config.toml` only.
        daily_requests: Requests a day that are asked ahead.
        per_minute: Requests a minute that are asked ahead.
        idle_s: How long nobody must have asked anything before something is asked ahead.
        precision: Share of answers made ahead that must be used; below it less is asked ahead.
        horizon_s: How long an answer made ahead may wait for its use before that counts against it; an eighth of it for
            those that were likely next.
        at: Time of day at which recurring requests are made ready, such as `07:30`; empty: only as they come up.
        templates: Further requests to make ready: tables with `message` or `kind` and `path`, and with `workspace` and
            `model` where they are not the usual ones.
    """

    enabled: bool = True
    model: str = ""
    remote: dict[str, float] = {}
    daily_requests: Size = 500
    per_minute: Positive = 6.0
    idle_s: Annotated[float, Meta(ge=0)] = 5.0
    precision: Share = 0.2
    horizon_s: Positive = 8 * 3600.0
    at: TimeOfDay = ""
    templates: list[dict[str, Any]] = []


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Everything a user can set.

    Attributes:
        cache: Stored answers.
        upstream: Calls to providers.
        routing: Which model answers.
        http: The HTTP door.
        lsp: The door for editors.
        log: The daemon's log.
        plugins: Plugins.
        keys: API keys.
        retention: How long history is kept.
        costs: What is said of costs.
        health: What counts as healthy.
        otel: OpenTelemetry.
        workspace: Open workspaces.
        generation: Features that are generated.
        warming: Answers that are made before they are asked for.
    """

    cache: CacheSettings = CacheSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    routing: RoutingSettings = RoutingSettings()
    http: HttpSettings = HttpSettings()
    lsp: LspSettings = LspSettings()
    log: LogSettings = LogSettings()
    plugins: PluginSettings = PluginSettings()
    keys: KeySettings = KeySettings()
    retention: RetentionSettings = RetentionSettings()
    costs: CostSettings = CostSettings()
    health: HealthSettings = HealthSettings()
    otel: OtelSettings = OtelSettings()
    workspace: WorkspaceSettings = WorkspaceSettings()
    generation: GenerationSettings = GenerationSettings()
    warming: WarmingSettings = WarmingSettings()
