"""Health: how requests went lately and how the daemon's own parts are, each trouble with its cause and a tip."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from beastmode.metrics.stats import Stats

PartState = Literal["ok", "degraded", "failed"]
Status = Literal["healthy", "degraded", "unhealthy"]


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


class HealthRules(msgspec.Struct, frozen=True):
    """When requests went well enough.

    Attributes:
        window_s: How far back requests count.
        min_requests: Below it nothing is concluded.
        healthy_rate: Success rate above which all is well.
        degraded_rate: Success rate below which it is unhealthy.
        healthy_latency_s: Median wait below which all is well.
        degraded_latency_s: Median wait above which it is unhealthy.
    """

    window_s: float = 300.0
    min_requests: int = 5
    healthy_rate: float = 0.9
    degraded_rate: float = 0.8
    healthy_latency_s: float = 5.0
    degraded_latency_s: float = 10.0


Check = Callable[[], Issue | str | Iterable[Issue] | None]


class Health:
    """Asks every part how it is.

    Args:
        stats: How requests went.
        rules: Thresholds; None: the defaults.
    """

    def __init__(self, stats: Stats, rules: HealthRules | None = None) -> None:
        self._stats = stats
        self._rules = rules or HealthRules()
        self._parts: dict[str, tuple[Check, str]] = {}

    def add(self, part: str, check: Check, tip: str = "") -> None:
        """Names a part to be asked.

        Args:
            part: Its name.
            check: Called on the event loop; gives None where all is well, a sentence (then it is degraded), or issues.
            tip: For a check that gives a sentence.
        """
        self._parts[part] = (check, tip)

    def issues(self) -> list[Issue]:
        """Asks the parts; one whose check fails is degraded itself."""
        found: list[Issue] = []
        for part, (check, tip) in self._parts.items():
            try:
                said = check()
            except Exception as error:
                said = f"It can not be asked: {type(error).__name__}: {error}."
            if isinstance(said, str):
                found.append(Issue(part, "degraded", said, tip))
            elif isinstance(said, Issue):
                found.append(said)
            elif said is not None:
                found.extend(said)
        return [issue for issue in found if issue.state != "ok"]

    async def check(self) -> dict[str, Any]:
        """Sums it up.

        Returns:
            `{status, why, issues: [{part, state, cause, tip}], requests: {window_s, success, failure, latency_s}}`.
        """
        try:
            recent = await self._stats.recent(self._rules.window_s)
            status, why = judge(recent, self._rules)
        except Exception as error:
            recent, status, why = {}, "degraded", f"The newest requests can not be counted: {error}"
        issues = self.issues()
        if status != "healthy":
            state: PartState = "degraded" if status == "degraded" else "failed"
            issues.insert(0, Issue("requests", state, why, "beast errors shows what failed and what to do about it"))
        if any(issue.state == "failed" for issue in issues):
            status = "unhealthy"
        elif issues:
            status = "degraded"
        return {
            "status": status,
            "why": why,
            "issues": [msgspec.structs.asdict(issue) for issue in issues],
            "requests": {"window_s": self._rules.window_s, **recent},
        }


def judge(recent: dict[str, Any], rules: HealthRules) -> tuple[Status, str]:
    """Applies the rules to the newest requests.

    Args:
        recent: As `Stats.recent` gives it.
        rules: Thresholds.

    Returns:
        The status, and why in one sentence.
    """
    success, failure, latency_s = recent["success"], recent["failure"], recent["latency_s"]
    total = success + failure
    span = f"the last {rules.window_s / 60:g} minutes"
    if total < rules.min_requests:
        return "healthy", f"Only {total} requests in {span}: too few to tell."
    rate, wait_s = success / total, latency_s or 0.0
    why = f"{success} of {total} requests in {span} succeeded"
    why += "." if latency_s is None else f", with a median wait of {latency_s:.3g} s."
    if failure > success or rate < rules.degraded_rate or wait_s > rules.degraded_latency_s:
        return "unhealthy", why
    if rate <= rules.healthy_rate or wait_s >= rules.healthy_latency_s:
        return "degraded", why
    return "healthy", why
