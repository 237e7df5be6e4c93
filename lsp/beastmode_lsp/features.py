"""Everything that an editor can ask for, registered with the server of its connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beastmode_lsp.server import EditorServer


def register(server: EditorServer) -> None:
    """Registers all features.

    Args:
        server: The server of one connection, not yet initialized.
    """
