"""Health: how requests went lately and how the daemon's own parts are, each trouble with its cause and a tip."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec

from beastmode.core.clock import Clock
from beastmode.core.settings import HealthSettings
from beastmode.metrics.health_rules import Recent, Status, judge
from beastmode.metrics.health_window import Recently, Window
from beastmode.metrics.ledger import Ledger

COUNT_LIMIT_S = 2.0
REFRESH_LIMIT_S = 0.5

NO_MODEL_TIP = "no model is registered: beast models discover, or beast models add"

PartState = Literal["ok", "degraded", "failed"]


class Issue(msgspec.Struct, frozen=True):
    """Something that is not as it should be.

    Attributes:
        part: Which part, such as `ledger` or `model custom:qwen`.
        state: degraded: it works, but not as it should; failed: it does not work and the daemon is of little use.
        cause: One sentence.
        tip: What to do.
    """

    part: str
    state: PartState
    cause: str
    tip: str = ""


Check = Callable[[], Issue | str | Iterable[Issue] | None]
Refresh = Callable[[], Awaitable[object]]


class _Part(msgspec.Struct, frozen=True):
    check: Check
    tip: str
    refresh: Refresh | None


class Health:
    """Asks every part how it is.

    Args:
        ledger: How requests went.
        clock: Time.
        rules: Gives the thresholds in force.
        models: Gives every registered model, with a sentence where something about it is amiss.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        rules: Callable[[], HealthSettings] = HealthSettings,
        models: Callable[[], Mapping[str, str | None]] | None = None,
    ) -> None:
        self._recently = Recently(ledger, clock)
        self._rules = rules
        self._models = models or dict
        self._may_be_empty = models is None
        self._parts: dict[str, _Part] = {}
        self.figures: dict[str, Callable[[], Any]] = {}

    def add(self, part: str, check: Check, tip: str = "", refresh: Refresh | None = None) -> None:
        """Names a part to be asked.

        Args:
            part: Its name.
            check: Called on the event loop; gives None where all is well, a sentence (then it is degraded), or issues.
            tip: For a check that gives a sentence.
            refresh: Looks anew before `check` is called, where that takes a moment; it is waited for half a second.
        """
        self._parts[part] = _Part(check, tip, refresh)

    def issues(self) -> list[Issue]:
        """Asks the parts; one whose check fails is degraded itself."""
        return [issue for part in self._parts for issue in self._ask(part) if issue.state != "ok"]

    def _ask(self, name: str) -> list[Issue]:
        part = self._parts[name]
        try:
            said = part.check()
        except Exception as error:
            said = f"It can not be asked: {type(error).__name__}: {error}."
        if said is None:
            return []
        if isinstance(said, str):
            return [Issue(name, "degraded", said, part.tip or f"see the log for {name}: state/logs/beast.log")]
        return [said] if isinstance(said, Issue) else list(said)

    async def check(self, found: Iterable[Issue] = ()) -> dict[str, Any]:
        """Sums it up.

        Args:
            found: What somebody else has just found, such as a probe.

        Returns:
            `{status, why, tip, issues: [{part, state, cause, tip}], requests: {window_s, success, failure, latency_s},
            models: {id: {status, why, tip, registered, success, failure, latency_s}}, parts: {name: state}}`, and more.
        """
        rules = self._rules()
        window, trouble = await self._look(rules)
        verdict = judge(window.every, rules)
        status, why = verdict.status, verdict.why
        states: dict[str, PartState] = dict.fromkeys(self._parts, "ok")
        issues = []
        for name in self._parts:
            said = [issue for issue in self._ask(name) if issue.state != "ok"]
            if said:
                states[name] = "failed" if any(issue.state == "failed" for issue in said) else "degraded"
            issues += said
        issues += [issue for issue in found if issue.state != "ok"]
        if trouble is not None:
            status, why = "degraded", trouble.cause
            issues.insert(0, trouble)
        elif status != "healthy":
            issues.insert(0, Issue("requests", _state(status), _blame(why, window, rules), verdict.tip))
        return {
            "status": _worst(issues),
            "why": why,
            "tip": verdict.tip or ("" if self._may_be_empty or self._models() else NO_MODEL_TIP),
            "issues": [msgspec.structs.asdict(issue) for issue in issues],
            "requests": {
                "window_s": rules.window_s,
                "min_requests": rules.min_requests,
                **msgspec.structs.asdict(window.every),
            },
            "models": self._each_model(window, rules),
            "parts": states,
            **{name: tell() for name, tell in self.figures.items()},
        }

    async def _look(self, rules: HealthSettings) -> tuple[Window, Issue | None]:
        """Counts the newest requests, while parts that need a moment look anew."""
        counting = asyncio.ensure_future(asyncio.wait_for(self._recently.look(rules.window_s), COUNT_LIMIT_S))
        await asyncio.gather(
            *(
                asyncio.wait_for(part.refresh(), REFRESH_LIMIT_S)
                for part in self._parts.values()
                if part.refresh is not None
            ),
            return_exceptions=True,
        )
        try:
            return await counting, None
        except Exception as error:
            said = str(error) or f"it did not answer within {COUNT_LIMIT_S:g} s"
            cause = f"The newest requests can not be counted: {said}"
            tip = "look at the disk (df -h) and at the log: state/logs/beast.log"
            return Window(Recent(), {}), Issue("requests", "degraded", cause, tip)

    def _each_model(self, window: Window, rules: HealthSettings) -> dict[str, Any]:
        amiss = self._models()
        found = {}
        for model in [*amiss, *(one for one in window.models if one not in amiss)]:
            recent = window.models.get(model, Recent())
            verdict = judge(recent, rules)
            note = amiss.get(model)
            found[model] = {
                "status": verdict.status,
                "why": f"{verdict.why} {note}" if note else verdict.why,
                "tip": verdict.tip,
                "registered": model in amiss,
                **msgspec.structs.asdict(recent),
            }
        return found


def _state(status: Status) -> PartState:
    return "failed" if status == "unhealthy" else "degraded"


def _worst(issues: list[Issue]) -> Status:
    if any(issue.state == "failed" for issue in issues):
        return "unhealthy"
    return "degraded" if issues else "healthy"


def _blame(why: str, window: Window, rules: HealthSettings) -> str:
    """Adds which model it is, where several were asked and one stands out."""
    bad = [model for model, recent in window.models.items() if judge(recent, rules).status != "healthy"]
    if len(window.models) < 2 or not bad:
        return why
    return f"{why} It is {', '.join(sorted(bad)[:3])}{' and others' if len(bad) > 3 else ''}."
