"""A real daemon with scripted models behind it, as clients of its HTTP door find it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from support.daemon import Daemon
from support.scripted_provider import Call, ScriptedProvider

KINDS = ["chat", "messages"]
SETTINGS = '[cache]\nsemantic = "off"\n'  # prompts of these tests are alike


@dataclass
class Door:
    """What a client needs to know.

    Attributes:
        daemon: Behind the door.
        provider: Behind the daemon.
        url: Of the door.
        token: That it asks for.
    """

    daemon: Daemon
    provider: ScriptedProvider
    url: str
    token: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def model(self, kind: str, script: str) -> str:
        """Registers a model that follows a script.

        Args:
            kind: `chat`: its provider speaks Chat Completions; `messages`: Messages.
            script: One of `support.scripts.SCRIPTS`.

        Returns:
            Its id. No other test's model has its breaker, its counts or its cached answers.
        """
        name = f"{script}.{next(self._numbers)}"
        if kind == "chat":
            self.daemon.add(f"custom:{name}", f"{self.provider.url}/v1", key="sk-custom", upstream_model=name)
            return f"custom:{name}"
        self.daemon.add(f"anthropic:{name}", self.provider.url, key="sk-anthropic", upstream_model=name)
        return f"anthropic:{name}"

    def calls(self, model: str) -> list[Call]:
        """What came to the provider for a model."""
        return self.provider.asked(model.partition(":")[2])

    def rows(self, model: str) -> list[dict[str, Any]]:
        """Rows of the ledger of a model, newest first."""
        return self.daemon.rows(model=model)


@contextmanager
def open_door(settings: str = "") -> Iterator[Door]:
    """Starts a provider and a daemon.

    Args:
        settings: Further lines for config.toml.
    """
    with ScriptedProvider() as provider, Daemon(SETTINGS + settings) as daemon:
        yield Door(daemon, provider, daemon.url, daemon.token)
