"""Is the file that defines a name found from a sentence about it? On real packages, beside ripgrep and vectors alone.

Run `python -P bench/retrieval.py [--scratch FOLDER] [--rg PROGRAM] [--json FILE]`. It fetches source distributions with
pip, draws questions from their documentation (`bench/retrieval_questions.py`) and asks three ways. The weights of the
ranking were learned on others, with another seed: Scrapy, pytest, Pyramid, Trio, Werkzeug, Jinja and Django. Vectors
are kept in the scratch folder; only source is embedded, as the daemon embeds source first, so that vectors alone are
not led astray by tests.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

import numpy as np
from numpy.typing import NDArray

from beastmode.core.plugins import Embedding
from beastmode.workspace.chunks import cut, digest
from beastmode.workspace.index.catalogue import Catalogue, FileRow
from beastmode.workspace.index.reading import Reader
from beastmode.workspace.index.retrieval import QUESTION_CHARS, Retriever
from bench.retrieval_peers import Kept, Pieces, find_ripgrep, first_files, words_counted
from bench.retrieval_questions import Repository, repository

ready_minilm: Any = importlib.import_module("support.minilm").ready_minilm
fetch: Any = importlib.import_module("support.weights").fetch

PACKAGES = ("sphinx==9.0.4", "celery==5.7.0", "aiohttp==3.14.5")
SEED = 20_261_121
QUESTIONS = 200
HITS = 40
PLACES = (1, 5, 10)
WAYS = ("words counted", "vectors alone", "words and names", "all")


def indexed(found: Repository, folder: Path) -> Reader:
    """Writes a repository's files and their catalogue.

    Args:
        found: The repository.
        folder: Where they are written.
    """
    for path, text in found.files.items():
        (folder / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tree" / path).write_text(text, "utf-8")
    for ending in ("", "-wal", "-shm"):
        (folder / f"catalogue.db{ending}").unlink(missing_ok=True)
    catalogue = Catalogue.open(folder / "catalogue.db")
    catalogue.put(
        [FileRow(path, len(text), 1, 1, 1, digest(text), cut(path, text)) for path, text in found.files.items()]
    )
    catalogue.close()
    return Reader(folder / "catalogue.db")


class Asking:
    """Asks one repository in every way.

    Args:
        found: The repository.
        folder: Where its files are written.
        kept: Makes vectors.
        ripgrep: The program; None: there is none.
    """

    def __init__(self, found: Repository, folder: Path, kept: Kept, ripgrep: str | None) -> None:
        self._tree = folder / "tree"
        self._kept = kept
        self._ripgrep = ripgrep
        reader = indexed(found, folder)
        self._pieces = Pieces(reader, kept)
        self.count = len(self._pieces.rows)
        self._words = Retriever(reader)
        self._all = Retriever(reader, self._pieces, self._embed)
        self.took_ms: list[float] = []

    async def _embed(self, text: str) -> Embedding | str:
        vector = self._vector(text)
        return "it has over 256 word pieces" if vector is None else Embedding(vector, [])

    def _vector(self, text: str) -> NDArray[np.float32] | None:
        return self._kept.vector(text[:QUESTION_CHARS])

    async def files(self, question: str) -> dict[str, list[str]]:
        """The first ten files, by every way.

        Args:
            question: The question.
        """
        vector = self._vector(question)
        by_words = await self._words.search(question, limit=HITS)
        began_s = time.perf_counter()
        by_all = await self._all.search(question, limit=HITS)
        self.took_ms.append(1e3 * (time.perf_counter() - began_s))
        return {
            "words counted": words_counted(self._tree, question, self._ripgrep)[:10],
            "vectors alone": [] if vector is None else self._pieces.files(vector)[:10],
            "words and names": first_files(hit.path for hit in by_words),
            "all": first_files(hit.path for hit in by_all),
        }


def shares(places: dict[str, list[int]]) -> dict[str, dict[str, float]]:
    """How many percent of the answers are among the first, by way.

    Args:
        places: The place of each answer, from 0; -1: not among the first ten.
    """
    return {
        way: {f"top{most}": round(100 * sum(0 <= one < most for one in found) / len(found), 1) for most in PLACES}
        for way, found in places.items()
    }


def table(title: str, result: dict[str, dict[str, float]], ripgrep: bool) -> None:
    """Prints a table.

    Args:
        title: What it is about.
        result: Percents by way.
        ripgrep: Words were counted with it.
    """
    print(f"\n{title}\n{'':44}{'top 1':>8}{'top 5':>8}{'top 10':>8}")
    names = {"words counted": f"words counted ({'ripgrep' if ripgrep else 'in Python, as ripgrep would'})"}
    for way in WAYS:
        print(f"{names.get(way, way):44}" + "".join(f"{result[way][f'top{most}']:>7.1f}%" for most in PLACES))


def main() -> None:
    """Measures, prints, and writes the numbers."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--scratch", type=Path, default=Path("~/.cache/beastmode-bench").expanduser())
    asked.add_argument("--rg", help="ripgrep, where it is not on the path")
    asked.add_argument("--json", type=Path)
    given = asked.parse_args()
    given.scratch.mkdir(parents=True, exist_ok=True)
    kept = Kept(given.scratch / "vectors.db", ready_minilm(fetch("minilm")))
    ripgrep = find_ripgrep(given.rg)
    found = [repository(package, given.scratch, QUESTIONS, SEED) for package in PACKAGES]
    everything: dict[str, list[int]] = {way: [] for way in WAYS}
    numbers: dict[str, object] = {}
    left = QUESTIONS
    for number, one in sorted(enumerate(found), key=lambda item: len(item[1].questions)):
        share = min(len(one.questions), left // (len(found) - len(numbers)))
        left -= share
        asking = Asking(one, given.scratch / one.name, kept, ripgrep)
        places: dict[str, list[int]] = {way: [] for way in WAYS}
        for question in one.questions[:share]:
            for way, files in asyncio.run(asking.files(question.text)).items():
                places[way].append(files.index(question.answer) if question.answer in files else -1)
        kept.commit()
        result = shares(places)
        table(
            f"{one.name}: {len(one.files)} files, {asking.count} pieces with vectors, {share} questions",
            result,
            bool(ripgrep),
        )
        numbers[PACKAGES[number]] = {"questions": share, "files": len(one.files), **result}
        for way in WAYS:
            everything[way] += places[way]
        print(
            f"a search takes {np.median(asking.took_ms):.0f} ms (median; the question's vector is made already)",
            flush=True,
        )
    result = shares(everything)
    table(f"All {len(everything['all'])} questions", result, bool(ripgrep))
    better = max(result["words counted"]["top5"], result["vectors alone"]["top5"])
    print(f"\ntop 5: {result['all']['top5'] - better:+.1f} points over the better of the two; the goal is +15")
    if given.json:
        given.json.write_text(json.dumps({"all": result, "packages": numbers}, indent=1), "utf-8")


if __name__ == "__main__":
    main()
