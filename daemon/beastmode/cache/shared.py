"""L3: answers in a tier that several daemons share. Whatever is wrong with it is a miss that costs 20 ms at most."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from functools import partial
from math import isinf

import msgspec

from beastmode.cache.key import FORMAT
from beastmode.cache.record import VERSION, DamagedRecordError, expires_s, pack, unpack
from beastmode.cache.shared_link import Link, Pace
from beastmode.cache.shared_writes import Writes
from beastmode.core.clock import Clock
from beastmode.core.errors import MalformedReplyError
from beastmode.core.plugins import Tier
from beastmode.core.types import Entry

log = logging.getLogger(__name__)

VALUE_MAX_BYTES = 1 << 20
ASKING_MAX = 64
PINNED_TTL_S = 30 * 86400.0
WRITE_LIMIT_S = 2.0
CLEAR_LIMIT_S = 120.0
START_S = 0.5
END_S = 1.0
AGAIN_S = 1.0
KEYS_A_REMOVAL = 1000


class SharedStats(msgspec.Struct, frozen=True):
    """What L3 did since the start; what it holds, only its server knows.

    Attributes:
        name: Which tier it is.
        ready: It is asked; False while it is left alone.
        hits: Lookups it answered.
        misses: Lookups it did not answer, for whatever reason.
        skipped: Misses for which it was not asked: it was off, or asked too much at once.
        timeouts: Misses because it took longer than it may.
        errors: Lookups and writes that failed.
        rubbish: Misses because what it gave is no stored answer.
        expired: Misses because what it had is too old.
        stored: Answers written to it.
        unstorable: Answers that were too large, or hold a text that no encoding has.
        waiting: Writes that are still to be done.
        dropped: Answers that were given up, because too many were waiting or the write failed.
        switched_off: How often it was switched off.
    """

    name: str
    ready: bool
    hits: int
    misses: int
    skipped: int
    timeouts: int
    errors: int
    rubbish: int
    expired: int
    stored: int
    unstorable: int
    waiting: int
    dropped: int
    switched_off: int


class _Counts:
    """What a tier did since the start."""

    __slots__ = ("dropped", "expired", "hits", "misses", "rubbish", "skipped", "stored", "unstorable")

    def __init__(self) -> None:
        self.hits = self.misses = self.skipped = self.rubbish = self.expired = 0
        self.stored = self.unstorable = self.dropped = 0


class SharedTier:
    """A plugin's tier as the daemon uses it. Its methods are called on the event loop.

    Args:
        tier: The tier, started; its owner closes it.
        clock: Time.
        pace: How patient to be with it; None: 20 ms, off after three failures.
    """

    def __init__(self, tier: Tier, clock: Clock, pace: Pace | None = None) -> None:
        self._tier = tier
        self._clock = clock
        self._link = Link(tier, clock, pace or Pace())
        self._writes = Writes()
        self._some = asyncio.Event()
        self._none = asyncio.Event()
        self._none.set()
        self._writer: asyncio.Task[None] | None = None
        self._asking = 0
        self._counts = _Counts()

    async def start(self, wait_s: float = START_S) -> None:
        """Connects, in the background where that takes long.

        Args:
            wait_s: How long to wait for it.
        """
        self._writer = asyncio.create_task(self._keep_writing())
        await self._link.start(wait_s)

    async def close(self) -> None:
        """Writes what waits, where the tier is there, and stops; the tier itself stays open."""
        if self._link.up.is_set():
            await self.settle(END_S)
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.cancel()
            await asyncio.wait([writer])
        await self._link.close()

    @property
    def name(self) -> str:
        """Which tier it is."""
        return self._tier.name

    @property
    def problem(self) -> str | None:
        """What is wrong, in a sentence, or None; heals by itself where the tier does."""
        return self._link.problem

    @property
    def tip(self) -> str:
        """What to do about the problem."""
        return self._link.tip

    def stats(self) -> SharedStats:
        """What it did."""
        return SharedStats(
            name=self._tier.name,
            ready=self._link.up.is_set(),
            hits=self._counts.hits,
            misses=self._counts.misses,
            skipped=self._counts.skipped,
            timeouts=self._link.timeouts,
            errors=self._link.errors,
            rubbish=self._counts.rubbish,
            expired=self._counts.expired,
            stored=self._counts.stored,
            unstorable=self._counts.unstorable,
            waiting=len(self._writes),
            dropped=self._counts.dropped + self._writes.dropped,
            switched_off=self._link.switched_off,
        )

    async def get(self, key: bytes, now_s: float) -> Entry | None:
        """Looks an answer up; whatever is wrong with the tier is a miss.

        Args:
            key: The exact key, 16 bytes.
            now_s: Wall clock.
        """
        entry = await self._find(key)
        if entry is not None and not entry.pinned and now_s >= entry.stored_at_s + self._tier.ttl_s:
            self._counts.expired += 1
            entry = None
        if entry is None:
            self._counts.misses += 1
            return None
        self._counts.hits += 1
        # Another machine's clock may be ahead of ours: that makes no answer live longer here.
        entry.stored_at_s = min(entry.stored_at_s, now_s)
        return entry

    def put(self, entry: Entry) -> None:
        """Keeps an answer, in place of an older one of the same key, soon and off the path.

        Args:
            entry: The answer; one of more than 1 MiB is not kept.
        """
        try:
            record = pack(entry)
        except (ValueError, RecursionError):
            record = b""
        if not record or len(record) > VALUE_MAX_BYTES:
            self._counts.unstorable += 1
            self.remove([entry.key])
            return
        self._writes.put(entry.key, record)
        self._wake()

    def remove(self, keys: Iterable[bytes]) -> None:
        """Forgets answers, at once for every lookup of this daemon; keys that are not there do not matter."""
        self._writes.remove(keys)
        self._wake()

    def clear(self) -> None:
        """Forgets every answer of every daemon that shares the tier, at once for every lookup of this one."""
        self._writes.clear()
        self._wake()

    async def settle(self, timeout_s: float = 5.0) -> bool:
        """Waits until everything put, removed and cleared so far is done.

        Args:
            timeout_s: Longest wait.

        Returns:
            False where the time was up: the tier is away, or refuses.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._none.wait()
        return self._none.is_set()

    async def _find(self, key: bytes) -> Entry | None:
        decided, record = self._writes.find(key)
        if not decided:
            forgotten = self._writes.forgotten
            record = await self._ask(key)
            if self._writes.forgotten != forgotten:  # it may have been among that
                return None
        if record is None:
            return None
        entry = _unpacked(key, record)
        if entry is None:
            self._counts.rubbish += 1
            self._link.fail(MalformedReplyError("What it gives is no stored answer."))
            self.remove([key])
            return None
        self._link.succeed()
        return entry

    async def _ask(self, key: bytes) -> bytes | None:
        if not self._link.up.is_set() or self._asking >= ASKING_MAX:
            self._counts.skipped += 1
            return None
        self._asking += 1
        try:
            return await self._link.get(_name(key))
        finally:
            self._asking -= 1

    def _wake(self) -> None:
        if self._writes:
            self._none.clear()
            self._some.set()

    async def _keep_writing(self) -> None:
        while True:
            await self._some.wait()
            await self._link.up.wait()
            done = await self._write()
            if not self._writes:
                self._some.clear()
                self._none.set()
            elif not done:
                await self._clock.sleep(AGAIN_S)

    async def _write(self) -> bool:
        """Does what waits first: what is to be forgotten goes before what is to be kept.

        Returns:
            False where it waits on, because the tier failed.
        """
        if clears := self._writes.clears:
            done = await self._link.do(self._tier.clear, CLEAR_LIMIT_S)
            if done:
                self._writes.cleared(clears)
            return done
        if keys := self._writes.removals(KEYS_A_REMOVAL):
            done = await self._link.do(partial(self._tier.remove, [_name(key) for key in keys]), WRITE_LIMIT_S)
            if done:
                self._writes.removed(keys)
            return done
        if taken := self._writes.take():
            await self._store(*taken)
        return True

    async def _store(self, key: bytes, record: bytes) -> None:
        left_s = expires_s(record, self._tier.ttl_s) - self._clock.wall_s()
        ttl_s = PINNED_TTL_S if isinf(left_s) else left_s
        if ttl_s <= 0:
            return
        if await self._link.do(partial(self._tier.put, _name(key), record, ttl_s), WRITE_LIMIT_S):
            self._counts.stored += 1
        else:
            self._counts.dropped += 1


def chosen(tiers: Iterable[Tier]) -> Tier | None:
    """Picks the tier that the user has set up, the first where there are several.

    Args:
        tiers: Started tiers of plugins.
    """
    ready = [tier for tier in tiers if _configured(tier)]
    if ready[1:]:
        names = ", ".join(tier.name for tier in ready)
        log.warning("several shared caches are set up, the first is used", extra={"fields": {"tiers": names}})
    return ready[0] if ready else None


def _configured(tier: Tier) -> bool:
    try:
        return tier.configured()
    except Exception:
        log.exception("a shared cache can not say whether it is set up", extra={"fields": {"tier": tier.name}})
        return False


def _unpacked(key: bytes, record: bytes) -> Entry | None:
    """Reads what a tier gave, which may be anything; None where it is no answer to this key."""
    try:
        entry = unpack(key, record)
    except (DamagedRecordError, TypeError, AttributeError):
        return None
    return entry if entry.key == key else None


def _name(key: bytes) -> bytes:
    """A key as the tier has it: daemons whose keys or records are made otherwise do not see it."""
    return f"{FORMAT}.{VERSION}:{key.hex()}".encode()
