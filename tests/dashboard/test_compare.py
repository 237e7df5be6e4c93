"""Models side by side on the page, the saving of routing with its baseline, and a request's cost and words in full."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from support.browser import Tab
from support.daemon import Daemon
from support.provider_server import ProviderServer

SETTINGS = '[retention]\ncontent = true\n[costs]\nbaseline = "custom:dear"\n[routing]\nauto = ["custom:quick"]\n'
PRICES = {"quick": 1e3, "slow": 2e3, "dear": 5e3, "broken": 1e3}
MODELS = {"quick": "ok", "slow": "stream-slow-600", "dear": "ok", "broken": "e500"}


@pytest.fixture(scope="module")
def house() -> Iterator[Daemon]:
    with ProviderServer() as upstream, Daemon(SETTINGS) as daemon:
        for name, model in MODELS.items():
            price = {"prompt": PRICES[name], "completion": PRICES[name]}
            daemon.add(f"custom:{name}", f"{upstream.url}/v1", upstream_model=model, price=price)
        yield daemon


@pytest.fixture
def tab(browser: Browser, house: Daemon) -> Iterator[Tab]:
    with Tab(browser, house) as tab:
        yield tab
        assert tab.logged == []


def test_a_comparison_is_on_the_page_while_it_runs_and_when_it_is_over(tab: Tab, house: Daemon) -> None:
    page = tab.open("window=1h")
    assert page.locator("#compare").is_hidden()
    found: list[dict[str, object]] = []
    wanted = {"models": ["custom:quick", "custom:slow", "custom:broken"], "prompts": ["one, two", "three"]}
    running = threading.Thread(target=lambda: found.append(house.call("models.compare", wanted)))
    running.start()
    slow = page.locator('[data-contender="custom:slow"]')
    expect(slow).to_have_attribute("data-state", "answering")
    expect(page.locator('[data-contender="custom:broken"]')).to_have_attribute("data-state", "failed")
    running.join()
    expect(page.locator("#compare [data-place]")).to_have_attribute("data-place", "2/2")
    for name, state in (("quick", "done"), ("slow", "done"), ("broken", "failed")):
        expect(page.locator(f'[data-contender="custom:{name}"]')).to_have_attribute("data-state", state)
    expect(page.locator("#compare")).to_contain_text("Over: prompt 2 of 2")
    expect(page.locator("#compare .asked")).to_have_text("three")
    answer = found[0]["prompts"][-1]["answers"][1]  # type: ignore[index]
    assert slow.locator(".spoken").inner_text() == answer["text"]
    for fact in ("Latency", "First token", "Tokens in", "Tokens out", "Cost"):
        assert fact in slow.inner_text()
    assert "2 answered" in slow.inner_text()
    assert "2 failed" in page.locator('[data-contender="custom:broken"]').inner_text()


def test_what_routing_saved_is_told_beside_its_baseline(tab: Tab, house: Daemon) -> None:
    saved = house.call("chat", {"message": "route me", "model": "auto", "cache": "off"})["request_id"]
    row = house.call("requests.get", {"request_id": saved})
    page = tab.open("window=1h")
    tile = page.locator("[data-tile=routed]")
    expect(tile.locator(".value")).to_have_attribute("data-value", str(row["saved_route_usd"]))
    expect(tile).to_contain_text("against custom:dear")


def test_a_request_in_full_has_the_sum_of_its_cost_and_what_was_said(tab: Tab, house: Daemon) -> None:
    asked = house.call("chat", {"message": "tell me all", "model": "custom:quick", "cache": "off"})
    row = house.call("requests.get", {"request_id": asked["request_id"]})
    page = tab.open("window=1h")
    page.locator(f"#feed [data-id='{asked['request_id']}']").click()
    lines = page.locator("#drawer [data-lines] li")
    expect(lines).to_have_text([line["text"] for line in row["cost_lines"]])
    said = page.locator("#drawer [data-part=content] pre")
    expect(said).to_have_text(["user: tell me all", asked["text"]])
