"""The error tree, and the one table that maps it to every door's codes (standard library only).

BeastError
+-- BadInputError                 bad_input            the caller's request itself is wrong
|   +-- UnknownModelError         unknown_model        no model of that name is registered
|   +-- RefusedEndpointError      refused_endpoint     a base URL that must not be called
|   +-- ConflictError             conflict             it needs something that is not there yet, such as a workspace
|   +-- NotFoundError             not_found            a session, request, plugin ... of that name is not there
|   +-- NotInCacheError           not_in_cache         `cache="only"` and nothing is stored
+-- ProviderError                 (an upstream said no, or said nothing)
|   +-- AuthenticationError       authentication       401, 403
|   +-- EndpointNotFoundError     endpoint_not_found   404
|   +-- BadRequestError           bad_request          400, 422 and every other 4xx
|   |   +-- ContextTooLongError   context_too_long     the prompt does not fit the model
|   +-- RateLimitedError          rate_limited         429
|   +-- UpstreamError             upstream             5xx
|   +-- MalformedReplyError       malformed_reply      the reply is not what the protocol says, or was cut off
|   +-- UpstreamTimeoutError      timeout              no reply, or no next piece of it, in time
|   +-- EndpointUnreachableError  unreachable          the network did not get us there
|       +-- RefusedConnectionError connection_refused  nobody listens on that host and port
|       +-- DNSError              dns                  the host has no address
|       +-- TLSError              tls                  the certificate or the handshake failed
+-- BudgetError                   budget               a budget would be overrun
+-- RateLimitError                rate_limited_here    one of the user's own limits
+-- NoHealthyModelError           no_healthy_model     every candidate is cooling down or switched off
+-- ShuttingDownError             shutting_down        the daemon drains
+-- CancelledError                cancelled            the caller, or a vanished client, ended the request
+-- AccessError                   access               a foreign user, a wrong token, an unsafe folder
+-- DaemonNotRunningError         daemon_not_running   nobody answers on the socket
+-- InternalError                 internal             a fault of our own
"""

from __future__ import annotations

from typing import Any, ClassVar


