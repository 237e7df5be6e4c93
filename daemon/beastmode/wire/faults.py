"""What an upstream did wrong, as errors a person can act on: from statuses, broken connections and bad replies."""

from __future__ import annotations

import errno
import math
import os
import re
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

from beastmode.core.errors import (
    AuthenticationError,
    BadRequestError,
    BeastError,
    ContextTooLongError,
    DNSError,
    EndpointNotFoundError,
    EndpointUnreachableError,
    MalformedReplyError,
    ProviderError,
    RateLimitedError,
    RefusedConnectionError,
    TLSError,
    UpstreamError,
    UpstreamTimeoutError,
)
from beastmode.wire.quoting import Said, codes, redact, said
from beastmode.wire.relay import kept_headers
from beastmode.wire.target import Errand

# OpenAI, Anthropic, llama.cpp, vLLM, Ollama, LM Studio, Mistral, Gemini, TGI, in this order.
_TOO_LONG = re.compile(
    r"context_length_exceeded|string_above_max_length|prompt is too long|exceed context limit|exceed_context_size"
    r"|exceeds? (?:the )?(?:available |maximum )?context (?:size|length|window)|context size has been exceeded"
    r"|maximum context length|longer than the maximum model length|greater than the context length"
    r"|too large for model with|exceeds the maximum number of tokens|`max_new_tokens` must be <=",
    re.IGNORECASE,
)
_NO_CREDIT = re.compile(r"insufficient_quota|credit balance|insufficient balance|billing", re.IGNORECASE)
_NOTHING = Said("", "", "")
_SERVERS = {
    11434: "Ollama: `ollama serve`",
    1234: "LM Studio: `lms server start`",
    8000: "vLLM: `vllm serve MODEL`",
    8080: "llama.cpp: `llama-server -m FILE`",
}


