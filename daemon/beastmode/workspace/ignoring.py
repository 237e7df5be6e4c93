"""Which names of a workspace are left out: the patterns of .gitignore and .beastignore, with git's precedence."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

IGNORE_FILES = (".gitignore", ".beastignore")
EXCLUDE_FILE = ".git/info/exclude"
LINES_MAX, LINE_MAX_CHARACTERS, STARS_MAX = 5000, 1000, 4
ALWAYS = frozenset({".git", ".hg", ".svn", ".jj", "CVS"})
DEFAULTS = (
    "node_modules/", "bower_components/", "__pycache__/", "*.egg-info/", ".venv/", "venv/", ".tox/", ".nox/", ".eggs/",
    "site-packages/", ".mypy_cache/", ".pytest_cache/", ".ruff_cache/", ".hypothesis/", ".gradle/", ".terraform/",
    ".next/", ".nuxt/", ".cache/", ".idea/", ".DS_Store", "*.min.js", "*.min.css", "*.map", "package-lock.json",
    "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "*.pyc", "*~", "*.swp",
)  # fmt: skip
"""What nobody writes by hand, where no pattern of the user's says otherwise."""

Patterns = tuple[tuple[re.Pattern[str], bool], ...]
"""The last first: what each matches, and whether that is left out or let in."""

Level = tuple[str, Patterns]
"""A folder inside the workspace, as `a/b/` or empty, and the patterns that hold below it."""

_FOLDER_MARK = "ps_d"
"""Group of pathspec's expressions: the slash after the folder that a pattern names."""


def compiled(text: str) -> Patterns:
    """Reads a file of patterns; a line that is none is passed over.

    Args:
        text: All of it.
    """
    lines = text.removeprefix("\ufeff").splitlines()[:LINES_MAX]
    return tuple(found for line in reversed(lines) if (found := _pattern(line)) is not None)


def _pattern(line: str) -> tuple[re.Pattern[str], bool] | None:
    if len(line) > LINE_MAX_CHARACTERS or not line.strip() or line.startswith("#"):
        return None
    bounded = _bounded(line)
    if bounded is None:
        return None
    try:
        found = GitIgnoreSpecPattern(bounded)
    except (ValueError, re.error, RecursionError):
        return None
    return None if found.include is None or found.regex is None else (found.regex, found.include)


def _bounded(line: str) -> str | None:
    """Makes a pattern with many stars a broader one with few: the time to match it would grow with each of them.

    One that lets files in again is dropped instead: in doubt a file is left out.
    """
    parts = line.split("/")
    if sum(part.count("*") for part in parts if part != "**") <= STARS_MAX and parts.count("**") <= STARS_MAX:
        return line
    if line.startswith("!"):
        return None
    head: list[str] = []
    for part in parts:
        stars = sum(one.count("*") for one in head) + part.count("*")
        if stars > STARS_MAX:
            return "/".join([*head, re.sub(r"\*.*", "*", part, flags=re.DOTALL) if part != "**" else "*"])
        head.append(part)
    return line


class Ignoring:
    """The patterns that hold in one folder: its own and those of the folders above it.

    Args:
        git: Patterns of `.gitignore` files, from the root down.
        beast: Patterns of `.beastignore` files, from the root down; they win over those of git.
    """

    __slots__ = ("_beast", "_git")

    def __init__(self, git: tuple[Level, ...] = (), beast: tuple[Level, ...] = ()) -> None:
        self._git = git
        self._beast = beast

    @classmethod
    def of(cls, settings: Sequence[str], exclude: str = "") -> Ignoring:
        """The patterns that hold for a whole workspace.

        Args:
            settings: Those of `workspace.ignore`.
            exclude: What `.git/info/exclude` says.
        """
        git = (("", compiled("\n".join(DEFAULTS))), ("", compiled(exclude)))
        return cls(git, (("", compiled("\n".join(settings))),))

    def below(self, folder: str, gitignore: str = "", beastignore: str = "") -> Ignoring:
        """The patterns that hold in a folder that has some of its own.

        Args:
            folder: It, inside the workspace, as `a/b/`; empty for the root.
            gitignore: What its `.gitignore` says.
            beastignore: What its `.beastignore` says.
        """
        git, beast = compiled(gitignore), compiled(beastignore)
        if not git and not beast:
            return self
        return Ignoring((*self._git, (folder, git)), (*self._beast, (folder, beast)))

    def leaves_out(self, path: str) -> bool:
        """Tells whether something is left out; whether the folders above it are is not looked at.

        Args:
            path: Inside the workspace; a folder ends with a slash.
        """
        if path.rstrip("/").rpartition("/")[2] in ALWAYS:
            return True
        for levels in (self._beast, self._git):
            for folder, patterns in reversed(levels):
                said = _say(patterns, path[len(folder) :])
                if said is not None:
                    return said
        return False


def _say(patterns: Patterns, path: str) -> bool | None:
    for pattern, leaves_out in patterns:
        if any(_is_meant(match, path) for match in pattern.finditer(path)):
            return leaves_out
    return None


def _is_meant(match: re.Match[str], path: str) -> bool:
    """Tells whether a pattern names this very thing, rather than a folder above it: those were asked about before."""
    if match.groupdict().get(_FOLDER_MARK):
        return match.end(_FOLDER_MARK) == len(path)
    is_itself = match.end() == len(path) and match.group().endswith("/")  # `a/**` is about what is in `a` alone
    return not is_itself
