"""Settings: their names, defaults and documentation, and how flag, environment, project, user and default are merged."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Positive = Annotated[float, Meta(gt=0)]
Size = Annotated[int, Meta(ge=0)]
MB = 1 << 20


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


class CacheSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Stored answers.

    Attributes:
        enabled: False answers every request upstream.
        l1: The tier in memory.
        l2: The tier on disk.
    """

    enabled: bool = True
    l1: L1Settings = L1Settings()
    l2: L2Settings = L2Settings()


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
    """

    default_model: str = "auto"
    auto: list[str] = []


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
        store: `keyring` (the operating system's), `file` (AES-GCM under `state/`), or `auto`: the keyring where there is one.
    """

    store: Literal["auto", "keyring", "file"] = "auto"


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Everything a user can set.

    Attributes:
        cache: Stored answers.
        upstream: Calls to providers.
        routing: Which model answers.
        log: The daemon's log.
        plugins: Plugins.
        keys: API keys.
    """

    cache: CacheSettings = CacheSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    routing: RoutingSettings = RoutingSettings()
    log: LogSettings = LogSettings()
    plugins: PluginSettings = PluginSettings()
    keys: KeySettings = KeySettings()


class Loaded(msgspec.Struct, frozen=True):
    """Settings and what was odd about them.

    Attributes:
        settings: The merged settings.
        warnings: Sentences for `status` and the log.
        sources: The source (`default`, `user`, `environment`) of every setting that is not a default, by dotted name.
    """

    settings: Settings
    warnings: list[str]
    sources: dict[str, str]
