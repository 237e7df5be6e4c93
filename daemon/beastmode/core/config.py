"""Settings: their names, defaults and documentation, and how flag, environment, user's file and default are merged."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from beastmode.core.errors import BadInputError
from beastmode.core.fields import Field, fields_of, fit, fit_text, in_words, is_table, misfit, unknown
from beastmode.core.paths import Paths

Positive = Annotated[float, Meta(gt=0)]
Size = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
MB = 1 << 20
ENVIRONMENT_PREFIX = "BEAST_"
NO_SETTINGS = frozenset({"BEAST_HOME", "BEAST_TOKEN"})


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
        aliases: Other names of models, for tools that ask for a fixed one: `"claude-haiku-4-5" = "custom:qwen"`. A name may
            end in `*`.
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
        ledger_days: Age at which rows of requests are deleted; 0 keeps them.
        sessions_days: Age, since the last message, at which chat sessions are deleted; 0 keeps them.
    """

    ledger_days: Annotated[float, Meta(ge=0)] = 0.0
    sessions_days: Annotated[float, Meta(ge=0)] = 0.0


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Everything a user can set.

    Attributes:
        cache: Stored answers.
        upstream: Calls to providers.
        routing: Which model answers.
        http: The HTTP door.
        log: The daemon's log.
        plugins: Plugins.
        keys: API keys.
        retention: How long history is kept.
    """

    cache: CacheSettings = CacheSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    routing: RoutingSettings = RoutingSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    plugins: PluginSettings = PluginSettings()
    keys: KeySettings = KeySettings()
    retention: RetentionSettings = RetentionSettings()


class Loaded(msgspec.Struct, frozen=True):
    """Settings and what was odd about them.

    Attributes:
        settings: The merged settings.
        warnings: Sentences for `status` and the log.
        sources: Where every setting that is not a default comes from (`user`, `environment`, `flag`), by dotted name.
    """

    settings: Settings
    warnings: list[str]
    sources: dict[str, str]


class SettingInfo(msgspec.Struct, frozen=True):
    """One setting, for people.

    Attributes:
        name: Dotted name, as in `cache.l1.ttl_s`.
        type: What it takes, in words.
        default: Its default.
        doc: What it does.
    """

    name: str
    type: str
    default: Any
    doc: str

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return variable_of(self.name)


def variable_of(name: str) -> str:
    """Names the environment variable that sets something.

    Args:
        name: A setting's dotted name.
    """
    return ENVIRONMENT_PREFIX + name.upper().replace(".", "__")


def load(paths: Paths, environ: Mapping[str, str], overrides: Mapping[str, object] | None = None) -> Loaded:
    """Merges flags, environment, the user's `config.toml` and the defaults, in that order of precedence.

    Args:
        paths: Where `config.toml` is; a file that is not there is an empty one.
        environ: Environment variables; an empty one counts as not set.
        overrides: Flags of the command line, by dotted name.

    Raises:
        BadInputError: A file that can not be read, an unknown key, or a value that does not fit; says where, and what
            is expected.
    """
    fields = fields_of(Settings)
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    warnings: list[str] = []
    for source, found in (
        ("user", _from_file(paths.config_file, fields)),
        ("environment", _from_environment(environ, fields, warnings)),
        ("flag", _from_flags(overrides or {}, fields)),
    ):
        values.update(found)
        sources.update(dict.fromkeys(found, source))
    return Loaded(_build(Settings, values), warnings, sources)


def shown(settings: Settings) -> dict[str, Any]:
    """Settings as they are shown: a password in a URL is blanked.

    Args:
        settings: The settings.

    Returns:
        Nested tables.
    """
    tables: dict[str, Any] = msgspec.to_builtins(settings)
    tables["cache"]["redis"]["url"] = without_password(settings.cache.redis.url)
    return tables


def without_password(url: str) -> str:
    """Blanks what may be secret in a URL: everything before the last `@`, and the query.

    Args:
        url: A URL, well-formed or not.
    """
    scheme, _, rest = url.partition("://") if "://" in url else ("", "", url)
    before, at, place = rest.rpartition("@")
    place, query, _ = place.partition("?")
    start = scheme and f"{scheme}://"
    if "?" in before:  # no telling where the password ends
        return f"{start}***"
    return f"{start}{at and '***@'}{place}{query and '?***'}"


def describe() -> list[SettingInfo]:
    """Lists every setting, in the order of the structs above."""
    return [SettingInfo(name, in_words(f.type), f.default, f.doc) for name, f in fields_of(Settings).items()]


def _from_file(file: Path, fields: Mapping[str, Field]) -> dict[str, object]:
    where = f"{file}: "
    return {
        name: fit(where, name, value, fields[name].type) for name, value in _flatten(_read(file), where, fields).items()
    }


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        tips = [f"make it a file that you can read: ls -l {file}", "or move it away: the defaults are enough to start"]
        raise BadInputError(f"{file} can not be read: {error.strerror}.", tips=tips) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadInputError(f"{file}: line {line} is not UTF-8.", tips=[f"save {file} as UTF-8"]) from error
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"{file} is no valid TOML: {error}.", tips=[f"mend {file}, at the place named"]) from error
    except RecursionError as error:
        raise BadInputError(f"{file} is nested too deeply.", tips=[f"mend {file}"]) from error


def _flatten(table: Mapping[str, Any], where: str, fields: Mapping[str, Field], prefix: str = "") -> dict[str, object]:
    """Turns nested tables into dotted names.

    Raises:
        BadInputError: A key that is no setting, or a value where a table belongs.
    """
    found: dict[str, object] = {}
    for key, value in table.items():
        name = prefix + key
        if name in fields:
            found[name] = value
        elif not any(known.startswith(name + ".") for known in fields):
            raise unknown(where, name, fields)
        elif isinstance(value, dict):
            found.update(_flatten(value, where, fields, name + "."))
        else:
            raise misfit(where, name, value, "a table")
    return found


def _from_environment(
    environ: Mapping[str, str], fields: Mapping[str, Field], warnings: list[str]
) -> dict[str, object]:
    names = {variable_of(name): name for name in fields}
    found: dict[str, object] = {}
    for variable in sorted(environ):
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in NO_SETTINGS:
            continue
        if variable not in names:
            nearest = difflib.get_close_matches(variable, [*names, *NO_SETTINGS], 1, 0.0)[0]
            warnings.append(f"The environment variable {variable} is no setting; the nearest one is {nearest}.")
        elif environ[variable]:
            name = names[variable]
            found[name] = fit_text("", variable, environ[variable], fields[name].type)
    return found


def _from_flags(overrides: Mapping[str, object], fields: Mapping[str, Field]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in overrides.items():
        if name not in fields:
            raise unknown("", name, fields)
        kind = fields[name].type
        found[name] = fit_text("", name, value, kind) if isinstance(value, str) else fit("", name, value, kind)
    return found


def _build(struct: type[msgspec.Struct], values: Mapping[str, object], prefix: str = "") -> Any:
    chosen: dict[str, object] = {}
    for field in msgspec.structs.fields(struct):
        name = prefix + field.name
        if is_table(field.type):
            chosen[field.name] = _build(field.type, values, name + ".")
        elif name in values:
            chosen[field.name] = values[name]
    return struct(**chosen)
