"""Who may come in: hosts against DNS rebinding, origins against web pages, the token against everybody else."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import NamedTuple

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
VERDICTS_MAX = 256
OPEN = frozenset({("GET", "/healthz"), ("HEAD", "/healthz"), ("HEAD", "/")})
DASHBOARD = "/dashboard"
"""Below it a cookie is asked for instead of the token, by whoever answers there."""
_SENDING = frozenset({"POST", "PUT", "PATCH"})

_HOW_TO_SAY_IT = "send it as `Authorization: Bearer TOKEN` or `x-api-key: TOKEN`; `beast token` prints it"


class Refusal(NamedTuple):
    """Why a request is turned away.

    Attributes:
        status: Of the reply.
        message: What is wrong.
        tips: What to do about it.
        headers: That the reply has besides.
    """

    status: int
    message: str
    tips: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


class Gate:
    """Checks the head of every request, before its body is read.

    Args:
        token: Gives the token in force; an empty one opens nothing.
        own_hosts: Gives the names that this machine has besides the loopback ones, each with a port or for any.
        port: Where the server listens; the server sets it once it knows.
    """

    def __init__(
        self,
        token: Callable[[], str],
        own_hosts: Callable[[], frozenset[str]] = frozenset,
        port: int | None = None,
    ) -> None:
        self.port = port
        self._token = token
        self._own_hosts = own_hosts
        # Heads that were let in. They are sought by a hash with a random key: that tells nothing of the token.
        self._admitted: set[tuple[object, ...]] = set()
        self._renew("", frozenset(), port)

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Looks at the head of a request.

        Args:
            method: In capitals.
            path: Percent-decoded.
            headers: By lower-case name.

        Returns:
            None where it may come in.
        """
        now = (self._token(), self._own_hosts(), self.port)
        if now != self._valid_for:
            self._renew(*now)
        get = headers.get
        is_open = (method, path) in OPEN or (path[:10] == DASHBOARD and path[10:11] in ("", "/"))
        sends = method in _SENDING and (get("content-length", "0") != "0" or "transfer-encoding" in headers)
        key = (
            is_open,
            get("host"),
            get("authorization"),
            get("x-api-key"),
            get("origin"),
            get("sec-fetch-site"),
            get("content-type") if sends else "",
        )
        if key in self._admitted:
            return None
        refusal = self._judge(headers, is_open, sends)
        if refusal is None:
            if len(self._admitted) >= VERDICTS_MAX:
                self._admitted.clear()
            self._admitted.add(key)
        return refusal

    def _renew(self, token: str, own_hosts: frozenset[str], port: int | None) -> None:
        """Forgets the verdicts of another token, other hosts, another port."""
        self._valid_for = (token, own_hosts, port)
        self._admitted.clear()
        own = {f"[{name}]" if _is_bare_ipv6(name) else name.lower() for name in own_hosts}
        self._hosts = frozenset({*LOOPBACK_NAMES, *own, *(f"{name}:{port}" for name in (*LOOPBACK_NAMES, *own))})
        here = {f"{name}:{port}" for name in LOOPBACK_NAMES}
        if port == 80:  # a browser leaves the default port out
            here.update(LOOPBACK_NAMES)
        named = {*own, *(f"{name}:{port}" for name in own)}
        self._origins = frozenset({*(f"http://{one}" for one in (*here, *named)), *(f"https://{one}" for one in named)})

    def _judge(self, headers: Mapping[str, str], is_open: bool, sends: bool) -> Refusal | None:
        return (
            self._judge_host(headers.get("host", ""))
            or self._judge_origin(headers)
            or (None if is_open else self._judge_token(headers))
            or (_judge_type(headers.get("content-type")) if sends else None)
        )

    def _judge_host(self, host: str) -> Refusal | None:
        if host.lower() in self._hosts:
            return None
        return Refusal(
            403,
            f"The host {host[:100]!r} is not this machine's.",
            (f"call http://127.0.0.1:{self.port}", "a name of your own is allowed by the setting http.names"),
        )

    def _judge_origin(self, headers: Mapping[str, str]) -> Refusal | None:
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in self._origins:
            return Refusal(
                403,
                f"Web pages of {origin[:100]!r} may not call this daemon.",
                ("call it from a program; no page of another origin is ever let in",),
            )
        if headers.get("sec-fetch-site", "").lower() == "cross-site":
            return Refusal(
                403, "A web page of another site sent this request.", ("call the daemon from a program of your own",)
            )
        return None

    def _judge_token(self, headers: Mapping[str, str]) -> Refusal | None:
        """One right token is enough: some programs send a key of their own beside it."""
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = [headers["x-api-key"]] if "x-api-key" in headers else []
        if scheme.lower() == "bearer":
            given.append(bearer.strip())
        token = self._valid_for[0].encode()
        fits = [hmac.compare_digest(one.encode("utf-8", "replace"), token) for one in given]
        if token and any(fits):
            return None
        message = "The token is wrong; it may have been changed." if given else "This request carries no token."
        return Refusal(401, message, (_HOW_TO_SAY_IT,), (("www-authenticate", "Bearer"),))


def _is_bare_ipv6(name: str) -> bool:
    return name.count(":") > 1 and not name.startswith("[")


def _judge_type(content_type: str | None) -> Refusal | None:
    if content_type is not None and content_type.partition(";")[0].strip().lower() == "application/json":
        return None
    said = "nothing of the kind" if content_type is None else repr(content_type[:100])
    return Refusal(
        415,
        f"A body must be JSON and say so; this one says {said}.",
        ("send `Content-Type: application/json`",),
    )
