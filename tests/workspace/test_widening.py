"""What an action is shown beside its file: the definitions that are meant, callers and tests, and nothing by chance."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from beastmode.workspace.actions import Kind, make_task
from beastmode.workspace.chunks import cut, digest
from beastmode.workspace.context import Looking
from beastmode.workspace.index.catalogue import Catalogue, FileRow
from beastmode.workspace.index.reading import Reader
from beastmode.workspace.positions import Position, Range
from beastmode.workspace.subject import Subject
from beastmode.workspace.widening import imports_in, widened
from support.workspaces import Disk

FILES = {
    "shop/cache.py": "class Cache:\n    def evict(self, key):\n        return self.entries.pop(key)\n",
    "shop/prices.py": "RATE = 2\n\n\ndef total(items):\n    return sum(items) * RATE\n",
    "other/prices.py": "def total(rows):\n    return len(rows)\n",
    "shop/order.py": (
        "from shop.cache import Cache\nfrom shop.prices import (\n    total,\n)\n\n\n"
        "def checkout(items, cache: Cache):\n    cache.evict(items)\n    return total(items)\n\n\n"
        "def unrelated(part):\n    return part\n"
    ),
    "shop/desk.py": "from shop.order import checkout\n\n\ndef serve(items):\n    return checkout(items, None)\n",
    "tests/test_order.py": (
        "from shop.order import checkout\n\n\ndef test_checkout():\n    assert checkout([], None) == 0\n"
    ),
    "web/view.ts": (
        'import { part } from "./parts";\n\nexport function draw(one: string): string {\n  return part(one);\n}\n'
    ),
    "web/parts.ts": "export function part(one: string): string {\n  return one;\n}\n",
}


class Words:
    """A retriever that has nothing but a catalogue."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in FILES.items():
        (tmp_path / "work" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "work" / path).write_text(text)
    catalogue = Catalogue.open(tmp_path / "catalogue.db")
    catalogue.put([row(path, text) for path, text in FILES.items()])
    catalogue.close()
    return tmp_path / "work"


def row(path: str, text: str) -> FileRow:
    return FileRow(
        path=path,
        size_bytes=len(text),
        mtime_ns=1,
        ctime_ns=1,
        inode=1,
        sha256=digest(text),
        chunks=cut(path, text),
    )


async def seen(root: Path, path: str, first: int, last: int, kind: Kind = "explain", **more: Any) -> list[str]:
    """What is added to the prompt of an action on some lines, counted from 1, as `path symbol`."""
    subject = Subject(path, (root / path).read_text(), str(root))
    task = make_task(kind, subject, Range(Position(first - 1, 0), Position(last, 0)))
    reader = Reader(root.parent / "catalogue.db")
    look = Looking(root=str(root), retriever=cast(Any, Words(reader)), disk=Disk(), near=path, **more)
    got = await widened(look, task)
    reader.close()
    told = str(got.messages[0].content)
    assert all(f"`{one.path}`" in told for one in got.pieces)
    return [f"{one.path} {one.symbol}" for one in got.pieces]


class TestDefinitions:
    async def test_of_imported_names_are_those_of_the_file_they_come_from(self, root: Path) -> None:
        found = await seen(root, "shop/order.py", 7, 9)
        assert "shop/prices.py total" in found
        assert "shop/cache.py Cache" in found
        assert "other/prices.py total" not in found

    async def test_of_a_method_are_shown_where_only_one_thing_has_its_name(self, root: Path) -> None:
        assert "shop/cache.py Cache.evict" in await seen(root, "shop/order.py", 7, 9)

    async def test_a_name_that_is_not_taken_in_is_another_one(self, root: Path) -> None:
        found = await seen(root, "shop/order.py", 12, 13)
        assert found == ["shop/order.py unrelated"]  # what is selected, for nothing else belongs to it

    async def test_another_language_has_other_names(self, root: Path) -> None:
        assert await seen(root, "web/view.ts", 3, 5) == ["web/parts.ts part"]

    async def test_are_what_is_on_the_disk_now(self, root: Path) -> None:
        (root / "shop/prices.py").write_text(FILES["shop/prices.py"].replace("* RATE", "* RATE + 1"))
        subject = Subject("shop/order.py", FILES["shop/order.py"], str(root))
        task = make_task("explain", subject, Range(Position(6, 0), Position(9, 0)))
        look = Looking(
            root=str(root),
            retriever=cast(Any, Words(Reader(root.parent / "catalogue.db"))),
            disk=Disk(),
            near=subject.path,
        )
        assert "* RATE + 1" in str((await widened(look, task)).messages[0].content)


class TestCallersAndTests:
    async def test_are_shown_to_who_explains(self, root: Path) -> None:
        found = await seen(root, "shop/order.py", 7, 9)
        assert {"shop/desk.py serve", "tests/test_order.py test_checkout"} <= set(found)

    async def test_documenting_needs_no_tests(self, root: Path) -> None:
        assert "tests/test_order.py test_checkout" not in await seen(root, "shop/order.py", 7, 9, "docstring")


class TestBounds:
    async def test_a_small_budget_keeps_what_matters_most(self, root: Path) -> None:
        found = await seen(root, "shop/order.py", 7, 9, budget_tokens=40)
        assert 1 <= len(found) <= 2

    async def test_what_the_prompt_shows_anyway_is_not_said_twice(self, root: Path) -> None:
        assert "shop/order.py checkout" not in await seen(root, "shop/order.py", 12, 13, "ask")

    async def test_an_index_that_is_away_adds_nothing(self, root: Path) -> None:
        (root.parent / "catalogue.db").write_bytes(b"no database" * 100)
        assert await seen(root, "shop/desk.py", 4, 5) == ["shop/desk.py serve"]


@pytest.mark.parametrize(
    ("text", "names", "source"),
    [
        ("from a.b import cup, dish as tray\n", {"cup", "dish", "tray"}, "b"),
        ("from . import (\n    one,\n    two,\n)\n", {"one", "two"}, ""),
        ('import { part } from "../lib/parts.js";\n', {"part"}, "parts"),
        ('import view from "view";\n', {"view"}, "view"),
    ],
)
def test_what_a_file_takes_in(text: str, names: set[str], source: str) -> None:
    ((found, where),) = imports_in(text)
    assert names <= found
    assert where == source
