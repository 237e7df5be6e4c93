"""What people ask and work on, in an append-only journal: for the predictor, and for asking the same again."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from beastmode.background.activity_files import ActivityFiles
from beastmode.core.clock import Clock

RequestKind = Literal["chat", "action", "complete", "generate"]
SignalKind = Literal["opened", "edited", "saved", "closed", "switched"]
REQUESTS: frozenset[str] = frozenset({"chat", "action", "complete", "generate"})

REMEMBERED_MAX = 5_000
ASKED_MAX = 1_000
WRITE_PAUSE_S = 0.2
RETRY_MAX_S = 30.0
UNWRITTEN_MAX = 2_000


class Identity(NamedTuple):
    """What makes two requests the same thing, whenever they are asked and however the text has moved on.

    Attributes:
        action: `explain`, `tests`, ...; `chat`, `complete` or `generate` where it was no action.
        workspace: Absolute path; empty: none.
        path: Inside it.
        symbol: The function or class that is meant.
        question: Digest of the person's own words.
        user: Who asked.
    """

    action: str
    workspace: str = ""
    path: str = ""
    symbol: str = ""
    question: str = ""
    user: str = ""


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What it takes to ask the very same request again; user, workspace and client are those of its activity.

    Attributes:
        method: How it was asked.
        params: Of `action`: its parameters but the texts that the editor held. Of `chat`: `model`, `messages`,
            `params` (everything else that shapes the answer) and `gather` (an open workspace was looked through).
    """

    method: Literal["chat", "action"]
    params: dict[str, Any]


class Activity(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing that a person did: a request, or a sign from an editor of what is worked on.

    Attributes:
        at_s: Wall clock, seconds since the epoch.
        kind: A request by its method; opened, edited, saved and closed tell of a file, switched of a branch.
        action: What was wanted of an action, such as `explain`.
        workspace: Absolute path; empty: none.
        path: Inside it.
        symbol: The function or class that is meant; empty: none, or the whole file.
        question: Digest of what was asked in the person's own words; empty: nothing was.
        user: Who asked.
        model: As it was asked for.
        client: The door it came through.
        asked: How to ask it again; None: it can not be, as where it was said in a session.
    """

    at_s: float
    kind: RequestKind | SignalKind
    action: str = ""
    workspace: str = ""
    path: str = ""
    symbol: str = ""
    question: str = ""
    user: str = ""
    model: str = ""
    client: str = ""
    asked: Asked | None = None

    @property
    def is_request(self) -> bool:
        """Somebody asked for something, rather than an editor telling of a file."""
        return self.kind in REQUESTS

    @property
    def identity(self) -> Identity:
        """What it is, apart from when, through which door and by which model."""
        return Identity(self.action or self.kind, self.workspace, self.path, self.symbol, self.question, self.user)


def digest_of(text: str) -> str:
    """The digest of a question, 16 hex digits; empty for an empty one.

    Args:
        text: In the person's own words.
    """
    words = text.strip()
    return hashlib.sha256(words.encode(errors="surrogatepass")).hexdigest()[:16] if words else ""


class Activities:
    """The journal, and the newest of it in memory.

    Everything here but the writing happens on the event loop, and none of it waits for the disk.

    Args:
        folder: Where the files are.
        clock: For pauses.
        enabled: Whether the user wants anything kept.
    """

    def __init__(self, folder: Path, clock: Clock, enabled: Callable[[], bool]) -> None:
        self._files = ActivityFiles(folder, Activity)
        self._clock = clock
        self._enabled = enabled
        self._newest: deque[Activity] = deque(maxlen=REMEMBERED_MAX)
        self._asked: OrderedDict[Identity, Asked] = OrderedDict()
        self._unwritten: list[Activity] = []
        self._writing: asyncio.Task[None] | None = None
        self._disk = asyncio.Lock()
        self.listeners: list[Callable[[Activity], None]] = []
        self.problem: str | None = None

    async def load(self) -> None:
        """Reads the files; a line that can not be read is passed over.

        Raises:
            BadInputError: A newer BEAST MODE wrote them.
        """
        for one in await asyncio.to_thread(self._files.read, REMEMBERED_MAX):
            self._take(one)

    def note(self, activity: Activity) -> None:
        """Takes note of something; costs microseconds and never raises for the disk.

        Args:
            activity: What was done. Nothing is kept where the user wants no warming.
        """
        if not self._enabled():
            return
        self._take(activity)
        if len(self._unwritten) < UNWRITTEN_MAX:  # a disk that stays full loses the newest notes
            self._unwritten.append(activity)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.ensure_future(self._write_soon())
        for listener in self.listeners:
            listener(activity)

    def all(self) -> list[Activity]:
        """What is remembered, oldest first, without how to ask it again."""
        return [*self._newest]

    def asked(self, identity: Identity) -> Asked | None:
        """How to ask something again, as it was asked last.

        Args:
            identity: What was asked.
        """
        return self._asked.get(identity)

    async def forget(self, since_s: float | None = None, workspace: str | None = None, *, dry_run: bool = False) -> int:
        """Forgets what was done, in memory and on disk.

        Args:
            since_s: Only what was done since then; None: whenever.
            workspace: Only of this workspace; None: of all.
            dry_run: Only count.

        Returns:
            How much that is.

        Raises:
            AccessError: The disk refuses.
        """

        def goes(one: Activity) -> bool:
            return (since_s is None or one.at_s >= since_s) and workspace in (None, one.workspace)

        await self.written()
        async with self._disk:
            count = await asyncio.to_thread(self._files.forget, goes, dry_run=dry_run)
        if dry_run:
            return count
        kept = [one for one in self._newest if not goes(one)]
        asked = self._asked
        self._newest.clear()
        self._asked = OrderedDict()
        for one in kept:
            self._take(one)
            if (again := asked.get(one.identity)) is not None:
                self._asked[one.identity] = again
        return count

    async def written(self) -> bool:
        """Waits until everything is with the kernel that was noted so far.

        Returns:
            False where the disk refuses.
        """
        while self._unwritten:
            if not await self._write():
                return False
        return True

    async def close(self) -> None:
        """Writes what is left."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        await self.written()

    def _take(self, one: Activity) -> None:
        if one.asked is None:
            self._newest.append(one)
            return
        self._newest.append(msgspec.structs.replace(one, asked=None))
        self._asked[one.identity] = one.asked
        self._asked.move_to_end(one.identity)
        if len(self._asked) > ASKED_MAX:
            self._asked.popitem(last=False)

    async def _write_soon(self) -> None:
        pause_s = WRITE_PAUSE_S
        while self._unwritten:
            await self._clock.sleep(pause_s)
            pause_s = WRITE_PAUSE_S if await self._write() else min(pause_s * 2, RETRY_MAX_S)

    async def _write(self) -> bool:
        return await asyncio.shield(asyncio.ensure_future(self._write_now()))  # a thread can not be stopped half-way

    async def _write_now(self) -> bool:
        async with self._disk:
            some, self._unwritten = self._unwritten, []
            try:
                await asyncio.to_thread(self._files.append, some)
            except OSError as error:
                self._unwritten = some + self._unwritten
                self.problem = f"What was asked can not be noted in {self._files.folder}: {error}."
                return False
        self.problem = None
        return True
