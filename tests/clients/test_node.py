"""The npm packages `openai` and `@anthropic-ai/sdk`, unmodified: streams, tools, errors."""

from __future__ import annotations

from typing import Any

import pytest

from support import node_tools
from support.door import Door
from support.scripts import PLAIN

BOTH_TOWNS = pytest.mark.parametrize(("script", "towns"), [("weather", ["Bern"]), ("parallel", ["Bern", "Genève"])])
SDKS = pytest.mark.parametrize("program", ["openai.mjs", "anthropic.mjs"])


def seen(door: Door, program: str, what: str, model: str) -> Any:
    return node_tools.run(program, what, DOOR=door.url, TOKEN=door.token, MODEL=model)


@SDKS
def test_a_stream(door: Door, kind: str, program: str) -> None:
    told = seen(door, program, "stream", door.model(kind, "plain"))
    assert "".join(told["texts"]) == PLAIN
    assert len(told["texts"]) > 3
    assert told["finish"] in ("stop", "end_turn")


@BOTH_TOWNS
@SDKS
def test_tools_are_called_and_their_results_come_back(
    door: Door, kind: str, program: str, script: str, towns: list[str]
) -> None:
    told = seen(door, program, "tools", door.model(kind, script))
    assert told["called"] == [{"city": town} for town in towns]
    assert told["text"] == "The tools said: " + "; ".join(f"{town}: 7 degrees" for town in towns)


@BOTH_TOWNS
def test_tools_of_a_response(door: Door, kind: str, script: str, towns: list[str]) -> None:
    told = seen(door, "openai.mjs", "responses", door.model(kind, script))
    assert told["called"] == [{"city": town} for town in towns]
    assert told["text"] == "".join(told["texts"]) == "The tools said: " + "; ".join(f"{t}: 7 degrees" for t in towns)
    assert told["usage"]["input_tokens"] > 0


@SDKS
def test_an_error_of_the_provider(door: Door, kind: str, program: str) -> None:
    told = seen(door, program, "error", door.model(kind, "e429"))
    assert (told["name"], told["status"]) == ("RateLimitError", 429)
    assert "the script says 429" in told["message"]
