"""A window of VS Code in Chromium: its palette, its editor, its notifications, and the extension's chat view."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, FrameLocator, Locator, Page, Route, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

LIMIT_MS, RETRY_MS, POLL_MS = 60_000, 5000, 100
STATUS = "[id='beastmode.beast-mode.beast.status']"
TEXT_OF_EDITOR = """() => {
  const views = document.querySelectorAll(".editor-group-container.active .monaco-editor .view-lines");
  const lines = [...(views[views.length - 1]?.querySelectorAll(".view-line") ?? [])];
  lines.sort((a, b) => parseFloat(a.style.top) - parseFloat(b.style.top));
  return lines.map((line) => line.textContent.replaceAll("\\u00a0", " ")).join("\\n");
}"""
CHAT = "iframe.webview.ready[src*='extensionId=beastmode.beast-mode'][src*='purpose=webviewView']"
WIDGET = ".quick-input-widget"


class Window:
    """One window.

    Args:
        page: Playwright's page.

    Attributes:
        page: As given.
        blocked: Hosts elsewhere that were asked for, and not reached.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.blocked: set[str] = set()
        page.set_default_timeout(LIMIT_MS)
        page.route("**/*", self._only_here)

    def _only_here(self, route: Route) -> None:
        place = urlsplit(route.request.url)
        if place.scheme in ("data", "blob") or place.hostname in ("127.0.0.1", "localhost"):
            route.continue_()
        else:
            self.blocked.add(place.hostname or "")
            route.abort()

    def open(self, url: str, folder: Path) -> None:
        """Opens a folder, and waits until the extension is connected."""
        self.page.goto(f"{url}/?folder={folder}")
        self.page.wait_for_selector(".monaco-workbench", timeout=90_000)
        self.page.wait_for_selector(f"{STATUS}:has-text('BEAST')", timeout=90_000)

    def until(self, holds: Callable[[], bool], what: str, limit_ms: int = LIMIT_MS) -> None:
        """Waits until something holds, and lets the window live meanwhile."""
        for _ in range(limit_ms // POLL_MS):
            if holds():
                return
            self.page.wait_for_timeout(POLL_MS)
        raise AssertionError(f"not within {limit_ms} ms: {what}\n{self.text}")

    def reads(self, text: str, limit_ms: int = LIMIT_MS) -> None:
        """Waits until the editor that is looked at shows exactly this."""
        self.until(lambda: self.text.rstrip("\n") == text.rstrip("\n"), f"the editor shows {text!r}", limit_ms)

    @property
    def status(self) -> Locator:
        """The extension's entry in the status bar."""
        return self.page.locator(STATUS)

    @property
    def text(self) -> str:
        """What the editor that is looked at shows, as far as it is in view."""
        return str(self.page.evaluate(TEXT_OF_EDITOR))

    def open_file(self, name: str) -> None:
        """Opens a file by its name."""
        self._say("Control+P", name)
        self.pick(name)
        self.tab(name).wait_for()
        self.page.locator(".editor-group-container.active .monaco-editor .view-lines").first.wait_for()

    def run(self, command: str) -> None:
        """Runs a command of the palette."""
        self._say("F1", f">{command}")
        self.pick(command)

    def answer(self, text: str) -> None:
        """Types into the box that asks for something, and waits until it is gone or asks for the next thing."""
        self._type_in_widget(text)
        self.page.keyboard.press("Enter")
        self.until(lambda: self._typed() != text, f"{text!r} is taken")

    def _typed(self) -> str | None:
        """What stands in the box for words; None where there is none."""
        boxes = self.page.locator(f"{WIDGET} input").locator("visible=true")
        with contextlib.suppress(PlaywrightTimeoutError):
            return boxes.first.input_value(timeout=POLL_MS) if boxes.count() else None
        return None

    def pick(self, label: str) -> None:
        """Chooses from the list that is shown."""
        row = self.page.locator(f"{WIDGET} .monaco-list-row", has_text=label).first
        row.wait_for()
        row.click()

    def _say(self, key: str, text: str) -> None:
        """Opens the box for words and types into it; a window that is busy may close it again meanwhile."""
        for _ in range(LIMIT_MS // RETRY_MS):
            self._summon(key)
            with contextlib.suppress(PlaywrightTimeoutError):
                return self._box.fill(text, timeout=RETRY_MS)
        raise AssertionError(f"{key} opened nothing that takes {text!r}")

    @property
    def _box(self) -> Locator:
        return self.page.locator(f"{WIDGET} input").locator("visible=true").first

    def _summon(self, key: str) -> None:
        """Opens the box for words by its key; a key that is pressed while the window is busy may be lost."""
        for _ in range(LIMIT_MS // RETRY_MS):
            self.page.keyboard.press(key)
            with contextlib.suppress(PlaywrightTimeoutError):
                return self._box.wait_for(timeout=RETRY_MS)
        raise AssertionError(f"{key} opened nothing")

    def _type_in_widget(self, text: str) -> None:
        self._box.wait_for()
        self._box.fill(text)

    def go_to(self, line: int, column: int = 1) -> None:
        """Puts the cursor somewhere in the editor; both count from 1."""
        self._summon("Control+g")
        self.answer(f":{line}:{column}")
        self.page.locator(WIDGET).wait_for(state="hidden")

    def select_lines(self, first: int, last: int) -> None:
        """Selects whole lines of the editor, without the end of the last."""
        self.go_to(first)
        for _ in range(last - first):
            self.page.keyboard.press("Shift+ArrowDown")
        self.page.keyboard.press("Shift+End")

    def tab(self, title: str) -> Locator:
        """The tab that is looked at, when its title begins so."""
        return self.page.locator(f".tab.active[aria-label^='{title}']")

    def act(self, title: str, text: str) -> None:
        """Chooses a code action, and waits until the editor shows what it shall.

        The editor fetches the menu anew whenever diagnostics come in, and what was chosen from the old one is lost.
        """
        for limit_ms in (LIMIT_MS // 4, LIMIT_MS // 4, LIMIT_MS):
            self.code_actions().filter(has_text=title).first.click()
            with contextlib.suppress(AssertionError):
                self.reads(text, limit_ms)
                return
        raise AssertionError(f"{title} did not lead to {text!r} but to {self.text!r}")

    def code_actions(self) -> Locator:
        """Opens the menu of code actions."""
        menu = self.page.locator(".action-widget:not(.action-list-submenu-panel)")
        for _ in range(LIMIT_MS // RETRY_MS):  # a key that is pressed while the editor is busy may be lost
            self.page.keyboard.press("Control+.")
            with contextlib.suppress(PlaywrightTimeoutError):
                menu.locator(".monaco-list-row.action", has_text="BEAST").first.wait_for(timeout=RETRY_MS)
                break
        return menu.locator(".monaco-list-row.action")

    def notification(self, text: str) -> Locator:
        """A notification that says this."""
        return self.page.locator(".notification-toast", has_text=text).first

    def button(self, label: str) -> None:
        """Presses a button of a notification."""
        self.page.locator(".notification-toast .monaco-button", has_text=label).first.click()

    @property
    def chat(self) -> FrameLocator:
        """The page of the chat view."""
        return self.page.frame_locator(CHAT).frame_locator("#active-frame")

    def open_chat(self) -> FrameLocator:
        """Opens the chat view."""
        self.run("BEAST MODE: Open Chat")
        expect(self.chat.locator("#text")).to_be_visible(timeout=LIMIT_MS)
        return self.chat

    def new_chat(self) -> None:
        """Begins another conversation in the chat view."""
        self.run("BEAST MODE: New Chat")
        expect(self.chat.locator("article")).to_have_count(0, timeout=LIMIT_MS)

    def ask(self, question: str) -> None:
        """Asks in the chat view."""
        expect(self.chat.locator("#send")).to_be_enabled(timeout=LIMIT_MS)
        self.chat.locator("#text").fill(question)
        self.chat.locator("#text").press("Enter")
        expect(self.chat.locator("article.user").last).to_contain_text(question, timeout=LIMIT_MS)

    def answered(self, number: int = -1) -> Locator:
        """The answer of that number, once it is whole."""
        answer = self.chat.locator("article.assistant").nth(number)
        expect(answer.locator("footer > *").first).to_be_visible(timeout=LIMIT_MS)
        return answer


@contextmanager
def window(browser: Browser, url: str, folder: Path, *, size: tuple[int, int] = (1280, 800)) -> Iterator[Window]:
    """Opens a window with a profile of its own.

    Args:
        browser: Chromium.
        url: Of code-server.
        folder: The workspace.
        size: Of the window, in pixels.
    """
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme="dark")
    try:
        made = Window(context.new_page())
        made.open(url, folder)
        yield made
    finally:
        context.close()
