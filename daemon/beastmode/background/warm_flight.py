"""One request that is asked ahead: it gives way to a person at once, unless that person wants this very answer."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec

from beastmode.accounts import UNCHARGED_KINDS, Ticket
from beastmode.core.errors import BeastError
from beastmode.core.types import Answer, Request
from beastmode.gateway import Gateway

End = Literal["answered", "gave_way", "failed", "stopped"]

GIVES_WAY = "gave_way"


class Flown(msgspec.Struct, frozen=True):
    """What became of it.

    Attributes:
        end: answered; gave_way to a person; failed; stopped by whoever wanted it.
        answer: The answer, where there is one.
        joined: A person waits for this very answer, or waited.
        cost_known: The ledger knows what it cost.
    """

    end: End
    answer: Answer | None = None
    joined: bool = False
    cost_known: bool = True


class WarmFlight:
    """Asks the gateway.

    Args:
        gateway: Tells of persons' requests.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._joined = self._gave_way = False
        self._task: asyncio.Task[Answer] | None = None
        self._key = b""

    async def fly(self, request: Request) -> Flown:
        """Asks, and tells what came of it; it raises nothing but the caller's own cancellation.

        Args:
            request: Of origin `warming`.
        """
        try:
            ticket = self._gateway.admit(request)
        except BeastError:
            return Flown("failed")
        self._key = ticket.key.exact
        self._task = asyncio.ensure_future(self._gateway.ask(ticket))
        before, self._gateway.on_person = self._gateway.on_person, self._person_came
        try:
            await asyncio.wait({self._task})
        except asyncio.CancelledError:
            self._task.cancel("warming_stopped")
            await asyncio.gather(self._task, return_exceptions=True)
            raise
        finally:
            self._gateway.on_person = before
        return self._flown(self._task, ticket)

    def _flown(self, task: asyncio.Task[Answer], ticket: Ticket) -> Flown:
        if task.cancelled():
            end: End = "gave_way" if self._gave_way else "stopped"
            return Flown(end, joined=self._joined, cost_known=_is_known(ticket))
        error = task.exception()
        if isinstance(error, BeastError):
            return Flown("failed", joined=self._joined, cost_known=_is_known(ticket, error))
        answer = task.result()
        return Flown("answered", answer, self._joined, cost_known=answer.cost_usd is not None)

    def stop(self) -> None:
        """Ends it, unless a person waits for it."""
        if self._task is not None and not self._joined:
            self._task.cancel("warming_stopped")

    def _person_came(self, ticket: Ticket) -> None:
        if ticket.key.exact == self._key and ticket.request.cache == "default":
            self._joined = True
        elif not self._joined and self._task is not None:
            self._gave_way = True
            self._task.cancel(GIVES_WAY)


def _is_known(ticket: Ticket, error: BeastError | None = None) -> bool:
    """Whether a request without an answer certainly cost what its row says."""
    if not ticket.attempts or ticket.free:
        return True
    return error is not None and ticket.attempts == 1 and error.kind in UNCHARGED_KINDS
