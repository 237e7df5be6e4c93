"""A workspace without an index: pieces are found by shared words, and files read from the disk each time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from beastmode.workspace.chunks import Chunk, cut
from beastmode.workspace.context import words_of
from beastmode.workspace.index.retrieval import Hit


class Disk:
    """What files are now."""

    def __init__(self) -> None:
        self.reads: list[str] = []

    async def current(self, root: str, path: str) -> tuple[str, list[Chunk]] | None:
        self.reads.append(path)
        try:
            text = Path(root, path).read_text()
        except OSError:
            return None
        return text, cut(path, text)


class WordRetriever:
    """Ranks the pieces of what it has read by the words they share with the question."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[str] = []
        self.more: list[dict[str, object]] = []
        self.read()

    def read(self) -> None:
        """Reads the workspace anew, as an index that catches up."""
        self._pieces = [
            (path.relative_to(self.root).as_posix(), chunk)
            for path in sorted(self.root.rglob("*"))
            if path.is_file()
            for chunk in cut(path.name, path.read_text())
        ]

    async def search(
        self,
        question: str,
        *,
        limit: int = 20,
        open_paths: Sequence[str] = (),
        near: str | None = None,
        exclude: Collection[str] = (),
    ) -> list[Hit]:
        self.asked.append(question)
        self.more.append({"open_paths": list(open_paths), "near": near, "exclude": set(exclude)})
        words = set(words_of(question))
        hits = []
        for path, chunk in self._pieces:
            score = len(words & set(words_of(f"{path} {chunk.symbol} {chunk.text}")))
            if score and path not in exclude:
                hits.append(_hit(path, chunk, score))
        return sorted(hits, key=lambda hit: -hit.score)[:limit]


def _hit(path: str, chunk: Chunk, score: float) -> Hit:
    return Hit(
        path=path,
        sha256=chunk.sha256,
        symbol=chunk.symbol,
        kind=chunk.kind,
        first_line=chunk.first_line,
        last_line=chunk.last_line,
        text=chunk.text,
        score=score,
        why=["words"],
    )
