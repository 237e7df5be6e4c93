"""One browser for the tests of a file, and a daemon with a past."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from support import history
from support.browser import Tab, chromium
from support.daemon import Daemon


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Two days of requests, two registered models, and answers that were served again."""
    daemon = Daemon()
    history.write(daemon.home, count=1500)
    with daemon:
        daemon.add("echo:echo", price={"prompt": 3.0, "completion": 15.0})
        daemon.add("custom:away", "http://127.0.0.1:9/v1")
        for question in ("What does EAGAIN mean?", "What does EAGAIN mean?", "Why is the sky blue?"):
            daemon.call("chat", {"message": question, "model": "echo:echo"})
        yield daemon


@pytest.fixture
def tab(browser: Browser, daemon: Daemon) -> Iterator[Tab]:
    with Tab(browser, daemon) as tab:
        yield tab
        assert tab.logged == []
        assert [url for url in tab.asked if not url.startswith(daemon.url)] == []
