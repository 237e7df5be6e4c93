"""What knows the open workspaces: wires reading, finding, what is true now, what follows from it; a wing of `app`."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from beastmode.core.clock import Clock
from beastmode.core.paths import Paths
from beastmode.core.settings import RoutingSettings, Settings
from beastmode.core.types import Request
from beastmode.gateway import Gateway
from beastmode.metrics.health import Health
from beastmode.workspace.index.agreements import Agreements
from beastmode.workspace.index.reading import Reader
from beastmode.workspace.index.retrieval import Embed, Retriever
from beastmode.workspace.index.truth import Truth
from beastmode.workspace.index.workspace import Workspace
from beastmode.workspace.index.workspaces import Workspaces
from beastmode.workspace.projects import adapt

if TYPE_CHECKING:  # they need numpy, which is there only where an embedder is
    from beastmode.cache.semantic import Semantic
    from beastmode.workspace.index.embedding import IdleEmbedding

IDLE_S = 1.0
"""How long nobody must have asked anything before pieces are embedded."""


class Workshop:
    """Builds what knows the open workspaces.

    Args:
        paths: Where things live.
        clock: Time.
        settings: Gives the settings in force.
        sources: Says where each setting comes from.
        environ: Of the daemon.

    Attributes:
        workspaces: The open ones.
        truth: What their files are now.
        embedding: Gives their pieces vectors; None where no embedder is installed.
    """

    def __init__(
        self,
        *,
        paths: Paths,
        clock: Clock,
        settings: Callable[[], Settings],
        sources: Callable[[], Mapping[str, str]],
        environ: Mapping[str, str],
    ) -> None:
        self._paths = paths
        self._clock = clock
        self._settings = settings
        self._sources = sources
        self._environ = environ
        self._has_grammars = importlib.util.find_spec("tree_sitter") is not None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.embedding: IdleEmbedding | None = None
        self._embed: Embed | None = None
        self.workspaces = self._make_workspaces()
        self.workspaces.on_close.append(self._let_go)
        self.workspaces.missing = self._missing
        self.truth = Truth(lambda: settings().workspace, clock)

    async def start(self, stack: contextlib.AsyncExitStack, health: Health) -> None:
        """Opens what was open before.

        Args:
            stack: Ends everything.
            health: Is told what is wrong.
        """
        self._loop = asyncio.get_running_loop()
        health.add("workspaces", self.workspaces.issues)
        health.figures["workspaces"] = lambda: {"open": len(self.workspaces.list()), "missing": self._missing()}
        stack.push_async_callback(self.workspaces.end)
        stack.callback(self.truth.close)
        await self.workspaces.start()

    def configure(self) -> None:
        """Takes new settings over."""
        self.workspaces.configure()

    def _missing(self) -> list[str]:
        """What would make answers about workspaces sharper, and how to get it."""
        found = []
        if not self._has_grammars:
            found.append("files are cut by their indentation, not by their grammar: pip install 'beastmode[index]'")
        if self.embedding is None:
            how = "pip install 'beastmode[embed]', then: beast models fetch minilm"
            found.append(f"pieces are found by words and names, not by meaning: {how}")
        return found

    def adapt(self, request: Request, routing: RoutingSettings) -> RoutingSettings:
        """Gives a request about an open workspace what its project says; also in threads.

        Args:
            request: It is changed.
            routing: The settings in force.

        Returns:
            The same, with the project's names of models: they win over those of the user's file, not over a variable.
        """
        path = request.workspace
        workspace = self.workspaces.find(path) if path is not None and path.startswith("/") else None
        if workspace is None:
            return routing
        projects = self.workspaces.projects
        if projects.is_due(workspace.root) and self._loop is not None:
            self._loop.call_soon_threadsafe(projects.look, workspace.root)
        project = projects.of(workspace.root)
        adapt(request, project)
        if not project.alias:
            return routing
        wins = self._sources().get("routing.aliases", "user") != "user"
        names = {**project.alias, **routing.aliases} if wins else {**routing.aliases, **project.alias}
        return msgspec.structs.replace(routing, aliases=names)

    def _make_workspaces(self) -> Workspaces:
        paths = self._paths
        return Workspaces(
            Agreements(paths.state / "workspaces.json", self._clock),
            paths.cache / "workspaces",
            [paths.state, paths.cache, paths.data, paths.run, paths.config_file],
            lambda: self._settings().workspace,
            self._clock,
            self._environ,
            self._make_retriever,
        )

    def find_by_meaning(self, stack: contextlib.AsyncExitStack, semantic: Semantic, gateway: Gateway) -> None:
        """Has pieces found by what they mean too; before `start`.

        Args:
            stack: Ends it.
            semantic: Has the embedder.
            gateway: Knows whether somebody asks for something.
        """
        from beastmode.workspace.index.embedding import IdleEmbedding
        from beastmode.workspace.index.vectors import Vectors

        embedder = semantic.embedder
        self._embed = semantic.embed
        self.embedding = IdleEmbedding(
            semantic.embed,
            Vectors(self._paths.cache / "pieces", embedder.id, embedder.dim),
            lambda: not gateway.flights and self._clock.mono_s() - gateway.person_s >= IDLE_S,
            lambda: self._settings().workspace.embed_per_s,
            self._clock,
        )
        stack.push_async_callback(self.embedding.close)
        self.embedding.start()

    def _make_retriever(self, root: str, catalogue: Path) -> Retriever:
        reader = Reader(catalogue)
        if self.embedding is None:
            return Retriever(reader)
        meanings = self.embedding.open(root, reader, self._settings().workspace.max_vectors)
        return Retriever(reader, meanings, self._embed)

    def _let_go(self, workspace: Workspace) -> None:
        if self.embedding is not None:
            self.embedding.remove(workspace.root)
        self.truth.let_go(workspace.root)
        asyncio.get_running_loop().run_in_executor(None, workspace.retriever.reader.close)
