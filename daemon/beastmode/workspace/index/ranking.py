"""How well a piece fits a question: the weights of words, names and meaning, and what kind of file it is in."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath

import msgspec

from beastmode.workspace.index.schema import PieceRow
from beastmode.workspace.index.words import terms

_TEST_FOLDERS = {"test", "tests", "testing", "__tests__", "spec", "specs", "testdata", "fixtures", "e2e"}
_TEST_NAME = re.compile(r"(^tests?[_.]|[_.\-](test|tests|spec)s?\.|^conftest\.py$|Tests?\.(java|cs|kt|php)$)")
_DOC_FOLDERS = {"doc", "docs", "documentation", "changelog", "changes", "news", "locale", "locales", "i18n"}
_DOC_ENDINGS = {".md", ".markdown", ".rst", ".txt", ".adoc", ".html", ".po", ".pot", ".csv", ".svg", ".xml"}
_SAMPLE_FOLDERS = {"example", "examples", "sample", "samples", "demo", "demos", "tutorial", "tutorials", "benchmarks"}
_VENDOR_FOLDERS = {"vendor", "_vendor", "vendored", "third_party", "node_modules", "dist", "extern", "_extern"}
_CONFIG_ENDINGS = {".json", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".lock", ".css", ".scss", ".less"}
_ASKS = {
    "test": {"test", "tests", "tested", "testing", "pytest", "unittest", "fixture", "fixtures", "mock"},
    "doc": {"doc", "docs", "documentation", "readme", "changelog", "guide", "tutorial", "manual", "markdown", "rst"},
    "sample": {"example", "examples", "sample", "samples", "demo", "demos", "tutorial"},
    "config": {"config", "configuration", "settings", "json", "yaml", "toml", "css", "style", "stylesheet", "ci"},
}


class Weights(msgspec.Struct, frozen=True):
    """What each kind of evidence counts; learned on packages that are not among those that are reported.

    Attributes:
        words: The piece's BM25, as a share of the best one.
        file_words: BM25 of the file's best pieces together, as a share of the best one.
        meaning: Cosine of piece and question, above the `floor` and as a share of the best one.
        file_meaning: The same for the file's best piece.
        floor: Cosine below which nothing counts.
        name: The piece defines a name that the question has.
        prefix: It defines a name that begins so.
        covered: Share of the words of the piece's own name that the question has.
        near: It is in the file that the question is about, or beside it.
        open: It is in a file that is open.
        private: Its name begins with an underscore.
        test: What pieces of tests keep of their score, where the question does not ask for tests.
        doc: The same for documentation.
        sample: The same for examples.
        vendor: The same for the code of others.
        config: The same for settings and styles.
        again: What is left of the score for each further piece of the same file.
    """

    words: float = 1.0
    file_words: float = 0.6
    meaning: float = 0.6
    file_meaning: float = 0.2
    floor: float = 0.1
    name: float = 1.0
    prefix: float = 0.15
    covered: float = 0.5
    near: float = 0.2
    open: float = 0.1
    private: float = 0.9
    test: float = 0.45
    doc: float = 0.6
    sample: float = 0.6
    vendor: float = 0.4
    config: float = 0.5
    again: float = 0.85


class Evidence(msgspec.Struct):
    """All that was found for a question.

    Attributes:
        question: The question.
        pieces: By their numbers.
        words: BM25 by piece.
        meaning: Cosine by piece.
        names: How well a name of the question fits, by piece.
        near: The path that the question is about.
        open_paths: What the person works on.
    """

    question: str
    pieces: dict[int, PieceRow] = {}
    words: dict[int, float] = {}
    meaning: dict[int, float] = {}
    names: dict[int, float] = {}
    near: str | None = None
    open_paths: Collection[str] = ()


class Ranked(msgspec.Struct, frozen=True):
    """A piece with its score.

    Attributes:
        piece: The piece.
        score: Larger is better; only the order means something.
        why: words, meaning, name, open: what spoke for it, the strongest first.
    """

    piece: PieceRow
    score: float
    why: list[str]


def kind_of_path(path: str) -> str:
    """What a file is for: test, doc, sample, vendor, config; empty: source.

    Args:
        path: Inside the workspace, with slashes.
    """
    pure = PurePosixPath(path)
    folders = {part.lower() for part in pure.parts[:-1]}
    ending = pure.suffix.lower()
    if folders & _VENDOR_FOLDERS or ".min." in pure.name:
        return "vendor"
    if folders & _TEST_FOLDERS or _TEST_NAME.search(pure.name):
        return "test"
    if ending in _DOC_ENDINGS or folders & _DOC_FOLDERS:
        return "doc"
    if folders & _SAMPLE_FOLDERS:
        return "sample"
    return "config" if ending in _CONFIG_ENDINGS else ""


def rank(evidence: Evidence, weights: Weights, limit: int) -> list[Ranked]:
    """Puts all evidence together.

    Args:
        evidence: What was found.
        weights: What counts how much.
        limit: How many pieces at most.

    Returns:
        The best first; further pieces of a file stand behind where they would stand alone.
    """
    asked = set(terms(evidence.question))
    spared = {kind for kind, said in _ASKS.items() if asked & said}
    if evidence.near is not None:
        spared.add(kind_of_path(evidence.near))
    words = _shares(evidence.words, 0.0)
    meaning = _shares(evidence.meaning, weights.floor)
    file_words = _by_file(evidence.pieces, evidence.words)
    file_meaning = _shares(_best_by_file(evidence.pieces, evidence.meaning), weights.floor)
    ranked = []
    for number, piece in evidence.pieces.items():
        name = evidence.names.get(number, 0.0)
        parts = {
            "words": weights.words * words.get(number, 0.0) + weights.file_words * file_words.get(piece.path, 0.0),
            "meaning": weights.meaning * meaning.get(number, 0.0)
            + weights.file_meaning * file_meaning.get(piece.path, 0.0),
            "name": (weights.name * name if name >= 0.8 else weights.prefix * name)
            + weights.covered * _covered(piece, asked),
            "open": weights.open * (piece.path in evidence.open_paths)
            + weights.near * _near(piece.path, evidence.near),
        }
        kind = kind_of_path(piece.path)
        kept = 1.0 if not kind or kind in spared else getattr(weights, kind)
        if piece.symbol.rpartition(".")[2].startswith("_") and name < 0.8:
            kept *= weights.private
        why = [reason for reason, part in sorted(parts.items(), key=lambda item: -item[1]) if part > 0.05]
        ranked.append(Ranked(piece, kept * sum(parts.values()), why or ["words"]))
    return _spread(ranked, weights.again, limit)


def _shares(scores: Mapping[int, float] | Mapping[str, float], floor: float) -> dict[int | str, float]:
    best = max(scores.values(), default=0.0)
    if best <= floor:
        return {}
    return {key: max(0.0, score - floor) / (best - floor) for key, score in scores.items()}


def _by_file(pieces: Mapping[int, PieceRow], scores: Mapping[int, float]) -> dict[int | str, float]:
    """The BM25 of files: their best piece and a falling share of the next ones."""
    found: dict[str, list[float]] = defaultdict(list)
    for number, score in scores.items():
        found[pieces[number].path].append(score)
    sums = {
        path: sum(score * 0.5**place for place, score in enumerate(sorted(all_, reverse=True)[:8]))
        for path, all_ in found.items()
    }
    return _shares(sums, 0.0)


def _best_by_file(pieces: Mapping[int, PieceRow], scores: Mapping[int, float]) -> dict[str, float]:
    best: dict[str, float] = {}
    for number, score in scores.items():
        path = pieces[number].path
        best[path] = max(best.get(path, 0.0), score)
    return best


def _covered(piece: PieceRow, asked: Collection[str]) -> float:
    """The share of the words of the piece's own name that the question has, in whatever form."""
    own = terms(piece.symbol.rpartition(".")[2].strip("_"))
    own = own[1:] if len(own) > 1 else own
    if not own:
        return 0.0
    return sum(any(_akin(word, other) for other in asked) for word in own) / (len(own) + 0.5)


def _akin(word: str, other: str) -> bool:
    """Two forms of a word, near enough: register, registers, registered, registration."""
    if word == other:
        return True
    least = min(len(word), len(other))
    return least >= 4 and word[: max(4, least - 2)] == other[: max(4, least - 2)]


def _near(path: str, near: str | None) -> float:
    if near is None:
        return 0.0
    if path == near:
        return 1.0
    return 0.4 if PurePosixPath(path).parent == PurePosixPath(near).parent else 0.0


def _spread(ranked: Iterable[Ranked], again: float, limit: int) -> list[Ranked]:
    """Puts further pieces of the same file lower, and the best first."""
    seen: dict[str, int] = defaultdict(int)
    lowered = []
    for one in sorted(ranked, key=_order):
        lowered.append(msgspec.structs.replace(one, score=one.score * again ** seen[one.piece.path]))
        seen[one.piece.path] += 1
    return sorted(lowered, key=_order)[:limit]


def _order(one: Ranked) -> tuple[float, str, int]:
    return (-one.score, one.piece.path, one.piece.first_line)
