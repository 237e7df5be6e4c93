"""`sessions.*`: chat histories."""

from __future__ import annotations

from typing import Any

import msgspec

from beastmode.core.clock import rfc3339
from beastmode.servers.methods.table import Nothing, method
from beastmode.servers.services import Caller, Services


class SessionParams(msgspec.Struct, forbid_unknown_fields=True):
    """Names a session.

    Attributes:
        id: Its name.
    """

    id: str


@method("sessions.list")
async def list_sessions(services: Services, caller: Caller, params: Nothing) -> dict[str, Any]:
    """Lists chat sessions, the last used first: id, title, updated_at, messages."""
    found = await services.sessions.all()
    return {
        "sessions": [
            {"id": one.id, "title": one.title, "updated_at": rfc3339(one.updated_at_s), "messages": one.messages}
            for one in found
        ]
    }


@method("sessions.get")
async def get_session(services: Services, caller: Caller, params: SessionParams) -> dict[str, Any]:
    """Shows all messages of a session: at, role, content, and for answers model and request_id."""
    lines = await services.sessions.get(params.id)
    return {
        "id": params.id,
        "messages": [
            {
                "at": rfc3339(line.at_s),
                "role": line.role,
                "content": line.content,
                "model": line.model,
                "request_id": line.request_id,
            }
            for line in lines
        ],
    }


@method("sessions.remove")
async def remove_session(services: Services, caller: Caller, params: SessionParams) -> dict[str, Any]:
    """Removes a session for good."""
    await services.sessions.remove(params.id)
    return {"removed": True, "id": params.id}
