"""From statuses, bodies and exceptions to errors that a person can act on."""

from __future__ import annotations

import email.utils
import errno
import json
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from beastmode.core import errors
from beastmode.wire.faults import from_exception, from_status, malformed, retry_after_s
from beastmode.wire.target import Errand, target

NOW_S = 1_700_000_000.0
HERE = "http://127.0.0.1:11434/v1"
THERE = "https://api.example.com/v1"


def errand(base_url: str = HERE, key: str | None = "sk-secret-0123456789") -> Errand:
    return Errand(target(base_url, "/chat/completions"), "custom:qwen", key, 30.0, "OpenAI Chat Completions")


def refused(
    status: int, body: object = b"", headers: dict[str, str] | None = None, on: Errand | None = None
) -> errors.ProviderError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return from_status(on or errand(), status, CIMultiDict(headers or {}), raw, NOW_S)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (300, errors.EndpointNotFoundError),
        (400, errors.BadRequestError),
        (401, errors.AuthenticationError),
        (402, errors.BadRequestError),
        (403, errors.AuthenticationError),
        (404, errors.EndpointNotFoundError),
        (405, errors.BadRequestError),
        (408, errors.UpstreamTimeoutError),
        (409, errors.BadRequestError),
        (413, errors.BadRequestError),
        (418, errors.BadRequestError),
        (422, errors.BadRequestError),
        (429, errors.RateLimitedError),
        (500, errors.UpstreamError),
        (502, errors.UpstreamError),
        (503, errors.UpstreamError),
        (529, errors.UpstreamError),
        (999, errors.UpstreamError),
    ],
)
def test_every_status_has_its_error(status: int, kind: type[errors.ProviderError]) -> None:
    error = refused(status)
    assert type(error) is kind
    assert error.status == status
    assert error.model == "custom:qwen"
    assert error.endpoint == "http://127.0.0.1:11434/v1/chat/completions"
    assert "127.0.0.1:11434" in error.message
    assert error.tips


@settings(deadline=None, max_examples=200)
@given(st.integers(300, 999), st.binary(max_size=300), st.text(max_size=40))
def test_no_reply_makes_it_stumble(status: int, body: bytes, header: str) -> None:
    error = from_status(errand(), status, {"Retry-After": header, "Location": header}, body, NOW_S)
    assert error.tips
    assert error.message.isprintable()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "Too many tokens", "code": "context_length_exceeded"}}),
        (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}}),
        (400, {"error": {"message": "input length and `max_tokens` exceed context limit: 1 + 2 > 2"}}),
        (400, {"error": {"code": 400, "message": "try again", "type": "exceed_context_size_error", "n_ctx": 256}}),
        (500, {"error": {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}}),
        (400, {"error": {"message": "request (4390 tokens) exceeds the available context size (4096 tokens)"}}),
        (400, {"object": "error", "message": "This model's maximum context length is 4096 tokens. However, ..."}),
        (400, {"error": {"message": "The decoder prompt (length 9) is longer than the maximum model length of 8"}}),
        (400, {"error": "the input length exceeds the context length"}),
        (400, {"error": "The number of tokens to keep is greater than the context length"}),
        (400, {"message": "Prompt contains 9 tokens ..., too large for model with 8 maximum context length"}),
        (400, [{"error": {"message": "The input token count (9) exceeds the maximum number of tokens allowed (8)."}}]),
        (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096", "type": "x"}),
        (413, b"prompt is too long"),
    ],
)
def test_a_prompt_that_is_too_long_is_recognised_in_everyones_words(status: int, body: object) -> None:
    error = refused(status, body)
    assert type(error) is errors.ContextTooLongError
    assert any("files" in tip for tip in error.tips)


def test_a_rate_limit_on_tokens_is_no_prompt_that_is_too_long() -> None:
    error = refused(429, {"error": {"message": "Rate limit: exceeds the maximum number of tokens per minute"}})
    assert type(error) is errors.RateLimitedError


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (429, {"error": {"code": "insufficient_quota", "message": "You exceeded your quota"}}, "billing"),
        (400, {"error": {"message": "Your credit balance is too low to access the API"}}, "billing"),
        (402, {"error": {"message": "Insufficient Balance"}}, "billing"),
        (404, {"error": {"message": "model 'qwen' not found"}}, "ollama pull"),
        (404, {"error": {"message": "model 'qwen' not found"}}, "beast models test custom:qwen"),
        (401, b"", "beast models add custom:qwen --base-url http://127.0.0.1:11434/v1 --key-stdin"),
        (403, b"", "right to use this model"),
        (405, b"", "base URL"),
        (413, b"", "Send less"),
        (500, b"", "log of the server at 127.0.0.1:11434"),
    ],
)
def test_tips_are_specific(status: int, body: object, said: str) -> None:
    assert any(said in tip for tip in refused(status, body).tips)


