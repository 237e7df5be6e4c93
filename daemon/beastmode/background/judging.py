"""Judging off the request path: doubtful pairs of prompts, and a sample of semantic hits, by the judge named."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from beastmode.accounts import Ticket
from beastmode.cache.decision import Grey, Sample
from beastmode.core.errors import BeastError
from beastmode.core.types import Message, Origin, Request
from beastmode.gateway import Gateway

if TYPE_CHECKING:  # it needs numpy, which is there only where an embedder is
    from beastmode.cache.semantic import Semantic

PAUSE_S = 1.0
JUDGED_MAX = 4096

SAME_QUESTION = """Do these two prompts ask for exactly the same thing, so that one answer serves both equally well?
Differences in names, numbers, direction, order, language, or what is asked for mean NO. Reply with YES or NO only.

First prompt:
{first}

Second prompt:
{second}"""

SAME_ANSWER = """A prompt and two answers follow. Are both answers right for this prompt? Reply with YES or NO only.

Prompt:
{prompt}

First answer:
{first}

Second answer:
{second}"""


class Judging:
    """Works off what the semantic step left for a judge, one at a time and only while nobody waits for an answer.

    Args:
        gateway: Asks the judge, whose calls have rows and costs like any other.
        semantic: Leaves pairs and samples.
    """

    def __init__(self, gateway: Gateway, semantic: Semantic) -> None:
        self._gateway = gateway
        self._semantic = semantic
        self._judged: set[tuple[bytes, str]] = set()

    async def turn(self) -> None:
        """Settles one pair or one sample, if nobody waits; forgets all of them where no judge is named."""
        if not self._gateway.settings.cache.judge_model:
            self._semantic.grey.clear()
            self._semantic.samples.clear()
        elif not len(self._gateway.flights):
            with contextlib.suppress(BeastError):  # it has its row; the pair comes again when it is asked again
                await self._next()

    async def _next(self) -> None:
        if self._semantic.samples:
            await self._check(self._semantic.samples.pop(0))
        elif self._semantic.grey:
            await self._approve(self._semantic.grey.pop(0))

    async def _approve(self, grey: Grey) -> None:
        """Makes a doubtful pair an alias where the judge says that it is one question."""
        pair = grey.key.exact, grey.neighbour.entry
        if pair in self._judged or grey.neighbour.denied:
            return
        if len(self._judged) >= JUDGED_MAX:
            self._judged.clear()
        self._judged.add(pair)
        question = SAME_QUESTION.format(first=grey.key.text, second=grey.neighbour.text)
        if await self._says_yes(question):
            self._semantic.pairs.approve(grey.key.exact, bytes.fromhex(grey.neighbour.entry))

    async def _check(self, sample: Sample) -> None:
        """Asks upstream what it would have answered, and the judge whether the stored answer was as right."""
        original = sample.request
        again = Request(
            model=sample.entry.model,
            messages=original.messages,
            params=original.params,
            workspace=original.workspace,
            user=original.user,
        )
        fresh = await self._ask(again, "shadow")
        question = SAME_ANSWER.format(prompt=sample.key.text, first=sample.entry.completion.text, second=fresh)
        right = await self._says_yes(question)
        self._semantic.pairs.checked(sample.key.exact, sample.entry.key, sample.group, right)

    async def _says_yes(self, question: str) -> bool:
        judge = self._gateway.settings.cache.judge_model
        request = Request(model=judge, messages=[Message("user", question)], params={"max_tokens": 4}, user="judge")
        return (await self._ask(request, "judge")).strip().upper().startswith("YES")

    async def _ask(self, request: Request, origin: Origin) -> str:
        request.origin, request.cache, request.client = origin, "off", "daemon"
        ticket: Ticket = self._gateway.admit(request)
        return (await self._gateway.ask(ticket)).text
