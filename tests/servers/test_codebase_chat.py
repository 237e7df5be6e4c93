"""Questions about an open workspace on a real daemon: what goes along, sources, sessions, answers without a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.errors import BadInputError, BeastError, ConflictError
from support.daemon import Daemon
from support.http_caller import Door
from support.told_provider import ToldProvider

CHAT = "/api/codebase/chat"
CACHE = "import os\n\n\nclass Cache:\n    def evict(self, key):\n        return self.entries.pop(key)\n"
POOL = (
    "from cache import Cache\n\n\ndef shrink(pool, cache: Cache):\n    cache.evict(pool.last)\n    return pool.pop()\n"
)
TESTS = "from pool import shrink\n\n\ndef test_shrink_gives_the_last_one():\n    assert shrink([1], None) == 1\n"
QUESTION = "Where does the cache evict a key?"
KEY = "sk-proj-" + "a1B2" * 8
SAYS = (
    "In `cache.py`:\n\n```python cache.py\nx = 1\n```\n\n```sh\nls\n```\n\n```python ../../etc/passwd.py\ny = 2\n```\n"
)


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
def root(daemon: Daemon, provider: ToldProvider, tmp_path: Path) -> Iterator[Path]:
    provider.calls.clear()
    provider.says, provider.pause_s = SAYS, 0.0
    folder = tmp_path / "shop"
    folder.mkdir()
    for name, text in (("cache.py", CACHE), ("pool.py", POOL), ("test_pool.py", TESTS)):
        (folder / name).write_text(text)
    daemon.call("workspace.open", {"path": str(folder), "wait": True})
    yield folder
    daemon.call("workspace.close", {"path": str(folder), "forget": True})


@pytest.fixture
def door(daemon: Daemon) -> Door:
    return Door.of(daemon)


def ask(daemon: Daemon, root: Path, message: str = QUESTION, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = daemon.call("chat", {"message": message, "workspace": str(root), **more})
    return found


def told(provider: ToldProvider, number: int = -1) -> str:
    """All that the model was told."""
    return "\n\n".join(str(one["content"]) for one in provider.calls[number].body["messages"])


class TestChat:
    def test_what_belongs_to_the_question_goes_along_and_is_listed(
        self, daemon: Daemon, root: Path, provider: ToldProvider
    ) -> None:
        got = ask(daemon, root)
        assert "`cache.py`, `Cache.evict`:\n\n```python\n    def evict(self, key):" in told(provider)
        assert told(provider).endswith(QUESTION)
        first = got["sources"][0]
        assert (first["path"], first["symbol"], first["first_line"], first["last_line"]) == (
            "cache.py",
            "Cache.evict",
            5,
            6,
        )
        assert got["context"] == {"state": "ready", "path": str(root)}

    def test_code_blocks_name_the_file_they_are_meant_for(self, daemon: Daemon, root: Path) -> None:
        blocks = ask(daemon, root)["code_blocks"]
        assert [(one["path"], one["language"], one["text"]) for one in blocks] == [
            ("cache.py", "python", "x = 1\n"),
            (None, "sh", "ls\n"),
            (None, "python", "y = 2\n"),
        ]

    def test_a_repeat_is_a_hit_as_long_as_what_it_was_made_from_stays(
        self, daemon: Daemon, root: Path, provider: ToldProvider
    ) -> None:
        first, again = ask(daemon, root), ask(daemon, root)
        assert (first["cache"]["result"], again["cache"]["result"]) == ("miss", "hit_exact")
        assert again["sources"] == first["sources"]
        (root / "cache.py").write_text(CACHE.replace("pop(key)", "pop(key, None)"))
        changed = ask(daemon, root)
        assert changed["cache"]["result"] == "stale"
        assert "pop(key, None)" in told(provider)
        (root / "cache.py").write_text(CACHE)
        assert ask(daemon, root)["cache"]["result"] == "hit_exact"
        assert len(provider.calls) == 2

    def test_what_moves_is_told_where_it_lies_now(self, daemon: Daemon, root: Path) -> None:
        ask(daemon, root)
        (root / "cache.py").write_text("# one\n# two\n\n" + CACHE)
        assert ask(daemon, root, use_llm=False)["sources"][0]["first_line"] == 8

    def test_a_path_inside_asks_the_same_workspace(self, daemon: Daemon, root: Path) -> None:
        (root / "inner").mkdir()
        assert ask(daemon, root / "inner")["sources"]
        assert ask(daemon, root)["cache"]["result"] == "hit_exact"

    def test_unsaved_text_wins_over_the_disk(self, daemon: Daemon, root: Path, provider: ToldProvider) -> None:
        unsaved = [{"path": "cache.py", "text": CACHE.replace("self.entries.pop(key)", "self.drop(key)")}]
        got = ask(daemon, root, opened=unsaved)
        assert "self.drop(key)" in told(provider)
        assert "entries.pop" not in told(provider)
        assert ask(daemon, root, opened=unsaved)["cache"]["result"] == "hit_exact"
        assert ask(daemon, root)["cache"]["result"] == "stale"
        assert got["sources"][0]["path"] == "cache.py"

    def test_a_file_that_is_named_is_not_found_again(self, daemon: Daemon, root: Path, provider: ToldProvider) -> None:
        got = ask(daemon, root, files=["cache.py"])
        assert told(provider).count("def evict") == 1
        assert "cache.py" not in {one["path"] for one in got["sources"]}

    def test_nothing_is_added_where_the_caller_says_so(
        self, daemon: Daemon, root: Path, provider: ToldProvider
    ) -> None:
        got = ask(daemon, root, retrieve=False)
        assert told(provider) == QUESTION
        assert (got["sources"], got["context"]["state"]) == ([], "off")

    def test_problems_that_are_reported_go_along(self, daemon: Daemon, root: Path, provider: ToldProvider) -> None:
        place = {"line": 5, "character": 4}
        problem = {"path": "pool.py", "message": "may be empty", "range": {"start": place, "end": place}}
        ask(daemon, root, diagnostics=[problem])
        assert "What is reported about pool.py:\n- line 6: may be empty" in told(provider)

    def test_a_closed_workspace_is_answered_as_before(
        self, daemon: Daemon, root: Path, tmp_path: Path, provider: ToldProvider
    ) -> None:
        got = ask(daemon, tmp_path)
        assert told(provider) == QUESTION
        assert (got["text"], got["sources"], got["context"]["state"]) == (SAYS, [], "closed")
        assert got["context"]["tip"] == f"beast workspace open {tmp_path}"

    def test_an_ai_tool_gets_nothing_added(self, door: Door, root: Path, provider: ToldProvider) -> None:
        asked = {"model": "custom:t", "messages": [{"role": "user", "content": QUESTION}]}
        assert door.post("/v1/chat/completions", asked, x_beast_project=str(root)).status == 200
        assert told(provider) == QUESTION

    def test_what_looks_like_a_secret_is_never_sent(self, daemon: Daemon, root: Path, provider: ToldProvider) -> None:
        (root / "evicting.py").write_text(f"EVICT_KEY = '{KEY}'\n\n\ndef evict_cache_key():\n    pass\n")
        (root / ".env").write_text("CACHE_EVICT_KEY=hunter2\n")
        (root / "cache.py").write_text(f"{CACHE}\n\nTOKEN = '{KEY}'\n")
        ask(daemon, root)
        ask(daemon, root, message="Which EVICT_KEY does the cache use?", cache="refresh")
        assert all(KEY not in told(provider, i) and "hunter2" not in told(provider, i) for i in range(2))
        assert "def evict" not in told(provider, 0)

    def test_a_stream_is_the_same_answer(self, daemon: Daemon, root: Path) -> None:
        pieces: list[Any] = []
        params = {"message": QUESTION, "workspace": str(root), "stream": True}
        with daemon.client() as client:
            got = client.call("chat", params, pieces.append)
        assert "".join(one["delta"] for one in pieces) == got["text"]
        assert got["sources"]


class TestSessions:
    def test_a_question_that_goes_on_is_looked_up_with_what_came_before(
        self, daemon: Daemon, root: Path, provider: ToldProvider
    ) -> None:
        provider.says = "It is in Cache.evict."
        ask(daemon, root, session_id=f"on-{root.parent.name}")
        got = ask(daemon, root, message="And who calls it?", session_id=f"on-{root.parent.name}")
        assert {"cache.py", "pool.py"} <= {one["path"] for one in got["sources"]}
        roles = [one["role"] for one in provider.calls[-1].body["messages"]]
        assert roles == ["system", "user", "assistant", "user"]
        assert provider.calls[-1].body["messages"][1]["content"] == QUESTION

    def test_answers_of_the_index_are_part_of_it(self, daemon: Daemon, root: Path) -> None:
        name = f"index-{root.parent.name}"
        ask(daemon, root, session_id=name, use_llm=False)
        said = daemon.call("sessions.get", {"id": name})["messages"]
        assert [(one["role"], one.get("model")) for one in said] == [("user", None), ("assistant", "index")]


class TestWithoutAModel:
    def test_the_index_answers_at_no_cost_and_leaves_its_row(
        self, daemon: Daemon, root: Path, provider: ToldProvider
    ) -> None:
        got = ask(daemon, root, use_llm=False)
        assert got["text"].startswith("1. `cache.py`, lines 5-6, `Cache.evict`\n\n```python cache.py\n    def evict")
        assert (got["model"], got["cost_usd"], got["cache"]["result"]) == ("index", 0, "bypass")
        assert got["code_blocks"][0]["path"] == "cache.py"
        assert provider.calls == []
        row = daemon.call("requests.get", {"request_id": got["request_id"]})
        assert (row["outcome"], row["model_served"], row["cost_usd"]) == ("success", "index", 0)
        assert (row["cache"]["result"], row["workspace"]) == ("bypass", str(root))

    def test_it_is_streamed_where_that_is_asked_for(self, daemon: Daemon, root: Path) -> None:
        pieces: list[Any] = []
        params = {"message": QUESTION, "workspace": str(root), "stream": True, "use_llm": False}
        with daemon.client() as client:
            got = client.call("chat", params, pieces.append)
        assert "".join(one["delta"] for one in pieces) == got["text"]

    def test_nothing_found_is_an_answer_too(self, daemon: Daemon, root: Path) -> None:
        got = ask(daemon, root, message="zzqx", use_llm=False)
        assert got["sources"] == []
        assert got["text"].startswith("Nothing in this workspace fits")

    def test_it_needs_an_open_workspace(self, daemon: Daemon, tmp_path: Path) -> None:
        with pytest.raises(ConflictError) as refused:
            ask(daemon, tmp_path, use_llm=False)
        assert list(refused.value.tips) == [f"beast workspace open {tmp_path}"]
        with pytest.raises(ConflictError):
            daemon.call("chat", {"message": "x", "use_llm": False})


class TestContext:
    def test_shows_what_would_be_sent(self, daemon: Daemon, root: Path, provider: ToldProvider) -> None:
        got = daemon.call("workspace.context", {"workspace": str(root), "question": QUESTION})
        first = got["pieces"][0]
        assert {"path", "first_line", "last_line", "symbol", "tokens", "why", "text"} <= set(first)
        assert (first["path"], first["first_line"]) == ("cache.py", 5)
        assert got["tokens"] == sum(one["tokens"] for one in got["pieces"]) <= got["budget_tokens"] == 6000
        ask(daemon, root)
        assert all(one["text"] in told(provider) for one in got["pieces"])

    def test_keeps_its_budget(self, daemon: Daemon, root: Path) -> None:
        params = {"workspace": str(root), "question": QUESTION}
        small = daemon.call("workspace.context", {**params, "budget_tokens": 40})
        assert 0 < small["tokens"] <= small["budget_tokens"] == 40
        assert daemon.call("workspace.context", {**params, "budget_tokens": 0})["pieces"] == []

    def test_named_files_come_first(self, daemon: Daemon, root: Path) -> None:
        params = {"workspace": str(root), "question": QUESTION, "files": ["pool.py"]}
        first = daemon.call("workspace.context", params)["pieces"][0]
        assert (first["path"], first["why"], first["first_line"], first["last_line"]) == ("pool.py", ["named"], 1, 6)

    @pytest.mark.parametrize("file", ["../outside.py", "/etc/passwd", "absent.py", ".env"])
    def test_files_lie_inside(self, daemon: Daemon, root: Path, file: str) -> None:
        (root / ".env").write_text("A=1\n")
        with pytest.raises(BeastError):
            daemon.call("workspace.context", {"workspace": str(root), "question": QUESTION, "files": [file]})

    def test_needs_an_open_workspace(self, daemon: Daemon, tmp_path: Path) -> None:
        with pytest.raises(ConflictError, match="not open"):
            daemon.call("workspace.context", {"workspace": str(tmp_path), "question": QUESTION})
        with pytest.raises(BadInputError):
            daemon.call("workspace.context", {"question": QUESTION})


class TestActions:
    def test_see_definitions_callers_and_tests_of_what_is_selected(
        self, daemon: Daemon, root: Path, provider: ToldProvider
    ) -> None:
        got = daemon.call("action", {"kind": "explain", "path": "pool.py", "workspace": str(root)})
        assert "    def evict(self, key):" in told(provider)
        assert "def test_shrink_gives_the_last_one" in told(provider)
        assert {one["path"] for one in got["sources"]} == {"cache.py", "test_pool.py"}
        lines = {"start": {"line": 4, "character": 0}, "end": {"line": 6, "character": 0}}
        daemon.call("action", {"kind": "explain", "path": "cache.py", "workspace": str(root), "range": lines})
        assert "def shrink(pool, cache: Cache):" in told(provider)

    def test_are_stale_once_a_definition_changes(self, daemon: Daemon, root: Path, provider: ToldProvider) -> None:
        params = {"kind": "explain", "path": "pool.py", "workspace": str(root)}
        daemon.call("action", params)
        assert daemon.call("action", params)["cache"]["result"] == "hit_exact"
        (root / "cache.py").write_text(CACHE.replace("pop(key)", "pop(key, None)"))
        assert daemon.call("action", params)["cache"]["result"] == "stale"
        assert "pop(key, None)" in told(provider)

    def test_one_that_stands_alone_is_stored_as_well(self, daemon: Daemon, root: Path, provider: ToldProvider) -> None:
        (root / "alone.py").write_text("zq = 1\n")
        params = {"kind": "explain", "path": "alone.py", "workspace": str(root)}
        results = [daemon.call("action", params)["cache"]["result"] for _ in range(2)]
        assert results == ["miss", "hit_exact"]
        assert "Other parts of the project" not in told(provider)

    def test_unsaved_definitions_win(self, daemon: Daemon, root: Path, provider: ToldProvider) -> None:
        unsaved = [{"path": "cache.py", "text": CACHE.replace("self.entries.pop(key)", "self.drop(key)")}]
        daemon.call("action", {"kind": "explain", "path": "pool.py", "workspace": str(root), "opened": unsaved})
        assert "self.drop(key)" in told(provider)
        assert "entries.pop" not in told(provider)


class TestOlderEndpoint:
    @pytest.mark.parametrize("by", ["path", "name"])
    def test_a_repository_is_an_open_workspace(self, door: Door, root: Path, provider: ToldProvider, by: str) -> None:
        repo = str(root) if by == "path" else "shop"
        got = door.post(CHAT, {"message": QUESTION, "repo": repo, "model": "custom:t"}).json
        assert (got["success"], got["code"]) == (True, "x = 1\n")
        assert got["sources"][0]["path"] == got["codeBlocks"][0]["path"] == "cache.py"
        assert "def evict" in told(provider)

    def test_without_a_model_the_index_answers(self, door: Door, root: Path, provider: ToldProvider) -> None:
        got = door.post(CHAT, {"message": QUESTION, "repo": str(root), "useLLM": False}).json
        assert (got["success"], got["model"], got["cost"]) == (True, "index", 0)
        assert "Cache.evict" in got["message"]
        assert provider.calls == []

    @pytest.mark.parametrize("use_llm", [True, False])
    @pytest.mark.parametrize("repo", ["/not/open", "unknown"])
    def test_a_repository_that_is_not_open_is_a_conflict_with_a_tip(self, door: Door, repo: str, use_llm: bool) -> None:
        got = door.post(CHAT, {"message": QUESTION, "repo": repo, "useLLM": use_llm})
        assert (got.status, got.json["success"]) == (409, False)
        assert "beast workspace open" in got.json["tip"][0]

    def test_a_name_of_several_is_refused(self, door: Door, daemon: Daemon, root: Path, tmp_path: Path) -> None:
        other = tmp_path / "more" / "shop"
        other.mkdir(parents=True)
        daemon.call("workspace.open", {"path": str(other)})
        got = door.post(CHAT, {"message": QUESTION, "repo": "shop"})
        daemon.call("workspace.close", {"path": str(other), "forget": True})
        assert got.status == 409
        assert "Several" in got.json["error"]

    def test_a_conversation_goes_on(self, door: Door, root: Path, provider: ToldProvider) -> None:
        asked = {"message": QUESTION, "repo": str(root), "sessionId": f"older-{root.parent.name}", "model": "custom:t"}
        door.post(CHAT, asked)
        got = door.post(CHAT, {**asked, "message": "And then?"}).json
        assert got["sessionId"] == asked["sessionId"]
        assert QUESTION in told(provider)
