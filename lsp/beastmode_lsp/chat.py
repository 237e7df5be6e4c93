"""`beast.chat` and `beast.clear`: a question with what the user looks at, answered, with a line of cost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beastmode_lsp import sources
from beastmode_lsp.arguments import Kinds, take
from beastmode_lsp.asking import ask, refuse_large
from beastmode_lsp.commands import diagnostics_of, span_of
from beastmode_lsp.costs import cost_line
from beastmode_lsp.positions import text_in
from beastmode_lsp.showing import show_text

if TYPE_CHECKING:
    from beastmode_lsp.positions import Span
    from beastmode_lsp.session import Session

_FIELDS: Kinds = {
    "message": str,
    "session_id": str,
    "model": str,
    "uri": str,
    "range": dict,
    "files": list,
    "id": (str, int),
    "cache": str,
    "retrieve": bool,
    "use_llm": bool,
    "diagnostics": list,
    "show": bool,
}


async def chat(session: Session, given: Any) -> dict[str, Any]:
    """`beast.chat`: asks a model; what is selected, and the files that are named, go along.

    `show` opens the answer as Markdown; by default for editors that do nothing with the result of a command.

    Args:
        session: Of the editor.
        given: The argument of the command.
    """
    fields = take("beast.chat", given, _FIELDS, needed=("message",))
    uri = fields.get("uri")
    root = session.documents.root_of(uri) if uri else session.documents.first_root
    params: dict[str, Any] = {"message": fields["message"], **session.identity(fields.get("model"))}
    params |= {name: fields[name] for name in ("session_id", "cache", "retrieve", "use_llm") if name in fields}
    if root is not None:
        params["workspace"] = root
    documents = _selected(session, uri, span_of(session, "beast.chat", fields)) if uri else []
    files = []
    for name in fields.get("files", ()):
        open_text = _open_text(session, root, str(name))
        if open_text is None:
            files.append(str(name))
        else:
            documents.append(open_text)
    opened = session.folders.opened(root, [one["path"] for one in documents])
    reported = _reported(session, fields) if uri else []
    more = {"documents": documents, "files": files, "opened": opened, "diagnostics": reported}
    params |= {name: value for name, value in more.items() if value}
    stream_id = str(fields["id"]) if "id" in fields else None
    answer: dict[str, Any] = await ask(session, "chat", params, "BEAST: Chat", stream_id)
    session.folders.learn(root, (answer.get("context") or {}).get("state"))
    line, top = cost_line(answer), sources.root_of(answer, root)
    if fields.get("show", not session.has_views):
        page = f"> {fields['message']}\n\n{answer['text'].rstrip()}\n{sources.listed(answer, top)}\n---\n*{line}*\n"
        await show_text(session, f"BEAST: Chat-{answer['request_id'][-8:]}", page)
    return {**answer, "sources": sources.with_links(answer.get("sources") or [], top), "costLine": line}


def _reported(session: Session, fields: dict[str, Any]) -> list[dict[str, Any]]:
    """Problems of the document that the question is about, with its path."""
    path = session.place(fields["uri"])["path"]
    return [{**one, "path": path} for one in diagnostics_of(session, "beast.chat", fields)]


def _selected(session: Session, uri: str, span: Span | None) -> list[dict[str, Any]]:
    """The selection, under the name of its document and lines; the whole document where nothing is selected."""
    document = session.documents.find(uri)
    if document is None:
        return []
    refuse_large(session, document)
    path = session.place(uri)["path"]
    if span is None or span.start == span.end:
        return [{"path": path, "text": document.text, "version": document.version}]
    lines = f"{span.start.line + 1}-{span.end.line + (span.end.column > 0)}"
    return [{"path": f"{path}:{lines}", "text": text_in(document.lines, span)}]


def _open_text(session: Session, root: str | None, name: str) -> dict[str, Any] | None:
    """A named file as the editor has it; None where it is not open."""
    document = session.documents.find_path(os.path.normpath(Path(root or "/") / name))
    if document is None:
        return None
    refuse_large(session, document)
    return {"path": name, "text": document.text, "version": document.version}


async def clear(session: Session, given: Any) -> dict[str, Any]:
    """`beast.clear`: removes a chat; without one, what this editor's session has kept.

    Args:
        session: Of the editor.
        given: The argument of the command.
    """
    fields = take("beast.clear", given, {"session_id": str})
    if "session_id" in fields:
        await session.daemon.call("sessions.remove", {"id": fields["session_id"]})
        return {"cleared": True, "session_id": fields["session_id"]}
    session.kept.clear()
    session.last_request = None
    return {"cleared": True}
