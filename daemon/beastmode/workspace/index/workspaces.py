"""The open workspaces: what their users agreed to, how far each is read, and what changes in them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

import msgspec

from beastmode.core.clock import Clock
from beastmode.core.errors import BadInputError, NotFoundError
from beastmode.core.settings import WorkspaceSettings
from beastmode.metrics.health import Issue
from beastmode.workspace.index.agreements import Agreements
from beastmode.workspace.index.indexer import Indexer
from beastmode.workspace.index.orders import Order, Word
from beastmode.workspace.index.retrieval import Retriever
from beastmode.workspace.index.workspace import Active, Row, Workspace
from beastmode.workspace.projects import Projects

log = logging.getLogger(__name__)

__all__ = ["Active", "Row", "Workspace", "Workspaces"]

OnChange = Callable[[str, list[str], bool], object]
OnProgress = Callable[[dict[str, Any]], None]
Rows = list[Row]
Issues = list[Issue]


class Workspaces:
    """All open workspaces.

    Args:
        agreements: What users said of folders.
        folder: Where the catalogues are.
        outside: Folders that are never read: those of the daemon.
        settings: Gives the settings in force.
        clock: Time.
        environ: Of the daemon.
        retriever: Makes what finds pieces, from a workspace and its catalogue.

    Attributes:
        projects: What the `.beastmode.toml` of each says.
        on_change: Called on the loop with a workspace, the paths in it that changed, and whether they are one of many.
        on_open: Called with a workspace that was opened.
        on_close: Called with a workspace that was closed.
        on_active: Called with what an editor tells of a person's work.
        missing: Says what is not installed that would make them sharper, and how to get it.
    """

    def __init__(
        self,
        agreements: Agreements,
        folder: Path,
        outside: list[Path],
        settings: Callable[[], WorkspaceSettings],
        clock: Clock,
        environ: Mapping[str, str],
        retriever: Callable[[str, Path], Retriever],
    ) -> None:
        self._agreements = agreements
        self._folder = folder
        self._outside = [os.path.realpath(one) for one in outside]
        self._settings = settings
        self._retriever = retriever
        self._open: dict[str, Workspace] = {}
        self._names: dict[str, str] = {}
        self.indexer = Indexer(self._hear, clock, environ, folder)
        self.projects = Projects(clock)
        self.projects.on_change.append(self._take_project)
        self.on_change: list[OnChange] = [self.projects.changed]
        self.on_open: list[Callable[[Workspace], object]] = []
        self.on_close: list[Callable[[Workspace], object]] = []
        self.on_active: list[Callable[[Active], object]] = []
        self.missing: Callable[[], list[str]] = list

    async def start(self) -> None:
        """Opens what was open before; returns before anything of it is read."""
        await self._agreements.load()
        await asyncio.to_thread(self._folder.mkdir, 0o700, True, True)
        roots = [root for root, said in self._agreements.all().items() if said.agreed and said.open]
        await asyncio.gather(*map(self.projects.open, roots))
        for root in roots:
            self._begin(root)

    async def end(self) -> None:
        """Reads nothing any more; what was open is remembered as open."""
        await self.indexer.end()

    def list(self) -> list[Workspace]:
        """The open ones, in the order they were opened."""
        return [*self._open.values()]

    def known(self) -> Sequence[str]:
        """The folders that somebody said something about, open or not."""
        return [*self._agreements.all()]

    def rows(self) -> Rows:
        """How the open ones are."""
        return [self._row(one) for one in self._open.values()]

    def _row(self, workspace: Workspace) -> Row:
        return msgspec.structs.replace(workspace.row(), missing=self.missing())

    def find(self, path: str | None) -> Workspace | None:
        """The open workspace that a path is or lies in, the innermost where there are several.

        Args:
            path: Absolute; None: there is none.
        """
        if not path or not self._open or "\0" in path:
            return None
        plain = _plain(path)
        found = self._around(self._names.get(plain, plain))
        return found if found is not None else self._around(os.path.realpath(plain))

    def _around(self, path: str) -> Workspace | None:
        while path not in self._open:
            above = path.rpartition("/")[0]
            if not above:
                return None
            path = above
        return self._open[path]

    async def open(self, path: str, agreed: bool | None = True) -> Row:
        """Opens a folder: has it read, watched and kept in mind, where its user agreed.

        Args:
            path: Absolute.
            agreed: The user agrees, or does not; None: as was said before.

        Returns:
            How it is now.

        Raises:
            BadInputError: It is no folder, or one that is not read.
            NotFoundError: It is not there.
            AccessError: What was said can not be written.
        """
        root = await asyncio.to_thread(_real_folder, path, self._outside)
        said = self._agreements.of(root)
        if agreed is None and (said is None or not said.agreed):
            return Row(path=root, state="unasked" if said is None else "declined")
        if agreed is False:
            await self._stop(root)
            await self._agreements.note(root, agreed=False, open=False)
            return Row(path=root, state="declined")
        await self._agreements.note(root, agreed=True, open=True)
        self._names[_plain(path)] = root
        if root not in self._open:
            await self.projects.open(root)
        return self._row(self._open.get(root) or self._begin(root))

    async def close(self, path: str, forget: bool = False) -> Row:
        """Closes a workspace; what is known of it stays for the next time.

        Args:
            path: Its folder, or one inside it.
            forget: What is known of it is deleted, and that its user agreed, too.

        Raises:
            NotFoundError: It is not open, and nothing is known of it.
            AccessError: What was said can not be written.
        """
        root = await asyncio.to_thread(os.path.realpath, path)
        root = root if self._agreements.of(root) is not None else self._root_of(path, root)
        said = self._agreements.of(root)
        await self._stop(root)
        if forget:
            await self._agreements.forget(root)
            await asyncio.to_thread(_delete, self._catalogue(root))
        elif said is not None:
            await self._agreements.note(root, agreed=said.agreed, open=False)
        return Row(path=root, state="closed")

    def _root_of(self, path: str, real: str) -> str:
        found = self._around(real)
        if found is None:
            raise NotFoundError(f"No workspace is open at {path}.", tips=["see which are: beast workspace list"])
        return found.root

    async def settle(self, path: str, tell: OnProgress | None = None) -> Row:
        """Waits until a workspace is read, or can not be.

        Args:
            path: It.
            tell: Takes `{phase, files, total}` as it goes on.

        Returns:
            How it is then.
        """
        while True:
            workspace = self.find(path)
            if workspace is None:
                return Row(path=path, state="closed")
            if workspace.state != "scanning" or self.indexer.problem:
                return self._row(workspace)
            if tell is not None and workspace.seen:
                total = max(workspace.expected, workspace.seen) if workspace.expected else None
                tell({"phase": "scan", "files": workspace.seen, "total": total})
            moved = workspace.moved
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await moved.wait()

    def configure(self) -> None:
        """Takes new settings over: what is open is read again where they changed."""
        for workspace in self._open.values():
            order = self._order(workspace.root)
            if order != workspace.order:
                workspace.order = order
                self.indexer.open(order)

    def warming_bound_usd(self, path: str) -> float:
        """The most that asking ahead about a workspace may cost a day, as its project says; infinite where it does not.

        Args:
            path: The workspace.
        """
        workspace = self.find(path)
        return inf if workspace is None else self.projects.of(workspace.root).budget.warming_usd

    def _take_project(self, root: str) -> None:
        workspace = self._open.get(root)
        if workspace is not None:
            workspace.project = self.projects.problem(root)
            self.configure()

    def issues(self) -> Issues:
        """What is wrong with them."""
        found = []
        if self._agreements.problem is not None:
            found.append(
                Issue("workspaces", "degraded", self._agreements.problem, "open it again: beast workspace open")
            )
        if self.indexer.problem is not None:
            tip = "what is known of them stays; look at the log: state/logs/beast.log, then: beast restart"
            found.append(Issue("workspaces", "degraded", self.indexer.problem, tip))
        for one in self._open.values():
            if one.problem:
                found.append(Issue("workspaces", "degraded", one.problem, one.tip))
            if one.project[0]:
                found.append(Issue("workspaces", "degraded", *one.project))
            if one.left_out.many:
                limit = self._settings().max_files
                cause = f"{one.left_out.many} files of {one.root} are not read: it has more than {limit}."
                tip = "name what does not matter in .beastignore, or raise workspace.max_files"
                found.append(Issue("workspaces", "degraded", cause, tip))
        return found

    def _begin(self, root: str) -> Workspace:
        catalogue = self._catalogue(root)
        workspace = self._open[root] = Workspace(self._order(root), self._retriever(root, catalogue))
        workspace.project = self.projects.problem(root)
        self.indexer.open(workspace.order)
        for told in self.on_open:
            told(workspace)
        return workspace

    async def _stop(self, root: str) -> None:
        workspace = self._open.pop(root, None)
        if workspace is None:
            return
        self.projects.close(root)
        self._names = {name: at for name, at in self._names.items() if at != root}
        self.indexer.close(root)
        for told in self.on_close:
            told(workspace)

    def _catalogue(self, root: str) -> Path:
        return self._folder / f"{hashlib.sha256(root.encode()).hexdigest()[:16]}.db"

    def _order(self, root: str) -> Order:
        settings = self._settings()
        return Order(
            op="open",
            root=root,
            catalogue=str(self._catalogue(root)),
            max_file_bytes=settings.max_file_bytes,
            max_files=settings.max_files,
            ignore=[*settings.ignore, *self.projects.of(root).ignore],
            poll_s=settings.poll_s,
            outside=self._outside,
        )

    def _hear(self, word: Word) -> None:
        workspace = self._open.get(word.root)
        changed = workspace.hear(word) if workspace is not None else None
        if changed is not None:
            for told in self.on_change:
                try:
                    told(word.root, *changed)
                except Exception:
                    log.exception("a change of a workspace was not taken in")


def _plain(path: str) -> str:
    return os.path.normpath(path)


def _real_folder(path: str, outside: list[str]) -> str:
    """Which folder a path names.

    Raises:
        BadInputError: It is none, or one that is not read.
        NotFoundError: It is not there.
    """
    if not path.startswith("/") or "\0" in path:
        raise BadInputError(f"{path!r} is no absolute path.", tips=["name the folder by its whole path"])
    try:
        root = os.path.realpath(path, strict=True)
        root.encode()
    except UnicodeEncodeError:
        raise BadInputError(f"{path!r} is not UTF-8.", tips=["rename the folder"]) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise NotFoundError(f"There is no folder {path}: {why}.", tips=["check the path"]) from None
    if not Path(root).is_dir():
        raise BadInputError(f"{path} is no folder.", tips=["name the folder that the file lies in"])
    if root == "/" or any(root == one or root.startswith(f"{one}/") for one in outside):
        raise BadInputError(f"{root} is not opened as a workspace.", tips=["name the folder of a project"])
    return root


def _delete(catalogue: Path) -> None:
    for end in ("", "-wal", "-shm"):
        catalogue.with_name(catalogue.name + end).unlink(missing_ok=True)
