"""What could be asked ahead, and why: from templates, from what recurs, from guesses, from what went stale."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any, Literal

import msgspec

from beastmode.background.activity import Activity, Asked, Identity
from beastmode.background.predicting import Guess
from beastmode.core.types import Message, Request
from beastmode.workspace.actions import KINDS

Source = Literal["template", "recurring", "guess", "stale"]
SOURCES: tuple[Source, ...] = ("template", "recurring", "guess", "stale")

HALF_LIFE_S = 7 * 86_400.0
ACTIVE_S = 8 * 3600.0
LOST_MAX_AGE_S = 7 * 86_400.0
NEAR_HOURS = 1.5
RECURRING_MAX, GUESSES_MAX = 200, 10
GUESS_MIN = 0.02
SHOWN_CHARS = 80

_TEMPLATE_WORDS = frozenset(
    ("message", "kind", "path", "workspace", "model", "user", "instruction", "symbol", "max_tokens", "temperature")
)

AskedOf = Callable[[Identity], Asked | None]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One request that could be asked ahead.

    Attributes:
        source: Where the thought comes from.
        asked: How it is asked.
        user: Whose request it would be; an answer crosses no user.
        workspace: Which it is about; empty: none.
        path: The file that it is about.
        symbol: The function or class in it.
        chance: About how likely it is used.
        identity: What it is, where it was asked or guessed; None otherwise.
        request: The very request, where it is at hand.
    """

    source: Source
    asked: Asked
    user: str
    workspace: str = ""
    path: str = ""
    symbol: str = ""
    chance: float = 1.0
    identity: Identity | None = None
    request: Request | None = None

    def shown(self) -> dict[str, Any]:
        """As it is listed for a person."""
        params = self.asked.params
        found = {
            "source": self.source,
            "method": self.asked.method,
            "kind": params.get("kind"),
            "workspace": self.workspace or None,
            "path": self.path or None,
            "symbol": self.symbol or None,
            "question": (_question(params) or "")[:SHOWN_CHARS] or None,
            "chance": round(self.chance, 3),
        }
        return {name: value for name, value in found.items() if value is not None}


def _question(params: dict[str, Any]) -> str | None:
    messages = params.get("messages") or []
    last = messages[-1].get("content") if messages and isinstance(messages[-1], dict) else params.get("instruction")
    return last if isinstance(last, str) else None


# -- templates ------------------------------------------------------------------------------------------------------


def template_problem(template: dict[str, Any]) -> str | None:
    """What is wrong with a template, in a sentence; None where it can be used.

    Args:
        template: As it stands in `warming.templates`.
    """
    unknown = sorted(set(template) - _TEMPLATE_WORDS)
    if unknown:
        return f"`{unknown[0]}` is no word of a template; there are {', '.join(sorted(_TEMPLATE_WORDS))}."
    if wrong := [name for name in _TEMPLATE_WORDS - {"max_tokens", "temperature"} if not _is_text(template, name)]:
        return f"`{wrong[0]}` of a template is a text."
    if "message" in template:
        return "A template has `message` or `kind`, not both." if "kind" in template else None
    if template.get("kind") not in KINDS:
        return f"A template has a `message`, or a `kind` of {', '.join(KINDS)}."
    if not template.get("path") or not template.get("workspace"):
        return "A template with `kind` names `workspace` and `path`."
    return None


def _is_text(template: dict[str, Any], name: str) -> bool:
    return name not in template or (isinstance(template[name], str) and bool(template[name].strip()))


def from_templates(templates: Iterable[dict[str, Any]], user: str, retrieves: Callable[[str], bool]) -> list[Wish]:
    """What the user wrote down; what is wrong is left out.

    Args:
        templates: Of the settings.
        user: Whose they are where they do not say.
        retrieves: Whether a chat about this workspace is widened by what is found in it.
    """
    return [_of_template(one, user, retrieves) for one in templates if template_problem(one) is None]


def _of_template(template: dict[str, Any], user: str, retrieves: Callable[[str], bool]) -> Wish:
    workspace = template.get("workspace", "")
    shaping = {name: template[name] for name in ("max_tokens", "temperature") if name in template}
    if "message" in template:
        messages = [msgspec.to_builtins(Message("user", template["message"]))]
        params = {"model": template.get("model", ""), "messages": messages, "params": shaping}
        asked = Asked("chat", params | {"gather": bool(workspace) and retrieves(workspace)})
    else:
        named = ("kind", "path", "workspace", "model", "instruction")
        asked = Asked("action", {name: template[name] for name in named if name in template} | shaping)
    return Wish(
        source="template",
        asked=asked,
        user=template.get("user", user),
        workspace=workspace,
        path=template.get("path", ""),
        symbol=template.get("symbol", ""),
    )


