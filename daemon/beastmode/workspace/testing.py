"""Where the tests of a file belong: beside those that are there, else as its language has them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import msgspec

from beastmode.core.errors import BeastError
from beastmode.workspace.attachments import read_inside, refuse_secret
from beastmode.workspace.languages import Language
from beastmode.workspace.subject import BOM, Subject

SCRIPTS = frozenset(("javascript", "javascriptreact", "typescript", "typescriptreact"))
_SOURCES = ("src", "lib", "app")
_PATTERNS = {
    "go": ["{folder}/{stem}_test.go"],
    "ruby": ["spec/{stem}_spec.rb", "test/{stem}_test.rb"],
    "elixir": ["test/{stem}_test.exs"],
    "dart": ["test/{stem}_test.dart"],
    "lua": ["spec/{stem}_spec.lua", "tests/test_{stem}.lua"],
    "java": ["{mirror}/{stem}Test.java", "{folder}/{stem}Test.java"],
    "kotlin": ["{mirror}/{stem}Test.kt", "{folder}/{stem}Test.kt"],
    "scala": ["{mirror}/{stem}Test.scala", "{folder}/{stem}Test.scala"],
    "csharp": ["tests/{stem}Tests.cs", "{folder}/{stem}Tests.cs"],
    "php": ["tests/{stem}Test.php"],
    "swift": ["Tests/{stem}Tests.swift"],
    "rust": ["{path}"],
    "zig": ["{path}"],
}
_OTHERS = ["tests/test_{stem}{ending}", "test/test_{stem}{ending}"]


class Home(msgspec.Struct, frozen=True):
    """A file for tests.

    Attributes:
        path: Inside the workspace.
        text: What is in it; None: it is new.
    """

    path: str
    text: str | None


def home_of_tests(subject: Subject, language: Language) -> Home:
    """Chooses the file that tests go into; looks at the disk.

    Args:
        subject: The file that is tested.
        language: What it is written in.
    """
    if is_test(subject.path, language):
        return Home(subject.path, subject.text)
    if subject.root is None and PurePosixPath(subject.path).is_absolute():
        return _beside(subject, language)
    paths = list(dict.fromkeys(_candidates(subject, language)))
    for path in paths:
        if (text := _text_of(subject, path)) is not None:
            return Home(path, text)
    own = PurePosixPath(subject.path)
    beside = own.with_name(f"test_{own.name}").as_posix()
    return Home(next(path for path in itertools.chain(paths, _numbered(beside)) if not _taken(subject, path)), None)


def _beside(subject: Subject, language: Language) -> Home:
    """The file for tests of a file that lies in no workspace: its folder is taken for one."""
    folder = PurePosixPath(subject.path).parent
    texts = {name: text for name, text in subject.documents.items() if PurePosixPath(name).is_relative_to(folder)}
    inside = {PurePosixPath(name).relative_to(folder).as_posix(): text for name, text in texts.items()}
    name, root = PurePosixPath(subject.path).name, os.path.realpath(folder)
    found = home_of_tests(Subject(name, subject.text, root, inside), language)
    return Home((folder / found.path).as_posix(), found.text)


def module_of(subject: Subject) -> str:
    """How a Python file is imported: from the first folder above it that is no package.

    Args:
        subject: The file.
    """
    path = PurePosixPath(subject.path)
    parts = [] if path.stem == "__init__" else [path.stem]
    folder = path.parent
    while folder.name and "__init__.py" in _names(subject, folder):
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts) or path.parent.name


def relative_module(path: str, home: str) -> str:
    """How a script is imported by another.

    Args:
        path: The script.
        home: The one that imports it.
    """
    found = os.path.relpath(PurePosixPath(path).with_suffix(""), PurePosixPath(home).parent)
    return found if found.startswith(".") else f"./{found}"


def is_test(path: str, language: Language) -> bool:
    """Whether a file holds tests already.

    Args:
        path: Its name.
        language: What it is written in.
    """
    stem = PurePosixPath(path).name.partition(".")[0]
    marks = PurePosixPath(path).name.split(".")[1:-1]
    named = stem.startswith("test_") or stem.endswith(("_test", "_spec")) or "test" in marks or "spec" in marks
    return named or (language.id in ("java", "kotlin", "scala", "csharp", "php") and stem.endswith(("Test", "Tests")))


def _candidates(subject: Subject, language: Language) -> Iterator[str]:
    """Paths in the order in which they suit."""
    path = PurePosixPath(subject.path)
    if language.id == "python":
        yield from _for_python(subject, path)
    elif language.id in SCRIPTS:
        yield from _for_script(subject, path)
    else:
        words = {
            "path": subject.path,
            "folder": path.parent.as_posix(),
            "stem": path.stem,
            "ending": path.suffix,
            "mirror": path.parent.as_posix().replace("src/main/", "src/test/", 1),
        }
        patterns = _PATTERNS.get(language.id, _OTHERS)
        heads = {one: one.partition("/")[0] for one in patterns}
        there = [one for one, head in heads.items() if "{" in head or _is_folder(subject, head)]
        for pattern in [*there, *patterns]:
            yield PurePosixPath(pattern.format(**words)).as_posix()


def _for_python(subject: Subject, path: PurePosixPath) -> Iterator[str]:
    name = f"test_{path.stem}.py" if path.stem != "__init__" else f"test_{path.parent.name or 'init'}.py"
    if _has(subject, path.parent, lambda one: one.startswith("test_") and one.endswith(".py")):
        yield (path.parent / name).as_posix()
    for folder in [folder for folder in ("tests", "test") if _is_folder(subject, folder)] or ["tests"]:
        inner = [part for part in path.parent.parts if part not in _SOURCES]
        for skipped in range(len(inner) + 1):  # packages are often mirrored without the first of them
            below = PurePosixPath(folder, *inner[skipped:])
            if below.parts[1:] and _is_folder(subject, below.as_posix()):
                yield (below / name).as_posix()
        yield f"{folder}/{name}"


def _for_script(subject: Subject, path: PurePosixPath) -> Iterator[str]:
    beside = _names(subject, path.parent)
    ending = ".spec" if any(".spec." in one for one in beside) else ".test"
    name = f"{path.stem}{ending}{path.suffix}"
    if any(f"{ending}." in one for one in beside):
        yield (path.parent / name).as_posix()
    if "__tests__" in beside:
        yield (path.parent / "__tests__" / name).as_posix()
    for folder in ("test", "tests", "__tests__"):
        if _has(subject, PurePosixPath(folder), lambda one: ".test." in one or ".spec." in one):
            yield f"{folder}/{name}"
    yield (path.parent / name).as_posix()


def _has(subject: Subject, folder: PurePosixPath, fits: Callable[[str], bool]) -> bool:
    return any(map(fits, _names(subject, folder)))


def _names(subject: Subject, folder: PurePosixPath) -> list[str]:
    open_ones = [PurePosixPath(one).name for one in subject.documents if PurePosixPath(one).parent == folder]
    place = _on_disk(subject, folder.as_posix())
    try:
        return open_ones + (sorted(one.name for one in place.iterdir()) if place is not None else [])
    except OSError:
        return open_ones


def _is_folder(subject: Subject, folder: str) -> bool:
    place = _on_disk(subject, folder)
    return place is not None and place.is_dir()


def _on_disk(subject: Subject, path: str) -> Path | None:
    """Where a path of the workspace is; None outside of it, and where there is no workspace."""
    if subject.root is None or "\0" in path:
        return None
    place = Path(os.path.realpath(Path(subject.root, path)))
    return place if place.is_relative_to(subject.root) else None


def _taken(subject: Subject, path: str) -> bool:
    """Something is there that is no text to go on from, or it lies outside of the workspace."""
    place = _on_disk(subject, path)
    return path in subject.documents or (subject.root is not None and (place is None or os.path.lexists(place)))


def _numbered(path: str) -> Iterator[str]:
    name = PurePosixPath(path)
    yield path
    for number in itertools.count(2):
        yield name.with_name(f"{name.stem}_{number}{name.suffix}").as_posix()


def _text_of(subject: Subject, path: str) -> str | None:
    """The text of an existing file; what the editor holds wins; None where there is none that may be read."""
    if path in subject.documents:
        text = subject.documents[path]
    elif subject.root is None:
        return None
    else:
        try:
            text = read_inside(Path(subject.root), path).decode().removeprefix(BOM)
        except BeastError:
            return None
    try:
        refuse_secret(path, text.encode(errors="surrogatepass"))
    except BeastError:
        return None
    return text
