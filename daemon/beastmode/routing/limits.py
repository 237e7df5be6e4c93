"""How many requests a deployment gets at once, where the user set a limit."""

from __future__ import annotations

import asyncio

from beastmode.core.deployments import Deployment
from beastmode.core.errors import RateLimitError


class Slots:
    """The slots of all deployments that have a `max_concurrent`."""

    def __init__(self) -> None:
        self._all: dict[str, tuple[int, asyncio.Semaphore]] = {}

    async def take(self, deployment: Deployment, timeout_s: float) -> asyncio.Semaphore | None:
        """Waits for a slot.

        Args:
            deployment: What is about to be called.
            timeout_s: Longest wait.

        Returns:
            What to release after the call; None where there is no limit.

        Raises:
            RateLimitError: No slot became free in time.
        """
        count = deployment.limits.max_concurrent
        if count is None:
            return None
        known = self._all.get(deployment.id)
        if known is None or known[0] != count:
            known = self._all[deployment.id] = (count, asyncio.Semaphore(count))
        try:
            async with asyncio.timeout(timeout_s):
                await known[1].acquire()
        except TimeoutError:
            raise RateLimitError(
                f"{deployment.id} was busy for {timeout_s:g} s: its limit is {count} requests at once.",
                tips=[
                    f"raise limits.max_concurrent of {deployment.model} above {count}: beast models add",
                    f"or give {deployment.model} a fallback: another model that may stand in",
                ],
                model=deployment.model,
                endpoint=deployment.base_url or None,
            ) from None
        return known[1]
