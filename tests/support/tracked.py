"""The files of the project, as a clone has them."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
MADE = {".git", ".venv", "build", "dist", "results", "node_modules", "__pycache__"}


def project_files() -> list[Path]:
    """Lists what git tracks; without git, what is there and was not made here.

    Returns:
        Paths inside the project.
    """
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        found = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
        return sorted(path for path in found if not MADE.intersection(path.parts) and ".mypy_cache" not in path.parts)
    names = [Path(name) for name in done.stdout.decode().split("\0") if name]
    return sorted(name for name in names if (ROOT / name).is_file())


def text_of(file: Path) -> str | None:
    """Reads a file of the project; None where it is no text.

    Args:
        file: Path inside the project.
    """
    try:
        return (ROOT / file).read_text("utf-8")
    except UnicodeDecodeError:
        return None