class ErrorInReplyError(Exception):
    """A reply or a stream that began well carries an error object; `from_status` makes an error of it.

    Args:
        status: The HTTP status it stands for.
        body: The object, as it came.
    """

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def from_status(errand: Errand, status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> ProviderError:
    """Makes an error of a reply that is not 2xx.

    Its `details` hold what a caller who speaks the upstream's protocol wants to see again: `upstream_headers` (those
    of `kept_headers`), `upstream_code`, `upstream_type` and `upstream_param` of the error object, where it has them.

    Args:
        errand: The call.
        status: Its HTTP status.
        headers: The reply's headers, case-insensitive.
        body: The beginning of its body.
        now_s: Wall clock, to read a date in Retry-After by.
    """
    error = _of_status(errand, status, headers, body, now_s)
    kept = {name: redact(value, errand.key) for name, value in kept_headers(headers).items()}
    told = {"upstream_headers": kept, **codes(body, errand.key, errand.prompt_texts())}
    error.details.update({name: value for name, value in told.items() if value})
    return error


def _of_status(errand: Errand, status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> ProviderError:
    if 300 <= status < 400:
        return _redirected(errand, status, headers.get("Location", ""))
    words = said(body, errand.key, errand.prompt_texts())
    if _TOO_LONG.search(words.code) or (status != 429 and _TOO_LONG.search(words.searched)):
        return _too_long(errand, status, words)
    if status in (401, 403):
        return _authentication(errand, status, words)
    if status == 404:
        return _not_found(errand, words)
    if status == 408:
        return _make(UpstreamTimeoutError, errand, "gave up waiting", words, status, [_test(errand)])
    if status == 429:
        return _rate_limited(errand, words, retry_after_s(headers, now_s))
    if status >= 500:
        return _failed(errand, status, words, retry_after_s(headers, now_s))
    return _bad_request(errand, status, words)


def from_exception(errand: Errand, error: BaseException, began: bool) -> BeastError:
    """Makes an error of what the HTTP client or the operating system raised.

    Args:
        errand: The call.
        error: The exception.
        began: The reply had begun to come.
    """
    ours = _ours(error)
    if ours is not None:
        ours.model, ours.endpoint = ours.model or errand.model or None, ours.endpoint or errand.target.endpoint
        return ours
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return _out_of_reach(errand, UpstreamTimeoutError, "did not take the connection in time", "")
    if isinstance(error, TimeoutError):
        return silent(errand, began)
    if isinstance(error, aiohttp.ClientConnectorDNSError | UnicodeError):
        return _no_address(errand)
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ServerFingerprintMismatch | ssl.SSLError):
        return _tls(errand, error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _unreachable(errand, error.os_error)
    if isinstance(error, aiohttp.ClientPayloadError) or began:
        return malformed(errand, "The reply was cut off.")
    if isinstance(error, aiohttp.ClientResponseError):
        return malformed(errand, "The reply is not HTTP.")
    return _make(
        EndpointUnreachableError,
        errand,
        "closed the connection before it answered",
        tips=[_test(errand), f"Look at the log of the server at {errand.target.address}: it may have crashed."],
    )


def silent(errand: Errand, began: bool) -> ProviderError:
    """Makes the error of an upstream that sent nothing for too long.

    Args:
        errand: The call.
        began: The reply had begun to come.
    """
    what = f"sent nothing {'more ' if began else ''}for {errand.timeout_s:g} s"
    patience = (
        f"A slow model needs more patience: upstream.timeout_s is {errand.timeout_s:g}. Change it: beast config edit"
    )
    return _make(UpstreamTimeoutError, errand, what, tips=[_test(errand), patience])


def malformed(errand: Errand, message: str) -> ProviderError:
    """Makes the error of a reply that is not what the protocol says.

    Args:
        errand: The call.
        message: One sentence that says what is wrong with it.
    """
    target = errand.target
    tips = [_test(errand), f"Is {target.base} an endpoint for {errand.protocol}? {_change_address(errand)}"]
    if "cut off" in message:
        tips = [_test(errand), f"Look at the log of the server at {target.address}: it, or a proxy before it, gave up."]
    elif target.url.scheme == "http" and not target.on_this_machine:
        tips.append(f"If it speaks TLS: {errand.add_command('--base-url', 'https' + target.base[4:])}")
    text = f"{target.address} gave no proper {errand.protocol} reply{_for(errand)}. {message}"
    return MalformedReplyError(text, tips=tips, model=errand.model or None, endpoint=target.endpoint)


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Reads how long an upstream asks to wait.

    Args:
        headers: The reply's headers: `Retry-After-Ms`, or `Retry-After` in seconds or as an HTTP date.
        now_s: Wall clock.

    Returns:
        Seconds, 0 or more; None where it does not say.
    """
    for name, unit_s in (("Retry-After-Ms", 0.001), ("Retry-After", 1.0)):
        value = headers.get(name, "")
        try:
            wait_s = float(value) * unit_s
        except ValueError:
            wait_s = _date_s(value) - now_s
        if math.isfinite(wait_s):
            return round(max(0.0, wait_s), 3)
    return None


def _date_s(value: str) -> float:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def _make(
    kind: type[ProviderError],
    errand: Errand,
    what: str,
    words: Said = _NOTHING,
    status: int | None = None,
    tips: list[str] | None = None,
    wait_s: float | None = None,
) -> ProviderError:
    """Builds `HOST:PORT did WHAT for MODEL (STATUS): its words`."""
    shown = f" ({status})" if status else ""
    end = f": {words.message}" if words.message else "."
    return kind(
        f"{errand.target.address} {what}{_for(errand)}{shown}{end}",
        tips=tips or [],
        model=errand.model or None,
        endpoint=errand.target.endpoint,
        status=status,
        retry_after_s=wait_s,
    )


def _for(errand: Errand) -> str:
    return f" for {errand.model}" if errand.model else ""


def _test(errand: Errand) -> str:
    return f"See what the endpoint says: {errand.test_command}"


def _change_address(errand: Errand) -> str:
    """How to correct the base URL, with a guess where there is a likely one."""
    target = errand.target
    guess = "URL" if target.base.endswith("/v1") else f"{target.base}/v1"
    known = "" if guess == "URL" else "Most servers want /v1 at its end: "
    return f"{known}{errand.add_command('--base-url', guess)}"


def _redirected(errand: Errand, status: int, location: str) -> ProviderError:
    try:
        to = errand.target.url.join(URL(location))
        place = f"{to.scheme}://{to.host}:{to.port}{to.raw_path}" if location and to.host else "nowhere"
    except ValueError:
        place = "somewhere unreadable"
    place = redact(place, errand.key)[:200]
    tips = [
        "Redirects are never followed, so that a key stays with the host it was given for.",
        f"If you trust {place}, register it itself: {errand.add_command('--base-url', 'URL', '--key-stdin')}",
    ]
    return _make(EndpointNotFoundError, errand, f"redirects to {place}", status=status, tips=tips)


def _authentication(errand: Errand, status: int, words: Said) -> ProviderError:
    store = errand.add_command("--key-stdin")
    if errand.key:
        what = "refused the key"
        tips = [f"Store a new key: {store}", _test(errand)]
        if status == 403:
            tips.insert(0, f"The key may lack the right to use this model at {errand.target.host}.")
    else:
        what, tips = "wants a key, and none is stored", [f"Store one: {store}"]
    return _make(AuthenticationError, errand, what, words, status, tips)


def _not_found(errand: Errand, words: Said) -> ProviderError:
    target = errand.target
    if "model" in words.searched.lower():
        tips = [f"List the models it knows: {errand.test_command}"]
        if target.port == 11434:
            tips.append("Fetch it there: ollama pull NAME")
        return _make(EndpointNotFoundError, errand, "does not know the model", words, 404, tips)
    tips = [f"Is the base URL right? {_change_address(errand)}", _test(errand)]
    return _make(EndpointNotFoundError, errand, f"has no {target.url.raw_path}", words, 404, tips)


def _rate_limited(errand: Errand, words: Said, wait_s: float | None) -> ProviderError:
    if _NO_CREDIT.search(words.searched):
        tips = [f"The account at {errand.target.host} has no credit left: look at its billing page."]
    else:
        wait = f"Wait {wait_s:g} s" if wait_s is not None else "Wait a moment"
        tips = [f"{wait}, or send fewer requests at once to {errand.target.host}."]
    tips.append(f"Let another model stand in: {errand.add_command('--fallback', 'OTHER_MODEL')}")
    return _make(RateLimitedError, errand, "asks to slow down", words, 429, tips, wait_s)


def _failed(errand: Errand, status: int, words: Said, wait_s: float | None) -> ProviderError:
    target = errand.target
    if target.on_this_machine:
        tips = [f"Look at the log of the server at {target.address}.", _test(errand)]
    else:
        tips = [f"The fault is at {target.host}: try again later, and look at its status page.", _test(errand)]
    return _make(UpstreamError, errand, "failed", words, status, tips, wait_s)


def _bad_request(errand: Errand, status: int, words: Said) -> ProviderError:
    tips = [f"The server's own words say which part of the request {errand.target.host} does not take."]
    if _NO_CREDIT.search(words.searched) or status == 402:
        tips = [f"The account at {errand.target.host} has no credit left: look at its billing page."]
    elif status == 405:
        tips = [f"Is the base URL right? {_change_address(errand)}"]
    elif status == 413:
        tips = [
            f"Send less at once (fewer files, a shorter history): {errand.target.host} takes no request of this size."
        ]
    return _make(BadRequestError, errand, "refused the request", words, status, [*tips, _test(errand)])


def _too_long(errand: Errand, status: int, words: Said) -> ProviderError:
    tips = [
        "Send less: fewer files, a shorter history, or a smaller max_tokens.",
        "Or ask a model with a longer context: beast models list",
    ]
    if errand.target.on_this_machine:
        tips.append(
            f"Or start the server at {errand.target.address} with a longer one "
            "(llama.cpp: -c, Ollama: OLLAMA_CONTEXT_LENGTH, vLLM: --max-model-len)."
        )
    return _make(ContextTooLongError, errand, "can not take a prompt of this length", words, status, tips)


def _no_address(errand: Errand) -> ProviderError:
    host = errand.target.host
    tips = [
        f"Is {host} spelt right? {errand.add_command('--base-url', 'URL')}",
        f"Are you online, and is a VPN or proxy needed? Try: nslookup {host}",
    ]
    return DNSError(
        f"The host {host} has no address{_for(errand)}.",
        tips=tips,
        model=errand.model or None,
        endpoint=errand.target.endpoint,
    )


def _tls(errand: Errand, error: BaseException) -> ProviderError:
    inner = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
    reason = getattr(inner, "verify_message", None) or getattr(inner, "reason", None) or "the handshake failed"
    words = Said(str(reason).replace("_", " ").lower() + ".", "", "")
    if isinstance(inner, ssl.SSLCertVerificationError):
        what = "has a certificate that can not be verified"
        tips = ["A company's own authority: SSL_CERT_FILE=/path/to/ca.pem beast restart", _test(errand)]
    else:
        what = "did not agree on TLS"
        plain = "http" + errand.target.base.removeprefix("https")
        tips = [f"If it speaks plain HTTP: {errand.add_command('--base-url', plain)}", _test(errand)]
    return _make(TLSError, errand, what, words, tips=tips)


def _unreachable(errand: Errand, error: OSError) -> ProviderError:
    target = errand.target
    if error.errno != errno.ECONNREFUSED:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else "No route"
        return _out_of_reach(errand, EndpointUnreachableError, "can not be reached", f"{reason}.")
    server = f" ({_SERVERS[target.port]})" if target.port in _SERVERS else ""
    where = "on this machine" if target.on_this_machine else f"on {target.host}"
    tips = [
        f"Start the model server {where}, port {target.port}{server}, then: {errand.test_command}",
        f"Or correct its address: {errand.add_command('--base-url', 'URL')}",
    ]
    if target.on_this_machine:
        tips.append("Find the servers that run here: beast models discover")
    return RefusedConnectionError(
        f"Nobody listens on {target.address}{_for(errand)}.",
        tips=tips,
        model=errand.model or None,
        endpoint=target.endpoint,
    )


def _out_of_reach(errand: Errand, kind: type[ProviderError], what: str, why: str) -> ProviderError:
    host = errand.target.host
    tips = [f"Is {host} up, and in a network you can reach? Try: ping {host}", _test(errand)]
    return _make(kind, errand, what, Said(why, "", ""), tips=tips)


def _ours(error: BaseException | None) -> BeastError | None:
    """An error of our own inside the client's: a guard that refuses an address raises one while it resolves."""
    for _ in range(4):
        if error is None or isinstance(error, BeastError):
            return error
        error = error.__cause__ or getattr(error, "os_error", None) or error.__context__
    return None
