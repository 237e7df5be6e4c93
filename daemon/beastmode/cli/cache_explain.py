"""`beast cache explain`: why a prompt is, or is not, answered from the cache, and what to do about it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from beastmode.cli import prompts
from beastmode.cli.cache import asked, which_question
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.screen import Screen

_HEAD = ("SIMILARITY", "CONFIDENCE", "DECIDED BY", "- STORED / + ASKED", "STORED PROMPT")
_VARIANT_HEAD = ("TRUE NOW", "MODEL", "STORED AT", "MADE FROM")
_COLOUR = {"hit_exact": "green", "hit_semantic": "green", "miss": "yellow"}
_PROMPT_SHOWN = 60
_DIFFERENCES_SHOWN = 4
_PROMPT_IN_TIP = 100


@click.command(cls=Command)
@click.argument("prompt", nargs=-1)
@which_question
@click.option("--workspace", metavar="DIR", type=click.Path(), help="It was asked about this open workspace.")
@pass_screen
def explain(
    screen: Screen, prompt: tuple[str, ...], model: str | None, scope: str | None, workspace: str | None
) -> None:
    """Say why PROMPT is, or is not, answered from the cache.

    PROMPT is read as by `beast ask`. Shows the stored prompts that are near, who decided about each (a guard, the
    verifier, or a person who rejected it), and the words that differ. Of a question about a workspace it shows the
    stored answers: which is true now, and which files changed. No model answers it.
    """
    text = prompts.question(screen, prompt)
    with screen.client() as client:
        where = asked(client, model, scope)
        if workspace is not None:
            where = {**where, "workspace": str(Path(workspace).expanduser().resolve())}
        reply = client.call("cache.explain", {"prompt": text, **where})
    if screen.as_json:
        return screen.json(reply)
    _show(screen, reply, where)
    for tip in _tips(reply, text, model, scope):
        screen.note(f"try: {tip}")
    return None


def _show(screen: Screen, reply: Mapping[str, Any], where: Mapping[str, Any]) -> None:
    result, neighbours = reply["result"], reply.get("neighbours") or []
    screen.say(f"{screen.paint(result, _COLOUR.get(result, 'bold'))}: {reply['why']}")
    named = f", scope {where['scope']}" if "scope" in where else ""
    screen.say(f"scope      {reply['scope']} (model {where['model']}{named})")
    stored = result == "hit_exact" or reply.get("variants")
    screen.say(f"entry      {reply['entry']}{'' if stored else ' (when it is stored)'}")
    if variants := reply.get("variants"):
        screen.say()
        screen.table(_VARIANT_HEAD, [_variant(one) for one in variants], "")
    if reply.get("threshold") is None:
        return
    screen.say(f"threshold  {reply['threshold']:g} is the least confidence that is served")
    screen.say()
    served = served_entry(reply)
    rows = [_row(one, one["entry"] == served) for one in neighbours]
    screen.table(_HEAD, rows, "nothing near: no stored prompt of this scope has the least similarity (cache.floor)")


def _variant(one: Mapping[str, Any]) -> tuple[str, ...]:
    changed = ", ".join(one["changed"])
    return ("yes" if one["holds"] else f"changed: {changed}", one["model"], one["stored_at"], ", ".join(one["paths"]))


def served_entry(reply: Mapping[str, Any]) -> str | None:
    """The neighbour whose answer is served; None where none is.

    Args:
        reply: As `cache.explain` gave it.
    """
    if reply["result"] != "hit_semantic":
        return None
    near = reply.get("neighbours") or []
    likely = [one for one in near if one.get("confidence") is not None and not one.get("denied")]
    return str(max(likely, key=lambda one: one["confidence"])["entry"]) if likely else None


def _row(one: Mapping[str, Any], served: bool) -> tuple[str, ...]:
    confidence = one.get("confidence")
    return (
        f"{one['similarity']:.3f}",
        "-" if confidence is None else f"{confidence:.3f}",
        _decided_by(one, served),
        differences(one.get("differs") or []),
        _short(one["text"], _PROMPT_SHOWN),
    )


def _decided_by(one: Mapping[str, Any], served: bool) -> str:
    if one.get("denied"):
        return "denied"
    if one.get("veto"):
        return f"guard: {one['veto']}"
    return "verifier, served" if served else "verifier"


def differences(pairs: Sequence[Sequence[str]]) -> str:
    """The words that differ, as `- ascending / + descending`.

    Args:
        pairs: Words of the prompt that was asked and of the stored one; empty where one has no partner.
    """
    parts = []
    for ours, theirs in pairs[:_DIFFERENCES_SHOWN]:
        marked = (
            f"- {_short(theirs, _PROMPT_SHOWN)}" if theirs else "",
            f"+ {_short(ours, _PROMPT_SHOWN)}" if ours else "",
        )
        parts.append(" / ".join(part for part in marked if part))
    if len(pairs) > _DIFFERENCES_SHOWN:
        parts.append(f"{len(pairs) - _DIFFERENCES_SHOWN} more")
    return "; ".join(parts)


def _tips(reply: Mapping[str, Any], text: str, model: str | None, scope: str | None) -> list[str]:
    """What to type next."""
    options = f" -m {shlex.quote(model)}" if model else ""
    question = _quoted(text) + options
    in_scope = question + (f" --scope {shlex.quote(scope)}" if scope else "")
    if reply["result"] == "hit_exact":
        return [f"beast cache lookup {in_scope}", f"beast cache reject --entry {reply['entry']}   (if it is wrong)"]
    if reply["result"] == "hit_semantic":
        served = served_entry(reply)
        wrong = f"beast cache reject --entry {served}   (if it is wrong)" if served else None
        return [f"beast cache lookup {in_scope}", wrong or "beast requests"]
    if "models fetch" in reply["why"] or (reply["result"] == "miss" and reply.get("threshold") is None):
        return ["beast models fetch minilm", "beast plugins"]
    return [f"beast cache put {in_scope} < answer.md" if scope else f"beast ask {question}"]


def _quoted(text: str) -> str:
    return shlex.quote(text) if text.isprintable() and len(text) <= _PROMPT_IN_TIP else "PROMPT"


def _short(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"
