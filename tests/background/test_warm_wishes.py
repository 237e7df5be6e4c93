"""From a thought to the very request that a person makes: the same key, wherever the function has moved to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.background.activity import Asked, Identity
from beastmode.background.predicting import Guess
from beastmode.background.warm_requests import make
from beastmode.background.warm_wishes import Wish, from_guesses, from_templates, template_problem
from beastmode.cache.key import make_key
from beastmode.core.errors import BeastError
from beastmode.core.types import Request
from beastmode.workspace.positions import Position, Range
from beastmode.workspace.requests import ActionParams, ChatParams, action_request, chat_request, conversation

ME = "uid:1"
SHELF = '''"""Books."""


class Shelf:
    def count(self):
        return len(self.books)

    @property
    def first(self):
        return self.books[0]


def sort(books):
    return sorted(books)
'''
LOWER = "# one more line\n" * 9 + SHELF.replace("len(self.books)", "len(self.books) + 1")
SORT_ROW = LOWER.split("\n").index("def sort(books):")


def a_wish(place: Path, symbol: str, **params: Any) -> Wish:
    asked = Asked("action", {"kind": "explain", "path": "shelf.py", "workspace": str(place), **params})
    return Wish(source="recurring", asked=asked, user=ME, workspace=str(place), path="shelf.py", symbol=symbol)


def rows(first: int, last: int, character: int = 0) -> Range:
    return Range(Position(first, 0), Position(last, character))


async def of_person(place: Path, at: Range | None, **more: Any) -> Request:
    params = ActionParams(kind="explain", path="shelf.py", workspace=str(place), range=at, client="vscode", **more)
    _, request = await action_request(params, ME, "lsp")
    return request


def same(left: Request, right: Request) -> bool:
    return make_key(left) == make_key(right)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "shelf.py").write_text(LOWER)
    return tmp_path


class TestAnAction:
    @pytest.mark.parametrize(
        ("symbol", "words"), [("sort", "def sort"), ("Shelf.count", "def count"), ("Shelf.first", "def first")]
    )
    async def test_of_a_function_that_moved_is_that_of_a_cursor_in_it(
        self, symbol: str, words: str, place: Path
    ) -> None:
        before = {"start": {"line": 2, "character": 0}, "end": {"line": 2, "character": 0}}
        row = next(number for number, line in enumerate(LOWER.split("\n")) if words in line)
        mine = await of_person(place, rows(row, row))
        assert same(await make(a_wish(place, symbol, range=before), None), mine)

    async def test_of_lines_that_were_selected_is_that_of_its_lines_now(self, place: Path) -> None:
        before = {"start": {"line": 12, "character": 0}, "end": {"line": 14, "character": 0}}
        mine = await of_person(place, rows(SORT_ROW, SORT_ROW + 1, 80))
        assert same(await make(a_wish(place, "sort", range=before), None), mine)

    async def test_without_a_symbol_is_of_the_whole_file(self, place: Path) -> None:
        assert same(await make(a_wish(place, ""), None), await of_person(place, None))

    async def test_keeps_words_and_bounds(self, place: Path) -> None:
        more = {"instruction": "Is it fast?", "max_tokens": 50, "temperature": 0.1}
        mine = await of_person(place, rows(SORT_ROW, SORT_ROW), **more)
        assert same(await make(a_wish(place, "sort", **more), None), mine)

    @pytest.mark.parametrize("file", ["shelf.py", "nothing.py"])
    async def test_of_what_is_gone_is_none(self, file: str, place: Path) -> None:
        with pytest.raises(BeastError):
            await make(a_wish(place, "burn", path=file), None)

    async def test_of_a_file_that_became_a_secret_is_none(self, place: Path) -> None:
        (place / "shelf.py").write_text("-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n")
        with pytest.raises(BeastError):
            await make(a_wish(place, ""), None)

    async def test_is_asked_by_the_daemon_as_a_stream(self, place: Path) -> None:
        request = await make(a_wish(place, "sort"), None)
        assert (request.origin, request.client, request.stream, request.user) == ("warming", "daemon", True, ME)


async def test_a_question_is_that_of_the_person() -> None:
    params = ChatParams(message="What is new?", model="custom:a", temperature=0, stop=["x"])
    mine = await chat_request(params, conversation(params), ME, "http")
    asked = Asked(
        "chat",
        {
            "model": "custom:a",
            "messages": [{"role": "user", "content": "What is new?"}],
            "params": {"temperature": 0, "stop": ["x"]},
        },
    )
    assert same(await make(Wish(source="recurring", asked=asked, user=ME), None), mine)


class TestAGuess:
    ASKED = Asked(
        "action",
        {
            "kind": "tests",
            "path": "a.py",
            "workspace": "/w",
            "language": "python",
            "max_tokens": 300,
            "range": {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}},
            "diagnostics": [{"message": "wrong"}],
        },
    )
    LIKE = Identity("tests", "/w", "a.py", "add", "", ME)

    def _asked_of(self, identity: Identity) -> Asked | None:
        return self.ASKED if identity == self.LIKE else None

    def _guess(self, path: str, symbol: str, like: Identity | None = LIKE, probability: float = 0.5) -> Guess:
        return Guess("tests", "/w", path, symbol, "", ME, probability, seen=False, like=like)

    def test_of_what_was_never_asked_is_asked_as_its_like_without_its_problems(self) -> None:
        (wish,) = from_guesses([self._guess("b.py", "sub")], self._asked_of)
        params = wish.asked.params
        assert (params["path"], params["max_tokens"], params["language"]) == ("b.py", 300, "python")
        assert "diagnostics" not in params and (wish.symbol, wish.user) == ("sub", ME)

    def test_nobody_knows_what_will_be_wrong_elsewhere_so_that_no_fix_is_asked_like_another(self) -> None:
        asked = Asked("action", {**self.ASKED.params, "kind": "fix"})
        guess = Guess("fix", "/w", "b.py", "sub", "", ME, 0.5, seen=False, like=self.LIKE)
        assert from_guesses([guess], lambda one: asked if one == self.LIKE else None) == []

    def test_in_another_language_says_nothing_of_the_first(self) -> None:
        (wish,) = from_guesses([self._guess("b.ts", "")], self._asked_of)
        assert "language" not in wish.asked.params and "range" not in wish.asked.params

    def test_that_nobody_knows_how_to_ask_is_left_out(self) -> None:
        assert from_guesses([self._guess("b.py", "sub", None)], self._asked_of) == []

    def test_that_is_unlikely_is_left_out_with_all_that_follow(self) -> None:
        guesses = [self._guess("b.py", "sub", probability=0.001), self._guess("c.py", "sub")]
        assert from_guesses(guesses, self._asked_of) == []


class TestATemplate:
    def test_of_an_open_workspace_looks_into_it(self) -> None:
        found = from_templates([{"message": "x", "workspace": "/w"}, {"message": "y"}], ME, lambda path: path == "/w")
        assert [one.asked.params["gather"] for one in found] == [True, False]

    def test_may_name_its_user(self) -> None:
        (wish,) = from_templates([{"message": "x", "user": "ada"}], ME, lambda path: False)
        assert wish.user == "ada"

    @given(
        st.dictionaries(st.sampled_from(["message", "kind", "path", "workspace", "what"]), st.text() | st.integers())
    )
    def test_is_either_wrong_or_can_be_shown(self, template: dict[str, Any]) -> None:
        found = from_templates([template], ME, lambda path: False)
        assert (template_problem(template) is None) == (len(found) == 1)
        assert all(one.shown()["source"] == "template" for one in found)
