"""`action`, `complete` and `embed` on a real daemon: one upstream call for all who ask the same, edits, stops, rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.client import Client
from beastmode.client.edits import apply_diff
from beastmode.core.errors import BadInputError, BeastError
from support.daemon import Daemon, rpc
from support.told_provider import ToldProvider
from support.waiting import until

ADD = "import os\n\n\ndef add(a, b):\n    return a - b\n"
SUM = "```python\ndef add(a, b):\n    return a + b\n```"
LINES = {"start": {"line": 3, "character": 0}, "end": {"line": 5, "character": 0}}
FIELDS = {"request_id", "text", "model", "provider", "usage", "cost_usd", "saved_usd", "latency_ms", "ttft_ms"}


@pytest.fixture(scope="module")
def provider() -> Iterator[ToldProvider]:
    with ToldProvider() as server:
        assert isinstance(server, ToldProvider)
        yield server


@pytest.fixture(scope="module")
def daemon(provider: ToldProvider) -> Iterator[Daemon]:
    with Daemon('routing.default_model = "custom:t"\n') as daemon:
        daemon.add("custom:t", f"{provider.url}/v1", upstream_model="t")
        yield daemon


@pytest.fixture
def root(provider: ToldProvider, tmp_path: Path) -> Path:
    provider.calls.clear()
    provider.says, provider.pause_s, provider.completes = SUM, 0.0, False
    (tmp_path / "add.py").write_text(ADD)
    return tmp_path


def act(daemon: Daemon, root: Path, **more: Any) -> dict[str, Any]:
    params = {"kind": "refactor", "path": "add.py", "workspace": str(root), "range": LINES, **more}
    found: dict[str, Any] = daemon.call("action", {name: value for name, value in params.items() if value is not ...})
    return found


class TestAction:
    def test_gives_the_answer_and_the_edit_and_writes_nothing(self, daemon: Daemon, root: Path) -> None:
        got = act(daemon, root)
        assert set(got) >= FIELDS
        assert got["text"] == SUM
        (edit,) = got["edits"]
        assert (edit["path"], edit["kind"]) == ("add.py", "modify")
        assert apply_diff(ADD, edit["diff"]) == ADD.replace("a - b", "a + b")
        assert "add.py" in got["summary"]
        assert (root / "add.py").read_text() == ADD

    def test_is_one_call_for_all_who_ask_the_same(self, daemon: Daemon, root: Path, provider: ToldProvider) -> None:
        file = str(root / "add.py")
        held = {"documents": [{"path": file, "text": ADD, "version": 7}]}
        inside = {"start": {"line": 3, "character": 0}, "end": {"line": 4, "character": 16}}
        first = act(daemon, root, client="vscode", path=file, stream=True, **held)
        second = act(daemon, root, client="neovim", range=inside, documents=[{"path": "add.py", "text": ADD}])
        third = act(daemon, root, client="beast", workspace=f"{root}/.", language="python", tags=["mine"])
        assert len(provider.calls) == 1
        assert [one["cache"]["result"] for one in (first, second, third)] == ["miss", "hit_exact", "hit_exact"]
        assert first["edits"] == second["edits"] == third["edits"]
        rows = daemon.rows()[:3]
        assert [row["client"] for row in rows] == ["beast", "neovim", "vscode"]
        assert [row["tags"] for row in rows] == [["mine"], [], []]
        assert {row["workspace"] for row in rows} == {str(root)}

    @pytest.mark.parametrize(
        "other",
        [
            {"kind": "fix"},
            {"instruction": "faster"},
            {"range": {"start": {"line": 4, "character": 0}, "end": {"line": 5, "character": 0}}},
            {"documents": [{"path": "add.py", "text": f"{ADD}\n# more\n"}]},
            {"diagnostics": [{"message": "wrong", "range": LINES}]},
            {"user": "another"},
            {"workspace": ..., "documents": [{"path": "add.py", "text": ADD}]},
        ],
    )
    def test_is_another_call_where_anything_else_differs(
        self, other: dict[str, Any], daemon: Daemon, root: Path, provider: ToldProvider
    ) -> None:
        act(daemon, root)
        assert act(daemon, root, **other)["cache"]["result"] != "hit_exact"
        assert len(provider.calls) == 2

    def test_asked_at_once_is_one_call(self, daemon: Daemon, root: Path, provider: ToldProvider) -> None:
        provider.pause_s = 0.05
        got: list[dict[str, Any]] = []
        asking = [
            threading.Thread(target=lambda n=n: got.append(act(daemon, root, client=f"c{n}", stream=n % 2 == 0)))
            for n in range(4)
        ]
        for one in asking:
            one.start()
        for one in asking:
            one.join()
        assert len(provider.calls) == 1
        assert sorted(one["cache"]["result"] for one in got) == ["hit_exact"] * 3 + ["miss"]
        assert all(one["edits"] == got[0]["edits"] for one in got)

    def test_edits_are_made_for_the_text_that_was_sent(self, daemon: Daemon, root: Path) -> None:
        text = ADD.replace("\n", "\r\n")
        (edit,) = act(daemon, root, documents=[{"path": "add.py", "text": text, "version": 2}])["edits"]
        assert apply_diff(text, edit["diff"]) == text.replace("a - b", "a + b")

    @pytest.mark.parametrize("kind", ["explain", "ask"])
    def test_of_talking_kinds_has_text_and_no_edits(self, kind: str, daemon: Daemon, root: Path) -> None:
        got = act(daemon, root, kind=kind, instruction="why?")
        assert (got["text"], got["edits"]) == (SUM, [])

    def test_tests_are_a_new_file(self, daemon: Daemon, root: Path) -> None:
        (edit,) = act(daemon, root, kind="tests", range=...)["edits"]
        assert (edit["path"], edit["kind"], edit["before_sha256"]) == ("tests/test_add.py", "create", None)
        assert not (root / "tests").exists()

    def test_streams_the_text_as_progress(self, daemon: Daemon, root: Path) -> None:
        for cached in (False, True):
            pieces: list[str] = []
            with daemon.client() as client:
                got = client.call(
                    "action",
                    {"kind": "explain", "path": "add.py", "workspace": str(root), "stream": True},
                    on_progress=lambda value, pieces=pieces: pieces.append(value["delta"]),  # type: ignore[misc]
                )
            assert "".join(pieces) == got["text"] == SUM
            assert (got["cache"]["result"] == "hit_exact") is cached

    def test_that_is_cancelled_lets_the_provider_go_and_is_recorded(
        self, daemon: Daemon, root: Path, provider: ToldProvider
    ) -> None:
        provider.says, provider.pause_s = "word " * 2000, 0.02
        params = {"kind": "explain", "path": "add.py", "workspace": str(root), "stream": True, "client": "vscode"}
        with daemon.raw() as wire:
            wire.send(rpc("action", params, 5))
            assert wire.line()["method"] == "$/progress"
            asked_s = time.monotonic()
            wire.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 5}})
            while (said := wire.line()).get("method") == "$/progress":
                pass
            assert said["error"]["code"] == -32800
            wire.send(rpc("ping", id=6))
            assert wire.line()["id"] == 6
        until(lambda: provider.calls[-1].ended == "left")
        assert provider.calls[-1].ended_s - asked_s < 5
        until(lambda: daemon.rows()[0]["outcome"] == "cancelled")
        assert daemon.rows()[0]["client"] == "vscode"

    def test_that_would_cost_more_than_it_may_is_refused(
        self, daemon: Daemon, root: Path, provider: ToldProvider
    ) -> None:
        price = {"prompt": 1000, "completion": 1000}
        daemon.add("custom:dear", f"{provider.url}/v1", upstream_model="dear", price=price)
        with pytest.raises(BeastError) as caught:
            act(daemon, root, model="custom:dear", max_tokens=10, max_cost_usd=0.000001)
        assert (caught.value.kind, provider.calls) == ("budget", [])

    def test_from_the_cache_alone_asks_nobody(self, daemon: Daemon, root: Path, provider: ToldProvider) -> None:
        with pytest.raises(BeastError) as caught:
            act(daemon, root, cache="only")
        assert (caught.value.kind, provider.calls) == ("not_in_cache", [])

    @pytest.mark.parametrize(
        "wrong",
        [
            {"kind": "dance"},
            {"path": "../add.py"},
            {"path": "none.py"},
            {"workspace": ...},
            {"workspace": "here"},
            {"range": {"start": {"line": -1, "character": 0}, "end": {"line": 0, "character": 0}}},
            {"range": {"start": {"line": 2, "character": 0}, "end": {"line": 0, "character": 0}}},
            {"colour": "red"},
            {"client": ""},
            {"client": "a\nb"},
        ],
    )
    def test_what_is_wrong_is_refused_and_leaves_no_row(
        self, wrong: dict[str, Any], daemon: Daemon, root: Path, provider: ToldProvider
    ) -> None:
        before = len(daemon.rows())
        with pytest.raises(BadInputError):
            act(daemon, root, **wrong)
        assert (len(daemon.rows()), provider.calls) == (before, [])

    def test_a_secret_is_neither_sent_nor_stored(self, daemon: Daemon, root: Path, provider: ToldProvider) -> None:
        (root / ".env").write_text("TOKEN=1\n")
        text = "key = 'ghp_" + "a" * 36 + "'\n"
        for params in ({"path": ".env"}, {"documents": [{"path": "add.py", "text": text}]}):
            with pytest.raises(BadInputError, match="secret"):
                act(daemon, root, range=..., **params)
        assert provider.calls == []


class TestComplete:
    def test_gives_what_fits_the_gap(self, daemon: Daemon, root: Path, provider: ToldProvider) -> None:
        provider.says = "```python\n    return a + b\n```"
        params = {"prefix": "def add(a, b):\n    return ", "suffix": "\n", "path": "add.py", "workspace": str(root)}
        first = daemon.call("complete", params)
        assert first["text"] == "a + b"
        assert set(first) >= FIELDS
        body = provider.calls[-1].body
        assert (body["max_tokens"], body["temperature"]) == (128, 0)
        assert "add.py, in Python" in provider.prompt
        second = daemon.call("complete", {**params, "path": str(root / "add.py"), "client": "neovim"})
        assert (second["text"], second["cache"]["result"]) == ("a + b", "hit_exact")
        assert len(provider.calls) == 1

    def test_a_blank_at_the_end_of_the_prefix_counts(self, daemon: Daemon, root: Path, provider: ToldProvider) -> None:
        for prefix in ("x = [", "x = [ ", "x = [\n"):
            assert daemon.call("complete", {"prefix": prefix})["cache"]["result"] != "hit_exact"
        assert len(provider.calls) == 3

    def test_an_endpoint_for_completions_is_asked_for_them(
        self, daemon: Daemon, root: Path, provider: ToldProvider
    ) -> None:
        provider.completes, provider.says = True, "a + b\n\nprint(1)\n"
        daemon.add("custom:fim", f"{provider.url}/v1", upstream_model="fim")
        params = {
            "prefix": "return ",
            "suffix": "\n\nprint(1)\n",
            "path": "add.py",
            "model": "custom:fim",
            "stop": ["#"],
        }
        assert daemon.call("complete", params)["text"] == "a + b"
        call = provider.calls[-1]
        assert call.path == "/v1/completions"
        assert (call.body["prompt"], call.body["suffix"], call.body["stop"]) == ("return ", "\n\nprint(1)\n", ["#"])

    def test_without_any_text_there_is_nothing_to_write_on(self, daemon: Daemon, root: Path) -> None:
        with pytest.raises(BadInputError, match="no text"):
            daemon.call("complete", {"prefix": " \n", "path": "a.py"})

    def test_what_looks_like_a_secret_is_not_sent(self, daemon: Daemon, root: Path, provider: ToldProvider) -> None:
        for params in ({"prefix": "k = 'AKIAABCDEFGHIJKLMNOP'\n"}, {"prefix": "A=", "path": ".env"}):
            with pytest.raises(BadInputError, match="secret"):
                daemon.call("complete", params)
        assert provider.calls == []


def test_chat_says_who_asks_and_it_joins_no_key(daemon: Daemon, root: Path, provider: ToldProvider) -> None:
    for client in ("vscode", "neovim"):
        daemon.call("chat", {"message": "Who asks?", "client": client})
    assert len(provider.calls) == 1
    assert [row["client"] for row in daemon.rows()[:2]] == ["neovim", "vscode"]


def test_the_document_of_methods_describes_them(daemon: Daemon) -> None:
    with Client(daemon.socket) as client:
        document = client.call("rpc.discover")
    methods = {one["name"]: one for one in document["methods"]}
    params = {one["name"]: one for one in methods["action"]["params"]}
    assert params["kind"]["schema"]["enum"] == ["ask", "docstring", "explain", "fix", "generate", "refactor", "tests"]
    assert (params["path"]["required"], params["workspace"]["required"]) == (True, False)
    assert "edits" in document["components"]["schemas"]["Acted"]["properties"]
