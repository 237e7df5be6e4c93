"""Headers of our own: what a caller may say, what is told, and the status of each error."""

from __future__ import annotations

import pytest

from beastmode.core.errors import (
    CODES,
    KINDS,
    AuthenticationError,
    BadInputError,
    EndpointNotFoundError,
    RateLimitedError,
    UnknownModelError,
    UpstreamError,
)
from beastmode.core.types import Answer, CacheInfo, Message, Request, Route, Usage
from beastmode.servers.http.headers import apply, of_answer, of_error, status_of


def request() -> Request:
    return Request(model="m", messages=[Message("user", "x")])


def answer(**changes: object) -> Answer:
    values: dict[str, object] = {
        "request_id": "r1",
        "text": "t",
        "model": "custom:m",
        "provider": "custom",
        "usage": Usage(),
        "cost_usd": 0.25,
        "saved_usd": None,
        "latency_ms": 3.0,
        "ttft_ms": None,
        "finish_reason": "stop",
        "cache": CacheInfo(result="miss"),
        "route": Route(reason="because\r\nx: y é"),
    }
    return Answer(**(values | changes))  # type: ignore[arg-type]  # a table of fields


def test_a_request_without_headers_belongs_to_the_user_of_the_socket() -> None:
    import os

    found = apply(request(), {})
    assert (found.user, found.client, found.cache, found.tags) == (f"uid:{os.getuid()}", "http", "default", [])


def test_headers_complete_a_request() -> None:
    said = {
        "x-beast-user": " ann ",
        "x-beast-cache": "REFRESH",
        "x-beast-tags": "a, ,b",
        "x-beast-project": "p",
        "x-beast-session-id": "s",
        "x-beast-max-cost-usd": "0.5",
        "user-agent": "claude-cli/2.0 (external)",
    }
    found = apply(request(), said)
    assert (found.user, found.cache, found.tags) == ("ann", "refresh", ["a", "b"])
    assert (found.workspace, found.session_id, found.max_cost_usd) == ("p", "s", 0.5)
    assert found.client == "http:claude-cli"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-beast-cache", "sometimes"),
        ("x-beast-max-cost-usd", "much"),
        ("x-beast-max-cost-usd", "nan"),
        ("x-beast-max-cost-usd", "-1"),
        ("x-beast-user", "u" * 201),
    ],
)
def test_a_header_that_can_not_be_is_named(name: str, value: str) -> None:
    with pytest.raises(BadInputError, match=name):
        apply(request(), {name: value})


def test_what_is_not_known_is_not_told() -> None:
    told = dict(of_answer(answer(cost_usd=None), None))
    assert "x-beast-cost-usd" not in told
    assert "x-beast-saved-usd" not in told
    assert "x-beast-overhead-ms" not in told
    assert "x-beast-similarity" not in told


def test_money_is_told_to_the_nano_dollar_and_a_reason_stays_one_line() -> None:
    told = dict(of_answer(answer(cost_usd=0.000000015, saved_usd=0.0), 0.5))
    assert told["x-beast-cost-usd"] == "0.000000015"
    assert told["x-beast-saved-usd"] == "0"
    assert told["x-beast-overhead-ms"] == "0.500"
    assert told["x-beast-route"] == "because  x: y"


def test_all_of_a_hit_is_overhead() -> None:
    hit = answer(cache=CacheInfo(result="hit_semantic", tier="L1", similarity=0.987654))
    told = dict(of_answer(hit, None))
    assert (told["x-beast-overhead-ms"], told["x-beast-similarity"]) == ("3.000", "0.9877")


def test_every_kind_of_error_has_a_status() -> None:
    assert set(CODES) == set(KINDS) | {"internal"} - {"provider"}
    assert all(400 <= status_of(kind("x")) < 600 for kind in KINDS.values())


def test_an_upstream_status_is_kept_and_a_redirect_is_none() -> None:
    assert status_of(UpstreamError("x", status=529)) == 529
    assert status_of(AuthenticationError("x", status=403)) == 403
    assert status_of(EndpointNotFoundError("x", status=307)) == 404
    assert status_of(BadInputError("x", status=200)) == 400


def test_an_error_says_when_to_come_again_and_keeps_the_limits() -> None:
    limits = {"x-ratelimit-remaining-requests": "0", "bad": "a\r\nb"}
    error = RateLimitedError("x", retry_after_s=1.2, request_id="r", details={"upstream_headers": limits})
    told = dict(of_error(error))
    assert told == {
        "retry-after": "2",
        "x-ratelimit-remaining-requests": "0",
        "bad": "a  b",
        "x-beast-request-id": "r",
    }
    assert ("x-beast-model", "custom:x") in of_error(UpstreamError("x", model="custom:x"))
    assert of_error(UnknownModelError("x", model="custom:x")) == []  # there is none of that name
