"""Pieces get their vectors in idle time, once for each text, and are found by what they mean."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from beastmode.core.clock import Clock
from beastmode.core.plugins import Embedding
from beastmode.workspace.chunks import cut, digest
from beastmode.workspace.index.catalogue import Catalogue, FileRow
from beastmode.workspace.index.embedding import IdleEmbedding, text_of
from beastmode.workspace.index.reading import Reader
from beastmode.workspace.index.retrieval import Retriever
from beastmode.workspace.index.vectors import Meanings, Vectors
from support.embedders import HashEmbedder
from support.waiting import until_async

CODE = {
    "shop/basket.py": 'def total(basket):\n    """What all goods in it cost together."""\n    return sum(basket)\n',
    "shop/post.py": 'def parcel(order):\n    """Wraps what was ordered for the post."""\n    return [order, "paper"]\n',
    "tests/test_basket.py": "def test_total_of_nothing_is_nothing():\n    assert total([]) == 0\n",
}


class House:
    """A workspace with an embedder that counts."""

    def __init__(self, folder: Path, embedder: HashEmbedder | None = None) -> None:
        self.folder = folder
        self.embedder = embedder or HashEmbedder()
        self.catalogue = Catalogue.open(folder / "w.db")
        self.reader = Reader(folder / "w.db")
        self.busy = False
        self.open()

    def open(self) -> None:
        self.vectors = Vectors(self.folder / "pieces", self.embedder.id, self.embedder.dim)
        self.meanings = Meanings(self.reader, self.vectors)
        self.idle = IdleEmbedding(self.embed, self.vectors, lambda: not self.busy, lambda: 5000.0, Clock())
        self.idle.add("/w", self.meanings)
        self.retriever = Retriever(self.reader, self.meanings, self.embed)

    async def embed(self, text: str) -> Embedding | str:
        if (why_not := self.embedder.ready()) is not None:
            return why_not
        made = self.embedder.embed(text)
        return "it has over 256 word pieces" if made is None else made

    def write(self, files: dict[str, str]) -> None:
        self.catalogue.put(
            [FileRow(path, len(text), 1, 1, 1, digest(text), cut(path, text)) for path, text in files.items()]
        )

    async def close(self) -> None:
        await self.idle.close()


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.write(CODE)
    made.vectors.open()
    return made


async def test_every_piece_is_embedded_once(house: House) -> None:
    assert await house.idle.turn() == 3
    assert await house.idle.turn() == 0
    assert len(house.embedder.embedded) == 3
    await house.close()


async def test_source_comes_before_tests(house: House) -> None:
    await house.idle.turn()
    assert "nothing" in house.embedder.embedded[-1]
    await house.close()


async def test_a_rename_embeds_nothing_anew(house: House) -> None:
    await house.idle.turn()
    before = len(house.embedder.embedded)
    house.catalogue.remove(["shop/basket.py"])
    house.write({"store/cart.py": CODE["shop/basket.py"]})
    assert await house.idle.turn() == 0
    assert len(house.embedder.embedded) == before
    found = await house.retriever.search("what do all goods cost together")
    assert found[0].path == "store/cart.py" and "meaning" in found[0].why
    await house.close()


async def test_an_edit_embeds_the_piece_that_was_edited(house: House) -> None:
    await house.idle.turn()
    house.write(
        {"shop/post.py": CODE["shop/post.py"] + "\n\ndef stamp(letter):\n    return letter + 'a stamp for it'\n"}
    )
    assert await house.idle.turn() == 1
    await house.close()


async def test_a_restart_embeds_nothing_anew(house: House) -> None:
    await house.idle.turn()
    await house.close()
    house.embedder.embedded.clear()
    house.open()
    house.vectors.open()
    assert await house.idle.turn() == 0
    assert house.embedder.embedded == []
    assert len(house.meanings) == 3
    await house.close()


async def test_a_branch_switch_back_embeds_nothing(house: House) -> None:
    await house.idle.turn()
    house.write({"shop/post.py": "def parcel(order):\n    return 'another branch does it so'\n"})
    await house.idle.turn()
    before = len(house.embedder.embedded)
    house.write({"shop/post.py": CODE["shop/post.py"]})
    assert await house.idle.turn() == 0
    assert len(house.embedder.embedded) == before
    await house.close()


async def test_the_same_piece_in_two_workspaces_is_embedded_once(house: House, tmp_path: Path) -> None:
    await house.idle.turn()
    other = Catalogue.open(tmp_path / "other.db")
    text = CODE["shop/post.py"]
    other.put([FileRow("a.py", 1, 1, 1, 1, digest(text), cut("a.py", text))])
    meanings = Meanings(Reader(tmp_path / "other.db"), house.vectors)
    house.idle.add("/other", meanings)
    assert await house.idle.turn() == 0
    assert len(meanings) == 1
    await house.close()


async def test_nothing_is_embedded_while_somebody_asks(house: House) -> None:
    house.busy = True
    task = asyncio.ensure_future(house.idle.turn())
    await asyncio.sleep(0.15)
    assert house.embedder.embedded == []
    house.busy = False
    assert await task == 3
    await house.close()


async def test_it_goes_on_by_itself_and_ends_in_the_middle(house: House) -> None:
    house.vectors.close()
    house.idle.start()
    await until_async(lambda: house.idle.made == 3)
    house.busy = True
    house.write(
        {f"more/{number}.py": f"def more_{number}():\n    return 'words and words {number}'\n" for number in range(9)}
    )
    await house.close()
    assert house.idle.made == 3


async def test_an_embedder_that_is_not_ready_is_asked_again_later(house: House) -> None:
    house.embedder.away = "The weights are not there."
    assert await house.idle.turn() == 0
    assert house.idle.problem == "The weights are not there."
    found = await house.retriever.search("basket total")
    assert found[0].path == "shop/basket.py"
    house.embedder.away = None
    assert await house.idle.turn() == 3
    assert house.idle.problem is None
    await house.close()


async def test_a_piece_that_is_too_long_is_cut_to_what_the_embedder_takes(house: House) -> None:
    house.embedder.max_pieces = 90
    signs = "word " * 300
    house.write({"long.py": f"def long_one():\n    return '''many words at first\n{signs}'''\n"})
    made = await house.idle.turn()
    assert made == 4
    assert await house.idle.turn() == 0
    await house.close()


async def test_what_no_length_fits_is_left_out_and_not_tried_again(house: House) -> None:
    house.embedder.max_pieces = 1
    assert await house.idle.turn() == 0
    tried = len(house.embedder.embedded)
    house.write({})
    await house.idle.turn()
    assert len(house.embedder.embedded) == tried
    await house.close()


async def test_braces_and_the_code_of_others_are_not_embedded(house: House) -> None:
    house.write({"node_modules/a.js": "function everything_of_others() {\n  return 'of others';\n}\n", "b.js": "}\n"})
    assert await house.idle.turn() == 3
    await house.close()


async def test_no_more_vectors_are_held_than_may_be(house: House) -> None:
    house.idle.remove("/w")
    few = Meanings(house.reader, house.vectors, most=2)
    house.idle.add("/w", few)
    await house.idle.turn()
    assert len(few) == 2
    await house.close()


async def test_a_damaged_file_is_made_again(house: House) -> None:
    await house.idle.turn()
    await house.close()
    data = house.folder / "pieces" / "data.mdb"
    raw = bytearray(data.read_bytes())
    raw[:8192] = b"\xff" * 8192
    data.write_bytes(raw)
    house.open()
    house.vectors.open()
    assert house.vectors.problem is None
    assert await house.idle.turn() == 3
    await house.close()


async def test_a_file_that_was_cut_short_is_made_again(house: House) -> None:
    await house.idle.turn()
    await house.close()
    data = house.folder / "pieces" / "data.mdb"
    data.write_bytes(data.read_bytes()[:5000])
    house.open()
    house.vectors.open()
    assert await house.idle.turn() == 3
    await house.close()


def test_a_full_map_grows_and_then_says_so(tmp_path: Path) -> None:
    vectors = Vectors(tmp_path / "v", "e", 4, max_bytes=17 << 20)
    vectors.open()
    large = {bytes([number, place, *[7] * 30]): b"x" * 2000 for number in range(100) for place in range(200)}
    assert not vectors.put(large)
    assert vectors.problem is not None and "fill" in vectors.problem
    assert vectors.put({b"k" * 32: np.ones(4, "<f2").tobytes()})
    assert vectors.has(b"k" * 32)
    vectors.close()


def test_vectors_of_another_embedder_are_not_found(tmp_path: Path) -> None:
    first = Vectors(tmp_path / "v", "one", 4)
    first.open()
    first.put({b"k" * 32: b"12345678"})
    first.close()
    second = Vectors(tmp_path / "v", "two", 4)
    second.open()
    assert not second.has(b"k" * 32)
    second.close()


def test_what_is_embedded_says_what_a_piece_is_called_and_what_for(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.write(
        {"shop/basket.py": 'class Basket:\n    def take_out(self, good):\n        """Puts it back."""\n        pass\n'}
    )
    piece = house.reader.pieces_of("shop/basket.py")[1]
    text = text_of(piece, 700)
    assert text.startswith("basket take out") and "Puts it back." in text and "shop basket" in text
