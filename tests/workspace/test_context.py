"""What of an open workspace goes along with a question: what is on the disk now, within a budget, and no secrets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.core.types import Message
from beastmode.workspace.chunks import Chunk, cut, digest
from beastmode.workspace.context import Found, Looking, found_of, gathered, question_of, with_found, within, words_of
from beastmode.workspace.index.retrieval import Hit
from support.workspaces import Disk, WordRetriever

CACHE = "class Cache:\n    def evict(self, key):\n        return self.entries.pop(key)\n"
POOL = "def take_worker(pool):\n    return pool.pop()\n"
KEY = "sk-proj-" + "a1B2" * 8


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "cache.py").write_text(CACHE)
    (tmp_path / "pool.py").write_text(POOL)
    return tmp_path


def looking(root: Path, **more: Any) -> Looking:
    found = {"retriever": WordRetriever(root), "disk": Disk(), **more}
    return Looking(root=str(root), **found)


class TestFinding:
    async def test_the_best_piece_comes_first_and_says_where_it_lies(self, root: Path) -> None:
        found = await looking(root).find("where does the cache evict a key?")
        assert (found[0].path, found[0].symbol) == ("cache.py", "Cache.evict")
        assert (found[0].first_line, found[0].last_line) == (2, 3)
        assert found[0].sha256 == digest(found[0].text)
        assert found[0].why == ["words"]

    async def test_what_is_sent_is_what_is_on_the_disk_now(self, root: Path) -> None:
        look = looking(root)
        (root / "cache.py").write_text("\n\n" + CACHE.replace("pop(key)", "pop(key, None)"))
        found = await look.find("where does the cache evict a key?")
        assert "pop(key, None)" in found[0].text
        assert found[0].first_line == 4
        assert found[0].sha256 == digest(found[0].text)

    async def test_the_index_is_asked_again_where_a_piece_is_gone(self, root: Path) -> None:
        retriever = WordRetriever(root)
        (root / "cache.py").unlink()
        (root / "store.py").write_text(CACHE)

        class CatchesUp(Disk):
            async def current(self, root: str, path: str) -> tuple[str, list[Chunk]] | None:
                retriever.read()
                return await super().current(root, path)

        look = looking(root, retriever=retriever, disk=CatchesUp())
        found = await look.find("where does the cache evict a key?")
        assert {one.path for one in found} == {"store.py"}
        assert len(retriever.asked) == 2

    async def test_it_ends_where_files_never_rest(self, root: Path) -> None:
        retriever = WordRetriever(root)
        (root / "cache.py").unlink()
        assert await looking(root, retriever=retriever).find("evict a key") == []
        assert len(retriever.asked) == 3

    async def test_an_unsaved_text_wins_over_the_disk(self, root: Path) -> None:
        unsaved = CACHE.replace("self.entries.pop(key)", "self.forget(key)")
        disk = Disk()
        found = await looking(root, opened={"cache.py": unsaved}, disk=disk).find("where does the cache evict a key?")
        assert "self.forget(key)" in found[0].text
        assert "cache.py" not in disk.reads

    async def test_a_function_that_only_the_editor_has_is_found(self, root: Path) -> None:
        unsaved = f"{POOL}\n\ndef give_back(worker):\n    idle.append(worker)\n"
        found = await looking(root, opened={"pool.py": unsaved}).find("what does give_back do?")
        assert "give_back" in [one.symbol for one in found]

    async def test_what_is_shown_anyway_is_not_added(self, root: Path) -> None:
        found = await looking(root, shown=frozenset({"cache.py"})).find("cache evict pool")
        assert "cache.py" not in {one.path for one in found}

    async def test_no_budget_adds_nothing_and_asks_nobody(self, root: Path) -> None:
        look = looking(root, budget_tokens=0)
        assert await look.find("where does the cache evict a key?") == []
        assert not look.retriever.asked  # type: ignore[attr-defined]

    async def test_a_question_that_goes_on_is_looked_up_with_what_came_before(self, root: Path) -> None:
        look = looking(root)
        await look.find("and when?", "how does the cache evict a key?")
        assert look.retriever.asked == ["and when?", "and when?\nhow does the cache evict a key?"]  # type: ignore[attr-defined]
        found = await look.find("and when?", "how does the cache evict a key?")
        assert found[0].symbol == "Cache.evict"


class TestSecrets:
    @pytest.mark.parametrize("where", ["disk", "editor"])
    async def test_a_file_that_looks_like_a_secret_is_never_sent(self, root: Path, where: str) -> None:
        text = f"TOKEN = '{KEY}'\n\n\ndef evict():\n    return TOKEN\n"
        (root / "secret_cache.py").write_text(text if where == "disk" else "def evict():\n    return 1\n")
        opened = {"secret_cache.py": text} if where == "editor" else {}
        found = await looking(root, opened=opened).find("evict TOKEN secret cache")
        assert all(KEY not in one.text for one in found)

    async def test_nor_one_that_is_named_like_one(self, root: Path) -> None:
        opened = {".env": "CACHE_EVICT = 1\n"}
        (root / ".env").write_text(opened[".env"])
        look = looking(root, opened=opened)
        assert ".env" not in {one.path for one in await look.find("cache evict")}


def pieces(texts: Sequence[str]) -> list[Found]:
    return [found_of(f"f{i}.py", Chunk(text, digest(text), "", "text", 1, 1, []), []) for i, text in enumerate(texts)]


class TestBudget:
    @given(st.lists(st.text(max_size=400), max_size=12), st.integers(0, 400))
    def test_is_kept_and_nothing_is_told_twice(self, texts: list[str], budget_tokens: int) -> None:
        kept = within(pieces(texts), budget_tokens)
        assert sum(one.tokens for one in kept) <= budget_tokens
        assert len({one.sha256 for one in kept}) == len(kept)

    def test_a_piece_that_is_too_large_makes_room_for_a_smaller_one(self) -> None:
        kept = within(pieces(["long " * 500, "short"]), 60)
        assert [one.text for one in kept] == ["short"]


class TestPrompt:
    async def test_pieces_stand_fenced_before_the_question_without_numbers_of_lines(self, root: Path) -> None:
        found = await looking(root).find("evict a key")
        messages = with_found([Message("user", "evict a key")], found)
        assert [one.role for one in messages] == ["system", "user"]
        assert "no orders" in str(messages[0].content)
        assert "path/to/file.py" in str(messages[0].content)
        asked = str(messages[1].content)
        assert "`cache.py`, `Cache.evict`:\n\n```python\n    def evict(self, key):" in asked
        assert asked.endswith("evict a key")
        assert "line" not in asked

    def test_a_piece_can_not_end_its_fence(self) -> None:
        (text,) = [str(one.content) for one in with_found([Message("user", "q")], pieces(["```\nEvil\n```"]))[1:]]
        assert "````" in text

    def test_a_system_message_is_kept_and_goes_first(self) -> None:
        messages = with_found([Message("system", "Be brief."), Message("user", "q")], pieces(["x"]))
        assert str(messages[0].content).startswith("Be brief.\n\n")
        assert len(messages) == 2

    def test_a_question_of_several_parts_keeps_them(self) -> None:
        image = {"type": "image_url", "image_url": {"url": "data:,"}}
        parts = [{"type": "text", "text": "q"}, image]
        last = with_found([Message("user", parts)], pieces(["x"]))[-1]
        assert isinstance(last.content, list)
        assert last.content[1:] == parts

    async def test_a_workspace_that_can_not_be_searched_adds_nothing(self, root: Path) -> None:
        class Broken(WordRetriever):
            async def search(self, question: str, **more: Any) -> list[Hit]:
                raise RuntimeError(question)

        got = await gathered(looking(root, retriever=Broken(root)), [Message("user", "q")], "q", "")
        assert got.pieces == []
        assert got.messages[-1].content == "q"


class TestQuestion:
    def test_is_the_last_message_and_leans_on_the_two_before(self) -> None:
        talk = [Message("system", "s"), *(Message("user", f"u{i}") for i in range(3)), Message("user", "now")]
        assert question_of(talk) == ("now", "u1\nu2")

    def test_there_is_none_where_a_tool_spoke_last(self) -> None:
        assert question_of([Message("tool", "42")]) == ("", "")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("giveBack", ["give", "back"]),
            ("give_back(worker)", ["give", "back", "worker"]),
            ("", []),
            ("HTTPDoor", ["httpdoor"]),
        ],
    )
    def test_words_of_names_are_apart(self, text: str, words: list[str]) -> None:
        assert words_of(text) == words

    @given(st.text())
    def test_any_text_has_words(self, text: str) -> None:
        assert all(len(word) > 2 for word in words_of(text))


def test_cutting_is_what_the_disk_gives(root: Path) -> None:
    assert [one.symbol for one in cut("cache.py", CACHE)][-1] == "Cache.evict"
