"""`beast models`: which models there are, how they are, and how one gets more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from beastmode.cli import figures, life
from beastmode.cli.command import Group, pass_screen
from beastmode.cli.completing import model_names, weights_names
from beastmode.cli.progress import ProgressLine
from beastmode.cli.screen import Screen

_HEAD = ("MODEL", "KIND", "STATE", "ENDPOINT", "NAME THERE", "PRICE PER MILLION TOKENS", "KEY")
_WEIGHTS_HEAD = ("WEIGHTS", "SIZE", "HERE", "LICENCE", "ABOUT")


@click.group(
    cls=Group, default="list", lazy={"add": "beastmode.cli.models_add:add", "compare": "beastmode.cli.compare:compare"}
)
def models() -> None:
    """Register, list, test, compare, find and fetch models.

    Alone it lists them. Starts the daemon where none runs.
    """


@models.command("list")
@pass_screen
def list_models(screen: Screen) -> None:
    """List all models and how they are.

    Custom, provider and local models stand side by side; below, the weights that can be fetched.
    """
    with life.connected(screen) as client:
        reply = client.call("models.list")
    if screen.as_json:
        return screen.json(reply)
    rows = [cells for model in reply["models"] for cells in _rows(model)]
    screen.table(_HEAD, rows, "no model yet; try: beast models add, or: beast models fetch smollm2")
    for cause in _causes(reply["models"]):
        screen.note(cause)
    if available := reply.get("available"):
        screen.say()
        screen.table(_WEIGHTS_HEAD, [_weights(one) for one in available], "")
    return None


@models.command()
@click.argument("id", shell_complete=model_names)
@pass_screen
def remove(screen: Screen, id: str) -> None:
    """Take the model ID and its keys out."""
    with life.connected(screen) as client:
        reply = client.call("models.remove", {"id": id})
    if screen.as_json:
        return screen.json(reply)
    screen.say(f"removed {id}")
    if reply.get("note"):
        screen.note(reply["note"])
    return None


@models.command()
@click.argument("id", shell_complete=model_names)
@click.option("--workflow", is_flag=True, help="All that a model is for: five steps, each with its verdict.")
@pass_screen
def test(screen: Screen, id: str, workflow: bool) -> int:
    """Test every endpoint of the model ID.

    Reachable, key valid, model known, reply well-formed: in this order, and what failed is said exactly. With
    --workflow also: registration, listing, code generation, performance and cost tracking, each ok, failed or unknown,
    with its cause and what to do; that asks the model four questions. The exit code is 5 where something failed.
    """
    with life.connected(screen) as client:
        if workflow:
            from beastmode.cli import workflow as steps

            return steps.run(screen, client, id)
        reply = client.call("models.test", {"id": id})
    if screen.as_json:
        screen.json(reply)
    else:
        for one in reply.get("deployments") or [reply]:
            show_test(screen, one)
    return 0 if reply.get("ok") else 5


@models.command()
@pass_screen
def discover(screen: Screen) -> None:
    """Find model servers that already run on this machine."""
    with life.connected(screen) as client:
        reply = client.call("models.discover")
    if screen.as_json:
        return screen.json(reply)
    rows = [
        (one["base_url"], str(one.get("kind") or ""), ", ".join(one.get("models") or [])) for one in reply["servers"]
    ]
    screen.table(("SERVER", "KIND", "MODELS"), rows, "no model server runs on this machine")
    for one in reply["servers"][:1]:
        name = (one.get("models") or ["MODEL"])[0]
        screen.note(f"try: beast models add custom:NAME --base-url {one['base_url']} --model {name}")
    return None


@models.command()
@click.argument("name", shell_complete=weights_names)
@pass_screen
def fetch(screen: Screen, name: str) -> None:
    """Fetch the weights NAME to this machine.

    They are checked, and the model that they are is registered. `beast models list` names all. A fetch that was
    interrupted goes on where it stopped.
    """
    line = ProgressLine(screen, name)
    with life.connected(screen) as client:
        try:
            reply = client.call("models.fetch", {"name": name}, None if screen.as_json else line.show)
        finally:
            line.end()
    if screen.as_json:
        return screen.json(reply)
    screen.say(f"{name} is here: {figures.size(reply.get('size_bytes'))}, {reply.get('path')}")
    if reply.get("model"):
        screen.note(f'registered as {reply["model"]}; try: beast ask "Write a haiku about sockets" -m {reply["model"]}')
    return None


def show_test(screen: Screen, tested: Mapping[str, Any]) -> None:
    """Prints the steps of an endpoint's test.

    Args:
        screen: Where.
        tested: `{ok, steps: [{name, ok, detail}], latency_ms}`.
    """
    for step in tested.get("steps") or []:
        mark = screen.paint("ok    ", "green") if step.get("ok") else screen.paint("failed", "red")
        screen.say(f"  {mark}  {step.get('name')}{': ' + step['detail'] if step.get('detail') else ''}")
    if tested.get("ok") and tested.get("latency_ms") is not None:
        screen.say(f"  answered in {figures.duration(tested['latency_ms'])}")


def _rows(model: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            str(model.get("id")),
            str(model.get("kind") or ""),
            str(one.get("state") or ""),
            one.get("base_url") or "this machine",
            one.get("upstream_model") or "",
            figures.price(one.get("price")),
            "yes" if one.get("has_key") else "no",
        )
        for one in model.get("deployments") or []
    ]


def _causes(models: list[Mapping[str, Any]]) -> list[str]:
    return [
        f"{model.get('id')}: {one['cause']}"
        for model in models
        for one in model.get("deployments") or []
        if one.get("cause")
    ]


def _weights(one: Mapping[str, Any]) -> tuple[str, ...]:
    here = "yes" if one.get("installed") else "no"
    return (one["name"], figures.size(one.get("size_bytes")), here, one.get("licence") or "", one.get("about") or "")
