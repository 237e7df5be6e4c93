"""What is kept for one editor while it is connected: what it can do, its settings, answers that may still be used."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams

from beastmode.core.errors import BeastError
from beastmode_lsp.answers import answer_error
from beastmode_lsp.documents import Documents, name_of, path_of
from beastmode_lsp.editor import Editor
from beastmode_lsp.folders import Folders
from beastmode_lsp.inline import Ghosts
from beastmode_lsp.models import Catalogue
from beastmode_lsp.progress import Cancellers
from beastmode_lsp.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from beastmode.client import AsyncClient
    from beastmode_lsp.proposals import Proposal
    from beastmode_lsp.server import EditorServer

KEPT_PROPOSALS = 20
KEPT_LINES = 200_000


class Kept:
    """Edits that may still be looked at or applied; the oldest are forgotten."""

    def __init__(self) -> None:
        self._proposals: OrderedDict[str, Proposal] = OrderedDict()

    def put(self, proposal: Proposal) -> None:
        """Keeps edits for `beast.preview` and `beast.apply`."""
        self._proposals[proposal.request_id] = proposal
        self._proposals.move_to_end(proposal.request_id)
        while len(self._proposals) > 1 and (len(self._proposals) > KEPT_PROPOSALS or self._lines() > KEPT_LINES):
            self._proposals.popitem(last=False)

    def _lines(self) -> int:
        return sum(one.lines for one in self._proposals.values())

    def get(self, request_id: str | None) -> Proposal:
        """Edits that were kept.

        Args:
            request_id: Of the answer that they are of; None: the last.

        Raises:
            JsonRpcInvalidParams: There are none.
        """
        if request_id is None and self._proposals:
            return next(reversed(self._proposals.values()))
        found = self._proposals.get(request_id or "")
        if found is None:
            which = f"of the request {request_id!r}" if request_id else "yet"
            raise JsonRpcInvalidParams(f"There are no edits {which} in this session. Try: run an action first")
        return found

    def clear(self) -> None:
        """Forgets all."""
        self._proposals.clear()


class Running:
    """What runs by an id that the editor chose."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    def begin(self, id: str, task: asyncio.Task[Any]) -> None:
        """Notes what `beast/cancel` ends.

        Raises:
            JsonRpcInvalidParams: Something of that id runs.
        """
        if id in self._tasks:
            raise JsonRpcInvalidParams(f"Something with the id {id!r} is running already. Try: another id")
        self._tasks[id] = task

    def end(self, id: str) -> None:
        """It runs no more."""
        self._tasks.pop(id, None)

    def cancel(self, id: str) -> None:
        """Cancels what runs by that id; nothing, where it is over."""
        if id in self._tasks:
            self._tasks[id].cancel()


class Session:
    """One editor's session.

    Args:
        server: Of its connection.

    Attributes:
        server: As given.
        editor: What it can do.
        settings: Its settings.
        options: The `initializationOptions` that it sent.
        model: The model chosen for this session; None: the one of the settings.
        last_request: The id of the last request that an answer came of.
        cancellers: Whom the editor's stop buttons end.
        kept: Edits that may still be applied.
        running: What `beast/cancel` ends.
        catalogue: The daemon's models.
        ghosts: What is asked for at the cursor.
        folders: The editor's folders as workspaces of the daemon.
        pending_warnings: What is said once the editor takes messages.
    """

    def __init__(self, server: EditorServer) -> None:
        self.server = server
        self.editor = Editor()
        self.settings = Settings()
        self.options: Any = None
        self.model: str | None = None
        self.last_request: str | None = None
        self.cancellers = Cancellers()
        self.catalogue = Catalogue(self)
        self.ghosts = Ghosts(self)
        self.folders = Folders(self)
        self.pending_warnings: list[str] = []
        self.kept = Kept()
        self.running = Running()
        self._said: set[str] = set()

    @property
    def daemon(self) -> AsyncClient:
        """Reaches the daemon."""
        return self.server.daemon

    @property
    def documents(self) -> Documents:
        """What is open."""
        found = self.server.workspace
        assert isinstance(found, Documents)
        return found

    @property
    def chosen_model(self) -> str:
        """The model that answers this editor; empty: the daemon's default."""
        return self.settings.model if self.model is None else self.model

    @property
    def has_views(self) -> bool:
        """Whether a plugin of ours is at the other end, which shows results in its own way: only such ask for these."""
        return self.settings.deltas or self.settings.status

    def identity(self, model: str | None = None) -> dict[str, Any]:
        """What every question says of who asks.

        Args:
            model: The model that was named for this one question.
        """
        chosen = model or self.chosen_model
        found: dict[str, Any] = {"client": self.editor.label}
        if chosen:
            found["model"] = chosen
        if self.settings.tags:
            found["tags"] = list(self.settings.tags)
        return found

    def place(self, uri: str) -> dict[str, str]:
        """Where a document lies, as the daemon names it: its workspace, where it is in one, and its path.

        Args:
            uri: The editor's name of it.
        """
        root, path = self.documents.root_of(uri), path_of(uri)
        if path is None:
            return {"path": name_of(uri)}
        if root is None:
            return {"path": path}
        return {"workspace": root, "path": path[len(root.rstrip("/")) + 1 :]}

    # -- what is said

    def say(self, message: str, kind: types.MessageType = types.MessageType.Info) -> None:
        """Shows a sentence to the user."""
        self.server.window_show_message(types.ShowMessageParams(type=kind, message=message))

    def warn_once(self, message: str) -> None:
        """Shows a warning, if it has not been shown to this editor."""
        if message not in self._said:
            self._said.add(message)
            self.say(message, types.MessageType.Warning)

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Says what goes wrong in the block, for an editor that does not show the errors of its requests."""
        try:
            yield
        except (BeastError, JsonRpcException) as error:
            if not self.editor.shows_errors and getattr(error, "kind", "") != "cancelled":
                self.say(answer_error(error)["message"], types.MessageType.Error)
            raise

    @property
    def run_folder(self) -> Path:
        """A private folder for what is shown as a file."""
        from pathlib import Path

        return Path(self.daemon.socket_path).parent / "shown"
