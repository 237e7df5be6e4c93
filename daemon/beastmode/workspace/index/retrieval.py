"""The pieces of a workspace that belong to a question: by words, by names and by meaning, merged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from beastmode.core.plugins import Embedding
from beastmode.workspace.index.ranking import EXACT, Evidence, Ranked, Weights, rank
from beastmode.workspace.index.reading import Reader
from beastmode.workspace.index.uses import add_uses, says_nothing
from beastmode.workspace.index.words import identifiers, terms

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

Embed = Callable[[str], Awaitable[Embedding | str]]
"""Embeds a text; says why where it can not."""

BY_WORDS = 400
BY_MEANING = 200
BY_NAME = 60
SPARE = 20
"""Pieces that are ranked beyond those asked for, in place of those that say nothing."""
QUESTION_CHARS = 1200
HALF_CHARS = 6000
EMBED_S = 1.0


class Hit(msgspec.Struct, frozen=True):
    """A piece that belongs to a question.

    Attributes:
        path: Inside the workspace, with slashes.
        sha256: Digest of its text, in hex.
        symbol: The function, class or heading that it is; empty: none.
        kind: function, method, class, section, module or text.
        first_line: Where it was when the file was read, from 1.
        last_line: Where it ended.
        text: All of it.
        score: Larger is better; only the order means something.
        why: words, meaning, name, open: what spoke for it, the strongest first.
    """

    path: str
    sha256: str
    symbol: str
    kind: str
    first_line: int
    last_line: int
    text: str
    score: float
    why: list[str]


class Nearest(Protocol):
    """Finds pieces by their vectors."""

    def nearest(self, vector: NDArray[float32], limit: int) -> list[tuple[str, float]]:
        """The digests of the nearest pieces, with the cosine, best first. Blocks: called in a thread."""


class Retriever:
    """Finds pieces of one workspace. Everything that blocks runs in threads.

    Args:
        reader: Its catalogue.
        meanings: Finds pieces by their vectors; None: words and names only.
        embed: Makes the question's vector; None: words and names only.
        weights: What counts how much.
    """

    def __init__(
        self,
        reader: Reader,
        meanings: Nearest | None = None,
        embed: Embed | None = None,
        weights: Weights | None = None,
    ) -> None:
        self.reader = reader
        self.meanings = meanings
        self._embed = embed
        self._weights = weights or Weights()

    async def search(
        self,
        question: str,
        *,
        limit: int = 20,
        open_paths: Sequence[str] = (),
        near: str | None = None,
        exclude: Collection[str] = (),
    ) -> list[Hit]:
        """Finds what belongs to a question, the best first.

        Args:
            question: As the person wrote it; code in it counts.
            limit: How many pieces at most.
            open_paths: Files that the person has open.
            near: The file that the question is about.
            exclude: Paths that are left out, since they are shown anyway.
        """
        if len(question) > 2 * HALF_CHARS:
            question = f"{question[:HALF_CHARS]} {question[-HALF_CHARS:]}"
        vector = await self._vector(question)
        out, opened = frozenset(exclude), frozenset(open_paths)
        return await asyncio.to_thread(self._search, question, vector, limit, opened, near, out)

    async def _vector(self, question: str) -> NDArray[float32] | None:
        """The question's vector; None where there is none in time: words and names do not wait for it."""
        if self._embed is None or self.meanings is None or not question.strip():
            return None
        try:
            async with asyncio.timeout(EMBED_S):
                for text in (question[:QUESTION_CHARS], question[: QUESTION_CHARS // 4]):
                    made = await self._embed(text)
                    if not isinstance(made, str):
                        return made.vector
        except TimeoutError:
            return None
        except Exception:
            log.warning("the question could not be embedded; it is looked for by its words", exc_info=True)
        return None

    def _search(
        self,
        question: str,
        vector: NDArray[float32] | None,
        limit: int,
        opened: Collection[str],
        near: str | None,
        exclude: Collection[str],
    ) -> list[Hit]:
        evidence = self.gather(question, vector)
        evidence.near, evidence.open_paths = near, opened
        for number in [one.id for one in evidence.pieces.values() if one.path in exclude]:
            for found in (evidence.pieces, evidence.words, evidence.meaning, evidence.names, evidence.used):
                found.pop(number, None)
        ranked = rank(evidence, self._weights, limit + SPARE)
        texts = self.reader.texts([one.piece.id for one in ranked])
        named = {number for number, score in evidence.names.items() if score >= EXACT}
        told = [one for one in ranked if one.piece.id in named or not says_nothing(texts.get(one.piece.id, ""))]
        return [_hit(one, texts[one.piece.id]) for one in told if one.piece.id in texts][:limit]

    def gather(self, question: str, vector: NDArray[float32] | None = None) -> Evidence:
        """All that speaks for any piece. Blocks.

        Args:
            question: The question.
            vector: Its vector; None: it has none.
        """
        evidence = Evidence(question)
        for piece in self.reader.search_words(terms(question), BY_WORDS, texts=False):
            evidence.pieces[piece.id] = piece
            evidence.words[piece.id] = piece.score
        names = identifiers(question)
        for piece in self.reader.search_symbols(names, BY_NAME, texts=False) if names else []:
            evidence.pieces[piece.id] = piece
            evidence.names[piece.id] = piece.score
        if vector is not None and self.meanings is not None:
            nearest = self.meanings.nearest(vector, BY_MEANING)
            cosines = dict(nearest)
            floor = _floor([cosine for _, cosine in nearest])
            for piece in self.reader.chunks(cosines, texts=False):
                evidence.pieces[piece.id] = piece
                evidence.meaning[piece.id] = max(0.0, cosines[piece.sha256] - floor)
        add_uses(evidence, self.reader)
        return evidence


def _floor(cosines: Sequence[float]) -> float:
    """From where on a cosine speaks for a piece: what is not among the nearest, or has no vector, has none over it."""
    if not cosines:
        return 0.0
    return max(cosines[-1] if len(cosines) >= BY_MEANING else -1.0, cosines[0] / 2)


def _hit(one: Ranked, text: str) -> Hit:
    piece = one.piece
    return Hit(
        path=piece.path,
        sha256=piece.sha256,
        symbol=piece.symbol,
        kind=piece.kind,
        first_line=piece.first_line,
        last_line=piece.last_line,
        text=text,
        score=one.score,
        why=one.why,
    )
