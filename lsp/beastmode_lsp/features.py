"""Everything that an editor can ask for, registered with the server of its connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from beastmode_lsp import actions, chat, commands, feature, folders, insight, models, sources
from beastmode_lsp.acting import TITLES
from beastmode_lsp.documents import Documents
from beastmode_lsp.editor import Editor
from beastmode_lsp.folders import line_of
from beastmode_lsp.lenses import lenses
from beastmode_lsp.session import Session
from beastmode_lsp.settings import read_settings
from beastmode_lsp.status import board

if TYPE_CHECKING:
    from beastmode_lsp.server import EditorServer

log = logging.getLogger(__name__)
CONFIGURATION_TIMEOUT_S = 10.0
Run = Callable[[Session, Any], Awaitable[dict[str, Any]]]


def _action(kind: str) -> Run:
    async def run(session: Session, given: Any) -> dict[str, Any]:
        return await commands.run_action(session, kind, given)

    return run


COMMANDS: dict[str, Run] = {
    **{f"beast.{kind}": _action(kind) for kind in TITLES},
    "beast.generateFeature": feature.generate_feature,
    "beast.preview": commands.preview,
    "beast.apply": commands.apply_kept,
    "beast.chat": chat.chat,
    "beast.clear": chat.clear,
    "beast.context": sources.context,
    "beast.openWorkspace": folders.open_workspace,
    "beast.closeWorkspace": folders.close_workspace,
    "beast.models": models.list_models,
    "beast.selectModel": models.select_model,
    "beast.registerModel": models.register_model,
    "beast.cost": insight.cost,
    "beast.status": insight.status,
    "beast.dashboard": insight.dashboard,
    "beast.explainLast": insight.explain_last,
    "beast.reject": insight.reject,
}


def register(server: EditorServer) -> None:
    """Registers all features.

    Args:
        server: The server of one connection, not yet initialized.
    """
    session = Session(server)
    _life(server, session)
    _texts(server, session)
    _code_actions(server, session)
    _completions(server, session)
    for name, run in COMMANDS.items():
        _command(server, session, name, run)

    @server.feature("beast/cancel")
    def cancel(params: Any) -> None:
        if isinstance(params, dict) and "id" in params:
            session.running.cancel(str(params["id"]))

    @server.feature(types.WINDOW_WORK_DONE_PROGRESS_CANCEL)
    def stop(params: types.WorkDoneProgressCancelParams) -> None:
        session.cancellers.cancel(params.token)


def _life(server: EditorServer, session: Session) -> None:
    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        before = server.workspace
        encoding = types.PositionEncodingKind(before.position_encoding).value
        documents = Documents(before.root_uri, params.workspace_folders, encoding)
        server.protocol._workspace = documents  # pygls has no other way to give it one
        server.chew = documents.cut_some
        session.editor = Editor.of(server.client_name, params.capabilities)
        session.options = params.initialization_options
        session.settings, warnings = read_settings([session.options])
        session.pending_warnings = warnings

    @server.feature(types.INITIALIZED)
    def initialized(params: types.InitializedParams) -> None:
        for warning in session.pending_warnings:
            session.warn_once(warning)
        if session.editor.registers_settings:
            server.background(_follow_settings(server))
        server.background(_begin(session))

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    def changed(params: types.DidChangeConfigurationParams) -> None:
        server.background(_configure(session, params.settings))

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def moved(params: types.DidChangeWorkspaceFoldersParams) -> None:
        """Pygls keeps them."""
        server.background(session.folders.follow())


async def _begin(session: Session) -> None:
    """Reads the settings, then asks about the folders."""
    await _configure(session, None)
    await session.folders.follow()


async def _follow_settings(server: EditorServer) -> None:
    """Asks an editor to say when its settings change; some say nothing unasked."""
    method = types.WORKSPACE_DID_CHANGE_CONFIGURATION
    options = types.DidChangeConfigurationRegistrationOptions(section="beast")
    wanted = types.Registration(id="beast-settings", method=method, register_options=options)
    with contextlib.suppress(JsonRpcException):
        await server.client_register_capability_async(types.RegistrationParams(registrations=[wanted]))


async def _configure(session: Session, pushed: Any) -> None:
    """Reads the settings anew, and does what follows from them."""
    found = pushed
    if session.editor.has_settings:
        item = types.ConfigurationItem(section="beast")
        try:
            async with asyncio.timeout(CONFIGURATION_TIMEOUT_S):
                answer = await session.server.workspace_configuration_async(types.ConfigurationParams(items=[item]))
        except (JsonRpcException, TimeoutError):
            log.warning("the editor did not tell its settings")
            return
        told = answer[0] if answer else None
        ours = isinstance(pushed, dict) and "beast" in pushed  # Kate has nothing to answer, and pushes its settings
        found = pushed if told is None and ours else told
    before = session.settings
    session.settings, warnings = read_settings([session.options, found])
    for warning in warnings:
        session.warn_once(warning)
    if session.settings.status:
        board().join(session)
    else:
        board().leave(session)
    if session.editor.refreshes_lenses and before.code_lens != session.settings.code_lens:
        session.server.workspace_code_lens_refresh(None)


def _texts(server: EditorServer, session: Session) -> None:
    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: types.DidOpenTextDocumentParams) -> None:
        session.folders.note(params.text_document.uri, "opened")

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: types.DidChangeTextDocumentParams) -> None:
        session.ghosts.typed(params)
        session.folders.note(params.text_document.uri, "edited", line_of(params))

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def saved(params: types.DidSaveTextDocumentParams) -> None:
        session.folders.note(params.text_document.uri, "saved")

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: types.DidCloseTextDocumentParams) -> None:
        session.ghosts.closed(params.text_document.uri)
        session.folders.note(params.text_document.uri, "closed")

    @server.feature(types.TEXT_DOCUMENT_CODE_LENS, types.CodeLensOptions(resolve_provider=False))
    def code_lens(params: types.CodeLensParams) -> list[types.CodeLens]:
        return lenses(session, params.text_document.uri)


def _code_actions(server: EditorServer, session: Session) -> None:
    options = types.CodeActionOptions(code_action_kinds=list(actions.KINDS), resolve_provider=True)

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, options)
    def menu(params: types.CodeActionParams) -> list[types.CodeAction | types.Command]:
        return actions.menu(session, params)

    @server.feature(types.CODE_ACTION_RESOLVE)
    async def resolve(action: types.CodeAction) -> types.CodeAction:
        return await actions.resolve(session, action, server.protocol._converter)


def _completions(server: EditorServer, session: Session) -> None:
    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline(params: types.InlineCompletionParams) -> types.InlineCompletionList:
        return await session.ghosts.inline(params)

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(resolve_provider=False))
    async def items(params: types.CompletionParams) -> types.CompletionList:
        return await session.ghosts.items(params)


def _command(server: EditorServer, session: Session, name: str, run: Run) -> None:
    @server.command(name)
    async def command(argument: Any = None) -> dict[str, Any]:
        with session.telling():
            return await run(session, argument)
