"""Code actions: the menu is made of what is known already and asks nobody; what is chosen is asked for then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cattrs import Converter
from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from beastmode_lsp.acting import TALKS, TITLES, Wish, act, diagnostic
from beastmode_lsp.answers import ContentModifiedError
from beastmode_lsp.applying import NotPossibleError, prepare, workspace_edit
from beastmode_lsp.arguments import a_range
from beastmode_lsp.documents import is_blank
from beastmode_lsp.showing import show_text

if TYPE_CHECKING:
    from beastmode_lsp.documents import Document
    from beastmode_lsp.proposals import Proposal
    from beastmode_lsp.session import Session

QUICK_FIX, REWRITE, SOURCE = "quickfix", "refactor.rewrite", "source"
KINDS = (QUICK_FIX, REWRITE, SOURCE)
MOST_FIXES = 10
TITLE_CHARS = 80


def menu(session: Session, params: types.CodeActionParams) -> list[types.CodeAction | types.Command]:
    """The actions that are on offer.

    Args:
        session: Of the editor.
        params: Where, and which kinds.
    """
    document = session.documents.find(params.text_document.uri)
    if document is None:
        return []
    only = params.context.only
    wanted = {kind for kind in KINDS if only is None or any(_covers(one, kind) for one in only)}
    found: list[types.CodeAction] = []
    if QUICK_FIX in wanted:
        found += _fixes(session, document, params)
    if _only_moved(params):
        return [_offered(session, one) for one in found]
    if REWRITE in wanted:
        kinds = _rewrites(document, params)
        found += [_action(TITLES[kind], REWRITE, _data(kind, document, params.range)) for kind in kinds]
    if SOURCE in wanted:
        found += [_talk(kind, document, params.range) for kind in ("explain", "ask")]
    return [_offered(session, one) for one in found]


def _only_moved(params: types.CodeActionParams) -> bool:
    """The cursor moved, nothing is selected: what can be mended is told, no more."""
    context = params.context
    automatic = context.trigger_kind is types.CodeActionTriggerKind.Automatic and context.only is None
    return automatic and params.range.start == params.range.end


def _covers(asked: types.CodeActionKind | str, kind: str) -> bool:
    name = asked.value if isinstance(asked, types.CodeActionKind) else asked
    return not name or kind == name or kind.startswith(f"{name}.")


def _rewrites(document: Document, params: types.CodeActionParams) -> Sequence[str]:
    """On an empty line there is nothing to rewrite, but a place to write."""
    start, end = document.span(params.range)
    if start.line == end.line and is_blank(document.lines, start.line):
        return ("generate",)
    return ("refactor", "docstring", "tests", "generate")


def _fixes(session: Session, document: Document, params: types.CodeActionParams) -> list[types.CodeAction]:
    found = []
    for one in params.context.diagnostics[:MOST_FIXES]:
        message = one.message if isinstance(one.message, str) else one.message.value
        short = " ".join(message.split())
        short = short if len(short) <= TITLE_CHARS else f"{short[: TITLE_CHARS - 1]}…"
        data = _data("fix", document, one.range) | {"diagnostics": [diagnostic(session, document.uri, one)]}
        action = _action(f"BEAST: Fix “{short}”", QUICK_FIX, data)
        action.diagnostics = [one]
        found.append(action)
    return found


def _talk(kind: str, document: Document, range: types.Range) -> types.CodeAction:
    """Explaining and answering edit nothing: a command says it."""
    action = _action(TITLES[kind], SOURCE, _data(kind, document, range))
    action.command = _command(action)
    action.data = None
    return action


def _action(title: str, kind: str, data: dict[str, Any]) -> types.CodeAction:
    return types.CodeAction(title=title, kind=kind, data=data)


def _data(kind: str, document: Document, range: types.Range) -> dict[str, Any]:
    place = {
        end: {"line": getattr(range, end).line, "character": getattr(range, end).character} for end in ("start", "end")
    }
    return {"kind": kind, "uri": document.uri, "range": place, "version": document.version}


def _command(action: types.CodeAction) -> types.Command:
    data = action.data
    assert isinstance(data, dict)
    argument = {name: data[name] for name in ("uri", "range", "diagnostics") if name in data}
    return types.Command(title=action.title, command=f"beast.{data['kind']}", arguments=[argument])


def _offered(session: Session, action: types.CodeAction) -> types.CodeAction | types.Command:
    """In the form that the editor takes: resolved later, else by a command, else as a bare command."""
    command = action.command or _command(action)
    if not session.editor.action_literals:
        return command
    if "edit" not in session.editor.resolves:
        action.command, action.data = command, None
    return action


async def resolve(session: Session, action: types.CodeAction, converter: Converter) -> types.CodeAction:
    """Asks for what was chosen, and puts the edit into the action.

    Args:
        session: Of the editor.
        action: From the menu.
        converter: Between JSON and types.

    Raises:
        ContentModifiedError: The document has moved on where the answer would change it.
        BeastError: The daemon's answer.
    """
    if not isinstance(action.data, dict) or action.edit is not None:
        return action
    data = converter.unstructure(action.data)
    with session.telling():
        return await _resolved(session, action, _wish(session, data))


def _wish(session: Session, data: dict[str, Any]) -> Wish:
    kind, uri = data.get("kind"), data.get("uri")
    document = session.documents.find(str(uri))
    if kind not in TITLES or kind in TALKS or document is None:
        raise JsonRpcInvalidParams("This code action is not one of ours, or its document is closed. Try: ask anew")
    span = document.span(a_range("the code action", data.get("range")))
    if data.get("version") != document.version:
        moved = document.follow(span, data.get("version"))
        if moved is None:
            raise ContentModifiedError("The document has changed since the menu was opened. Try: open it again")
        span = moved
    return Wish(
        kind=kind,
        uri=document.uri,
        span=span,
        instruction=data.get("instruction"),
        diagnostics=data.get("diagnostics") or (),
    )


async def _resolved(session: Session, action: types.CodeAction, wish: Wish) -> types.CodeAction:
    outcome = await act(session, wish)
    proposal = outcome.proposal
    if not proposal.files:
        session.say(f"BEAST: {outcome.answer.get('summary') or 'There is nothing to change.'}")
        action.data = None  # eglot asks again, and for ever, for an action that has data and neither edit nor command
        return action
    if session.settings.edits.preview:
        argument = {"request_id": proposal.request_id}
        action.command = types.Command(title="Show the diff", command="beast.preview", arguments=[argument])
        return action
    try:
        if proposal.reason is not None:
            raise NotPossibleError(proposal.reason)
        await prepare(session, proposal)
        action.edit, _ = workspace_edit(session, proposal)
    except NotPossibleError as refused:
        proposal.reason = refused.reason
        await show_proposal(session, proposal)
        raise ContentModifiedError(refused.reason) from None
    return action


async def show_proposal(session: Session, proposal: Proposal) -> None:
    """Shows what would be changed, and why it was not.

    Args:
        session: Of the editor.
        proposal: With its reason, where there is one.
    """
    if proposal.reason is not None:
        session.say(f"{proposal.title}: {proposal.reason}", types.MessageType.Warning)
    await show_text(session, f"{proposal.title}-{proposal.request_id[-8:]}", proposal.diff, ".diff")
