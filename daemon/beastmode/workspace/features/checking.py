"""What is looked at before a proposal is offered: its paths, its diffs, its syntax, and that it holds no secret."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from beastmode.client.edits import apply_diff
from beastmode.core.errors import BadInputError
from beastmode.workspace.diffs import unified_diff
from beastmode.workspace.edits import Edit
from beastmode.workspace.features.ground import Ground, RefusedPathError
from beastmode.workspace.features.syntax import new_faults
from beastmode.workspace.secrets import holds_secret

Texts = dict[str, str | None]
"""New texts of files by their paths; None: the file is to go."""
SHOWN_FAULTS = 5


def problems_of(ground: Ground, texts: Texts, max_files: int) -> list[str]:
    """What is wrong with a proposal, in words for a model and for a person; blocks, so call it in a thread.

    Args:
        ground: What it is built on.
        texts: The proposal; a path that must not be written is taken out of it.
        max_files: How many files it may touch.
    """
    problems: list[str] = []
    for path in list(texts):
        try:
            ground.require(path)
            before = ground.text(path)
        except RefusedPathError as error:
            del texts[path]
            problems.append(f"`{path}` must not be written: it {error}.")
            continue
        after = texts[path]
        if after is not None:
            problems += _of_text(path, before, after)
    touched = [path for path, text in texts.items() if text != ground.text(path)]
    if len(touched) > max_files:
        problems.append(f"It touches {len(touched)} files; {max_files} are the most (`generation.max_files`).")
    return problems


def _of_text(path: str, before: str | None, after: str) -> list[str]:
    if holds_secret(after.encode(errors="surrogatepass")) and after != before:
        return [f"`{path}` would hold something that looks like a secret. Read it from the environment instead."]
    if "\0" in after:
        return [f"`{path}` would be no text."]
    if before is not None and apply_diff(before, unified_diff(before, after, path)) != after:
        return [f"The diff of `{path}` does not apply."]
    faults = new_faults(path, before, after)
    shown = [f"line {one.line}: {one.message}" + (f": {one.text}" if one.text else "") for one in faults]
    return [f"`{path}` does not parse:\n" + "\n".join(shown[:SHOWN_FAULTS])] if faults else []


def edits_of(ground: Ground, texts: Texts) -> list[Edit]:
    """A proposal as edits, each with the digest of what it was made for; what stays as it is is left out.

    Args:
        ground: What it is built on.
        texts: The proposal.
    """
    edits: list[Edit] = []
    for path, after in texts.items():
        before = ground.text(path)
        if before == after or (before is None and after is None):
            continue
        kind = "create" if before is None else "delete" if after is None else "modify"
        diff = _removal(before or "", path) if after is None else unified_diff(before, after, path)
        edits.append(Edit(path=path, before_sha256=ground.sha256(path), diff=diff, kind=kind))  # type: ignore[arg-type]
    return edits


def _removal(before: str, path: str) -> str:
    head, _, rest = unified_diff(before, "", path).partition("\n")
    name = path + "\t" if " " in path else path
    return f"{head or f'--- a/{name}'}\n+++ /dev/null\n{rest.partition(chr(10))[2]}"


def texts_of(ground: Ground, edits: list[Edit]) -> Texts:
    """The texts that edits lead to.

    Args:
        ground: What they are put to.
        edits: As `edits_of` gives them.

    Raises:
        BadInputError: One was made for another text.
    """
    texts: Texts = {}
    for edit in edits:
        if ground.sha256(edit.path) != edit.before_sha256:
            raise BadInputError(f"{edit.path} has changed since the edit was made.", tips=["ask again"])
        text = apply_diff(ground.text(edit.path) or "", edit.diff)
        texts[edit.path] = None if edit.kind == "delete" else text
    return texts


def digest_of(texts: Mapping[str, str | None]) -> str:
    """A name of a proposal: the same for the same texts.

    Args:
        texts: The proposal.
    """
    found = sha256()
    for path, text in sorted(texts.items()):
        found.update(f"{path}\0{text if text is not None else chr(0)}\0".encode(errors="surrogatepass"))
    return found.hexdigest()
