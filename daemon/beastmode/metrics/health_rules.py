"""When requests went well enough: one verdict from counts and a median wait, in a word and in a sentence."""

from __future__ import annotations

from typing import Literal

import msgspec

from beastmode.core.settings import HealthSettings

Status = Literal["healthy", "degraded", "unhealthy"]

FAILURES_TIP = "beast errors shows what failed and what to do about it"
SLOW_TIP = (
    "beast requests shows which are slow; a nearer or smaller model, or an endpoint with less to do, answers sooner"
)


class Recent(msgspec.Struct, frozen=True):
    """How requests went within a window of time.

    Attributes:
        success: How many were answered.
        failure: How many failed; refused and cancelled ones are neither.
        latency_s: Median wait of those that were answered: to the first token where they were streamed, else the
            whole; None where there is none.
    """

    success: int = 0
    failure: int = 0
    latency_s: float | None = None

    @property
    def total(self) -> int:
        """How many count."""
        return self.success + self.failure


class Verdict(msgspec.Struct, frozen=True):
    """What the rules say.

    Attributes:
        status: In a word.
        why: In a sentence.
        tip: What to do; empty where nothing is to be done.
    """

    status: Status
    why: str
    tip: str = ""


def judge(recent: Recent, rules: HealthSettings) -> Verdict:
    """Applies the rules.

    Healthy is a success rate above `healthy_rate` with a wait below `healthy_latency_s`; unhealthy is a rate below
    `degraded_rate`, a wait above `degraded_latency_s`, or more failures than successes; what is between is degraded.

    Args:
        recent: How requests went.
        rules: Thresholds.
    """
    span = in_words(rules.window_s)
    if recent.total < rules.min_requests:
        many = {0: "No request", 1: "Only 1 request"}.get(recent.total, f"Only {recent.total} requests")
        return Verdict("healthy", f"{many} in {span}: too few to tell.")
    said = f"{recent.success} of {recent.total} requests in {span} succeeded"
    if recent.latency_s is not None:
        said += f", with a median wait of {_wait(recent.latency_s)}"
    failing = _failing(recent, rules)
    slow = _slow(recent.latency_s, rules)
    reasons = [one[1] for one in (failing, slow) if one is not None]
    why = f"{said}: {' and '.join(reasons)}." if reasons else f"{said}."
    found = [one[0] for one in (failing, slow) if one is not None]
    if not found:
        return Verdict("healthy", why)
    return Verdict("unhealthy" if "unhealthy" in found else "degraded", why, FAILURES_TIP if failing else SLOW_TIP)


def _failing(recent: Recent, rules: HealthSettings) -> tuple[Status, str] | None:
    rate = recent.success / recent.total
    if recent.failure > recent.success:
        return "unhealthy", "more failed than succeeded"
    if rate < rules.degraded_rate:
        return "unhealthy", f"{rate * 100:.3g}% is below {rules.degraded_rate * 100:.3g}%"
    if rate <= rules.healthy_rate:
        return "degraded", f"{rate * 100:.3g}% is not above {rules.healthy_rate * 100:.3g}%"
    return None


def _slow(latency_s: float | None, rules: HealthSettings) -> tuple[Status, str] | None:
    if latency_s is None or (latency_s < rules.healthy_latency_s and latency_s <= rules.degraded_latency_s):
        return None
    if latency_s > rules.degraded_latency_s:
        return "unhealthy", f"the wait is above {rules.degraded_latency_s:g} s"
    return "degraded", f"the wait is not below {rules.healthy_latency_s:g} s"


def in_words(window_s: float) -> str:
    """A window of time in words.

    Args:
        window_s: Its length.
    """
    for length_s, unit in ((3600, "hour"), (60, "minute"), (1, "second")):
        count = window_s / length_s
        if count == 1:
            return f"the last {unit}"
        if count > 1 and (length_s == 1 or count == int(count)):
            return f"the last {count:g} {unit}s"
    return f"the last {window_s:g} seconds"


def _wait(seconds: float) -> str:
    """A duration in the unit that suits it."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
