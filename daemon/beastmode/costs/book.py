"""The user's own prices and the price table in use, as they are kept on disk; a change counts for the next request."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from beastmode.core.clock import Clock, rfc3339
from beastmode.core.deployments import Price
from beastmode.core.errors import BadInputError
from beastmode.core.statefile import MAX_FILE_BYTES, move_aside, read_private, write_private
from beastmode.costs.prices import Prices
from beastmode.costs.table_check import checked
from beastmode.costs.tariffs import Table, Tariffs

SCHEMA = 1
T = TypeVar("T")


class OwnPrice(msgspec.Struct, frozen=True):
    """A price of the user's own.

    Attributes:
        price: USD per million tokens.
        set_at: RFC 3339, UTC.
    """

    price: Price
    set_at: str


class _Head(msgspec.Struct):
    schema: int


class _File(msgspec.Struct):
    schema: int
    prices: dict[str, OwnPrice]


class PriceBook:
    """Keeps prices in two files of the state folder, and hands them to those who price requests.

    Args:
        folder: The state folder.
        prices: Gets every change.
        clock: For the time of a change.
    """

    def __init__(self, folder: Path, prices: Prices, clock: Clock) -> None:
        self._file = folder / "prices.json"
        self._table_file = folder / "price_table.json"
        self._prices = prices
        self._clock = clock
        self._lock = asyncio.Lock()
        self._problems: dict[Path, str] = {}
        self.own: dict[str, OwnPrice] = {}

    @property
    def problem(self) -> str | None:
        """What was damaged, in sentences, or None."""
        return " ".join(self._problems.values()) or None

    async def load(self) -> None:
        """Reads both files. A damaged one is moved aside and named in `problem`.

        Raises:
            BadInputError: A newer BEAST MODE wrote them.
            AccessError: Others can write them.
        """
        self.own = await asyncio.to_thread(self._read_own)
        self._show(await asyncio.to_thread(self._read_table))

    def _read_own(self) -> dict[str, OwnPrice]:
        content = read_private(self._file)
        if content is None:
            return {}
        try:
            schema = msgspec.json.decode(content, type=_Head).schema
            if schema > SCHEMA:
                raise BadInputError(
                    f"{self._file} was written by a newer BEAST MODE (schema {schema}; this one reads up to {SCHEMA}).",
                    tips=[
                        "install the newer version again: pip install --upgrade beastmode",
                        "or set BEAST_HOME to another folder",
                    ],
                )
            return msgspec.json.decode(content, type=_File).prices
        except (ValueError, RecursionError):
            self._set_aside(self._file, "no price of your own is in force: beast prices set")
            return {}

    def _read_table(self) -> Tariffs:
        """The table that was handed in, where it is newer than the shipped one."""
        shipped = Tariffs()
        content = read_private(self._table_file)
        if content is None:
            return shipped
        try:
            table = checked(content, str(self._table_file))
        except BadInputError:
            self._set_aside(self._table_file, f"the shipped price table of {shipped.date} is in force")
            return shipped
        return Tariffs(table=table) if table.date >= shipped.date else shipped

    def _set_aside(self, file: Path, then: str) -> None:
        place = move_aside(file, self._clock.wall_s())
        self._problems[file] = f"{file} was damaged and is now {place}; {then}."

    async def set(self, model: str, price: Price) -> OwnPrice:
        """Sets the price of a model, in place of the one that it had.

        Args:
            model: A model's id, registered or not.
            price: USD per million tokens.

        Raises:
            AccessError: It can not be written; nothing has changed.
        """
        async with self._lock:
            own = OwnPrice(price, rfc3339(self._clock.wall_s()))
            await self._commit({**self.own, model: own})
        return own

    async def remove(self, model: str) -> OwnPrice | None:
        """Takes the price of a model back.

        Args:
            model: A model's id.

        Returns:
            What it was; None where there was none.

        Raises:
            AccessError: It can not be written; nothing has changed.
        """
        async with self._lock:
            gone = self.own.get(model)
            if gone is not None:
                await self._commit({name: own for name, own in self.own.items() if name != model})
        return gone

    async def update(self, file: Path) -> Tariffs:
        """Takes a newer table.

        Args:
            file: Made by `build_prices`.

        Returns:
            The table, which is in force now.

        Raises:
            BadInputError: There is no such file, it is damaged, or older than the table in use.
            AccessError: It can not be kept; nothing has changed.
        """
        content = await asyncio.to_thread(_read, file)
        table = await asyncio.to_thread(checked, content, str(file))
        async with self._lock:
            used = self._prices.tariffs
            if table.date < used.date:
                raise BadInputError(
                    f"{file} is of {table.date}, older than the table in use ({used.date}).",
                    tips=[
                        "make a newer one: python -m beastmode.costs.build_prices --out FILE",
                        "or go back to the shipped table first: beast prices update --shipped",
                    ],
                )
            await self._finish(self._keep_table(content, table))
        return self._prices.tariffs

    async def use_shipped(self) -> Tariffs:
        """Goes back to the shipped table; the one that was handed in is moved aside.

        Returns:
            The table, which is in force now.
        """
        async with self._lock:
            with contextlib.suppress(FileNotFoundError):
                await asyncio.to_thread(self._table_file.replace, self._table_file.with_suffix(".json.before"))
            self._show(Tariffs())
        return self._prices.tariffs

    async def _keep_table(self, content: bytes, table: Table) -> None:
        await asyncio.to_thread(write_private, self._table_file, content)
        self._show(Tariffs(table=table))

    async def _commit(self, own: dict[str, OwnPrice]) -> None:
        content = msgspec.json.format(msgspec.json.encode(_File(SCHEMA, own)), indent=1)

        async def write() -> None:
            await asyncio.to_thread(write_private, self._file, content)
            self.own = own
            self._show(self._prices.tariffs)

        await self._finish(write())

    async def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Ends what was begun, under the lock, even where the caller is cancelled: disk and memory stay the same."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            raise

    def _show(self, tariffs: Tariffs) -> None:
        self._prices.configure({model: own.price for model, own in self.own.items()}, tariffs)


def _read(file: Path) -> bytes:
    """Reads a file that the user named."""
    try:
        if not file.is_file():
            raise BadInputError(f"{file} is no file.", tips=["name a file made by build_prices"])
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadInputError(f"{file} can not be read: {error.strerror}.", tips=[f"ls -l {file}"]) from None
    if len(content) > MAX_FILE_BYTES:
        raise BadInputError(f"{file} is over {MAX_FILE_BYTES >> 20} MiB, far too large for a price table.")
    return content
