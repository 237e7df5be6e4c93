"""`python -m beastmode_lsp`: the worker that serves editors; the daemon starts it, and it ends with the daemon.

The first line of standard input holds its orders. Standard input stays open as long as the daemon lives.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main() -> int:
    """Serves editors until standard input ends.

    Returns:
        The exit code.
    """
    line = sys.stdin.buffer.readline()
    if not line:
        return 0
    orders: dict[str, Any] = json.loads(line)
    os.umask(0o077)
    from beastmode_lsp.worker import run

    run(orders)
    return 0


if __name__ == "__main__":
    sys.exit(main())
