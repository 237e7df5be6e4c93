"""Headers of our own: what a caller may say of a request, what is said of an answer, and what an error is sent with."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, get_args

from beastmode.accounts import Ticket, missed
from beastmode.core.errors import CODES, BadInputError, BeastError, NotInCacheError, ProviderError, UnknownModelError
from beastmode.core.types import Answer, CacheMode, Request

Pairs = list[tuple[str, str]]

CACHE_MODES = frozenset(get_args(CacheMode))
LABEL_MAX_CHARS = 200
PRODUCT_MAX_CHARS = 40
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_PRODUCT = re.compile(r"[A-Za-z0-9._-]+")


def apply(request: Request, headers: Mapping[str, str]) -> Request:
    """Completes a request by what its headers say: who asks, the cache, labels, the most it may cost.

    Args:
        request: As its body says it; it is changed.
        headers: By lower-case name.

    Raises:
        BadInputError: A header of ours has a value that it can not have.
    """
    request.user = _label(headers, "x-beast-user") or request.user or f"uid:{os.getuid()}"
    request.client = _client(headers.get("user-agent", "")[:PRODUCT_MAX_CHARS])
    if "x-beast-cache" in headers:
        request.cache = _cache(headers["x-beast-cache"])
    if "x-beast-tags" in headers:
        request.tags = [tag for part in headers["x-beast-tags"].split(",") if (tag := part.strip()[:LABEL_MAX_CHARS])]
    request.workspace = _label(headers, "x-beast-project") or request.workspace
    request.session_id = _label(headers, "x-beast-session-id") or request.session_id
    if "x-beast-max-cost-usd" in headers:
        request.max_cost_usd = _usd(headers["x-beast-max-cost-usd"])
    # One that is none is passed over, as the standard says.
    if "traceparent" in headers and _TRACEPARENT.fullmatch(headers["traceparent"]):
        request.traceparent = headers["traceparent"]
    return request


def _label(headers: Mapping[str, str], name: str) -> str | None:
    if name not in headers:
        return None
    value = headers[name].strip()
    if len(value) > LABEL_MAX_CHARS:
        raise BadInputError(f"{name} has {len(value)} characters.", tips=[f"at most {LABEL_MAX_CHARS} are kept"])
    return value or None


@lru_cache(256)
def _client(agent: str) -> str:
    """The door, and the name of the program that came through it, without its version."""
    product = _PRODUCT.match(agent)
    return f"http:{product[0]}" if product else "http"


def _cache(value: str) -> Any:
    mode = value.strip().lower()
    if mode not in CACHE_MODES:
        raise BadInputError(
            f"x-beast-cache is {value[:40]!r}.", tips=["it takes off, only or refresh; without it the cache is used"]
        )
    return mode


def _usd(value: str) -> float:
    try:
        usd = float(value)
    except ValueError:
        usd = math.nan
    if not (math.isfinite(usd) and usd >= 0):
        raise BadInputError(f"x-beast-max-cost-usd is {value[:40]!r}.", tips=["it takes a number of USD, such as 0.05"])
    return usd


def of_answer(answer: Answer, overhead_ms: float | None) -> Pairs:
    """What is said of an answer; what is not known is left out.

    Args:
        answer: The answer.
        overhead_ms: The part of its time that was ours; of a stored answer that is all of it.
    """
    cache = answer.cache
    pairs = [
        ("x-beast-request-id", answer.request_id),
        ("x-beast-model", answer.model),
        ("x-beast-provider", answer.provider),
        ("x-beast-route", _in_one_line(answer.route.reason)),
        ("x-beast-cache", cache.result),
    ]
    if cache.similarity is not None:
        pairs.append(("x-beast-similarity", f"{cache.similarity:.4f}"))
    if answer.cost_usd is not None:
        pairs.append(("x-beast-cost-usd", _money(answer.cost_usd)))
    if answer.saved_usd is not None:
        pairs.append(("x-beast-saved-usd", _money(answer.saved_usd)))
    if cache.tier is not None and overhead_ms is None and cache.tier != "flight":
        overhead_ms = answer.latency_ms
    if overhead_ms is not None:
        pairs.append(("x-beast-overhead-ms", f"{overhead_ms:.3f}"))
    return pairs


def of_stream(ticket: Ticket) -> Pairs:
    """What is known of an answer when its stream begins; of our overhead that is what came before the call.

    Args:
        ticket: The request.
    """
    if ticket.answer is not None:
        return of_answer(ticket.answer, None)
    pairs = [("x-beast-request-id", ticket.request.request_id)]
    deployment = ticket.flight.deployment if ticket.flight is not None else None
    if deployment is not None:
        pairs += [("x-beast-model", deployment.model), ("x-beast-provider", deployment.provider)]
        pairs.append(("x-beast-route", f"{deployment.id} answers"))
    pairs.append(("x-beast-cache", "hit_exact" if ticket.follows else missed(ticket, ticket.request.cache).result))
    if not ticket.follows:
        pairs.append(("x-beast-saved-usd", _money(0.0)))
    if ticket.overhead_ms is not None:
        pairs.append(("x-beast-overhead-ms", f"{ticket.overhead_ms:.3f}"))
    return pairs


def of_error(error: BeastError) -> Pairs:
    """What an error is sent with: when to come again, and what the upstream said of its limits.

    Args:
        error: The error.
    """
    kept: dict[str, str] = {}
    upstream = error.details.get("upstream_headers")
    if isinstance(upstream, dict):
        kept.update((str(name), _in_one_line(str(value))) for name, value in upstream.items())
    if error.retry_after_s is not None:
        kept["retry-after"] = str(math.ceil(error.retry_after_s))
    if error.request_id is not None:
        kept["x-beast-request-id"] = error.request_id
    if error.model and not isinstance(error, UnknownModelError):
        kept["x-beast-model"] = _in_one_line(error.model)
    return list(kept.items())


def of_failure(ticket: Ticket, error: BeastError) -> Pairs:
    """What is said of a request that failed, beside its error: what the cache did, and who was asked last.

    Args:
        ticket: The request.
        error: How it failed.
    """
    result = "hit_exact" if ticket.follows else missed(ticket, ticket.request.cache).result
    pairs: Pairs = [("x-beast-cache", "miss" if isinstance(error, NotInCacheError) else result)]
    if ticket.deployment is not None:
        pairs.append(("x-beast-provider", ticket.deployment.provider))
    return pairs


def status_of(error: BeastError) -> int:
    """The HTTP status of an error: the upstream's own, where it had one that says so.

    Args:
        error: The error.
    """
    status = error.status
    if isinstance(error, ProviderError) and status is not None and 400 <= status < 600:
        return status
    cause = error.details.get("cause")
    if cause == "rate_limited":  # nobody can answer yet: clients wait for a 429 as it says
        return CODES["rate_limited"].http
    if cause == "nothing_registered":  # no time will mend it
        return CODES["unknown_model"].http
    return CODES[error.kind].http


def _money(usd: float) -> str:
    return f"{usd:.9f}".rstrip("0").rstrip(".") if usd else "0"


def _in_one_line(text: str) -> str:
    text = text[:LABEL_MAX_CHARS]
    if not (text.isascii() and text.isprintable()):
        text = "".join(char if " " <= char <= "~" else " " for char in text)
    return text.strip()
