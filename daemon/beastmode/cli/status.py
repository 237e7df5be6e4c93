"""`beast status`: is the daemon there, is it well, and if not, why. Free of click, for the sake of its 60 ms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beastmode.cli import figures
from beastmode.cli.screen import Screen
from beastmode.cli.warm_words import standing

_EXIT = {"degraded": 8, "unhealthy": 9}
_COLOUR = {"ok": "green", "healthy": "green", "degraded": "yellow"}


def show(screen: Screen) -> int:
    """Prints what the daemon says of itself.

    Returns:
        0 when it is well, 8 when it is degraded, 9 when it is unhealthy.

    Raises:
        DaemonNotRunningError: It does not run.
    """
    with screen.client() as client:
        reply = client.call("status", timeout_s=10)
    health = reply.get("health") or {}
    if screen.as_json:
        screen.json(reply)
    else:
        _show_text(screen, reply, health)
    return _EXIT.get(str(health.get("status")), 0)


def _show_text(screen: Screen, reply: Mapping[str, Any], health: Mapping[str, Any]) -> None:
    state = str(health.get("status", "unknown"))
    up = figures.span(reply.get("uptime_s") or 0)
    screen.say(f"{screen.paint('running', 'green')}   version {reply.get('version')}, pid {reply.get('pid')}, up {up}")
    screen.say(f"health    {screen.paint(state, _COLOUR.get(state, 'red'))}")
    for issue in health.get("issues") or []:
        _show_issue(screen, issue)
    models = reply.get("models") or {}
    screen.say(f"models    {models.get('ready', 0)} ready of {models.get('total', 0)}")
    screen.say(f"cache     {_cache(reply.get('cache') or {})}")
    if reply.get("warming") is not None:
        screen.say(f"warming   {standing(reply['warming'])}")
    for one in reply.get("workspaces") or []:
        screen.say(f"workspace {one['path']}: {one['state']}, {figures.count(one['files'], 'file')}")
    for name, path in (reply.get("sockets") or {}).items():
        if path:
            screen.say(f"{name:<9} {path}")
    if not models.get("total"):
        screen.note("no model yet; try: beast models add")


def _show_issue(screen: Screen, issue: Mapping[str, Any]) -> None:
    screen.say(f"          {issue.get('part')}: {issue.get('cause')}")
    tips = issue.get("tip") or []
    for tip in [tips] if isinstance(tips, str) else tips:
        screen.say(f"            try: {tip}")


def _cache(tiers: Mapping[str, Any]) -> str:
    parts = [
        f"{name.upper()} {tier.get('entries', 0)} answers, {figures.size(tier.get('bytes'))}"
        for name, tier in tiers.items()
        if isinstance(tier, dict) and "entries" in tier
    ]
    return "; ".join(parts) or "off"
