"""`beast context`, and what `ask` and `chat` tell of a workspace: what goes along, sources, answers without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Beast
from support.fake_daemon import Call, FakeDaemon

PIECE = {
    "path": "cache.py",
    "first_line": 5,
    "last_line": 6,
    "symbol": "Cache.evict",
    "tokens": 30,
    "why": ["words", "name"],
    "text": "    def evict(self, key):\n        return self.entries.pop(key)",
}
FOUND = {"pieces": [PIECE], "tokens": 30, "budget_tokens": 6000, "context": {"state": "ready", "path": "/p"}}
ANSWER = {
    "text": "In Cache.evict.",
    "model": "custom:qwen",
    "latency_ms": 1240.0,
    "usage": {"prompt_tokens": 20, "completion_tokens": 10},
    "cost_usd": 0.0,
    "saved_usd": 0.0,
    "cache": {"result": "miss"},
    "sources": [{name: PIECE[name] for name in ("path", "symbol", "first_line", "last_line")}],
    "context": {"state": "ready", "path": "/p"},
}


@pytest.fixture(autouse=True)
def _answers(daemon: FakeDaemon) -> None:
    daemon.on("chat", ANSWER)
    daemon.on("workspace.context", FOUND)
    daemon.on("sessions.get", {"id": "s1", "messages": []})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.py").write_text("a = 1\n")
    monkeypatch.chdir(tmp_path / "inner")
    return tmp_path


class TestContext:
    def test_lists_what_would_go_along_and_asks_no_model(self, daemon: FakeDaemon, beast: Beast, project: Path) -> None:
        done = beast("context", "where", "is", "it?")
        assert "cache.py:5-6 Cache.evict" in done.out
        assert "words, name" in done.out
        assert done.err == "1 piece · about 30 of 6,000 tokens\n"
        assert daemon.requests("workspace.context") == [{"workspace": str(project), "question": "where is it?"}]
        assert daemon.requests("chat") == []

    def test_shows_the_pieces_themselves(self, beast: Beast, project: Path) -> None:
        done = beast("context", "where?", "--full")
        assert done.out == f"{PIECE['text']}\n\n"
        assert "cache.py:5-6 Cache.evict · 30 tokens · words, name" in done.err

    def test_options_reach_the_daemon(self, daemon: FakeDaemon, beast: Beast, project: Path) -> None:
        beast("context", "q", "-w", str(project), "-f", "a.py", "--budget", "100")
        (asked,) = daemon.requests("workspace.context")
        assert asked["files"] == [str(project / "inner" / "a.py")]
        assert (asked["workspace"], asked["budget_tokens"]) == (str(project), 100)

    def test_json_is_the_whole_result(self, beast: Beast, project: Path) -> None:
        assert beast("context", "q", "--json").json == FOUND

    def test_nothing_found_is_said(self, daemon: FakeDaemon, beast: Beast, project: Path) -> None:
        daemon.on("workspace.context", {**FOUND, "pieces": [], "tokens": 0})
        assert beast("context", "q").out == "Nothing in this workspace fits the question.\n"

    def test_it_needs_a_question(self, beast: Beast) -> None:
        assert beast("context").code == 2


class TestAsk:
    def test_sources_are_told_beside_the_answer(self, daemon: FakeDaemon, beast: Beast, project: Path) -> None:
        done = beast("ask", "where?", "--workspace", ".")
        assert done.out == "In Cache.evict.\n"
        assert done.err.startswith("from cache.py:5-6 Cache.evict\n")
        assert daemon.requests("chat")[0]["workspace"] == str(project / "inner")

    def test_a_workspace_that_is_not_open_is_told(self, daemon: FakeDaemon, beast: Beast, project: Path) -> None:
        closed = {"state": "closed", "tip": "beast workspace open /p"}
        daemon.on("chat", {**ANSWER, "sources": [], "context": closed})
        assert "is not open; try: beast workspace open /p" in beast("ask", "where?", "-w", ".").err
        assert "not open" not in beast("ask", "where?", "-f", "a.py").err

    @pytest.mark.parametrize(
        ("option", "sent"), [("--no-context", {"retrieve": False}), ("--no-model", {"use_llm": False})]
    )
    def test_options_reach_the_daemon(
        self, daemon: FakeDaemon, beast: Beast, project: Path, option: str, sent: dict[str, Any]
    ) -> None:
        beast("ask", "q", "-w", ".", option)
        asked = daemon.requests("chat")[0]
        assert {name: asked.get(name) for name in ("retrieve", "use_llm") if name in asked} == sent

    def test_no_model_means_the_project_around(self, daemon: FakeDaemon, beast: Beast, project: Path) -> None:
        beast("ask", "q", "--no-model")
        assert daemon.requests("chat")[0]["workspace"] == str(project)

    def test_what_goes_along_can_be_seen_before_it_is_sent(
        self, daemon: FakeDaemon, beast: Beast, project: Path
    ) -> None:
        order: list[str] = []

        def found(params: dict[str, Any], call: Call) -> dict[str, Any]:
            order.append("context")
            return FOUND

        def answer(params: dict[str, Any], call: Call) -> dict[str, Any]:
            order.append("chat")
            return ANSWER

        daemon.on("workspace.context", found)
        daemon.on("chat", answer)
        done = beast("ask", "where?", "-w", ".", "--show-context")
        assert order == ["context", "chat"]
        assert done.err.startswith("cache.py:5-6 Cache.evict · 30 tokens · words, name\n1 piece")

    def test_without_a_workspace_nothing_is_sent_of_one(self, daemon: FakeDaemon, beast: Beast, project: Path) -> None:
        beast("ask", "q")
        assert daemon.requests("chat") == [{"message": "q", "stream": True}]


class TestChat:
    def test_a_conversation_is_about_its_workspace(self, daemon: FakeDaemon, beast: Beast, project: Path) -> None:
        done = beast("chat", "-s", "s1", "-w", ".", "--no-model", stdin="where?\n")
        (asked,) = daemon.requests("chat")
        assert (asked["workspace"], asked["use_llm"], asked["session_id"]) == (str(project / "inner"), False, "s1")
        assert "from cache.py:5-6 Cache.evict" in done.err
