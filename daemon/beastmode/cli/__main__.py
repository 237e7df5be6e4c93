"""`python -m beastmode.cli`: the `beast` command of this very interpreter."""

from beastmode.cli import main

raise SystemExit(main())
