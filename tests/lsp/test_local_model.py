"""Without an account and without a network: an editor, the daemon, and a real model in a child process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.lsp_client import LspClient
from support.lsp_house import EVERYTHING, Editor
from support.weights import weights_dir

__all__ = ["weights_dir"]  # a fixture

MODEL = "local:smollm2"
PATIENCE_S = 100.0
URI = "file:///srv/shop/prices.py"
TEXT = "def total(prices):\n    result = 0\n    for price in prices:\n        result += \n    return result\n"


@pytest.fixture(scope="module")
def editor(weights_dir: Path) -> Iterator[Editor]:
    options = f'[plugins.options.local_model]\nweights_dir = "{weights_dir}"\n'
    with Daemon(options, environ={"BEAST_LSP__ENABLED": "true", "BEAST_ROUTING__DEFAULT_MODEL": MODEL}) as daemon:
        daemon.call("models.add", {"id": MODEL, "test": False})
        editor = Editor(LspClient.connect(daemon.home / "run" / "lsp.sock"), {"deltas": True})
        editor.start(EVERYTHING, clientInfo={"name": "Neovim"})
        editor.open(URI, TEXT)
        yield editor
        editor.client.close()


def test_an_explanation_streams_and_costs_nothing(editor: Editor) -> None:
    found = editor.client.command("beast.explain", {"uri": URI, "id": "1", "show": False}, timeout_s=PATIENCE_S)
    assert found["text"]
    assert (found["model"], found["provider"], found["cost_usd"]) == (MODEL, "local", 0.0)
    assert "".join(one["delta"] for one in editor.client.of("beast/delta")) == found["text"]


def test_the_same_again_comes_from_the_cache(editor: Editor) -> None:
    question = {"message": "What is a list?", "id": "2"}
    asked = [editor.client.command("beast.chat", question, timeout_s=PATIENCE_S) for _ in range(2)]
    assert [one["cache"]["result"] for one in asked] == ["miss", "hit_exact"]
    assert asked[0]["text"] == asked[1]["text"]


def test_ghost_text_fills_the_gap(editor: Editor) -> None:
    at = {"line": 3, "character": len("        result += ")}
    where = {"textDocument": {"uri": URI}, "position": at, "context": {"triggerKind": 2}}
    found = editor.client.request("textDocument/inlineCompletion", where, PATIENCE_S)
    assert found["items"][0]["insertText"].strip()
