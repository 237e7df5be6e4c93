"""`python -P -m beastmode.workspace.index`: the process that reads and watches open workspaces."""

from __future__ import annotations

import sys

from beastmode.workspace.index.child import main

if __name__ == "__main__":
    sys.exit(main())
