"""What is asked ahead of all that could be: not what is stored, what is large, or what nobody allowed to pay for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from math import inf
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from beastmode.background.activity import Activities
from beastmode.background.warm_budget import Budget
from beastmode.background.warm_known import Known
from beastmode.background.warm_requests import make
from beastmode.background.warm_wishes import Wish
from beastmode.cache.key import Key, make_key
from beastmode.core.breaker import Breakers
from beastmode.core.clock import Clock
from beastmode.core.deployments import Deployment
from beastmode.core.errors import BeastError
from beastmode.core.plugins import Provider
from beastmode.core.types import Message, Request
from beastmode.costs.prices import FREE_PROVIDERS, Prices
from beastmode.gateway import Gateway
from beastmode.routing.models import Registry
from beastmode.routing.selector import rank
from beastmode.routing.vault import Vault
from beastmode.workspace.library import Library

PROMPT_MAX_CHARS = 60_000
ANSWER_MAX_TOKENS = 8_192
CHARS_PER_TOKEN = 4


class Plan(msgspec.Struct, kw_only=True):
    """What is to be done about a wish.

    Attributes:
        wish: The wish.
        why_not: Why it is not asked, in a word; empty: it is asked.
        request: The request; None where none could be made.
        key: The key under which the person's own request would look.
        model: The model that would answer.
        may_cost_usd: The most that it may cost; None: nobody knows.
    """

    wish: Wish
    why_not: str = ""
    request: Request | None = None
    key: Key | None = None
    model: str = ""
    may_cost_usd: float | None = None


class Planner:
    """Looks at wishes one by one.

    Args:
        gateway: Would be asked.
        library: Lends pieces of open workspaces.
        activities: Tell of files that are being edited.
        budget: Of money.
        registry: The models.
        breakers: Health of the deployments.
        vault: Keys.
        providers: Provider plugins.
        prices: What calls may cost.
        clock: Time.

    Attributes:
        known: What is stored, or failed a while ago.
    """

    def __init__(
        self,
        *,
        gateway: Gateway,
        library: Callable[[], Library | None],
        activities: Activities,
        budget: Budget,
        registry: Registry,
        breakers: Breakers,
        vault: Vault,
        providers: Mapping[str, Provider],
        prices: Prices,
        clock: Clock,
    ) -> None:
        self._gateway = gateway
        self._library = library
        self._activities = activities
        self._budget = budget
        self._registry = registry
        self._breakers = breakers
        self._vault = vault
        self._providers = providers
        self._prices = prices
        self.known = Known(gateway, clock)

    async def plan(self, wish: Wish) -> Plan:
        """Decides about a wish; asks no model and spends nothing.

        Args:
            wish: What could be asked.
        """
        await self._budget.refresh()
        if wish.path and await self._is_unsaved(wish):
            return Plan(wish=wish, why_not="unsaved")
        try:
            request = self._gateway.named(await make(wish, self._library()))
            key = make_key(request)
        except BeastError:
            return Plan(wish=wish, why_not="gone")
        plan = Plan(wish=wish, request=request, key=key, model=request.model)
        plan.why_not = await self._why_not(plan, request, key)
        return plan

    async def _why_not(self, plan: Plan, request: Request, key: Key) -> str:
        if not self._gateway.settings.cache.enabled:
            return "no_cache"
        if self._is_large(request):
            return "large"
        if await self.known.is_stored(request, key):
            return "stored"
        if self.known.is_passed_over(key):
            return "failed_before"
        self._let_stand_in(request)
        try:
            ranked = rank(
                request,
                request.model,
                self._registry,
                self._breakers,
                self._vault,
                self._providers,
                self._gateway.settings,
            ).deployments
        except BeastError:
            return "no_model"
        plan.model = ranked[0].model
        return self._why_too_dear(plan, request, ranked)

    def _let_stand_in(self, request: Request) -> None:
        """Takes the cheaper model that the user named, for `auto` alone."""
        stand_in = self._gateway.settings.warming.model
        if request.model == "auto" and stand_in and self._registry.find(stand_in) is not None:
            request.model = stand_in

    def _why_too_dear(self, plan: Plan, request: Request, ranked: list[Deployment]) -> str:
        widened = _widened(request, self._gateway.settings.workspace.context_tokens)
        plan.may_cost_usd = self._prices.upper_bound(widened, ranked[0])
        limit_usd = self._budget.limit_usd(request.workspace or "")
        if limit_usd <= 0:
            if plan.may_cost_usd != 0.0 or any(not _is_near(one) for one in ranked if self._is_free(one, widened)):
                return "costs_money"
        elif plan.may_cost_usd is None:
            return "price_unknown"
        elif plan.may_cost_usd > limit_usd or plan.may_cost_usd > _allowed_usd(request):
            return "over_budget"
        request.max_cost_usd = plan.may_cost_usd
        return ""

    def _is_free(self, deployment: Deployment, request: Request) -> bool:
        return self._prices.upper_bound(request, deployment) == 0.0

    async def _is_unsaved(self, wish: Wish) -> bool:
        """The editor's text is not that of the disk: a person would ask about the former."""
        for one in reversed(self._activities.all()):
            if one.path == wish.path and one.workspace == wish.workspace and not one.is_request:
                return one.kind == "edited" and await asyncio.to_thread(_is_older, wish, one.at_s)
        return False

    @staticmethod
    def _is_large(request: Request) -> bool:
        size = sum(len(one.content) if isinstance(one.content, str) else PROMPT_MAX_CHARS for one in request.messages)
        wanted = request.params.get("max_tokens")
        return size > PROMPT_MAX_CHARS or (isinstance(wanted, int) and wanted > ANSWER_MAX_TOKENS)


def _is_older(wish: Wish, at_s: float) -> bool:
    """Whether the file was written before that time."""
    try:
        return Path(wish.workspace, wish.path).lstat().st_mtime < at_s
    except (OSError, ValueError):
        return False


def _allowed_usd(request: Request) -> float:
    """The most that one request may cost, as its project says."""
    return inf if request.max_cost_usd is None else request.max_cost_usd


def _widened(request: Request, context_tokens: int) -> Request:
    """A request as long as it can become by what is found for it."""
    if request.gather is None:
        return request
    room = Message("user", "x" * (context_tokens * CHARS_PER_TOKEN))
    return msgspec.structs.replace(request, messages=[room, *request.messages])


def _is_near(deployment: Deployment) -> bool:
    """A model of this machine or of its network, rather than of somebody on the internet."""
    if deployment.provider in FREE_PROVIDERS:
        return True
    host = (urlsplit(deployment.base_url).hostname or "") if deployment.base_url else ""
    try:
        address = ip_address(host)
    except ValueError:
        return bool(host) and ("." not in host or host.endswith((".localhost", ".local", ".lan")))
    return address.is_loopback or address.is_private
