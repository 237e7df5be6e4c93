"""The editor's folders as workspaces of the daemon: asked about once, and told what a person works on in them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams

from beastmode.core.errors import BeastError, NotFoundError
from beastmode_lsp.arguments import take
from beastmode_lsp.documents import path_of

if TYPE_CHECKING:
    from beastmode_lsp.documents import Document
    from beastmode_lsp.session import Session

OPENED_MAX = 20
OPENED_MAX_CHARS = 400_000
EDITED_EVERY_S = 2.0
OPEN = frozenset({"scanning", "ready"})
YES, NO = "Open it", "Never for this folder"


class Folders:
    """What became of each folder of one editor.

    Args:
        session: Of the editor.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._states: dict[str, str] = {}
        self._unsaved: set[str] = set()
        self._edited_s: dict[str, float] = {}
        self._recent: dict[str, None] = {}

    # -- opening

    async def follow(self) -> None:
        """Opens the folders that are new, where their user agreed; asks once about each of which nothing is known."""
        roots = self._session.documents.roots
        self._states = {root: state for root, state in self._states.items() if root in roots}
        for root in roots:
            if root not in self._states:
                self._states[root] = "unasked"
                await self._meet(root)

    async def _meet(self, root: str) -> None:
        if self._session.settings.workspace.open == "never":
            return
        with contextlib.suppress(BeastError, JsonRpcException):
            state = await self.open(root, agreed=None)
            answer = await self._ask(root) if state == "unasked" else None
            if answer is not None:
                await self.open(root, agreed=answer)

    async def open(self, root: str, *, agreed: bool | None) -> str:
        """Opens a folder, or notes that it is not to be.

        Args:
            root: Its path.
            agreed: Its user agrees, or does not; None: as was said before.

        Returns:
            Its state.

        Raises:
            BeastError: The daemon's answer.
        """
        row = await self._session.daemon.call("workspace.open", {"path": root, "agreed": agreed})
        self._states[root] = str(row["state"])
        return self._states[root]

    async def _ask(self, root: str) -> bool | None:
        """Asks the user; None: neither yes nor no, and it is not asked again before the editor comes back."""
        message = (
            f"May BEAST MODE read {root}? Questions then take along what belongs to them. Secrets and ignored files "
            "are left out, and what is known of the folder stays on this machine."
        )
        actions = [types.MessageActionItem(title=YES), types.MessageActionItem(title=NO)]
        params = types.ShowMessageRequestParams(type=types.MessageType.Info, message=message, actions=actions)
        chosen = await self._session.server.window_show_message_request_async(params)
        return {YES: True, NO: False}.get(chosen.title) if chosen is not None else None

    def is_open(self, root: str | None) -> bool:
        """Whether a folder is open, as far as is known here."""
        return root is not None and self._states.get(root) in OPEN

    def state(self, root: str) -> str:
        """How a folder is, as far as is known here."""
        return self._states.get(root, "closed")

    def learn(self, root: str | None, state: object) -> None:
        """Takes note of what the daemon said of a folder: somebody else may have opened or closed it."""
        if root is not None and isinstance(state, str) and state != "off":
            self._states[root] = state

    # -- what is open in them

    def opened(self, root: str | None, but: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Texts of a folder that the editor holds: unsaved ones first, then those last worked on.

        Args:
            root: The folder.
            but: Paths of which the text goes along anyway.
        """
        if root is None or not self.is_open(root):
            return []
        found, left = [], OPENED_MAX_CHARS
        for document in self._in_order(root):
            path = self._session.place(document.uri)["path"]
            if path in but or document.chars > left or document.exceeds(self._session.server.max_document_bytes):
                continue
            found.append({"path": path, "text": document.text, "version": document.version})
            left -= document.chars
            if len(found) == OPENED_MAX:
                break
        return found

    def _in_order(self, root: str) -> Iterator[Document]:
        documents = self._session.documents
        recent = [*reversed(self._recent)]
        for uri in sorted(recent, key=lambda one: one not in self._unsaved):
            document = documents.find(uri)
            if document is not None and path_of(uri) is not None and documents.root_of(uri) == root:
                yield document

    # -- what a person works on

    def note(self, uri: str, event: str, line: int | None = None) -> None:
        """Tells the daemon what a person works on, beside everything else; edits at most every other second.

        Args:
            uri: Of the document.
            event: `opened`, `edited`, `saved` or `closed`.
            line: Where, from 0.
        """
        self._recent.pop(uri, None)
        if event != "closed":
            self._recent[uri] = None
        if event == "edited":
            self._unsaved.add(uri)
        else:
            self._unsaved.discard(uri)
        root = self._session.documents.root_of(uri)
        if root is None or (event == "edited" and not self._is_due(root, uri)):
            return
        params: dict[str, Any] = {**self._session.place(uri), "event": event}
        if line is not None:
            place = {"line": line, "character": 0}
            params["range"] = {"start": place, "end": place}
        self._session.server.background(self._tell(root, params))

    def _is_due(self, root: str, uri: str) -> bool:
        now_s = asyncio.get_running_loop().time()
        if not self.is_open(root) or now_s - self._edited_s.get(uri, -EDITED_EVERY_S) < EDITED_EVERY_S:
            return False
        self._edited_s[uri] = now_s
        return True

    async def _tell(self, root: str, params: dict[str, Any]) -> None:
        with contextlib.suppress(BeastError):
            answer = await self._session.daemon.call("workspace.active", params)
            if answer["noted"] != self.is_open(root):
                self._states[root] = "ready" if answer["noted"] else "closed"


async def open_workspace(session: Session, given: Any) -> dict[str, Any]:
    """`beast.openWorkspace`: the user agrees that a folder is read.

    Args:
        session: Of the editor.
        given: The argument of the command.
    """
    root = _root(session, take("beast.openWorkspace", given, {"uri": str}))
    state = await session.folders.open(root, agreed=True)
    if not session.has_views:
        session.say(f"BEAST: {root} is {'being read' if state == 'scanning' else 'open'}.")
    return {"path": root, "state": state}


async def close_workspace(session: Session, given: Any) -> dict[str, Any]:
    """`beast.closeWorkspace`: a folder is read no more; with `forget` what is known of it is deleted.

    A folder of which nothing is known yet is not asked about again.

    Args:
        session: Of the editor.
        given: The argument of the command.
    """
    fields = take("beast.closeWorkspace", given, {"uri": str, "forget": bool})
    root = _root(session, fields)
    try:
        row = await session.daemon.call("workspace.close", {"path": root, "forget": fields.get("forget", False)})
        session.folders.learn(root, row["state"])
    except NotFoundError:
        await session.folders.open(root, agreed=False)
    state = session.folders.state(root)
    if not session.has_views:
        session.say(f"BEAST: {root} is {'closed' if state == 'closed' else 'not read'}.")
    return {"path": root, "state": state}


def _root(session: Session, fields: dict[str, Any]) -> str:
    """The folder that a command is about: the one of a document, or the folder itself; else the first."""
    uri = fields.get("uri")
    root = session.documents.root_of(uri) if uri else session.documents.first_root
    if root is None:
        raise JsonRpcInvalidParams("There is no folder open in this editor. Try: open the folder of a project")
    return root


def line_of(params: types.DidChangeTextDocumentParams) -> int | None:
    """Where a document was changed last, from 0; None where all of it was sent."""
    change = params.content_changes[-1] if params.content_changes else None
    return change.range.start.line if isinstance(change, types.TextDocumentContentChangePartial) else None
