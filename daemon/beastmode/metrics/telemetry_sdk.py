"""Rows as OpenTelemetry's spans and metrics, in the words of its conventions for generative AI; needs the extra `otel`.

Conventions: https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import requests
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from beastmode.metrics.rows import ASKED

if TYPE_CHECKING:
    from beastmode.metrics.telemetry import Done

NAME = "beastmode"
OPERATIONS = {None: "chat", ASKED["completion"]: "text_completion", ASKED["embedding"]: "embeddings"}
HITS = ("hit_exact", "hit_semantic")
TIMEOUT_S = 5.0
DURATION_BOUNDS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKEN_BOUNDS = tuple(float(4**power) for power in range(14))

_PROPAGATOR = TraceContextTextMapPropagator()

Value = str | int | float | bool
Attributes = dict[str, Value]


class _Collected(SpanProcessor):
    """Keeps the spans that end until they are taken."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keeps one."""
        self.spans.append(span)


class Exporter:
    """Sends spans when it is told to, and metrics again and again from a thread of the SDK's.

    It takes no proxy and no password from the environment, and no sampling: who names a collector gets every request.

    Args:
        endpoint: Of the collector, without the path of a signal.
        interval_s: How often metrics are sent.
        version: Of this program.
    """

    def __init__(self, endpoint: str, interval_s: float, version: str) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what goes wrong is told by `send`
        resource = Resource.create({"service.name": NAME, "service.version": version})
        self._spans = OTLPSpanExporter(f"{endpoint}/v1/traces", timeout=TIMEOUT_S, session=_session())
        self._collected = _Collected()
        self._tracers = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._tracers.add_span_processor(self._collected)
        self._tracer = self._tracers.get_tracer(NAME, version)
        sender = OTLPMetricExporter(f"{endpoint}/v1/metrics", timeout=TIMEOUT_S, session=_session())
        reader = PeriodicExportingMetricReader(sender, interval_s * 1e3, TIMEOUT_S * 1e3)
        self._meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self._make_instruments(version)
        self._counted = 0

    def _make_instruments(self, version: str) -> None:
        meter = self._meters.get_meter(NAME, version)
        make = meter.create_histogram
        bounds = DURATION_BOUNDS_S
        self._duration = make(
            "gen_ai.client.operation.duration",
            "s",
            "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=bounds,
        )
        self._first = make(
            "gen_ai.client.operation.time_to_first_chunk",
            "s",
            "Time to receive the first chunk.",
            explicit_bucket_boundaries_advisory=bounds,
        )
        self._tokens = make(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKEN_BOUNDS,
        )
        self._cost = meter.create_counter("beast.cost", "USD", "What requests cost, as far as it is known.")

    def send(self, rows: list[Done]) -> bool:
        """Sends the spans of rows, and counts the rows in the metrics. Blocks.

        Args:
            rows: In the order of the ledger; the same again where they were not taken.

        Returns:
            False where the collector did not take them.
        """
        self._collected.spans = []
        for row in rows:
            self._span(row)
            if row.id > self._counted:
                self._count(row)
                self._counted = row.id
        return self._spans.export(self._collected.spans) is SpanExportResult.SUCCESS

    def _span(self, row: Done) -> None:
        model = row.model_served or row.model
        start_ns = row.at_us * 1000
        span = self._tracer.start_span(
            f"{OPERATIONS[row.asked]} {model}",
            context=_caller(row.traceparent),
            kind=SpanKind.CLIENT,
            attributes=_attributes(row),
            start_time=start_ns,
        )
        if row.outcome != "success":
            span.set_status(Status(StatusCode.ERROR, row.error_kind or row.outcome))
        span.end(start_ns + (row.latency_us or 0) * 1000)

    def _count(self, row: Done) -> None:
        who = _who(row)
        if row.latency_us is not None:
            error: Attributes = {} if row.outcome == "success" else {"error.type": row.error_kind or row.outcome}
            self._duration.record(row.latency_us / 1e6, {**who, **error})
        if row.ttft_us is not None:
            self._first.record(row.ttft_us / 1e6, who)
        if row.cost_nusd:
            self._cost.add(row.cost_nusd / 1e9, who)
        if row.cache in HITS:
            return
        for kind, count in (("input", row.prompt_tokens), ("output", row.completion_tokens)):
            if count is not None:
                self._tokens.record(count, {**who, "gen_ai.token.type": kind})

    def close(self, limit_s: float) -> None:
        """Sends the last metrics and ends. Blocks.

        Args:
            limit_s: How long at most, about.
        """
        self._meters.shutdown(timeout_millis=limit_s * 1e3)
        self._tracers.shutdown()
        self._spans.shutdown()  # type: ignore[no-untyped-call]  # the SDK's


def _caller(traceparent: str | None) -> Context | None:
    """The span of which ours is a part, where the caller named one."""
    return None if traceparent is None else _PROPAGATOR.extract({"traceparent": traceparent}, Context())


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.max_redirects = 0
    return session


def _who(row: Done) -> Attributes:
    return _known(
        {
            "gen_ai.operation.name": OPERATIONS[row.asked],
            "gen_ai.provider.name": row.provider or "beastmode",
            "gen_ai.request.model": row.model,
            "gen_ai.response.model": row.model_served,
        }
    )


def _attributes(row: Done) -> Attributes:
    """What a span tells; tokens only where they were spent."""
    spent = row.cache not in HITS
    return {
        **_who(row),
        **_known(
            {
                "gen_ai.request.stream": row.stream,
                "gen_ai.response.time_to_first_chunk": _per(row.ttft_us, 1e6),
                "gen_ai.usage.input_tokens": row.prompt_tokens if spent else None,
                "gen_ai.usage.output_tokens": row.completion_tokens if spent else None,
                "gen_ai.usage.cache_read.input_tokens": row.cached_tokens if spent else None,
                "gen_ai.usage.cache_creation.input_tokens": row.cache_write_tokens if spent else None,
                "gen_ai.usage.reasoning.output_tokens": row.reasoning_tokens if spent else None,
                "error.type": row.error_kind if row.outcome != "success" else None,
                "beast.request_id": row.request_id,
                "beast.origin": row.origin,
                "beast.outcome": row.outcome,
                "beast.door": row.client.partition(":")[0],
                "beast.deployment": row.deployment,
                "beast.attempts": row.attempts,
                "beast.cache.result": row.cache,
                "beast.cache.tier": row.tier,
                "beast.cost_usd": _per(row.cost_nusd, 1e9),
                "beast.saved_usd": _per(row.saved_nusd, 1e9),
                "beast.overhead_s": _per(row.overhead_us, 1e6),
            }
        ),
    }


def _per(value: int | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _known(values: Mapping[str, Value | None]) -> Attributes:
    return {name: value for name, value in values.items() if value is not None}
