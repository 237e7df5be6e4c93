"""A comparison of models as a page to keep or send: sums, then every prompt with its answers side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from beastmode.cli import figures
from beastmode.cli.compare import cells
from beastmode.cli.html_page import document, escaped, table

_TITLE = "Models compared"
_HEAD = ("Model", "Answered", "Latency", "First text", "Prompt tokens", "Answer tokens", "Cost")


def page(found: Mapping[str, Any]) -> str:
    """Writes the page.

    Args:
        found: From `models.compare`.
    """
    return document(_TITLE, _parts(found))


def _parts(found: Mapping[str, Any]) -> Iterator[str]:
    prompts = figures.count(len(found["prompts"]), "prompt")
    note = "; it was interrupted, this is what there was" if found.get("interrupted") else ""
    yield f'<h1>{_TITLE}</h1><p class="soft">{escaped(prompts + note)}; latencies are medians</p>'
    yield table("Sums of each model", _HEAD, [cells(one) for one in found["models"]])
    for number, one in enumerate(found["prompts"], 1):
        yield f"<h2>{number}. {escaped(one['prompt'])}</h2>"
        rows = [_row(answer) for answer in one["answers"]]
        yield table(
            f"Answers to prompt {number}", ("Model", "Answer", "Latency", "First text", "Tokens", "Cost"), rows, text=1
        )


def _row(answer: Mapping[str, Any]) -> tuple[str, ...]:
    if not answer["ok"]:
        error = answer["error"]
        said = "\n".join([f"failed: {error['message']}", *(f"try: {tip}" for tip in error.get("tip") or [])])
        return (answer["model"], said, "-", "-", "-", "-")
    return (
        answer["model"],
        answer["text"],
        figures.duration(answer["latency_ms"]),
        figures.duration(answer["ttft_ms"]),
        figures.tokens(answer["usage"]),
        figures.usd(answer["cost_usd"]),
    )
