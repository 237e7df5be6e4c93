"""What of a workspace an answer was made from, as links that an editor follows; `beast.context` looks ahead."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pygls.exceptions import JsonRpcInvalidParams
from pygls.uris import from_fs_path

from beastmode_lsp.arguments import take
from beastmode_lsp.showing import show_text

if TYPE_CHECKING:
    from beastmode_lsp.session import Session


async def context(session: Session, given: Any) -> dict[str, Any]:
    """`beast.context`: what would go along with a question; no model is asked.

    Args:
        session: Of the editor.
        given: The argument of the command.
    """
    fields = take(
        "beast.context", given, {"message": str, "uri": str, "files": list, "show": bool}, needed=("message",)
    )
    uri = fields.get("uri")
    root = session.documents.root_of(uri) if uri else session.documents.first_root
    if root is None:
        raise JsonRpcInvalidParams("There is no folder open in this editor. Try: open the folder of a project")
    params: dict[str, Any] = {"workspace": root, "question": fields["message"], "files": fields.get("files", [])}
    params["opened"] = session.folders.opened(root)
    found: dict[str, Any] = await session.daemon.call("workspace.context", params)
    session.folders.learn(root, found["context"]["state"])
    top = found["context"].get("path", root)
    line = f"{len(found['pieces'])} pieces, about {found['tokens']:,} of {found['budget_tokens']:,} tokens"
    if fields.get("show", True):
        rows = [f"- {_link(one, top)}: {one['tokens']} tokens, {', '.join(one['why'])}" for one in found["pieces"]]
        page = "\n".join([f"> {fields['message']}", "", "What would be sent with this question:", "", *rows, "", line])
        await show_text(session, "BEAST: Context", f"{page}\n")
    return {**found, "pieces": with_links(found["pieces"], top), "line": line}


def with_links(sources: list[dict[str, Any]], root: str | None) -> list[dict[str, Any]]:
    """Pieces with the address of their file, where it is known which folder they lie in.

    Args:
        sources: Of an answer.
        root: The workspace.
    """
    return [{**one, "uri": uri_of(one, root)} for one in sources] if root is not None else sources


def uri_of(source: Mapping[str, Any], root: str) -> str:
    """The address of a piece's file."""
    return from_fs_path(str(Path(root, source["path"]))) or ""


def listed(answer: Mapping[str, Any], root: str | None) -> str:
    """The end of a page: where an answer comes from, one a line; nothing where it comes from nowhere.

    Args:
        answer: Of `chat` or `action`.
        root: The workspace.
    """
    sources = answer.get("sources") or []
    if not sources or root is None:
        return ""
    return "".join(["\nSources:\n\n", *(f"- {_link(one, root)}\n" for one in sources)])


def root_of(answer: Mapping[str, Any], root: str | None) -> str | None:
    """The workspace that an answer's sources lie in.

    Args:
        answer: Of `chat`.
        root: The editor's folder that it is about.
    """
    found = (answer.get("context") or {}).get("path") or root
    return str(found) if found is not None else None


def _link(one: Mapping[str, Any], root: str) -> str:
    first, last = one.get("first_line") or 1, one.get("last_line") or 1
    lines = f":{first}" if first == last else f":{first}-{last}"
    name = f" `{one['symbol']}`" if one.get("symbol") else ""
    label = str(one["path"]).replace("[", "\\[").replace("]", "\\]")
    return f"[{label}{lines}]({uri_of(one, root)}#L{first}){name}"
