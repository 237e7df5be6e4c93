"""A workspace as its reader sees it, in this process or in one whose every `open` is listened to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from beastmode.workspace.chunks import cut
from beastmode.workspace.index.catalogue import Catalogue
from beastmode.workspace.index.orders import LeftOut, Order
from beastmode.workspace.index.scanning import Scanning

_LISTENING = """
import json, sys
opened = []
def hear(event, args):
    if event == "open":
        opened.append(args[0] if isinstance(args[0], (str, int)) else repr(args[0]))
from support.reader import Reading
from pathlib import Path
root, catalogue = Path(sys.argv[1]), Path(sys.argv[2])
reading = Reading(root, catalogue)
sys.addaudithook(hear)
reading.scan()
again = reading.scan()
print(json.dumps({"opened": opened, "paths": sorted(reading.paths()), "again": again}))
"""


class Reading:
    """One workspace and its catalogue.

    Args:
        root: The workspace.
        catalogue: The catalogue's file.
        limits: Fields of an order.
    """

    def __init__(self, root: Path, catalogue: Path, **limits: Any) -> None:
        self.order = Order(op="open", root=str(root), catalogue=str(catalogue), **limits)
        self.cut: list[str] = []
        self.catalogue = Catalogue.open(catalogue)
        self.scanning = Scanning(self.order, self.catalogue, self._cut)

    def _cut(self, path: str, text: str) -> Any:
        self.cut.append(path)
        return cut(path, text)

    def scan(self) -> list[str]:
        """Looks at everything; returns what changed, sorted."""
        return sorted(self.scanning.scan())

    def look(self, *folders: str) -> list[str]:
        """Looks at some folders; returns what changed, sorted."""
        return sorted(self.scanning.look_again(folders))

    def paths(self) -> set[str]:
        """What the catalogue has."""
        return set(self.catalogue.known())

    @property
    def left_out(self) -> LeftOut:
        """What is not read."""
        return self.scanning.left_out()

    def restart(self) -> Reading:
        """The same, after the process that read it has ended."""
        self.catalogue.close()
        self.catalogue = Catalogue.open(self.order.catalogue)
        self.scanning = Scanning(self.order, self.catalogue, self._cut)
        self.cut.clear()
        return self


def read_and_listen(root: Path, catalogue: Path, limit_s: float = 60) -> dict[str, Any]:
    """Reads a workspace in a process of its own.

    Returns:
        `opened`: every path that was opened, as `open` was told; `paths`: what the catalogue has.
    """
    done = subprocess.run(
        [sys.executable, "-c", _LISTENING, str(root), str(catalogue)],
        capture_output=True,
        text=True,
        timeout=limit_s,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