# -- what recurs ----------------------------------------------------------------------------------------------------


def from_history(
    activities: Sequence[Activity], asked_of: AskedOf, now_s: float, *, any_hour: bool = False, lost: bool = False
) -> list[Wish]:
    """Requests that came again and again, the likeliest first: by frequency, recency, hour and workspace.

    Args:
        activities: What was done, oldest first.
        asked_of: How something is asked again.
        now_s: Wall clock.
        any_hour: As for the whole day ahead, and not only for the hours to come.
        lost: The cache was lost: what was asked once in the last week counts as well.
    """
    times: dict[Identity, list[float]] = defaultdict(list)
    active: set[str] = set()
    for one in activities:
        if now_s - one.at_s <= ACTIVE_S:
            active.add(one.workspace)
        if one.is_request:
            times[one.identity].append(one.at_s)
    found = []
    for identity, when in times.items():
        again = len(when) > 1 or (lost and now_s - when[-1] <= LOST_MAX_AGE_S)
        asked = asked_of(identity) if again else None
        if asked is None:
            continue
        chance = _chance(when, now_s, any_hour) * (1.0 if identity.workspace in active or not active else 0.5)
        found.append(_wish("recurring", asked, identity, chance))
    found.sort(key=lambda one: one.chance, reverse=True)
    return found[:RECURRING_MAX]


def _chance(when: Sequence[float], now_s: float, any_hour: bool) -> float:
    """About how likely something comes again soon, from when it came."""
    weights = [0.5 ** (max(0.0, now_s - at_s) / HALF_LIFE_S) for at_s in when]
    near = sum(weight for weight, at_s in zip(weights, when, strict=True) if any_hour or _is_near(at_s, now_s))
    weight = 0.4 * sum(weights) + 0.6 * near
    return float(min(0.95, weight / (weight + 2.0)))


def _is_near(at_s: float, now_s: float) -> bool:
    """Whether something came at an hour of the day that is now, or is about to be."""
    then, now = time.localtime(at_s), time.localtime(now_s)
    apart = (then.tm_hour + then.tm_min / 60 - now.tm_hour - now.tm_min / 60 + 12) % 24 - 12
    return -0.5 <= apart <= NEAR_HOURS


def _wish(source: Source, asked: Asked, identity: Identity, chance: float) -> Wish:
    return Wish(
        source=source,
        asked=asked,
        user=identity.user,
        workspace=identity.workspace,
        path=identity.path,
        symbol=identity.symbol,
        chance=chance,
        identity=identity,
    )


# -- guesses and what went stale ------------------------------------------------------------------------------------


def from_guesses(guesses: Iterable[Guess], asked_of: AskedOf) -> list[Wish]:
    """What is likely asked next; what was never asked before is asked as its like was asked elsewhere.

    Args:
        guesses: Of the predictor, the likeliest first.
        asked_of: How something is asked again.
    """
    found: list[Wish] = []
    for guess in guesses:
        if guess.probability < GUESS_MIN or len(found) >= GUESSES_MAX:
            break
        asked = asked_of(guess.identity) or _like(guess, asked_of)
        if asked is not None:
            found.append(_wish("guess", asked, guess.identity, guess.probability))
    return found


def _like(guess: Guess, asked_of: AskedOf) -> Asked | None:
    """How the same action was asked elsewhere, moved to its new place; without the problems that were there."""
    asked = asked_of(guess.like) if guess.like is not None else None
    if asked is None or asked.method != "action" or not guess.path or not guess.workspace:
        return None
    kept = {name: value for name, value in asked.params.items() if name != "diagnostics"}
    if asked.params.get("kind") == "fix" and len(kept) < len(asked.params):
        return None  # what is wrong there nobody knows yet, and it is part of the request
    if not guess.symbol:
        kept.pop("range", None)
    if guess.like is not None and PurePosixPath(guess.like.path).suffix != PurePosixPath(guess.path).suffix:
        kept.pop("language", None)
    return Asked("action", kept | {"path": guess.path, "workspace": guess.workspace})


def from_stale(requests: Iterable[tuple[Request, float]]) -> list[Wish]:
    """Popular answers that hold no more.

    Args:
        requests: What would be asked, each with about how likely it is asked again.
    """
    return [
        Wish(
            source="stale",
            asked=Asked("chat", {"model": one.model, "messages": msgspec.to_builtins(one.messages[-1:])}),
            user=one.user,
            workspace=one.workspace or "",
            chance=chance,
            request=one,
        )
        for one, chance in requests
    ]
