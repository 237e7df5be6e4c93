"""`beast cache`: what is stored for a prompt, by hand; and taking it out again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from beastmode.cli import figures, prompts
from beastmode.cli.ages import age_s
from beastmode.cli.command import Group, pass_screen
from beastmode.cli.completing import model_names
from beastmode.cli.screen import Screen
from beastmode.core.errors import BadInputError

if TYPE_CHECKING:
    from beastmode.client import Client

_HERE = "beastmode.cli"
_ELSEWHERE = {
    "stats": f"{_HERE}.cache_stats:stats",
    "explain": f"{_HERE}.cache_explain:explain",
    "export": f"{_HERE}.cache_files:export_entries",
    "import": f"{_HERE}.cache_files:import_entries",
    "warm": f"{_HERE}.cache_warm:warm",
}


def which_question(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say in which part of the cache a prompt is looked for."""
    model = click.option(
        "-m",
        "--model",
        help="The model that is asked [default: the setting routing.default_model].",
        shell_complete=model_names,
    )
    scope = click.option("--scope", metavar="NAME", help="A part of the cache apart; answers of others are not seen.")
    return model(scope(command))


def asked(client: Client, model: str | None, scope: str | None) -> dict[str, Any]:
    """The parameters that name the part of the cache which `beast ask` would use.

    Args:
        client: To ask for the setting.
        model: As the option was given.
        scope: As the option was given.
    """
    named = model or client.call("config.get")["settings"]["routing"]["default_model"]
    return {"model": named, **({"scope": scope} if scope else {})}


@click.group(cls=Group, default="stats", lazy=_ELSEWHERE)
def cache() -> None:
    """Look into the cache, explain it, and change it.

    Alone it shows what is stored and what that was good for.
    """


@cache.command()
@click.argument("prompt", nargs=-1)
@which_question
@pass_screen
def lookup(screen: Screen, prompt: tuple[str, ...], model: str | None, scope: str | None) -> int:
    """Print the stored answer to PROMPT; never ask a model.

    PROMPT is read as by `beast ask`. Other wordings of the same question count. Where nothing is stored, that is said,
    and the exit code is 1.
    """
    text = prompts.question(screen, prompt)
    with screen.client() as client:
        reply = client.call("cache.lookup", {"prompt": text, **asked(client, model, scope)})
    if screen.as_json:
        screen.json(reply)
    else:
        if reply["hit"]:
            screen.write(reply["response"] + ("" if reply["response"].endswith("\n") else "\n"))
        screen.note(" · ".join(_outcome(reply)))
    return 0 if reply["hit"] else 1


def _outcome(reply: dict[str, Any]) -> list[str]:
    parts = [" ".join(part for part in (reply["result"], reply.get("tier")) if part)]
    named = ("similarity", "confidence")
    parts += [f"{name} {reply[name]:.3f}" for name in named if reply.get(name) is not None]
    return [*parts, reply["why"]] if reply.get("why") else parts


@cache.command()
@click.argument("prompt")
@click.argument("response", required=False)
@which_question
@click.option("-t", "--tag", "tags", multiple=True, help="A label, to invalidate it by; may be repeated.")
@pass_screen
def put(
    screen: Screen, prompt: str, response: str | None, model: str | None, scope: str | None, tags: tuple[str, ...]
) -> None:
    """Store RESPONSE as the answer to PROMPT.

    Without RESPONSE, or with `-`, the answer is read from standard input. `beast ask` finds it from then on, by another
    wording too.
    """
    given = response if response not in (None, "-") else (prompts.piped(screen, required=True) or "").strip("\n")
    if not prompt.strip() or not given:
        raise BadInputError(
            f"There is no {'answer' if prompt.strip() else 'prompt'} to store.",
            tips=['beast cache put "Who is on call?" "Ada"', 'beast cache put "How do we deploy?" < deploy.md'],
        )
    words = {name: text.encode(errors="replace").decode() for name, text in (("prompt", prompt), ("response", given))}
    with screen.client() as client:
        params = {**words, **asked(client, model, scope), **({"tags": list(tags)} if tags else {})}
        reply = client.call("cache.put", params)
    if screen.as_json:
        return screen.json(reply)
    screen.say(f"stored as {reply['entry']}")
    if not reply.get("by_meaning"):
        screen.note("found by this very prompt only, and not by another wording; why: beast cache explain PROMPT")
    return None


