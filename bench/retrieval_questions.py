"""Questions about real packages, drawn from their documentation: sentences that refer to a name, without it.

The packages are source distributions from the index that pip uses; they are kept in a scratch folder. The answer of a
question is the file that defines the name. Release notes are no documentation here: they speak of numbers and versions,
not of what a thing does. Lists are left out too. Documentation and the docstrings of all answers are left out of what
is indexed.
"""

from __future__ import annotations

import ast
import random
import re
import subprocess
import sys
import tarfile
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import NamedTuple

DOC_ENDINGS = {".rst", ".txt", ".md", ".po", ".pot", ".html", ".inc"}
DOC_FOLDERS = {"doc", "docs", "documentation", "examples", "changelog", "newsfragments"}
TEST_FOLDERS = {"test", "tests", "testing", "t", "js_tests"}
CODE_ENDINGS = {
    ".py",
    ".pyi",
    ".pyx",
    ".pxd",
    ".js",
    ".mjs",
    ".ts",
    ".c",
    ".h",
    ".css",
    ".json",
    ".toml",
    ".cfg",
    ".yml",
}
MAX_BYTES = 1 << 20
ROLE = re.compile(r":(?:py:)?(?:func|class|meth):`([^`]+)`")
ANY_ROLE = re.compile(r":[\w:+-]+:`([^`]+)`")
RELEASES = re.compile(r"chang|news|release|whats?new|histor|announce|migrat|upgrad|deprecat", re.IGNORECASE)
SENTENCE = re.compile(r"(?:[A-Z]|:(?:py:)?(?:func|class|meth):`|``).*[.!?:)]$")
LEAST_WORDS, MOST_WORDS = 8, 60
BLANK = "___"


class Question(NamedTuple):
    """A sentence whose name is masked, and the file that defines the name."""

    text: str
    name: str
    answer: str


class Definition(NamedTuple):
    """Where a dotted name is defined, and which lines of it are its docstring."""

    path: str
    dotted: str
    docstring: tuple[int, int] | None


class Repository(NamedTuple):
    """A package as it is indexed, and the questions about it."""

    name: str
    files: dict[str, str]
    questions: list[Question]


def repository(package: str, scratch: Path, count: int, seed: int) -> Repository:
    """Fetches a package and draws questions from its documentation.

    Args:
        package: What pip is asked for, such as `sphinx==8.1.0`.
        scratch: Folder that sdists are kept in.
        count: How many questions.
        seed: Of the draw.
    """
    name, files = unpacked(package, scratch)
    table = definitions(files)
    questions = drawn(files, table, count, random.Random(f"{name}{seed}"))
    indexed = {path: text for path, text in files.items() if not is_documentation(path)}
    asked = {question.name for question in questions}
    for path in {question.answer for question in questions}:
        indexed[path] = without_docstrings(
            indexed[path], [one for one in table if one.path == path and one.dotted in asked]
        )
    return Repository(name, indexed, questions)


def unpacked(package: str, scratch: Path) -> tuple[str, dict[str, str]]:
    """All texts of a source distribution, by path.

    Args:
        package: What pip is asked for.
        scratch: Folder that sdists are kept in.
    """
    plain = re.split(r"[=<>]", package)[0].lower()
    found = next(iter(sorted(scratch.glob(f"{plain}-*.tar.gz"))), None)
    if found is None:
        scratch.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", plain, package]
        subprocess.run(command, cwd=scratch, check=True)
        found = next(iter(sorted(scratch.glob(f"{plain}-*.tar.gz"))))
    files: dict[str, str] = {}
    with tarfile.open(found) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            inside = str(PurePosixPath(*path.parts[1:]))
            wanted = path.suffix in CODE_ENDINGS | DOC_ENDINGS and member.isfile() and member.size <= MAX_BYTES
            if not wanted or ".egg-info" in member.name or "locale" in path.parts:
                continue
            handle = archive.extractfile(member)
            try:
                files[inside] = handle.read().decode() if handle is not None else ""
            except UnicodeDecodeError:
                continue
    return found.name.removesuffix(".tar.gz"), files


def is_documentation(path: str) -> bool:
    """Says whether a file is left out of the index.

    Args:
        path: Inside the package.
    """
    pure = PurePosixPath(path)
    return pure.suffix in DOC_ENDINGS or pure.parts[0] in DOC_FOLDERS


def definitions(files: dict[str, str]) -> list[Definition]:
    """Every function, class and method of the package's source, tests left out.

    Args:
        files: Its texts.
    """
    found: list[Definition] = []
    for path, text in files.items():
        pure = PurePosixPath(path)
        if pure.suffix != ".py" or is_documentation(path) or TEST_FOLDERS & set(pure.parts[:-1]):
            continue
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        module = ".".join(pure.with_suffix("").parts).removeprefix("src.").removeprefix("lib.")
        _walk(tree, path, module.removesuffix(".__init__"), found)
    return found


