"""The dashboard as time goes on: a new request appears by itself, and a restart of the daemon is survived."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from support.browser import Tab
from support.daemon import Daemon

RUNS = 20


@pytest.fixture
def fresh() -> Iterator[Daemon]:
    """A daemon on its first day, which keeps its port when it is started again."""
    with Daemon() as daemon:
        daemon.environ["BEAST_HTTP__PORT"] = str(urlsplit(daemon.url).port)
        yield daemon


def test_a_first_day_teaches_the_next_command(browser: Browser, fresh: Daemon) -> None:
    with Tab(browser, fresh) as tab:
        tab.open()
        for panel, text in {
            "models": "beast models add",
            "feed": "beast ask",
            "errors": "beast errors",
            "costs": "beast ask",
            "cache": "beast ask",
        }.items():
            expect(tab.page.locator(f"#{panel} .command").first).to_contain_text(text)
        assert tab.logged == []


def test_what_nobody_knows_is_unknown_and_not_0(browser: Browser, fresh: Daemon) -> None:
    with Tab(browser, fresh) as tab:
        tab.open()
        for name in ("latency", "ttft", "hits"):
            assert tab.text(f"[data-tile={name}] .value") == "unknown"
        assert tab.text("[data-tile=requests] .value") == "0"


def test_a_new_request_is_on_the_page_soon(browser: Browser, fresh: Daemon) -> None:
    fresh.add("echo:echo")
    with Tab(browser, fresh) as tab, fresh.client() as client:
        page = tab.open("window=1h")
        took_s = []
        for run in range(RUNS):
            asked = client.call("chat", {"message": f"question {run}", "model": "echo:echo"})
            began_s = time.monotonic()
            page.wait_for_function("id => document.querySelector(`#feed [data-id='${id}']`)", arg=asked["request_id"])
            expect(page.locator("[data-tile=requests] .value")).to_have_attribute("data-value", str(run + 1))
            took_s.append(time.monotonic() - began_s)
        p95_s = statistics.quantiles(took_s, n=20)[-1]
        median_s = statistics.median(took_s)
        print(f"\na new request is shown: median {median_s:.3f} s, p95 {p95_s:.3f} s, worst {max(took_s):.3f} s")
        assert tab.logged == []


def test_a_restart_of_the_daemon_is_survived(browser: Browser, fresh: Daemon) -> None:
    fresh.add("echo:echo")
    with Tab(browser, fresh) as tab:
        page = tab.open("window=1h")
        fresh.stop()
        expect(page.locator("#pulse .link")).to_contain_text("trying again")
        expect(page.locator("#pulse .age")).to_contain_text("old")
        fresh.start()
        expect(page.locator("#pulse .link")).to_have_text("live", timeout=20_000)
        fresh.call("chat", {"message": "after the restart", "model": "echo:echo"})
        expect(page.locator("[data-tile=requests] .value")).to_have_attribute("data-value", "1")


def test_a_killed_daemon_is_survived_too(browser: Browser, fresh: Daemon) -> None:
    with Tab(browser, fresh) as tab:
        page = tab.open()
        fresh.kill()
        expect(page.locator("#pulse .link")).to_contain_text("trying again")
        fresh.start()
        expect(page.locator("#pulse .link")).to_have_text("live", timeout=20_000)


def test_who_is_signed_out_is_told_how_to_come_back(browser: Browser, fresh: Daemon) -> None:
    with Tab(browser, fresh) as tab:
        page = tab.open()
        fresh.call("token.rotate")
        expect(page.locator("#pulse .link")).to_contain_text("beast dashboard", timeout=10_000)


def test_without_a_ticket_the_page_says_what_to_run(browser: Browser, fresh: Daemon) -> None:
    with Tab(browser, fresh) as tab:
        tab.page.goto(f"{fresh.url}/dashboard")
        expect(tab.page.locator("code")).to_have_text("beast dashboard")


def test_the_command_prints_an_address_that_opens_it(browser: Browser, fresh: Daemon) -> None:
    command = [sys.executable, "-m", "beastmode.cli", "dashboard", "--no-open"]
    done = subprocess.run(command, env=fresh.environ, capture_output=True, text=True, timeout=30, check=True)
    with Tab(browser, fresh) as tab:
        tab.page.goto(done.stdout.strip())
        expect(tab.page.locator("[data-tile=requests] .value")).to_have_text("0")
        assert "ticket" not in tab.page.url
