"""OpenTelemetry: a collector gets a valid span of each request and none of its words; without one nothing is sent."""

from __future__ import annotations

import builtins
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes

from beastmode.core.rows import RowCache
from beastmode.core.settings import OtelSettings
from beastmode.core.types import Usage
from beastmode.metrics import telemetry
from beastmode.metrics.ledger import Ledger
from beastmode.metrics.telemetry import Telemetry
from support.collector import Collector, attributes
from support.daemon import Daemon
from support.http_caller import Door, chat
from support.ledger import NOON_S, StillClock, row
from support.provider_server import ProviderServer
from support.waiting import until


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger = Ledger(tmp_path, StillClock())
    ledger.start()
    yield ledger
    ledger.close()


@pytest.fixture
async def sender(collector: Collector, ledger: Ledger) -> AsyncIterator[Telemetry]:
    sender = Telemetry(OtelSettings(endpoint=collector.url), "1.2.3", ledger)
    await sender.start()
    yield sender
    await sender.close()


async def test_each_request_is_one_span(sender: Telemetry, collector: Collector, ledger: Ledger) -> None:
    usage = Usage(prompt_tokens=100, completion_tokens=20, cached_tokens=64, reasoning_tokens=5)
    ledger.record(
        row("req_1", model="auto", latency_ms=1_500.0, ttft_ms=200.0, stream=True, usage=usage, client="http:curl")
    )
    await sender.turn()
    (span,) = collector.spans
    assert (len(span.trace_id), len(span.span_id), span.kind) == (16, 8, Span.SPAN_KIND_CLIENT)
    assert span.name == "chat custom:qwen"
    assert span.start_time_unix_nano == int(NOON_S * 1e9)
    assert span.end_time_unix_nano - span.start_time_unix_nano == 1_500_000_000
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert attributes(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "custom",
        "gen_ai.request.model": "auto",
        "gen_ai.response.model": "custom:qwen",
        "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": 0.2,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 64,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "beast.request_id": "req_1",
        "beast.origin": "person",
        "beast.outcome": "success",
        "beast.door": "http",
        "beast.deployment": "custom:qwen@127.0.0.1:8000",
        "beast.attempts": 1,
        "beast.cache.result": "miss",
        "beast.cost_usd": 0.002,
        "beast.saved_usd": 0.0,
    }
    resource = attributes(collector.messages["/v1/traces"][0].resource_spans[0].resource)
    assert (resource["service.name"], resource["service.version"]) == ("beastmode", "1.2.3")


async def test_a_failure_is_an_error_by_its_kind(sender: Telemetry, collector: Collector, ledger: Ledger) -> None:
    ledger.record(
        row(
            "req_1", outcome="failure", error_kind="timeout", error_tip="a private thing", model_served=None, usage=None
        )
    )
    await sender.turn()
    (span,) = collector.spans
    assert (span.status.code, span.status.message) == (Status.STATUS_CODE_ERROR, "timeout")
    assert attributes(span)["error.type"] == "timeout"
    assert span.name == "chat custom:qwen"
    assert b"private" not in collector.raw[0]


async def test_a_hit_spent_no_tokens(sender: Telemetry, collector: Collector, ledger: Ledger) -> None:
    ledger.record(row("req_1", cache=RowCache(result="hit_exact", tier="L1"), deployment=None, saved_usd=0.002))
    await sender.turn()
    found = attributes(collector.spans[0])
    assert not any(name.startswith("gen_ai.usage") for name in found)
    assert (found["beast.cache.result"], found["beast.cache.tier"], found["beast.saved_usd"]) == (
        "hit_exact",
        "L1",
        0.002,
    )


async def test_names_are_those_of_the_conventions(sender: Telemetry, collector: Collector, ledger: Ledger) -> None:
    ledger.record(row("req_1", ttft_ms=1.0))
    ledger.record(row("req_2", outcome="failure", error_kind="timeout"))
    await sender.turn()
    await sender.close()
    known = {value for value in vars(gen_ai_attributes).values() if isinstance(value, str)}
    known |= {value for value in vars(error_attributes).values() if isinstance(value, str)}
    named = {name for span in collector.spans for name in attributes(span) if not name.startswith("beast.")}
    assert named <= known
    metrics = {value for value in vars(gen_ai_metrics).values() if isinstance(value, str)}
    assert {name for name in collector.metrics if not name.startswith("beast.")} <= metrics


async def test_metrics_add_up_what_the_spans_tell(sender: Telemetry, collector: Collector, ledger: Ledger) -> None:
    for number in range(4):
        ledger.record(row(f"req_{number}", latency_ms=250.0, ttft_ms=100.0))
    ledger.record(row("req_hit", cache=RowCache(result="hit_exact", tier="L1"), cost_usd=0.0, latency_ms=1.0))
    await sender.turn()
    await sender.close()
    found = collector.metrics
    durations = found["gen_ai.client.operation.duration"]
    assert durations.unit == "s"
    (point,) = durations.histogram.data_points
    assert (point.count, point.sum) == (5, pytest.approx(1.001))
    tokens = {
        attributes(one)["gen_ai.token.type"]: one for one in found["gen_ai.client.token.usage"].histogram.data_points
    }
    assert {kind: (one.count, one.sum) for kind, one in tokens.items()} == {"input": (4, 400), "output": (4, 80)}
    assert found["gen_ai.client.operation.time_to_first_chunk"].histogram.data_points[0].count == 4
    assert found["beast.cost"].sum.data_points[0].as_double == pytest.approx(0.008)


