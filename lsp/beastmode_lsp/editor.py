"""What an editor is and what it can do, read once from its `initialize`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lsprotocol import types

_NAMES = {
    "visual studio code": "vscode",
    "visual studio code - insiders": "vscode",
    "code - oss": "vscode",
    "code-server": "vscode",
    "vscodium": "vscode",
    "cursor": "cursor",
    "neovim": "neovim",
    "nvim": "neovim",
    "helix": "helix",
    "emacs": "emacs",
    "eglot": "emacs",
    "gnu emacs": "emacs",
    "sublime text lsp": "sublime",
    "sublime text": "sublime",
    "zed": "zed",
    "kate": "kate",
}
_KINDS_OF_KATE = ["quickfix", "refactor", "source"]
_TELLS_ERRORS = {"vscode", "cursor", "neovim", "emacs"}


def label_of(name: str) -> str:
    """What the ledger calls an editor.

    Args:
        name: What it calls itself, such as `Visual Studio Code`.

    Returns:
        Lower-case letters, digits and dashes; `lsp` for an editor that does not say.
    """
    known = _NAMES.get(name.strip().lower())
    return known or re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "lsp"


def _is_kate(capabilities: types.ClientCapabilities) -> bool:
    """Kate does not say its name, nor that it takes edits: for two seconds after a command it does."""
    workspace, document = capabilities.workspace, capabilities.text_document
    if workspace is None or document is None or document.code_action is None:
        return False
    literals = document.code_action.code_action_literal_support
    return (
        workspace.apply_edit is None
        and bool(workspace.configuration)
        and document.selection_range is not None
        and literals is not None
        and [str(getattr(one, "value", one)) for one in literals.code_action_kind.value_set] == _KINDS_OF_KATE
    )


@dataclass(frozen=True, kw_only=True)
class Editor:
    """An editor.

    Attributes:
        label: What the ledger calls it.
        applies_edits: It takes `workspace/applyEdit`.
        versioned: It takes edits with the version that they are for.
        operations: Of `create`, `rename` and `delete`, those it can do.
        annotates: It takes edits with annotations.
        action_literals: It takes code actions, not only commands.
        resolves: What of a code action it asks for later.
        shows_documents: It takes `window/showDocument`.
        shows_progress: It takes `window/workDoneProgress/create`.
        asks_inline: It asks for inline completion.
        has_settings: It answers `workspace/configuration`.
        registers_settings: It tells of new settings once it is asked to.
        refreshes_lenses: It takes `workspace/codeLens/refresh`.
        shows_errors: It shows errors of requests to its user.
    """

    label: str = "lsp"
    applies_edits: bool = False
    versioned: bool = False
    operations: frozenset[str] = field(default_factory=frozenset)
    annotates: bool = False
    action_literals: bool = False
    resolves: frozenset[str] = field(default_factory=frozenset)
    shows_documents: bool = False
    shows_progress: bool = False
    asks_inline: bool = False
    has_settings: bool = False
    registers_settings: bool = False
    refreshes_lenses: bool = False
    shows_errors: bool = False

    @classmethod
    def of(cls, name: str, capabilities: types.ClientCapabilities) -> Editor:
        """Reads what an editor announced.

        Args:
            name: What it calls itself.
            capabilities: Of `initialize`.
        """
        workspace = capabilities.workspace or types.WorkspaceClientCapabilities()
        window = capabilities.window or types.WindowClientCapabilities()
        document = capabilities.text_document or types.TextDocumentClientCapabilities()
        edit = workspace.workspace_edit or types.WorkspaceEditClientCapabilities()
        action = document.code_action or types.CodeActionClientCapabilities()
        resolve = action.resolve_support
        # lsp-mode has every server of a file resolve an action of any, and fails where two of them answer
        resolves = bool(action.data_support) and name != "emacs"
        changed = workspace.did_change_configuration or types.DidChangeConfigurationClientCapabilities()
        operations = frozenset(str(getattr(one, "value", one)) for one in edit.resource_operations or ())
        annotates = edit.change_annotation_support is not None
        kate = not name and _is_kate(capabilities)
        label = "kate" if kate else label_of(name)
        return cls(
            label=label,
            applies_edits=bool(workspace.apply_edit) or kate,
            versioned=bool(edit.document_changes or operations or annotates),  # both exist among document changes only
            operations=operations,
            annotates=annotates,
            action_literals=action.code_action_literal_support is not None,
            resolves=frozenset(resolve.properties) if resolves and resolve is not None else frozenset(),
            shows_documents=window.show_document is not None and window.show_document.support,
            shows_progress=bool(window.work_done_progress),
            asks_inline=document.inline_completion is not None,
            has_settings=bool(workspace.configuration),
            registers_settings=bool(changed.dynamic_registration),
            refreshes_lenses=workspace.code_lens is not None and bool(workspace.code_lens.refresh_support),
            shows_errors=label in _TELLS_ERRORS,
        )
