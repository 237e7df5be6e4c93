"""Gives pieces their vectors, one by one, while nobody asks for anything. Needs numpy."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np

from beastmode.core.clock import Clock
from beastmode.core.plugins import Embedding
from beastmode.workspace.index.ranking import kind_of_path
from beastmode.workspace.index.reading import Reader
from beastmode.workspace.index.retrieval import Embed
from beastmode.workspace.index.schema import PieceRow
from beastmode.workspace.index.vectors import Meanings, Vectors
from beastmode.workspace.index.words import parts, prose_and_code

log = logging.getLogger(__name__)

T = TypeVar("T")

TEXT_CHARS = (720, 480, 280)
"""Lengths that are tried: an embedder takes so many word pieces, and code has more of them than prose."""

LEAST_LETTERS = 24
LONGEST_LINE = 1000
TOO_LONG = "it has"
BATCH = 32
LOOK_AT = 400
LOOK_AGAIN_S = 2.0
UNREADY_S = 5.0
WAIT_S = 0.05


class IdleEmbedding:
    """Embeds the pieces of all open workspaces: source first, then tests and documentation.

    Args:
        embed: The daemon's embedder.
        vectors: Where vectors are kept.
        idle: Says whether nobody asks for anything.
        per_s: Gives how many pieces a second at most.
        clock: Time.

    Attributes:
        made: Vectors that were made since the start.
        problem: Why none are made; None: all is well.
    """

    def __init__(
        self, embed: Embed, vectors: Vectors, idle: Callable[[], bool], per_s: Callable[[], float], clock: Clock
    ) -> None:
        self.made = 0
        self.problem: str | None = None
        self._embed = embed
        self._vectors = vectors
        self._idle = idle
        self._per_s = per_s
        self._clock = clock
        self._open: dict[str, Meanings] = {}
        self._done: dict[str, int] = {}
        self._too_much: set[bytes] = set()
        self._fresh: dict[bytes, bytes] = {}
        self._next_s = 0.0
        self._thread = ThreadPoolExecutor(1, "pieces")
        self._stop = threading.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, root: str, meanings: Meanings) -> None:
        """Begins with a workspace.

        Args:
            root: Its folder.
            meanings: Its vectors.
        """
        self._open[root] = meanings

    def open(self, root: str, reader: Reader, most: int) -> Meanings:
        """Begins with a workspace, by its catalogue.

        Args:
            root: Its folder.
            reader: Its catalogue.
            most: Vectors that it may have.
        """
        meanings = Meanings(reader, self._vectors, most)
        self.add(root, meanings)
        return meanings

    def remove(self, root: str) -> None:
        """Ends with a workspace.

        Args:
            root: Its folder.
        """
        self._open.pop(root, None)
        self._done.pop(root, None)

    def start(self) -> None:
        """Begins."""
        self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Keeps what is made, and ends."""
        self._stop.set()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._in_thread(self._flush)
        await self._in_thread(self._vectors.close)
        await asyncio.to_thread(self._thread.shutdown)

    async def turn(self) -> int:
        """Embeds what has no vector yet, as the idle time comes; ends early where the embedder is not ready.

        Returns:
            How many vectors were made.
        """
        before = self.made
        for root, meanings in list(self._open.items()):
            revision = await self._in_thread(meanings.reader.revision)
            if self._done.get(root) == revision:
                continue
            await self._in_thread(meanings.refresh)
            if await self._workspace(root, meanings):
                self._done[root] = revision
            await self._in_thread(self._flush)
        return self.made - before

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        await self._in_thread(lambda: self._vectors.open(self._stop))
        while True:
            try:
                await self.turn()
            except Exception:
                log.warning("pieces could not be embedded; it is tried again", exc_info=True)
            await self._clock.sleep(LOOK_AGAIN_S if self.problem is None else UNREADY_S)

    async def _workspace(self, root: str, meanings: Meanings) -> bool:
        """Embeds what one workspace lacks; False: there is more to do, later."""
        for source in (True, False):
            after = 0
            while True:
                missing, after = await self._in_thread(partial(self._look, meanings, after, source))
                for piece in missing:
                    if root not in self._open or meanings.full:
                        return True
                    if not await self._one(piece, meanings):
                        return False
                if not after:
                    break
        return True

    def _look(self, meanings: Meanings, after: int, source: bool) -> tuple[list[PieceRow], int]:
        pieces, ended = meanings.reader.unembedded(LOOK_AT, after, lambda digest: self._has(meanings, digest))
        chosen = {
            piece.sha256: piece for piece in pieces if worth_it(piece) and source is not bool(kind_of_path(piece.path))
        }
        return list(chosen.values()), ended

    def _has(self, meanings: Meanings, digest: bytes) -> bool:
        if meanings.has(digest) or digest in self._too_much:
            return True
        kept = self._fresh.get(digest) or self._vectors.get([digest]).get(digest)
        if kept is not None:  # another workspace, or another branch, had it
            meanings.add(digest, np.frombuffer(kept, "<f2").astype(np.float32))
        return kept is not None

    async def _one(self, piece: PieceRow, meanings: Meanings) -> bool:
        """Embeds one piece; False: the embedder is not ready."""
        await self._turn_comes()
        digest = bytes.fromhex(piece.sha256)
        for chars in TEXT_CHARS:
            made = await self._embed(text_of(piece, chars))
            if not isinstance(made, str):
                await self._in_thread(partial(self._keep, digest, made, meanings))
                return True
            if not made.startswith(TOO_LONG):
                self.problem = made
                return False
        self._too_much.add(digest)
        return True

    async def _turn_comes(self) -> None:
        """Waits until nobody asks for anything, and the rate allows one more."""
        while self._clock.mono_s() < self._next_s or not self._idle():
            await self._clock.sleep(max(WAIT_S, self._next_s - self._clock.mono_s()))
        self._next_s = self._clock.mono_s() + 1 / self._per_s()

    def _keep(self, digest: bytes, made: Embedding, meanings: Meanings) -> None:
        self.made += 1
        self.problem = None
        self._fresh[digest] = made.vector.astype("<f2").tobytes()
        meanings.add(digest, made.vector)
        if len(self._fresh) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        """Keeps what is made; what can not be kept is found by meaning until the next start."""
        if self._fresh:
            self._vectors.put(self._fresh)
            self._fresh = {}

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def worth_it(piece: PieceRow) -> bool:
    """Says whether a piece is found by its meaning: a closing brace, minified code and the code of others are not.

    Args:
        piece: The piece.
    """
    if kind_of_path(piece.path) in ("vendor", "config") or sum(map(str.isalpha, piece.text)) < LEAST_LETTERS:
        return False
    return piece.last_line > piece.first_line or len(piece.text) <= LONGEST_LINE


def text_of(piece: PieceRow, chars: int) -> str:
    """What of a piece is embedded: what it is called, what is said of it, how it begins.

    Args:
        piece: The piece.
        chars: How long the text may be.
    """
    called = " ".join(" ".join(parts(word)[1:] or parts(word)) for word in piece.symbol.split("."))
    where = piece.path.rpartition(".")[0].replace("/", " ").replace("_", " ")
    prose, code = prose_and_code(piece.text)
    prose = " ".join(prose.replace('"""', " ").replace("#", " ").split())[: chars // 2]
    head = f"{called}. {where}. {prose}"
    return f"{head}\n{' '.join(code.split())}"[:chars]
