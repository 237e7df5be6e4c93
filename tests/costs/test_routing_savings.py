"""What routing saved: against the model that the user names, for `auto` alone, never added to what the cache saved."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from support.daemon import Daemon
from support.provider_server import ProviderServer

SETTINGS = (
    '[costs]\nbaseline = "{baseline}"\n[routing]\nauto = ["custom:cheap"]\n[routing.aliases]\n"best" = "custom:dear"\n'
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@contextlib.contextmanager
def started(upstream: ProviderServer, baseline: str) -> Iterator[Daemon]:
    with Daemon(SETTINGS.format(baseline=baseline)) as daemon:
        for name, price in (("cheap", 1e6), ("dear", 5e6)):
            prices = {"prompt": price, "completion": 2 * price}
            daemon.add(f"custom:{name}", f"{upstream.url}/v1", upstream_model="ok", price=prices)
        yield daemon


def asked(daemon: Daemon, model: str, text: str) -> dict[str, Any]:
    request_id = daemon.call("chat", {"message": text, "model": model})["request_id"]
    row: dict[str, Any] = daemon.call("requests.get", {"request_id": request_id})
    return row


@pytest.mark.parametrize("baseline", ["custom:dear", "best"])
def test_a_request_to_auto_saves_what_the_baseline_would_have_cost_more(
    upstream: ProviderServer, baseline: str
) -> None:
    with started(upstream, baseline) as daemon:
        row = asked(daemon, "auto", "hello")
        tokens = row["usage"]["prompt_tokens"] + 2 * row["usage"]["completion_tokens"]
        assert (row["model_served"], row["cost_usd"]) == ("custom:cheap", tokens)
        assert (row["saved_route_usd"], row["saved_usd"]) == (4 * tokens, 0.0)
        said = f"with custom:dear it would have cost ${5 * tokens}: saved by routing ${4 * tokens}"
        assert row["cost_lines"][-1]["text"] == said
        hit = asked(daemon, "auto", "hello")
        assert (hit["cache"]["result"], hit["saved_usd"], hit["saved_route_usd"]) == ("hit_exact", tokens, None)
        assert asked(daemon, "custom:dear", "hello, you")["saved_route_usd"] is None
        costs = daemon.call("metrics.get", {"window": "1h"})["costs"]
        assert (costs["saved_usd"], costs["saved_route_usd"]) == (tokens, 4 * tokens)
        assert costs["baseline"] == "custom:dear"
        savings = daemon.call("cost.statement", {"by": "model"})["savings"]
        assert savings["routing"] == {"usd": 4 * tokens, "baseline": "custom:dear"}
        assert savings["cache"]["usd"] == tokens


def test_a_model_of_the_price_table_may_be_the_baseline_and_it_may_be_cheaper(upstream: ProviderServer) -> None:
    with started(upstream, "openai:gpt-4o") as daemon:
        row = asked(daemon, "auto", "hello")
        usage = row["usage"]
        would = (usage["prompt_tokens"] * 2.5 + usage["completion_tokens"] * 10) / 1e6
        assert row["saved_route_usd"] == pytest.approx(would - row["cost_usd"], abs=1e-9)
        assert "lost by routing" in row["cost_lines"][-1]["text"]


@pytest.mark.parametrize("baseline", ["openai:nobody-knows-it", "custom:not-registered"])
def test_without_a_known_baseline_nothing_is_claimed(upstream: ProviderServer, baseline: str) -> None:
    with started(upstream, baseline) as daemon:
        row = asked(daemon, "auto", "hello")
        assert row["saved_route_usd"] is None
        assert row["cost_usd"] > 0
        costs = daemon.call("metrics.get", {"window": "1h"})["costs"]
        assert costs["saved_route_usd"] is None
        assert "routing" not in daemon.call("cost.statement", {"by": "model"})["savings"]


class TestWithoutANamedBaseline:
    """The first of `routing.auto` that could be called and has a known price is what quality first would pick."""

    ORDER = "[upstream]\nmax_attempts = 3\n[routing]\nauto = [{auto}]\n"
    PRICES = {"dear": 5e6, "cheap": 1e6}

    @contextlib.contextmanager
    def started(self, upstream: ProviderServer, auto: str, dear: str = "ok") -> Iterator[Daemon]:
        with Daemon(self.ORDER.format(auto=auto)) as daemon:
            for name, model in (("cheap", "ok"), ("dear", dear)):
                price = {"prompt": self.PRICES[name], "completion": 2 * self.PRICES[name]}
                daemon.add(f"custom:{name}", f"{upstream.url}/v1", upstream_model=model, price=price)
            daemon.add("openai:nobody-knows-it", f"{upstream.url}/v1", upstream_model="ok", key="k")
            yield daemon

    def test_what_is_preferred_and_answers_saves_nothing_and_is_named(self, upstream: ProviderServer) -> None:
        with self.started(upstream, '"custom:dear", "custom:cheap"') as daemon:
            row = asked(daemon, "auto", "hello")
            assert (row["model_served"], row["saved_route_usd"]) == ("custom:dear", 0.0)
            costs = daemon.call("metrics.get", {"window": "1h"})["costs"]
            assert (costs["saved_route_usd"], costs["baseline"]) == (0.0, "custom:dear")
            savings = daemon.call("cost.statement", {"by": "model"})["savings"]
            assert savings["routing"] == {"usd": 0.0, "baseline": "custom:dear"}

    def test_a_cheaper_one_that_stands_in_for_it_saves_the_difference(self, upstream: ProviderServer) -> None:
        with self.started(upstream, '"custom:dear", "custom:cheap"', dear="e500") as daemon:
            row = asked(daemon, "auto", "hello")
            tokens = row["usage"]["prompt_tokens"] + 2 * row["usage"]["completion_tokens"]
            assert (row["model_served"], row["saved_route_usd"]) == ("custom:cheap", 4 * tokens)
            assert "with custom:dear it would have cost" in row["cost_lines"][-1]["text"]
            assert asked(daemon, "custom:cheap", "by name")["saved_route_usd"] is None

    def test_one_of_unknown_price_or_that_is_not_there_is_passed_over(self, upstream: ProviderServer) -> None:
        auto = '"custom:gone", "openai:nobody-knows-it", "custom:cheap"'
        with self.started(upstream, auto) as daemon:
            row = asked(daemon, "auto", "hello")
            assert (row["model_served"], row["cost_usd"]) == ("openai:nobody-knows-it", None)
            assert row["saved_route_usd"] is None
            assert daemon.call("metrics.get", {"window": "1h"})["costs"]["saved_route_usd"] is None

    def test_without_an_order_of_preference_nothing_is_claimed(self, upstream: ProviderServer) -> None:
        with self.started(upstream, "") as daemon:
            assert asked(daemon, "auto", "hello")["saved_route_usd"] is None
