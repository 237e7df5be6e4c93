"""The semantic step: another wording's answer, where neighbours, guards and verifier agree that it is the same."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import msgspec

from beastmode.cache.decision import Decision, Grey, Neighbour, Sample
from beastmode.cache.features import eligible
from beastmode.cache.guard import Analysis, align, analyse, difference, veto_aligned
from beastmode.cache.index_rows import Match
from beastmode.cache.key import Key
from beastmode.cache.lookup import Found
from beastmode.cache.pairs import Pairs
from beastmode.cache.semantic_rules import category, said_of_prompt, too_long, why_exact_only, why_missed
from beastmode.cache.vectors import VectorIndex, from_bytes, to_bytes
from beastmode.cache.verifier import Verifier
from beastmode.core.clock import Clock
from beastmode.core.plugins import Embedder, Embedding
from beastmode.core.settings import CacheSettings
from beastmode.core.types import Entry, Request

log = logging.getLogger(__name__)

T = TypeVar("T")

NEIGHBOURS = 8
REMEMBERED = 2048
GREY_SIMILARITY = 0.85
GREY_MAX = 256
CHECK_S = 1.0
IN_THE_MAKING = "being made ready"

Fetch = Callable[[bytes], Awaitable[Found | None]]
Holds = Callable[[Found], Awaitable[Found | None]]
"""The answer of an entry that is true now; None where none of them is."""


class Semantic:
    """Finds answers by meaning. Everything heavy runs in one thread of its own.

    Args:
        embedder: Makes vectors.
        index: Finds neighbours.
        verifier: Says how likely two prompts want the same answer.
        pairs: What was learned about pairs.
        fetch: Finds the entry of an exact key in the upper tiers.
        settings: Threshold, floor, deadline.
        clock: Time.
    """

    def __init__(
        self,
        *,
        embedder: Embedder,
        index: VectorIndex,
        verifier: Verifier,
        pairs: Pairs,
        fetch: Fetch,
        settings: CacheSettings,
        clock: Clock,
    ) -> None:
        self.embedder = embedder
        self.index = index
        self.pairs = pairs
        self.settings = settings
        self._verifier = verifier
        self._fetch = fetch
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "semantic")
        self._vectors: OrderedDict[str, bytes] = OrderedDict()
        self._analyses: OrderedDict[str, Analysis] = OrderedDict()
        self._unready: str | None = "the embedder is not loaded yet; it will be for the next request"
        self._checking: asyncio.Task[None] | None = None
        self._checked_s = -CHECK_S
        self.counts: dict[str, int] = {"hits": 0, "would_hit": 0, "misses": 0, "late": 0, "bypassed": 0, "failed": 0}
        self.vetoes: dict[str, int] = {}
        self.grey: list[Grey] = []
        self.samples: list[Sample] = []

    @property
    def problem(self) -> str | None:
        """What is wrong with the index or with what was learned, in sentences."""
        return " ".join(filter(None, (self.index.problem, self.pairs.problem))) or None

    def configure(self, settings: CacheSettings) -> None:
        """Takes new settings."""
        self.settings = settings
        self.pairs.target = settings.wrong_target

    # -- the request's side ---------------------------------------------------------------------------------------

    def why_not(self, request: Request, key: Key) -> str | None:
        """Says in one sentence why a request is matched exactly only; None where it may be matched by meaning."""
        return why_exact_only(request, self.settings.max_temperature) or too_long(key.text)

    async def find(self, key: Key, holds: Holds | None = None) -> Decision:
        """Looks for another wording's answer, for at most the deadline; what comes too late is used next time.

        Args:
            key: Key of the request.
            holds: Looks whether what was found is still true; None: it is, whatever happens to files.
        """
        unready = self._why_unready()
        if unready is not None:  # said without a deadline, which costs more than the answer
            self.counts["misses"] += 1
            return Decision(result="miss", why=unready)
        try:
            async with asyncio.timeout(self.settings.deadline_ms / 1e3):
                decision = await self.decide(key, holds)
        except TimeoutError:
            self.counts["late"] += 1
            return Decision(result="miss", why=f"the semantic step took over {self.settings.deadline_ms:g} ms")
        except Exception:
            self.counts["failed"] += 1
            log.warning("semantic step failed, counted as a miss", exc_info=True)
            return Decision(result="miss", why="the semantic step failed")
        if decision.result == "hit" and self.settings.semantic == "shadow":
            self.counts["would_hit"] += 1
            decision.result, decision.found = "miss", None
            decision.why = f"shadow mode: {decision.why}"
        return decision

    async def decide(self, key: Key, holds: Holds | None = None) -> Decision:
        """Decides without a deadline, as `cache.lookup` does."""
        decision = await self._decide(key, holds)
        self._count(decision)
        self._leave_to_judge(key, decision)
        return decision

    async def _decide(self, key: Key, holds: Holds | None = None) -> Decision:
        unready = self._why_unready()
        if unready is not None:
            return Decision(result="miss", why=unready)
        alias = self.pairs.alias(key.exact)
        found = await self._fetch(alias) if alias is not None else None
        if found is not None and holds is not None:
            found = await holds(found)
        if found is not None:
            return Decision(result="hit", why="a judge approved this pair", found=found, confidence=1.0)
        embedding, near, why_not = await self._run(lambda: self._search(key))
        if embedding is None:
            return Decision(result="bypass", why=why_not)
        may_ask = self.index.may_ask_store
        candidates = [(await self._fetch(near_key), near_key, similarity) for near_key, similarity in near]
        gone = [near_key for found, near_key, _ in candidates if found is None]
        if not (may_ask and self.index.may_ask_store):  # it was away, and may have them all the same
            gone = []
        present = [(found, similarity) for found, _, similarity in candidates if found is not None]
        decision = await self._run(lambda: self._judge(key, present, gone))
        while holds is not None and decision.found is not None:
            held = await holds(decision.found)
            if held is not None:
                decision.found = held
                break
            present = [one for one in present if one[0] is not decision.found]
            decision = await self._run(partial(self._judge, key, present, []))
        return decision

    def _search(self, key: Key) -> tuple[Embedding | None, list[Match], str]:
        why_not = eligible(key.text)
        if why_not is not None:
            return None, [], f"exact only: the prompt {said_of_prompt(why_not)}"
        embedding = self.embedder.embed(key.text)
        if embedding is None:
            return None, [], f"exact only: the prompt has over {self.embedder.max_pieces} word pieces"
        self._remember(key.text, embedding)
        near = self.index.nearest(key.scope, embedding.vector, NEIGHBOURS + 1, self.settings.floor)
        return embedding, [one for one in near if one[0] != key.exact][:NEIGHBOURS], ""

    def _judge(self, key: Key, present: list[tuple[Found, float]], gone: list[bytes]) -> Decision:
        """Guards, then verifier, for each neighbour; the most likely one is served if it is likely enough."""
        if gone:
            self.index.remove(gone)
        asked = self._analyse(key.text)
        group = f"{key.scope.hex()[:16]}/{category(key.text)}"
        threshold = self.settings.threshold + self.pairs.stricter(group)
        best: tuple[float, Found, Neighbour] | None = None
        neighbours = []
        for found, similarity in present:
            one = self._compare(key, asked, found.entry, similarity)
            neighbours.append(one)
            if one.confidence is not None and not one.denied and (best is None or one.confidence > best[0]):
                best = (one.confidence, found, one)
        if best is not None and best[0] >= threshold:
            return Decision(
                result="hit",
                why="another wording of the same question was answered before",
                neighbours=neighbours,
                found=best[1],
                similarity=best[2].similarity,
                confidence=best[0],
                threshold=threshold,
                group=group,
            )
        return Decision(
            result="miss",
            why=why_missed(neighbours, threshold),
            neighbours=neighbours,
            similarity=neighbours[0].similarity if neighbours else None,
            confidence=best[0] if best is not None else None,
            threshold=threshold,
            group=group,
        )

    def _compare(self, key: Key, asked: Analysis, entry: Entry, similarity: float) -> Neighbour:
        stored = self._analyse(entry.text)
        one = Neighbour(entry=entry.key.hex(), text=entry.text, similarity=similarity)
        one.denied = self.pairs.is_denied(key.exact, entry.key)
        alignment = align(asked, stored)
        one.veto = veto_aligned(asked, stored, alignment)
        if one.veto is None:
            one.confidence = self._verifier.confidence(asked, stored, similarity, alignment=alignment)
        return one

    def served(self, request: Request, key: Key, entry: Entry, group: str) -> None:
        """Takes note of a hit that was served, and of some of them for a check.

        Args:
            request: What was asked.
            key: Its key.
            entry: What was served.
            group: Where it counts.
        """
        self.pairs.served(request.request_id, key.exact, entry.key, group)
        share = self.settings.shadow_share if self.settings.judge_model else 0.0
        if share and self._clock.uniform(0, 1) < share and len(self.samples) < GREY_MAX:
            self.samples.append(Sample(request, key, entry, group))

    # -- learning -------------------------------------------------------------------------------------------------

    def may_learn(self, text: str) -> bool:
        """A prompt that can be found by its vector."""
        return too_long(text) is None and self._why_unready() is None

    def with_vector(self, entry: Entry) -> Entry:
        """Gives an entry the vector that is already known from looking it up, without waiting."""
        vector = self._vectors.get(entry.text)
        if vector is None:
            return entry
        return msgspec.structs.replace(entry, vector=vector, embedder=self.embedder.id)

    async def vectorise(self, entry: Entry) -> Entry:
        """Gives an entry its vector; it stays as it was where its prompt is matched exactly only."""
        if not self.may_learn(entry.text):
            return entry
        await self._run(lambda: self._vector(entry.text))
        return self.with_vector(entry)

    async def add(self, entry: Entry) -> None:
        """Makes a stored entry findable by its vector."""
        if entry.vector:
            await self._run(lambda: self._index(entry))

    def _index(self, entry: Entry) -> None:
        vector = from_bytes(entry.vector, self.embedder.dim)
        if vector is not None:
            self.index.add(entry.key, entry.scope, vector)

    def _vector(self, text: str) -> None:
        if text in self._vectors or eligible(text) is not None:
            return
        embedding = self.embedder.embed(text)
        if embedding is not None:
            self._remember(text, embedding)

    async def remove(self, keys: list[bytes]) -> None:
        """Takes entries out of the index."""
        await self._run(lambda: self.index.remove(keys))

    def purge(self) -> None:
        """Has the vectors of removed entries taken out of the files too, soon."""
        self.index.rebuild(purge=True)

    async def clear(self) -> None:
        """Takes everything out of the index, and forgets what was learned from it."""
        self.pairs.clear()
        self._vectors.clear()
        self.grey.clear()
        self.samples.clear()
        await self._run(self.index.clear)

    async def explain(self, request: Request, key: Key) -> Decision:
        """Decides as for a request, and says which words differ."""
        why = self.why_not(request, key)
        if why is not None:
            return Decision(result="bypass", why=why)
        decision = await self._decide(key)
        for one in decision.neighbours:
            one.differs = difference(key.text, one.text)
        return decision

    def stats(self) -> dict[str, Any]:
        """Counts of the semantic step."""
        return {
            "embedder": self.embedder.id,
            "ready": self._unready is None,
            "why_not": self._unready,
            **self.counts,
            "vetoed": dict(self.vetoes),
            "grey": len(self.grey),
            "index": self.index.stats(),
            "pairs": self.pairs.stats(),
        }

    async def close(self) -> None:
        """Ends the thread and the index."""
        if self._checking is not None:
            await self._checking
        await self._run(self.index.close)
        await asyncio.to_thread(self._thread.shutdown)
        await self.pairs.close()

    # -- readiness ------------------------------------------------------------------------------------------------

    async def prepare(self, limit_s: float = 30.0) -> None:
        """Makes the embedder ready; waits while it is being made so, and not where something is missing.

        Args:
            limit_s: Longest wait.
        """
        until_s = self._clock.mono_s() + limit_s
        while self._unready is not None and self._clock.mono_s() < until_s:
            await self._refresh()
            if self._unready is None or IN_THE_MAKING not in self._unready:
                return
            await self._clock.sleep(0.1)

    def _why_unready(self) -> str | None:
        """Why nothing is matched by meaning now; asks the embedder again in its thread, and waits for no answer."""
        if self.settings.semantic == "off":
            return "semantic matching is switched off"
        if self._unready is not None and self._clock.mono_s() - self._checked_s >= CHECK_S:
            self._checked_s = self._clock.mono_s()
            self._checking = asyncio.ensure_future(self._refresh())
        return self._unready

    async def _refresh(self) -> None:
        self._unready = await self._run(self.embedder.ready)

    async def embed(self, text: str) -> Embedding | str:
        """Embeds one text for whoever asks; behind whatever waits for the thread already.

        Args:
            text: Any text.

        Returns:
            What the embedder makes of it, or why it can not: it is not ready, or the text is too long.
        """
        why_not = await self._run(self.embedder.ready)
        if why_not is not None:
            return why_not
        made = await self._run(lambda: self.embedder.embed(text)) if too_long(text) is None else None
        return f"it has over {self.embedder.max_pieces} word pieces" if made is None else made

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _remember(self, text: str, embedding: Embedding) -> None:
        self._vectors[text] = to_bytes(embedding.vector)
        while len(self._vectors) > REMEMBERED:
            self._vectors.popitem(last=False)

    def _analyse(self, text: str) -> Analysis:
        found = self._analyses.get(text)
        if found is None:
            found = self._analyses[text] = analyse(text)
            while len(self._analyses) > REMEMBERED:
                self._analyses.popitem(last=False)
        return found

    def _leave_to_judge(self, key: Key, decision: Decision) -> None:
        """Puts the nearest neighbour that no guard objects to aside for the judge, where it is near enough to be it."""
        doubtful = [one for one in decision.neighbours if one.veto is None and not one.denied]
        if decision.result != "miss" or not doubtful or len(self.grey) >= GREY_MAX:
            return
        nearest = max(doubtful, key=lambda one: one.similarity)
        if nearest.similarity >= GREY_SIMILARITY:
            self.grey.append(Grey(key, nearest))

    def _count(self, decision: Decision) -> None:
        name = {"hit": "hits", "miss": "misses", "bypass": "bypassed"}[decision.result]
        self.counts[name] += 1
        for one in decision.neighbours:
            if one.veto is not None:
                self.vetoes[one.veto] = self.vetoes.get(one.veto, 0) + 1