def _walk(node: ast.AST, path: str, prefix: str, into: list[Definition]) -> None:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            dotted = f"{prefix}.{child.name}"
            first = child.body[0]
            says = (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            )
            lines = (first.lineno, first.end_lineno or first.lineno) if says else None
            into.append(Definition(path, dotted, lines))
            if isinstance(child, ast.ClassDef):
                _walk(child, path, dotted, into)
        elif isinstance(child, ast.If | ast.Try):
            _walk(child, path, prefix, into)


def drawn(files: dict[str, str], table: list[Definition], count: int, dice: random.Random) -> list[Question]:
    """Draws questions, no two for the same name.

    Args:
        files: All texts of the package.
        table: What it defines.
        count: How many.
        dice: The seeded draw.
    """
    by_last: dict[str, list[Definition]] = defaultdict(list)
    for one in table:
        by_last[one.dotted.rpartition(".")[2]].append(one)
    candidates: list[Question] = []
    for path in sorted(files):
        if PurePosixPath(path).suffix in (".rst", ".txt") and is_documentation(path) and not RELEASES.search(path):
            candidates += _in_document(files[path], by_last)
    dice.shuffle(candidates)
    chosen: dict[str, Question] = {}
    for candidate in candidates:
        chosen.setdefault(candidate.name, candidate)
    return list(chosen.values())[:count]


def _in_document(text: str, by_last: dict[str, list[Definition]]) -> list[Question]:
    found: list[Question] = []
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.lstrip().startswith((".. ", "::", ">>>", "+-", "|", "===", "---")):
            continue
        flat = " ".join(paragraph.split())
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z:`*])", flat):
            if not SENTENCE.match(sentence):
                continue
            for reference in ROLE.findall(sentence):
                definition = resolved(reference, by_last)
                masked = mask(sentence, reference) if definition is not None else ""
                if definition is not None and LEAST_WORDS <= len(re.findall(r"[A-Za-z]{2,}", masked)) <= MOST_WORDS:
                    found.append(Question(masked, definition.dotted, definition.path))
    return found


def resolved(reference: str, by_last: dict[str, list[Definition]]) -> Definition | None:
    """The one definition that a reference can mean; None where there are several files, or none.

    Args:
        reference: What stands in the role, such as `~app.Flask.route` or `the route <Flask.route>`.
        by_last: Definitions by their last name.
    """
    target = _target(reference)
    parts = [part.lstrip("_") for part in target.split(".") if part]
    if not parts:
        return None
    same = by_last.get(target.rpartition(".")[2], [])
    holders = parts[:-1]
    fitting = [
        one for one in same if not holders or holders[-1] in [part.lstrip("_") for part in one.dotted.split(".")[:-1]]
    ]
    if len({one.path for one in fitting}) != 1:
        ends = "." + ".".join(parts)
        fitting = [one for one in fitting if ("." + one.dotted).endswith(ends)]
    return fitting[0] if len({one.path for one in fitting}) == 1 else None


def _target(reference: str) -> str:
    inner = re.search(r"<([^>]+)>\s*$", reference)
    return (inner[1] if inner else reference).lstrip("~!.").removesuffix("()").strip()


def mask(sentence: str, reference: str) -> str:
    """The sentence with the name taken out wherever it stands, and the marks of other references too.

    Args:
        sentence: As the documentation has it.
        reference: The reference whose name is masked.
    """
    last = _target(reference).rpartition(".")[2]
    masked = re.sub(r":[\w:]+:`" + re.escape(reference) + "`", f" {BLANK} ", sentence)
    masked = ANY_ROLE.sub(lambda found: f"``{_target(found[1])}``", masked)
    return " ".join(
        re.sub(rf"(?<![A-Za-z0-9]){re.escape(last)}(?![A-Za-z0-9])", BLANK, masked, flags=re.IGNORECASE).split()
    )


def without_docstrings(text: str, definitions: list[Definition]) -> str:
    """A file without some docstrings; `pass` stands in their place.

    Args:
        text: Of the file.
        definitions: Whose docstrings go.
    """
    lines = text.split("\n")
    for one in sorted(definitions, key=lambda one: -(one.docstring or (0, 0))[0]):
        if one.docstring is not None:
            first, last = one.docstring
            row = lines[first - 1]
            lines[first - 1 : last] = [row[: len(row) - len(row.lstrip())] + "pass"]
    return "\n".join(lines)
