"""From a plan to a stored answer: money held, asked, settled, stored under `auto` too where another stood in."""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec

from beastmode.background.warm_budget import Budget
from beastmode.background.warm_flight import Flown, WarmFlight
from beastmode.background.warm_plan import Plan, Planner
from beastmode.background.warm_record import Record
from beastmode.cache.key import Key, make_key
from beastmode.core.types import Request
from beastmode.gateway import Gateway

NOTED_MAX, OWN_MAX = 2_000, 50


class Asking:
    """Asks one request at a time.

    Args:
        gateway: Is asked.
        planner: Is told what failed.
        budget: Holds the money.
        record: Is told what was made, and what of it was used.
    """

    def __init__(self, gateway: Gateway, planner: Planner, budget: Budget, record: Record) -> None:
        self._gateway = gateway
        self._planner = planner
        self._budget = budget
        self._record = record
        self._one = asyncio.Lock()
        self._flying: WarmFlight | None = None
        self._noted = ""
        self._own: deque[str] = deque(maxlen=OWN_MAX)

    def stop(self) -> None:
        """Ends what is being asked, unless a person waits for it."""
        if self._flying is not None:
            self._flying.stop()

    async def ask(self, plan: Plan) -> tuple[str, float | None]:
        """Asks what a plan has.

        Args:
            plan: One with a request.

        Returns:
            `stored`, or why not, in a word; and what it cost (None: nobody knows).
        """
        assert plan.request is not None and plan.key is not None
        request, workspace = plan.request, plan.request.workspace or ""
        async with self._one:
            name = f"{plan.key.exact.hex()}-{self._gateway.admitted}"
            if not await self._budget.hold(name, workspace, plan.may_cost_usd or 0.0):
                return "over_budget", 0.0
            known = False
            try:
                self._budget.began()
                self._flying = WarmFlight(self._gateway)
                flown = await self._flying.fly(request)
                self._own.append(request.request_id)
                known = flown.cost_known
            finally:
                self._flying = None
                await self._budget.settle(name, known=known)
            return await self._came(plan, request, plan.key, flown)

    async def _came(self, plan: Plan, request: Request, key: Key, flown: Flown) -> tuple[str, float | None]:
        if flown.end != "answered" or flown.answer is None:
            if flown.end == "failed":
                self._planner.known.pass_over(key, failed=True)
            return flown.end, 0.0 if flown.cost_known or plan.may_cost_usd == 0.0 else None
        cost_usd = flown.answer.cost_usd
        own = make_key(request)
        if own.exact != key.exact and not await self._store_for_auto(request, own, key):
            self._planner.known.pass_over(key, failed=False)
            return "not_storable", cost_usd
        if not await self._planner.known.is_stored(request, key):
            self._planner.known.pass_over(key, failed=False)
            return "not_storable", cost_usd
        if flown.answer.cache.result in ("miss", "bypass", "stale"):
            served = make_key(request, flown.answer.model)
            self._record.made({key.exact, own.exact, served.exact}, plan.wish.source, used=flown.joined)
        return "stored", cost_usd

    async def _store_for_auto(self, request: Request, own: Key, key: Key) -> bool:
        """Stores the answer of the model that stood in under `auto` as well; the entry says who gave it."""
        entry = await self._gateway.lookup.peek(own.exact)
        if entry is None:
            return False
        for_auto = msgspec.structs.replace(entry, key=key.exact, scope=key.scope, text=key.text)
        if for_auto.pieces:
            await self._gateway.variants.keep(request, for_auto, self._gateway.lookup.store)
        else:
            semantic = self._gateway.semantic
            by_meaning = semantic is not None and semantic.why_not(request, key) is None
            self._gateway.keeper.keep(for_auto, by_meaning=by_meaning)
        return True

    def note_use(self) -> None:
        """Looks which stored answers people got since the last time."""
        newest = ""
        for count, (request_id, key) in enumerate(reversed(self._gateway.keeper.noted.items())):
            newest = newest or request_id
            if request_id == self._noted or count >= NOTED_MAX:
                break
            if request_id not in self._own:
                self._record.used(key)
        self._noted = newest or self._noted
