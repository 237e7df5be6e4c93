"""The commands for models: which there are, which answers this editor, a new one; and which of them cost nothing."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams

from beastmode.core.errors import BeastError
from beastmode_lsp.arguments import take

if TYPE_CHECKING:
    from beastmode_lsp.session import Session

CATALOGUE_S = 15.0
MOST_CHOICES = 12
DEFAULT_CHOICE = "The daemon's default"
_ADDING = {"id": str, "base_url": str, "key": str, "upstream_model": str, "price": dict, "test": bool}


class Catalogue:
    """The daemon's models, asked for at most every few seconds.

    Args:
        session: Of the editor.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._models: list[dict[str, Any]] = []
        self._until_s = 0.0

    def renew(self) -> None:
        """What is known is out of date."""
        self._until_s = 0.0

    async def models(self) -> list[dict[str, Any]]:
        """All of them, as `models.list` has them."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._until_s:
            self._models = (await self._session.daemon.call("models.list", {}))["models"]
            self._until_s = now_s + CATALOGUE_S
        return self._models

    async def free(self, wanted: str | None) -> str | None:
        """A model that costs nothing and is ready: the wanted one, or any where none is named; None if there is none.

        Args:
            wanted: Its id; `auto` names none.
        """
        ready = [one for one in await self.models() if is_free(one) and is_ready(one)]
        if wanted and wanted != "auto":
            return next((wanted for one in ready if one["id"] == wanted), None)
        local_first = sorted(ready, key=lambda one: one.get("kind") != "local")
        return local_first[0]["id"] if local_first else None


def is_free(model: dict[str, Any]) -> bool:
    """Whether a model costs nothing, wherever it is served. An unknown price is not free.

    Args:
        model: As `models.list` has it.
    """
    if model.get("kind") == "local":
        return True
    deployments = model.get("deployments") or ()
    prices = [one.get("price") or {} for one in deployments]
    return bool(prices) and all(price.get("prompt") == 0 and price.get("completion") == 0 for price in prices)


def is_ready(model: dict[str, Any]) -> bool:
    """Whether it can be asked now.

    Args:
        model: As `models.list` has it.
    """
    return any(one.get("state") == "ready" for one in model.get("deployments") or ())


async def list_models(session: Session, given: Any) -> dict[str, Any]:
    """`beast.models`: what `models.list` says.

    Args:
        session: Of the editor.
        given: The argument of the command.
    """
    take("beast.models", given, {})
    found: dict[str, Any] = await session.daemon.call("models.list", {})
    return found


async def select_model(session: Session, given: Any) -> dict[str, Any]:
    """`beast.selectModel`: the model that answers this editor from now on; "" is the daemon's default.

    Args:
        session: Of the editor.
        given: The argument of the command; without `model` the user is asked.
    """
    fields = take("beast.selectModel", given, {"model": str})
    known = [one["id"] for one in await session.catalogue.models()]
    model = fields.get("model")
    if model is None:
        model = await _choose(session, known)
    elif model and model != "auto" and model not in known:
        session.catalogue.renew()
        known = [one["id"] for one in await session.catalogue.models()]
        if model not in known:
            raise JsonRpcInvalidParams(
                f"There is no model {model!r}. Known: {', '.join(known) or 'none'}. Try: beast models add"
            )
    if model is not None:
        session.model = model
    return {"model": session.chosen_model}


async def _offered(session: Session) -> dict[str, Any]:
    """A model of a server that runs on this machine, as the user chose it; nothing where there is none."""
    servers = (await session.daemon.call("models.discover", {}))["servers"]
    offers = {
        f"{name} at {one['base_url']}": {
            "id": f"custom:{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}",
            "base_url": one["base_url"],
            "upstream_model": name,
        }
        for one in servers
        for name in one.get("models") or ()
    }
    chosen = await _ask(session, "BEAST: which of these models shall be registered?", list(offers)[:MOST_CHOICES])
    return offers.get(chosen or "", {})


async def _ask(session: Session, message: str, titles: list[str]) -> str | None:
    """Has the user choose; None where nothing was chosen, or there is no choice."""
    if not titles:
        return None
    actions = [types.MessageActionItem(title=title) for title in titles]
    params = types.ShowMessageRequestParams(type=types.MessageType.Info, message=message, actions=actions)
    try:
        chosen = await session.server.window_show_message_request_async(params)
    except JsonRpcException:
        return None
    return chosen.title if chosen is not None else None


async def _choose(session: Session, known: list[str]) -> str | None:
    """Asks the user which model answers; None where nothing was chosen."""
    titles = [DEFAULT_CHOICE, "auto", *known[:MOST_CHOICES]]
    left = len(known) - MOST_CHOICES
    more = f" {left} more can be named: beast.selectModel {{model}}." if left > 0 else ""
    chosen = await _ask(session, f"BEAST: which model answers in this editor?{more}", titles)
    return "" if chosen == DEFAULT_CHOICE else chosen


async def register_model(session: Session, given: Any) -> dict[str, Any]:
    """`beast.registerModel`: tests and registers a model; the key goes to the daemon and nowhere else.

    Args:
        session: Of the editor.
        given: The argument of the command; without it, models that run on this machine are offered.
    """
    fields = take("beast.registerModel", given, _ADDING) or await _offered(session)
    if "id" not in fields:
        raise JsonRpcInvalidParams(
            "An editor without a form of its own can not ask for text, so beast.registerModel takes all at once: "
            '{"id": "custom:NAME", "base_url": "http://127.0.0.1:8000/v1", "key": "..."}. '
            "Try: in a terminal, beast models add custom:NAME --base-url URL (it asks for the key)"
        )
    try:
        found: dict[str, Any] = await session.daemon.call("models.add", fields)
    except BeastError as error:
        key = fields.get("key")
        if key and key in error.message:
            error.message = error.message.replace(key, "***")
        raise
    session.catalogue.renew()
    if not session.has_views:
        session.say(f"BEAST: {fields['id']} is registered.")
    return found
