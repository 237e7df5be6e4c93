"""The new texts of a feature in the making: what answers change, what did not fit, and how it is shown to a model."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import msgspec

from beastmode.core.types import Digest
from beastmode.workspace.features.changes import Change, changes_in
from beastmode.workspace.features.checking import Texts
from beastmode.workspace.features.drafting import shown_text
from beastmode.workspace.features.file_names import path_in, resolved
from beastmode.workspace.features.ground import Ground, RefusedPathError
from beastmode.workspace.features.patching import PatchError, patched
from beastmode.workspace.languages import language_of
from beastmode.workspace.replies import code_in

NAMED_MAX = 6
LEAST_SHARE = 0.5
_PROSE = frozenset(("markdown", ""))
_HEADING = re.compile(r"^#{1,6} \S|^[=-]{3,}$", re.MULTILINE)


class Draft:
    """The texts so far. Reads files, so ask it in a thread.

    Args:
        ground: What it is built on.
        names: Files of the workspace.

    Attributes:
        texts: New texts by path; None: the file is to go.
        unfit: What did not fit, by path, in words for a model; it counts until an answer about that path fits.
        remark: What is said of the last repair beside what is still wrong; empty: nothing.
    """

    def __init__(self, ground: Ground, names: Collection[str]) -> None:
        self.texts: Texts = {}
        self.unfit: dict[str, str] = {}
        self.remark = ""
        self._silent: list[str] = []
        self._ground = ground
        self._names = frozenset(names)

    @property
    def known(self) -> frozenset[str]:
        """Files that are there, or are to be."""
        return self._names.union(self.texts)

    def now(self, path: str) -> str | None:
        """The text of a file with what was done so far; None: it is not there.

        Args:
            path: The file.

        Raises:
            RefusedPathError: It must not be read.
        """
        return self.texts[path] if path in self.texts else self._ground.text(path)

    # -- answers --------------------------------------------------------------------------------------------------

    def take_answer(self, answer: str, path: str, *, mending: bool = False) -> None:
        """Does what an answer says.

        Args:
            answer: What the model wrote.
            path: The file that it was asked for; empty: no single one.
            mending: It was to mend what is wrong.
        """
        changes = self._read(answer, path)
        self.remark = ""
        if not changes and mending:
            self.remark = "The last answer to this held no code that could be used."
        elif not changes and path and self.now(path) is not None:
            self._silent.append(f"The answer holds no code for `{path}`.")
        elif not changes:
            self.unfit[path] = f"The answer holds no code for `{path}`."
        self.take(changes)

    def take_problems(self) -> list[str]:
        """What did not fit; a file that an answer left as it is counts once: asked again, the model is heeded."""
        problems = [*self.unfit.values(), *self._silent]
        self._silent.clear()
        return problems

    def _read(self, answer: str, path: str) -> list[Change]:
        """What an answer changes; what names no file is about the one that was asked for."""
        found = changes_in(answer, self.known | {path} if path else self.known)
        target = path or self._likest(found)
        named = [one for one in found if one.path]
        if target and not any(one.path == target for one in named):
            named += [msgspec.structs.replace(one, path=target) for one in self._bare(answer, target, found)]
        return named

    def _bare(self, answer: str, target: str, found: Sequence[Change]) -> list[Change]:
        """What an answer says without naming a file: of several blocks the one that is likest to the file."""
        bare = [one for one in found if not one.path]
        pieces = [one for one in bare if one.kind != "whole"]
        if pieces or (not bare and found):
            return pieces
        language = language_of(target).id
        code = code_in(answer, self.now(target) or "", language)
        if bare:
            return [one for one in bare if one.text == code][:1] or bare[:1]
        if code is None or (language in _PROSE and not _HEADING.search(code)):
            return []
        return [Change("", "whole", "", code)]

    def _likest(self, found: Sequence[Change]) -> str:
        """The file that blocks without a name are likest to; empty: none."""
        rows = {row for one in found if not one.path for row in (one.text + one.search).split("\n") if row.strip()}
        shares = {
            path: len(rows.intersection(text.replace("\r", "").split("\n"))) / len(rows)
            for path, text in self.texts.items()
            if text and rows
        }
        best = max(shares, key=lambda path: shares[path], default="")
        return best if best and shares[best] >= LEAST_SHARE else ""

    def take(self, changes: Sequence[Change]) -> None:
        """Puts changes to the texts; what does not fit is kept in `unfit`.

        Args:
            changes: In order.
        """
        for path in dict.fromkeys(one.path for one in changes):
            try:
                self.texts[path] = patched(path, self.now(path), [one for one in changes if one.path == path])
                self.unfit.pop(path, None)
            except PatchError as error:
                self.unfit[path] = str(error)
            except RefusedPathError as error:
                self.unfit[path] = f"`{path}` must not be written: it {error}."

    # -- what a model is shown ------------------------------------------------------------------------------------

    def readable(self, paths: Sequence[str]) -> dict[str, str | None]:
        """The texts of those files that may be read.

        Args:
            paths: Files.
        """
        found: dict[str, str | None] = {}
        for path in dict.fromkeys(paths):
            try:
                found[path] = self.now(path)
            except RefusedPathError:
                continue
        return found

    def shown(self, paths: Sequence[str], room_chars: int) -> tuple[list[str], list[Digest]]:
        """Files as a model sees them, as long as there is room, and the digests of what they were made from.

        Args:
            paths: Files, the most important first.
            room_chars: How much is shown.
        """
        shown: list[str] = []
        kept: list[str] = []
        for path, text in self.readable(paths).items():
            if text is not None and len(text) <= room_chars:
                room_chars -= len(text)
                shown.append(shown_text(path, text))
                kept.append(path)
        return shown, self.digests(kept)

    def digests(self, paths: Sequence[str]) -> list[Digest]:
        """The digests of the files of the workspace that were read for a question.

        Args:
            paths: Files.
        """
        found = [(path, self._ground.sha256(path)) for path in paths]
        return [Digest(path, sha256) for path, sha256 in found if sha256 is not None]

    def named_in(self, problems: Sequence[str], besides: Mapping[str, object]) -> list[str]:
        """Files that an error names, such as the test that failed.

        Args:
            problems: In words.
            besides: Files that are shown anyway.
        """
        found: list[str] = []
        for word in " ".join(problems).replace("(", " ").replace('"', " ").split():
            name = word.strip("`',;)").partition("::")[0].partition(":")[0]
            if path_in(name, self.known) and (path := resolved(name, self.known)) in self.known - besides.keys():
                found.append(path)
        return list(dict.fromkeys(found))[:NAMED_MAX]
