"""`beast cache stats`: what each tier holds and did, and what was decided by meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from beastmode.cli import figures
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.screen import Screen

_HEAD = ("TIER", "ANSWERS", "SIZE", "BOUND", "HITS", "MISSES", "EXPIRED", "EVICTED", "STATE")
_DECISIONS = (("hits", "hit"), ("misses", "miss"), ("bypassed", "bypass"))
_GROUP_HEAD = ("WHERE HITS WERE WRONG", "SERVED", "WRONG", "UPPER BOUND", "THRESHOLD RAISED BY")


@click.command(cls=Command)
@pass_screen
def stats(screen: Screen) -> None:
    """Show what is stored and what it was good for.

    Counts begin with the daemon's start; what was learned about pairs of prompts outlives it.
    """
    with screen.client() as client:
        reply = client.call("cache.stats")
    if screen.as_json:
        return screen.json(reply)
    tiers = {name: tier for name, tier in reply.items() if isinstance(tier, dict) and name != "semantic"}
    rows = [_tier(name, tier) for name, tier in tiers.items()]
    screen.table(_HEAD, rows, "the cache is switched off; try: beast config get cache")
    screen.say()
    screen.say(f"stale       {reply.get('stale', 0):,} found too old to be served")
    semantic = reply.get("semantic")
    if semantic is not None:
        _show_semantic(screen, semantic)
    else:
        screen.say("by meaning  no: there is no embedder")
        screen.note("try: beast models fetch minilm")
    return None


def _tier(name: str, tier: Mapping[str, Any]) -> tuple[str, ...]:
    entries = tier.get("entries")
    return (
        f"{name.upper()} {tier.get('name') or ''}".strip(),
        "unknown" if entries is None else f"{entries:,}",
        figures.size(tier.get("bytes")),
        figures.size(tier.get("max_bytes")) if tier.get("max_bytes") is not None else "-",
        *(
            "-" if tier.get(field) is None else f"{tier[field]:,}"
            for field in ("hits", "misses", "expired", "evictions")
        ),
        _state(tier),
    )


def _state(tier: Mapping[str, Any]) -> str:
    troubles = ("damaged", "unstorable", "timeouts", "errors", "rubbish", "dropped")
    found = [f"{name} {tier[name]:,}" for name in troubles if tier.get(name)]
    return ", ".join(["ready" if tier.get("ready", True) else "away", *found])


def _show_semantic(screen: Screen, semantic: Mapping[str, Any]) -> None:
    ready = "ready" if semantic.get("ready") else f"not ready: {semantic.get('why_not') or 'it is being loaded'}"
    screen.say(f"by meaning  {semantic.get('embedder')}, {ready}")
    screen.say(f"decided     {_decided(semantic)}")
    if vetoed := semantic.get("vetoed"):
        ordered = sorted(vetoed.items(), key=lambda one: -one[1])
        screen.say(f"vetoed      {', '.join(f'{name} {number:,}' for name, number in ordered)}")
    pairs = semantic.get("pairs") or {}
    screen.say(f"pairs       {pairs.get('denied', 0):,} denied, {pairs.get('approved', 0):,} approved")
    if index := semantic.get("index"):
        screen.say(f"index       {_index(index)}")
    _show_groups(screen, pairs.get("groups") or {})


def _decided(semantic: Mapping[str, Any]) -> str:
    parts = [f"{semantic.get(name, 0):,} {word}" for name, word in _DECISIONS]
    extra = (("late", "too late"), ("failed", "failed"), ("would_hit", "would have hit (shadow mode)"))
    parts += [f"{semantic[name]:,} {word}" for name, word in extra if semantic.get(name)]
    if semantic.get("grey"):
        parts.append(f"{semantic['grey']:,} waiting for a judge")
    return ", ".join(parts)


def _index(index: Mapping[str, Any]) -> str:
    state = "being built" if index.get("building") else "ready" if index.get("ready") else "not ready"
    return f"{figures.count(index.get('entries') or 0, 'vector')}, {state}"


def _show_groups(screen: Screen, groups: Mapping[str, Any]) -> None:
    rows = [
        (
            name,
            f"{one.get('served', 0):,}",
            f"{one.get('wrong', 0):,}",
            f"{100 * (one.get('wrong_upper_bound') or 0):.1f}%",
            f"{one.get('stricter') or 0:g}",
        )
        for name, one in groups.items()
        if one.get("wrong")
    ]
    if rows:
        screen.say()
        screen.table(_GROUP_HEAD, rows, "")
