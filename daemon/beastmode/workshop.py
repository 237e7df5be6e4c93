"""What knows the open workspaces: wires reading, finding, what is true now, what follows from it; a wing of `app`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

from beastmode.core.clock import Clock
from beastmode.core.paths import Paths
from beastmode.core.settings import Settings
from beastmode.metrics.health import Health
from beastmode.workspace.index.agreements import Agreements
from beastmode.workspace.index.reading import Reader
from beastmode.workspace.index.retrieval import Retriever
from beastmode.workspace.index.truth import Truth
from beastmode.workspace.index.workspaces import Workspaces


class Workshop:
    """Builds what knows the open workspaces.

    Args:
        paths: Where things live.
        clock: Time.
        settings: Gives the settings in force.
        environ: Of the daemon.

    Attributes:
        workspaces: The open ones.
        truth: What their files are now.
    """

    def __init__(
        self, *, paths: Paths, clock: Clock, settings: Callable[[], Settings], environ: Mapping[str, str]
    ) -> None:
        self._paths = paths
        self._clock = clock
        self._settings = settings
        self._environ = environ
        self.workspaces = self._make_workspaces()
        self.truth = Truth(lambda: settings().workspace, clock)

    async def start(self, stack: contextlib.AsyncExitStack, health: Health) -> None:
        """Opens what was open before.

        Args:
            stack: Ends everything.
            health: Is told what is wrong.
        """
        health.add("workspaces", self.workspaces.issues)
        stack.push_async_callback(self.workspaces.end)
        stack.callback(self.truth.close)
        await self.workspaces.start()

    def configure(self) -> None:
        """Takes new settings over."""
        self.workspaces.configure()

    def _make_workspaces(self) -> Workspaces:
        paths = self._paths
        return Workspaces(
            Agreements(paths.state / "workspaces.json", self._clock),
            paths.cache / "workspaces",
            [paths.state, paths.cache, paths.data, paths.run, paths.config_file],
            lambda: self._settings().workspace,
            self._clock,
            self._environ,
            lambda root, catalogue: Retriever(Reader(catalogue)),
        )
