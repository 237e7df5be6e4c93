"""`patterns.get`: which requests are likely next, and how often such guesses were right."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from beastmode.background.activity import Activities
from beastmode.background.predicting import Context, Guess
from beastmode.core.clock import rfc3339
from beastmode.core.errors import BadInputError
from beastmode.servers.methods.table import method
from beastmode.servers.services import Caller, Services

SHOWN_CHARS = 120
SETTLE_S = 2.0


class PatternsParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `patterns.get` takes.

    Attributes:
        workspace: Only requests about this workspace, an absolute path.
        limit: How many guesses.
    """

    workspace: str | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 5


class Guessed(msgspec.Struct, kw_only=True):
    """A request that may come next.

    Attributes:
        action: `explain`, `tests`, ...; `chat` for a question.
        workspace: Which it is about; null: none.
        path: The file.
        symbol: The function or class.
        question: The person's own words, where they are kept; shortened.
        probability: How likely it is the next request.
        seen: It was asked before.
    """

    action: str
    workspace: str | None
    path: str | None
    symbol: str | None
    question: str | None
    probability: float
    seen: bool


class Right(msgspec.Struct, kw_only=True):
    """How often guesses were right; shares are null where there was nothing to guess.

    Attributes:
        n: Requests that were guessed.
        top1: Share that was the first guess.
        top5: Share that was among the first five.
    """

    n: int
    top1: float | None
    top5: float | None


class Way(Right, kw_only=True):
    """How often one way of guessing was right.

    Attributes:
        recurring: Of the requests that had been made before: the same action on the same symbol, the same question.
    """

    recurring: Right


class Measured(Way, kw_only=True):
    """How often the predictor was right, and simpler ways on the same requests.

    Attributes:
        frequency_only: What was asked most often so far.
        last_only: What was asked last.
    """

    frequency_only: Way
    last_only: Way


class Learned(msgspec.Struct, kw_only=True):
    """What the guesses are made from.

    Attributes:
        events: Requests that were learned from.
        since: When the first of them was made (RFC 3339, UTC); null: there was none.
        enabled: Whether anything is kept and learned: the setting `warming.enabled`.
    """

    events: int
    since: str | None
    enabled: bool


class Patterns(msgspec.Struct, kw_only=True):
    """What is known of what comes next.

    Attributes:
        guesses: The likeliest first; empty where nothing was learned yet.
        accuracy: How often guesses were right, each made before its request was known.
        learned: What they are made from.
    """

    guesses: list[Guessed]
    accuracy: Measured
    learned: Learned


@method("patterns.get")
async def patterns_get(services: Services, caller: Caller, params: PatternsParams) -> Patterns:
    """Guesses which requests come next, and tells how often such guesses were right so far.

    Guesses are the caller's own. What is measured is everything that was asked: each request was guessed before it was
    learned from.
    """
    patterns, activity = services.patterns, services.activity
    if patterns is None or activity is None:
        raise BadInputError("Nothing is learned yet: the daemon is starting.", tips=["try again in a moment"])
    enabled = services.settings.warming.enabled
    guesses: list[Guess] = []
    workspace = await asyncio.to_thread(_real, params.workspace)
    if services.hearing is not None:
        await services.hearing.heard()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_S):
            await patterns.settled()
    if enabled:
        context = Context(workspace=workspace, user=caller.user)
        guesses = await asyncio.to_thread(patterns.guesses, context, params.limit)
    measured = await asyncio.to_thread(patterns.accuracy)
    since_s = patterns.since_s
    return Patterns(
        guesses=[_shown(one, activity) for one in guesses],
        accuracy=msgspec.convert(measured, Measured),
        learned=Learned(events=patterns.events, since=None if since_s is None else rfc3339(since_s), enabled=enabled),
    )


def _real(workspace: str | None) -> str | None:
    """The real path of a workspace, as requests are noted under.

    Raises:
        BadInputError: It is no absolute path.
    """
    if workspace is None:
        return None
    if "\0" in workspace or not Path(workspace).is_absolute():
        raise BadInputError(f"The workspace {workspace!r} is no absolute path.", tips=["send its absolute path"])
    return os.path.realpath(workspace)


def _shown(guess: Guess, activity: Activities) -> Guessed:
    return Guessed(
        action=guess.action,
        workspace=guess.workspace or None,
        path=guess.path or None,
        symbol=guess.symbol or None,
        question=_words(guess, activity),
        probability=round(guess.probability, 4),
        seen=guess.seen,
    )


def _words(guess: Guess, activity: Activities) -> str | None:
    """What the person said, in the words of then."""
    asked = activity.asked(guess.identity if guess.seen or guess.like is None else guess.like)
    if asked is None or not guess.question:
        return None
    messages = asked.params.get("messages") or [{}]
    words = " ".join(str(asked.params.get("instruction") or messages[-1].get("content") or "").split())
    return words if len(words) <= SHOWN_CHARS else words[: SHOWN_CHARS - 1] + "…"
