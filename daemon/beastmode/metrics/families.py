"""The ledger's totals as metrics: what each is called, and what it means."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from beastmode.metrics.exposition import Family, add_histogram
from beastmode.metrics.histogram import BASE, Bins
from beastmode.metrics.schema import SUM_COLUMNS
from beastmode.metrics.totals import Labels, Totals

HITS = ("hit_exact", "hit_semantic")
TOKENS = {
    "prompt": "prompt_tokens",
    "completion": "completion_tokens",
    "cached": "cached_tokens",
    "cache_write": "cache_write_tokens",
    "reasoning": "reasoning_tokens",
}
DURATION_BOUNDS_S = (0.0005, 0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
TTFT_BOUNDS_S = (0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
OVERHEAD_BOUNDS_S = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)

_PLACE = {name: place for place, name in enumerate((*SUM_COLUMNS, "calls", "fallbacks"))}


def of_ledger(totals: Totals) -> list[Family]:
    """Makes metrics of totals.

    Args:
        totals: Of the ledger.
    """
    return [*_counts(totals), *_money(totals), *_tokens(totals), *_times(totals)]


def _sum(totals: Totals, column: str, *names: str) -> dict[tuple[str, ...], int]:
    """Adds a column up by some of the labels."""
    place, picks = _PLACE[column], [Labels._fields.index(name) for name in names]
    found: dict[tuple[str, ...], int] = {}
    for labels, numbers in totals.sums.items():
        key = tuple(labels[pick] for pick in picks)
        found[key] = found.get(key, 0) + numbers[place]
    return found


def _counter(
    name: str, help: str, totals: Totals, column: str, labels: Sequence[str], *, zeros: bool = False, per: float = 1
) -> Family:
    family = Family(name, "counter", help, [])
    for key, count in sorted(_sum(totals, column, *labels).items()):
        if count or zeros:
            family.add(count if per == 1 else count / per, **dict(zip(labels, key, strict=True)))
    return family


def _counts(totals: Totals) -> list[Family]:
    errors = Totals()
    errors.sums = {labels: numbers for labels, numbers in totals.sums.items() if labels.error_kind}
    who = ("origin", "model", "provider")
    return [
        _counter(
            "beast_requests",
            "Requests that ended, since the ledger began.",
            totals,
            "n",
            ("origin", "outcome", "cache", "model", "provider", "door"),
        ),
        _counter(
            "beast_errors",
            "Requests that ended with an error, by its kind.",
            errors,
            "n",
            ("origin", "outcome", "error_kind", "model", "provider"),
        ),
        _counter("beast_upstream_calls", "Calls of providers, retries among them.", totals, "calls", who),
        _counter(
            "beast_fallbacks", "Requests that another deployment than the first answered.", totals, "fallbacks", who
        ),
    ]


def _money(totals: Totals) -> list[Family]:
    who = ("origin", "model", "provider")
    unknown = Family(
        "beast_cost_unknown_requests", "counter", "Requests whose cost nobody knows; they are not in the cost.", []
    )
    known = _sum(totals, "cost_n", *who)
    for key, count in sorted(_sum(totals, "n", *who).items()):
        unknown.add(count - known[key], **dict(zip(who, key, strict=True)))
    return [
        _counter("beast_cost_usd", "What requests cost, as far as it is known.", totals, "cost_nusd", who, per=1e9),
        unknown,
        _counter(
            "beast_saved_usd",
            "What the answers that the cache gave had cost when they were made.",
            totals,
            "saved_nusd",
            who,
            per=1e9,
        ),
        _routed(totals),
    ]


def _routed(totals: Totals) -> Family:
    """A gauge: a model that was dearer than the baseline makes it fall."""
    who = ("origin", "model", "provider")
    known = _sum(totals, "routed_n", *who)
    family = Family(
        "beast_routing_saved_usd", "gauge", "What routing saved against the baseline since the ledger began.", []
    )
    for key, nusd in sorted(_sum(totals, "routed_nusd", *who).items()):
        if known[key]:
            family.add(nusd / 1e9, **dict(zip(who, key, strict=True)))
    return family


def _tokens(totals: Totals) -> list[Family]:
    called = Totals()
    called.sums = {labels: numbers for labels, numbers in totals.sums.items() if labels.cache not in HITS}
    family = Family(
        "beast_tokens",
        "counter",
        "Tokens of calls, as providers counted them; prompt holds cached and cache_write, completion holds reasoning.",
        [],
    )
    for kind, column in TOKENS.items():
        for (origin, model, provider), count in sorted(_sum(called, column, "origin", "model", "provider").items()):
            if count:
                family.add(count, origin=origin, model=model, provider=provider, type=kind)
    return [family]


def _times(totals: Totals) -> list[Family]:
    """Histograms of successes; their sums come from the same rows."""
    well = Totals()
    well.sums = {labels: numbers for labels, numbers in totals.sums.items() if labels.outcome == "success"}
    about = (
        ("beast_request_duration_seconds", "How long answered requests took.", "latency_us", DURATION_BOUNDS_S),
        ("beast_time_to_first_token_seconds", "How long streamed answers took to begin.", "ttft_us", TTFT_BOUNDS_S),
        (
            "beast_overhead_seconds",
            "The daemon's own part of the time of answered requests.",
            "overhead_us",
            OVERHEAD_BOUNDS_S,
        ),
    )
    families = []
    for place, (name, meaning, column, bounds) in enumerate(about):
        family = Family(name, "histogram", meaning, [])
        sums = _sum(well, column, "origin", "model")
        for who, times in sorted(totals.times.items()):
            if times[place]:
                counts = _in_buckets(times[place], bounds)
                add_histogram(family, who._asdict(), bounds, counts, sums.get(tuple(who), 0) / 1e6)
        families.append(family)
    return families


def _in_buckets(bins: Bins, bounds: Sequence[float]) -> list[int]:
    """Counts by coarser bounds; a value within 2% of a bound may be counted on its other side."""
    counts = [0] * (len(bounds) + 1)
    for place, count in bins.items():
        upper_s = BASE**place / 1e6 if place else 0.0
        counts[bisect_left(bounds, upper_s * (2 / (1 + BASE)))] += count
    return counts
