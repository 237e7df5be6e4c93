"""The pages that commands write, in Chromium: readable for everyone, light and dark, wide and narrow, by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from beastmode.cli import compare_html, cost_html
from cli.test_compare import FOUND as COMPARED
from cli.test_cost_report import EMPTY, FOUND
from support.browser import NARROW, WIDE, chromium

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PAGES = {
    "costs": cost_html.page({**FOUND, "by": "project"}),
    "no costs": cost_html.page(EMPTY),
    "comparison": compare_html.page(COMPARED),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_axe_finds_nothing_and_nothing_is_loaded(
    browser: Browser, tmp_path: Path, name: str, scheme: str, size: tuple[int, int]
) -> None:
    file = tmp_path / "page.html"
    file.write_text(PAGES[name])
    viewport = {"width": size[0], "height": size[1]}
    context = browser.new_context(color_scheme=scheme, viewport=viewport, java_script_enabled=True)
    try:
        page = context.new_page()
        asked: list[str] = []
        logged: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: logged.append(message.text))
        page.goto(file.as_uri())
        for details in page.locator("summary").all():
            details.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], "only tables scroll sideways"
        assert asked == [file.as_uri()]
        assert logged == []
        found = Axe().run(page, options={"runOnly": RULES}).response["violations"]
        assert [f"{one['id']}: {one['nodes'][0]['html'][:160]}" for one in found] == []
    finally:
        context.close()
