"""How well a piece fits a question: the weights of words, names and meaning, and what kind of file it is in."""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import TypeVar

import msgspec

from beastmode.workspace.index.schema import PieceRow
from beastmode.workspace.index.words import STOP_WORDS, parts, terms

Key = TypeVar("Key")
Scored = tuple[float, PieceRow, tuple[float, ...]]
"""A score, a piece, and what each kind of evidence adds to it."""

EXACT = 0.8
"""From here on a name fits exactly."""

_REASONS = ("words", "meaning", "name", "open")
_ENDINGS = ("ations", "ation", "ions", "ings", "ion", "ing", "ers", "ors", "er", "or", "es", "ed", "s", "e")

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
        meaning: Cosine of piece and question, as far as it is over that of pieces that are not near.
        file_meaning: The mean of that over the file's three nearest pieces.
        name: The piece defines a name that the question has.
        prefix: It defines a name that begins so.
        covered: Share of the words of the piece's own name that the question has.
        used: It is in a file that defines what the best pieces use.
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

    words: float = 0.43
    file_words: float = 0.25
    meaning: float = 1.1
    file_meaning: float = 1.1
    name: float = 0.3
    prefix: float = 0.15
    covered: float = 0.12
    used: float = 0.3
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
        meaning: Cosine by piece, less that of pieces that are not near.
        names: How well a name of the question fits, by piece.
        used: How much the best pieces use what a piece defines.
        near: The path that the question is about.
        open_paths: What the person works on.
    """

    question: str
    pieces: dict[int, PieceRow] = {}
    words: dict[int, float] = {}
    meaning: dict[int, float] = {}
    names: dict[int, float] = {}
    used: dict[int, float] = {}
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


@functools.lru_cache(1 << 17)
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
    said = set(terms(evidence.question))
    asked = {_stem(word) for word in said}
    spared = {kind for kind, marks in _ASKS.items() if said & marks}
    if evidence.near is not None:
        spared.add(kind_of_path(evidence.near))
    words = _shares(evidence.words)
    file_words = _shares(_by_file(evidence.pieces, evidence.words, [0.5**place for place in range(8)]))
    file_meaning = _by_file(evidence.pieces, evidence.meaning, [1 / 3] * 3)
    used = _shares(_by_file(evidence.pieces, evidence.used, [1.0] * 1000))
    ranked: list[Scored] = []
    for number, piece in evidence.pieces.items():
        name = evidence.names.get(number, 0.0)
        found = (
            weights.words * words.get(number, 0.0) + weights.file_words * file_words.get(piece.path, 0.0),
            weights.meaning * evidence.meaning.get(number, 0.0)
            + weights.file_meaning * file_meaning.get(piece.path, 0.0),
            (weights.name if name >= EXACT else weights.prefix) * name
            + weights.covered * _covered(piece.symbol, asked)
            + weights.used * used.get(piece.path, 0.0) ** 0.5,
            weights.open * (piece.path in evidence.open_paths) + weights.near * _near(piece.path, evidence.near),
        )
        kind = kind_of_path(piece.path)
        kept = 1.0 if not kind or kind in spared else getattr(weights, kind)
        if name < EXACT and piece.symbol.rpartition(".")[2].startswith("_"):
            kept *= weights.private
        ranked.append((kept * sum(found), piece, found))
    return _spread(ranked, weights.again, limit)


def _shares(scores: Mapping[Key, float]) -> dict[Key, float]:
    best = max(scores.values(), default=0.0)
    return {key: score / best for key, score in scores.items()} if best > 0 else {}


def _by_file(pieces: Mapping[int, PieceRow], scores: Mapping[int, float], shares: list[float]) -> dict[str, float]:
    """What the best pieces of each file come to, each with the share of its place."""
    found: dict[str, list[float]] = defaultdict(list)
    for number, score in scores.items():
        found[pieces[number].path].append(score)
    return {
        path: sum(score * share for score, share in zip(sorted(all_, reverse=True), shares, strict=False))
        for path, all_ in found.items()
    }


def _covered(symbol: str, asked: Collection[str]) -> float:
    """The share of the words of a piece's own name that the question has, in whatever form."""
    own = _own_stems(symbol.rpartition(".")[2])
    return sum(stem in asked for stem in own) / (len(own) + 0.5) if own else 0.0


@functools.lru_cache(1 << 16)
def _own_stems(name: str) -> tuple[str, ...]:
    found = parts(name)
    return tuple(dict.fromkeys(_stem(word) for word in (found[1:] or found) if word not in STOP_WORDS))


@functools.lru_cache(1 << 14)
def _stem(word: str) -> str:
    """A word without its ending, so that register, registers, registered and registration are one."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word


def _near(path: str, near: str | None) -> float:
    if near is None:
        return 0.0
    if path == near:
        return 1.0
    return 0.4 if PurePosixPath(path).parent == PurePosixPath(near).parent else 0.0


def _spread(scored: list[Scored], again: float, limit: int) -> list[Ranked]:
    """Puts further pieces of the same file lower, and the best first."""
    seen: dict[str, int] = defaultdict(int)
    order = sorted((-score, piece.path, piece.first_line, at) for at, (score, piece, _) in enumerate(scored))
    lowered: list[tuple[float, str, int, int]] = []
    for score, path, line, at in order:
        lowered.append((score * again ** seen[path], path, line, at))
        seen[path] += 1
    lowered.sort()
    return [Ranked(scored[at][1], -score, _why(scored[at][2])) for score, _, _, at in lowered[:limit]]


def _why(found: tuple[float, ...]) -> list[str]:
    """What spoke for a piece, the strongest first."""
    said = sorted(((part, reason) for part, reason in zip(found, _REASONS, strict=True) if part > 0.02), reverse=True)
    return [reason for _, reason in said] or ["words"]