@cache.command()
@click.argument("request_id", required=False)
@click.option("--entry", help="The stored answer itself, as `beast cache explain` names it.")
@pass_screen
def reject(screen: Screen, request_id: str | None, entry: str | None) -> None:
    """Say that a stored answer was wrong.

    REQUEST_ID is the request that got it. Where it was the answer to another wording, this pair of prompts is never
    taken for the same again; otherwise the answer is removed. `beast requests` lists requests.
    """
    if (request_id is None) == (entry is None):
        raise BadInputError(
            "Which answer: that of a request, or an entry?",
            tips=["beast requests", "beast cache reject REQUEST_ID", "beast cache reject --entry ENTRY"],
        )
    with screen.client() as client:
        reply = client.call("cache.reject", {"request_id": request_id} if request_id else {"entry": entry})
    if screen.as_json:
        screen.json(reply)
    elif reply["rejected"] == "pair":
        screen.say(f"denied: the prompt of {request_id} is never again answered with entry {reply['entry']}")
    elif reply["rejected"] == "variant":
        screen.say(f"removed the answer of {request_id} from entry {reply['entry']}; its others stay")
    else:
        screen.say(f"removed entry {reply['entry']}")


@cache.command()
@click.option("-m", "--model", help="Given by this model.", shell_complete=model_names)
@click.option("--workspace", metavar="DIR", type=click.Path(), help="Of this workspace.")
@click.option("--file", metavar="FILE", type=click.Path(), help="Made from this file.")
@click.option("--tag", help="With this label.")
@click.option("--older-than", "older_than_s", metavar="AGE", type=age_s, help="At least so old, such as 30m, 2h or 7d.")
@click.option("--dry-run", is_flag=True, help="Only count them.")
@pass_screen
def invalidate(
    screen: Screen,
    model: str | None,
    workspace: str | None,
    file: str | None,
    tag: str | None,
    older_than_s: float | None,
    dry_run: bool,
) -> None:
    """Take stored answers out, in every tier.

    All that is given must hold. FILE is told by its path inside the workspace, or inside the project around the current
    folder where no workspace is named.
    """
    root = str(Path(workspace).expanduser().resolve()) if workspace is not None else None
    filters = {
        "model": model,
        "workspace": root,
        "path": _named(file, root) if file is not None else None,
        "tag": tag,
        "older_than_s": older_than_s,
    }
    given = {name: value for name, value in filters.items() if value is not None}
    if not given:
        raise BadInputError(
            "Which answers?",
            tips=["beast cache invalidate --older-than 7d --dry-run", "all of them: beast cache clear"],
        )
    with screen.client() as client:
        reply = client.call("cache.invalidate", {**given, "dry_run": dry_run})
    if screen.as_json:
        return screen.json(reply)
    found = figures.count(reply["entries"], "answer")
    return screen.say(f"{found} would be taken out" if dry_run else f"took {found} out")


def _named(file: str, root: str | None) -> str:
    """A file's path as stored answers name it."""
    if root is None:
        return str(prompts.attached([file])["files"][0])
    path = Path(file).expanduser().resolve()
    return str(path.relative_to(root)) if path.is_relative_to(root) else file


@cache.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_screen
def clear(screen: Screen, yes: bool) -> int:
    """Remove every stored answer, in every tier.

    Asks at a terminal. Pairs of prompts that were rejected stay rejected.
    """
    from beastmode.cli.confirm import confirmed

    with screen.client() as client:
        tiers = client.call("cache.stats")
        found = max([tier.get("entries") or 0 for name, tier in tiers.items() if name in ("l1", "l2")], default=0)
        question = f"Remove {figures.count(found, 'stored answer')}?"
        if not confirmed(screen, question, yes, "beast cache clear"):
            screen.note("nothing was removed")
            return 1
        reply = client.call("cache.clear")
    if screen.as_json:
        screen.json(reply)
    else:
        screen.say("the cache is empty")
    return 0
