"""What belongs to a question is found by words, names and meaning; source comes before tests and documentation."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from beastmode.core.plugins import Embedding
from beastmode.workspace.chunks import Chunk, cut, digest
from beastmode.workspace.index.catalogue import Catalogue, FileRow
from beastmode.workspace.index.ranking import kind_of_path
from beastmode.workspace.index.reading import Reader
from beastmode.workspace.index.retrieval import Hit, Retriever
from beastmode.workspace.index.uses import says_nothing
from beastmode.workspace.index.vectors import Meanings, Vectors
from support.embedders import HashEmbedder

FILES = {
    "shop/cart.py": "class Cart:\n    def add_item(self, item):\n        self.items.append(item)\n\n"
    "    def total(self):\n        return sum(item.price for item in self.items)\n",
    "shop/mail.py": 'def send_receipt(order):\n    """Sends the customer a letter about it."""\n    post(order)\n',
    "shop/_inner.py": "def _send_receipt_now(order):\n    post(order)\n",
    "tests/test_mail.py": "def test_send_receipt():\n    send_receipt(order)\n    send_receipt(receipt)\n",
    "docs/mail.md": "# Send a receipt\n\nHow to send a receipt with send_receipt: receipt, receipt.\n",
    "web/app.js": "export function renderCart(cart) {\n  return cart.items.map(show);\n}\n",
}


@pytest.fixture
def retriever(tmp_path: Path) -> Retriever:
    catalogue = Catalogue.open(tmp_path / "w.db")
    catalogue.put([FileRow(path, 1, 1, 1, 1, digest(text), cut(path, text)) for path, text in FILES.items()])
    return Retriever(Reader(tmp_path / "w.db"))


def paths(found: list[Hit]) -> list[str]:
    return list(dict.fromkeys(one.path for one in found))


async def test_a_question_finds_its_piece(retriever: Retriever) -> None:
    found = (await retriever.search("how is the total price of all items computed?"))[0]
    assert (found.path, found.symbol, found.kind) == ("shop/cart.py", "Cart.total", "method")
    assert found.text.strip().startswith("def total") and found.sha256 == digest(found.text)
    assert (found.first_line, found.last_line) == (5, 6) and "words" in found.why


async def test_source_comes_before_tests_and_documentation(retriever: Retriever) -> None:
    assert paths(await retriever.search("send a receipt"))[0] == "shop/mail.py"


async def test_what_is_public_comes_before_what_is_private(retriever: Retriever) -> None:
    order = paths(await retriever.search("send receipt"))
    assert order.index("shop/mail.py") < order.index("shop/_inner.py")


async def test_tests_come_first_where_they_are_asked_for(retriever: Retriever) -> None:
    plain = paths(await retriever.search("send receipt")).index("tests/test_mail.py")
    asked = paths(await retriever.search("which tests are there of send receipt")).index("tests/test_mail.py")
    assert asked == 0 < plain


async def test_documentation_counts_where_it_is_asked_for(retriever: Retriever) -> None:
    plain = paths(await retriever.search("send receipt")).index("docs/mail.md")
    asked = paths(await retriever.search("documentation: send receipt")).index("docs/mail.md")
    assert asked < plain


@pytest.mark.parametrize(
    "question", ["What does `total` do?", "Cart.total", "why does total() fail", "what is renderCart"]
)
async def test_a_name_finds_its_definition(retriever: Retriever, question: str) -> None:
    found = (await retriever.search(question))[0]
    assert found.symbol in ("Cart.total", "renderCart") and "name" in found.why


async def test_the_file_that_a_question_is_about_comes_up(retriever: Retriever) -> None:
    assert paths(await retriever.search("order", near="shop/_inner.py"))[0] == "shop/_inner.py"
    assert paths(await retriever.search("order", near="shop/mail.py"))[0] == "shop/mail.py"


async def test_open_files_come_up(retriever: Retriever) -> None:
    plain = {one.sha256: one.score for one in await retriever.search("items")}
    opened = {one.sha256: one.score for one in await retriever.search("items", open_paths=["web/app.js"])}
    raised = [sha256 for sha256 in plain if opened[sha256] > plain[sha256]]
    assert len(raised) == 1
    hit = next(one for one in await retriever.search("items", open_paths=["web/app.js"]) if one.path == "web/app.js")
    assert "open" in hit.why


async def test_what_is_shown_anyway_is_left_out_and_the_limit_holds(retriever: Retriever) -> None:
    assert "shop/mail.py" not in paths(await retriever.search("send receipt", exclude={"shop/mail.py"}))
    assert len(await retriever.search("send receipt order items", limit=2)) == 2


@pytest.mark.parametrize(
    "question", ["", " ", "?!", "\ud800", "zzz qqq", '"', "a" * 100_000, "NEAR(a b) OR * ^ : -", "\0"]
)
async def test_any_question_has_an_answer(retriever: Retriever, question: str) -> None:
    assert isinstance(await retriever.search(question), list)


async def test_no_catalogue_finds_nothing(tmp_path: Path) -> None:
    assert await Retriever(Reader(tmp_path / "none.db")).search("anything") == []


async def test_an_embedder_that_fails_or_is_slow_leaves_words(tmp_path: Path, retriever: Retriever) -> None:
    async def fails(text: str) -> Embedding | str:
        raise RuntimeError

    async def hangs(text: str) -> Embedding | str:
        await asyncio.sleep(60)
        return ""

    async def unready(text: str) -> Embedding | str:
        return "The weights are not there."

    meanings = Meanings(retriever.reader, Vectors(tmp_path / "v", "e", 4))
    for embed in (fails, hangs, unready):
        found = await Retriever(retriever.reader, meanings, embed).search("total price of items")
        assert found[0].symbol == "Cart.total"


async def test_meaning_finds_what_no_word_says(tmp_path: Path, retriever: Retriever) -> None:
    embedder = HashEmbedder()
    vectors = Vectors(tmp_path / "v", embedder.id, embedder.dim)
    vectors.open()
    wanted = retriever.reader.pieces_of("web/app.js")[0]
    made = embedder.embed("how are goods put on the screen")
    assert made is not None
    vectors.put({bytes.fromhex(wanted.sha256): made.vector.astype("<f2").tobytes()})

    async def embed(text: str) -> Embedding | str:
        return embedder.embed(text) or "it has over 256 word pieces"

    meanings = Meanings(retriever.reader, vectors)
    found = await Retriever(retriever.reader, meanings, embed).search("how are goods put on the screen")
    assert found[0].path == "web/app.js" and found[0].why[0] == "meaning"
    vectors.close()


async def test_what_the_best_pieces_use_is_found_where_it_is_defined(tmp_path: Path) -> None:
    files = {
        "shop/checkout.py": "def charge_customer(card):\n    return Teller(card).settle()\n",
        "shop/bank.py": "class Teller:\n    def settle(self):\n        return True\n",
        "shop/other.py": "class Elsewhere:\n    def nothing(self):\n        return None\n",
        "tests/test_bank.py": "def test_it():\n    assert Elsewhere().nothing() is None\n",
    }
    catalogue = Catalogue.open(tmp_path / "uses.db")
    catalogue.put([FileRow(path, 1, 1, 1, 1, digest(text), cut(path, text)) for path, text in files.items()])
    found = paths(await Retriever(Reader(tmp_path / "uses.db")).search("charge the customer"))
    assert found == ["shop/checkout.py", "shop/bank.py"]


async def test_a_name_that_many_files_define_says_nothing(tmp_path: Path) -> None:
    files = {f"shop/part{number}.py": "def settle():\n    return True\n# so\n" * 2 for number in range(5)}
    files["shop/checkout.py"] = "def charge_customer(card):\n    return settle(card)\n"
    catalogue = Catalogue.open(tmp_path / "uses.db")
    catalogue.put([FileRow(path, 1, 1, 1, 1, digest(text), cut(path, text)) for path, text in files.items()])
    found = paths(await Retriever(Reader(tmp_path / "uses.db")).search("charge the customer"))
    assert found == ["shop/checkout.py"]


@pytest.mark.parametrize(
    ("text", "nothing"),
    [
        ("# -- how many --------", True),
        ("// receipts of the customer", True),
        ("-----\n=====\n", True),
        ("\n\n", True),
        ("}\n", True),
        ("return x\n", True),
        ("# receipts go\n# to the customer\n", False),
        ("def send_receipt(order):\n    post(order)\n", False),
    ],
)
def test_a_line_between_parts_says_nothing(text: str, nothing: bool) -> None:
    assert says_nothing(text) is nothing


async def test_what_says_nothing_is_not_shown_unless_it_is_named(tmp_path: Path) -> None:
    rows = [Chunk("# -- refunds ------", digest("a"), "", "text", 1, 1, [])]
    rows.append(Chunk("REFUNDS = 3", digest("b"), "REFUNDS", "text", 2, 2, ["REFUNDS"]))
    catalogue = Catalogue.open(tmp_path / "lines.db")
    catalogue.put([FileRow("shop/refunds.py", 1, 1, 1, 1, digest("ab"), rows)])
    retriever = Retriever(Reader(tmp_path / "lines.db"))
    assert await retriever.search("how do refunds work") == []
    assert [one.symbol for one in await retriever.search("what is `REFUNDS`")] == ["REFUNDS"]


async def test_the_loop_goes_on_while_it_is_searched(retriever: Retriever) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    await retriever.search("send receipt")
    counting.cancel()
    assert turns > 1


async def test_an_edit_is_found_by_the_next_question(tmp_path: Path, retriever: Retriever) -> None:
    text = "def refund_customer(order):\n    return order.paid\n"
    Catalogue.open(tmp_path / "w.db").put([FileRow("shop/refund.py", 1, 1, 1, 1, digest(text), cut("a.py", text))])
    assert (await retriever.search("refund a customer"))[0].path == "shop/refund.py"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("src/app.py", ""),
        ("src/latest.py", ""),
        ("src/contest/view.py", ""),
        ("tests/test_a.py", "test"),
        ("src/a_test.go", "test"),
        ("src/a.spec.ts", "test"),
        ("conftest.py", "test"),
        ("docs/a.py", "doc"),
        ("README.md", "doc"),
        ("examples/a.py", "sample"),
        ("lib/vendor/a.py", "vendor"),
        ("static/jquery.min.js", "vendor"),
        ("package.json", "config"),
    ],
)
def test_a_path_says_what_a_file_is_for(path: str, kind: str) -> None:
    assert kind_of_path(path) == kind