class BeastError(Exception):
    """Something a person can act on.

    Args:
        message: One sentence that says what happened and where; never holds a key or a prompt.
        tips: What to do next, most useful first; each names a host, port, path, setting or command.
        model: The model asked for, where there is one.
        endpoint: Scheme, host, port and path that was called, without a query.
        status: The upstream's HTTP status.
        attempt: Which attempt this was, from 1.
        retry_after_s: Seconds after which a retry makes sense, when that is known.
        request_id: The request this belongs to; the gateway fills it in.
        details: More fields of `error.data` that one method has, such as the steps of an endpoint `test`.
    """

    kind: ClassVar[str] = "internal"

    def __init__(
        self,
        message: str,
        *,
        tips: tuple[str, ...] | list[str] = (),
        model: str | None = None,
        endpoint: str | None = None,
        status: int | None = None,
        attempt: int | None = None,
        retry_after_s: float | None = None,
        request_id: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.tips = list(tips)
        self.model = model
        self.endpoint = endpoint
        self.status = status
        self.attempt = attempt
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        self.details = details or {}

    def data(self) -> dict[str, Any]:
        """The machine-readable half, as every door shows it (`error.data` on the socket)."""
        return {
            **self.details,
            "kind": self.kind,
            "tip": self.tips,
            "request_id": self.request_id,
            "model": self.model,
            "endpoint": self.endpoint,
            "status": self.status,
            "retry_after_s": self.retry_after_s,
        }


class BadInputError(BeastError):
    """The caller's request itself is wrong."""

    kind = "bad_input"


class UnknownModelError(BadInputError):
    """No model of that name is registered."""

    kind = "unknown_model"


class RefusedEndpointError(BadInputError):
    """A base URL that must not be called (link-local, metadata service, not http)."""

    kind = "refused_endpoint"


class ConflictError(BadInputError):
    """The request needs something that is not there yet, such as an open workspace."""

    kind = "conflict"


class NotFoundError(BadInputError):
    """The named session, request or plugin is not there."""

    kind = "not_found"


class NotInCacheError(BadInputError):
    """The request said `cache="only"` and nothing is stored for it."""

    kind = "not_in_cache"


class ProviderError(BeastError):
    """An upstream said no, or said nothing."""

    kind = "upstream"


class AuthenticationError(ProviderError):
    """The upstream refused the key (401, 403)."""

    kind = "authentication"


class EndpointNotFoundError(ProviderError):
    """The upstream does not know the path or the model (404)."""

    kind = "endpoint_not_found"


class BadRequestError(ProviderError):
    """The upstream refused the request as malformed (400, 422)."""

    kind = "bad_request"


class ContextTooLongError(BadRequestError):
    """The prompt does not fit the model's context."""

    kind = "context_too_long"


class RateLimitedError(ProviderError):
    """The upstream asks to slow down (429)."""

    kind = "rate_limited"


class UpstreamError(ProviderError):
    """The upstream failed (5xx)."""

    kind = "upstream"


class MalformedReplyError(ProviderError):
    """The reply is not what the protocol says, or was cut off."""

    kind = "malformed_reply"


class UpstreamTimeoutError(ProviderError):
    """No reply, or no next piece of it, in time."""

    kind = "timeout"


class EndpointUnreachableError(ProviderError):
    """The network did not get us to the endpoint."""

    kind = "unreachable"


class RefusedConnectionError(EndpointUnreachableError):
    """Nobody listens on that host and port."""

    kind = "connection_refused"


class DNSError(EndpointUnreachableError):
    """The host name has no address."""

    kind = "dns"


class TLSError(EndpointUnreachableError):
    """The certificate or the TLS handshake failed."""

    kind = "tls"


class BudgetError(BeastError):
    """A budget would be overrun."""

    kind = "budget"


class RateLimitError(BeastError):
    """One of the user's own limits is reached."""

    kind = "rate_limited_here"


class NoHealthyModelError(BeastError):
    """Every candidate is cooling down, switched off or unfit."""

    kind = "no_healthy_model"


class ShuttingDownError(BeastError):
    """The daemon drains and takes no new work."""

    kind = "shutting_down"


class CancelledError(BeastError):
    """The caller, or a client that vanished, ended the request."""

    kind = "cancelled"


class AccessError(BeastError):
    """A foreign user, a wrong token, a folder that others can write."""

    kind = "access"


class DaemonNotRunningError(BeastError):
    """Nobody answers on the daemon's socket."""

    kind = "daemon_not_running"


class InternalError(BeastError):
    """A fault of our own."""

    kind = "internal"


class Codes:
    """How one kind of error looks at each door.

    Args:
        rpc: JSON-RPC error code.
        exit: Exit code of `beast`.
        http: HTTP status, where the error has none from upstream.
    """

    __slots__ = ("exit", "http", "rpc")

    def __init__(self, rpc: int, exit: int, http: int) -> None:
        self.rpc = rpc
        self.exit = exit
        self.http = http


CODES: dict[str, Codes] = {
    "bad_input": Codes(-32602, 2, 400),
    "unknown_model": Codes(-32011, 1, 404),
    "refused_endpoint": Codes(-32602, 2, 400),
    "conflict": Codes(-32602, 1, 409),
    "not_found": Codes(-32011, 1, 404),
    "not_in_cache": Codes(-32017, 1, 404),
    "authentication": Codes(-32010, 4, 401),
    "endpoint_not_found": Codes(-32012, 5, 404),
    "bad_request": Codes(-32012, 5, 400),
    "context_too_long": Codes(-32012, 5, 400),
    "rate_limited": Codes(-32014, 5, 429),
    "upstream": Codes(-32012, 5, 502),
    "malformed_reply": Codes(-32012, 5, 502),
    "timeout": Codes(-32013, 7, 504),
    "unreachable": Codes(-32012, 5, 502),
    "connection_refused": Codes(-32012, 5, 502),
    "dns": Codes(-32012, 5, 502),
    "tls": Codes(-32012, 5, 502),
    "budget": Codes(-32015, 6, 402),
    "rate_limited_here": Codes(-32014, 5, 429),
    "no_healthy_model": Codes(-32016, 5, 503),
    "shutting_down": Codes(-32018, 3, 503),
    "cancelled": Codes(-32800, 1, 499),
    "access": Codes(-32010, 4, 401),
    "daemon_not_running": Codes(-32018, 3, 503),
    "internal": Codes(-32603, 1, 500),
}


def _tree(base: type[BeastError]) -> dict[str, type[BeastError]]:
    found = {}
    for error in base.__subclasses__():
        found.update(_tree(error))
        found.setdefault(error.kind, error)  # a branch has the kind of one of its leaves; the leaf is meant
    return found


KINDS: dict[str, type[BeastError]] = _tree(BeastError)

_DATA_FIELDS = frozenset(BeastError("").data())


def from_rpc(code: int, message: str, data: object) -> BeastError:
    """Turns a JSON-RPC error object back into the error it was made from.

    Args:
        code: The JSON-RPC code, used where `data` names no kind.
        message: The error's message.
        data: The error's `data`, as any server may have sent it.
    """
    detail: dict[str, Any] = data if isinstance(data, dict) else {}
    kind = detail.get("kind") or {-32602: "bad_input", -32601: "not_found", -32600: "bad_input"}.get(code, "internal")
    tips = detail.get("tip")
    return KINDS.get(str(kind), InternalError)(
        message,
        tips=tips if isinstance(tips, list) else [],
        model=detail.get("model"),
        endpoint=detail.get("endpoint"),
        status=detail.get("status"),
        retry_after_s=detail.get("retry_after_s"),
        request_id=detail.get("request_id"),
        details={name: value for name, value in detail.items() if name not in _DATA_FIELDS},
    )
