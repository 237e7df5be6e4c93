"""Retention: history that is older or larger than the user wants is deleted, an hour after the start and every hour."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from beastmode.core.clock import Clock
from beastmode.core.errors import BeastError
from beastmode.core.settings import RetentionSettings
from beastmode.metrics.ledger import Ledger
from beastmode.sessions import Sessions

PAUSE_S = 3600.0
DAY_S = 86400.0


class Retention:
    """Deletes old rows and sessions.

    Args:
        settings: Gives the settings in force.
        ledger: Rows of requests.
        sessions: Chat histories.
        clock: Time.
    """

    def __init__(
        self, settings: Callable[[], RetentionSettings], ledger: Ledger, sessions: Sessions, clock: Clock
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._sessions = sessions
        self._clock = clock

    async def sweep(self) -> tuple[int, int]:
        """Deletes what is too old.

        Returns:
            How many rows and how many sessions went.
        """
        settings = self._settings()
        rows = sessions = 0
        if settings.ledger_days or settings.ledger_max_bytes:
            age_s = settings.ledger_days * DAY_S if settings.ledger_days else None
            rows = await self._ledger.prune(age_s, settings.ledger_max_bytes or None)
        if settings.sessions_days:
            before_s = self._clock.wall_s() - settings.sessions_days * DAY_S
            for name in await self._sessions.between(0.0, before_s):
                with contextlib.suppress(BeastError):  # removed meanwhile
                    await self._sessions.remove(name)
                    sessions += 1
        return rows, sessions
