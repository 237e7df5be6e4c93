"""The inside of the dashboard, wired by `app`: who may see it, what there is to see, and the files it is shown with."""

from __future__ import annotations

import msgspec

from beastmode.servers.access import Access
from beastmode.servers.live import Live
from beastmode.servers.static_files import StaticFiles


class Inside(msgspec.Struct, frozen=True):
    """What the dashboard works with.

    Attributes:
        access: Tickets and sessions.
        live: What is counted while somebody looks.
        files: The page.
    """

    access: Access
    live: Live
    files: StaticFiles
