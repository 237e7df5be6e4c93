"""Who is at the other end of a Unix socket, as the kernel says."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable

PeerReader = Callable[[socket.socket], int | None]

_SOL_LOCAL = 0
_LOCAL_PEERCRED = 1


def peer_uid(connection: socket.socket) -> int | None:
    """Reads the user id of the process that connected.

    Args:
        connection: A connected Unix socket.

    Returns:
        The user id, or None where the system does not tell.
    """
    try:
        if sys.platform == "darwin":
            # struct xucred: version, uid, group count, 16 groups (sys/ucred.h)
            raw = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, struct.calcsize("IIh16I"))
            return int(struct.unpack_from("II", raw)[1])
        # struct ucred: pid, uid, gid (unix(7), SO_PEERCRED)
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", raw)[1])
    except OSError:
        return None
