"""The dashboard in Chromium: every panel shows its number, filters and drawer work, nothing is asked of anyone else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from support.browser import NARROW, WIDE, Tab
from support.daemon import Daemon

WINDOWS = ("1h", "24h", "7d", "30d")


def number(text: str) -> float:
    return float(re.sub(r"[^0-9.]", "", text))


def figures(daemon: Daemon, **params: Any) -> dict[str, Any]:
    found: dict[str, Any] = daemon.call("metrics.get", {"window": "24h", **params})
    return found


def tile(tab: Tab, name: str) -> float | None:
    return tab.value(f"[data-tile={name}] .value")


def part(tab: Tab, name: str, term: str) -> float | None:
    return tab.value(f"[data-tile={name}] .parts div:has(dt:text-is('{term}')) dd")


# -- the tiles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", WINDOWS)
def test_every_tile_shows_what_metrics_get_says(tab: Tab, daemon: Daemon, window: str) -> None:
    tab.open(f"window={window}")
    expected = figures(daemon, window=window)
    requests, cache, costs = expected["requests"], expected["cache"], expected["costs"]
    assert tile(tab, "requests") == requests["total"]
    for outcome in ("success", "failure", "refused", "cancelled"):
        assert part(tab, "success", outcome) == requests[outcome]
    for name, key in (("latency", "latency_ms"), ("ttft", "ttft_ms"), ("overhead", "overhead_ms")):
        assert tile(tab, name) == pytest.approx(expected[key]["p50"])
        assert part(tab, name, "p95") == pytest.approx(expected[key]["p95"])
        assert part(tab, name, "p99") == pytest.approx(expected[key]["p99"])
    assert tile(tab, "hits") == pytest.approx(cache["hit_rate"])
    assert part(tab, "hits", "exact") == cache["exact"]
    assert part(tab, "hits", "by meaning") == cache["semantic"]
    assert tile(tab, "spent") == pytest.approx(costs["total_usd"], abs=1e-9)
    assert tile(tab, "saved") == pytest.approx(costs["saved_usd"], abs=1e-9)


def test_what_a_person_reads_is_that_number(tab: Tab, daemon: Daemon) -> None:
    tab.open()
    expected = figures(daemon)
    assert number(tab.text("[data-tile=requests] .value")) == expected["requests"]["total"]
    assert number(tab.text("[data-tile=spent] .value")) == pytest.approx(expected["costs"]["total_usd"], abs=0.005)
    assert number(tab.text("[data-tile=saved] .value")) == pytest.approx(expected["costs"]["saved_usd"], abs=0.005)
    judged = expected["requests"]["success"] + expected["requests"]["failure"]
    rate = 100 * expected["requests"]["success"] / judged
    assert number(tab.text("[data-tile=success] .value")) == pytest.approx(rate, abs=0.006)


def test_a_change_against_the_period_before_is_shown(tab: Tab, daemon: Daemon) -> None:
    tab.open()
    found = figures(daemon, before=True)
    now, before = found["requests"]["total"], found["before"]["requests"]["total"]
    expect(tab.page.locator("[data-tile=requests] .delta")).to_contain_text("up" if now > before else "down")
    shown = number(tab.page.locator("[data-tile=requests] .delta").inner_text())
    assert shown == pytest.approx(100 * abs(now - before) / before, abs=0.1)


def test_every_tile_with_a_past_has_a_line(tab: Tab) -> None:
    tab.open()
    for name in ("requests", "success", "latency", "ttft", "hits", "spent", "saved", "overhead"):
        expect(tab.page.locator(f"[data-tile={name}] .spark svg")).to_have_count(1)


def test_all_that_was_sent_was_recorded(tab: Tab) -> None:
    tab.open()
    sent, _, recorded = tab.page.locator("[data-tracked]").get_attribute("data-tracked").partition("/")  # type: ignore[union-attr]  # it is there
    assert sent == recorded
    expect(tab.page.locator("[data-tracked]")).to_contain_text("sent =")


# -- the panels -------------------------------------------------------------------------------------------------------


def test_health_is_shown_with_its_reason_and_the_parts_of_the_daemon(tab: Tab, daemon: Daemon) -> None:
    tab.open()
    health = daemon.call("health.get")
    assert tab.page.locator("#health [data-status]").get_attribute("data-status") == health["status"]
    tab.page.locator("#health summary").click()
    expect(tab.page.locator("#health .chips li")).to_have_count(len(health["parts"]))


def test_the_charts_are_drawn_and_told_with_the_arrow_keys(tab: Tab) -> None:
    tab.open()
    assert tab.page.locator("#requests .plot rect").count() > 20
    assert tab.page.locator("#latency .plot path.line").count() >= 2
    tab.page.locator("#requests .plot").focus()
    tab.page.keyboard.press("ArrowLeft")
    expect(tab.page.locator("#requests .tip")).to_contain_text("Success")
    tab.page.keyboard.press("Escape")
    expect(tab.page.locator("#requests .tip")).to_be_hidden()


def test_the_bars_add_up_to_the_requests(tab: Tab, daemon: Daemon) -> None:
    tab.open()
    label = tab.page.locator("#requests .plot").get_attribute("aria-label") or ""
    assert number(label) == figures(daemon)["requests"]["total"]


def test_models_have_their_share_state_and_cost(tab: Tab, daemon: Daemon) -> None:
    tab.open()
    report = daemon.call("cost.report", {"by": "model", "window": "24h"})
    for row in report["rows"]:
        cells = tab.page.locator(f"[data-model='{row['key']}'] td").all_inner_texts()
        assert number(cells[2]) == row["requests"]
        assert number(cells[5]) == pytest.approx(row["cost_usd"], rel=0.02, abs=0.005)
    assert tab.page.locator("[data-model='custom:away'] .badge").inner_text() == "ready"
    assert tab.page.locator("[data-model='openai:gpt-4o'] .badge").inner_text() == "not registered"


def test_the_test_button_tells_what_works_and_what_does_not(tab: Tab) -> None:
    page = tab.open()
    page.click("[data-model='echo:echo'] button")
    expect(page.locator("[data-verdict=ok]")).to_contain_text("Works")
    page.click("[data-model='custom:away'] button")
    expect(page.locator("[data-verdict=failed]")).to_contain_text("127.0.0.1:9")


def test_the_latest_requests_are_those_of_requests_list(tab: Tab, daemon: Daemon) -> None:
    page = tab.open()
    shown = page.eval_on_selector_all("#feed [data-act=request]", "all => all.map((one) => one.dataset.id)")
    assert shown == [row["request_id"] for row in daemon.rows()[: len(shown)]]


def test_errors_are_grouped_by_cause_with_their_tips(tab: Tab, daemon: Daemon) -> None:
    tab.open()
    total = sum(number(text) for text in tab.page.locator("#errors .badge").all_inner_texts())
    assert total == figures(daemon)["errors"]["total"]
    expect(tab.page.locator("[data-error=rate_limited]").first).to_contain_text("Tip: wait 20 s")


@pytest.mark.parametrize("by", ["model", "project", "user", "session"])
def test_costs_are_those_of_cost_report(tab: Tab, daemon: Daemon, by: str) -> None:
    page = tab.open()
    page.click(f"#tab-{by}")
    expect(page.locator(f"#tab-{by}")).to_have_attribute("aria-selected", "true")
    report = daemon.call("cost.report", {"by": by, "window": "24h"})
    both = "all => all.map((one) => [one.dataset.cost, one.querySelector('[data-value]').dataset.value])"
    shown = page.eval_on_selector_all("#costs tbody tr", both)
    assert [name for name, _ in shown] == [str(row["key"]).replace("None", "null") for row in report["rows"]]
    for (_, cost), row in zip(shown, report["rows"], strict=True):
        assert float(cost) == pytest.approx(row["cost_usd"], abs=1e-9)
    assert float(page.locator("[data-total]").get_attribute("data-total") or 0) == pytest.approx(
        report["total"]["cost_usd"], abs=1e-9
    )


def test_the_tabs_of_costs_are_worked_with_the_arrow_keys(tab: Tab) -> None:
    page = tab.open()
    page.focus("#tab-model")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-project")).to_be_focused()
    expect(page.locator("#tab-project")).to_have_attribute("aria-selected", "true")


def test_the_cache_shows_its_tiers_and_what_it_served(tab: Tab, daemon: Daemon) -> None:
    tab.open()
    stats = daemon.call("cache.stats")
    for tier in ("l1", "l2"):
        cells = tab.page.locator(f"[data-tier={tier}] td").all_inner_texts()
        assert [number(text) for text in (cells[0], cells[2], cells[3])] == [
            stats[tier][name] for name in ("entries", "hits", "misses")
        ]
    expect(tab.page.locator("#cache .served li").first).to_contain_text("What does EAGAIN mean?")


def test_a_wrong_answer_is_removed_with_a_button(tab: Tab, daemon: Daemon) -> None:
    for _ in range(3):
        daemon.call("chat", {"message": "an answer that is wrong", "model": "echo:echo"})
    page = tab.open()
    page.locator(".served li", has_text="an answer that is wrong").get_by_role("button").click()
    expect(page.locator("#said")).to_contain_text("removed")
    again = daemon.call("chat", {"message": "an answer that is wrong", "model": "echo:echo"})
    assert again["cache"]["result"] == "miss"


# -- range and filters ------------------------------------------------------------------------------------------------


def test_range_and_filters_change_the_figures_and_stay_in_the_address(tab: Tab, daemon: Daemon) -> None:
    page = tab.open()
    page.check("input[value='7d']", force=True)
    page.select_option("select[name=model]", "custom:qwen")
    page.select_option("select[name=client]", "http:chat")
    expected = figures(daemon, window="7d", model="custom:qwen", client="http:chat")["requests"]["total"]
    expect(page.locator("[data-tile=requests] .value")).to_have_attribute("data-value", str(expected))
    assert all(one in page.url for one in ("window=7d", "model=custom%3Aqwen", "client=http%3Achat"))
    page.reload()
    expect(page.locator("[data-tile=requests] .value")).to_have_attribute("data-value", str(expected))
    expect(page.locator("select[name=model]")).to_have_value("custom:qwen")


def test_a_project_filters_costs_and_errors_too(tab: Tab, daemon: Daemon) -> None:
    page = tab.open("project=%2Fsrv%2Fada%2Fcompiler")
    report = daemon.call("cost.report", {"by": "model", "window": "24h", "project": "/srv/ada/compiler"})
    assert float(page.locator("[data-total]").get_attribute("data-total") or 0) == pytest.approx(
        report["total"]["cost_usd"], abs=1e-9
    )
    failed = figures(daemon, project="/srv/ada/compiler")["errors"]["total"]
    assert sum(number(text) for text in page.locator("#errors .badge").all_inner_texts()) == failed


def test_going_back_brings_the_view_before_back(tab: Tab) -> None:
    page = tab.open()
    page.check("input[value='1h']", force=True)
    expect(page.locator("input[value='1h']")).to_be_checked()
    page.go_back()
    expect(page.locator("input[value='24h']")).to_be_checked()


def test_all_filters_are_cleared_with_one_button(tab: Tab) -> None:
    page = tab.open("client=http:chat&window=1h")
    page.click("#clear")
    expect(page.locator("select[name=client]")).to_have_value("")
    assert page.url.endswith("/dashboard?window=1h")


# -- one request in full ----------------------------------------------------------------------------------------------


def test_the_drawer_shows_steps_route_cache_and_cost(tab: Tab, daemon: Daemon) -> None:
    asked = daemon.call("chat", {"message": "what does the drawer show?", "model": "echo:echo"})
    page = tab.open()
    page.click(f"[data-id='{asked['request_id']}']")
    drawer = page.locator("#drawer")
    expect(drawer.locator("[data-part=steps] li.sum")).to_contain_text("in all")
    expect(drawer.locator("[data-part=route]")).to_contain_text(asked["route"]["reason"])
    expect(drawer.locator("[data-part=cache]")).to_contain_text("what does the drawer show?")
    rows = drawer.locator("[data-part=cost] table tr")
    expect(rows.last).to_contain_text("Cost")
    products = [number(text) for text in drawer.locator("[data-part=cost] tr td:last-child").all_inner_texts()]
    assert sum(products[:-1]) == pytest.approx(products[-1]) == pytest.approx(asked["cost_usd"])
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()


def test_the_drawer_of_an_error_tells_its_tip(tab: Tab) -> None:
    page = tab.open()
    page.locator("[data-error=timeout] button").first.click()
    expect(page.locator("#drawer")).to_contain_text("is the model loaded?")


def test_the_drawer_is_opened_and_closed_without_a_mouse(tab: Tab) -> None:
    page = tab.open()
    page.locator("#feed .row").nth(2).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#drawer")).to_be_visible()
    expect(page.locator("#drawer-head")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#feed .row").nth(2)).to_be_focused()


def test_text_from_requests_is_never_markup(tab: Tab, daemon: Daemon) -> None:
    evil = "<img src=x onerror=alert(1)>"
    for _ in range(2):
        daemon.call("chat", {"message": evil, "model": "echo:echo", "user": evil, "tags": [evil]})
    page = tab.open()
    expect(page.locator("#cache .served")).to_contain_text(evil)
    page.locator("#feed .row").first.click()
    expect(page.locator("#drawer [data-part=who]")).to_contain_text(evil)
    assert page.locator("img[src=x]").count() == 0


# -- for everyone -----------------------------------------------------------------------------------------------------


def violations(page: Page) -> list[str]:
    """What axe-core finds against WCAG 2.2 AA, contrast among it."""
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    found = Axe().run(page, options={"runOnly": rules}).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:160]}" for one in found]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_axe_finds_nothing(browser: Browser, daemon: Daemon, dark: bool, size: tuple[int, int]) -> None:
    with Tab(browser, daemon, dark=dark, size=size, reduced_motion="reduce") as tab:
        page = tab.open()
        assert violations(page) == []
        page.locator("#feed .row").first.click()
        page.wait_for_selector("#drawer [data-part=who]")
        assert violations(page) == []
        assert tab.logged == []


def test_on_a_phone_nothing_is_wider_than_the_screen(browser: Browser, daemon: Daemon) -> None:
    with Tab(browser, daemon, size=NARROW) as tab:
        page = tab.open()
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]


def test_nothing_moves_for_who_wants_no_motion(browser: Browser, daemon: Daemon) -> None:
    with Tab(browser, daemon, reduced_motion="reduce") as tab:
        page = tab.open()
        assert page.evaluate("document.getAnimations().length") == 0


def test_the_page_can_be_held_still(tab: Tab, daemon: Daemon) -> None:
    page = tab.open()
    page.click("[data-act=pause]")
    before = tile(tab, "requests")
    daemon.call("chat", {"message": "while it stands still", "model": "echo:echo"})
    page.wait_for_timeout(1200)
    assert tile(tab, "requests") == before
    page.click("[data-act=pause]")
    expect(page.locator("[data-tile=requests] .value")).to_have_attribute("data-value", str(int(before or 0) + 1))
