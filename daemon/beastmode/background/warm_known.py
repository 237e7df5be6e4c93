"""What is known of a request that could be asked ahead: stored and true, or better not tried for a while."""

from __future__ import annotations

from beastmode.cache.key import Key
from beastmode.cache.variants import answers_of
from beastmode.core.clock import Clock
from beastmode.core.types import Request
from beastmode.gateway import Gateway

PASSED_MAX = 2_000
FAILED_PAUSE_S = 900.0
UNSTORABLE_PAUSE_S = 86_400.0


class Known:
    """Looks keys up.

    Args:
        gateway: Has what is stored, and knows what of it is true.
        clock: Time.
    """

    def __init__(self, gateway: Gateway, clock: Clock) -> None:
        self._gateway = gateway
        self._clock = clock
        self._passed: dict[bytes, float] = {}

    async def is_stored(self, request: Request, key: Key) -> bool:
        """Whether the answer is stored, and true now.

        Args:
            request: What would be asked.
            key: Its key.
        """
        entry = await self._gateway.lookup.peek(key.exact)
        if entry is None:
            return False
        if request.gather is None and not entry.pieces:
            return bool(entry.digests) or self._clock.wall_s() - entry.stored_at_s < self._keeps_s()
        for one in answers_of(entry):
            if one.pieces and await self._gateway.variants.hold(request, one.pieces) is not None:
                return True
        return False

    def _keeps_s(self) -> float:
        cache = self._gateway.settings.cache
        return max(cache.l1.ttl_s if cache.l1.max_bytes else 0.0, cache.l2.ttl_s if cache.l2.max_bytes else 0.0)

    def pass_over(self, key: Key, *, failed: bool) -> None:
        """Does not try something again for a while.

        Args:
            key: Of the request.
            failed: It failed; else its answer can not be stored.
        """
        if len(self._passed) >= PASSED_MAX:
            self._passed.clear()
        pause_s = FAILED_PAUSE_S if failed else UNSTORABLE_PAUSE_S
        self._passed[key.exact] = self._clock.mono_s() + pause_s

    def is_passed_over(self, key: Key) -> bool:
        """Whether it is not to be tried now.

        Args:
            key: Of the request.
        """
        return self._passed.get(key.exact, 0.0) > self._clock.mono_s()
