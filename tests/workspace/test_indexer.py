"""The process that reads workspaces: kept alive, told everything again after its death, and kept from what kills it."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.clock import Clock
from beastmode.workspace.index.indexer import Indexer
from beastmode.workspace.index.orders import Order, Word
from support.waiting import until_async

HEAD = """
import json, os, sys
def say(**word):
    print(json.dumps(word), flush=True)
def orders():
    for line in sys.stdin:
        yield json.loads(line)
"""


class Quick(Clock):
    """A clock whose pauses are short."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


Made = Callable[..., Indexer]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Made]:
    made: list[Indexer] = []

    def make(source: str, hear: Callable[[Word], Any] = lambda word: None, **more: Any) -> Indexer:
        (tmp_path / "pretender.py").write_text(HEAD + textwrap.dedent(source))
        environ = {"PYTHONPATH": str(tmp_path), "OPENAI_API_KEY": "sk-x"}
        made.append(Indexer(hear, Quick(), environ, tmp_path, module="pretender", **more))
        return made[-1]

    yield make
    for one in made:
        await one.end()


async def until(holds: Callable[[], bool]) -> None:
    await until_async(holds, 60)


async def test_orders_reach_it_and_words_come_back(make: Made) -> None:
    words: list[Word] = []
    indexer = make(
        """
        for order in orders():
            say(event="ready", root=order["root"], files=len(order["op"]))
        """,
        words.append,
    )
    indexer.open(Order(op="open", root="/a"))
    indexer.open(Order(op="open", root="/b"))
    await until(lambda: {word.root for word in words} == {"/a", "/b"})
    assert indexer.problem is None


async def test_after_its_death_it_is_told_everything_again(make: Made) -> None:
    words: list[Word] = []
    indexer = make(
        """
        for order in orders():
            say(event="ready", root=order["root"])
            if not order.get("careful"):
                os._exit(3)
        """,
        words.append,
    )
    indexer.open(Order(op="open", root="/a"))
    await until(lambda: len(words) >= 2)
    assert indexer.pid is not None


async def test_a_file_that_it_died_of_is_named_to_the_next_one(make: Made) -> None:
    words: list[Word] = []
    indexer = make(
        """
        for order in orders():
            if order.get("poison"):
                say(event="ready", root=order["root"], paths=order["poison"])
            elif order.get("careful"):
                say(event="cutting", root=order["root"], paths=["fine.py"])
                say(event="cutting", root=order["root"], paths=["bad.py"])
                os.kill(os.getpid(), 11)
            else:
                os._exit(1)
        """,
        words.append,
    )
    indexer.open(Order(op="open", root="/a"))
    await until(lambda: bool(words))
    assert words[0].paths == ["bad.py"]


async def test_what_ends_again_and_again_is_a_problem_until_it_lives(make: Made, tmp_path: Path) -> None:
    indexer = make(
        """
        if not os.path.exists("mended"):
            sys.exit("no module named anything")
        for order in orders():
            pass
        """,
        steady_s=0.2,
    )
    indexer.open(Order(op="open", root="/a"))
    await until(lambda: indexer.problem is not None)
    assert indexer.problem is not None
    assert "times in a row: no module named anything" in indexer.problem
    (tmp_path / "mended").touch()
    await until(lambda: indexer.problem is None)


@pytest.mark.parametrize("line", ["nonsense", "{}", "[]", "x" * 70_000])
async def test_what_is_no_word_ends_that_life_alone(make: Made, line: str) -> None:
    words: list[Word] = []
    indexer = make(
        f"""
        for order in orders():
            if order.get("careful"):
                say(event="ready", root=order["root"])
            else:
                print({line!r}, flush=True)
        """,
        words.append,
    )
    indexer.open(Order(op="open", root="/a"))
    await until(lambda: bool(words))


async def test_without_workspaces_it_ends_and_with_the_next_one_it_is_there_again(make: Made) -> None:
    words: list[Word] = []
    indexer = make(
        """
        for order in orders():
            say(event="ready", root=order["root"])
        """,
        words.append,
    )
    for root in ("/a", "/b", "/c"):
        indexer.open(Order(op="open", root=root))
        await until(lambda root=root: any(word.root == root for word in words))  # type: ignore[misc]
        indexer.close(root)
        indexer.close(root)
    await until(lambda: indexer.pid is None)


async def test_what_is_said_of_a_closed_workspace_is_not_heard(make: Made) -> None:
    words: list[Word] = []
    indexer = make(
        """
        for order in orders():
            if order["op"] == "close":
                say(event="ready", root=order["root"])
                say(event="ready", root="/b")
        """,
        words.append,
    )
    indexer.open(Order(op="open", root="/a"))
    indexer.open(Order(op="open", root="/b"))
    await until(lambda: indexer.pid is not None)
    indexer.close("/a")
    await until(lambda: bool(words))
    assert [word.root for word in words] == ["/b"]


async def test_keys_of_the_environment_are_kept_from_it(make: Made) -> None:
    words: list[Word] = []
    indexer = make(
        """
        for order in orders():
            say(event="ready", root=order["root"], paths=[name for name in os.environ if "KEY" in name])
        """,
        words.append,
    )
    indexer.open(Order(op="open", root="/a"))
    await until(lambda: bool(words))
    assert words[0].paths == []


async def test_one_that_does_not_end_when_told_is_killed(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beastmode.workspace.index.indexer.END_LIMIT_S", 0.1)
    words: list[Word] = []
    indexer = make(
        """
        import time
        say(event="ready", root="/a")
        while True:
            time.sleep(60)
        """,
        words.append,
    )
    indexer.open(Order(op="open", root="/a"))
    await until(lambda: bool(words))
    await indexer.end()
    assert indexer.pid is None
