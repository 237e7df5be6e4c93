"""The user's own prices and the table in use: kept, checked, handed on at once; damage is moved aside and named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.deployments import Deployment, Price
from beastmode.core.errors import AccessError, BadInputError
from beastmode.core.types import Usage
from beastmode.costs.book import PriceBook
from beastmode.costs.prices import Prices
from beastmode.costs.table_check import checked
from beastmode.costs.tariffs import SHIPPED
from support.ledger import StillClock

GPT = Deployment(id="openai:gpt-4o", model="openai:gpt-4o", provider="openai")
MILLION = Usage(1_000_000, 1_000_000)


@pytest.fixture
def prices() -> Prices:
    return Prices(StillClock())


@pytest.fixture
async def book(tmp_path: Path, prices: Prices) -> PriceBook:
    return await opened(tmp_path, prices)


async def opened(folder: Path, prices: Prices | None = None) -> PriceBook:
    book = PriceBook(folder, prices or Prices(StillClock()), StillClock())
    await book.load()
    return book


def table(**fields: Any) -> dict[str, Any]:
    provider = {"exact": {"gpt-4o": 0}, "rules": [["^gpt-9", 0]], "tariffs": [[{"usd": [7, 8]}]]}
    usual = {"schema": 1, "source": "a test", "date": "2099-01-01", "urls": {}, "providers": {"openai": provider}}
    return usual | fields


def written(folder: Path, content: object) -> Path:
    file = folder / "table.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


class TestOwnPrices:
    async def test_one_counts_from_the_next_request_on(self, book: PriceBook, prices: Prices) -> None:
        assert prices.cost(GPT, MILLION) == 12.5
        await book.set(GPT.model, Price(prompt=1.0, completion=2.0))
        assert prices.cost(GPT, MILLION) == 3.0
        assert prices.source(GPT) == "user"
        await book.remove(GPT.model)
        assert prices.cost(GPT, MILLION) == 12.5

    async def test_it_is_there_after_a_restart_and_private(self, book: PriceBook, tmp_path: Path) -> None:
        own = await book.set("custom:q", Price(per_second=0.5, batch=0.25))
        assert (tmp_path / "prices.json").stat().st_mode & 0o777 == 0o600
        prices = Prices(StillClock())
        again = await opened(tmp_path, prices)
        assert again.own == {"custom:q": own}
        assert prices.user == {"custom:q": Price(per_second=0.5, batch=0.25)}
        assert again.problem is None

    async def test_taking_back_what_was_not_set_changes_nothing(self, book: PriceBook, tmp_path: Path) -> None:
        assert await book.remove("custom:q") is None
        assert not (tmp_path / "prices.json").exists()

    @pytest.mark.parametrize("content", ["{", "[]", '{"schema": 1, "prices": {"a:b": {"price": {"prompt": "x"}}}}'])
    async def test_a_damaged_file_is_moved_aside_and_named(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "prices.json").write_text(content)
        (tmp_path / "prices.json").chmod(0o600)
        book = await opened(tmp_path)
        assert book.own == {}
        assert book.problem is not None
        assert "prices.json.damaged-" in book.problem
        (aside,) = tmp_path.glob("prices.json.damaged-*")
        assert aside.read_text() == content

    async def test_a_newer_schema_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "prices.json").write_text('{"schema": 2, "prices": []}')
        (tmp_path / "prices.json").chmod(0o600)
        with pytest.raises(BadInputError, match="newer BEAST MODE"):
            await opened(tmp_path)

    async def test_a_file_that_others_can_write_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "prices.json").write_text("{}")
        (tmp_path / "prices.json").chmod(0o666)
        with pytest.raises(AccessError):
            await opened(tmp_path)


class TestTable:
    async def test_a_newer_one_is_in_force_at_once_and_after_a_restart(
        self, book: PriceBook, prices: Prices, tmp_path: Path
    ) -> None:
        await book.update(written(tmp_path, table()))
        assert prices.cost(GPT, MILLION) == 15.0
        assert prices.source(GPT) == "a test, 2099-01-01"
        later = Prices(StillClock())
        await opened(tmp_path, later)
        assert later.cost(GPT, MILLION) == 15.0

    async def test_own_prices_stay_over_it(self, book: PriceBook, prices: Prices, tmp_path: Path) -> None:
        await book.set(GPT.model, Price(prompt=1.0, completion=2.0))
        await book.update(written(tmp_path, table()))
        assert prices.cost(GPT, MILLION) == 3.0

    async def test_the_shipped_one_comes_back(self, book: PriceBook, prices: Prices, tmp_path: Path) -> None:
        await book.update(written(tmp_path, table()))
        await book.use_shipped()
        assert prices.tariffs.is_shipped
        assert prices.cost(GPT, MILLION) == 12.5
        later = Prices(StillClock())
        await opened(tmp_path, later)
        assert later.tariffs.is_shipped
        await book.use_shipped()

    async def test_an_older_one_is_refused_and_nothing_changes(
        self, book: PriceBook, prices: Prices, tmp_path: Path
    ) -> None:
        with pytest.raises(BadInputError, match="older than the table in use"):
            await book.update(written(tmp_path, table(date="2020-01-01")))
        assert prices.tariffs.is_shipped

    async def test_a_shipped_one_that_is_newer_wins_after_an_upgrade(self, tmp_path: Path) -> None:
        kept = tmp_path / "price_table.json"
        kept.write_text(json.dumps(table(date="2020-01-01")))
        kept.chmod(0o600)
        prices = Prices(StillClock())
        book = await opened(tmp_path, prices)
        assert prices.tariffs.is_shipped
        assert book.problem is None

    async def test_a_damaged_one_is_moved_aside_and_the_shipped_one_counts(self, tmp_path: Path) -> None:
        kept = tmp_path / "price_table.json"
        kept.write_text("{")
        kept.chmod(0o600)
        prices = Prices(StillClock())
        book = await opened(tmp_path, prices)
        assert prices.cost(GPT, MILLION) == 12.5
        assert book.problem is not None
        assert "price_table.json.damaged-" in book.problem

    async def test_a_file_that_is_none_says_so(self, book: PriceBook, tmp_path: Path) -> None:
        with pytest.raises(BadInputError, match="is no file"):
            await book.update(tmp_path / "none.json")
        with pytest.raises(BadInputError, match="is no file"):
            await book.update(tmp_path)


def test_the_shipped_table_passes_its_own_check() -> None:
    assert checked(SHIPPED.read_bytes(), "shipped").schema == 1


PROVIDER = table()["providers"]["openai"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{", "truncated"),
        ("no json", "malformed"),
        ("[]", "Expected `object`"),
        ({}, "missing required field `source`"),
        (table(source="a: b"), "`source`"),
        (table(date="soon"), "`date`"),
        (table(providers={}), "no provider"),
        (table(urls={"openai": "("}), "`urls.openai`"),
        (table(providers={"openai": []}), "`providers.openai`"),
        (table(providers={"openai": PROVIDER | {"exact": {"m": 1}}}), "m has no tariff of number 1"),
        (table(providers={"openai": PROVIDER | {"rules": [["?m", 0]]}}), "no pattern of names"),
        (table(providers={"openai": PROVIDER | {"rules": [["~(", 0]]}}), "no pattern of names"),
        (table(providers={"openai": PROVIDER | {"tariffs": [[{"usd": [-1, 2]}]]}}), "a price of -1"),
        (table(providers={"openai": PROVIDER | {"tariffs": [[{"usd": []}]]}}), "0 prices"),
        (table(providers={"openai": PROVIDER | {"tariffs": [[{"usd": ["1"]}]]}}), "Expected"),
        (table(providers={"openai": PROVIDER | {"tariffs": [[{"usd": [1], "since": "x"}]]}}), "`since` is no day"),
        (table(providers={"openai": PROVIDER | {"tariffs": [[{"usd": [1], "over": [[0, [1]]]}]]}}), "begins at 0"),
        (
            table(providers={"openai": PROVIDER | {"tariffs": [[{"usd": [1], "modes": {"batch": [{"usd": [-2]}]}}]]}}),
            "a price of -2",
        ),
    ],
)
async def test_a_damaged_table_is_refused_with_the_place_and_nothing_changes(
    book: PriceBook, prices: Prices, tmp_path: Path, content: object, fault: str
) -> None:
    with pytest.raises(BadInputError) as refused:
        await book.update(written(tmp_path, content))
    assert "table.json is no price table that can be used" in refused.value.message
    assert fault in refused.value.message
    assert refused.value.tips
    assert prices.tariffs.is_shipped
    assert not (tmp_path / "price_table.json").exists()


async def test_a_table_of_a_newer_schema_asks_for_an_upgrade(book: PriceBook, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="schema 2"):
        await book.update(written(tmp_path, table(schema=2)))
