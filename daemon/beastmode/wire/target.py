"""Where a call goes, and whose call it is: everything an error needs to be able to say."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import msgspec
from yarl import URL

from beastmode.core.errors import AuthenticationError, RefusedEndpointError
from beastmode.core.types import Request


class Target(msgspec.Struct, frozen=True):
    """One path of one endpoint.

    Attributes:
        url: What is called.
        endpoint: What is shown: scheme, host, port and path, nothing else.
        base: The base URL as it may be shown, without a query.
        host: The host, without brackets.
        port: The port, explicit or not.
    """

    url: URL
    endpoint: str
    base: str
    host: str
    port: int

    @property
    def address(self) -> str:
        """Host and port, as a person writes them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def on_this_machine(self) -> bool:
        """The host is this machine, by name or loopback address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")


def target(base_url: str, path: str, query: str = "") -> Target:
    """Joins a base URL and a path; a query of the base URL is sent along and never shown.

    Args:
        base_url: The prefix, with or without a slash at its end.
        path: What is appended, beginning with a slash.
        query: Sent along where the base URL has none of its own.

    Raises:
        RefusedEndpointError: It is no http or https URL with a host, or it holds a user name or password.
    """
    try:
        base = URL(base_url)
        host, port = base.host, base.port
        url = base.with_path(base.raw_path.rstrip("/") + path, encoded=True).with_query(
            base.query_string or query or None
        )
    except (ValueError, TypeError):
        host, port, base, url = None, None, URL(), URL()
    if base.scheme not in ("http", "https") or not host or not port:
        raise RefusedEndpointError(
            "The base URL is not a URL that can be called.",
            tips=["Write it as http://HOST:PORT/v1 or https://HOST/v1."],
        )
    if base.raw_user is not None or base.raw_password is not None:
        raise RefusedEndpointError(
            f"The base URL of {host} holds a user name or a password.",
            tips=["Leave it out of the URL and store the key apart: beast models add MODEL --base-url URL --key-stdin"],
        )
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    shown = f"{base.scheme}://{authority}"
    short = shown.removesuffix(f":{port}") if base.is_default_port() else shown
    return Target(url, shown + url.raw_path, short + base.raw_path.rstrip("/"), host, port)


class Errand:
    """One call, as far as its errors are concerned.

    Args:
        target: Where it goes.
        model: The id of the model it is for; empty where there is none.
        key: The key that is sent; shown by nothing, this object's repr included.
        timeout_s: Longest silence.
        protocol: Name of the wire format that is expected there.
        request: What is asked; an error shows nothing of its messages.
    """

    __slots__ = ("key", "model", "protocol", "request", "target", "timeout_s")

    def __init__(
        self,
        target: Target,
        model: str,
        key: str | None,
        timeout_s: float,
        protocol: str,
        request: Request | None = None,
    ) -> None:
        self.target = target
        self.model = model
        self.key = key
        self.timeout_s = timeout_s
        self.protocol = protocol
        self.request = request

    def prompt_texts(self) -> Iterator[str]:
        """Every text that is sent as part of the prompt."""
        for message in self.request.messages if self.request is not None else ():
            if isinstance(message.content, str):
                yield message.content
            for part in message.content if isinstance(message.content, list) else ():
                text = part.get("text")
                if isinstance(text, str):
                    yield text

    def add_command(self, *flags: str) -> str:
        """The command that registers this model anew.

        Args:
            flags: Its flags, after the base URL where the model has one of its own.
        """
        base = ["--base-url", self.target.base] if "--base-url" not in flags else []
        return " ".join(["beast models add", self.model or "MODEL", *base, *flags])

    @property
    def test_command(self) -> str:
        """The command that tests this model's endpoint and says what is wrong."""
        return f"beast models test {self.model or 'MODEL'}"

    def header_key(self) -> str:
        """The key, when it can be sent in a header.

        Raises:
            AuthenticationError: It holds characters that no header may hold, such as a line break.
        """
        key = self.key or ""
        if key.isascii() and key.isprintable() and " " not in key:
            return key
        raise AuthenticationError(
            f"The key for {self.model or self.target.address} holds a blank, a line break or a letter outside ASCII.",
            tips=[f"Store it again: {self.add_command('--key-stdin')}"],
            model=self.model or None,
            endpoint=self.target.endpoint,
        )