def test_a_missing_key_is_asked_for() -> None:
    error = refused(401, on=errand(key=None))
    assert "none is stored" in error.message
    assert "--key-stdin" in error.tips[0]


def test_a_base_url_without_v1_is_the_likely_cause_of_a_404() -> None:
    error = refused(404, {"detail": "Not Found"}, on=errand("http://127.0.0.1:8000"))
    assert "beast models add custom:qwen --base-url http://127.0.0.1:8000/v1" in error.tips[0]


def test_a_fault_far_away_points_at_its_host() -> None:
    assert "api.example.com" in refused(503, on=errand(THERE)).tips[0]


@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("https://login.example.com/sso?token=sk-secret-0123456789", "https://login.example.com:443/sso"),
        ("/v2/chat", "http://127.0.0.1:11434/v2/chat"),
        ("//evil.example", "http://evil.example:80/"),
        ("", "nowhere"),
        ("http://[broken", "somewhere unreadable"),
        ("http://sk-secret-0123456789.evil.example/", "[key].evil.example"),
    ],
)
def test_a_redirect_names_where_it_leads_and_hides_the_key(location: str, named: str) -> None:
    error = refused(307, headers={"Location": location})
    assert named in error.message
    assert "sk-secret" not in f"{error.message} {error.tips}"
    assert any("never followed" in tip for tip in error.tips)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After-Ms": "250", "Retry-After": "1"}, 0.25),
        ({"Retry-After": email.utils.formatdate(NOW_S + 90, usegmt=True)}, 90.0),
        ({"Retry-After": email.utils.formatdate(NOW_S - 90, usegmt=True)}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": ""}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_seconds_milliseconds_and_as_a_date(
    headers: dict[str, str], wait_s: float | None
) -> None:
    assert retry_after_s(CIMultiDict(headers), NOW_S) == wait_s


CONNECTION = ConnectionKey("127.0.0.1", 11434, False, True, None, None, None)


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (
            aiohttp.ClientConnectorError(CONNECTION, OSError(errno.ECONNREFUSED, "x")),
            errors.RefusedConnectionError,
            "ollama serve",
        ),
        (
            aiohttp.ClientConnectorError(CONNECTION, OSError(errno.EHOSTUNREACH, "x")),
            errors.EndpointUnreachableError,
            "ping 127.0.0.1",
        ),
        (
            aiohttp.ClientConnectorError(CONNECTION, OSError("Multiple exceptions: ...")),
            errors.EndpointUnreachableError,
            "ping 127.0.0.1",
        ),
        (
            aiohttp.ClientConnectorDNSError(CONNECTION, OSError(-2, "Name or service not known")),
            errors.DNSError,
            "nslookup",
        ),
        (UnicodeError("label empty or too long"), errors.DNSError, "nslookup"),
        (aiohttp.ClientConnectorSSLError(CONNECTION, ssl.SSLError(1, "x")), errors.TLSError, "plain HTTP"),
        (aiohttp.ConnectionTimeoutError(), errors.UpstreamTimeoutError, "ping"),
        (TimeoutError(), errors.UpstreamTimeoutError, "upstream.timeout_s"),
        (aiohttp.ServerDisconnectedError(), errors.EndpointUnreachableError, "log of the server"),
        (ConnectionResetError(), errors.EndpointUnreachableError, "log of the server"),
        (aiohttp.ClientPayloadError(), errors.MalformedReplyError, "log of the server"),
    ],
)
def test_every_exception_of_the_network_has_its_error(
    raised: Exception, kind: type[errors.ProviderError], said: str
) -> None:
    error = from_exception(errand(), raised, began=False)
    assert type(error) is kind
    assert "127.0.0.1" in error.message
    assert any(said in tip for tip in error.tips)


def test_what_breaks_after_the_reply_began_was_cut_off() -> None:
    error = from_exception(errand(), ConnectionResetError(), began=True)
    assert type(error) is errors.MalformedReplyError
    assert "cut off" in error.message


def test_an_error_of_our_own_comes_through_the_http_client_unchanged() -> None:
    guard = errors.RefusedEndpointError("169.254.169.254 is a metadata address.", tips=["name another host"])
    wrapped = aiohttp.ClientConnectorError(CONNECTION, OSError())
    wrapped.__cause__ = guard
    error = from_exception(errand(), wrapped, began=False)
    assert error is guard
    assert error.model == "custom:qwen"
    assert error.endpoint == "http://127.0.0.1:11434/v1/chat/completions"


def test_a_strange_reply_from_far_away_may_be_tls() -> None:
    tips = malformed(errand("http://10.0.0.7:8443/v1"), "It is not JSON.").tips
    assert any("https://10.0.0.7:8443/v1" in tip for tip in tips)
