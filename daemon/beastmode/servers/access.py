"""Who may see the dashboard: a ticket opens it once, a cookie from then on; neither is the API token."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable

from beastmode.core.clock import Clock

TICKET_S = 60.0
TICKETS_MAX = 64
SESSION_S = 30 * 86_400
SESSION_MAX_CHARS = 200
_PURPOSE = b"beastmode dashboard session"


class Access:
    """Gives out tickets and sessions.

    A session is a random id and its end, signed with a key made from the API token: nothing of it is stored, so it
    outlives a restart of the daemon; when the token changes, every session is over.

    Args:
        token: Gives the API token in force.
        clock: Time.
    """

    def __init__(self, token: Callable[[], str], clock: Clock) -> None:
        self._token = token
        self._clock = clock
        self._tickets: dict[str, float] = {}

    def ticket(self) -> str:
        """Makes a ticket that opens the dashboard once, within a minute."""
        now_s = self._clock.mono_s()
        self._tickets = {one: until_s for one, until_s in self._tickets.items() if until_s > now_s}
        while len(self._tickets) >= TICKETS_MAX:
            del self._tickets[next(iter(self._tickets))]
        ticket = secrets.token_urlsafe(32)
        self._tickets[ticket] = now_s + TICKET_S
        return ticket

    def redeem(self, ticket: str) -> str | None:
        """Takes a ticket for a session.

        Args:
            ticket: As it came.

        Returns:
            The session; None where there is no such ticket, any more.
        """
        until_s = self._tickets.pop(ticket, None)
        if until_s is None or until_s <= self._clock.mono_s():
            return None
        content = f"{secrets.token_urlsafe(18)}.{int(self._clock.wall_s()) + SESSION_S}"
        return f"{content}.{self._signed(content)}"

    def admits(self, session: str | None) -> bool:
        """Whether a session is one of ours, and not over.

        Args:
            session: As it came.
        """
        if not session or len(session) > SESSION_MAX_CHARS or not session.isascii():
            return False
        content, _, signature = session.rpartition(".")
        if not hmac.compare_digest(signature, self._signed(content)):
            return False
        return int(content.rpartition(".")[2]) > self._clock.wall_s()

    @property
    def epoch(self) -> str:
        """Changes when every session is over."""
        return self._signed("epoch")

    def _signed(self, content: str) -> str:
        token = self._token().encode()
        key = hmac.digest(token, _PURPOSE, hashlib.sha256) if token else secrets.token_bytes(32)
        return hmac.new(key, content.encode(), hashlib.sha256).hexdigest()
