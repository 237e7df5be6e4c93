"""Chromium, driven by Playwright: signed in to a daemon's dashboard, with all that it logs and asks for noted."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

from support.daemon import Daemon

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDE, NARROW = (1440, 900), (390, 844)
expect.set_options(timeout=15_000)  # a machine may be busy with other tests


def program() -> str:
    """Finds Chromium; `make test` installs it where it may."""
    found = os.environ.get("BEAST_TEST_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "Chromium is not here (Debian, Ubuntu: apt-get install chromium); build/setup.log says why"
    return found


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with an empty profile."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page of the dashboard.

    Args:
        browser: The browser; the tab has a profile of its own.
        daemon: Whose dashboard.
        dark: The person prefers dark.
        size: Of the window, in pixels.

    Attributes:
        page: Playwright's page.
        logged: What the console said that is a warning or an error.
        asked: Every address that was asked for.
    """

    def __init__(
        self, browser: Browser, daemon: Daemon, *, dark: bool = False, size: tuple[int, int] = WIDE, **more: Any
    ) -> None:
        scheme = "dark" if dark else "light"
        self.daemon = daemon
        viewport = {"width": size[0], "height": size[1]}
        self._context = browser.new_context(color_scheme=scheme, viewport=viewport, **more)  # type: ignore[arg-type]  # a typed dict
        self.page: Page = self._context.new_page()
        self.logged: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.logged.append(f"uncaught: {error}"))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.logged.append(f"{kind}: {text}")

    def open(self, query: str = "") -> Page:
        """Signs in, as `beast dashboard` does, and waits for the first figures."""
        self.page.goto(self.daemon.call("dashboard.open")["url"])
        if query:
            self.page.goto(f"{self.daemon.url}/dashboard?{query}")
        self.page.wait_for_selector("[data-tile=requests] .value")
        self.page.wait_for_selector("#models .body > *")
        self.page.wait_for_selector("#costs table, #costs .empty")
        return self.page

    def text(self, selector: str) -> str:
        """What a person reads there."""
        return self.page.locator(selector).first.inner_text().strip()

    def value(self, selector: str) -> float | None:
        """The exact number behind what a person reads there; None: unknown."""
        raw = self.page.locator(selector).first.get_attribute("data-value")
        return float(raw) if raw else None
