"""`GET /metrics`: what Prometheus' own parser reads agrees to the unit with the ledger, and never goes back."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from beastmode.core.errors import BeastError
from support.daemon import Daemon
from support.provider_server import ProviderServer

ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
SETTINGS = "[upstream]\nmax_attempts = 1\nbreaker_failures = 100\n[cache]\nsemantic = 'off'\n"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(daemon: Daemon, accept: str = "") -> tuple[str, str]:
    request = urllib.request.Request(f"{daemon.url}/metrics", headers={"Authorization": f"Bearer {daemon.token}"})
    if accept:
        request.add_header("Accept", accept)
    with urllib.request.urlopen(request, timeout=20) as reply:
        return reply.read().decode(), reply.headers["content-type"]


def samples(daemon: Daemon) -> Samples:
    text, _ = scrape(daemon)
    return {
        (one.name, frozenset(one.labels.items())): one.value for family in read_text(text) for one in family.samples
    }


def total(found: Samples, name: str, **labels: str) -> float:
    wanted = set(labels.items())
    return sum(value for (other, theirs), value in found.items() if other == name and wanted <= theirs)


def post(daemon: Daemon, path: str, body: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {daemon.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(daemon.url + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            reply.read()
    except urllib.error.HTTPError as error:
        error.read()


@pytest.fixture(scope="module")
def upstream() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.fixture(scope="module")
def daemon(upstream: ProviderServer) -> Iterator[Daemon]:
    """A daemon that has answered, failed, streamed and recalled, over both doors."""
    with Daemon(SETTINGS) as daemon:
        price = {"prompt": 1.5, "completion": 2.5}
        daemon.add("custom:good", f"{upstream.url}/v1", upstream_model="ok", price=price)
        daemon.add("custom:bad", f"{upstream.url}/v1", upstream_model="e500", price=price)
        for number in range(7):
            daemon.call("chat", {"message": f"question {number % 5}", "model": "custom:good", "user": f"u{number % 5}"})
        for number in range(3):
            with pytest.raises(BeastError):
                daemon.call("chat", {"message": f"question {number}", "model": "custom:bad"})
        with pytest.raises(BeastError):
            daemon.call("chat", {"message": "x", "model": "custom:made-up"})
        for stream in (True, False):
            messages = [{"role": "user", "content": f"asked over http {stream}"}]
            post(daemon, "/v1/chat/completions", {"model": "custom:good", "messages": messages, "stream": stream})
        yield daemon


def test_both_formats_are_read_by_prometheus_own_parser(daemon: Daemon) -> None:
    text, kind = scrape(daemon)
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    plain = {family.name for family in read_text(text)}
    text, kind = scrape(daemon, ACCEPT)
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert text.endswith("# EOF\n")
    assert {family.name for family in read_openmetrics(text)} == plain


def test_names_follow_the_rules_of_prometheus(daemon: Daemon) -> None:
    text, _ = scrape(daemon)
    assert len(re.findall(r"^# HELP ", text, re.M)) == len(re.findall(r"^# TYPE ", text, re.M))
    for family in read_text(text):
        assert re.fullmatch(r"(beast|process)_[a-z_]+[a-z]", family.name), family.name
        assert family.documentation.endswith("."), family.name
        assert not re.search(r"_(ms|milliseconds|kb|mb|percent|minutes)(_|$)", family.name), family.name
        counts = any(one.name.endswith("_total") for one in family.samples)
        assert counts == (family.type == "counter"), family.name


def test_it_agrees_with_the_ledger_to_the_unit(daemon: Daemon) -> None:
    rows = daemon.rows(origin="all")
    found = samples(daemon)
    assert total(found, "beast_requests_total") == len(rows) == 13
    for outcome in ("success", "failure", "refused", "cancelled"):
        assert total(found, "beast_requests_total", outcome=outcome) == sum(row["outcome"] == outcome for row in rows)
    for door in ("socket", "http"):
        expected = sum(row["client"].partition(":")[0] == door for row in rows)
        assert total(found, "beast_requests_total", door=door) == expected > 0
    hits = [row for row in rows if row["cache"]["result"] == "hit_exact"]
    assert total(found, "beast_requests_total", cache="hit_exact") == len(hits) == 2
    costs = [row["cost_usd"] for row in rows if row["cost_usd"] is not None]
    assert total(found, "beast_cost_usd_total") == pytest.approx(sum(costs), abs=1e-12)
    assert sum(costs) > 0
    unknown = sum(row["cost_usd"] is None for row in rows)
    assert total(found, "beast_cost_unknown_requests_total") == unknown
    saved = sum(row["saved_usd"] or 0.0 for row in rows)
    assert total(found, "beast_saved_usd_total") == pytest.approx(saved, abs=1e-12)
    for kind in ("prompt", "completion"):
        called = sum(row["usage"][f"{kind}_tokens"] or 0 for row in rows if row not in hits)
        assert total(found, "beast_tokens_total", type=kind) == called > 0
    assert total(found, "beast_errors_total", error_kind="upstream") == 3
    assert total(found, "beast_upstream_calls_total") == sum(row["attempts"] for row in rows)


def test_it_agrees_with_the_figures_of_metrics_get(daemon: Daemon) -> None:
    figures = daemon.call("metrics.get", {"window": "24h"})
    found = samples(daemon)
    assert total(found, "beast_requests_total", origin="person") == figures["requests"]["total"]
    assert total(found, "beast_requests_total", origin="person", outcome="success") == figures["requests"]["success"]
    assert total(found, "beast_cost_usd_total") == pytest.approx(figures["costs"]["total_usd"], abs=1e-12)


def test_durations_are_histograms_that_count_every_success(daemon: Daemon) -> None:
    found = samples(daemon)
    successes = [row for row in daemon.rows(origin="all") if row["outcome"] == "success"]
    name = "beast_request_duration_seconds"
    assert total(found, f"{name}_count") == len(successes)
    assert total(found, f"{name}_bucket", le="+Inf") == len(successes)
    assert total(found, f"{name}_sum") == pytest.approx(sum(row["latency_ms"] for row in successes) / 1e3)
    streamed = [row for row in successes if row["ttft_ms"] is not None]
    assert total(found, "beast_time_to_first_token_seconds_count") == len(streamed) > 0
    assert total(found, "beast_overhead_seconds_count") > 0


def test_labels_are_few_and_none_is_of_a_person(daemon: Daemon) -> None:
    text, _ = scrape(daemon)
    labels = {label for family in read_text(text) for one in family.samples for label in one.labels}
    expected = {"origin", "outcome", "cache", "model", "provider", "door", "error_kind", "type", "le"}
    expected |= {"status", "part", "tier", "folder", "quantile", "deployment", "state", "version", "python"}
    assert labels <= expected
    assert "made-up" not in text
    assert total(samples(daemon), "beast_requests_total", model="other") == 1


def test_gauges_tell_how_the_daemon_is(daemon: Daemon) -> None:
    found = samples(daemon)
    assert total(found, "beast_health_status") == 1
    assert total(found, "beast_part_ok", part="ledger") == 1
    assert total(found, "beast_breaker_state", state="closed") == 2
    assert total(found, "beast_cache_entries", tier="l1") >= 5
    assert total(found, "beast_cache_hits_total", tier="l1") >= 2
    assert total(found, "beast_models") == 2
    assert total(found, "beast_ledger_readable") == 1
    assert total(found, "beast_disk_free_bytes", folder="state") > 0
    assert total(found, "process_resident_memory_bytes") > 1e6
    assert total(found, "process_cpu_seconds_total") > 0


def test_it_asks_for_the_token(daemon: Daemon) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{daemon.url}/metrics", timeout=10)
    assert caught.value.code == 401
    caught.value.close()


def test_counters_survive_a_restart_and_a_kill(upstream: ProviderServer) -> None:
    with Daemon(SETTINGS) as daemon:
        daemon.add("custom:good", f"{upstream.url}/v1", upstream_model="ok", price={"prompt": 1.5, "completion": 2.5})
        for number in range(4):
            daemon.call("chat", {"message": f"question {number}", "model": "custom:good"})
        before = samples(daemon)
        daemon.kill()
        daemon.start()
        daemon.call("chat", {"message": "one more", "model": "custom:good"})
        after = samples(daemon)
    assert total(before, "beast_requests_total") == 4
    assert total(after, "beast_requests_total") == 5
    assert total(after, "beast_request_duration_seconds_count") == 5
    assert total(after, "beast_cost_usd_total") == pytest.approx(total(before, "beast_cost_usd_total") * 1.25)


DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
ONLY_SOMETIMES = {"beast_routing_saved_usd", "beast_fallbacks_total", "beast_semantic_index_entries"}


def named(text: str) -> set[str]:
    """Names of metrics in a text, without what is only a part of one."""
    return set(re.findall(r"\b(?:beast|process)_[a-z_]+[a-z]\b", text))


def test_every_metric_of_the_grafana_dashboard_is_there_with_its_labels(daemon: Daemon) -> None:
    board = json.loads((DOCS / "grafana.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    found = samples(daemon)
    there = {name for name, _ in found}
    assert len(asked) > 20
    for query in [*asked, board["templating"]["list"][1]["query"]["query"]]:
        assert named(query), query
        assert named(query) <= there, query
        for name, matchers in re.findall(r"\b((?:beast|process)_[a-z_]+)\{([^}]*)\}", query):
            wanted = set(re.findall(r"([a-z_]+)[=!]", matchers))
            assert any(wanted <= {label for label, _ in labels} for other, labels in found if other == name), query


def test_panels_of_the_grafana_dashboard_do_not_overlap() -> None:
    board = json.loads((DOCS / "grafana.json").read_text())
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in board["panels"]):
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_the_page_on_monitoring_names_every_metric_and_none_that_is_not_there(daemon: Daemon) -> None:
    text = (DOCS / "monitoring.md").read_text()
    there = {name for name, _ in samples(daemon)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in there} | ONLY_SOMETIMES
    in_words = named(text)
    assert families - in_words == set()
    assert {name for name in in_words if re.sub(r"_(bucket|sum|count)$", "", name) not in families} == set()
