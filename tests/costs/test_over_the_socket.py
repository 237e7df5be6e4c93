"""`prices.list`, `set` and `update` of a running daemon, and what requests cost by them, from call to ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.errors import BeastError
from support.daemon import Daemon
from support.http_caller import Door, chat
from support.provider_server import ProviderServer


@pytest.fixture(scope="module")
def upstream() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.fixture(scope="module")
def daemon(upstream: ProviderServer) -> Iterator[Daemon]:
    with Daemon('[routing.aliases]\n"cheap-*" = "custom:paid"\n') as daemon:
        daemon.add("openai:gpt-4o", f"{upstream.url}/v1", upstream_model="gpt-4o")
        daemon.add("openai:nobody-knows-it", f"{upstream.url}/v1")
        daemon.add("custom:free", f"{upstream.url}/v1", upstream_model="ok")
        daemon.add("custom:paid", f"{upstream.url}/v1", upstream_model="ok", price={"prompt": 1.0, "completion": 2.0})
        yield daemon


def listed(daemon: Daemon, **params: Any) -> dict[str, dict[str, Any]]:
    return {one["model"]: one for one in daemon.call("prices.list", params)["prices"]}


def refused(daemon: Daemon, method: str, **params: Any) -> BeastError:
    with pytest.raises(BeastError) as caught:
        daemon.call(method, params)
    assert caught.value.kind == "bad_input"
    return caught.value


def asked(daemon: Daemon, model: str, text: str, **more: Any) -> dict[str, Any]:
    """Asks, and gives the row as `requests.get` tells it."""
    request_id = daemon.call("chat", {"message": text, "model": model, "cache": "off", **more})["request_id"]
    row: dict[str, Any] = daemon.call("requests.get", {"request_id": request_id})
    return row


class TestList:
    def test_every_registered_model_with_price_source_and_date(self, daemon: Daemon) -> None:
        found = listed(daemon)
        assert set(found) == {"openai:gpt-4o", "openai:nobody-knows-it", "custom:free", "custom:paid"}
        known = found["openai:gpt-4o"]
        assert (known["price"]["prompt"], known["price"]["completion"], known["price"]["cached"]) == (2.5, 10, 1.25)
        assert known["source"].startswith("genai-prices ")
        assert known["date"] >= "2026-11-01"
        assert known["modes"]["batch"]["price"]["prompt"] == 1.25
        own = found["custom:paid"]
        assert (own["price"]["prompt"], own["source"]) == (1.0, "user")
        assert own["date"].startswith("20")
        assert (found["custom:free"]["price"]["prompt"], found["custom:free"]["source"]) == (0.0, "free")

    def test_an_unknown_price_is_null_and_never_zero(self, daemon: Daemon) -> None:
        unknown = listed(daemon)["openai:nobody-knows-it"]
        assert (unknown["price"], unknown["source"], unknown["date"]) == (None, None, None)
        assert "beast prices set openai:nobody-knows-it" in unknown["tip"]

    def test_a_model_that_is_not_registered_is_looked_up(self, daemon: Daemon) -> None:
        found = listed(daemon, model="anthropic:claude-sonnet-4-5")["anthropic:claude-sonnet-4-5"]
        assert found["registered"] is False
        assert found["price"]["cache_write_1h"] == 6.0
        assert found["tiers"][0]["over_prompt_tokens"] == 200_000
        assert found["tiers"][0]["price"]["prompt"] == 6.0
        assert listed(daemon, model="no such thing") == {}

    def test_the_table_is_there_on_request(self, daemon: Daemon) -> None:
        found = listed(daemon, all=True)
        assert len(found) > 1_000
        assert found["openai:gpt-4o"]["registered"] is True
        part = listed(daemon, all=True, model="sonnet-4-5")
        assert 1 < len(part) < len(found)
        assert all("sonnet-4-5" in name for name in part)


class TestSet:
    def test_a_price_counts_at_once_and_is_gone_when_it_is_taken_back(self, daemon: Daemon) -> None:
        before = asked(daemon, "custom:free", "one")
        assert (before["cost_usd"], before["price_source"]) == (0.0, "free")
        done = daemon.call("prices.set", {"model": "custom:free", "prompt": 1e6, "completion": 2e6, "cached": 0.0})
        assert (done["source"], done["registered"], done["replaced"]) == ("user", True, None)
        row = asked(daemon, "custom:free", "two")
        usage = row["usage"]
        assert row["cost_usd"] == usage["prompt_tokens"] + 2 * usage["completion_tokens"]
        assert row["price_source"] == "user"
        texts = [line["text"] for line in row["cost_lines"]]
        assert texts[0] == f"{usage['prompt_tokens']} prompt tokens x $1000000/M = ${usage['prompt_tokens']}"
        assert texts[-1] == "price: your own"
        gone = daemon.call("prices.set", {"model": "custom:free", "remove": True})
        assert (gone["source"], gone["replaced"]["price"]["prompt"]) == ("free", 1e6)
        assert asked(daemon, "custom:free", "three")["cost_usd"] == 0.0
        again = daemon.call("requests.get", {"request_id": row["request_id"]})
        assert (again["cost_usd"], again["cost_lines"]) == (row["cost_usd"], row["cost_lines"])

    def test_it_wins_over_the_price_of_the_registration(self, daemon: Daemon) -> None:
        daemon.call("prices.set", {"model": "custom:paid", "prompt": 3.0, "completion": 4.0})
        assert listed(daemon)["custom:paid"]["price"]["prompt"] == 3.0
        daemon.call("prices.set", {"model": "custom:paid", "remove": True})
        assert listed(daemon)["custom:paid"]["price"]["prompt"] == 1.0

    def test_an_alias_means_the_model_behind_it(self, daemon: Daemon) -> None:
        assert (
            daemon.call("prices.set", {"model": "cheap-one", "prompt": 3.0, "completion": 4.0})["model"]
            == "custom:paid"
        )
        daemon.call("prices.set", {"model": "cheap-one", "remove": True})

    def test_a_model_may_be_registered_later(self, daemon: Daemon) -> None:
        done = daemon.call("prices.set", {"model": "custom:later", "prompt": 1.0, "completion": 1.0})
        assert "No model custom:later is registered" in done["note"]
        assert done["registered"] is False
        assert listed(daemon, model="custom:later")["custom:later"]["source"] == "user"

    @pytest.mark.parametrize(
        "params",
        [
            {"model": "custom:free"},
            {"model": "custom:free", "cached": 1.0},
            {"model": "custom:free", "prompt": 1.0, "remove": True},
            {"model": "auto", "prompt": 1.0},
            {"model": "no id", "prompt": 1.0},
            {"model": "", "prompt": 1.0},
            {"model": "custom:free", "prompt": -1.0},
            {"model": "custom:free", "prompt": 1.0, "batch": 1.5},
            {"model": "custom:free", "prompt": "1"},
            {"model": "custom:free", "promt": 1.0},
        ],
    )
    def test_what_is_no_price_is_refused_and_nothing_changes(self, daemon: Daemon, params: dict[str, Any]) -> None:
        refused(daemon, "prices.set", **params)
        assert listed(daemon)["custom:free"]["source"] == "free"


class TestCosts:
    def test_a_price_by_the_second_is_that_of_the_call(self, daemon: Daemon, upstream: ProviderServer) -> None:
        daemon.add("custom:timed", f"{upstream.url}/v1", upstream_model="latency-120", price={"per_second": 1.0})
        row = asked(daemon, "custom:timed", "how long?")
        assert 0.12 <= row["cost_usd"] < 5
        assert row["cost_lines"][0]["what"] == "seconds"
        assert row["cost_lines"][0]["amount"] == pytest.approx(row["cost_usd"], abs=0.001)

    @pytest.mark.parametrize("stream", [True, False])
    def test_no_usage_no_cost(self, daemon: Daemon, upstream: ProviderServer, stream: bool) -> None:
        price = {"prompt": 1.0, "completion": 2.0}
        daemon.add("custom:silent", f"{upstream.url}/v1", upstream_model="no-usage", price=price)
        row = asked(daemon, "custom:silent", f"what? {stream}", stream=stream)
        assert row["cost_usd"] is None
        assert row["price_source"] == "user"
        assert row["cost_lines"][0]["text"].startswith("cost unknown")

    def test_a_flex_request_costs_the_share_that_the_user_set(self, daemon: Daemon, upstream: ProviderServer) -> None:
        price = {"prompt": 1e6, "completion": 1e6, "batch": 0.5}
        daemon.add("custom:batched", f"{upstream.url}/v1", upstream_model="ok", price=price)
        door = Door.of(daemon)
        full = door.post("/v1/chat/completions", chat("hello", "custom:batched"), x_beast_cache="off")
        flex = door.post(
            "/v1/chat/completions", chat("hello", "custom:batched", service_tier="flex"), x_beast_cache="off"
        )
        assert float(flex.headers["x-beast-cost-usd"]) * 2 == float(full.headers["x-beast-cost-usd"]) > 0
        row = daemon.rows(model="custom:batched", limit=1)[0]
        assert row["price"].endswith("; flex")

    def test_a_hit_tells_what_it_saved(self, daemon: Daemon) -> None:
        first = daemon.call("chat", {"message": "the same again", "model": "custom:paid"})
        second = daemon.call("chat", {"message": "the same again", "model": "custom:paid"})
        assert second["saved_usd"] == first["cost_usd"] > 0
        row = daemon.call("requests.get", {"request_id": second["request_id"]})
        assert row["cost_lines"][0]["text"].startswith("a stored answer: $0; saved what it had cost: $0.0000")


class TestUpdate:
    TABLE = {
        "schema": 1,
        "source": "a newer table",
        "date": "2099-01-01",
        "urls": {},
        "providers": {"openai": {"exact": {"gpt-4o": 0}, "rules": [], "tariffs": [[{"usd": [7, 8]}]]}},
    }

    def test_a_newer_table_counts_at_once_and_the_shipped_one_comes_back(self, daemon: Daemon, tmp_path: Path) -> None:
        file = tmp_path / "table.json"
        file.write_text(json.dumps(self.TABLE))
        done = daemon.call("prices.update", {"file": str(file)})
        assert (done["source"], done["date"], done["updated"]) == ("a newer table", "2099-01-01", True)
        assert listed(daemon)["openai:gpt-4o"]["price"]["prompt"] == 7.0
        assert daemon.call("prices.update")["updated"] is False
        back = daemon.call("prices.update", {"shipped": True})
        assert (back["shipped"], back["before"]["source"]) == (True, "a newer table")
        assert listed(daemon)["openai:gpt-4o"]["price"]["prompt"] == 2.5

    def test_a_damaged_one_is_refused_with_the_place(self, daemon: Daemon, tmp_path: Path) -> None:
        file = tmp_path / "table.json"
        file.write_text(json.dumps(self.TABLE)[:-5])
        error = refused(daemon, "prices.update", file=str(file))
        assert str(file) in error.message
        assert listed(daemon)["openai:gpt-4o"]["price"]["prompt"] == 2.5

    def test_what_is_no_place_of_a_file_is_refused(self, daemon: Daemon, tmp_path: Path) -> None:
        assert "no absolute path" in refused(daemon, "prices.update", file="table.json").message
        assert "is no file" in refused(daemon, "prices.update", file=str(tmp_path)).message
        assert "leave either out" in refused(daemon, "prices.update", file=str(tmp_path), shipped=True).tips


def test_own_prices_outlive_a_restart_and_damage_is_told() -> None:
    with Daemon() as daemon:
        daemon.call("prices.set", {"model": "custom:q", "prompt": 1.0, "completion": 2.0})
        daemon.stop()
        daemon.start()
        assert listed(daemon, model="custom:q")["custom:q"]["price"]["completion"] == 2.0
        daemon.stop()
        (daemon.home / "state" / "prices.json").write_text("{")
        daemon.start()
        health = daemon.call("health.get")
        assert health["status"] != "healthy"
        assert "prices.json.damaged-" in json.dumps(health)
