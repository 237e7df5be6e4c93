"""How flag, environment, the user's file and the defaults become the settings in force."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from beastmode.core.errors import BadInputError
from beastmode.core.fields import Field, fields_of, fit, fit_text, in_words, is_table, misfit, unknown
from beastmode.core.paths import Paths
from beastmode.core.settings import FILE_ONLY, Settings

ENVIRONMENT_PREFIX = "BEAST_"
NO_SETTINGS = frozenset({"BEAST_HOME", "BEAST_TOKEN"})


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
    def variable(self) -> str | None:
        """The environment variable that sets it; None where only `config.toml` does."""
        return None if self.name in FILE_ONLY else variable_of(self.name)


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
    """Settings as they are shown: a password in a URL is blanked, and the path of a webhook, which often is one.

    Args:
        settings: The settings.

    Returns:
        Nested tables.
    """
    tables: dict[str, Any] = msgspec.to_builtins(settings)
    tables["cache"]["redis"]["url"] = without_password(settings.cache.redis.url)
    tables["otel"]["endpoint"] = without_password(settings.otel.endpoint)
    tables["health"]["on_change"]["webhook"] = without_path(settings.health.on_change.webhook)
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


def without_path(url: str) -> str:
    """Blanks everything of a URL but where it leads.

    Args:
        url: A URL, well-formed or not.
    """
    scheme, found, rest = url.partition("://")
    if not found:
        return "***" if url else ""
    place = rest.partition("?")[0].partition("/")[0]
    return f"{scheme}://{place.rpartition('@')[2]}{'/***' if len(rest) > len(place) else ''}"


def describe() -> list[SettingInfo]:
    """Lists every setting, in the order of the structs."""
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
        if names.get(variable) in FILE_ONLY:
            warnings.append(f"{variable} is not read: {names[variable]} is set in config.toml only.")
        elif variable not in names:
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
        if name in FILE_ONLY:
            raise BadInputError(f"{name} is set in config.toml only.", tips=["beast config path shows where that is"])
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
