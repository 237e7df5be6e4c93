"""`workspace.open/close/list/active`: which folders are read and watched, and what somebody works on in them."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

import msgspec

from beastmode.servers.methods.table import Nothing, method
from beastmode.servers.services import Caller, Services
from beastmode.workspace.index.workspaces import Active, Row
from beastmode.workspace.positions import Range


class OpenParams(msgspec.Struct, forbid_unknown_fields=True):
    """Which folder to open.

    Attributes:
        path: Its absolute path.
        agreed: Its user agrees that it is read, or does not, which is remembered; null: as was said before. Where
            nothing was said, nothing is read, and the state is `unasked` or `declined`.
        wait: Answer when all of it is read, with progress until then.
    """

    path: str
    agreed: bool | None = True
    wait: bool = False


class CloseParams(msgspec.Struct, forbid_unknown_fields=True):
    """Which workspace to close.

    Attributes:
        path: Its absolute path, or one inside it.
        forget: Delete what is known of it, and that its user agreed.
    """

    path: str
    forget: bool = False


class ActiveParams(msgspec.Struct, forbid_unknown_fields=True):
    """What a person works on.

    Attributes:
        workspace: A folder that is open, or one inside it.
        path: The file, inside `workspace` or absolute.
        event: What became of it.
        range: Where the person is in it.
    """

    workspace: str
    path: str
    event: Literal["opened", "edited", "saved", "closed"]
    range: Range | None = None


class Noted(msgspec.Struct):
    """Whether something was made of it.

    Attributes:
        noted: False: no workspace is open there.
    """

    noted: bool


class Open(msgspec.Struct):
    """The open workspaces.

    Attributes:
        workspaces: How each is.
    """

    workspaces: list[Row]


@method("workspace.open")
async def workspace_open(services: Services, caller: Caller, params: OpenParams) -> Row:
    """Reads a folder, watches it, and keeps it open over restarts, where its user agreed."""
    row = await services.workspaces.open(params.path, params.agreed)
    if params.wait and row.state == "scanning":
        return await services.workspaces.settle(row.path, caller.progress)
    return row


@method("workspace.close")
async def workspace_close(services: Services, caller: Caller, params: CloseParams) -> Row:
    """Closes a workspace: it is read and watched no more; with `forget` what is known of it is deleted."""
    return await services.workspaces.close(params.path, params.forget)


@method("workspace.list")
def workspace_list(services: Services, caller: Caller, params: Nothing) -> Open:
    """Lists the open workspaces: path, state, files, chunks, how changes are seen, what is left out, what is wrong."""
    return Open(services.workspaces.rows())


@method("workspace.active")
def workspace_active(services: Services, caller: Caller, params: ActiveParams) -> Noted:
    """Tells what a person works on, from an editor; nothing is read for it."""
    whole = str(PurePosixPath(params.workspace) / params.path)
    found = services.workspaces.find(params.workspace)
    if found is None or not whole.startswith(f"{found.root}/"):
        found = services.workspaces.find(whole)
    path = whole.removeprefix(f"{found.root}/") if found is not None else whole
    if found is None or path == whole:
        return Noted(False)
    where = params.range
    active = Active(
        workspace=found.root,
        path=path,
        event=params.event,
        first_line=where.start.line + 1 if where is not None else None,
        last_line=where.end.line + 1 if where is not None else None,
        user=caller.user,
        client=caller.client,
    )
    for told in services.workspaces.on_active:
        told(active)
    return Noted(True)