@pytest.mark.parametrize(
    ("kind", "operation"), [("chat", "chat"), ("completion", "text_completion"), ("embedding", "embeddings")]
)
async def test_the_operation_is_what_was_asked_for(
    sender: Telemetry, collector: Collector, ledger: Ledger, kind: Any, operation: str
) -> None:
    assert operation in {one.value for one in gen_ai_attributes.GenAiOperationNameValues}
    ledger.record(row("req_1", kind=kind, model_served="custom:a"))
    await sender.turn()
    (span,) = collector.spans
    assert (span.name, attributes(span)["gen_ai.operation.name"]) == (f"{operation} custom:a", operation)


async def test_a_span_joins_the_trace_of_its_caller(sender: Telemetry, collector: Collector, ledger: Ledger) -> None:
    ledger.record(row("req_1", traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
    ledger.record(row("req_2"))
    await sender.turn()
    joined, alone = collector.spans
    assert (joined.trace_id.hex(), joined.parent_span_id.hex()) == (
        "0af7651916cd43dd8448eb211c80319c",
        "b7ad6b7169203331",
    )
    assert (len(alone.trace_id), alone.parent_span_id) == (16, b"")
    assert alone.trace_id != joined.trace_id


async def test_what_was_before_the_start_is_not_sent(collector: Collector, ledger: Ledger) -> None:
    ledger.record(row("req_old"))
    sender = Telemetry(OtelSettings(endpoint=collector.url), "1", ledger)
    await sender.start()
    ledger.record(row("req_new"))
    await sender.turn()
    await sender.close()
    assert [attributes(span)["beast.request_id"] for span in collector.spans] == ["req_new"]


async def test_a_collector_that_is_away_for_a_while_misses_nothing(
    sender: Telemetry, collector: Collector, ledger: Ledger
) -> None:
    collector.status = 400
    ledger.record(row("req_1"))
    await sender.turn()
    problem = sender.problem()
    assert problem is not None
    assert collector.url in problem
    collector.status = 200
    ledger.record(row("req_2"))
    await sender.turn()
    assert sender.problem() is None
    assert [attributes(span)["beast.request_id"] for span in collector.spans] == ["req_1", "req_2"]
    assert sender.sent == 2


async def test_what_waits_is_bounded(
    sender: Telemetry, collector: Collector, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "QUEUE_MAX", 10)
    monkeypatch.setattr(telemetry, "BATCH", 4)
    for number in range(25):
        ledger.record(row(f"req_{number}"))
    await sender.turn()
    assert len(collector.spans) == 10
    assert attributes(collector.spans[-1])["beast.request_id"] == "req_24"
    assert (sender.sent, sender.dropped) == (10, 15)


@pytest.mark.parametrize("url", ["http://169.254.169.254", "collector:4318", "http://me:pw@127.0.0.1:4318"])
async def test_an_endpoint_that_is_never_called_is_said_to_be_so(ledger: Ledger, url: str) -> None:
    sender = Telemetry(OtelSettings(endpoint=url), "1", ledger)
    await sender.start()
    await sender.turn()
    problem = sender.problem()
    assert problem is not None
    assert "config.toml" in sender.tip
    await sender.close()


async def test_without_its_packages_it_says_what_is_missing(
    ledger: Ledger, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name == "beastmode.metrics.telemetry_sdk":
            raise ModuleNotFoundError("No module named 'opentelemetry'")
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    sender = Telemetry(OtelSettings(endpoint=collector.url), "1", ledger)
    await sender.start()
    await sender.turn()
    assert sender.problem() == telemetry.MISSING
    assert "pip install 'beastmode[otel]'" in sender.tip
    await sender.close()


def test_the_daemon_does_not_import_it_unless_it_is_configured() -> None:
    script = "import sys, beastmode.app; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_real_daemon_sends_a_span_of_each_request_and_no_word_of_it(collector: Collector) -> None:
    settings = f'[otel]\nendpoint = "{collector.url}"\n[cache]\nsemantic = "off"\n'
    with ProviderServer() as upstream, Daemon(settings) as daemon:
        daemon.add("custom:a", f"{upstream.url}/v1", upstream_model="ok")
        for _ in range(2):
            daemon.call("chat", {"message": "a very private question", "model": "custom:a", "user": "somebody-private"})
        until(lambda: len(collector.spans) == 2, 30.0)
        assert daemon.call("health.get")["parts"]["telemetry"] == "ok"
        ids = {attributes(span)["beast.request_id"] for span in collector.spans}
        assert ids == {one["request_id"] for one in daemon.rows()}
        daemon.stop()
    assert collector.metrics["gen_ai.client.operation.duration"].histogram.data_points
    assert not any(b"private" in body for body in collector.raw)


def test_over_http_a_traceparent_is_the_spans_parent_and_a_wrong_one_is_passed_over(collector: Collector) -> None:
    with Daemon(f'[otel]\nendpoint = "{collector.url}"\n') as daemon:
        daemon.add("echo:echo")
        door = Door.of(daemon)
        for traceparent in ("00-" + "a" * 32 + "-" + "b" * 16 + "-01", "00-" + "0" * 32 + "-" + "b" * 16 + "-01", "x"):
            got = door.send(
                "POST", "/v1/chat/completions", chat(traceparent, "echo:echo"), {"traceparent": traceparent}
            )
            assert got.status == 200
        until(lambda: len(collector.spans) == 3, 30.0)
        assert [span.parent_span_id.hex() for span in collector.spans] == ["b" * 16, "", ""]
