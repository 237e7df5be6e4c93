"""Metrics as text: Prometheus' format 0.0.4, and OpenMetrics 1.0.0 for who asks for it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

Kind = Literal["counter", "gauge", "histogram"]

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_UNITS = ("seconds", "bytes", "usd", "ratio")
_Q = re.compile(r"^q\s*=\s*([01](?:\.\d{0,3})?)$")


class Sample(msgspec.Struct, frozen=True):
    """One number.

    Attributes:
        labels: Names and values.
        value: The number.
        suffix: What its name has beyond that of its family: `_bucket`, `_sum`, `_count`.
    """

    labels: Mapping[str, str]
    value: float
    suffix: str = ""


class Family(msgspec.Struct):
    """Samples of one name.

    Attributes:
        name: Without `_total`, which a counter's samples have.
        kind: Counter, gauge or histogram.
        help: One sentence.
        samples: Its numbers; a family without one is left out.
    """

    name: str
    kind: Kind
    help: str
    samples: list[Sample]

    def add(self, value: float, **labels: str) -> None:
        """Adds a number.

        Args:
            value: The number.
            labels: Its labels.
        """
        self.samples.append(Sample(labels, value))


def add_histogram(
    family: Family, labels: Mapping[str, str], bounds: Sequence[float], counts: Sequence[int], total: float
) -> None:
    """Adds the samples of one histogram.

    Args:
        family: To which.
        labels: Its labels.
        bounds: Upper bounds of the buckets, rising, without infinity.
        counts: How many values each bucket has by itself, and last how many are beyond all bounds.
        total: The sum of the values.
    """
    seen = 0
    for bound, count in zip([*map(_number, bounds), "+Inf"], counts, strict=True):
        seen += count
        family.samples.append(Sample({**labels, "le": bound}, seen, "_bucket"))
    family.samples.append(Sample(labels, total, "_sum"))
    family.samples.append(Sample(labels, seen, "_count"))


def wants_openmetrics(accept: str) -> bool:
    """Whether a reader prefers OpenMetrics, as its `Accept` says.

    Args:
        accept: The header; empty where there is none.
    """
    wish = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in accept.lower().split(","):
        kind, *parameters = (one.strip() for one in part.split(";"))
        weights = [float(found[1]) for one in parameters if (found := _Q.match(one))]
        if kind in wish:
            wish[kind] = max(wish[kind], weights[0] if weights else 1.0)
    return wish["application/openmetrics-text"] > 0 and wish["application/openmetrics-text"] >= wish["text/plain"]


def render(families: Sequence[Family], openmetrics: bool = False) -> bytes:
    """Writes them.

    Args:
        families: In the order in which they are written.
        openmetrics: As OpenMetrics; else in Prometheus' own format.
    """
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        total = "_total" if family.kind == "counter" else ""
        shown = family.name if openmetrics else family.name + total
        lines.append(f"# HELP {shown} {_escaped(family.help, quotes=openmetrics)}")
        lines.append(f"# TYPE {shown} {family.kind}")
        unit = family.name.rpartition("_")[2]
        if openmetrics and unit in _UNITS:
            lines.append(f"# UNIT {shown} {unit}")
        lines += [_line(f"{family.name}{total}", sample) for sample in family.samples]
    if openmetrics:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode()


def _line(name: str, sample: Sample) -> str:
    labels = ",".join(f'{label}="{_escaped(value, quotes=True)}"' for label, value in sample.labels.items())
    return (
        f"{name}{sample.suffix}{{{labels}}} {_number(sample.value)}"
        if labels
        else (f"{name}{sample.suffix} {_number(sample.value)}")
    )


def _escaped(text: str, *, quotes: bool) -> str:
    text = text.encode("utf-8", "replace").decode().replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))
